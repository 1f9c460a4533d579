"""Areas, outlines and places of a heat map, against what can be counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.draw import polygon2mask

from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.tasks.idc.heatmap import HeatMap


def heat_map(
    probability: np.ndarray,
    uncertainty: np.ndarray | float = 0.1,
    tissue: np.ndarray | float = 1.0,
    *,
    origin: tuple[float, float] = (0.0, 0.0),
    step: tuple[float, float] = (50.0, 50.0),
) -> HeatMap:
    probability = np.asarray(probability, np.float32)
    full = [np.broadcast_to(np.float32(x), probability.shape) for x in (uncertainty, tissue)]
    layers = [Overlay(np.array(x), origin, step) for x in (probability, *full)]
    return HeatMap(*layers, mpp=(4.0, 4.0), threshold=0.5, slide="phantom", model="dark")


ROWS = np.array([[0.9, 0.6, np.nan], [0.4, 0.1, 0.55]])


def test_area_counts_the_tissue_of_cells():
    found = heat_map(ROWS, tissue=np.array([[1, 0.5, 1], [1, 1, 0.25]])).area()
    cell = 0.04  # mm2
    assert found.idc_mm2.value == pytest.approx(1.75 * cell)
    assert found.tissue_mm2 == pytest.approx(3.75 * cell)
    assert found.share.value == pytest.approx(1.75 / 3.75)
    assert (found.n_cells, found.threshold) == (5, 0.5)


def test_interval_is_the_sum_of_probabilities_that_err_together():
    found = heat_map(ROWS, 0.1).area()
    assert found.share.value == pytest.approx(3 / 5)
    low, high = ROWS - 0.196, ROWS + 0.196
    assert found.share.low == pytest.approx(np.nansum(np.clip(low, 0, 1)) / 5, rel=1e-4)
    assert found.share.high == pytest.approx(np.nansum(np.clip(high, 0, 1)) / 5, rel=1e-4)
    assert found.idc_mm2.low == pytest.approx(found.share.low * 0.2)
    # it does not move with the threshold, but holds the area there
    strict = heat_map(ROWS, 0.1).area(0.95)
    assert (strict.share.low, strict.share.high) == (0, found.share.high)


def test_threshold_is_inclusive_and_can_be_changed():
    found = heat_map([[0.5, 0.25]])
    assert found.area().idc_mm2.value == pytest.approx(0.04)
    assert found.with_threshold(0.25).area().share.value == 1
    assert found.area(0.75).share.value == 0
    assert found.threshold == 0.5


def test_words():
    assert str(heat_map(ROWS).area()) == "IDC 0.12 mm², 60 % of the tissue (33 to 69)"
    assert str(heat_map(np.full((30, 30), 0.9)).area()).startswith("IDC 36.0 mm², 100 %")


def test_at_follows_the_half_pixel_rule():
    found = heat_map(ROWS, origin=(10.0, 20.0), step=(50.0, 40.0))
    assert found.at(9.5, 19.5) == pytest.approx((0.9, 0.1))  # the very corner of cell 0, 0
    assert found.at(9.4, 19.5) is None
    assert found.at(59.4, 59.6) == pytest.approx((0.6, 0.1))
    assert found.at(30, 110) is None  # not scored


def test_outline_of_one_cell_is_its_four_corners():
    (outline,) = heat_map([[0.1, 0.1], [0.1, 0.9]], origin=(5.0, 0.0)).outlines()
    assert outline.holes == ()
    corners = {(54.5, 49.5), (54.5, 99.5), (104.5, 99.5), (104.5, 49.5)}
    assert {tuple(corner) for corner in outline.exterior.tolist()} == corners
    assert outline.idc_mm2 == pytest.approx(0.04)
    assert outline.probability == pytest.approx(0.9)


def test_outlines_have_holes_and_keep_cells_apart_that_touch_at_a_corner():
    ring = np.full((5, 7), 0.1)
    ring[1:4, 1:4] = 0.9
    ring[2, 2] = np.nan
    ring[4, 4] = 0.8
    first, second = heat_map(ring).outlines()
    assert (first.n_cells, second.n_cells) == (8, 1)
    assert len(first.exterior) == 4
    (hole,) = first.holes
    assert hole.min() == pytest.approx(99.5)
    assert hole.max() == pytest.approx(149.5)
    assert second.holes == ()


@settings(deadline=None, max_examples=60)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_enclose_exactly_the_cells(mask):
    outlines = heat_map(np.where(mask, 0.9, 0.1), step=(4.0, 4.0)).outlines()
    assert len(outlines) == ndimage.label(mask)[1]
    assert sum(o.n_cells for o in outlines) == mask.sum()
    shape = (mask.shape[0] * 4, mask.shape[1] * 4)
    drawn = np.zeros(shape, bool)
    for outline in outlines:
        inside = polygon2mask(shape, outline.exterior)
        for hole in outline.holes:
            inside &= ~polygon2mask(shape, hole)
        assert not (drawn & inside).any()
        drawn |= inside
    np.testing.assert_array_equal(drawn, np.kron(mask, np.ones((4, 4), bool)))


def test_no_idc_no_outline():
    assert heat_map([[0.1, np.nan]]).outlines() == []


def test_most_uncertain_places_are_apart():
    spread = np.full((12, 12), 0.05)
    spread[2, 2], spread[2, 3], spread[9, 9] = 0.3, 0.29, 0.2
    found = heat_map(np.full((12, 12), 0.5), spread)
    first, second = found.most_uncertain(2, around=1)
    assert first == Region(50, 50, 150, 150)
    assert second == Region(400, 400, 150, 150)
    assert len(heat_map([[0.5, np.nan]]).most_uncertain(5)) == 1


def test_where_to_look_next_is_where_an_annotation_says_most_else_the_least_sure():
    found = heat_map(np.full((12, 12), 0.5), np.full((12, 12), 0.05))
    assert found.next_places(1) == found.most_uncertain(1)
    told = replace(found, telling=((9, 9), (2, 2)))
    assert told.next_places(1, around=1) == [Region(400, 400, 150, 150)]
    assert len(told.next_places(5)) == 2


def test_cells_and_summary():
    found = replace(heat_map(ROWS), region=Region(0, 1, 2, 3), notes=("a note",))
    cells = list(found.cells())
    assert len(cells) == 5
    assert cells[0] == pytest.approx(
        {"row": 0, "col": 0, "x_um": 100, "y_um": 100, "probability": 0.9}
        | {"uncertainty": 0.1, "tissue": 1.0}
    )
    summary = json.loads(json.dumps(found.summary(), allow_nan=False))
    assert summary["region"] == [0, 1, 2, 3]
    assert summary["cell_um"] == [200, 200]
    assert summary["notes"] == ["a note"]
    assert set(summary["idc_mm2"]) == {"value", "low", "high"}
