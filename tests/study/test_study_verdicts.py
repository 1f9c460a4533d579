"""What a share of right answers shows, in words: they say what the tests say, and no more."""

from __future__ import annotations

import re

import pytest

from napari_pathogan.engine.report import Value
from napari_pathogan.study import statistics as st
from napari_pathogan.study.verdicts import Outcome, verdict, verdict_elsewhere

MARGIN = 0.1


@pytest.mark.parametrize(
    ("right", "n", "outcome", "said"),
    [
        (70, 100, Outcome.BETTER, "70 % (90 % interval 62 to 78 %). That is better than guessing"),
        (
            70,
            100,
            Outcome.BETTER,
            "lies outside the margin of 40 to 60 % that was fixed beforehand",
        ),
        (62, 100, Outcome.BETTER, "reaches beyond the margin of 40 to 60 % that was fixed before"),
        (62, 100, Outcome.BETTER, "so how much better is left open"),
        (30, 100, Outcome.WORSE, "were answers mixed up?"),
        (52, 100, Outcome.UNDECIDED, "neither a difference nor its absence is shown"),
        (500, 1000, Outcome.EQUIVALENT, "lies inside the margin of 40 to 60 % that was fixed"),
        (500, 1000, Outcome.EQUIVALENT, "a difference from guessing, it is less than 10 points"),
        (540, 1000, Outcome.SLIGHT, "less than 10 points, but there is one (p = 0.012)"),
        (460, 1000, Outcome.SLIGHT, "less than 10 points, but there is one (p = 0.012)"),
    ],
)
def test_outcomes_and_their_words(right, n, outcome, said):
    found = verdict(right, n, MARGIN)
    assert found.outcome is outcome
    assert said in found.reason
    assert str(found) == f"{outcome}. {found.reason}"


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("n", [20, 57, 100, 400])
def test_words_never_say_more_than_the_tests(n, margin):
    low, high = (f"{100 * (0.5 + side):g}" for side in (-margin, margin))
    for right in range(n + 1):
        found = verdict(right, n, margin)
        differs, same = st.binomial_p(right, n) < 0.05, st.equivalence(right, n, margin).shown
        assert (found.outcome in {Outcome.EQUIVALENT, Outcome.SLIGHT}) is same
        assert (found.outcome in {Outcome.UNDECIDED, Outcome.EQUIVALENT}) is not differs
        if found.outcome is Outcome.WORSE:
            continue  # what it is worse than, nobody asks
        ends = re.search(r"interval ([\d.]+) to ([\d.]+) %", found.reason)
        first, last = (float(end) for end in ends.groups())
        inside = float(low) < first and last < float(high)  # also as it is printed
        assert inside is same
        assert ("inside the margin" in found.reason) is same
        assert f"the margin of {low} to {high} % that was fixed beforehand" in found.reason


def test_not_shown_is_not_the_same():
    for right in (44, 53, 56):
        assert "“Not shown” is not “the same”" in verdict(right, 100, MARGIN).reason


def test_the_same_answer_throughout_is_no_skill():
    always_real = verdict(20, 25, MARGIN, ((0, 5), (0, 20)))
    assert always_real.outcome is Outcome.UNDECIDED
    assert "the same answer throughout would have been right in 20" in always_real.reason
    assert verdict(22, 25, MARGIN, ((4, 1), (2, 18))).outcome is Outcome.BETTER
    assert verdict(2, 25, MARGIN, ((1, 4), (19, 1))).outcome is Outcome.WORSE
    assert verdict(70, 100, MARGIN, ((36, 15), (15, 34))).outcome is Outcome.BETTER  # nearly alike


@pytest.mark.parametrize(
    ("wide", "narrow", "outcome"),
    [
        ((0.55, 0.75), (0.57, 0.73), Outcome.BETTER),
        ((0.25, 0.45), (0.27, 0.43), Outcome.WORSE),
        ((0.43, 0.57), (0.44, 0.56), Outcome.EQUIVALENT),
        ((0.51, 0.58), (0.52, 0.57), Outcome.SLIGHT),
        ((0.38, 0.62), (0.41, 0.61), Outcome.UNDECIDED),
    ],
)
def test_other_readers_and_images(wide, narrow, outcome):
    found = verdict_elsewhere(Value(sum(wide) / 2, *wide), narrow, MARGIN)
    assert found.outcome is outcome
    low, high = (f"{100 * end:.0f}" for end in narrow)
    assert f"would be right in {low} to {high} % (90 % interval)" in found.reason
