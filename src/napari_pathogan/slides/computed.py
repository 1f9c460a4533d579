"""A slide whose pixels are computed from another's where they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Sequence

TILE = 512


class ComputedLevel:
    """One level of a slide with its pixels changed, sliced like an array (Y, X[, 3]) of uint8.

    Parameters
    ----------
    slide
        What it is computed from.
    step
        Level-0 pixels per pixel (y, x).
    shape
        Rows and columns.
    colour
        Further axes: ``(3,)`` for RGB.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        slide: Slide,
        step: tuple[float, float],
        shape: tuple[int, int],
        *,
        colour: tuple[int, ...] = (3,),
    ) -> None:
        self.slide, self.step = slide, step
        self.shape = (*shape, *colour)
        self.chunks = (TILE, TILE, *colour)

    def __getitem__(self, place: tuple[slice, ...]) -> np.ndarray:
        rows, cols = (s.indices(n)[:2] for s, n in zip(place, self.shape[:2], strict=False))
        return self.part((rows[0], cols[0]), (rows[1] - rows[0], cols[1] - cols[0]))

    def part(self, start: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Compute a part of the level."""
        raise NotImplementedError


def computed(slide: Slide, levels: Sequence[ComputedLevel], name: str) -> Slide:
    """A slide of the same size and scale as another, whose notes count for it too."""
    made = Slide.from_arrays(
        levels,
        name=name,
        mpp=slide.mpp,
        mpp_source=slide.mpp_source,
        downsamples=slide.downsamples,
    )
    made.made_of = slide
    return made
