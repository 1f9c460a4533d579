"""Metrics against scikit-learn; calibration and context against what must hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics as reference

from napari_pathogan.engine.folds import patient_resamples
from napari_pathogan.tasks.idc import calibrate, context
from napari_pathogan.tasks.idc.metrics import auc, mean_patient_auc, prevalence_weights, table

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 400).astype(float)
SCORES = (LABELS + RNG.normal(0, 1.2, 400)).round(1)  # rounded: with ties
WEIGHTS = RNG.integers(0, 4, 400).astype(float)
CALIBRATION = calibrate.Calibration(1.3, -0.4, 0.6, 0.4)


def test_auc_agrees_with_scikit_learn():
    assert auc(LABELS, SCORES) == pytest.approx(reference.roc_auc_score(LABELS, SCORES))
    expected = reference.roc_auc_score(LABELS, SCORES, sample_weight=WEIGHTS)
    assert auc(LABELS, SCORES, WEIGHTS) == pytest.approx(expected)
    assert auc(np.ones(5), SCORES[:5]) is None


def test_table_agrees_with_scikit_learn():
    probability = expit(SCORES - 0.5)
    called = probability >= 0.4
    got = table(LABELS, probability, called, WEIGHTS)
    kw = {"sample_weight": WEIGHTS}
    assert got["accuracy"] == pytest.approx(reference.accuracy_score(LABELS, called, **kw))
    assert got["balanced_accuracy"] == pytest.approx(
        reference.balanced_accuracy_score(LABELS, called, **kw)
    )
    assert got["precision"] == pytest.approx(reference.precision_score(LABELS, called, **kw))
    assert got["recall"] == pytest.approx(reference.recall_score(LABELS, called, **kw))
    assert got["specificity"] == pytest.approx(
        reference.recall_score(LABELS, called, pos_label=0, **kw)
    )
    assert got["f1"] == pytest.approx(reference.f1_score(LABELS, called, **kw))
    assert got["brier"] == pytest.approx(reference.brier_score_loss(LABELS, probability, **kw))


def test_calibration_error_by_hand():
    probability = np.array([0.05, 0.05, 0.95, 0.95])
    labels = np.array([0.0, 1.0, 1.0, 1.0])
    got = table(labels, probability, probability > 0.5, np.ones(4))["ece"]
    assert got == pytest.approx(0.5 * abs(0.5 - 0.05) + 0.5 * abs(1 - 0.95))


def test_one_class_leaves_figures_undefined():
    got = table(np.ones(3), np.ones(3), np.ones(3, bool), np.ones(3))
    assert got["specificity"] is None
    assert got["balanced_accuracy"] is None
    assert got["recall"] == 1


def test_prevalence_weights_make_the_prevalence():
    weights = prevalence_weights(LABELS, 0.284)
    assert np.average(LABELS, weights=weights) == pytest.approx(0.284)
    assert weights.sum() == pytest.approx(len(LABELS))


def test_patient_mean_leaves_out_patients_of_one_class():
    patients = np.repeat(["a", "b", "c"], [150, 150, 100])
    labels = np.where(patients == "c", 1, LABELS)
    expected = np.mean(
        [reference.roc_auc_score(labels[patients == p], SCORES[patients == p]) for p in "ab"]
    )
    assert mean_patient_auc(labels, SCORES, patients) == pytest.approx(expected)


def test_resamples_count_whole_patients():
    patients = np.repeat(["a", "b", "c"], [3, 5, 2])
    for counts in patient_resamples(patients, 20):
        assert sum(counts[patients == p][0] for p in "abc") == 3
        assert all(len(set(counts[patients == p])) == 1 for p in "abc")


def made_up_logits(n=4000, shift=0.0):
    rng = np.random.default_rng(1)
    true = rng.normal(-0.8, 1.6, n)
    labels = (rng.random(n) < expit(true)).astype(float)
    patients = rng.integers(0, 10, n).astype(str)
    return 2.5 * true + 1 + shift * np.unique(patients, return_inverse=True)[1], labels, patients


def test_platt_scaling_finds_the_odds():
    fitted = calibrate.fit(*made_up_logits())
    assert fitted.slope == pytest.approx(1 / 2.5, rel=0.08)
    assert fitted.intercept == pytest.approx(-1 / 2.5, abs=0.1)
    assert fitted.patient_sd < 0.2
    assert 0.2 < fitted.threshold < 0.6


def test_one_class_fits_nothing():
    assert (
        calibrate.fit(np.arange(3.0), np.ones(3), np.array(["a", "a", "b"])) == calibrate.UNFITTED
    )


def test_the_spread_between_patients_is_found():
    same, apart = calibrate.fit(*made_up_logits()), calibrate.fit(*made_up_logits(shift=0.8))
    assert apart.patient_sd > 3 * same.patient_sd


def test_probability_rises_with_the_logit_and_nan_stays_nan():
    probability, uncertainty = CALIBRATION.probability(
        np.array([[-9.0], [0], [0.5], [np.nan], [9]])
    )
    assert np.isnan(probability[3])
    assert np.isnan(uncertainty[3])
    assert np.all(np.diff(probability[[0, 1, 2, 4]]) > 0)
    assert uncertainty[0] < uncertainty[1] > uncertainty[4]
    assert probability.dtype == uncertainty.dtype == np.float32


def test_views_that_disagree_are_less_certain():
    agree = CALIBRATION.probability(np.array([1.0, 1.0]))
    differ = CALIBRATION.probability(np.array([3.0, -1.0]))
    assert agree[0] == differ[0]
    assert agree[1] < differ[1]


def test_calibration_survives_a_card():
    assert calibrate.Calibration.from_json(CALIBRATION.to_json()) == CALIBRATION
    near = context.Context((0, 2), (0.25, 0.75), CALIBRATION)
    assert context.Context.from_json(near.to_json()) == near


def test_smoothing_ignores_what_is_not_tissue():
    grid = np.full((9, 11), np.nan)
    grid[0:4, 0:5] = 4.0
    grid[8, 10] = -7
    smoothed = context.smooth(grid, 1.0)
    assert np.array_equal(np.isnan(smoothed), np.isnan(grid))
    np.testing.assert_allclose(smoothed[0:4, 0:5], 4.0)
    assert smoothed[8, 10] == pytest.approx(-7, abs=0.1)
    assert context.Context((0, 2.0, 4.0), (0.2, 0.4, 0.4), CALIBRATION).reach == 8


def test_smoothing_is_a_gaussian_mean_by_brute_force():
    grid = np.random.default_rng(0).normal(size=(12, 10))
    grid[3, 4] = grid[7, 7] = np.nan
    rows, columns = np.mgrid[:12, :10]
    got = context.smooth(grid, 1.5)
    for r, c in ((0, 0), (5, 5), (3, 5), (11, 9)):
        near = np.maximum(abs(rows - r), abs(columns - c)) <= int(2 * 1.5 + 0.5)
        weight = np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * 1.5**2)) * near
        there = ~np.isnan(grid)
        assert got[r, c] == pytest.approx((weight * grid)[there].sum() / weight[there].sum())


def test_each_slide_is_smoothed_on_its_own_grid(patches):
    near = context.Context((0, 1.0), (0.5, 0.5), CALIBRATION)
    logits = np.random.default_rng(0).normal(size=(len(patches), 2))
    together = context.on_grids(patches, logits, near)
    for name in patches.names:
        own = patches.patients == name
        alone = context.on_grids(patches.take(own), logits[own], near)
        np.testing.assert_allclose(together[own], alone)
    assert not np.allclose(together, logits)
