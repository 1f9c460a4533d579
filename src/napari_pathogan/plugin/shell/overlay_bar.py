"""How a result lies over its image: how strongly, as an outline alone, and what its colours mean."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QRectF, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QImage, QPainter, QPalette
from qtpy.QtWidgets import QCheckBox, QLabel, QSlider, QWidget

from napari_pathogan.plugin.shell.form import beside
from napari_pathogan.plugin.viewer.holding import HOLD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Image
    from qtpy.QtGui import QPaintEvent

    from napari_pathogan.plugin.shell.form import Form

_HEIGHT, _BAR = 30, 10  # px of the legend, and of its colours


class OverlayBar(QObject):
    """A slider for the opacity, a box for outlines alone, and a legend; rows of a form.

    Parameters
    ----------
    form
        Where the rows go.
    percent
        How opaque the overlay is at first.
    name, what
        The row is called, and the overlay in a sentence.
    outline
        What the box for outlines alone does, for its tooltip; empty for no box.
    legend
        What its colours mean.
    """

    changed = Signal()  # another opacity, or outlines alone

    def __init__(
        self,
        form: Form,
        percent: int,
        *,
        name: str = "Map",
        what: str = "the map",
        outline: str = "",
        legend: Legend | Swatches,
    ) -> None:
        super().__init__(form)
        self.fade = QSlider(Qt.Orientation.Horizontal)
        self.fade.setRange(5, 100)
        self.fade.setValue(percent)
        self.fade.setToolTip(f"How strongly {what} covers the image; {HOLD} held hides it")
        self.fade.valueChanged.connect(lambda _: self.changed.emit())
        self.outline = QCheckBox("Outline only")
        self.outline.setToolTip(outline)
        self.outline.toggled.connect(lambda _: self.changed.emit())
        self.legend = legend
        self._row = beside(self.fade, self.outline) if outline else self.fade
        self._called = form.add_row(name, self._row)
        form.add_line(legend)

    @property
    def opacity(self) -> float:
        """Of the overlay."""
        return self.fade.value() / 100

    def show_opacity(self, opacity: float) -> None:
        """Take over what was chosen in napari's own controls."""
        self.fade.blockSignals(True)
        self.fade.setValue(round(100 * opacity))
        self.fade.blockSignals(False)

    def enable(self, *, enabled: bool) -> None:
        """Let it be used, or rest."""
        self._row.setEnabled(enabled)

    def show_rows(self, *, shown: bool) -> None:
        """Show or hide all of it, where a dock makes an overlay now and then."""
        for widget in (self._called, self._row, self.legend):
            widget.setVisible(shown)


class Swatches(QLabel):
    """A square of each colour, what it means, and how many there are of it."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)

    def show_counts(self, meanings: Iterable[tuple[str, str, int]]) -> None:
        """Show meanings: colour (``#rrggbb``), name, count."""
        self.setText(
            " &nbsp; ".join(
                f"<span style='color:{colour}'>\N{BLACK SQUARE}</span>&nbsp;"
                f"{escape(name).replace(' ', '&nbsp;')}&nbsp;{count:,}"
                for colour, name, count in meanings
            )
        )
        self.setVisible(bool(self.text()))


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
