"""The focal loss, which keeps a rare class from being swallowed by a common one (section 3.3)."""

from __future__ import annotations

import torch
from torch.nn.functional import log_softmax


def focal_loss(logits: torch.Tensor, target: torch.Tensor, gamma: float = 2.0) -> torch.Tensor:
    """Mean of ``-(1 - p)^gamma log p``, p what is said of the true class (Lin et al. 2017).

    Parameters
    ----------
    logits, target
        (N, C) in float32 or float64, and int64 (N,).
    gamma
        How little what is right already counts; 0 is the cross entropy.
    """
    said = log_softmax(logits, 1).gather(1, target[:, None])[:, 0]
    # expm1 keeps 1 - p exact, and with it the gradient, where p is almost 1
    return -((-torch.expm1(said)).clamp_min(0) ** gamma * said).mean()
