"""Measurements of nuclei, against scikit-image and what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import ConvexHull, QhullError
from skimage.color import rgb2hed
from skimage.measure import regionprops

from napari_pathogan.tasks.nuclei.features import haematoxylin, measure

PIXEL = 0.0625


def in_hull(points: np.ndarray) -> int:
    """Lattice points in the convex hull, by trying each."""
    low, high = points.min(0), points.max(0)
    lattice = np.stack(np.mgrid[low[0] : high[0] + 1, low[1] : high[1] + 1], -1).reshape(-1, 2)
    try:
        planes = ConvexHull(points).equations
    except (QhullError, ValueError):  # all on one line
        return int(np.gcd(*(high - low))) + 1
    return int((lattice @ planes[:, :2].T + planes[:, 2] < 1e-9).all(1).sum())


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.int32, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 4))
)
def test_shapes_are_those_of_scikit_image(labels):
    image = np.random.default_rng(0).integers(0, 256, (*labels.shape, 3), np.uint8)
    found = measure(labels, image, PIXEL).set_index("id")
    theirs = regionprops(labels)
    assert list(found.index) == [one.label for one in theirs]
    for one in theirs:
        own = found.loc[one.label]
        assert (own["y"], own["x"]) == pytest.approx(one.centroid)
        assert tuple(own[["top", "left", "bottom", "right"]]) == one.bbox
        assert own["area_um2"] == one.area * PIXEL
        assert own["eccentricity"] == pytest.approx(one.eccentricity, abs=1e-6)
        assert own["solidity"] == pytest.approx(one.area / in_hull(one.coords))
        assert 0 < own["solidity"] <= 1


def test_shapes_that_are_known():
    labels = np.zeros((20, 40), np.int32)
    labels[2:12, 3:13] = 1  # a square
    labels[5, 20:30] = 2  # a line
    labels[15, 15] = 3  # a pixel
    labels[10:18, 30:32] = labels[16:18, 30:38] = (
        4  # an L: 8 x 8 less 6 x 6, half of it in the hull
    )
    found = measure(labels, np.zeros((20, 40, 3), np.uint8), 2.0).set_index("id")
    assert found["area_um2"].tolist() == [200, 20, 2, 56]
    assert found["solidity"].tolist()[:3] == [1, 1, 1]
    assert found.loc[4, "solidity"] == pytest.approx(28 / (28 + 15))
    assert found["eccentricity"].tolist()[:3] == [0, 1, 0]


def test_haematoxylin_is_an_optical_density():
    assert haematoxylin(np.array([255, 255, 255], np.uint8)) == 0
    stain = np.array([0.65, 0.70, 0.29])  # Ruifrok and Johnston's vector
    for density in (0.3, 0.8):
        pixel = np.rint(256 * 10 ** (-density * stain) - 1).astype(np.uint8)
        assert haematoxylin(pixel) == pytest.approx(density, abs=0.02)
    eosin = np.rint(256 * 10 ** (-0.8 * np.array([0.07, 0.99, 0.11])) - 1).astype(np.uint8)
    assert haematoxylin(eosin) == pytest.approx(0, abs=0.02)


def test_haematoxylin_follows_scikit_image():
    """Theirs is in units of log(1e-6), and takes white for 1."""
    pixels = np.random.default_rng(1).integers(1, 256, (30, 30, 3), np.uint8)
    theirs = rgb2hed(pixels)[..., 0] * -np.log10(1e-6)
    bright = (pixels > 60).all(2)  # far from black, the offset of a grey level hardly counts
    np.testing.assert_allclose(haematoxylin(pixels)[bright], theirs[bright], atol=0.02)


def test_the_mean_is_over_the_nucleus_alone():
    labels = np.zeros((10, 10), np.int32)
    labels[2:5, 2:5], labels[6:9, 6:9] = 1, 7
    image = np.full((10, 10, 3), 255, np.uint8)
    image[2:5, 2:5] = (90, 60, 140)
    found = measure(labels, image, PIXEL)
    assert found["id"].tolist() == [1, 7]
    assert found["haematoxylin_mean"].tolist() == pytest.approx(
        [float(haematoxylin(np.array([90, 60, 140], np.uint8))), 0]
    )


def test_no_nucleus_no_row():
    found = measure(np.zeros((5, 5), np.int32), np.zeros((5, 5, 3), np.uint8), PIXEL)
    assert len(found) == 0
    assert list(found.columns) == list(
        measure(np.ones((2, 2), np.int32), np.zeros((2, 2, 3), np.uint8), PIXEL).columns
    )
