"""Mammograms as at a PACS workstation: window and level by the mouse, presets, hanging keys, lens, calibration."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from PIL import Image as Picture
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget, QLabel

from desk import enter
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.plugin.shell.form import above
from napari_pathogan.plugin.shell.keys_sheet import KeySheet
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.keys import PLUGIN
from napari_pathogan.plugin.viewer.layers import is_looked_at
from napari_pathogan.plugin.viewer.lens import Lens
from napari_pathogan.plugin.viewer.viewing import KEYS

pytestmark = pytest.mark.gui


def drag_right(used, start, end, keys=Qt.KeyboardModifier.NoModifier, seen=lambda: None):
    """Drag with the right mouse button; ``seen`` is asked before it is let go."""
    right, none = Qt.MouseButton.RightButton, Qt.MouseButton.NoButton
    used._mouse(QEvent.Type.MouseMove, start, none, none, keys)
    used._mouse(QEvent.Type.MouseButtonPress, start, right, right, keys)
    for share in (0.3, 0.6, 1.0):
        at = start + (end - start) * share
        used._mouse(QEvent.Type.MouseMove, at, none, right, keys)
        used.rest(0.05)
    found = seen()
    used._mouse(QEvent.Type.MouseButtonRelease, end, right, none, keys)
    used.rest(0.05)
    return found


def views(used):
    return {
        x.name[:4].strip(" ["): x
        for x in used.viewer.layers
        if "mammogram" in x.metadata and hasattr(x, "contrast_limits")
    }


def test_the_canvas_is_black_around_mammograms_in_any_theme(used):
    used.viewer.theme = "light"
    used.sample("Mammogram phantom study")
    used.rest(0.3)
    assert used.viewer.canvas.background_color[:3].tolist() == [0, 0, 0]
    used.picture("black-in-light")
    used.sample("H&E phantom slide")
    used.rest(0.3)
    assert used.viewer.canvas.background_color[:3].min() > 0.9
    used.viewer.layers.remove(used.viewer.layers[-1])
    used.rest(0.3)
    assert used.viewer.canvas.background_color[:3].tolist() == [0, 0, 0]
    used.viewer.layers.clear()
    used.rest(0.3)
    assert used.viewer.canvas.background_color[:3].min() > 0.9


@pytest.mark.parametrize("by", ["napari", "PathoGAN"])
def test_views_that_are_opened_file_by_file_are_all_in_view(used, tmp_path, by):
    """By napari's own reader, which the dock lays beside each other, or ours, which hangs them."""
    paths = [tmp_path / f"case_{view}.png" for view in ("R_CC", "L_CC", "R_MLO", "L_MLO")]
    for path in paths:
        Picture.fromarray(np.full((400, 300), 90, np.uint8)).save(path)
    used.menu("Plugins", "PathoGAN", "Mammogram masses")
    if by == "napari":
        used.open(*paths)
    else:
        used.viewer.open([str(path) for path in paths], plugin=PLUGIN)
    used.wait(lambda: len(views_in(used)) == 4, "the views")
    used.rest(0.5)
    used.picture(f"opened-file-by-file-{by}")
    width, height = used.canvas().width(), used.canvas().height()
    for layer in views_in(used):
        for y, x in ((0, 0), layer.data.shape):
            at = used.at(layer, y, x)
            assert 0 <= at.x() <= width, f"{layer.name} is beside the view"
            assert 0 <= at.y() <= height, f"{layer.name} is beside the view"


def views_in(used):
    return [x for x in used.viewer.layers if "mammogram" in x.metadata and hasattr(x, "gamma")]


def middle(used, layer):
    height, width = layer.data.shape
    return used.at(layer, height / 2, width / 2)


def test_a_study_is_looked_at_as_at_a_workstation(used):
    dock = used.dock("Mammogram masses")
    used.sample("Mammogram phantom study")
    used.wait(dock.form.run.isEnabled, "the model")
    shown = views(used)
    assert set(shown) == {"RCC", "LCC", "RMLO", "LMLO"}
    frame = above(dock, QDockWidget)
    bar = frame.titleBarWidget().title
    assert bar.text() == "Mammogram masses"
    assert bar.sizeHint().width() <= bar.width()
    window_and_level(used, shown)
    presets(used, dock, shown)
    hanging(used, dock, shown)
    lens(used, shown)
    sheet(used)
    assert used.cut_texts(dock) == []


def window_and_level(used, shown):
    """By the right button: numbers while it is dragged, the camera stays, other views too."""
    one = shown["RCC"]
    low, high = one.contrast_limits
    camera = used.viewer.scene.camera
    before, at = (camera.zoom, camera.center), middle(used, one)

    def numbers():
        (said,) = used.canvas().findChildren(QLabel, "window-and-level")
        used.picture("window-and-level")
        assert said.isVisible()
        return said.text()

    said = drag_right(used, at, at + QPoint(60, 0), seen=numbers)
    wider = one.contrast_limits
    assert wider[1] - wider[0] == pytest.approx((high - low) * 2 ** (60 / 300), rel=1e-3)
    assert said.startswith(f"W {wider[1] - wider[0]:,.4g} ")
    assert sum(wider) == pytest.approx(low + high, rel=1e-3)
    assert (camera.zoom, camera.center) == before
    assert shown["LCC"].contrast_limits == [low, high]
    drag_right(used, at, at + QPoint(0, -60))
    assert sum(one.contrast_limits) < sum(wider), "up is brighter"
    drag_right(used, at, at + QPoint(-90, 0), keys=Qt.KeyboardModifier.ShiftModifier)
    assert len({round(x.contrast_limits[1] - x.contrast_limits[0]) for x in shown.values()}) <= 2
    assert shown["LCC"].contrast_limits[1] - shown["LCC"].contrast_limits[0] < high - low
    used.drag(
        at, at + QPoint(20, 10), at + QPoint(50, 20)
    )  # the left one moves the view, as before
    assert camera.center != before[1]
    assert camera.zoom == before[0]
    used.rest(0.2)
    assert not used.canvas().findChildren(QLabel, "window-and-level")


def presets(used, dock, shown):
    """Of the file, and all values; by the dock and by keys; inverted."""
    one = shown["RCC"]
    used.canvas().setFocus()
    used.viewer.layers.selection.active = one
    used.key("W", used.canvas())
    first = tuple(one.contrast_limits)
    used.key("W", used.canvas())
    assert tuple(one.contrast_limits) != first
    dock.viewing.window.setCurrentText("As in the file")
    dock.viewing.window.activated.emit(0)
    for view in shown.values():
        assert tuple(view.contrast_limits) == view.metadata["mammogram"].window
    used.key("I", used.canvas())
    assert {view.colormap.name for view in shown.values()} == {"gray_r"}
    at = middle(used, one)
    before = sum(one.contrast_limits)
    drag_right(used, at, at + QPoint(0, -60))
    assert sum(one.contrast_limits) > before, "up is brighter, inverted too"
    used.press(dock.viewing.invert)
    assert {view.colormap.name for view in shown.values()} == {"gray"}
    dock.viewing.window.activated.emit(0)


def hanging(used, dock, shown):
    """CC, MLO, right, left, one, all."""

    def seen():
        return {name for name, view in shown.items() if view.visible}

    canvas = used.canvas()
    row = dock.viewing.hanging
    for key, name, expected in (
        ("F3", "CC", {"RCC", "LCC"}),
        ("F4", "MLO", {"RMLO", "LMLO"}),
        ("F5", "Right", {"RCC", "RMLO"}),
        ("F6", "Left", {"LCC", "LMLO"}),
    ):
        used.key(key, canvas)
        assert seen() == expected
        used.wait(lambda name=name: row.currentData() == name, "the row says so")
        assert all(is_looked_at(used.viewer, shown[name]) for name in expected)
    used.picture("hanging-left")
    alone = set()
    for _ in range(4):
        used.key("F7", canvas)
        assert len(seen()) == 1
        alone |= seen()
    used.wait(lambda: row.currentData() == "One", "the row says so")
    assert alone == set(shown)
    used.key("F2", dock)
    assert seen() == set(shown)
    row.setCurrentIndex(row.findData("CC"))
    row.activated.emit(row.currentIndex())
    assert seen() == {"RCC", "LCC"}
    used.key("F2", canvas)


def lens(used, shown):
    """Held, shows what is below the cursor larger; it goes when the key is let go."""
    one, canvas = shown["RCC"], used.canvas()
    at = middle(used, one)
    used._mouse(
        QEvent.Type.MouseMove,
        at,
        Qt.MouseButton.NoButton,
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
    )
    used.rest(0.1)
    QTest.keyPress(canvas, Qt.Key.Key_G)
    used.rest(0.1)
    (glass,) = canvas.findChildren(Lens)
    assert glass.isVisible()
    assert (glass.geometry().center() - at).manhattanLength() <= 4
    y, x = (np.asarray(one.data.shape) / 2).round().astype(int)
    low, high = one.contrast_limits
    grey = 255 * np.clip((float(one.data[y, x]) - low) / (high - low), 0, 1)
    middle_of_it = glass.picture.pixelColor(140, 140)
    assert middle_of_it.red() == pytest.approx(grey, abs=16)
    used.picture("lens")
    used._mouse(
        QEvent.Type.MouseMove,
        at + QPoint(30, 10),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
    )
    used.rest(0.1)
    assert (glass.geometry().center() - at - QPoint(30, 10)).manhattanLength() <= 4
    QTest.keyRelease(canvas, Qt.Key.Key_G)
    used.rest(0.1)
    assert not canvas.findChildren(Lens)


def sheet(used):
    """All of it is in the sheet of keys."""
    used.menu("File", "IO Utilities", "Keys")
    (page,) = (one for one in QApplication.topLevelWidgets() if isinstance(one, KeySheet))
    text = page.page.toPlainText()
    for key, what in KEYS.items():
        assert key in text
        assert what in text
    assert "Right button dragged" in text
    page.close()


def test_a_slide_keeps_naparis_zoom_and_its_layer_brings_it_back(used):
    dock = used.dock("IDC heat map")
    used.sample("H&E phantom slide")
    used.wait(lambda: dock.layer is not None, "the slide")
    used.rest(0.2)
    camera, layer = used.viewer.scene.camera, dock.layer
    at, zoom = middle_of(used, layer), camera.zoom
    drag_right(used, at, at + QPoint(0, -80))
    assert camera.zoom != zoom, "napari's own"
    used.viewer.layers.selection.clear()
    camera.center = (1e6, 1e6)
    assert not is_looked_at(used.viewer, layer)
    used.viewer.layers.selection.active = layer
    assert is_looked_at(used.viewer, layer)


def middle_of(used, layer):
    height, width = layer.data[0].shape[:2]
    return used.at(layer, height / 2, width / 2)


def test_a_line_of_known_length_gives_the_scale_and_slips_of_the_hand_are_no_masses(used, tmp_path):
    source = min((samples.FOLDER / samples.PHANTOM_STUDY / "images").iterdir())
    grey = (255 * open_mammogram(source).shown()).astype(np.uint8)
    Picture.fromarray(grey).save(tmp_path / "film RCC.pgm")
    dock = used.dock("Mammogram masses")
    used.open(tmp_path / "film RCC.pgm")
    used.wait(lambda: dock.layer is not None, "the view")
    used.wait(dock.form.run.isEnabled, "the model")
    layer = dock.layer
    height, width = layer.data.shape
    used.press(dock.form.measure)
    with used.answering(enter("20")) as (asked,):
        used.drag(
            used.at(layer, height / 2, width / 4), used.at(layer, height / 2, width / 4 + 200)
        )
    assert asked.title == "Known length"
    used.wait(lambda: layer.metadata["mammogram"].mm_per_px is not None, "the scale")
    assert layer.metadata["mammogram"].mm_per_px[0] == pytest.approx(0.1, rel=0.05)
    assert "Known length" not in [x.name for x in used.viewer.layers]
    used.rest(0.2)
    used.press(dock.decisions.draw)
    start = used.at(layer, height / 2, width / 4)
    with used.expecting("too small for a mass"):
        used.drag(start, start + QPoint(3, 3))
        used.rest(0.5)
    review = dock.reviews.shown(layer)
    assert review is None or not len(review)
    assert dock.layers_of(layer).outlines.nshapes == 0


def test_a_size_that_is_typed_for_one_picture_is_said_to_count_for_its_neighbours(used, tmp_path):
    """Two pictures without side, view and scale lie beside each other before it and after."""
    cells = np.random.default_rng(1).integers(0, 255, (2, 30, 20), np.uint8)
    for name, pixels in zip("ab", cells, strict=True):
        Picture.fromarray(np.kron(pixels, np.ones((20, 20), np.uint8))).save(
            tmp_path / f"{name}.png"
        )
    dock = used.dock("Mammogram masses")
    used.open(tmp_path / "a.png")
    used.open(tmp_path / "b.png")
    used.wait(dock.form.run.isEnabled, "the model")
    a, b = (layer for layer in used.viewer.layers if isinstance(layer, Image))
    used.key("I", used.canvas())
    assert (a.colormap.name, b.colormap.name) == ("gray_r", "gray_r")
    used.type(dock.form.pixel_size, "0.1")
    used.key("Return", dock.form.pixel_size)
    used.wait(lambda: all(str(x.units[-1]) == "micrometer" for x in (a, b)), "a scale for both")
    (said,) = (line for line in used.notifications if "0.1 mm" in line)
    other = next(x for x in (a, b) if x is not dock.layer)
    assert said.startswith(f"0.1 mm is taken for {other.name} too")
    ends = sorted(tuple(x.extent.world[:, -1]) for x in (a, b))
    assert ends[0][1] < ends[1][0], "beside each other"
    for layer in (a, b):
        assert is_looked_at(used.viewer, layer)
