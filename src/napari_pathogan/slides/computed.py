"""A slide whose pixels are computed from another's where they are read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TILE = 512
SAME = 1.5  # pixels up to this much coarser or finer than a network's are as good as its own


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


class GridLevel:
    """How a level is computed on a network's own grid of pixels.

    That grid starts at the slide's corner and is cut at multiples of a stride, so that a pixel does
    not depend on how the level is cut into tiles.

    Parameters
    ----------
    ratio
        Pixels of the network to one of the level (y, x); those that are nearly the same count as so.
    margin, stride
        How far the network sees, and what it takes multiples of, in its pixels.
    """

    def __init__(self, ratio: tuple[float, float], margin: int, stride: int) -> None:
        near = all(1 / SAME <= r <= SAME for r in ratio)
        self.ratio = (1.0, 1.0) if near else ratio
        self.margin, self.stride = margin, stride

    def part(
        self,
        start: tuple[int, int],
        shape: tuple[int, int],
        make: Callable[[tuple[int, int], tuple[int, int]], np.ndarray],
    ) -> np.ndarray:
        """A part of the level (H, W, 3) from what ``make`` gives of the grid from a pixel on."""
        spans = []
        for a, n, s in zip(start, shape, self.ratio, strict=True):
            low = math.floor((a * s - 1 - self.margin) / self.stride) * self.stride
            high = math.ceil(((a + n) * s + 1 + self.margin) / self.stride) * self.stride
            spans.append((low, high - low))
        (y, high), (x, wide) = spans
        made = make((y, x), (high, wide))
        if self.ratio == (1.0, 1.0):
            y, x = start[0] - y, start[1] - x
            return made[y : y + shape[0], x : x + shape[1]]
        places = [
            (a + 0.5 + np.arange(n)) * s - 0.5 - first
            for a, n, s, (first, _) in zip(start, shape, self.ratio, spans, strict=True)
        ]
        grid = np.stack(np.meshgrid(*places, indexing="ij"))
        return np.dstack([ndimage.map_coordinates(made[..., c], grid, order=1) for c in range(3)])


def computed_slide(slide: Slide, levels: Sequence[ComputedLevel], name: str) -> Slide:
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
