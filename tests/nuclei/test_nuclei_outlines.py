"""Outlines along the edges of pixels: closed, exact, each nucleus by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.draw import polygon2mask

from napari_pathogan.slides.polygons import signed_area
from napari_pathogan.tasks.nuclei.export import geometries
from napari_pathogan.tasks.nuclei.outlines import NucleusOutline, trace


def drawn(outline: NucleusOutline, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose middle lies inside."""
    held = np.zeros(shape, int)
    for ring in outline.exteriors:
        held += polygon2mask(shape, ring - 0.5)
    for ring in outline.holes:
        held -= polygon2mask(shape, ring - 0.5)
    assert set(np.unique(held)) <= {0, 1}
    return held.astype(bool)


@settings(deadline=None, max_examples=80)
@given(
    arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))
)
def test_outlines_enclose_exactly_the_pixels(labels):
    outlines = list(trace(labels))
    assert [o.id for o in outlines] == [i for i in np.unique(labels) if i]
    for outline in outlines:
        mask = labels == outline.id
        np.testing.assert_array_equal(drawn(outline, labels.shape), mask)
        assert len(outline.exteriors) == ndimage.label(mask)[1]
        assert all(signed_area(ring) > 0 for ring in outline.exteriors)
        assert all(signed_area(ring) < 0 for ring in outline.holes)
        area = sum(signed_area(ring) for ring in (*outline.exteriors, *outline.holes))
        assert area == mask.sum()
        corners = np.concatenate([*outline.exteriors, *outline.holes])
        assert outline.simple or len(np.unique(corners, axis=0)) < len(corners)
        made, checked = geometries([outline]), geometries([replace(outline, simple=False)])
        assert made == checked  # what is known to be valid is valid


def test_corners_alone_clockwise():
    labels = np.zeros((6, 8), np.int32)
    labels[1:4, 2:7] = 5
    (outline,) = trace(labels)
    assert outline.exteriors[0].tolist() in [
        np.roll([[1, 2], [1, 7], [4, 7], [4, 2]], shift, 0).tolist() for shift in range(4)
    ]


def test_only_some():
    labels = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert [o.id for o in trace(labels, np.array([3, 7]))] == [3, 7]
    assert list(trace(np.zeros((3, 3), np.int32))) == []


def test_placed():
    (outline,) = trace(np.ones((1, 1), np.int32), origin=(10.5, 20.5), step=(0.5, 0.25))
    (own,) = outline.exteriors
    assert own.min(0) == pytest.approx((10.5, 20.5))
    assert own.max(0) == pytest.approx((11.0, 20.75))
