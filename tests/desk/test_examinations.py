"""Mammograms of two patients, opened as a user opens them: who does is told, and chooses."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from napari._qt.dialogs.qt_reader_dialog import QtReaderDialog
from napari.layers import Points
from PIL import Image
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent, QFont, QFontMetrics
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QRadioButton

from desk import Answer, button_in, choose, dismiss, press_in
from napari_pathogan.plugin.viewer.layers import is_looked_at
from napari_pathogan.plugin.viewer.mammogram_choice import ExaminationDialog
from napari_pathogan.plugin.viewer.opened import HIDDEN, show_all
from napari_pathogan.plugin.viewer.samples import FOLDER, PHANTOM_STUDY
from napari_pathogan.tasks.masses.review import Decision

pytestmark = pytest.mark.gui


SECRETS = ("1.2.826", "PID")


@pytest.fixture(params=["study", "patient"])
def files(tmp_path, request):
    """RCC and LCC of the phantom, as if each were of another patient: by UID, or by ID alone."""
    made = []
    for number, view in enumerate(("RCC", "LCC"), 1):
        header = pydicom.dcmread(FOLDER / PHANTOM_STUDY / "images" / f"{view}.dcm")
        header.StudyInstanceUID = f"1.2.826.0.1.{number if request.param == 'study' else 7}"
        header.PatientID = f"PID{number}"
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
    desk.wait(lambda: len(desk.viewer.layers) == 3, "both, and what they are called")
    hang_apart(desk)
    desk.rest(0.5)
    desk.picture("two_examinations")


def test_files_that_napari_hands_over_one_by_one_are_asked_about_once(used, files):
    with used.answering(choose(*files), dismiss(ExaminationDialog)):
        used.menu("File", "Open File(s)...")
    assert not used.viewer.layers
    with used.answering(choose(*files), untick(0)):
        used.menu("File", "Open File(s)...")
    used.wait(lambda: len(used.viewer.layers) == 1, "the one that was chosen")
    assert used.viewer.layers[0].source.path == str(files[1])
    used.viewer.layers.clear()
    with used.answering(choose(*files), press_in("Open", ExaminationDialog)):
        used.menu("File", "Open File(s)...")
    used.wait(lambda: len(used.viewer.layers) == 3, "both, and what they are called")
    hang_apart(used)


def test_views_without_a_header_may_be_put_together_there_too(used, tmp_path):
    paths = [tmp_path / f"{name}.pgm" for name in ("p1_R_CC", "p2_L_CC")]
    for path in paths:
        path.write_bytes(b"P5 40 60 255\n" + bytes(range(40)) * 60)

    def together(dialog):
        dialog.together.click()
        button_in(dialog, "Open").click()

    with used.answering(choose(*paths), Answer(ExaminationDialog, together)):
        used.menu("File", "Open File(s)...")
    used.wait(lambda: len(used.viewer.layers) == 2, "both")
    assert [layer.name for layer in used.viewer.layers] == ["p1_R_CC", "p2_L_CC"]
    assert not [line for line in used.notifications if "never as one" in line]


def test_titles_are_whole_in_view_in_a_small_window_too(used, files):
    used.dock("Mammogram masses")
    used.window.resize(1300, 650)
    used.open(files[0])
    used.wait(lambda: len(used.viewer.layers) == 1, "a patient")
    used.sample("Mammogram phantom study")
    used.wait(lambda: len(used.viewer.layers) == 6, "five views and their titles")
    used.rest(0.5)
    used.picture("titles")
    titles = used.viewer.layers["Examinations"]
    half_px = titles.text.size * 96 / 72 * 1.25  # of two lines
    images = [one for one in used.viewer.layers if one is not titles]
    top = min(used.at(one, 0, 0).y() for one in images)
    for y, x in titles.data[:2]:
        middle = used.at(titles, y, x).y()
        assert middle - half_px >= 0
        assert middle + half_px <= top
    for factor in (1, 1 / 4, 8):
        used.viewer.scene.camera.zoom *= factor
        used.rest(0.2)
        font = QFont()
        font.setPointSizeF(titles.text.size)
        metrics = QFontMetrics(font)
        halves = [
            max(map(metrics.horizontalAdvance, text.splitlines())) / 2
            for text in filter(None, titles.text.values)
        ]
        one, other = (used.at(titles, y, x).x() for y, x in titles.data[:2])
        assert abs(other - one) >= sum(halves), "titles overlap"
    assert titles.text.size == 11, "it is as large as it was"


def test_titles_come_and_go_with_the_examinations(used, files):
    with used.answering(choose(*files), press_in("Open", ExaminationDialog)):
        used.menu("File", "Open File(s)...")
    used.wait(lambda: len(used.viewer.layers) == 3, "both, and what they are called")
    used.viewer.layers.remove(used.viewer.layers["1: RCC [synthetic]"])
    used.wait(lambda: len(used.viewer.layers) == 1, "one examination needs no title")
    with used.answering(choose(files[0]), press_in("Open", ExaminationDialog)):
        used.menu("File", "Open File(s)...")
    used.wait(lambda: len(used.viewer.layers) == 3, "titles again")
    used.viewer.layers.clear()
    used.rest()
    assert not used.viewer.layers


def test_a_sample_beside_mammograms_of_another_hangs_apart_without_a_question(used, files):
    used.open(files[0])
    used.wait(lambda: len(used.viewer.layers) == 1, "a patient")
    used.sample("Mammogram phantom study")
    used.wait(lambda: len(used.viewer.layers) == 6, "five views and their titles")
    assert sorted(layer.name[:2] for layer in used.viewer.layers)[:5] == ["1:", *["2:"] * 4]


def by_menu(desk, path, *answers):
    with desk.answering(choose(path), *answers):
        desk.menu("File", "Open File(s)...")


def by_plugin(desk, path, *answers):
    with desk.answering(choose(path), Answer(QtReaderDialog, ours), *answers):
        desk.menu("File", "Open with Plugin", "Open File(s)...")


def by_dock(desk, path, *answers):
    with desk.answering(choose(path), *answers):
        desk.menu("File", "IO Utilities", "Open mammograms…")


def by_dropping(desk, path, *answers):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    viewer = desk.viewer.window._qt_viewer
    none, left = Qt.KeyboardModifier.NoModifier, Qt.MouseButton.LeftButton
    event = QDropEvent(QPointF(200, 200), Qt.DropAction.CopyAction, data, left, none)
    with desk.answering(*answers):
        viewer.dropEvent(event)  # Qt lets nobody send it without a hand that drags


@pytest.mark.parametrize("way", [by_menu, by_plugin, by_dock, by_dropping])
def test_one_that_is_opened_later_is_asked_about_too(used, files, way):
    way(used, files[0])
    used.wait(lambda: len(used.viewer.layers) == 1, "the first")
    way(used, files[0])  # again: nothing is asked
    used.wait(lambda: len(used.viewer.layers) == 2, "it again")
    used.viewer.layers.pop()
    way(used, files[1], dismiss(ExaminationDialog))
    used.rest(0.3)
    assert [layer.name for layer in used.viewer.layers] == ["RCC [synthetic]"]
    said = []

    def open_it(dialog):
        said.append(dialog.findChild(QLabel).text())
        used.picture("examination_later")
        button_in(dialog, "Open").click()

    way(used, files[1], Answer(ExaminationDialog, open_it))
    used.wait(lambda: len(used.viewer.layers) == 3, "both, and what they are called")
    hang_apart(used)
    assert said[0].startswith("This is another examination than that which is open (patient1.dcm)")


def test_one_that_is_opened_later_may_be_put_together_where_no_header_is_against_it(used, tmp_path):
    paths = [tmp_path / f"{name}.pgm" for name in ("p1_R_CC", "p2_L_CC", "p3_R_MLO")]
    for path in paths:
        path.write_bytes(b"P5 40 60 255\n" + bytes(range(40)) * 60)

    def together(dialog):
        dialog.together.click()
        button_in(dialog, "Open").click()

    by_menu(used, paths[0])
    for number, path in enumerate(paths[1:], 2):
        by_menu(used, path, Answer(ExaminationDialog, together))
        used.wait(lambda number=number: len(used.viewer.layers) == number, "it beside")
    assert [layer.name for layer in used.viewer.layers] == [path.stem for path in paths]
    assert not [line for line in used.notifications if "never as one" in line]
    first, second, third = (layer.extent.world for layer in used.viewer.layers)
    assert first[1, 1] < 0 < second[0, 1]
    assert third[0, 0] >= first[1, 0]


def test_a_picture_that_napari_opened_is_an_examination_by_itself(used, tmp_path):
    """Nobody has said that it is of the patient whose views are open."""
    used.sample("Mammogram phantom study")
    path = tmp_path / "20587054.png"
    Image.fromarray(np.random.default_rng(2).integers(0, 255, (1024, 800), np.uint8)).save(path)
    used.open(path)
    used.wait(lambda: len(used.viewer.layers) == 5, "the picture beside")
    dock = used.dock("Mammogram masses")
    used.wait(dock.form.run.isEnabled, "the model")
    used.wait(lambda: "Examinations" in used.viewer.layers, "titles")
    titles = [one for one in used.viewer.layers["Examinations"].text.values if one]
    assert [one.splitlines()[0] for one in titles] == ["Examination 1", "Examination 2"]
    assert "2: 20587054" in used.viewer.layers
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None and dock.form.result.text(), "the result")
    used.picture("picture_beside_an_examination")
    assert "Examination 1: " in dock.form.result.text()
    assert "Examination 2: " in dock.form.result.text()
    assert "5 views" not in dock.form.result.text()


@pytest.fixture
def three(used, tmp_path):
    """Views of three patients, in which all masses were looked for: the dock, and the views by number."""
    paths = []
    for number, view in enumerate(("RCC", "LCC", "RMLO"), 1):
        header = pydicom.dcmread(FOLDER / PHANTOM_STUDY / "images" / f"{view}.dcm")
        header.StudyInstanceUID = f"1.2.826.0.1.{number}"
        header.PatientID = f"PID{number}"
        paths.append(tmp_path / f"patient{number}.dcm")
        header.save_as(paths[-1])
    dock = used.dock("Mammogram masses")
    with used.answering(choose(*paths), press_in("Open", ExaminationDialog)):
        used.press(dock.welcome.open)
    used.wait(lambda: len(dock.images) == 3, "three examinations")
    used.wait(dock.form.run.isEnabled, "the model")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None and len(dock.table.rows) >= 3, "masses")
    return dock, {int(image.name[0]): image for image in dock.images}


def select(used, layer):
    """Click a layer's row in the layer list."""
    layers = used.viewer.window._qt_viewer.layers
    row = len(used.viewer.layers) - 1 - used.viewer.layers.index(layer)
    index = layers.model().index(row, 0)
    layers.scrollTo(index)
    box = layers.visualRect(index)
    QTest.mouseClick(layers.viewport(), Qt.MouseButton.LeftButton, pos=box.center())
    assert used.viewer.layers.selection.active is layer
    used.rest(0.2)


def decided(dock):
    return [row for row in dock.table.rows if row.decision is not Decision.OPEN]


def to_mass_of(used, dock, image):
    """Choose a mass of a view in the table."""
    at = next(i for i, row in enumerate(dock.table.rows) if row.image is image)
    dock.table.selectRow(at)
    assert dock.finding == (image, dock.table.rows[at].number)
    used.rest(0.2)


def test_decisions_fall_on_masses_of_the_image_that_is_looked_at_alone(used, three):
    dock, views = three
    for hide in (False, True):  # the second time the layer is selected already
        to_mass_of(used, dock, views[3])
        assert dock.decisions.accept.isEnabled()
        select(used, views[2])
        if hide:
            used.key("F2", used.canvas())
            used.rest(0.2)
            assert [number for number, view in views.items() if view.visible] == [2]
        used.picture(f"another_image_{hide}")
        assert dock.layer is views[2]
        assert dock.table.current is None
        assert dock.finding is None
        assert not dock.decisions.accept.isEnabled()
        assert not dock.decisions.reject.isEnabled()
        for key in ("A", "R", "Delete"):
            used.key(key, used.canvas())
            used.key(key, dock)
            assert not decided(dock)
            assert dock.layer is views[2]
    to_mass_of(used, dock, views[3])  # the same row again
    assert dock.layer is views[3]
    assert views[3].visible
    used.key("A", used.canvas())
    (row,) = decided(dock)
    assert row.image is views[3]


def test_a_mass_whose_view_was_hidden_by_hand_is_shown_before_it_is_decided_on(used, three):
    dock, views = three
    to_mass_of(used, dock, views[3])
    views[3].visible = False
    used.key("A", used.canvas())
    assert views[3].visible
    assert not decided(dock)
    used.key("A", used.canvas())
    assert [row.image for row in decided(dock)] == [views[3]]


def test_an_image_that_is_chosen_is_seen(used, three):
    """However it was hidden for others, and however it is chosen; by hand, beside what lies on it, it stays hidden."""
    dock, views = three

    def seen():
        return [number for number, view in views.items() if view.visible]

    select(used, views[3])
    used.key("F2", used.canvas())
    assert seen() == [3]
    for number in (1, 2):
        select(used, views[number])
        used.wait(lambda number=number: seen() == [number], "its examination")
        assert dock.layer is views[number]
        assert is_looked_at(used.viewer, views[number])
        used.picture(f"chosen_{number}")
    dock.form.slide.setCurrentIndex(dock.form.slide.findData(views[3]))
    used.wait(lambda: seen() == [3], "its examination")
    for view in (views[1], views[2]):  # as a case comes back
        view.metadata = {name: one for name, one in view.metadata.items() if name != HIDDEN}
    select(used, views[1])
    used.wait(lambda: seen() == [1], "its examination", 10)
    select(used, views[2])
    used.wait(lambda: seen() == [2], "its examination", 10)
    show_all(used.viewer)
    assert seen() == [1, 2, 3]
    drawn = used.viewer.add_points([views[1].extent.world.mean(0)], units=views[1].units)
    views[1].visible = False
    select(used, views[1])
    assert seen() == [2, 3]
    assert drawn.visible


def hang_apart(desk):
    one, other = (layer for layer in desk.viewer.layers if not isinstance(layer, Points))
    assert [one.name, other.name] == ["1: RCC [synthetic]", "2: LCC [synthetic]"]
    ends = one.extent.world[:, -2:], other.extent.world[:, -2:]
    wide = max(float(end[1, 1] - end[0, 1]) for end in ends)
    assert 0.3 * wide < ends[1][0, 1] - ends[0][1, 1] < 0.6 * wide, "apart, and near"
    told = [line for line in desk.notifications if "never as one" in line]
    assert len(told) == 1
    assert told[0].endswith("1 is patient1.dcm; 2 is patient2.dcm")
    (titles,) = (layer for layer in desk.viewer.layers if isinstance(layer, Points))
    shown = list(filter(None, titles.text.values))
    assert shown == ["Examination 1\nRCC", "Examination 2\nLCC"]
    assert not any(secret in line for secret in SECRETS for line in (*shown, *desk.notifications))
    camera, size = desk.viewer.scene.camera, desk.viewer.canvas.size
    low, high = (camera.center[-1] + sign * size[1] / camera.zoom / 2 for sign in (-1, 1))
    assert low < ends[0][0, 1] < ends[1][1, 1] < high, "the view fits both"
    assert ends[1][1, 1] - ends[0][0, 1] > 0.5 * (high - low)
