"""What lies in an outline drawn on a slide, and the rectangle around it."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import points_in_poly

from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.polygons import asked_for, contains, inside, rectangle_around

SQUARE = np.array([[10, 20], [10, 40], [30, 40], [30, 20]])
places = st.tuples(st.integers(0, 40), st.integers(0, 40))


@given(st.lists(places, min_size=3, max_size=7, unique=True))
def test_inside_is_the_even_odd_rule(corners):
    points = np.random.default_rng(0).uniform(-2, 42, (200, 2))
    expected = points_in_poly(points, corners)
    np.testing.assert_array_equal(inside(points, None, [np.array(corners)]), expected)


@pytest.mark.parametrize(
    ("region", "polygons", "held"),
    [
        (None, None, [True, True, True, True]),
        (None, [SQUARE], [True, False, True, False]),
        (None, [SQUARE, SQUARE + 50], [True, False, True, True]),
        (Region(0, 0, 20, 100), None, [True, True, False, False]),
        (Region(0, 0, 20, 100), [SQUARE], [True, False, False, False]),
    ],
)
def test_points_lie_in_the_region_and_in_any_polygon(region, polygons, held):
    points = np.array([[15, 30], [15, 45], [25, 30], [70, 80]])
    assert inside(points, region, polygons).tolist() == held


def test_a_region_is_counted_in_edges_and_points_in_centres():
    points = np.array([[-0.5, 0], [0, 0], [9.49, 0], [9.5, 0]])
    assert inside(points, Region(0, 0, 10, 10), None).tolist() == [True, True, True, False]


def test_the_rectangle_around_polygons_has_whole_pixels():
    assert rectangle_around([SQUARE]) == Region(10, 20, 21, 21)
    assert rectangle_around([SQUARE, SQUARE - 5.2]) == Region(5, 15, 26, 26)
    assert asked_for(None, [SQUARE]) == Region(10, 20, 21, 21)
    assert asked_for(Region(1, 2, 3, 4), [SQUARE]) == Region(1, 2, 3, 4)
    assert asked_for(None, None) is None


@given(st.lists(places, min_size=3, max_size=6, unique=True))
def test_a_point_on_a_shared_edge_lies_in_one_outline_whatever_way_they_run(corners):
    points = np.argwhere(np.ones((41, 41), bool)).astype(float)
    around = np.array([[-1, -1], [-1, 41], [41, 41], [41, -1]])
    one = np.array(corners)
    held = inside(points, None, [one])
    np.testing.assert_array_equal(held, inside(points, None, [one[::-1]]))
    rest = contains(points, [shapely.Polygon(around[:, ::-1], [one[:, ::-1]])])
    np.testing.assert_array_equal(rest, ~held)
