"""How a map lies over its image: how strongly, and what its colours mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QRectF, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QImage, QPainter, QPalette
from qtpy.QtWidgets import QCheckBox, QSlider, QWidget

from napari_pathogan.plugin.shell.form import beside

if TYPE_CHECKING:
    from napari.layers import Image
    from qtpy.QtGui import QPaintEvent

    from napari_pathogan.plugin.shell.form import Form

_HEIGHT, _BAR = 30, 10  # px of the legend, and of its colours


class OverlayBar(QObject):
    """A slider for the opacity, a box for the outline alone, and a legend; rows of a form.

    Parameters
    ----------
    form
        Where the rows go.
    percent
        How opaque the map is at first.
    """

    changed = Signal()  # another opacity, or the outline alone

    def __init__(self, form: Form, percent: int) -> None:
        super().__init__(form)
        self.fade = QSlider(Qt.Orientation.Horizontal)
        self.fade.setRange(5, 100)
        self.fade.setValue(percent)
        self.fade.setToolTip("How strongly the map covers the tissue")
        self.fade.valueChanged.connect(lambda _: self.changed.emit())
        self.outline = QCheckBox("Outline only")
        self.outline.setToolTip("Show the outline at the threshold, and the tissue as it is")
        self.outline.toggled.connect(lambda _: self.changed.emit())
        self.legend = Legend()
        form.add_row("Map", beside(self.fade, self.outline))
        form.add_line(self.legend)

    @property
    def opacity(self) -> float:
        """Of the map."""
        return self.fade.value() / 100

    def show_opacity(self, opacity: float) -> None:
        """Take over what was chosen in napari's own controls."""
        self.fade.blockSignals(True)
        self.fade.setValue(round(100 * opacity))
        self.fade.blockSignals(False)


class Legend(QWidget):
    """The colours of a layer, with the values at both ends and a mark at the threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(_HEIGHT)
        self.words = ("", "")
        self.mark: float | None = None
        self._colours: QImage | None = None

    def show_colours(self, image: Image | None, low: str, high: str) -> None:
        """Show a layer's colours, and words for its ends; nothing without one."""
        self.words = (low, high) if image is not None else ("", "")
        if image is None:
            self._colours = None
        else:
            colours = (255 * image.colormap.map(np.linspace(0, 1, 256))).astype(np.uint8)
            colours[:, 3] = 255
            shown = QImage(colours.tobytes(), 256, 1, 4 * 256, QImage.Format.Format_RGBA8888)
            self._colours = shown.copy()  # with memory of its own
        self.setToolTip(f"From {low} to {high}" if image is not None else "")
        self.update()

    def show_mark(self, share: float) -> None:
        """Mark a value, as a share of the range."""
        self.mark = share
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802  (Qt's name)
        """Paint colours, mark and words."""
        del event
        if self._colours is None:
            return
        painter = QPainter(self)
        bar = QRectF(0, 0, self.width(), _BAR)
        painter.drawImage(bar, self._colours)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        if self.mark is not None:
            at = round(self.mark * (self.width() - 1))
            painter.drawLine(at, 0, at, _BAR + 3)
        below = self.rect().adjusted(0, _BAR + 2, 0, 0)
        for word, side in zip(
            self.words, (Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight), strict=True
        ):
            painter.drawText(below, side | Qt.AlignmentFlag.AlignTop, word)
        painter.end()
