"""Regions and overlays: what must hold for any numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_pathogan.slides.geometry import Overlay, Region

SIDES = st.integers(1, 5000)
STEPS = st.floats(0.3, 40.0)


@given(
    st.tuples(st.integers(-500, 500), st.integers(-500, 500), SIDES, SIDES), st.tuples(SIDES, SIDES)
)
def test_clip_is_the_intersection(rectangle, shape):
    y, x, height, width = rectangle
    rows, cols = shape
    clipped = Region(*rectangle).clip(shape)
    ys = set(range(max(y, 0), min(y + height, rows)))
    assert clipped.height == len(ys)
    assert clipped.empty == (not ys or not (max(x, 0) < min(x + width, cols)))
    if not clipped.empty:
        assert (clipped.y, clipped.bottom - 1) == (min(ys), max(ys))
        assert clipped.clip(shape) == clipped


@given(
    st.tuples(st.floats(-50, 500), st.floats(-50, 500)),
    st.tuples(STEPS, STEPS),
    st.integers(0, 19),
    st.integers(0, 29),
)
def test_cell_undoes_affine(origin, step, row, col):
    overlay = Overlay(np.zeros((20, 30)), origin, step)
    scale, translate = overlay.affine()
    middle = row * scale[0] + translate[0], col * scale[1] + translate[1]
    assert overlay.cell(*middle) == (row, col)
    assert overlay.cell(translate[0] - scale[0], translate[1]) is None


@given(st.tuples(STEPS, STEPS), st.tuples(STEPS, STEPS))
def test_affine_in_um_is_affine_in_pixels_times_mpp(step, mpp):
    overlay = Overlay(np.zeros((2, 2)), (3.0, 4.0), step)
    pixels, um = overlay.affine(), overlay.affine(mpp)
    for axis in (0, 1):
        assert np.isclose(um[0][axis], pixels[0][axis] * mpp[axis])
        assert np.isclose(um[1][axis], pixels[1][axis] * mpp[axis])


def level(downsample):
    return Overlay(np.empty((0, 0)), (0.0, 0.0), downsample)


def test_half_pixel_rule():
    # the first pixel of a level 4 times coarser covers pixels 0 to 3: its middle is at 1.5
    assert level((4.0, 4.0)).affine() == ((4.0, 4.0), (1.5, 1.5))
    assert level((1.0, 1.0)).affine((0.25, 0.5)) == ((0.25, 0.5), (0.0, 0.0))
