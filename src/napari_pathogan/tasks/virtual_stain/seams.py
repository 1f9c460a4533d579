"""Whole slides without seams: statistics that are measured once, in place of every tile's own.

Instance normalisation over a tile makes neighbours disagree. With one set of statistics for all of
a slide, a pixel depends on its surroundings of :data:`~.network.MARGIN` px alone, whatever tile it
falls into.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

from napari_pathogan.tasks.virtual_stain.network import EPSILON, moments

if TYPE_CHECKING:
    import torch


class SlideNorm:
    """Normalises features by statistics that were measured once: a slide's in place of a tile's."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def measured(self, features: torch.Tensor, layer: int, /) -> torch.Tensor:
        """Normalise (N, C, H, W) by the statistics of all N together, and keep those."""
        means, variances = moments(features)
        mean = means.mean(0, keepdim=True)
        spread = variances.mean(0, keepdim=True) + (means - mean).square().mean(0, keepdim=True)
        self._known[layer] = mean.flatten(), spread.flatten()
        return self(features, layer)

    def __call__(self, features: torch.Tensor, layer: int, /) -> torch.Tensor:
        """Normalise by what was measured."""
        return F.batch_norm(features, *self._known[layer], eps=EPSILON)
