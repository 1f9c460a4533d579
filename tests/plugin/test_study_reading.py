"""A reader's session in the dock: keys, times, breaks, and what may go wrong."""

from __future__ import annotations

import errno
import time

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget
from simulated_reader import begin, press, wait
from small_studies import answers, make_study

from napari_pathogan.plugin.study.dock import StudyDock
from napari_pathogan.study.chain import ChainWriter
from napari_pathogan.study.record import Session

pytestmark = pytest.mark.gui

READER = "Dr. Eva"


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path, 6, practice=2, controls=0, repeats=0, block=4)


@pytest.fixture
def dock(viewer):
    viewer.window.resize(900, 600)
    made = StudyDock(viewer)
    viewer.window.add_dock_widget(made, name="Reader study")
    wait(made.isVisible)
    return made


def start(dock, study, reader=READER):
    """Go to the first image."""
    begin(dock, study.folder, reader)
    press(dock.window(), Qt.Key.Key_Return)
    wait(lambda: dock.reading.on_screen)


def answer(dock, *keys):
    """Press keys and Enter, and wait for what comes."""
    session = dock.reading.session
    before = session.answered
    for key in (*keys, Qt.Key.Key_Return):
        press(dock.window(), key)
    assert session.answered == before + 1
    if dock.reading.currentWidget() is dock.reading.page:
        wait(lambda: dock.reading.on_screen)


def test_first_use(dock, study, tmp_path, told):
    reading = dock.reading
    assert reading.start.welcome.isVisible()
    assert not reading.start.begin.isVisible()
    assert dock.minimumSizeHint().width() <= 320
    reading.open(tmp_path / "real")
    assert "study.json can't be read" in told.pop()
    assert reading.start.welcome.isVisible()
    reading.open(study.folder)
    assert not reading.start.welcome.isVisible()
    assert "12 images, one at a time; no reader yet" in reading.start.about.text()
    assert not reading.start.begin.isEnabled()
    reading.start.reader.setText(READER)
    reading.start.begin.click()
    assert study.consent in reading.consent.text.text()
    reading.consent.go.click()  # without agreeing
    assert not reading.running
    reading.consent.back.click()
    assert reading.currentWidget() is reading.start
    assert not list((study.folder / "readers").iterdir())
    other = StudyDock(dock.viewer)  # the study is remembered
    assert other.reading.start.study.currentData() == study.folder
    (study.folder / "images" / f"{next(iter(study.manifest.images))}.png").unlink()
    reading.offer()
    assert "lacks 1 of its images" in reading.start.about.text()
    assert not reading.start.begin.isEnabled()
    other.deleteLater()


def test_answers_by_keys_and_buttons(dock, study, viewer):
    reading, page = dock.reading, dock.reading.page
    window = dock.window()
    viewer.add_image(np.zeros((30, 30)), name="case-17, generated")
    start(dock, study)
    assert page.place.text() == "Practice 1 of 2"
    shown = [layer for layer in viewer.layers if layer.visible]
    assert [layer.name for layer in shown] == ["Image"]
    assert shown[0].metadata == {}
    assert shown[0].source.path is None
    assert not dock.tabs.tabBar().isVisible()
    press(window, Qt.Key.Key_Return)  # nothing is answered yet
    press(window, Qt.Key.Key_R)
    press(window, Qt.Key.Key_Return)  # not how sure
    assert answers(study) == []
    press(window, Qt.Key.Key_5)
    answer(dock, Qt.Key.Key_G, Qt.Key.Key_2)  # another answer after all
    assert page.choice is page.confidence is None
    QTest.mouseClick(page.choices["real"], Qt.MouseButton.LeftButton)
    QTest.mouseClick(page.confidences[3], Qt.MouseButton.LeftButton)
    assert page.chosen.text() == "Your answer: <b>Real, sure</b>"
    QTest.mouseClick(page.confirm, Qt.MouseButton.LeftButton)
    given = [(x["choice"], x["confidence"]) for x in answers(study)]
    assert given == [("generated", 2), ("real", 4)]
    assert "That was the practice" in reading.rest.text.text()
    press(window, Qt.Key.Key_Escape)
    assert [(x.name, x.visible) for x in viewer.layers] == [("case-17, generated", True)]


def test_time_pauses_zoom_breaks_and_the_end(dock, study, viewer):
    reading, window = dock.reading, dock.window()
    start(dock, study)
    first = viewer.layers["Image"].data
    began = time.monotonic()
    press(window, Qt.Key.Key_Escape)
    assert not viewer.layers["Image"].visible
    time.sleep(0.7)
    press(window, Qt.Key.Key_Return)
    wait(lambda: reading.on_screen)
    assert viewer.layers["Image"].data is first
    answer(dock, Qt.Key.Key_R, Qt.Key.Key_1)
    paused = answers(study)[-1]
    assert paused["time_s"] <= time.monotonic() - began - 0.7
    assert len(paused["zooms"]) == 1
    viewer.scene.camera.zoom *= 2
    answer(dock, Qt.Key.Key_R, Qt.Key.Key_1)
    zoomed = answers(study)[-1]
    before, after = zoomed["zooms"]
    assert after["zoom"] == pytest.approx(2 * before["zoom"])
    assert 0 <= before["t"] <= after["t"] <= zoomed["time_s"]

    press(window, Qt.Key.Key_Return)
    wait(lambda: reading.on_screen)
    assert reading.page.place.text() == "Image 1 of 12"
    for _ in range(4):
        answer(dock, Qt.Key.Key_R, Qt.Key.Key_1)
    assert "4 of 12 images are done" in reading.rest.text.text()
    press(window, Qt.Key.Key_Escape)
    assert not reading.running
    begin(dock, study.folder, "dr.  EVA")
    assert "You go on at image 5 of 12" in reading.rest.text.text()
    session = reading.session
    while reading.running:
        if reading.currentWidget() is reading.rest:
            press(window, Qt.Key.Key_Return)
            wait(lambda: reading.on_screen)
        answer(dock, Qt.Key.Key_G, Qt.Key.Key_3)
    assert session.receipt in reading.rest.text.text()
    assert len({x["trial"] for x in answers(study)}) == len(answers(study)) == 14
    assert dock.tabs.tabBar().isVisible()
    reading.rest.leave.click()
    reading.start.begin.click()
    reading.consent.agree.setChecked(True)
    reading.consent.go.click()  # there is nothing left
    assert "Thank you" in reading.rest.text.text()
    assert not reading.running


def test_pairs(dock, tmp_path, viewer):
    study = make_study(tmp_path, 3, mode="pairs", practice=0, controls=0, repeats=0)
    start(dock, study)
    assert dock.reading.page.place.text() == "Pair 1 of 3"
    assert [layer.name for layer in viewer.layers] == ["Left", "Right"]
    answer(dock, Qt.Key.Key_Right, Qt.Key.Key_1)
    answer(dock, Qt.Key.Key_R, Qt.Key.Key_Left, Qt.Key.Key_5)
    assert [x["choice"] for x in answers(study)] == ["right", "left"]


def test_an_answer_that_cannot_be_written_is_kept(dock, study, told, monkeypatch, viewer):
    start(dock, study)
    image = viewer.layers["Image"].data
    put = ChainWriter._put

    def full(self, file, line):
        put(self, file, line[:20])  # half of it fits
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ChainWriter, "_put", full)
    for key in (Qt.Key.Key_R, Qt.Key.Key_4, Qt.Key.Key_Return):
        press(dock.window(), key)
    assert "disk is full" in told[0]
    assert "press Enter to try again" in told[0]
    assert answers(study) == []
    assert dock.reading.running
    assert viewer.layers["Image"].data is image
    assert dock.reading.page.choice == "real"
    tried = dock.reading._given[2]
    monkeypatch.setattr(ChainWriter, "_put", put)
    time.sleep(0.3)
    answer(dock)
    (written,) = answers(study)
    assert (written["choice"], written["confidence"]) == ("real", 4)
    assert written["time_s"] == pytest.approx(tried, abs=1e-3)
    assert viewer.layers["Image"].data is not image


def test_one_session_of_a_reader_at_a_time_and_images_as_they_were(dock, study, told, viewer):
    reading, window = dock.reading, dock.window()
    with Session.open(study, READER):
        reading.open(study.folder)
        reading.start.reader.setText(READER)
        reading.start.begin.click()
        reading.consent.agree.setChecked(True)
        reading.consent.go.click()
        assert "Dr. Eva has a session open already" in told.pop()
        assert not reading.running
        assert not window.menuBar().isHidden()
    start(dock, study)
    answer(dock, Qt.Key.Key_R, Qt.Key.Key_1)
    for name in study.manifest.images:
        Image.new("RGB", (24, 24)).save(study.folder / "images" / f"{name}.png")
    for key in (Qt.Key.Key_R, Qt.Key.Key_1, Qt.Key.Key_Return, Qt.Key.Key_Return):
        press(window, key)
    assert "was changed or swapped" in told.pop()
    assert len(answers(study)) == 2
    assert_left(dock, study, viewer)


@pytest.mark.parametrize("how", ["layer", "hide", "dock", "viewer"])
def test_closing_in_the_middle(dock, study, viewer, how):
    start(dock, study)
    answer(dock, Qt.Key.Key_R, Qt.Key.Key_1)
    press(dock.window(), Qt.Key.Key_G)
    if how == "layer":
        viewer.layers.clear()
    elif how == "hide":
        dock.parent().hide()
    elif how == "dock":
        viewer.window.remove_dock_widget(dock)
    else:
        viewer.close()
    assert not dock.reading.running
    assert len(answers(study)) == 1
    if how == "viewer":
        Session.open(study, READER).close()
    else:
        assert_left(dock, study, viewer)


def assert_left(dock, study, viewer):
    """The session is over, its lock is free, the viewer is as before."""
    assert not dock.reading.running
    Session.open(study, READER).close()
    assert len(viewer.layers) == 0
    assert viewer.canvas.background_color_override is None
    docks = viewer.window._qt_window.findChildren(QDockWidget)
    assert {"layer list", "layer controls"} <= {d.objectName() for d in docks if not d.isHidden()}
    assert not viewer.window._qt_window.menuBar().isHidden()
