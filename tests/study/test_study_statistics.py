"""The statistics against scipy, statsmodels, scikit-learn and worked examples from the literature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from statsmodels.stats import inter_rater
from statsmodels.stats.proportion import binom_tost, proportion_confint

from napari_pathogan.study import statistics as st
from napari_pathogan.study.detection import Z, auc, auc_interval, detection, roc
from napari_pathogan.study.plan import answers_for_width, plan

COUNTS = some.integers(1, 400).flatmap(lambda n: some.tuples(some.integers(0, n), some.just(n)))


# Newcombe 1998, Statistics in Medicine 17, 857-872, Table I: methods 3 (score) and 5 (exact)
@pytest.mark.parametrize(
    ("k", "n", "score", "exact"),
    [
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0000, 0.1611), (0.0000, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_intervals_of_proportions_as_published(k, n, score, exact):
    assert st.wilson(k, n) == pytest.approx(score, abs=5e-5)
    assert st.clopper_pearson(k, n) == pytest.approx(exact, abs=5e-5)


@given(COUNTS)
def test_intervals_of_proportions_as_in_statsmodels(counts):
    k, n = counts
    assert st.wilson(k, n) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-9)
    exact = proportion_confint(k, n, method="beta")
    assert st.clopper_pearson(k, n) == pytest.approx(exact, abs=1e-9)
    mirrored = st.wilson(n - k, n)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx(st.wilson(k, n), abs=1e-12)
    assert st.wilson(k, n).low <= k / n <= st.wilson(k, n).high


@given(COUNTS, some.floats(0.02, 0.45))
def test_equivalence_as_in_statsmodels(counts, margin):
    k, n = counts
    found = st.equivalence(k, n, margin)
    assert found.p == pytest.approx(binom_tost(k, n, 0.5 - margin, 0.5 + margin)[0], abs=1e-9)
    inside = 0.5 - margin < found.low and found.high < 0.5 + margin
    if abs(found.p - 0.05) > 1e-9:
        assert found.shown is inside


def test_not_significant_is_not_equivalent():
    # 55 of 100: not different from guessing, but not shown to be guessing either
    assert st.binomial_p(55, 100) == pytest.approx(0.3682, abs=5e-5)
    assert not st.equivalence(55, 100, 0.1).shown
    assert st.equivalence(550, 1000, 0.1).shown


def test_tests_against_chance():
    # Fisher's tea tasting lady: all eight cups right
    assert st.fisher_p([[4, 0], [0, 4]]) == pytest.approx(2 / 70)
    assert st.binomial_p(70, 100) == pytest.approx(7.85e-5, rel=1e-3)
    assert st.binomial_p(5, 10) == 1


# Fleiss 1971, Psychological Bulletin 76, 378-382, Table 1: 30 patients, 6 psychiatrists, 5 diagnoses
FLEISS_ROWS = """
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006
10050 11040 03300 10050 02031 00501 30012 51000 02040 10203
00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
"""
FLEISS = np.array([[int(digit) for digit in row] for row in FLEISS_ROWS.split()])


def test_kappa_of_fleiss_as_published():
    found = st.fleiss_kappa(FLEISS)
    assert found.value == pytest.approx(0.430, abs=5e-4)
    # z = 17.65 with the standard error of Fleiss, Nee and Landis 1979
    assert stats.norm.isf(found.p / 2) == pytest.approx(17.65, abs=0.005)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(inter_rater.fleiss_kappa(FLEISS))


@given(some.lists(some.integers(0, 5), min_size=2, max_size=40))
def test_kappa_of_fleiss_as_in_statsmodels(votes):
    counts = np.stack([np.array(votes), 5 - np.array(votes)], axis=1)
    found = st.fleiss_kappa(counts)
    if len(set(votes)) == 1 and votes[0] in (0, 5):
        assert found is None
    else:
        assert found.value == pytest.approx(inter_rater.fleiss_kappa(counts))


def test_kappa_needs_two_readers_and_images():
    assert st.fleiss_kappa(np.array([[1, 0], [0, 1]])) is None
    assert st.fleiss_kappa(np.empty((0, 2), int)) is None


def test_interval_of_kappa_covers():
    rng = np.random.default_rng(0)
    # two kinds of images, of which readers say 'real' with .8 and .2: kappa is .36
    truth = (0.8 - 0.2) ** 2 / (4 * 0.25)
    inside = []
    for _ in range(300):
        votes = rng.binomial(4, np.repeat([0.8, 0.2], 30))
        found = st.fleiss_kappa(np.stack([votes, 4 - votes], axis=1))
        inside.append(found.low <= truth <= found.high)
    assert 0.91 <= np.mean(inside) <= 0.985


@given(some.lists(some.tuples(some.booleans(), some.booleans()), min_size=1, max_size=60))
def test_kappa_of_cohen_as_in_scikit_learn(pairs):
    first, second = np.array(pairs).T
    found = st.cohen_kappa(first, second)
    if len(np.unique(pairs)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(cohen_kappa_score(first, second))


def test_median_as_in_scipy():
    rng = np.random.default_rng(1)
    for n in (6, 7, 20, 99, 100):
        values = rng.lognormal(size=n)
        expected = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
        assert st.median_interval(values) == pytest.approx((expected.low, expected.high))
    assert st.median_interval(np.arange(5.0)) is None


def test_detection_as_published():
    # Macmillan and Creelman 2005, chapters 1 and 2: hits .8, false alarms .4; so many that the
    # log-linear correction does not show
    found = detection(8e8, 1e9, 4e8, 1e9)
    assert found.d_prime == pytest.approx(1.095, abs=5e-4)
    assert found.criterion == pytest.approx(-0.294, abs=1e-3)
    # their Table A5.2: 69 % right without bias is d' = 1, in two-alternative forced choice 76 %
    assert detection(6915e5, 1e9, 3085e5, 1e9).d_prime == pytest.approx(1, abs=1e-3)
    assert detection(7602e5, 1e9, 2398e5, 1e9, pairs=True).d_prime == pytest.approx(1, abs=1e-3)


def test_detection_is_finite_for_a_perfect_reader():
    found = detection(50, 50, 0, 50)
    assert found.d_prime == pytest.approx(2 * stats.norm.ppf(50.5 / 51))  # Hautus 1995
    assert found.low > 2.5
    assert detection(0, 0, 3, 10) is None


@given(COUNTS, COUNTS)
def test_detection_is_symmetric(signal, noise):
    there = detection(*signal, *noise)
    swapped = detection(*noise, *signal)
    assert swapped.d_prime == pytest.approx(-there.d_prime)
    assert swapped.criterion == pytest.approx(there.criterion)
    other = detection(signal[1] - signal[0], signal[1], noise[1] - noise[0], noise[1])
    assert other.criterion == pytest.approx(-there.criterion)
    assert there.low < there.d_prime < there.high


@pytest.mark.parametrize(
    ("d_prime", "criterion", "pairs"),
    [(0, 0, False), (1, 0, False), (2, 0.3, False), (1, 0.7, False), (1, 0, True), (0, 0.5, True)],
)
def test_interval_of_d_prime_covers(d_prime, criterion, pairs):
    rng = np.random.default_rng(7)
    root = math.sqrt(2) if pairs else 1
    half = d_prime * root / 2
    hits = rng.binomial(50, stats.norm.cdf(half - criterion), 800)
    false = rng.binomial(50, stats.norm.cdf(-half - criterion), 800)
    found = [detection(h, 50, f, 50, pairs=pairs) for h, f in zip(hits, false, strict=True)]
    assert 0.93 <= np.mean([x.low <= d_prime <= x.high for x in found]) <= 0.98
    inside = [x.criterion_low <= criterion <= x.criterion_high for x in found]
    assert 0.93 <= np.mean(inside) <= 0.98


# Hanley and McNeil 1982, Radiology 143, 29-36, Table I: 58 normal and 51 abnormal images, 5 ratings
NORMAL, ABNORMAL = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)


def test_area_as_published():
    ratings = np.concatenate([np.repeat(np.arange(1, 6), counts) for counts in (NORMAL, ABNORMAL)])
    signal = np.arange(len(ratings)) >= sum(NORMAL)
    area = auc(ratings, signal)
    assert area == pytest.approx(0.893, abs=5e-4)
    low, high = auc_interval(area, sum(ABNORMAL), sum(NORMAL))
    assert (high - low) / (2 * Z) == pytest.approx(0.032, abs=0.003)  # their standard error


@given(some.lists(some.tuples(some.integers(-5, 5), some.booleans()), min_size=2, max_size=60))
def test_area_as_in_scikit_learn_and_under_the_curve(answers):
    ratings, signal = np.array([x for x, _ in answers]), np.array([y for _, y in answers])
    area = auc(ratings, signal)
    if signal.all() or not signal.any():
        assert area is None
        return
    assert area == pytest.approx(roc_auc_score(signal, ratings))
    assert auc(-ratings, signal) == pytest.approx(1 - area)
    points = roc(ratings, signal)
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(area)
    low, high = auc_interval(area, int(signal.sum()), int((~signal).sum()))
    assert 0 <= low <= area <= high <= 1
    assert high - low > 0


@pytest.mark.parametrize("area", [0.5, 0.8, 0.95])
def test_interval_of_an_area_covers(area):
    rng = np.random.default_rng(3)
    apart = stats.norm.ppf(area) * math.sqrt(2)
    signal = np.arange(80) < 40
    inside = []
    for _ in range(400):
        low, high = auc_interval(auc(rng.normal(apart * signal), signal), 40, 40)
        inside.append(low <= area <= high)
    assert np.mean(inside) >= 0.93


def test_plan_is_what_happens():
    rng = np.random.default_rng(0)
    found = plan(60, 0.6, 0.2)
    right = rng.binomial(60, 0.6, 3000).tolist()
    width = {k: np.diff(st.clopper_pearson(k, 60))[0] for k in set(right)}
    assert found.width == pytest.approx(np.mean([width[k] for k in right]), abs=1e-3)
    differs = {k: st.binomial_p(k, 60) < 0.05 for k in set(right)}
    assert found.significant == pytest.approx(np.mean([differs[k] for k in right]), abs=0.03)
    same = {k: st.equivalence(k, 60, 0.2).shown for k in set(right)}
    assert found.equivalent == pytest.approx(np.mean([same[k] for k in right]), abs=0.03)


def test_answers_for_width_are_enough_and_hardly_more():
    n = answers_for_width(0.1, 0.5)
    assert np.diff(st.clopper_pearson(n // 2, n))[0] <= 0.1
    assert np.diff(st.clopper_pearson(round(0.45 * n), round(0.9 * n)))[0] > 0.1
