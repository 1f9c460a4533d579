"""Before and after: halves that keep together what belongs together, and the interval of a gain."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pathogan.engine.before_after import (
    RULE,
    compared,
    fell,
    gains,
    halves,
    judged,
    said,
    too_good,
    verdict,
)
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.crossval import need_model
from napari_pathogan.engine.report import Report, Value
from napari_pathogan.engine.runs import RunFolder

GROUPS = np.array(["a", "a", "b", "c", "c", "c"])


def test_halves_keep_groups_together():
    half = halves(GROUPS)
    assert set(half.tolist()) == {0, 1}
    for name in set(GROUPS.tolist()):
        assert len(set(half[name == GROUPS].tolist())) == 1
    assert halves(np.array(["a", "a"])) is None


def test_a_gain_is_resampled_with_the_same_groups_for_both():
    before = np.array([0.1, 0.3, 0.5, 0.2, 0.4, 0.6])
    found = compared(
        "dice", lambda which: (before[which].mean(), before[which].mean() + 0.2), GROUPS
    )
    assert list(found) == ["dice_before", "dice_after", "dice_gain"]
    assert found["dice_gain"] == pytest.approx((0.2, 0.2, 0.2))  # though both move by far more
    low, high = found["dice_before"][1:]
    assert low < before.mean() < high
    assert high - low > 0.1


def test_what_is_not_defined_is_left_out():
    assert compared("dice", lambda _: None, GROUPS) == {}
    alone = compared("dice", lambda _: (0.0, 0.5), np.array(["a", "a"]))
    assert alone["dice_gain"] == Value(0.5)


@pytest.mark.parametrize(
    ("gain", "found", "text"),
    [
        (
            Value(0.05, 0.01, 0.09),
            1,
            (
                "Better on what was held back: Dice 0.800 before, 0.850 after (95 % interval of the "
                "difference +0.010 to +0.090)"
            ),
        ),
        (
            Value(0.05, -0.01, 0.09),
            0,
            (
                "No clear difference on what was held back: Dice 0.800 before, 0.850 after (95 % interval of "
                "the difference -0.010 to +0.090)"
            ),
        ),
        (
            Value(-0.05, -0.09, -0.01),
            -1,
            (
                "Worse on what was held back: Dice 0.800 before, 0.850 after (95 % interval of the "
                "difference -0.090 to -0.010)"
            ),
        ),
        (
            Value(0.05),
            0,
            "No clear difference on what was held back: Dice 0.800 before, 0.850 after",
        ),
    ],
)
def test_a_reader_is_told_in_a_sentence(gain, found, text):
    metrics = {"dice_before": Value(0.8), "dice_after": Value(0.85), "dice_gain": gain}
    report = Report("x", metrics).to_dict()
    assert said(report, "dice", "Dice") == text
    assert verdict(report, "dice") == found
    nothing = Report("x", {}).to_dict()
    assert said(nothing, "dice", "Dice") == ""
    assert verdict(nothing, "dice") is None


@pytest.mark.parametrize(
    ("gain", "chosen"),
    [
        (Value(0.05, -0.01, 0.09), True),
        (Value(0.0, -0.01, 0.01), True),
        (Value(-0.172, -0.4, 0.05), False),  # of which the interval says: no clear difference
        (Value(-0.05), False),
    ],
)
def test_a_model_that_fell_is_not_chosen_be_it_by_chance(gain, chosen):
    metrics = {"auc_before": Value(0.75), "auc_after": Value(0.6), "auc_gain": gain}
    report = Report("x", metrics, notes=("one",))
    assert fell(report.to_dict(), "auc") is not chosen
    one, note = judged(report, "auc").notes
    assert one == "one"
    assert note.lower().startswith(f"choice: {RULE.lower()}; this one did")
    assert note.endswith("did not") is chosen


def test_a_model_that_could_not_be_measured_is_chosen_and_that_is_said():
    report = Report("x", {})
    assert not fell(report.to_dict(), "auc")
    assert judged(report, "auc").notes[-1].endswith("that could not be measured here")


def test_a_model_that_knows_the_patients_is_too_good():
    assert too_good(set()) == ()
    assert "learnt from 2 of these patients" in too_good({"a", "b"})[0]


def test_there_has_to_be_a_model_to_compare_with(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.start({})
    need_model("", compare=False, folds=3)
    need_model("nuclei-unet", compare=True, folds=0)
    for start, folds in (("", 0), ("nuclei-unet", 3), (str(run.path), 0)):
        with pytest.raises(SettingError, match="compare would count for nothing"):
            need_model(start, compare=True, folds=folds)


def test_figures_that_were_compared_are_rows_in_words():
    metrics = {
        "n_more": Value(3.0),
        "dice_before": Value(0.8, 0.7, 0.9),
        "dice_after": Value(0.85, 0.8, 0.9),
        "dice_gain": Value(0.05, 0.01, 0.09),
        "pq_before": Value(0.5),
        "pq_after": Value(0.4),
        "pq_gain": Value(-0.1),
    }
    one, two = gains(Report("x", metrics), {"dice": "Dice"})
    assert (one.words, one.before.value, one.verdict) == ("Dice", 0.8, 1)
    assert one.said == "+0.050 (+0.010 to +0.090)"
    assert (two.words, two.said, two.verdict) == ("pq", "-0.100", 0)
