"""A lens around the cursor, as long as a key is held: mammograms at their full resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPainterPath, QPen
from qtpy.QtWidgets import QWidget

from napari_pathogan.plugin.viewer.canvas import canvas_of
from napari_pathogan.plugin.viewer.windowing import mammogram_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari
    from napari.layers import Image
    from napari.utils.events import Event as MouseEvent
    from qtpy.QtGui import QPaintEvent

SIDE = 280  # px on the screen
TIMES = 2.0  # as large as without it, at least


class Lens(QWidget):
    """A round glass over the canvas, with the pixels of the mammogram below the cursor."""

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__(canvas_of(viewer).native)
        self.viewer = viewer
        self.picture: QImage | None = None
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFixedSize(SIDE, SIDE)

    def follow(self, viewer: napari.Viewer, event: MouseEvent | None = None) -> None:
        """Show what is below the cursor; nothing where no mammogram is."""
        position = viewer.cursor.position if event is None else event.position
        image = mammogram_at(viewer, position)
        self.setVisible(image is not None)
        if image is None:
            return
        zoom = viewer.scene.camera.zoom
        y, x = image.world_to_data(position[-2:])
        wide_px = zoom * np.abs(image.scale[-2:])  # of a pixel, on the screen now
        larger = max(TIMES, 1 / float(wide_px.min()))
        self.picture = seen(image, (float(y), float(x)), larger * wide_px)
        camera, size = viewer.scene.camera, viewer.canvas.size
        at = [
            (w - c) * zoom + s / 2
            for w, c, s in zip(position[-2:], camera.center[-2:], size, strict=True)
        ]
        self.move(round(at[1] - SIDE / 2), round(at[0] - SIDE / 2))
        self.raise_()
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802  (Qt's name)
        """Paint the glass, and its rim."""
        del event
        if self.picture is None:
            return
        painter, whole = QPainter(self), QRectF(1, 1, SIDE - 2, SIDE - 2)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        glass = QPainterPath()
        glass.addEllipse(whole)
        painter.setClipPath(glass)
        painter.drawImage(QRectF(0, 0, SIDE, SIDE), self.picture)
        painter.setClipping(False)
        painter.setPen(QPen(QColor("#ffd400"), 2))
        painter.drawEllipse(QPointF(SIDE / 2, SIDE / 2), SIDE / 2 - 1, SIDE / 2 - 1)
        painter.end()


def seen(image: Image, middle: tuple[float, float], px: np.ndarray) -> QImage:
    """What the glass shows: around a place in pixels of the image, each so large (y, x) on the screen.

    As napari shows it: in its window, mirrored where it hangs so. Beyond the image it is black.
    """
    across = np.arange(SIDE) - SIDE / 2 + 0.5
    signs = np.sign(image.scale[-2:])
    rows, cols = (
        np.rint(at + sign * across / one).astype(int)
        for at, sign, one in zip(middle, signs, px, strict=True)
    )
    height, width = image.data.shape[:2]
    there = np.ix_(np.clip(rows, 0, height - 1), np.clip(cols, 0, width - 1))
    low, high = image.contrast_limits
    grey = np.clip((np.asarray(image.data)[there].astype(np.float32) - low) / (high - low), 0, 1)
    shown = (255 * image.colormap.map(grey.ravel())[:, :3]).astype(np.uint8)
    shown = shown.reshape(SIDE, SIDE, 3)
    inside = ((rows >= 0) & (rows < height))[:, None] & ((cols >= 0) & (cols < width))[None]
    shown[~inside] = 0
    kept = np.ascontiguousarray(shown)
    return QImage(kept.tobytes(), SIDE, SIDE, 3 * SIDE, QImage.Format.Format_RGB888).copy()


def hold_lens(viewer: napari.Viewer) -> Iterator[None]:
    """Show the lens until the key is let go."""
    lens = Lens(viewer)
    viewer.mouse_move_callbacks.append(lens.follow)
    lens.follow(viewer)
    try:
        yield
    finally:
        viewer.mouse_move_callbacks.remove(lens.follow)
        lens.setParent(None)  # gone at once
        lens.deleteLater()
