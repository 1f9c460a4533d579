"""The losses of the semi-supervised game (section 2.3; equation 6 leaves the class terms out).

Discriminator: adversarial + class loss of labelled real patches + class loss of generated ones
(as the class they were asked to be) + gradient penalty. Generator: adversarial + class loss of
what it generated. Unlabelled real patches enter the adversarial term only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

from napari_pathogan.engine.parallel import total
from napari_pathogan.engine.penalty import gradient_penalty

__all__ = ["adversarial_loss", "class_loss", "gradient_penalty"]


def adversarial_loss(logits: torch.Tensor, *, real: bool) -> torch.Tensor:
    """Cross entropy of 'this is real' against (N,) logits; equation 5, non-saturating."""
    target = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return F.binary_cross_entropy_with_logits(logits, target)


def class_loss(logits: torch.Tensor, target: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Cross entropy of the class head over the patches that have a label.

    Parameters
    ----------
    logits
        (N,) logits of IDC.
    target
        (N,) probability of IDC; negative where there is no label.
    smoothing
        Targets move this far towards 0.5: annotations were drawn at 2x, so some are wrong.

    Returns
    -------
    Scalar; 0, with a gradient of 0, if nothing is labelled.
    """
    labelled = target >= 0
    soft = target.clamp(min=0) * (1 - smoothing) + 0.5 * smoothing
    losses = F.binary_cross_entropy_with_logits(logits, soft, reduction="none")
    return total((losses * labelled).sum()) / total(labelled.sum()).clamp(min=1)
