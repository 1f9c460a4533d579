"""Corrections: every step changes what it says and nothing else, and can be undone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_pathogan.nuclei.classes.naming import Naming
from napari_pathogan.nuclei.editing import Editor, renamed
from napari_pathogan.nuclei.features import BOX, MEASURES, measure
from napari_pathogan.nuclei.segmentation import COLUMNS, Segmentation, UnknownNucleusError
from napari_pathogan.slides.geometry import Overlay
from napari_pathogan.slides.slide import Slide

MPP, STEP, ORIGIN = 0.5, (2.5, 2.5), (20.0, 35.0)
NAMES = ("round", "long")


@pytest.fixture
def slide():
    """Noise in colour, so that measuring somewhere else gives something else."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 220, (400, 500, 3)).astype(np.uint8)
    with Slide.from_arrays([pixels], name="case", mpp=MPP) as made:
        yield made


def measured(labels, slide, classes):
    """The segmentation that measuring everything anew would give."""
    overlay = Overlay(labels, ORIGIN, STEP)
    image = slide.resampled(ORIGIN, STEP, labels.shape)
    um2 = (STEP[0] * MPP) ** 2
    found = measure(labels, image, um2)
    table = pd.DataFrame({"id": found["id"].astype(np.int32)})
    for axis, at in (("y", 0), ("x", 1)):
        table[f"{axis}_px"] = ORIGIN[at] + (found[axis] + 0.5) * STEP[at] - 0.5
        table[f"{axis}_um"] = (table[f"{axis}_px"] + 0.5) * MPP
    table[list(MEASURES)] = found[list(MEASURES)]
    table["class"] = pd.Categorical([classes[i] for i in found["id"]], categories=NAMES)
    table["class_probability"] = np.float32(0.7)
    table["corrected"] = False
    table = table[list(COLUMNS)]
    for name in NAMES:
        table[f"p_{name}"] = np.where(table["class"] == name, 0.7, 0.3).astype(np.float32)
    boxes = found[list(BOX)].to_numpy(np.int32)
    return Segmentation(
        "case", overlay, table, boxes, (MPP, MPP), 0.01, NAMES, ("#ff0000", "#0000ff")
    )


@pytest.fixture
def labels():
    made = np.zeros((60, 80), np.int32)
    made[5:15, 5:15] = 1
    made[5:12, 30:60] = 2
    made[30:40, 20:31] = 4
    return made


CLASSES = {1: "round", 2: "long", 4: "round", 9: "long"}


@pytest.fixture
def editor(labels, slide):
    return Editor(measured(labels, slide, CLASSES), slide)


def same(a, b, *, besides=()):
    pd.testing.assert_frame_equal(
        a.table.drop(columns=list(besides)), b.table.drop(columns=list(besides)), check_dtype=False
    )
    np.testing.assert_array_equal(a.boxes, b.boxes)
    np.testing.assert_array_equal(a.labels, b.labels)


def test_a_class(editor):
    before = editor.segmentation
    editor.set_class(2, "round")
    assert editor.segmentation.counts() == {"round": 3, "long": 0}
    assert editor.segmentation.table["corrected"].tolist() == [False, True, False]
    assert before.counts() == {"round": 2, "long": 1}
    with pytest.raises(UnknownNucleusError, match="no nucleus 3"):
        editor.set_class(3, "round")
    with pytest.raises(UnknownNucleusError, match="square"):
        editor.set_class(2, "square")
    assert len(editor) == 1
    assert editor.undo()
    assert editor.segmentation is before
    assert not editor.undo()


def test_painting_measures_what_has_changed_as_if_all_were_measured_anew(editor, slide, labels):
    untouched = editor.segmentation.nucleus(4)
    assert editor.repainted("long") == set()
    labels[5:12, 40:45] = 1  # a second part of 1, cut out of 2
    labels[45:55, 60:64] = 9  # a new one
    assert editor.repainted("long") == {1, 2, 9}
    same(
        editor.segmentation,
        measured(labels, slide, CLASSES),
        besides=("class_probability", "corrected", "p_round", "p_long"),
    )
    table = editor.segmentation.table.set_index("id")
    assert table["corrected"].to_dict() == {1: True, 2: True, 4: False, 9: True}
    assert table.loc[1, "p_round"] == pytest.approx(0.7)
    assert table.loc[9, "class_probability"] == 1
    assert np.isnan(table.loc[9, "p_round"])
    pd.testing.assert_series_equal(
        editor.segmentation.nucleus(4), untouched, check_names=False, check_dtype=False
    )


def test_what_is_erased_is_gone_and_every_step_can_be_undone(editor, labels):
    found, pixels = editor.segmentation, labels.copy()
    labels[labels == 1] = 0
    assert editor.repainted("round") == {1}
    assert editor.segmentation.table["id"].tolist() == [2, 4]
    editor.remove(4)
    assert editor.segmentation.table["id"].tolist() == [2]
    assert len(editor.segmentation.boxes) == 1
    assert set(np.unique(labels)) == {0, 2}
    labels[labels == 2] = 0
    editor.repainted("round")
    assert len(editor.segmentation) == 0
    labels[1:3, 1:3] = 7
    editor.repainted("long")
    assert editor.segmentation.nucleus(7)["class"] == "long"
    assert len(editor) == 4
    while editor.undo():
        assert not editor.repainted("round")  # undoing is no new step
    same(editor.segmentation, found)
    np.testing.assert_array_equal(labels, pixels)


def test_names_go_for_earlier_steps_too(editor):
    editor.set_class(2, "round")
    editor.rename(Naming(("lymphocyte", "spindle"), ("#00ff00", "#ffffff"), "yours"), "skin")
    editor.undo()
    assert editor.segmentation.counts() == {"lymphocyte": 2, "spindle": 1}
    assert editor.segmentation.class_colours == ("#00ff00", "#ffffff")
    assert {"p_lymphocyte", "p_spindle"} <= set(editor.segmentation.table)
    assert editor.segmentation.class_note == "yours"
    assert editor.segmentation.tissue == "skin"
    other = Naming(("spindle", "lymphocyte"), ("#00ff00", "#ffffff"), "")
    swapped = renamed(editor.segmentation, other, "")
    assert swapped.counts() == {"spindle": 2, "lymphocyte": 1}
