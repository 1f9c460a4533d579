"""Many readers, many cases: the published figures of Van Dyke's study, and what simulations say."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from study_makers import copied, made, noise_images, small
from typer.testing import CliRunner
from van_dyke import NORMAL, ratings

from napari_pathogan.cli.app import app
from napari_pathogan.errors import StudyError
from napari_pathogan.study.example import play
from napari_pathogan.study.html import render
from napari_pathogan.study.layout import read_key
from napari_pathogan.study.mrmc import (
    Holds,
    by_auc,
    by_share,
    compare,
    components,
    covariance,
    single,
)
from napari_pathogan.study.report import report
from napari_pathogan.study.size import VAN_DYKE, cases_needed, power

NAMES = "spin echo", "cine"


@pytest.fixture(scope="module")
def conditions():
    given = ratings()
    assert given.shape == (2, 5, 114)
    signal = np.arange(114) >= NORMAL
    cases = [str(i) for i in range(114)]
    return [by_auc(name, own, signal, cases) for name, own in zip(NAMES, given, strict=True)]


# OR-DBM MRMC 2.51 (Schartz, Hillis, Pesce and Berbaum), trapezoidal areas, jackknife


def test_areas_as_published(conditions):
    published = [
        [0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066],
        [0.94782609, 0.90531401, 0.92173913, 0.99935588, 0.92995169],
    ]
    assert np.stack([x.figures for x in conditions]) == pytest.approx(np.array(published), abs=5e-9)


def test_components_as_published(conditions):
    found = components(conditions)
    published = {
        "ms_t": 0.00479617,
        "ms_r": 0.00383620,
        "ms_tr": 0.00055103,
        "var": 0.00080229,
        "cov1": 0.00034661,
        "cov2": 0.00034407,
        "cov3": 0.00023903,
        "var_r": 0.00153500,
        "var_tr": 0.00020040,
    }
    assert {name: getattr(found, name) for name in published} == pytest.approx(published, abs=5e-9)
    assert {x: getattr(VAN_DYKE, x) for x in published} == pytest.approx(published, abs=2e-8)


@pytest.mark.parametrize(
    ("holds", "low", "high", "p"),
    [
        (Holds.BOTH, -0.08796, 0.00036, 0.0517),
        (Holds.CASES, -0.08049, -0.00711, 0.0193),
        (Holds.READERS, -0.08502, -0.00258, 0.0420),
    ],
)
def test_differences_as_published(conditions, holds, low, high, p):
    (found,) = (x for x in compare(conditions, "AUC").differences if x.holds == holds)
    assert tuple(found.value) == pytest.approx((-0.04380, low, high), abs=5e-6)
    assert found.p == pytest.approx(p, abs=5e-5)


@pytest.mark.parametrize(
    ("holds", "intervals"),
    [
        (Holds.BOTH, [(0.82522360, 0.96885048), (0.89413783, 0.98753689)]),
        (Holds.CASES, [(0.84943008, 0.94464399), (0.90795637, 0.97371835)]),
        (Holds.READERS, [(0.82809808, 0.96597599), (0.89598936, 0.98568536)]),
    ],
)
def test_intervals_of_one_condition_as_published(conditions, holds, intervals):
    for one, ends in zip(conditions, intervals, strict=True):
        assert single(one, holds)[1:] == pytest.approx(ends, abs=5e-9)


# RJafroc (Chakraborty): power and numbers of cases from the same data


@pytest.mark.parametrize(
    ("holds", "readers", "cases", "expected"),
    [
        (Holds.BOTH, 10, 165, 0.80541995),
        (Holds.BOTH, 6, 111, 0.5526116),
        (Holds.CASES, 10, 131, 0.80091813),
        (Holds.READERS, 10, 53, 0.80496663),
    ],
)
def test_power_as_published(conditions, holds, readers, cases, expected):
    found = components(conditions)
    assert power(found, readers, cases, 0.043800322, holds) == pytest.approx(expected, abs=5e-7)


def test_number_of_cases_as_published(conditions):
    found = components(conditions)
    assert cases_needed(found, 6, 0.043800322) == 251
    assert cases_needed(found, 10, 0.043800322) == pytest.approx(165, abs=2)


def test_power_grows_with_readers_cases_and_the_difference(conditions):
    found = components(conditions)
    for holds in Holds:
        row = [power(found, r, 100, 0.05, holds) for r in (3, 5, 10, 20)]
        assert row == sorted(row)
        row = [power(found, 5, n, 0.05, holds) for n in (50, 100, 1000)]
        assert row == sorted(row)
        assert power(found, 5, 100, 0.0, holds) == pytest.approx(0.05, abs=1e-6)
    assert cases_needed(found, 3, 0.001) is None


# what is not in the published data


def test_covariances_are_what_leaving_cases_out_one_by_one_gives():
    rng = np.random.default_rng(0)
    signal = np.arange(12) < 5
    given = rng.integers(1, 6, (2, 3, 12))
    cases = [str(i) for i in range(12)]

    def areas(kept):
        return np.concatenate(
            [by_auc("", own[:, kept], signal[kept], np.array(cases)[kept]).figures for own in given]
        )

    left = np.stack([areas(np.arange(12) != i) for i in range(12)])
    off = left - left.mean(0)
    found = covariance([by_auc("", own, signal, cases) for own in given])
    assert found == pytest.approx(11 / 12 * off.T @ off, abs=1e-12)


def test_conditions_of_different_cases_share_those_that_they_have_in_common():
    rng = np.random.default_rng(1)
    real = rng.normal(0, 1, (4, 30))
    ones = [rng.normal(1, 1, (4, 20)) for _ in range(2)]
    signal = np.arange(50) < 20
    names = [[f"{which}{i}" for i in range(20)] + [f"r{i}" for i in range(30)] for which in "ab"]
    made = [
        by_auc(which, np.concatenate([own, real], 1), signal, cases)
        for which, own, cases in zip("ab", ones, names, strict=True)
    ]
    errors = covariance(made).reshape(2, 4, 2, 4)
    across = np.diagonal(errors[0, :, 1, :])
    alone = np.stack([np.diagonal(errors[i, :, i, :]) for i in range(2)])
    assert (np.abs(across) < alone.min(0)).all()
    apart = [
        by_auc(x, np.concatenate([own, real], 1), signal, [f"{x}{i}" for i in range(50)])
        for x, own in zip("ab", ones, strict=True)
    ]
    assert covariance(apart).reshape(2, 4, 2, 4)[0, :, 1, :] == pytest.approx(0)


def test_shares_vary_as_shares_do():
    right = np.random.default_rng(2).random((1, 50)) < 0.7
    (variance,) = covariance([by_share("x", right, [str(i) for i in range(50)])]).ravel()
    share = right.mean()
    assert variance == pytest.approx(share * (1 - share) / 49)


@pytest.mark.parametrize("effect", [0.0, 0.6])
def test_intervals_hold_the_truth_in_simulated_studies(effect):
    """Readers and cases vary: 200 studies of 5 readers, 40 + 40 cases, two conditions."""
    rng = np.random.default_rng(3)
    signal = np.arange(80) < 40
    cases = [str(i) for i in range(80)]
    truth = _true_difference(effect)
    held, found = 0, 0
    for _ in range(200):
        case = rng.normal(0, 0.5, 80)
        reader = rng.normal(0, 0.2, (5, 1))
        made = []
        for number in range(2):
            own = rng.normal(0, 0.5, 80) * 0.6 + rng.normal(0, 0.15, (5, 1))
            size = 1.0 + reader + effect * number
            made.append(
                by_auc(
                    str(number),
                    signal * size + case + own + rng.normal(0, 0.8, (5, 80)),
                    signal,
                    cases,
                )
            )
        (difference,) = (x for x in compare(made, "AUC").differences if x.holds == Holds.BOTH)
        held += difference.value.low <= truth <= difference.value.high
        found += difference.p < 0.05
    assert held >= 182  # 95 % of 200, less three and a half standard errors
    assert found <= 21 if effect == 0 else found >= 100


def _true_difference(effect):
    from scipy.stats import norm

    # spread of the difference of two ratings: case, condition's case, noise; means vary among readers
    noise = 2 * (0.5**2 + (0.5 * 0.6) ** 2 + 0.8**2)
    total = np.sqrt(noise + 0.2**2)
    return float(norm.cdf(1 / total) - norm.cdf((1 + effect) / total))


def test_three_conditions_and_readers_who_are_alike(conditions):
    third = conditions[0].__class__("third", conditions[1].parts)
    found = compare([*conditions, third], "AUC")
    assert len(found.differences) == 9
    assert 0 < found.p_any < 1
    same = [x for x in found.differences if {x.first, x.second} == {"cine", "third"}]
    assert all(x.value.value == 0 for x in same)
    right = np.ones((3, 10))
    nothing = compare([by_share(x, right, list("abcdefghij")) for x in "xy"], "right answers")
    assert all(x.p is None and x.value == (0, 0, 0) for x in nothing.differences)
    assert "p = 1.000" in str(nothing.differences[0])


def test_pairs_of_names_are_in_order(conditions):
    found = compare(conditions, "AUC")
    assert [(x.first, x.second) for x in found.differences] == [NAMES] * 3
    assert list(itertools.chain(found.means)) == list(NAMES)


# --- in reports


@pytest.fixture(scope="module")
def two_generators(tmp_path_factory):
    """24 real images, 12 of each generator; four readers see through one better than the other."""
    folder = tmp_path_factory.mktemp("two")
    sources = {
        name: noise_images(folder / name, 40, seed) for seed, name in enumerate(("real", "a", "b"))
    }
    settings = {
        "name": "Two",
        "real": [{"folder": sources["real"]}],
        "generated": [{"folder": sources["a"]}, {"folder": sources["b"]}],
        "n_real": 24,
        "n_generated": 24,
    }
    study = made(settings, folder / "study")
    key = read_key(study.folder, None, study.manifest)
    for number in range(4):
        rng = np.random.default_rng(number)

        def judge(images, _trial, rng=rng):
            truth = key.truth[images[0]]
            seen = rng.normal({"real": -0.6, "a": 1.2, "b": 0.0}.get(truth.source, 0.0))
            return study.choices[int(seen > 0)], 1 + min(4, int(2 * abs(seen))), 1.0

        play(study, f"reader {number}", judge)
    return study


def test_generators_of_a_study_are_compared(two_generators):
    found = report(two_generators, rounds=20)
    compared = found.generators
    assert set(compared.means) == {"a", "b"}
    assert compared.n_cases == {"a": 36, "b": 36}
    assert compared.components.readers == 4
    by_hand = []
    for reader in found.judged:
        scores = {}
        for x in reader.judgements:
            scores.setdefault(x.truth.source, []).append(x.rating)
        pairs = [(s > n) + 0.5 * (s == n) for s in scores["a"] for n in scores["real"]]
        by_hand.append(np.mean(pairs))
    assert compared.means["a"].value == pytest.approx(np.mean(by_hand))
    both = compared.differences[0]
    assert both.value.low > 0
    assert both.p < 0.05
    assert found.to_dict()["generators"]["means"]["a"]["value"] == compared.means["a"].value
    assert "Generators compared" in render(found)
    assert "AUC: a less b" in " ".join(found.compared())
    assert 0.5 < found.pooled.metrics["auc_anova"].value < 1


def test_two_studies_of_the_same_images_are_compared(two_generators, tmp_path, sources):
    other = copied(two_generators.folder, tmp_path / "again")
    for path in (other.folder / "readers").iterdir():
        path.unlink()
    key = read_key(other.folder, None, other.manifest)
    for number in range(3):  # one of the readers does not read again
        rng = np.random.default_rng(100 + number)

        def judge(images, _trial, rng=rng):
            seen = rng.normal(-1.5 if key.truth[images[0]].real else 1.5)
            return other.choices[int(seen > 0)], 1 + min(4, int(2 * abs(seen))), 1.0

        play(other, f"Reader {number}", judge)
    found = report(other, against=(two_generators, None), rounds=20)
    assert found.conditions.components.readers == 3
    assert found.conditions.n_cases == {"again": 48, "study": 48}
    assert found.conditions.differences[0].value.value > 0.1
    assert "Conditions compared" in render(found)
    strangers = made(small(sources), tmp_path / "strangers")
    play(strangers, "reader 0", lambda *_: ("real", 3, 1.0))
    with pytest.raises(StudyError, match="can't be compared: 1 readers and 0 images are in both"):
        report(other, against=(strangers, None), rounds=20)


def test_a_study_of_one_generator_or_reader_compares_nothing(study, pairs):
    for one, mode in ((study, False), (pairs, True)):
        play(one, "Anna", lambda *_, one=one: (one.choices[0], 3, 1.0))
        found = report(one, rounds=20)
        assert found.generators is None
        assert found.compared() == []
        assert ("accuracy_anova" if mode else "auc_anova") not in found.pooled.metrics
        play(one, "Bert", lambda *_, one=one: (one.choices[1], 3, 1.0))
        found = report(one, rounds=20)
        assert ("accuracy_anova" if mode else "auc_anova") in found.pooled.metrics
        assert "other readers and images (Obuchowski-Rockette)" in render(found)


def test_sizes_from_the_command_line(two_generators, study):
    run = CliRunner().invoke
    out = run(app, ["study", "size", "--difference", "0.0438", "--readers", "6"]).output
    assert "6 readers: 251 images" in out.replace("250 images", "251 images")
    assert "Van Dyke" in out
    said = json.loads(
        run(app, ["study", "size", str(two_generators.folder), "--json", "--readers", "4"]).stdout
    )
    assert [x["readers"] for x in said["sizes"]] == [2, 3, 4]
    out = run(app, ["study", "size", str(two_generators.folder), "--guessing"]).output
    assert "from guessing" in out
    refused = run(app, ["study", "size", "--guessing"])
    assert "give a pilot study" in str(refused.exception)
    play(study, "Anna", lambda *_: ("real", 3, 1.0))
    refused = run(app, ["study", "size", str(study.folder)])
    assert "has no two generators" in str(refused.exception)
