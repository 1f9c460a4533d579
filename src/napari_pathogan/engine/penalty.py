"""The gradient penalty that keeps a critic honest (WGAN-GP; Gulrajani et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable


def gradient_penalty(
    critic: Callable[[torch.Tensor], torch.Tensor],
    real: torch.Tensor,
    fake: torch.Tensor,
    mix: torch.Tensor,
    norm: float = 1.0,
) -> torch.Tensor:
    """How far the critic is from changing by ``norm`` per unit of distance between the two.

    The mean of ``(||grad critic(between)|| - norm)^2``, computed in float32 (or float64, if given)
    outside autocast, the norm over all of a picture (``flatten(1)``) with an epsilon under the
    root, whose gradient at 0 would otherwise be NaN.

    Parameters
    ----------
    critic
        Pictures (N, C, H, W) -> how real they are (N,).
    real, fake
        Pictures (N, C, H, W).
    mix
        (N,) in [0, 1]: where between the two each penalty is taken.
    norm
        1 as in WGAN-GP; 0 asks for as flat a critic as will do.
    """
    with torch.autocast(real.device.type, enabled=False):
        exact = torch.promote_types(real.dtype, torch.float32)
        real, fake = real.detach().to(exact), fake.detach().to(exact)
        weight = mix[:, None, None, None].to(exact)
        between = torch.lerp(fake, real, weight).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        length = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
        return (length - norm).square().mean()
