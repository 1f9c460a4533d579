"""The losses of the semi-supervised game (section 2.3; equation 6 leaves the class terms out).

Discriminator: adversarial + class loss of labelled real patches + class loss of generated ones
(as the class they were asked to be) + gradient penalty. Generator: adversarial + class loss of
what it generated. Unlabelled real patches enter the adversarial term only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

if TYPE_CHECKING:
    from collections.abc import Callable


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
    return (losses * labelled).sum() / labelled.sum().clamp(min=1)


def gradient_penalty(
    critic: Callable[[torch.Tensor], torch.Tensor],
    real: torch.Tensor,
    fake: torch.Tensor,
    mix: torch.Tensor,
    norm: float = 1.0,
) -> torch.Tensor:
    """WGAN-GP: the real/fake logit should change by ``norm`` per unit of distance between the two.

    Computed in float32 outside autocast, the norm over all of a patch (``flatten(1)``) with an
    epsilon under the root, whose gradient at 0 would otherwise be NaN.

    Parameters
    ----------
    critic
        Patches (N, 3, 50, 50) -> real/fake logits (N,).
    real, fake
        Patches (N, 3, 50, 50).
    mix
        (N,) in [0, 1]: where between the two each penalty is taken.
    norm
        The paper does not say; 1 as in WGAN-GP. 0 asks for as flat a critic as will do.
    """
    with torch.autocast(real.device.type, enabled=False):
        real, fake = real.detach().float(), fake.detach().float()
        weight = mix[:, None, None, None]
        between = torch.lerp(fake, real, weight).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        length = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
        return (length - norm).square().mean()
