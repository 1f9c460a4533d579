"""Corrections: every step changes what it says and nothing else, and can be undone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from napari_pathogan.errors import SlideReadError
from napari_pathogan.slides.geometry import Overlay
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei.editing import Editor, renamed
from napari_pathogan.tasks.nuclei.features import BOX, MEASURES, measure
from napari_pathogan.tasks.nuclei.painted import PaintingError
from napari_pathogan.tasks.nuclei.segmentation import COLUMNS, Segmentation, UnknownNucleusError
from napari_pathogan.tasks.nuclei_classes.naming import Naming

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
    assert editor.undoable == "class of nucleus 2"
    editor.undo()
    same(editor.segmentation, before)
    assert editor.undo() is None
    assert editor.redoable == "class of nucleus 2"
    assert editor.redo().ids == {2}
    assert editor.segmentation.counts() == {"round": 3, "long": 0}
    assert editor.redo() is None


def test_painting_measures_what_has_changed_as_if_all_were_measured_anew(editor, slide, labels):
    untouched = editor.segmentation.nucleus(4)
    assert editor.repainted("long") is None
    labels[10:18, 10:18] = 1  # more of 1
    labels[5:12, 30:34] = 0  # less of 2
    labels[45:55, 60:64] = 9  # a new one
    stroke = editor.repainted("long")
    assert stroke.new == {5: 9}  # the first number that was never used
    assert stroke.reshaped == {1, 2}
    same(
        editor.segmentation,
        measured(labels, slide, CLASSES | {5: "long"}),
        besides=("class_probability", "corrected", "p_round", "p_long"),
    )
    table = editor.segmentation.table.set_index("id")
    assert table["corrected"].to_dict() == {1: True, 2: True, 4: False, 5: True}
    assert table.loc[1, "p_round"] == pytest.approx(0.7)
    assert np.isnan(table.loc[5, ["class_probability", "p_round"]].astype(float)).all()
    pd.testing.assert_series_equal(
        editor.segmentation.nucleus(4), untouched, check_names=False, check_dtype=False
    )


def whole(segmentation):
    """Each nucleus is one piece, and the table speaks of the labels as they are."""
    labels, table = segmentation.labels, segmentation.table
    assert table["id"].tolist() == np.unique(labels[labels > 0]).tolist()
    for row, nucleus in enumerate(table["id"]):
        own = labels == nucleus
        assert ndimage.label(own, np.ones((3, 3)))[1] == 1
        rows, cols = np.nonzero(own)
        box = (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
        assert segmentation.boxes[row].tolist() == list(box)
        area = own.sum() * segmentation.pixel_um2
        assert table["area_um2"].iloc[row] == pytest.approx(area)


STROKES = {  # rows, cols, number of the brush -> what becomes of it
    "apart from its nucleus": (np.s_[45:55, 60:70], 1, {"new": {5: 1}}),
    "with a number never used": (np.s_[45:55, 60:70], 5, {"new": {5: 5}}),
    "with a number far too high": (np.s_[45:55, 60:70], 2**31 - 1, {"new": {5: 2**31 - 1}}),
    "with a number below 0": (np.s_[45:55, 60:70], -3, {"new": {5: -3}}),
    "with the number of one that was removed": (np.s_[45:55, 60:70], 3, {"new": {3: 3}}),
    "touching its nucleus at a corner": (np.s_[15:20, 15:20], 1, {"reshaped": {1}}),
    "beside its nucleus, a pixel away": (np.s_[5:15, 16:20], 1, {"new": {5: 1}}),
    "over a part of another": (np.s_[5:12, 55:70], 5, {"new": {5: 5}, "reshaped": {2}}),
    "over all of another": (np.s_[28:42, 18:33], 5, {"new": {5: 5}, "gone": {4}}),
    "over all of another, of its own number": (np.s_[3:17, 3:17], 1, {"reshaped": {1}}),
    "through another": (
        np.s_[3:14, 40:44],
        5,
        {"new": {5: 5}, "cut": {6: 2}, "reshaped": {2}},
    ),
    "with the eraser": (np.s_[5:15, 5:9], 0, {"reshaped": {1}}),
    "with the eraser through one": (np.s_[3:14, 40:44], 0, {"cut": {5: 2}, "reshaped": {2}}),
    "with the eraser but for a narrow rim": (
        np.s_[5:12, 31:40],
        0,
        {"cut": {5: 2}, "reshaped": {2}},
    ),
    "with the eraser over one": (np.s_[29:41, 19:32], 0, {"gone": {4}}),
    "with the eraser over nearly all of one": (
        np.s_[30:40, 20:30],
        0,
        {"cut": {}, "reshaped": {4}},
    ),
    "out of the image": (np.s_[55:60, 75:80], 1, {"new": {5: 1}}),
    "a speck": (np.s_[50:51, 50:52], 5, {"crumbs": 1}),
    "a speck on another": (np.s_[8:9, 40:42], 5, {"crumbs": 1}),
}


@pytest.mark.parametrize("how", STROKES)
def test_what_a_stroke_becomes(editor, labels, how):
    where, number, wanted = STROKES[how]
    found, pixels = editor.segmentation, labels.copy()
    labels[where] = number
    stroke = editor.repainted("long")
    nothing = {"new": {}, "cut": {}, "gone": set(), "reshaped": set(), "crumbs": 0}
    assert vars(stroke) == nothing | wanted
    whole(editor.segmentation)
    after, painted = editor.segmentation, labels.copy()
    assert editor.repainted("long") is None  # what was made of it is no new stroke
    if len(editor):
        editor.undo()
    same(editor.segmentation, found)
    np.testing.assert_array_equal(labels, pixels)
    editor.redo()
    same(editor.segmentation, after)
    np.testing.assert_array_equal(labels, painted)


def test_pieces_have_the_class_of_the_nucleus_they_were_cut_off(editor, labels):
    labels[5:12, 40:41] = 0
    editor.repainted("round")
    assert editor.segmentation.nucleus(5)["class"] == "long"
    assert editor.segmentation.nucleus(5)["p_long"] == pytest.approx(0.7)


def test_crumbs_of_what_was_erased_go_with_it(editor, labels):
    labels[5:15, 5:14] = 0
    labels[7:9, 14] = labels[12:13, 14] = 0  # leaves crumbs of two pixels, and one of three
    stroke = editor.repainted("round")
    assert stroke.crumbs == 2
    assert (labels == 1).sum() == 3
    assert stroke.reshaped == {1}


@pytest.mark.parametrize("number", [1, 4, 5])
def test_filling_the_background_is_refused(editor, labels, number):
    found, pixels = editor.segmentation, labels.copy()
    labels[labels == 0] = number
    with pytest.raises(PaintingError, match="too large"):
        editor.repainted("round")
    np.testing.assert_array_equal(labels, pixels)
    assert editor.segmentation is found
    assert not len(editor)
    assert editor.repainted("round") is None


def test_what_can_not_be_measured_is_not_painted(editor, labels, monkeypatch):
    pixels = labels.copy()

    def unreadable(*_args):
        raise SlideReadError("broken file")

    monkeypatch.setattr(type(editor.slide), "resampled", unreadable)
    labels[45:55, 60:70] = 5
    with pytest.raises(SlideReadError, match="broken file"):
        editor.repainted("round")
    np.testing.assert_array_equal(labels, pixels)


def test_filling_one_nucleus_with_the_number_of_its_neighbour_joins_them(editor, labels):
    labels[5:12, 15:30] = 2
    assert editor.repainted("round").reshaped == {2}  # up to nucleus 1
    labels[labels == 1] = 2
    assert editor.repainted("round").gone == {1}
    assert editor.undoable == "outline of nucleus 2"


def test_any_steps_back_and_forth_lead_to_the_same(editor, labels):
    rng = np.random.default_rng(1)
    states = [(editor.segmentation, labels.copy())]
    for _ in range(60):
        ids = editor.segmentation.table["id"].tolist()
        kind = rng.integers(4)
        if kind == 0 and ids:
            editor.set_class(int(rng.choice(ids)), str(rng.choice(NAMES)))
        elif kind == 1 and ids:
            editor.remove(int(rng.choice(ids)))
        else:
            (y, x), (h, w) = rng.integers(0, (60, 80)), rng.integers(1, 14, 2)
            labels[y : y + h, x : x + w] = rng.choice([0, *ids, editor.unused])
            editor.repainted("round")
        whole(editor.segmentation)
        if len(editor) == len(states):
            states.append((editor.segmentation, labels.copy()))
    assert len(states) > 40
    for there, step in ((reversed(states[:-1]), editor.undo), (states[1:], editor.redo)):
        for segmentation, pixels in there:
            assert step() is not None
            same(editor.segmentation, segmentation)
            np.testing.assert_array_equal(labels, pixels)
        assert step() is None


def test_a_new_correction_ends_what_could_be_done_again(editor):
    editor.set_class(2, "round")
    editor.undo()
    editor.remove(4)
    assert not editor.redoable
    assert editor.redo() is None
    assert editor.undoable == "deletion of nucleus 4"


def test_history_holds_what_has_changed_and_no_more(slide):
    labels = np.zeros((2000, 2000), np.int32)
    labels[5:15, 5:15] = 1
    labels[1900:1920, 1900:1920] = 2
    editor = Editor(measured(labels, slide, CLASSES), slide)
    editor.remove(1)
    editor.set_class(2, "round")
    labels[5:15, 5:15] = labels[1800:1810, 1800:1810] = 2  # far apart, in one go
    editor.repainted("long")
    held = sum(
        x.nbytes
        for s in editor._done
        if s.pixels
        for x in (s.pixels.places, s.pixels.before, s.pixels.after)
    )
    assert held == 12 * 300  # three times 100 pixels, of 4 million
    assert all(len(rows.table) <= 3 for s in editor._done for rows in (s.before, s.after))


def test_names_go_for_earlier_steps_too(editor):
    editor.set_class(2, "round")
    editor.set_class(1, "long")
    editor.undo()
    editor.rename(Naming(("lymphocyte", "spindle"), ("#00ff00", "#ffffff"), "yours"), "skin")
    editor.redo()
    assert editor.segmentation.nucleus(1)["class"] == "spindle"
    editor.undo()
    editor.undo()
    assert editor.segmentation.counts() == {"lymphocyte": 2, "spindle": 1}
    assert editor.segmentation.class_colours == ("#00ff00", "#ffffff")
    assert {"p_lymphocyte", "p_spindle"} <= set(editor.segmentation.table)
    assert editor.segmentation.class_note == "yours"
    assert editor.segmentation.tissue == "skin"
    other = Naming(("spindle", "lymphocyte"), ("#00ff00", "#ffffff"), "")
    swapped = renamed(editor.segmentation, other, "")
    assert swapped.counts() == {"spindle": 2, "lymphocyte": 1}
