"""Correcting nuclei as a pathologist does: brush, eraser and fill on the slide, buttons, keys."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDialog, QDockWidget, QLineEdit, QPushButton

from desk import choose, press_in
from napari_pathogan.plugin.shell.form import above
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei import annotated
from napari_pathogan.tasks.nuclei.features import BOX, MEASURES, measure, placed
from napari_pathogan.tasks.nuclei.segmentation import COLUMNS, Segmentation

pytestmark = pytest.mark.gui

NAMES, COLOURS = ("tumour", "stroma", "lymphocyte"), ("#ff3b30", "#7dff3a", "#00d5ff")
TOP, LEFT, SIZE = 300, 400, 300  # where nuclei were looked for
SQUARES = {1: (20, 20), 2: (20, 100), 3: (200, 40)}  # 30 px each, in pixels of the labels
SIDE = 30
CLEAR = (150, 200)  # no nucleus near


@pytest.fixture
def slide(tmp_path):
    """A copy of the sample at 40x, with three square nuclei kept beside it."""
    path = tmp_path / "case.ome.tif"
    shutil.copy(samples.FOLDER / samples.PHANTOM_40X, path)
    labels = np.zeros((SIZE, SIZE), np.int32)
    for number, (y, x) in SQUARES.items():
        labels[y : y + SIDE, x : x + SIDE] = number
    with Slide.open(path) as opened:
        image = opened.resampled((TOP, LEFT), (1, 1), labels.shape)
        found = measure(labels, image, float(np.prod(opened.mpp)))
        table = placed(found, (TOP, LEFT), (1, 1), opened.mpp)
        table["class"] = pd.Categorical(["tumour", "stroma", "stroma"], categories=NAMES)
        table["class_probability"], table["corrected"] = 0.9, False
        overlay = Overlay(labels, (float(TOP), float(LEFT)), (1.0, 1.0))
        kept = Segmentation(
            slide=opened.name,
            overlay=overlay,
            table=table[list(COLUMNS)],
            boxes=found[list(BOX)].to_numpy(),
            mpp=opened.mpp,
            area_mm2=labels.size * float(np.prod(opened.mpp)) * 1e-6,
            class_names=NAMES,
            class_colours=COLOURS,
            region=Region(TOP, LEFT, SIZE, SIZE),
        )
        assert set(MEASURES) < set(table)
        annotated.write(path, kept)
    return path


class Hand:
    """A pathologist's: knows where nuclei are on the screen, and what the dock says."""

    def __init__(self, desk, path):
        self.desk, self.path = desk, path
        self.dock = desk.dock("Nuclei")
        with desk.answering(choose(path)):
            desk.press(self.dock.welcome.open)
        desk.wait(lambda: self.dock.segmentation is not None, "the nuclei that were kept")
        desk.wait(self.dock.form.run.isEnabled, "the models")
        self.labels = next(one for one in desk.viewer.layers if one.name == "Nuclei (case)")
        self.slide = next(one for one in desk.viewer.layers if one.name.startswith("case"))
        self.before = self.state()
        camera = desk.viewer.scene.camera
        camera.center = self.labels.data_to_world((SIZE / 2, SIZE / 2))
        camera.zoom = 0.8 * min(desk.viewer.canvas.size) / (SIZE * self.labels.scale[0])
        desk.rest()

    def state(self):
        """The table and the labels, in a form that can be compared."""
        table = self.dock.segmentation.table.drop(columns="class_probability")
        return table.round(6).to_csv(), self.labels.data.tobytes()

    def at(self, y, x):
        """Where pixels of the labels are seen."""
        return self.desk.at(self.labels, y, x)

    def paint(self, *places):
        """Draw with the left button from place to place."""
        self.desk.drag(*(self.at(*place) for place in places))

    def click(self, y, x):
        """Click on the slide."""
        QTest.mouseClick(self.desk.canvas(), Qt.MouseButton.LeftButton, pos=self.at(y, x))
        self.desk.rest(0.05)

    def key(self, keys, where=None):
        """Press keys; on the canvas unless told otherwise."""
        target = where or self.desk.canvas()
        target.setFocus()
        self.desk.key(keys, target)

    def focus(self, where):
        """A widget to press keys in."""
        return {
            "canvas": self.desk.canvas,
            "dock": lambda: self.dock.form.run,
            "layer list": lambda: self.desk.viewer.window._qt_viewer.layers,
            "another dock": lambda: self.desk.dock("IDC heat map").form.run,
        }[where]()

    def use(self, layer):
        """Choose a layer in the layer list."""
        self.desk.viewer.layers.selection.active = layer

    @property
    def ids(self):
        """The nuclei that the dock counts."""
        return self.dock.segmentation.table["id"].tolist()

    @property
    def status(self):
        """What the dock has said last."""
        return self.dock.form.status.text()

    def seen(self):
        """What is on the screen is what the table says, nucleus by nucleus."""
        labels, segmentation = self.labels.data, self.dock.segmentation
        assert self.ids == np.unique(labels[labels > 0]).tolist()
        area = np.bincount(labels.ravel())[self.ids] * segmentation.pixel_um2
        np.testing.assert_allclose(segmentation.table["area_um2"], area)
        assert self.dock.form.result.text().startswith(f"<b>{len(self.ids)} nucle")
        names = segmentation.table["class"].tolist()
        for number, name in zip(self.ids, names, strict=True):
            wanted = [int(COLOURS[NAMES.index(name)][i : i + 2], 16) / 255 for i in (1, 3, 5)]
            assert self.labels.colormap.map(number)[:3] == pytest.approx(wanted, abs=0.01)
        return True


@pytest.fixture
def hand(desk, slide):
    return Hand(desk, slide)


def test_a_missed_nucleus_painted_with_the_number_of_another(hand):
    """The brush has the number of nucleus 1, as it had when napari chose it."""
    hand.use(hand.labels)
    hand.key("2")
    assert hand.labels.mode == "paint"
    hand.labels.selected_label = 1
    hand.paint(CLEAR, (CLEAR[0], CLEAR[1] + 15))
    assert hand.ids == [1, 2, 3, 4]
    assert "Nucleus 4 is new" in hand.status
    assert hand.labels.data[CLEAR] == 4
    assert hand.seen()
    hand.key("Ctrl+Z")
    assert hand.state() == hand.before
    assert not hand.dock.past.undo.isEnabled()  # there is no other history
    hand.key("Ctrl+Z")
    assert hand.state() == hand.before
    hand.key("Ctrl+Shift+Z")
    assert hand.ids == [1, 2, 3, 4]
    assert hand.seen()


@pytest.mark.parametrize("by", ["button", "key on the canvas", "key in the dock"])
def test_new_nucleus(hand, by):
    assert hand.slide in hand.desk.viewer.layers.selection
    if by == "button":
        hand.desk.press(hand.dock, "New nucleus")
    else:
        hand.key("N", hand.focus(by.split()[-1]))
    assert hand.labels.mode == "paint"
    assert hand.labels.selected_label == 4
    hand.paint(CLEAR, (CLEAR[0], CLEAR[1] + 12))
    assert hand.dock.nucleus == 4
    assert "stroma" in hand.status  # the most frequent class
    assert hand.dock.details.choice.currentText() == "stroma"
    hand.key("3")
    assert hand.dock.segmentation.nucleus(4)["class"] == "lymphocyte"
    hand.paint((CLEAR[0] + 50, CLEAR[1]), (CLEAR[0] + 50, CLEAR[1] + 12))  # apart: one more
    assert hand.dock.nucleus == 5
    assert hand.dock.segmentation.nucleus(5)["class"] == "lymphocyte"  # as the last was
    hand.key("N")
    hand.paint((CLEAR[0] + 50, CLEAR[1] + 20), (CLEAR[0] + 50, CLEAR[1] + 32))  # beside the last
    assert hand.ids == [1, 2, 3, 4, 5, 6]
    hand.paint((CLEAR[0] + 52, CLEAR[1] + 26), (CLEAR[0] + 65, CLEAR[1] + 30))
    assert "Nucleus 6 has a new outline" in hand.status
    assert hand.seen()
    hand.desk.picture("nuclei-new")


@pytest.mark.parametrize("where", ["canvas", "dock", "layer list", "another dock"])
def test_one_history_wherever_the_focus_is(hand, where):
    states = [hand.state()]

    def done():
        assert hand.state() != states[-1], hand.status
        states.append(hand.state())

    hand.desk.press(hand.dock, "New nucleus")
    hand.paint(CLEAR, (CLEAR[0], CLEAR[1] + 12))
    done()
    hand.key("3")
    done()
    hand.paint((35, 10), (35, 60))  # over nucleus 1, apart from 4: it is cut in two
    done()
    hand.key("E")
    hand.paint((110, 30), (190, 60), (230, 60))  # into nucleus 3
    done()
    hand.key("Z")
    hand.click(35, 115)
    assert hand.dock.nucleus == 2
    hand.key("Delete")
    done()
    target = hand.focus(where)
    if where == "another dock":
        hand.use(hand.slide)
    for state in states[-2::-1]:
        hand.key("Ctrl+Z", target)
        assert hand.state() == state
        assert hand.seen()
    hand.key("Ctrl+Z", target)
    for state in states[1:]:
        hand.key("Ctrl+Shift+Z", target)
        assert hand.state() == state
        assert hand.seen()
    hand.desk.press(hand.dock.past.undo)
    assert hand.state() == states[-2]
    assert hand.dock.past.undo.text().startswith("Undo ")


@pytest.mark.parametrize("where", ["canvas", "dock", "another dock"])
def test_delete_deletes_the_nucleus_and_no_layer(hand, where):
    layers = list(hand.desk.viewer.layers)
    target = hand.focus(where)
    hand.key("Delete", target)  # none is chosen
    hand.click(35, 35)
    assert hand.dock.nucleus == 1
    assert "(Delete)" in hand.dock.details.delete.toolTip()
    hand.key("Delete", target)
    assert hand.ids == [2, 3]
    assert hand.dock.nucleus is None
    hand.key("Delete", target)
    assert hand.ids == [2, 3]
    assert [one for one in hand.desk.viewer.layers if one.name != "Chosen nucleus"] == layers
    hand.key("Ctrl+Z", target)
    assert hand.state() == hand.before
    assert hand.dock.nucleus == 1  # it is shown again


def test_the_hand_stays_a_hand_when_something_is_undone(hand, monkeypatch):
    """Z puts the brush away; Ctrl+Z, later, does not take it up again."""
    application = get_settings().application
    monkeypatch.setattr(application, "hold_button_delay", 60.0)  # no key is held for as long
    hand.desk.press(hand.dock, "New nucleus")
    assert hand.labels.mode == "paint"
    hand.key("Z")
    monkeypatch.setattr(application, "hold_button_delay", 0.0)  # as if it were later
    assert hand.labels.mode == "pan_zoom"
    hand.click(35, 35)
    hand.key("Delete")
    hand.key("Ctrl+Z")
    assert hand.labels.mode == "pan_zoom"
    hand.click(*CLEAR)
    assert hand.state() == hand.before


def test_keys_that_are_text_or_another_layers(hand):
    hand.click(35, 35)
    name = hand.dock.numbers.table.rows[0].name
    hand.dock.pages.setCurrentWidget(hand.dock.numbers)
    name.setReadOnly(False)
    hand.desk.type(name, "ab2")
    assert isinstance(name, QLineEdit)
    QTest.keyClick(name, Qt.Key.Key_Home)
    QTest.keyClick(name, Qt.Key.Key_Delete)
    QTest.keyClicks(name, "N")
    assert name.text() == "Nb2"
    QTest.keyClick(name, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert name.text() != "Nb2"
    assert hand.state() == hand.before
    assert hand.labels.mode == "pan_zoom"
    shapes = hand.desk.viewer.add_shapes(
        [np.array([[0, 0], [0, 9], [9, 9.0]])], shape_type="polygon"
    )
    shapes.selected_data = {0}
    hand.key("Delete")  # napari's: the shape
    assert shapes.nshapes == 0
    assert hand.state() == hand.before
    other = hand.desk.viewer.add_labels(np.zeros((50, 50), np.int32))
    other.fill((3, 3), 2)
    hand.key("Ctrl+Z")  # its own history
    assert not other.data.any()


def test_delete_in_the_layer_list_is_naparis(hand):
    hand.click(35, 35)
    other = hand.desk.viewer.add_labels(np.zeros((50, 50), np.int32))
    hand.use(other)
    hand.key("Delete", hand.focus("layer list"))
    assert other not in hand.desk.viewer.layers
    assert hand.state() == hand.before


@pytest.mark.parametrize("by", ["button", "key"])
def test_the_layer_of_nuclei_comes_back_with_its_corrections(hand, by):
    hand.desk.press(hand.dock, "New nucleus")
    hand.paint(CLEAR, (CLEAR[0], CLEAR[1] + 12))
    corrected = hand.state()
    hand.use(hand.labels)
    hand.key("Delete", hand.focus("layer list"))  # napari's: the layer
    assert hand.labels not in hand.desk.viewer.layers
    assert hand.dock.segmentation is None  # what is not seen is neither counted nor kept
    assert not hand.dock.form.result.text()
    assert not hand.dock.corrections.keep_button.isEnabled()
    assert not hand.dock.export.isEnabled()
    assert "brings it back" in hand.status
    if by == "button":
        hand.desk.press(hand.dock, "Undo removal of the nuclei")
    else:
        hand.key("Ctrl+Z")
    hand.labels = next(one for one in hand.desk.viewer.layers if one.name == "Nuclei (case)")
    assert hand.state() == corrected
    assert hand.seen()
    hand.key("Ctrl+Z")
    assert hand.state() == hand.before


def test_the_fill_and_the_polygon(hand):
    hand.use(hand.labels)
    hand.key("4")
    assert hand.labels.mode == "fill"
    hand.labels.selected_label = 2
    with hand.desk.expecting("too large to be one"):
        hand.click(*CLEAR)
    assert hand.state() == hand.before
    hand.click(35, 35)  # nucleus 1, with the number of 2: another number for the same pixels
    assert hand.ids == [2, 3, 4]
    assert hand.seen()
    hand.key("Ctrl+Z")
    assert hand.state() == hand.before
    hand.labels.mode = "polygon"  # its key is a class's while a nucleus is chosen
    for corner in ((140, 140), (140, 170), (170, 170)):
        hand.click(*corner)
    hand.key("Return")
    hand.desk.wait(lambda: len(hand.ids) == 4, "the polygon", 5)
    assert hand.seen()
    hand.key("Ctrl+Z")
    assert hand.state() == hand.before


def test_beside_the_labels_and_across_their_border(hand):
    hand.desk.press(hand.dock, "New nucleus")
    hand.paint((SIZE + 30, 100), (SIZE + 30, 120))
    assert hand.state() == hand.before
    assert "not looked for there" in hand.status
    hand.paint((SIZE - 10, 100), (SIZE + 30, 100))
    assert hand.ids == [1, 2, 3, 4]
    assert hand.seen()


def test_the_brush_has_the_number_of_the_chosen_nucleus(hand):
    hand.click(35, 35)
    assert hand.labels.selected_label == 1
    hand.use(hand.labels)
    hand.key("P")
    hand.paint((35, 48), (35, 60))  # from within
    assert "Nucleus 1 has a new outline" in hand.status
    assert hand.ids == [1, 2, 3]
    hand.key("L")  # napari's picker
    hand.click(35, 115)
    assert hand.dock.nucleus == 2
    hand.key("M")  # napari's new label
    assert hand.dock.nucleus is None
    assert hand.labels.selected_label == 4


def test_a_nucleus_of_a_hidden_class_is_seen_once_it_is_painted(hand):
    hand.dock.numbers.table.rows[1].shown.setChecked(False)
    assert hand.labels.colormap.map(2)[3] == 0
    hand.desk.press(hand.dock, "New nucleus")
    hand.paint(CLEAR, (CLEAR[0], CLEAR[1] + 12))
    assert hand.dock.segmentation.nucleus(4)["class"] == "stroma"
    assert hand.seen()
    assert hand.labels.colormap.map(4)[3] > 0


def test_what_is_kept_and_trained_on_is_what_is_seen(hand):
    hand.desk.press(hand.dock, "New nucleus")
    hand.paint(CLEAR, (CLEAR[0], CLEAR[1] + 12))
    hand.key("3")
    hand.paint((35, 10), (35, 60))
    hand.desk.press(hand.dock.corrections.keep_button)
    hand.desk.wait(lambda: hand.dock.run is None, "the file")
    assert "Kept in case.ome.tif.nuclei.geojson" in hand.status
    assert hand.labels.mode == "paint"  # one can go on
    with Slide.open(hand.path) as opened:
        kept = annotated.read(annotated.store(hand.path).beside, opened)
    seen = hand.labels.data
    ids, back = np.unique(seen, return_inverse=True)
    others = np.unique(kept.labels)
    assert len(others) == len(ids)
    pairs = set(zip(back.ravel().tolist(), np.asarray(kept.labels).ravel().tolist(), strict=True))
    assert len(pairs) == len(ids)  # the same pixels, nucleus by nucleus
    assert sorted(kept.table["class"]) == sorted(hand.dock.segmentation.table["class"])
    regions, skipped = annotated.annotated_regions([annotated.store(hand.path)])
    assert not skipped
    np.testing.assert_array_equal(regions[0].mask > 0, seen > 0)
    assert len(regions[0].classes) == len(hand.ids)


def test_a_run_asks_before_it_replaces_corrections(hand):
    hand.click(35, 35)
    hand.key("Delete")
    with hand.desk.answering(press_in("No")) as (asked,):
        hand.desk.press(hand.dock.form.run)
    assert "Your corrections on case.ome.tif are not kept: they would be lost." in asked.text
    assert hand.dock.run is None
    assert hand.ids == [2, 3]
    hand.desk.press(hand.dock.corrections.keep_button)
    hand.desk.wait(lambda: hand.dock.run is None, "the file")
    hand.desk.press(hand.dock.form.run)  # nothing is asked
    hand.desk.wait(lambda: hand.dock.run is None, "the run")
    assert hand.ids != [2, 3]
    assert hand.dock.unsaved() == ""


@pytest.mark.parametrize("way", ["window", "dock"])
def test_closing_asks_before_corrections_are_lost(hand, way):
    hand.click(35, 35)
    hand.key("Delete")
    napari_asks = [press_in("Close", QDialog)] if way == "window" else []
    with hand.desk.answering(*napari_asks, press_in("Don't close")) as (*_, asked):
        if way == "window":
            hand.desk.key("Ctrl+W")
        else:
            bar = above(hand.dock, QDockWidget).titleBarWidget()
            hand.desk.press(bar.findChild(QPushButton, "QTitleBarCloseButton"))
    assert "Your corrections on case.ome.tif are not kept: they would be lost." in asked.text
    assert hand.dock.isVisible()
    hand.key("Ctrl+Z")
    assert hand.dock.unsaved() == ""
