"""A divider on the canvas: left of it a slide as it is, right of it a layer that lies over it.

The divider keeps its place on the screen while one zooms and pans. Nothing is computed anew when
it moves: the graphics card leaves out the layer's pixels left of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QLabel, QWidget
from vispy.visuals.filters.clipping_planes import PlanesClipper

from napari_pathogan.plugin.viewer.canvas import canvas_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Image
    from qtpy.QtGui import QMouseEvent, QPaintEvent

_WIDE, _GRIP = 18, 15  # pixels: what the mouse can take hold of, and the knob drawn on it
_TOP, _APART = 6, 4  # pixels from the canvas's edge, and from the line, to what is said beside it
AS_SCANNED = "as scanned"
_SIGN = "background: rgba(20, 20, 20, 190); color: white; padding: 2px 6px; border-radius: 3px;"


class Swipe(QWidget):
    """A vertical line with a knob over the canvas, moved with the mouse; hidden at first.

    Parameters
    ----------
    napari_viewer
        The viewer whose canvas it lies on.
    what
        Lies right of it, in words.
    """

    def __init__(self, napari_viewer: napari.Viewer, what: str) -> None:
        self._canvas = canvas_of(napari_viewer)
        super().__init__(self._canvas.native)
        self.share = 0.5
        self._clip: tuple[object, PlanesClipper] | None = None
        self.setFixedWidth(_WIDE)
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setToolTip(f"Left: the slide as it is. Right: {what}. Drag to compare.")
        self.signs = (QLabel(AS_SCANNED, self._canvas.native), QLabel(self._canvas.native))
        for sign in self.signs:
            sign.setStyleSheet(_SIGN)
            sign.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            sign.hide()
        self._canvas.native.installEventFilter(self)
        self.hide()

    @property
    def at_px(self) -> float:
        """Where the line is: pixels from the left edge of the canvas."""
        return self.share * float(self._canvas.native.width())

    def divide(self, layer: Image | None, said: str = "") -> None:
        """Show a layer right of the line alone, and what it is; None shows the last one whole again."""
        if self._clip is not None:
            node, clip = self._clip
            node.detach(clip)  # type: ignore[attr-defined]
            node.update()  # type: ignore[attr-defined]
            self._clip = None
        self.signs[1].setText(said)
        for widget in (self, *self.signs):
            widget.setVisible(layer is not None and (widget is not self.signs[1] or bool(said)))
        if layer is None:
            return
        node = self._canvas.layer_to_visual[layer].node
        clip = PlanesClipper(coord_system="canvas")
        node.attach(clip)
        self._clip = node, clip
        for widget in (*self.signs, self):
            widget.raise_()
        self._place()

    def remove(self) -> None:
        """Take it from the canvas for good."""
        self.divide(None)
        self._canvas.native.removeEventFilter(self)
        for widget in (*self.signs, self):
            widget.deleteLater()

    def move_to(self, share: float) -> None:
        """Move the line to a share of the canvas's width, 0 to 1."""
        self.share = float(np.clip(share, 0, 1))
        self._place()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802  (Qt's name)
        """Follow the mouse."""
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton:
            at = self.mapToParent(event.position().toPoint()).x()
            self.move_to(at / self._canvas.native.width())

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: ARG002, N802  (Qt's name)
        """Draw the line and its knob: white between two dark edges, seen on any slide."""
        middle, painter = self.width() / 2, QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for colour, width in ((QColor(30, 30, 30), 4.0), (QColor(255, 255, 255), 2.0)):
            painter.setPen(QPen(colour, width))
            painter.drawLine(QPointF(middle, 0), QPointF(middle, self.height()))
        painter.setPen(QPen(QColor(30, 30, 30), 1.0))
        painter.setBrush(QColor(255, 255, 255))
        knob = QRectF(middle - _GRIP / 2, self.height() / 2 - _GRIP, _GRIP, 2 * _GRIP)
        painter.drawRoundedRect(knob, _GRIP / 2, _GRIP / 2)
        for x in (middle - 2, middle + 2):
            painter.drawLine(QPointF(x, knob.center().y() - 5), QPointF(x, knob.center().y() + 5))
        painter.end()

    def eventFilter(self, _watched: object, event: QEvent | None) -> bool:  # noqa: N802
        """Keep the line's share of the canvas when the canvas changes its size."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self._place()
        return False

    def _place(self) -> None:
        canvas = self._canvas.native
        self.setFixedHeight(canvas.height())
        self.move(round(self.at_px - self.width() / 2), 0)
        left, right = self.signs
        for sign in self.signs:
            sign.adjustSize()
        away = self.width() // 2 + _APART
        left.move(round(self.at_px) - away - left.width(), _TOP)
        right.move(round(self.at_px) + away, _TOP)
        if self._clip is not None:
            node, clip = self._clip
            clip.clipping_planes = np.array([[[self.at_px, 0, 0], [1, 0, 0]]], np.float32)
            node.update()  # type: ignore[attr-defined]
