"""FROC against brute force, by hand, and its staircase."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathogan.tasks.masses.froc import Froc, judge, overlaps

SQUARE = np.array([[0, 0, 10, 10]], float)
NONE = np.zeros((0, 4))


def iou(a, b):
    """Written out, one pair of boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def count(boxes, scores, masses, threshold):
    """Masses found and false positives of one image at one threshold, begun anew."""
    taken, wrong = set(), 0
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    for i in (i for i in order if scores[i] >= threshold):
        free = [(iou(boxes[i], mass), -j) for j, mass in enumerate(masses) if j not in taken]
        best = max(free, default=(0, 0))
        if best[0] > 0.5:
            taken.add(-best[1])
        else:
            wrong += 1
    return len(taken), wrong


def curve_of(found, truth, **options):
    return judge(found, truth, **options).curve()


corner = st.integers(0, 8)
boxes = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), corner, corner, *[st.integers(1, 6)] * 2)
scored = st.lists(st.tuples(boxes, st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), max_size=8)
images = st.lists(st.tuples(scored, st.lists(boxes, max_size=3)), min_size=1, max_size=5)


def arrays(drawn):
    found = [
        (np.array([b for b, _ in one], float).reshape(-1, 4), np.array([s for _, s in one]))
        for one, _ in drawn
    ]
    return found, [np.array(masses, float).reshape(-1, 4) for _, masses in drawn]


@settings(max_examples=80, deadline=None)
@given(images)
def test_the_curve_is_that_of_brute_force(drawn):
    found, truth = arrays(drawn)
    curve = curve_of(found, truth)
    thresholds = sorted({float(s) for _, scores in found for s in scores}, reverse=True)
    assert curve.thresholds.tolist() == thresholds
    masses = sum(map(len, truth))
    for k, threshold in enumerate(thresholds):
        each = [count(*f, t, threshold) for f, t in zip(found, truth, strict=True)]
        hits, wrong = (sum(column) for column in zip(*each, strict=True))
        assert curve.fppi[k] == pytest.approx(wrong / len(drawn))
        if masses:
            assert curve.tpr[k] == pytest.approx(hits / masses)
            assert curve.at(threshold) == (curve.tpr[k], curve.fppi[k])
        else:
            assert np.isnan(curve.tpr[k])


@settings(max_examples=30, deadline=None)
@given(images, st.integers(0, 3))
def test_an_image_that_counts_twice_is_as_good_as_two(drawn, times):
    found, truth = arrays(drawn)
    weights = np.ones(len(drawn))
    weights[0] = times
    weighed = judge(found, truth).curve(weights) if weights.any() else None
    again = [0] * times + list(range(1, len(drawn)))
    if not again:
        return
    plain = curve_of([found[i] for i in again], [truth[i] for i in again])
    for fppi in (0, 0.25, 0.5, 1, 2, 4):
        if sum(len(truth[i]) for i in again):
            assert weighed.tpr_at(fppi) == pytest.approx(plain.tpr_at(fppi))


@settings(max_examples=30, deadline=None)
@given(st.lists(boxes, min_size=1, max_size=5), st.lists(boxes, min_size=1, max_size=5))
def test_overlaps_are_those_of_each_pair(first, second):
    got = overlaps(np.array(first, float), np.array(second, float))
    assert got == pytest.approx(np.array([[iou(a, b) for b in second] for a in first]))


def test_what_counts():
    """Two images, one mass: a hit, its duplicate, and a box on the normal image."""
    twice = np.array([(0, 0, 10, 10), (0, 1, 10, 11)], float)
    found = [(twice, np.array([0.9, 0.8])), (SQUARE, np.array([0.7]))]
    curve = curve_of(found, [SQUARE, NONE])
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.7]
    assert curve.tpr.tolist() == [1, 1, 1]
    assert curve.fppi.tolist() == [0, 0.5, 1]  # the lowest threshold is kept


def test_half_is_not_more_than_half():
    half = np.array([[0, 0, 10, 5]], float)
    assert curve_of([(half, np.array([1.0]))], [SQUARE]).tpr.tolist() == [0]
    assert curve_of([(half, np.array([1.0]))], [SQUARE], iou=0.49).tpr.tolist() == [1]


def test_a_box_takes_the_mass_that_it_overlaps_most():
    masses = np.array([[0, 0, 10, 10], [2, 0, 12, 10]], float)
    boxes_ = np.array([[2, 0, 12, 10], [0, 0, 10, 10]], float)
    curve = curve_of([(boxes_, np.array([0.9, 0.8]))], [masses])
    assert curve.tpr.tolist() == [0.5, 1]
    assert curve.fppi.tolist() == [0, 0]


def test_a_tie_is_above_or_below_together():
    far = SQUARE + 50
    found = [(np.concatenate([far, SQUARE]), np.array([0.5, 0.5]))]
    curve = curve_of(found, [SQUARE])
    assert (curve.tpr.tolist(), curve.fppi.tolist()) == ([1], [1])
    assert curve.tpr_at(0.5) == 0
    assert curve.threshold_at(0.5) == np.inf


def test_the_staircase_between_its_points_and_beyond():
    curve = Froc(np.array([0, 0.5, 2.0]), np.array([0.3, 0.6, 0.9]), np.array([0.9, 0.5, 0.1]))
    assert [curve.tpr_at(f) for f in (0, 0.49, 0.5, 1.9, 2, 50)] == [0.3, 0.3, 0.6, 0.6, 0.9, 0.9]
    assert [curve.threshold_at(f) for f in (0, 0.6, 9)] == [0.9, 0.5, 0.1]
    assert curve.at(0.95) == (0, 0)
    assert curve.at(0.5) == (0.6, 0.5)
    assert curve.at(0.3) == (0.6, 0.5)
    assert curve.at(0.0) == (0.9, 2)


def test_nothing_found_at_all():
    curve = curve_of([(NONE, np.zeros(0))] * 3, [SQUARE, NONE, NONE])
    assert len(curve.tpr) == 0
    assert curve.tpr_at(1) == 0
    assert curve.at(0.1) == (0, 0)
    assert curve.threshold_at(1) == np.inf
    assert len(curve.thinned().tpr) == 0


def test_thinned_curves_keep_every_rise():
    rng = np.random.default_rng(0)
    hits = np.sort(rng.random(5000) < 0.02).cumsum()
    full = Froc(np.linspace(0, 40, 5000), hits / hits[-1], np.linspace(1, 0, 5000))
    thin = Froc.from_json(full.thinned(50).to_json())
    assert len(thin.tpr) <= 50 + hits[-1]
    assert thin.fppi[-1] == 40
    for fppi in (0.25, 0.5, 1, 4, 20, 39):
        assert thin.tpr_at(fppi) == full.tpr_at(fppi)


def test_scores_that_are_no_numbers():
    with pytest.raises(ValueError, match="no finite number"):
        curve_of([(SQUARE, np.array([np.nan]))], [SQUARE])
    with pytest.raises(ValueError, match="longer than argument 1"):
        curve_of([(SQUARE, np.array([1.0]))], [SQUARE, SQUARE])
