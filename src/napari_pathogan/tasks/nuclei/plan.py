"""Where to look for nuclei: the tissue of a slide, or of a region of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_pathogan.colour.stained import no_tissue, stained_mpp, tissue_or_field, whole_tissue
from napari_pathogan.errors import NoTissueError
from napari_pathogan.slides.polygons import asked_for, inside
from napari_pathogan.tasks.nuclei.grid import CELL, Box, LabelGrid

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.slides.tissue import TissueMask
    from napari_pathogan.tasks.nuclei.segmenter import Segmenter

    Mask = npt.NDArray[np.bool_]

LARGE_PX, SMALL_PX = 1280, 768  # how long a side of a tile may be: of much tissue, and of little
FIRST_PX = 128  # a side of what a waiting user sees first: 32 um at 40x
EACH = 2  # tiles for each worker, if they are not smaller then: all have work until the end
REACH_UM = 16.0  # from the centroid of a nucleus to its far end and its neighbours


@dataclass(frozen=True, slots=True, eq=False)
class SearchPlan:
    """Where to look.

    Attributes
    ----------
    grid
        The pixels of the labels.
    mpp
        um per level-0 pixel (y, x).
    tissue
        Nuclei whose centroid lies here count.
    wanted
        (rows, columns) of the grid's cells: where such nuclei may be.
    looked_mm2
        The same shape: tissue of each cell inside the region.
    region, polygons
        What was asked for.
    """

    grid: LabelGrid
    mpp: tuple[float, float]
    tissue: TissueMask
    wanted: Mask
    looked_mm2: np.ndarray
    region: Region | None
    polygons: Sequence[np.ndarray] | None

    @property
    def middle(self) -> tuple[float, float]:
        """Level-0 point in the middle of what is wanted."""
        row, col = (np.argwhere(self.wanted).mean(0) + 0.5).tolist()
        (oy, ox), (sy, sx) = self.grid.origin, self.grid.cell_step
        return oy + row * sy, ox + col * sx

    @property
    def cell_mm2(self) -> float:
        """Area of a whole cell."""
        return CELL * CELL * self.grid.pixel_um2(self.mpp) * 1e-6

    def cores(self, near: tuple[float, float], workers: int) -> list[Box]:
        """The cores of the tiles to look at, those nearest to a level-0 point first.

        The larger the tiles, the less is looked at twice, in their margins; but there should be
        some for each of the ``workers``, which look at a tile at a time.
        """
        side = math.sqrt(self.wanted.sum() / (EACH * workers))
        px = math.ceil(side) * CELL
        return self.grid.cores(self.wanted, min(max(px, SMALL_PX), LARGE_PX), near)

    def first(self, near: tuple[float, float]) -> Box | None:
        """A core to look at before all others, and once more with its tile."""
        return self.grid.small_core(self.wanted, FIRST_PX, near)

    def looked_in(self, core: Box) -> np.ndarray:
        """The part of :attr:`looked_mm2` that lies in a core."""
        top, left = self.grid.corner
        rows = slice((core.top - top) // CELL, -((top - core.bottom) // CELL))
        cols = slice((core.left - left) // CELL, -((left - core.right) // CELL))
        looked: np.ndarray = self.looked_mm2[rows, cols]
        return looked

    def counts(self, points: np.ndarray) -> Mask:
        """(N,) bool: which centroids (N, 2), level-0 centre coordinates, are to be kept."""
        overlay = self.tissue.overlay
        cells = (points + 0.5 - overlay.origin) / overlay.step
        rows, cols = np.clip(cells.astype(int), 0, np.array(overlay.data.shape) - 1).T
        kept: Mask = overlay.data[rows, cols] & inside(points, self.region, self.polygons)
        return kept

    def places(self, count: int) -> np.ndarray:
        """(n, 2): level-0 centre coordinates of cells of tissue all over the slide, at most count."""
        overlay = self.tissue.overlay
        cells = np.argwhere(overlay.data)
        chosen = np.unique(np.linspace(0, len(cells) - 1, count).astype(int))
        places: np.ndarray = overlay.origin + (cells[chosen] + 0.5) * overlay.step - 0.5
        return places


def label_grid(
    slide: Slide,
    segmenter: Segmenter,
    region: Region | None = None,
    *,
    polygons: Sequence[np.ndarray] | None = None,
) -> LabelGrid:
    """Lay the grid that ``segment`` fills, to make a layer before the first tile arrives.

    Raises
    ------
    UnknownScaleError
        If the slide does not say how many um a pixel measures.
    SlideFormatError
        If the slide is grey.
    NoTissueError
        If the region does not touch the slide.
    """
    mpp = stained_mpp(slide)
    asked = asked_for(region, polygons)
    if asked is not None:
        asked = asked.clip(slide.shape)
        if asked.empty:
            height, width = slide.shape
            msg = (
                f"this region lies beyond {slide.name}, which has {width} x {height} px; "
                "choose another region"
            )
            raise NoTissueError(msg)
    reach = round(REACH_UM / segmenter.mpp)
    return LabelGrid.over(slide.shape, mpp, segmenter.mpp, asked, reach=reach)


def make_plan(
    slide: Slide,
    grid: LabelGrid,
    region: Region | None = None,
    polygons: Sequence[np.ndarray] | None = None,
) -> SearchPlan:
    """Find the tissue and choose where to look.

    Raises
    ------
    NoTissueError
        If there is no tissue on the slide or in the region.
    """
    assert slide.mpp is not None
    tissue = tissue_or_field(slide, whole_tissue(slide))
    if not tissue.overlay.data.any():
        raise no_tissue(slide, in_region=False)
    covered = grid.covered(region, polygons)
    cell_mm2 = CELL * CELL * grid.pixel_um2(slide.mpp) * 1e-6
    share = tissue.coverage(grid.origin, grid.cell_step, grid.cells)
    looked = covered * share * cell_mm2
    if not looked.any():
        raise no_tissue(slide, in_region=True)
    rim = _with_rim(tissue)
    wanted = rim.coverage(grid.origin, grid.cell_step, grid.cells) > 0
    wanted &= ndimage.binary_dilation(covered > 0, np.ones((3, 3)))
    return SearchPlan(grid, slide.mpp, rim, wanted, looked, region, polygons)


def _with_rim(tissue: TissueMask) -> TissueMask:
    """The tissue and a cell more: a nucleus at its rim is no dirt."""
    grown = ndimage.binary_dilation(tissue.overlay.data, np.ones((3, 3)))
    return replace(tissue, overlay=replace(tissue.overlay, data=grown))
