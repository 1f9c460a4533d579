"""What a pathologist would look at first, as figures that a gradient can flow through.

A class head that sees only these is the weaker, higher-level one that the paper's outlook asks for:
it can't hold on to what no person would see. None of them changes when the nucleus is turned by a
quarter or flipped.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn

from napari_pathogan.engine.pixels import optical_density
from napari_pathogan.tasks.nuclei_classes.crops import CROP_PX

RINGS = (0, 5, 8, 13, 18)  # pixels from the centre
DENSITY_RINGS = (0, 3, 6, 9, 13, 20)
_DISCS = (8, 14)
N_FIGURES = (len(RINGS) - 1) * 9 + 2 * len(_DISCS)
N_DENSITIES = (len(DENSITY_RINGS) - 1) * 6


class Figures(nn.Module):
    """Colour, density and spread in rings around the centre, and how one-directional it is.

    Of each ring and channel: the mean, the mean optical density (to base 10), and the standard
    deviation. Of two discs: coherence of the structure tensor (0 to 1) and log of its trace.
    """

    rings: torch.Tensor
    discs: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        radius = _radius()
        discs = [(radius < r).float()[:-1, :-1] for r in _DISCS]
        self.register_buffer("rings", _rings(RINGS), persistent=False)
        self.register_buffer("discs", _shares(discs), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 40, 40) in [-1, 1] -> (N, 40)."""
        light = (x.contiguous() + 1) / 2
        density = -((light * 255 + 1) / 256).log10()
        mean = light.flatten(2) @ self.rings
        square = light.flatten(2).square() @ self.rings
        spread = (square - mean.square()).clamp(min=0).add(1e-6).sqrt()
        parts = [mean, density.flatten(2) @ self.rings, spread]
        grey = density.sum(1)
        dy = grey[:, 1:, :-1] - grey[:, :-1, :-1]
        dx = grey[:, :-1, 1:] - grey[:, :-1, :-1]
        yy, xx, yx = (p.flatten(1) @ self.discs for p in (dy * dy, dx * dx, dy * dx))
        trace = yy + xx + 1e-6
        coherence = ((yy - xx).square() + 4 * yx.square() + 1e-12).sqrt() / trace
        return torch.cat([*(p.flatten(1) for p in parts), coherence, trace.log()], 1)


class Densities(nn.Module):
    """Mean and spread of optical density in five rings around the centre, by channel."""

    rings: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rings", _rings(DENSITY_RINGS), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 40, 40) in [-1, 1] -> (N, 30): the means, then the spreads."""
        return self.of(optical_density((x.contiguous() + 1) / 2 * 255))

    def of(self, density: torch.Tensor) -> torch.Tensor:
        """The same of optical densities."""
        density = density.flatten(2)
        mean = density @ self.rings
        square = density.square() @ self.rings
        spread = (square - mean.square()).clamp(min=0).add(1e-6).sqrt()
        return torch.cat([mean.flatten(1), spread.flatten(1)], 1)


def _radius() -> torch.Tensor:
    axis = torch.arange(CROP_PX) - (CROP_PX - 1) / 2
    return torch.hypot(axis[:, None], axis)


def _rings(edges: tuple[int, ...]) -> torch.Tensor:
    radius = _radius()
    return _shares([((radius >= a) & (radius < b)).float() for a, b in itertools.pairwise(edges)])


def _shares(masks: list[torch.Tensor]) -> torch.Tensor:
    """Masks -> (pixels, masks): what each pixel counts in each mask's mean."""
    stacked = torch.stack([mask.flatten() for mask in masks], 1)
    return stacked / stacked.sum(0)
