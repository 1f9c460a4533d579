"""The neutral view of a reader's session: what is seen, and that all comes back afterwards."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget, QLabel

from napari_pathogan.plugin.study.keys import Keys
from napari_pathogan.plugin.study.stage import GREY, StudyStage, frames, magnification

GREY_LEVEL = int(GREY[1:3], 16)


@pytest.fixture
def dock(viewer):
    """A busy viewer: a stack in micrometres, a hidden photo, points, a scale bar, another dock."""
    units = ("um", "um", "um")
    viewer.add_image(np.zeros((5, 30, 40)), name="case-17", scale=(1, 2, 2), units=units)
    photo = np.zeros((20, 20, 3), np.uint8)
    viewer.add_image(photo, name="photo", rgb=True, visible=False, units=units[1:])
    viewer.add_points(np.ones((3, 2)), name="cells", units=units[1:])
    viewer.dims.point = (2, 3, 5)
    viewer.scene.camera.zoom, viewer.scene.camera.center = 3.3, (0, 11.0, 22.0)
    viewer.canvas.overlays.scale_bar.visible = True
    viewer.layers.selection = {viewer.layers[0]}
    viewer.window.add_dock_widget(QLabel("another"), name="another")
    made = QLabel("answers")
    viewer.window.add_dock_widget(made, name="Reader study")
    viewer.window.add_dock_widget(QLabel("behind"), name="behind", tabify=True)
    floating = QLabel("floating")
    viewer.window.add_dock_widget(floating, name="floating")
    frames(floating)[1].setFloating(True)
    return made


def state(viewer, dock):
    """All that a session must bring back."""
    main, _ = frames(dock)
    camera = viewer.scene.camera
    docks = main.findChildren(QDockWidget)
    return {
        "layers": [(layer.name, layer.visible) for layer in viewer.layers],
        "selected": {layer.name for layer in viewer.layers.selection},
        "camera": (camera.zoom, camera.center, camera.angles, camera.mouse_pan),
        "dims": (viewer.dims.ndisplay, viewer.dims.point),
        "overlays": {k: o.visible for k, o in viewer.canvas.overlays.items()},
        "grey": viewer.canvas.background_color_override,
        "grid": viewer.canvas.grid.enabled,
        "docks": {d.objectName(): (d.isHidden(), d.isFloating(), d.geometry()) for d in docks},
        "bars": (main.menuBar().isHidden(), main.statusBar().isHidden()),
    }


def noise(size=50, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8)


def show(stage, qtbot, *images, smooth=False):
    with qtbot.waitSignal(stage.on_screen, timeout=5000):
        stage.show(images, smooth=smooth)
    qtbot.wait(50)  # the window takes its new shape


def pixels(viewer):
    """What the canvas shows, in pixels of the screen."""
    return viewer.screenshot(canvas_only=True, flash=False)[..., :3]


class Broken(StudyStage):
    def _watch(self):
        raise ZeroDivisionError


@pytest.mark.gui
def test_everything_comes_back_as_it_was(viewer, dock, qtbot):
    qtbot.wait(100)
    frames(dock)[1].raise_()
    qtbot.wait(50)
    before = state(viewer, dock)
    stage = StudyStage(viewer, dock)
    for images, seen in (((noise(),), ["Image"]), ((noise(), noise(seed=1)), ["Left", "Right"])):
        stage.enter()
        show(stage, qtbot, *images)
        visible = [d.objectName() for d in stage.main.findChildren(QDockWidget) if d.isVisible()]
        assert visible == ["Reader study"]
        assert stage.main.menuBar().isHidden()
        assert stage.main.statusBar().isHidden()
        assert [layer.name for layer in viewer.layers if layer.visible] == seen
        assert not viewer.canvas.overlays.scale_bar.visible
        viewer.scene.camera.zoom = 7
        stage.leave()
        qtbot.waitUntil(lambda: state(viewer, dock) == before)
    stage.leave()
    with pytest.raises(ZeroDivisionError):
        Broken(viewer, dock).enter()
    qtbot.waitUntil(lambda: state(viewer, dock) == before)


@pytest.mark.gui
def test_what_is_on_the_screen(viewer, qtbot):
    dock = QLabel("answers")
    viewer.window.add_dock_widget(dock, name="Reader study")
    stage = StudyStage(viewer, dock)
    stage.enter()
    image = noise()
    show(stage, qtbot, image)
    seen, k = pixels(viewer), 10
    assert stage.view.zoom == k
    top, left = ((free - k * 50) // 2 for free in seen.shape[:2])
    # an odd pixel that is left over may lie on either side
    found = [
        seen[top + dy : top + dy + 50 * k, left + dx : left + dx + 50 * k]
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    expected = np.kron(image, np.ones((k, k, 1), np.uint8))
    assert any(np.array_equal(part, expected) for part in found)
    assert (seen[: top - 1] == GREY_LEVEL).all()
    assert (seen[:, : left - 1] == GREY_LEVEL).all()
    show(stage, qtbot, image, smooth=True)
    assert len(np.unique(pixels(viewer)[seen.shape[0] // 2, :, 0])) > 2 * 50
    show(stage, qtbot, np.full((40, 40, 3), 255, np.uint8), np.zeros((40, 40, 3), np.uint8))
    pair, k = pixels(viewer)[..., 0].astype(int), stage.view.zoom
    assert (pair == 255).sum() == (pair == 0).sum() == (40 * k) ** 2
    assert np.nonzero(pair == 255)[1].max() < np.nonzero(pair == 0)[1].min()
    stage.blank()
    assert (pixels(viewer) == GREY_LEVEL).all()
    stage.leave()
    assert len(viewer.layers) == 0


@pytest.mark.gui
def test_zoom_removal_and_closing_are_noticed(viewer, dock, qtbot):
    stage = StudyStage(viewer, dock)
    stage.enter()
    show(stage, qtbot, noise())
    looked, interrupted = [], []
    stage.looked.connect(looked.append)
    stage.interrupted.connect(lambda: interrupted.append(True))
    viewer.scene.camera.zoom = 20
    viewer.scene.camera.center = (10, 12)
    assert looked[0].zoom == 20
    assert looked[-1] == (20, 10, 12)
    late = viewer.add_image(np.ones((30, 30)), name="a heat map that is ready now")
    assert not late.visible
    viewer.layers.remove("Image")
    assert len(interrupted) == 1
    stage.eventFilter(stage.main, QCloseEvent())
    assert len(interrupted) == 2
    stage.leave()
    assert late.visible


@pytest.mark.gui
def test_keys_work_wherever_the_focus_is_and_no_others(viewer, dock):
    main, _ = frames(dock)
    canvas = main.centralWidget().findChild(QOpenGLWidget)
    keys, pressed = Keys(), []
    keys.pressed.connect(pressed.append)
    keys.listen([main])
    layer = viewer.layers[0]
    shown = layer.visible
    for widget in (canvas, dock, main):
        QTest.keyClick(widget, Qt.Key.Key_R)
        QTest.keyClick(widget, Qt.Key.Key_5)
    QTest.keyClick(canvas, Qt.Key.Key_Return)
    QTest.keyClick(canvas, Qt.Key.Key_V)  # napari: hide the layer
    QTest.keyClick(canvas, Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)  # napari: 3-D
    QTest.keyClick(canvas, Qt.Key.Key_G, Qt.KeyboardModifier.ControlModifier)
    assert pressed == ["R", "5"] * 3 + ["Enter"]
    assert layer.visible is shown
    assert viewer.dims.ndisplay == 2
    keys.listen([])
    QTest.keyClick(canvas, Qt.Key.Key_V)
    assert layer.visible is not shown
    assert pressed == ["R", "5"] * 3 + ["Enter"]


@pytest.mark.parametrize(
    ("room", "size", "most", "expected"),
    [
        ((800, 1000), (50, 50), 99, 15),
        ((800, 1000), (50, 50), 10, 10),
        ((800, 400), (50, 112), 10, 3),
        ((300, 300), (512, 512), 1, 1),
        ((900, 900), (900, 900), 0, 1),
    ],
)
def test_magnification(room, size, most, expected):
    assert magnification(room, size, most) == expected
