"""Mammograms of two patients, opened as a user opens them: who does is told, and chooses."""

from __future__ import annotations

import pydicom
import pytest
from napari._qt.dialogs.qt_reader_dialog import QtReaderDialog
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QRadioButton

from desk import Answer, button_in, choose, dismiss, press_in
from napari_pathogan.plugin.viewer.mammogram_choice import ExaminationDialog
from napari_pathogan.plugin.viewer.samples import FOLDER, PHANTOM_STUDY

pytestmark = pytest.mark.gui


@pytest.fixture
def files(tmp_path):
    """RCC and LCC of the phantom, as if each were of another patient."""
    made = []
    for number, view in enumerate(("RCC", "LCC"), 1):
        header = pydicom.dcmread(FOLDER / PHANTOM_STUDY / "images" / f"{view}.dcm")
        header.StudyInstanceUID = f"1.2.826.0.1.{number}"
        made.append(tmp_path / f"patient{number}.dcm")
        header.save_as(made[-1])
    return made


def untick(row):
    """Take the tick from a row, and press Open."""

    def give(dialog):
        box = dialog.list.visualItemRect(dialog.items[row])
        middle = QPoint(box.left() + 12, box.center().y())
        QTest.mouseClick(dialog.list.viewport(), Qt.MouseButton.LeftButton, pos=middle)
        QTest.mouseClick(button_in(dialog, "Open"), Qt.MouseButton.LeftButton)

    return Answer(ExaminationDialog, give)


def ours(dialog):
    """Choose PathoGAN where napari asks for a reader."""
    (choice,) = [one for one in dialog.findChildren(QRadioButton) if one.text() == "PathoGAN"]
    QTest.mouseClick(choice, Qt.MouseButton.LeftButton, pos=QPoint(8, choice.height() // 2))
    QTest.mouseClick(button_in(dialog, "OK"), Qt.MouseButton.LeftButton)


def test_open_mammograms_tells_and_lets_choose(desk, files):
    dock = desk.dock("Mammogram masses")
    with desk.answering(choose(*files), dismiss(ExaminationDialog)):
        desk.press(dock.welcome.open)
    assert not desk.viewer.layers
    with desk.answering(choose(*files), untick(0)):
        desk.press(dock.welcome.open)
    desk.wait(lambda: len(desk.viewer.layers) == 1, "the one that was chosen")
    assert [layer.name for layer in desk.viewer.layers] == ["LCC [synthetic]"]


def test_a_folder_is_asked_about_too_and_both_hang_apart(desk, files):
    folder = files[0].parent
    with desk.answering(choose(folder), Answer(QtReaderDialog, ours), dismiss(ExaminationDialog)):
        desk.menu("File", "Open Folder...")
    assert not desk.viewer.layers
    both = press_in("Open", ExaminationDialog)
    with desk.answering(choose(folder), Answer(QtReaderDialog, ours), both):
        desk.menu("File", "Open Folder...")
    desk.wait(lambda: len(desk.viewer.layers) == 2, "both")
    hang_apart(desk)
    desk.rest(0.5)
    desk.picture("two_examinations")


def test_files_that_napari_hands_over_one_by_one_hang_apart(desk, files):
    with desk.answering(choose(*files), Answer(QtReaderDialog, ours)):
        desk.menu("File", "Open File(s)...")
    desk.wait(lambda: len(desk.viewer.layers) == 2, "both")
    hang_apart(desk)


def hang_apart(desk):
    one, other = desk.viewer.layers
    assert [one.name, other.name] == ["1: RCC [synthetic]", "2: LCC [synthetic]"]
    assert one.extent.world[1, -1] < other.extent.world[0, -1] - 5  # mm
    told = [line for line in desk.notifications if "never as one" in line]
    assert len(told) == 1
    assert told[0].endswith("1 is patient1.dcm; 2 is patient2.dcm")
    assert "1.2.826" not in told[0]
