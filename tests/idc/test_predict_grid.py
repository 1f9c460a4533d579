"""Where the cells of a heat map are, and that reading in blocks gives the same patches."""

from __future__ import annotations

import numpy as np
import pytest
from stand_ins import paint, slide

from napari_pathogan.engine.cells import Block, CellGrid
from napari_pathogan.errors import ModelError
from napari_pathogan.slides.geometry import Region

MPP = (0.2527, 0.2531)


def grid(step_um: float | None = None, shape: tuple[int, int] = (40_000, 50_000)) -> CellGrid:
    return CellGrid.over(shape, MPP, patch_px=50, mpp=4.0, step_um=step_um)


def test_cells_measure_200_um_and_cover_the_slide():
    cells = grid()
    assert np.multiply(cells.step, MPP) == pytest.approx((200, 200))
    assert cells.origin == (0, 0)
    assert np.all(np.multiply(cells.shape, cells.step) >= (40_000, 50_000))
    assert np.all((np.array(cells.shape) - 1) * cells.step < (40_000, 50_000))


@pytest.mark.parametrize(("step_um", "phases"), [(200, 1), (100, 2), (40, 5)])
def test_a_cell_lies_in_the_middle_of_its_patch(step_um, phases):
    cells = grid(step_um)
    assert cells.phases == phases
    block = Block(np.array([[3, 7]]))
    corner, size = cells.place(block)
    middle = np.add(corner, np.multiply(size, cells.downsample) / 2)
    overlay = cells.overlay()
    assert overlay.cell(*(middle - 0.5)) == (3, 7)
    lower = np.add(cells.origin, np.multiply((3, 7), cells.step))
    np.testing.assert_allclose(lower + np.divide(cells.step, 2), middle)
    assert len(list(cells.phase_slices())) == phases**2


@pytest.mark.parametrize("step_um", [70, 0.1, 400, 50])
def test_a_step_must_divide_the_patch(step_um):
    with pytest.raises(ModelError, match="200, 100, 40"):
        grid(step_um)


def test_blocks_hold_every_cell_once_nearest_first():
    cells = grid(shape=(9_000, 12_000))
    chosen = np.random.default_rng(0).random(cells.shape) < 0.5
    blocks = cells.blocks(chosen, 4, (4500.0, 11_000.0))
    found = np.concatenate([block.cells for block in blocks])
    assert sorted(map(tuple, found)) == sorted(map(tuple, np.argwhere(chosen)))
    assert all(max(block.shape) <= 4 for block in blocks)
    first = np.multiply(blocks[0].cells.mean(0) + 0.5, cells.step)
    assert np.hypot(*(first - (4500, 11_000))) < 4 * cells.step[0]
    assert cells.blocks(np.zeros(cells.shape, bool), 4, (0.0, 0.0)) == []


@pytest.mark.parametrize("step_um", [200, 100])
def test_patches_of_a_block_are_those_read_one_by_one(step_um):
    opened = slide(paint((700, 900), (50, 50, 600, 800), (100, 100, 300, 300)), 1.9)
    cells = CellGrid.over(opened.shape, (1.9, 1.9), patch_px=50, mpp=4.0, step_um=step_um)
    block = Block(np.array([[1, 1], [1, 3], [3, 2]]))
    origin, size = cells.place(block)
    patches = cells.cut(block, opened.resampled(origin, cells.downsample, size))
    assert patches.shape == (3, 50, 50, 3)
    assert patches.flags.c_contiguous
    for patch, place in zip(patches, block.cells, strict=True):
        one = np.multiply(place, cells.step)
        alone = opened.resampled(tuple(one), cells.downsample, (50, 50))
        # positions are floats: a rounding either way is one grey level at most
        assert np.abs(patch.astype(int) - alone).max() <= 1


def test_a_region_takes_cells_by_their_centres():
    cells = CellGrid.over((1000, 1000), (4.0, 4.0), patch_px=50, mpp=4.0)
    inside = cells.inside(Region(20, 0, 110, 1000))
    assert np.flatnonzero(inside.any(1)).tolist() == [0, 1, 2]  # centres 25, 75, 125
    assert cells.inside(None).all()
