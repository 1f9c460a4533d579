"""How a map is laid on a slide: cells as large as patches, anchored at the slide's corner."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.errors import ModelError
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.polygons import inside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Cells = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Block:
    """Cells that are read at once: ``cells`` (N, 2), the row and column of each in the grid."""

    cells: np.ndarray

    @property
    def corner(self) -> tuple[int, int]:
        """First row and first column."""
        row, col = self.cells.min(0)
        return int(row), int(col)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns from the first cell to the last."""
        rows, cols = np.ptp(self.cells, 0) + 1
        return int(rows), int(cols)


@dataclass(frozen=True, slots=True)
class CellGrid:
    """The cells of a heat map; patch [r, c] begins at level-0 edge ``[r, c] * step``, unrounded.

    A cell is the middle of its patch. Without overlap the two are the same; with a finer stride
    patches overlap, and each cell still gets the score of the whole patch around it.

    Attributes
    ----------
    shape
        Rows and columns of cells.
    patch_px, stride_px
        Side of a patch, and from patch to patch, in pixels at the model's scale.
    downsample
        Level-0 pixels (y, x) per pixel at the model's scale, floats.
    """

    shape: tuple[int, int]
    patch_px: int
    stride_px: int
    downsample: tuple[float, float]

    @classmethod
    def over(
        cls,
        slide: tuple[int, int],
        slide_mpp: tuple[float, float],
        *,
        patch_px: int,
        mpp: float,
        step_um: float | None = None,
    ) -> CellGrid:
        """Lay a grid over a slide of shape (Y, X) px.

        Raises
        ------
        ModelError
            If ``step_um`` does not divide the patch into whole pixels.
        """
        phases = 1 if step_um is None else round(patch_px * mpp / step_um)
        stride = patch_px // max(phases, 1)
        if step_um is not None and not math.isclose(stride * mpp, step_um, rel_tol=1e-6):
            steps = [patch_px * mpp / n for n in range(1, 6) if patch_px % n == 0]
            msg = f"a step of {step_um:g} um can't be had; it may be {', '.join(map('{:g}'.format, steps))}"
            raise ModelError(msg)
        downsample = (mpp / slide_mpp[0], mpp / slide_mpp[1])
        grid = cls((0, 0), patch_px, stride, downsample)
        rows, cols = (
            max(1, math.ceil((length - o) / s - 1e-9))
            for length, o, s in zip(slide, grid.origin, grid.step, strict=True)
        )
        return cls((rows, cols), patch_px, stride, downsample)

    @property
    def phases(self) -> int:
        """Interleaved grids of patches that don't overlap, per axis."""
        return self.patch_px // self.stride_px

    @property
    def step(self) -> tuple[float, float]:
        """Level-0 pixels from cell to cell."""
        return self.stride_px * self.downsample[0], self.stride_px * self.downsample[1]

    @property
    def origin(self) -> tuple[float, float]:
        """Level-0 edge coordinates of the upper left corner of cell [0, 0]."""
        margin = (self.patch_px - self.stride_px) / 2
        return margin * self.downsample[0], margin * self.downsample[1]

    def overlay(self, data: np.ndarray | None = None) -> Overlay:
        """Lay an array of cells on the slide; all NaN by default."""
        if data is None:
            data = np.full(self.shape, np.nan, np.float32)
        return Overlay(data, self.origin, self.step)

    def inside(self, region: Region | None, polygons: Sequence[np.ndarray] | None = None) -> Cells:
        """(H, W) bool: cells whose centre lies in the region and in one of the polygons.

        Polygons are (N, 2) corners (y, x) in level-0 centre coordinates.
        """
        y, x = (
            o + (np.arange(n) + 0.5) * s - 0.5
            for n, o, s in zip(self.shape, self.origin, self.step, strict=True)
        )
        centres = np.stack(np.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2)
        return inside(centres, region, polygons).reshape(self.shape)

    def blocks(self, cells: Cells, size: int, near: tuple[float, float]) -> list[Block]:
        """Group cells into blocks of ``size`` x ``size``, those nearest a level-0 point first."""
        places = np.argwhere(cells)
        keys = places // size
        centres = (keys + 0.5) * size * self.step + self.origin
        distance = np.hypot(*(centres - near).T)
        order = np.lexsort((keys[:, 1], keys[:, 0], distance))
        cuts = np.flatnonzero(np.any(np.diff(keys[order], axis=0), 1)) + 1
        return [Block(part) for part in np.split(places[order], cuts) if len(part)]

    def place(self, block: Block) -> tuple[tuple[float, float], tuple[int, int]]:
        """Where a block begins in level-0 edge coordinates (y, x), and its pixels at the scale."""
        row, col = block.corner
        rows, cols = ((n - 1) * self.stride_px + self.patch_px for n in block.shape)
        return (row * self.step[0], col * self.step[1]), (rows, cols)

    def cut(self, block: Block, pixels: np.ndarray) -> np.ndarray:
        """Cut what was read for a block into (N, P, P, 3) patches, in the order of its cells."""
        windows = np.lib.stride_tricks.sliding_window_view(
            pixels, (self.patch_px, self.patch_px), axis=(0, 1)
        )
        rows, cols = ((block.cells - block.corner) * self.stride_px).T
        return np.ascontiguousarray(np.moveaxis(windows[rows, cols], 1, -1))

    def phase_slices(self) -> Iterator[tuple[slice, slice]]:
        """Index each of the interleaved grids of patches that don't overlap."""
        for y in range(self.phases):
            for x in range(self.phases):
                yield slice(y, None, self.phases), slice(x, None, self.phases)
