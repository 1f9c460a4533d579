"""What is open, listed: one shown alone, hidden and closed with what lies on it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget, QMessageBox

from desk import press_in
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.commands import show_slide
from napari_pathogan.plugin.viewer.layers import is_looked_at

pytestmark = pytest.mark.gui


def slide(path, mpp, side=600):
    pixels = np.full((side, 2 * side, 3), 240, np.uint8)
    pixels[side // 4 : side // 2, side // 2 : side] = (190, 110, 170)
    said = f"Aperio Image Library v12|AppMag = 20|MPP = {mpp}"
    tifffile.imwrite(
        path, pixels, photometric="rgb", tile=(256, 256), description=said, metadata=None
    )
    return path


def click(used, dock, row):
    """Click on a row where it is seen."""
    at = dock.list.visualItemRect(dock.list.item(row)).center()
    QTest.mouseClick(dock.list.viewport(), Qt.MouseButton.LeftButton, pos=at)
    used.rest(0.1)


def click_with_ctrl(used, dock, row):
    at = dock.list.visualItemRect(dock.list.item(row)).center()
    control = Qt.KeyboardModifier.ControlModifier
    QTest.mouseClick(dock.list.viewport(), Qt.MouseButton.LeftButton, control, at)
    used.rest(0.1)


def bring(used, dock):
    """Bring a dock to the front of its tabs, as a click on its tab."""
    frame = dock
    while not isinstance(frame, QDockWidget):
        frame = frame.parentWidget()
    frame.raise_()
    used.wait(lambda: dock.list.isVisible() and not dock.visibleRegion().isEmpty(), "its tab")


def rows(dock):
    return [row.text.text() for row in dock.list.rows]


@pytest.fixture
def three(used, tmp_path):
    """The sample with a heat map, a slide beside it, and a study."""
    dock, idc = used.dock("Slides"), used.dock("IDC heat map")
    assert dock.start.text().startswith("<b>Nothing is open")
    used.sample("H&E phantom slide")
    used.wait(idc.form.run.isEnabled, "the model")
    used.press(idc.form.run)
    used.wait(lambda: idc.run is None and idc.heat is not None, "the map")
    used.open(slide(tmp_path / "other.svs", 0.5))
    used.sample("Mammogram phantom study")
    used.wait(lambda: len(dock.opened) == 3, "the list")
    used.wait(lambda: len(dock._pictures) == 3, "their pictures")
    bring(used, dock)
    used.rest(1.0)
    return dock


def says_what_each_is_and_what_was_found(used, three):
    used.picture("slides")
    phantom, other, study = rows(three)
    assert "he_phantom" in phantom
    assert "IDC" in phantom
    assert "mm²" in phantom
    assert "0.5 µm/px (Aperio MPP), 0.6 x 0.3 mm" in other
    assert "Mammograms: RCC, LCC, RMLO, LMLO [synthetic]" in study
    assert "0.3 mm/px (at detector), 206 x 254 mm" in study
    assert used.cut_texts(three) == []


def shows_the_chosen_one_alone_and_docks_look_at_it(used, three):
    viewer = used.viewer
    map_, doubt = (
        next(x for x in viewer.layers if x.name.startswith(f"IDC {what}"))
        for what in ("probability", "uncertainty")
    )
    idc = used.docked("IDC heat map") or next(d for d in three.docks if d.title == "IDC heat map")
    for row, hidden in ((1, [0, 2]), (2, [0, 1]), (0, [1, 2])):
        click(used, three, row)
        assert [i for i, one in enumerate(three.opened) if one.hidden] == hidden
        assert is_looked_at(viewer, three.opened[row].first)
        assert map_.visible == (row == 0)
        assert not doubt.visible, "what was hidden before stays hidden"
    assert idc.layer is three.opened[0].first
    used.picture("slides-alone")
    three.list.setFocus()
    used.key("Down", three.list)
    assert [one.hidden for one in three.opened] == [True, False, True]
    assert idc.layer is three.opened[1].first
    flips_between_the_same_place(used, three)
    click(used, three, 0)
    click_with_ctrl(used, three, 2)
    assert [one.hidden for one in three.opened] == [False, True, True], "they wait for the button"
    used.press(three, "Side by side")
    assert [one.hidden for one in three.opened] == [False, True, False]
    assert all(is_looked_at(viewer, three.opened[row].first) for row in (0, 2))
    assert len(three.marked) == 2
    used.picture("slides-beside")
    used.press(three, "Show all")
    assert not any(one.hidden for one in three.opened)
    assert map_.visible
    assert not doubt.visible
    click(used, three, 0)
    assert three.buttons["Close"].isEnabled()
    click_with_ctrl(used, three, 0)
    assert not three.buttons["Close"].isEnabled(), "none is chosen"


def flips_between_the_same_place(used, three):
    """As far from the upper left corner, and as large; without the box a slide is shown whole."""
    camera = used.viewer.scene.camera
    click(used, three, 0)
    first, second = (three.opened[row].first.extent.world[0, -2:] for row in (0, 1))
    camera.zoom *= 4
    zoom, offset = camera.zoom, np.array([900.0, 1300.0])
    camera.center = tuple(first + offset)
    used.press(three.same_place)
    three.list.setFocus()
    used.key("Down", three.list)
    assert [one.hidden for one in three.opened] == [True, False, True]
    np.testing.assert_allclose(np.array(camera.center[-2:]) - second, offset)
    assert camera.zoom == pytest.approx(zoom)
    used.rest(0.3)
    assert camera.zoom == pytest.approx(zoom), "docks leave it there"
    used.key("Up", three.list)
    np.testing.assert_allclose(np.array(camera.center[-2:]) - first, offset)
    used.press(three.same_place)
    used.key("Down", three.list)
    assert camera.zoom != pytest.approx(zoom), "it is shown whole again"


def hides_and_closes_results_with_their_image(used, three):
    viewer = used.viewer
    click(used, three, 0)
    shown = [x for x in three.opened[0].results if x.visible]
    assert shown
    used.press(three, "Hide results")
    assert not any(x.visible for x in three.opened[0].results)
    used.press(three, "Show results")
    assert [x for x in three.opened[0].results if x.visible] == shown
    used.press(three, "Close")
    used.wait(lambda: len(three.opened) == 2, "the end of it")
    assert not any("IDC" in layer.name or "phantom.ome" in layer.name for layer in viewer.layers)
    assert not all(one.hidden for one in three.opened), "no black view"
    used.rest(0.2)
    picture = viewer.screenshot(flash=False)
    assert picture[..., :3].mean() > 10


def hides_what_lies_on_the_images_while_a_key_is_held(used, three):
    shown = [x for one in three.opened for x in one.results if x.visible]
    canvas = used.canvas()
    canvas.setFocus()
    QTest.keyPress(canvas, Qt.Key.Key_H)
    used.rest(0.1)
    assert shown
    assert not any(x.visible for x in shown)
    assert not any(one.hidden for one in three.opened)
    QTest.keyRelease(canvas, Qt.Key.Key_H)
    used.rest(0.1)
    assert all(x.visible for x in shown)


def chooses_the_image_of_a_layer_that_is_selected(used, three):
    viewer = used.viewer
    viewer.layers.selection.active = next(x for x in viewer.layers if x.name.startswith("IDC prob"))
    used.rest(0.1)
    assert three.chosen is three.opened[0]
    viewer.layers.selection.active = next(x for x in viewer.layers if x.name.startswith("LMLO"))
    used.rest(0.1)
    assert three.chosen is three.opened[2]


def test_the_list(used, three):
    """In one window: to fill it takes longer than to look."""
    says_what_each_is_and_what_was_found(used, three)
    hides_what_lies_on_the_images_while_a_key_is_held(used, three)
    chooses_the_image_of_a_layer_that_is_selected(used, three)
    shows_the_chosen_one_alone_and_docks_look_at_it(used, three)
    hides_and_closes_results_with_their_image(used, three)


def test_work_that_is_kept_nowhere_is_asked_about(used):
    dock, nuclei = used.dock("Slides"), used.dock("Nuclei")
    used.sample("H&E phantom at 40x")
    used.wait(nuclei.form.run.isEnabled, "the model")
    used.press(nuclei.form.run)
    used.wait(lambda: nuclei.run is None and nuclei.segmentation is not None, "the nuclei")
    nuclei.select(int(nuclei.segmentation.table["id"].iloc[0]))
    used.key("Delete", nuclei)
    bring(used, dock)
    used.rest(1.0)
    assert "nuclei" in rows(dock)[0]
    used.picture("slides-nuclei")
    with used.answering(press_in("No", QMessageBox)) as (asked,):
        used.press(dock, "Close")
    assert "corrections" in asked.text
    assert len(dock.opened) == 1
    with used.answering(press_in("Yes", QMessageBox)):
        used.press(dock, "Close")
    used.wait(lambda: not used.viewer.layers, "the end of it")


def test_slides_of_one_name_are_told_apart_by_their_folders(used, tmp_path):
    paths = [tmp_path / folder / "scan.tif" for folder in ("case 1", "case 2")]
    for path in paths:
        path.parent.mkdir()
        shutil.copy(samples.FOLDER / samples.PHANTOM, path)
        show_slide(used.viewer, path)
    dock = used.dock("Slides")
    used.rest(1.0)
    titles = [row.partition("</b>")[0] for row in rows(dock)]
    assert titles == ["<b>scan.tif (case 1)", "<b>scan.tif (case 2)"]
    used.picture("slides-of-one-name")
