"""Into which tiles a slide is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from slides_of_nuclei import DarkIsNucleus, paint, slide

from napari_pathogan.tasks.nuclei import plan
from napari_pathogan.tasks.nuclei.grid import CELL, LabelGrid
from napari_pathogan.tasks.nuclei.predict import label_grid

if TYPE_CHECKING:
    from napari_pathogan.tasks.nuclei.grid import Box


def cut(shape: tuple[int, int], side: int) -> list[Box]:
    grid = LabelGrid.over(shape, (0.25, 0.25), 0.25)
    return grid.cores(np.ones(grid.cells, bool), side, (0, 0))


@pytest.mark.parametrize("shape", [(2402, 3206), (64, 64), (1, 5000), (1537, 1536)])
def test_tiles_cover_each_pixel_once_and_none_is_a_sliver(shape):
    tiles = cut(shape, 1408)
    seen = np.zeros(shape, np.uint8)
    for top, left, bottom, right in tiles:
        seen[top:bottom, left:right] += 1
    assert (seen == 1).all()
    heights, widths = zip(*(tile.shape for tile in tiles), strict=True)
    for lengths, side in ((heights, shape[0]), (widths, shape[1])):
        assert max(lengths) <= 1408
        parts = -(-side // max(lengths))
        assert max(lengths) - min(lengths) <= parts * CELL


def test_the_nearest_tile_comes_first():
    grid = LabelGrid.over((3000, 3000), (0.25, 0.25), 0.25)
    first = grid.cores(np.ones(grid.cells, bool), 768, (2900, 100))[0]
    assert first.bottom == 3000
    assert first.left == 0


@pytest.mark.parametrize(("workers", "tiles"), [(1, 4), (2, 6), (4, 9), (64, 9)])
def test_more_cores_have_smaller_tiles_but_not_too_small_ones(workers, tiles):
    image = slide(paint((1000, 1100), 900, radius=(4, 7)), 0.5)
    made = plan.make_plan(image, label_grid(image, DarkIsNucleus()))
    cores = made.cores((0, 0), workers)
    assert len(cores) == tiles
    assert all(max(core.shape) <= plan.LARGE_PX for core in cores)
