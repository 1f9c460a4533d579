"""How are nuclei laid on the slide? Pixels of the model's scale, anchored at the slide's corner."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.polygons import inside

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]

ALIGN = 32  # tiles begin at multiples of this, so that pooling sees the same pixels in every tile
CELL = 64  # pixels per side of the cells that say where to look
_POINTS = 4  # per side of a cell, to see what share of it a region covers


class Box(NamedTuple):
    """A rectangle in pixels of the slide's whole grid; bottom and right are exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True, slots=True)
class LabelGrid:
    """The pixels of the labels: a window of the slide's whole grid.

    Pixel [r, c] of the whole grid covers the level-0 edge span ``[r, c] * downsample`` to
    ``+ downsample``, unrounded, whatever the window.

    Attributes
    ----------
    slide
        Rows and columns of the whole grid.
    corner
        First row and column of the window; multiples of 32.
    shape
        Rows and columns of the window.
    downsample
        Level-0 pixels (y, x) per pixel, floats.
    """

    slide: tuple[int, int]
    corner: tuple[int, int]
    shape: tuple[int, int]
    downsample: tuple[float, float]

    @classmethod
    def over(
        cls,
        slide: tuple[int, int],
        slide_mpp: tuple[float, float],
        mpp: float,
        region: Region | None = None,
        *,
        reach: int = 0,
    ) -> LabelGrid:
        """Lay a grid over a slide of shape (Y, X) px, or over a region of it.

        Parameters
        ----------
        reach
            Pixels beyond the region that the window has all the same: a nucleus whose centre
            lies in the region is not cut.
        """
        downsample = (mpp / slide_mpp[0], mpp / slide_mpp[1])
        whole = tuple(
            max(1, math.ceil(length / d - 1e-6))
            for length, d in zip(slide, downsample, strict=True)
        )
        if region is None:
            return cls((whole[0], whole[1]), (0, 0), (whole[0], whole[1]), downsample)
        spans = ((region.y, region.bottom), (region.x, region.right))
        first, size = [], []
        for (low, high), d, most in zip(spans, downsample, whole, strict=True):
            start = max(0, (math.floor(low / d) - reach) // ALIGN * ALIGN)
            first.append(start)
            size.append(min(most, math.ceil(high / d) + reach) - start)
        return cls((whole[0], whole[1]), (first[0], first[1]), (size[0], size[1]), downsample)

    @property
    def origin(self) -> tuple[float, float]:
        """Level-0 edge coordinates of the upper left corner of the window."""
        return self.place(*self.corner)

    def place(self, row: float, col: float) -> tuple[float, float]:
        """Level-0 edge coordinates of a corner of the whole grid."""
        return row * self.downsample[0], col * self.downsample[1]

    def overlay(self, data: np.ndarray) -> Overlay:
        """Lay an array of the window's shape on level 0."""
        return Overlay(data, self.origin, self.downsample)

    def pixel_um2(self, mpp: tuple[float, float]) -> float:
        """Area of a pixel, on a slide of so many um per level-0 pixel (y, x)."""
        return math.prod(self.downsample) * math.prod(mpp)

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of cells of 64 x 64 pixels in the window."""
        return math.ceil(self.shape[0] / CELL), math.ceil(self.shape[1] / CELL)

    @property
    def cell_step(self) -> tuple[float, float]:
        """Level-0 pixels per cell."""
        return CELL * self.downsample[0], CELL * self.downsample[1]

    def covered(self, region: Region | None, polygons: Sequence[np.ndarray] | None) -> np.ndarray:
        """Share of each cell inside the region and any of the polygons, at 16 points of it.

        Parameters
        ----------
        polygons
            Each (N, 2) corners (y, x) in level-0 centre coordinates, as napari's Shapes hold them.

        Returns
        -------
        np.ndarray
            float32 (rows, columns) of :attr:`cells`.
        """
        offsets = (np.arange(_POINTS) + 0.5) / _POINTS
        y, x = (
            origin + (np.arange(count)[:, None] + offsets).ravel() * step - 0.5
            for origin, count, step in zip(self.origin, self.cells, self.cell_step, strict=True)
        )
        points = np.stack(np.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2)
        rows, cols = self.cells
        held = inside(points, region, polygons).reshape(rows, _POINTS, cols, _POINTS)
        share: np.ndarray = held.mean((1, 3), dtype=np.float32)
        return share

    def cores(self, wanted: Mask, side: int, near: tuple[float, float]) -> list[Box]:
        """Tile the window; the tiles that hold a wanted cell, nearest to a level-0 point first.

        Parameters
        ----------
        wanted
            (rows, columns) of :attr:`cells`.
        side
            Pixels per side of a tile at most, a multiple of 64: the window is cut into tiles of
            about the same size.
        """
        high, wide = (_even(cells, side // CELL) for cells in self.cells)
        corners = product(range(0, self.cells[0], high), range(0, self.cells[1], wide))
        found = [
            self._core(row * CELL, col * CELL, high * CELL, wide * CELL)
            for row, col in corners
            if wanted[row : row + high, col : col + wide].any()
        ]
        target = np.asarray(near) / self.downsample

        def distance(core: Box) -> float:
            middle = (core.top + core.bottom) / 2, (core.left + core.right) / 2
            return math.dist(middle, target)

        return sorted(found, key=distance)

    def small_core(self, wanted: Mask, side: int, near: tuple[float, float]) -> Box | None:
        """A square of ``side`` pixels around a level-0 point; None where no wanted cell begins in it."""
        y, x = (
            min(max(round((at / step - first - side / 2) / CELL), 0), max(size - side, 0) // CELL)
            for at, step, first, size in zip(
                near, self.downsample, self.corner, self.shape, strict=True
            )
        )
        held = wanted[y : y + side // CELL, x : x + side // CELL].any()
        return self._core(y * CELL, x * CELL, side, side) if held else None

    def _core(self, row: int, col: int, high: int, wide: int) -> Box:
        top, left, bottom, right = self.window
        return Box(
            top + row, left + col, min(top + row + high, bottom), min(left + col + wide, right)
        )

    @property
    def window(self) -> Box:
        """Where the window lies in the whole grid."""
        (top, left), (height, width) = self.corner, self.shape
        return Box(top, left, top + height, left + width)

    def centres(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 2) places in pixels of the whole grid -> level-0 centre coordinates."""
        placed: np.ndarray = (pixels + 0.5) * self.downsample - 0.5
        return placed

    def around(self, core: Box, margin: int) -> Box:
        """A core with so many pixels to each side, as far as the slide goes."""
        height, width = self.slide
        return Box(
            max(core.top - margin, 0),
            max(core.left - margin, 0),
            min(core.bottom + margin, height),
            min(core.right + margin, width),
        )


def _even(length: int, most: int) -> int:
    """The longest of parts of about the same length, as few as can be: 7 and at most 3 is 3."""
    return math.ceil(length / math.ceil(length / most))
