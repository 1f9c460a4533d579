"""Figures against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score, roc_auc_score

from napari_pathogan.engine.report import Value
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.virtual_stain.g2c.evaluate import (
    Scored,
    after_first_level,
    gain,
    percent,
    report,
)


def scored(classes=2, n=200, seed=0, shift=1.0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    logits = rng.normal(size=(n, classes)) + shift * np.eye(classes)[labels]
    patients = np.array([f"p{k}" for k in rng.integers(0, 8, n)])
    return Scored(
        labels, np.sort(patients), logits, tuple("abcd"[:classes]), np.full(classes, 0.9), 200
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_figures_are_scikit_learns(classes):
    one = scored(classes)
    said, called = one.figures(), one.called
    assert said["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(one.labels, called))
    recalls = recall_score(one.labels, called, average=None)
    assert [said[f"accuracy_{name}"] for name in one.classes] == pytest.approx(recalls.tolist())
    how = {"pos_label": 1} if classes == 2 else {"average": "macro"}
    assert said["f1"] == pytest.approx(f1_score(one.labels, called, **how))
    if classes == 2:
        difference = one.logits[:, 1] - one.logits[:, 0]
        assert said["auc"] == pytest.approx(roc_auc_score(one.labels, difference))


def test_weights_are_how_often_an_image_counts():
    one = scored(3)
    times = np.random.default_rng(1).integers(0, 3, len(one.labels))
    again = one.take(np.repeat(np.arange(len(one.labels)), times))
    for name, value in one.figures(times.astype(float)).items():
        assert value == pytest.approx(again.figures()[name]), name


def test_intervals_hold_the_figure_and_the_gap_is_training_less_testing():
    done = report(scored(), title="x")
    for name in ("accuracy_a", "balanced_accuracy", "f1", "auc"):
        value = done.metrics[name]
        assert value.low < value.value < value.high
    assert done.metrics["gap"].value == pytest.approx(0.9 - done.metrics["balanced_accuracy"].value)
    assert done.counts == {"n_images": 200, "n_patients": 8, "n_a": 100, "n_b": 100}


def test_one_patient_has_no_interval_and_one_class_no_auc():
    one = scored()
    one = one.take(one.patients == "p0")
    done = report(one, title="x")
    assert done.metrics["accuracy"].low is None
    assert "one patient" in done.notes[0]
    one = one.take(one.labels == 0)
    assert one.figures()["auc"] is None
    assert one.figures()["accuracy_b"] is None
    with pytest.raises(DataFolderError, match="no image"):
        report(one.take(one.labels == 1), title="x")


def test_a_gain_is_paired_by_patient():
    better, worse = scored(shift=2.0), scored(shift=0.5)
    found = gain(better, worse)
    expected = better.figures()["f1"] - worse.figures()["f1"]
    assert found["f1_gain"].value == pytest.approx(expected)
    assert found["balanced_accuracy_gain"].low > 0
    t = ttest_rel(better.by_patient(), worse.by_patient())
    assert found["patient_p"].value == pytest.approx(t.pvalue)
    with pytest.raises(DataFolderError, match="can't be compared"):
        gain(better, worse.take(worse.labels == 0))


def test_both_ways_of_counting_the_second_level():
    one = scored()
    right = np.arange(200) % 3 > 0
    found = after_first_level(one, right)
    own = one.take(right).figures()
    assert found["given_balanced_accuracy"].value == pytest.approx(own["balanced_accuracy"])
    through = [((one.called == k) & right)[one.labels == k].mean() for k in (0, 1)]
    assert found["through_balanced_accuracy"].value == pytest.approx(np.mean(through))
    assert found["through_accuracy_a"].value == pytest.approx(through[0])
    nothing = after_first_level(one, np.zeros(200, bool))
    assert nothing["through_balanced_accuracy"].value == 0
    assert not any(name.startswith("given") for name in nothing)


def test_percentages_are_written_with_their_interval():
    assert percent(Value(0.875, 0.8123, 0.92)) == "87.5 (81.2 to 92.0)"
    assert percent(Value(-0.01), sign="+") == "-1.0"
    assert percent(Value(None)) == "not defined"
