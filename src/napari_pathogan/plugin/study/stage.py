"""The viewer while a reader judges images: nothing but the image, on a neutral mid-grey.

Everything else (other docks, menus, layers, overlays, the camera) is put away and brought back
exactly as it was.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QEvent, QObject, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_pathogan.plugin.viewer.beside_opengl import make_current
from napari_pathogan.study.asking import GAP, LARGEST_PX, MARGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari
    import numpy as np
    from napari.layers import Image, Layer
    from qtpy.QtCore import QByteArray

GREY = "#808080"
NAMES = {1: ("Image",), 2: ("Left", "Right")}  # a layer's name gives nothing away


class StageView(NamedTuple):
    """Pixels of the screen per image pixel, and the image pixel in the middle of the canvas."""

    zoom: float
    y: float
    x: float


class StudyStage(QObject):
    """Shows one image or a pair, and says when it is on the screen.

    Parameters
    ----------
    viewer
        The viewer that becomes the stage.
    dock
        The only dock that stays.
    """

    on_screen = Signal()  # the image that was shown last has been drawn
    looked = Signal(object)  # the view was zoomed or moved: a View
    framed = Signal(object)  # the canvas has another size, and the image was framed anew: a View
    interrupted = Signal()  # the window is closing, or someone has removed the image

    def __init__(self, viewer: napari.Viewer, dock: QWidget) -> None:
        super().__init__()
        self.viewer = viewer
        self.main, self.frame = frames(dock)
        self.layers: list[Image] = []
        self._undo: list[Callable[[], object]] = []
        self._shown: dict[Layer, bool] = {}  # layers of others, and whether they were visible
        self._waiting = self._painted = self._framing = self._making = False
        self._size: tuple[int, int] = (1, 1)  # of all that is shown, in image pixels
        self._side = 1  # of one image

    @property
    def entered(self) -> bool:
        """Whether the viewer is a stage at the moment."""
        return bool(self._undo)

    def enter(self) -> None:
        """Put everything away that is not the image; undone by :meth:`leave`."""
        assert not self.entered
        self._undo.append(self._focus_canvas)
        try:
            self._clear_window()
            self._clear_canvas()
            self._watch()
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Bring everything back as it was; harmless when nothing was put away."""
        self._waiting = False
        while self._undo:
            self._undo.pop()()

    def show(self, images: Sequence[np.ndarray], *, smooth: bool) -> None:
        """Show one image, or a left and a right one; :attr:`on_screen` follows.

        Parameters
        ----------
        images
            One or two images, uint8 (H, W, 3), of one size.
        smooth
            Interpolate linearly; otherwise pixels stay squares.
        """
        self._waiting, self._painted = True, False
        if [image.shape for image in images] != [layer.data.shape for layer in self.layers]:
            self._make_layers(images)
        for layer, image in zip(self.layers, images, strict=True):
            layer.data = image
            layer.interpolation2d = "linear" if smooth else "nearest"
            layer.visible = True
        height, width = images[0].shape[:2]
        self._side = max(height, width)
        self._size = height, width if len(images) == 1 else 2 * width + gap_px(width)
        self._frame_images()
        self.canvas.update()

    def blank(self) -> None:
        """Show nothing but the grey (a break, a pause)."""
        self._waiting = False
        for layer in self.layers:
            layer.visible = False

    @property
    def canvas(self) -> QOpenGLWidget:
        """The widget that napari draws on."""
        central = self.main.centralWidget()
        found = central.findChild(QOpenGLWidget) if central is not None else None
        assert found is not None, "the window shows no canvas"
        return found

    @property
    def view(self) -> StageView:
        """What the reader sees of the image."""
        camera = self.viewer.scene.camera
        y, x = camera.center[-2:]
        return StageView(camera.zoom * self.canvas.devicePixelRatioF(), float(y), float(x))

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 (Qt's name)
        """Notice that the canvas is being painted, and that the window is about to close."""
        if event is None:
            return False
        if event.type() == QEvent.Type.Paint and watched is not self.main and self._waiting:
            self._painted = all(layer.loaded for layer in self.layers)
        elif event.type() == QEvent.Type.Resize and watched is not self.main:
            QTimer.singleShot(0, self._frame_anew)  # napari takes the new size first
        elif event.type() == QEvent.Type.Close and watched is self.main:
            self.interrupted.emit()  # napari remembers which docks are hidden at its end
        return False

    # how

    def _clear_window(self) -> None:
        """Hide all docks but ours, the menus and the status bar (which tells layer names)."""
        main = self.main
        arrangement = main.saveState()
        hidden = {dock: dock.isHidden() for dock in main.findChildren(QDockWidget)}
        front = [dock for dock in hidden if not dock.visibleRegion().isEmpty()]
        self._undo.append(lambda: _arrange(main, arrangement, hidden, front))
        for dock in hidden:
            dock.setHidden(dock is not self.frame)
        title = self.frame.titleBarWidget()  # its buttons would end the session unasked
        bars = main.menuBar(), main.statusBar(), title, *_sliders(main)
        for bar in (bar for bar in bars if bar is not None):
            self._undo.append(partial(bar.setHidden, bar.isHidden()))
            bar.hide()
        layout = main.layout()
        if layout is not None:
            layout.activate()  # the canvas takes its new size now, not with the first image

    def _clear_canvas(self) -> None:
        """Hide layers and overlays; a grey background, two dimensions, no grid."""
        viewer = self.viewer
        selected = set(viewer.layers.selection)
        self._shown = shown = {layer: layer.visible for layer in viewer.layers}
        self._undo.append(lambda: _show_again(viewer, shown, selected))
        camera = viewer.scene.camera
        for name in ("zoom", "center", "angles"):
            self._undo.append(_setter(camera, name, getattr(camera, name)))
        overlays = [*viewer.canvas.overlays.values(), *viewer.scene.overlays.values()]
        self._set(viewer.dims, "ndisplay", 2)
        self._set(viewer.canvas.grid, "enabled", value=False)
        self._set(viewer.tooltip, "visible", value=False)
        self._set(viewer.canvas, "background_color_override", GREY)
        for name in ("mouse_pan", "mouse_zoom"):
            self._set(camera, name, value=True)
        for overlay in overlays:
            self._set(overlay, "visible", value=False)
        for layer in shown:
            layer.visible = False
        self._undo.append(self._remove_layers)

    def _watch(self) -> None:
        """Follow the canvas, the camera and the layer list."""
        canvas, camera = self.canvas, self.viewer.scene.camera
        for watched in (canvas, self.main):
            watched.installEventFilter(self)
            self._undo.append(partial(watched.removeEventFilter, self))
        canvas.frameSwapped.connect(self._swapped)
        self._undo.append(lambda: canvas.frameSwapped.disconnect(self._swapped))
        for emitter, callback in (
            (camera.events.zoom, self._looked),
            (camera.events.center, self._looked),
            (self.viewer.layers.events.inserted, self._inserted),
            (self.viewer.layers.events.removing, self._removing),
            (self.viewer.layers.events.removed, self._removed),
        ):
            emitter.connect(callback)
            self._undo.append(_disconnect(emitter, callback))

    def _make_layers(self, images: Sequence[np.ndarray]) -> None:
        self._remove_layers()
        self._making = True
        units = self.viewer.layers.extent.units
        width = images[0].shape[1]
        for index, (name, image) in enumerate(zip(NAMES[len(images)], images, strict=True)):
            layer = self.viewer.add_image(
                image,
                name=name,
                rgb=True,
                translate=(0, index * (width + gap_px(width))),
                units=None if units is None else units[-2:],
            )
            self.layers.append(layer)
        self._making = False

    def _remove_layers(self) -> None:
        gone, self.layers = self.layers, []
        for layer in gone:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def _frame_images(self) -> None:
        """Put the image in the middle, each of its pixels on whole pixels of the screen."""
        ratio = self.canvas.devicePixelRatioF()
        room = self.canvas.height() * ratio, self.canvas.width() * ratio
        scale = magnification(room, self._size, int(LARGEST_PX * ratio) // self._side)
        camera = self.viewer.scene.camera
        camera.center = tuple(
            (size - 1) / 2 + (round(free) - size * scale) % 2 / 2 / scale
            for size, free in zip(self._size, room, strict=True)
        )
        camera.zoom = scale / ratio

    def _frame_anew(self) -> None:
        if self.layers:
            self._framing = True
            self._frame_images()
            self._framing = False
            self.framed.emit(self.view)

    def _focus_canvas(self) -> None:
        self.canvas.setFocus()

    def _swapped(self) -> None:
        if self._waiting and self._painted:
            self._waiting = False
            self.on_screen.emit()

    def _looked(self, _event: object) -> None:
        if self.layers and not self._waiting and not self._framing:
            self.looked.emit(self.view)

    def _inserted(self, event: Any) -> None:  # noqa: ANN401  (a napari event)
        """Keep the result of another dock out of sight until the end."""
        if not self._making:
            self._shown[event.value] = event.value.visible
            event.value.visible = False

    def _removing(self) -> None:
        make_current(self.main)

    def _removed(self, event: Any) -> None:  # noqa: ANN401  (a napari event)
        if event.value in self.layers:
            self.layers.remove(event.value)
            self.interrupted.emit()

    def _set(self, thing: object, name: str, value: object) -> None:
        """Set an attribute until :meth:`leave`."""
        self._undo.append(_setter(thing, name, getattr(thing, name)))
        setattr(thing, name, value)


def frames(dock: QWidget) -> tuple[QMainWindow, QDockWidget]:
    """The main window that a dock belongs to (also when it floats), and the dock's own frame."""
    frame: QWidget = dock
    above = dock.parentWidget()
    while above is not None and not isinstance(above, QMainWindow):
        frame, above = above, above.parentWidget()
    assert above is not None, "the dock is in no window"
    assert isinstance(frame, QDockWidget)
    return above, frame


def magnification(room: tuple[float, float], size: tuple[int, int], most: int) -> int:
    """The largest whole magnification at which an image fits with a margin; at least 1.

    Parameters
    ----------
    room
        Height and width of the canvas in pixels of the screen.
    size
        Height and width of the image in its pixels.
    most
        Never more than this.
    """
    fitting = min(free * (1 - MARGIN) / px for free, px in zip(room, size, strict=True))
    return max(1, min(math.floor(fitting), most))


def gap_px(width: int) -> int:
    """The grey between the two images of a pair, in image pixels."""
    return max(2, round(GAP * width))


def _arrange(
    main: QMainWindow,
    arrangement: QByteArray,
    hidden: dict[QDockWidget, bool],
    front: list[QDockWidget],
) -> None:
    """Put docks where they were; ``front``: those that no other dock's tab covers."""
    for dock, was_hidden in hidden.items():
        dock.setHidden(was_hidden)
    main.restoreState(arrangement)
    for dock, was_hidden in hidden.items():
        dock.setHidden(was_hidden)  # a dock that was never laid out is not in the arrangement
    for dock in front:
        dock.raise_()


def _show_again(viewer: napari.Viewer, shown: dict[Layer, bool], selected: set[Layer]) -> None:
    for layer, visible in shown.items():
        layer.visible = visible  # also of one that was removed meanwhile: it may come back
    viewer.layers.selection = selected & set(viewer.layers)


def _sliders(main: QWidget) -> list[QWidget]:
    """Give napari's sliders of further dimensions, below the canvas."""
    return [w for w in main.findChildren(QWidget) if type(w).__name__ == "QtDims"]


def _setter(thing: object, name: str, value: object) -> Callable[[], None]:
    return lambda: setattr(thing, name, value)


def _disconnect(emitter: Any, callback: Callable[..., object]) -> Callable[[], object]:  # noqa: ANN401
    return lambda: emitter.disconnect(callback)
