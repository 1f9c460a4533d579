"""Figures on worked examples, on identity, and against scikit-learn and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score, recall_score

from napari_pathogan.tasks.nuclei.metrics import (
    Instances,
    instance_table,
    match,
    pixel_counts,
    pixel_table,
)

ONE = np.ones(1)


def squares(*places, side=20):
    """Label image with squares (y, x, size), numbered from 1."""
    out = np.zeros((side, side), np.int32)
    for number, (y, x, size) in enumerate(places, 1):
        out[y : y + size, x : x + size] = number
    return out


@pytest.fixture
def masks():
    rng = np.random.default_rng(0)
    return rng.random((3, 30, 20)) < 0.3, rng.random((3, 30, 20)) < 0.4


def test_pixel_figures_are_scikit_learns(masks):
    truth, found = masks
    known = np.ones((30, 20), bool)
    counts = np.stack([pixel_counts(t, f, known) for t, f in zip(truth, found, strict=True)])
    table = pixel_table(counts, np.ones(3))
    t, f = truth.ravel(), found.ravel()
    expected = {
        "sensitivity": recall_score,
        "specificity": lambda a, b: recall_score(~a, ~b),
        "dice": f1_score,
        "jaccard": jaccard_score,
    }
    for name, function in expected.items():
        assert table[name] == pytest.approx(function(t, f))
        each = [function(a.ravel(), b.ravel()) for a, b in zip(truth, found, strict=True)]
        assert table[f"{name}_mean"] == pytest.approx(np.mean(each))


def test_weights_count_images(masks):
    truth, found = masks
    known = np.ones((30, 20), bool)
    counts = np.stack([pixel_counts(t, f, known) for t, f in zip(truth, found, strict=True)])
    twice = pixel_table(counts[[0, 0, 2]], np.ones(3))
    assert pixel_table(counts, np.array([2.0, 0, 1])) == pytest.approx(twice)


def test_unknown_pixels_do_not_count():
    truth, found = np.array([[True, False]]), np.array([[True, True]])
    assert pixel_counts(truth, found, np.array([[True, False]])).tolist() == [1, 0, 0, 0]
    assert pixel_counts(truth, found, np.array([[True, True]])).tolist() == [1, 1, 0, 0]


def test_an_image_without_nuclei_has_no_dice_unless_some_are_found():
    counts = np.array([[0, 0, 0, 10], [4, 0, 0, 6]])
    assert pixel_table(counts, np.ones(2))["dice_mean"] == 1
    counts[0] = [0, 2, 0, 8]
    table = pixel_table(counts, np.ones(2))
    assert table["dice_mean"] == 0.5
    assert table["sensitivity_mean"] == 1
    assert pixel_table(counts[:1] * 0, ONE)["dice"] is None


def test_identity_is_perfect():
    truth = squares((1, 1, 5), (8, 8, 4), (14, 2, 3))
    table = instance_table([match(truth, truth)], ONE)
    assert table == dict.fromkeys(table, 1.0)
    renumbered = np.where(truth > 0, 70_000 - 3 * truth, 0)  # beyond 16 bit, and not in a row
    assert match(truth, renumbered) == match(truth, truth)


def test_worked_example():
    """One match (IoU 20/25), one true nucleus cut in two, one found where there is none."""
    truth = squares((0, 0, 5), (10, 10, 6))
    found = np.zeros_like(truth)
    found[0:4, 0:5] = 4  # 20 of the 25 pixels
    found[10:13, 10:16] = 7  # 18 of 36: exactly half is no match
    found[13:16, 10:16] = 9
    found[0:2, 18:20] = 11
    got = match(truth, found)
    assert got == Instances(20 + 18, 25 + 36 + 18 + 4, pytest.approx(0.8), 1, 3, 1)
    table = instance_table([got], ONE)
    assert table["aji"] == pytest.approx(38 / 83)
    assert table["dq"] == table["f1"] == pytest.approx(1 / 3)
    assert table["sq"] == pytest.approx(0.8)
    assert table["pq"] == pytest.approx(0.8 / 3)


def test_against_brute_force():
    rng = np.random.default_rng(3)
    truth = squares(
        *[(y, x, rng.integers(3, 8)) for y in (0, 10, 20) for x in (0, 10, 20)], side=30
    )
    found = np.roll(truth, (1, 2), (0, 1))
    found[found == 5] = 0
    t_ids, f_ids = np.unique(truth)[1:], np.unique(found)[1:]
    iou = np.array(
        [[((truth == t) & (found == f)).sum() / ((truth == t) | (found == f)).sum() for f in f_ids]
         for t in t_ids]
    )  # fmt: skip
    best = iou.argmax(1)
    hit = iou.max(1) > 0
    shared = sum(
        ((truth == t) & (found == f_ids[b])).sum()
        for t, b, h in zip(t_ids, best, hit, strict=True)
        if h
    )
    union = sum(
        ((truth == t) | ((found == f_ids[b]) & h)).sum()
        for t, b, h in zip(t_ids, best, hit, strict=True)
    )
    union += sum((found == f).sum() for i, f in enumerate(f_ids) if i not in best[hit])
    got = match(truth, found)
    assert (got.shared, got.union) == (shared, union)
    assert got.matched == (iou > 0.5).sum()
    assert got.iou == pytest.approx(iou[iou > 0.5].sum())
    assert got.missed == len(t_ids) - got.matched
    assert got.extra == len(f_ids) - got.matched


def test_nothing_there_and_nothing_found():
    empty = squares()
    table = instance_table([match(empty, empty)], ONE)
    assert set(table.values()) == {None}
    some = squares((2, 2, 4))
    assert instance_table([match(some, empty)], ONE)["pq"] == 0
    assert instance_table([match(empty, some)], ONE)["aji"] == 0
    both = instance_table([match(some, some), match(empty, some)], np.ones(2))
    assert both["pq"] == pytest.approx(1 / 1.5)
    assert both["pq_mean"] == 0.5
