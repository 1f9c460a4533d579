"""The table that shows a virtual stain before the generator has painted it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pathogan.tasks.virtual_stain.student import distil


def tiles(n, seed=0, side=96):
    rng = np.random.default_rng(seed)
    return [
        np.clip(rng.normal((180, 110, 170), (35, 40, 25), (side, side, 3)), 0, 255).astype(np.uint8)
        for _ in range(n)
    ]


def test_a_student_of_what_looks_at_single_pixels_is_that():
    before = tiles(4)
    lut, error = distil(before, [tile[..., [2, 0, 1]] for tile in before])
    fresh = tiles(1, seed=7)[0]
    off = np.abs(lut(fresh).astype(int) - fresh[..., [2, 0, 1]])
    assert np.median(off) <= 3
    assert error < 3


def test_its_error_is_measured_on_tiles_it_was_not_taught_on():
    before = tiles(8)
    painted = [np.full_like(tile, 40) for tile in before]
    painted[3], painted[7] = np.full_like(before[3], 220), np.full_like(before[7], 220)
    _lut, error = distil(before, painted)
    assert error > 50  # of the held tiles, whose colours nobody told it


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_tiles_will_do(count):
    before = tiles(count)
    lut, error = distil(before, before)
    assert error < 5
    assert lut(before[0]).shape == before[0].shape
