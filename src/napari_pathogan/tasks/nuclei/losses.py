"""What the U-Net learns from: cross entropy of the three labels, and Dice of the foreground."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

from napari_pathogan.engine.parallel import total


def label_loss(logits: torch.Tensor, labels: torch.Tensor, boundary: float = 1.0) -> torch.Tensor:
    """Cross entropy of background, nucleus and boundary (section 3.2 names no other loss).

    Parameters
    ----------
    logits
        (N, 3, H, W).
    labels
        int64 (N, H, W) of 0, 1, 2; -1 where it is not known.
    boundary
        Weight of boundary pixels against the others.

    Returns
    -------
    Scalar, the weighted mean over known pixels; 0, with a gradient of 0, if there is none.
    """
    weight = logits.new_tensor([1.0, 1.0, boundary])
    losses = F.cross_entropy(logits, labels, weight, ignore_index=-1, reduction="sum")
    known = labels >= 0
    return total(losses) / total(weight[labels.clamp(min=0)][known].sum()).clamp(min=1)


def dice_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """1 - soft Dice of the foreground, nucleus and boundary together, over the whole batch.

    Over the batch rather than image by image: a crop without nuclei has no Dice of its own. One
    pixel is added above and below, so that a batch without any nucleus is still defined.

    Parameters
    ----------
    logits, labels
        As for :func:`label_loss`; pixels of label -1 are left out.
    """
    known = labels >= 0
    found = (1 - logits.softmax(1)[:, 0]) * known
    truth = (labels > 0).to(logits.dtype)
    both, either = total((found * truth).sum()), total(found.sum() + truth.sum())
    return 1 - (2 * both + 1) / (either + 1)
