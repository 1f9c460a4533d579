"""Small plots in the theme's colours: histograms per class, and the probabilities of a nucleus.

Painted by Qt itself: a plotting library would take longer to import than the dock to open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from qtpy.QtGui import QPaintEvent

    from napari_pathogan.tasks.nuclei.segmentation import Segmentation

COUNTS = "Nuclei per class"
# what can be plotted: title -> column of the table, and its unit
FEATURES: dict[str, tuple[str, str]] = {
    "Area": ("area_um2", "µm²"),
    "Eccentricity": ("eccentricity", ""),
    "Solidity": ("solidity", ""),
    "Haematoxylin": ("haematoxylin_mean", "OD"),
    "Class probability": ("class_probability", ""),
}
BINS = 30
TAIL = 99.5  # per cent of the nuclei that the axis holds


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One class in a plot: how many nuclei in each bin."""

    name: str
    colour: str
    heights: np.ndarray


class Plot(QWidget):
    """A histogram, one outline a class; or a bar a class."""

    def __init__(self) -> None:
        super().__init__()
        self.series: list[Series] = []
        self.edges = np.array([0.0, 1.0])
        self.unit = ""
        self.bars = True
        self.setMinimumHeight(110)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_nuclei(self, segmentation: Segmentation | None, what: str) -> None:
        """Plot the counts of the classes, or how a feature spreads in each."""
        self.series, self.unit, self.bars = [], "", what == COUNTS
        if segmentation is not None and len(segmentation):
            look = zip(segmentation.class_names, segmentation.class_colours, strict=True)
            if self.bars:
                counts = segmentation.counts()
                self.series = [Series(n, c, np.array([counts[n]])) for n, c in look]
            else:
                column, self.unit = FEATURES[what]
                self._spread(segmentation.table, column, list(look))
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().text().color()
        if not any(series.heights.any() for series in self.series):
            painter.setPen(text)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "No nuclei yet")
            return
        line = painter.fontMetrics().height()
        room = QRectF(2, line + 2, self.width() - 4, self.height() - 2 * line - 6)
        faint = QColor(text)
        faint.setAlphaF(0.35)
        painter.setPen(faint)
        painter.drawLine(room.bottomLeft(), room.bottomRight())
        (self._draw_bars if self.bars else self._draw_spread)(painter, room, text)

    def _spread(self, table: pd.DataFrame, column: str, look: Sequence[tuple[str, str]]) -> None:
        values = table[column].to_numpy(float)
        values = values[np.isfinite(values)]
        if not len(values):
            return
        low, high = np.percentile(values, [100 - TAIL, TAIL])
        self.edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
        for name, colour in look:
            own = table.loc[table["class"] == name, column].to_numpy(float)
            self.series.append(Series(name, colour, np.histogram(own, self.edges)[0]))

    def _draw_bars(self, painter: QPainter, room: QRectF, text: QColor) -> None:
        most = max(float(series.heights[0]) for series in self.series)
        total = sum(float(series.heights[0]) for series in self.series)
        step = room.width() / len(self.series)
        line = painter.fontMetrics().height()
        for index, series in enumerate(self.series):
            height = room.height() * float(series.heights[0]) / most
            left = room.left() + index * step
            bar = QRectF(left + 0.2 * step, room.bottom() - height, 0.6 * step, height)
            painter.fillRect(bar, QColor(series.colour))
            painter.setPen(text)
            share = f"{100 * float(series.heights[0]) / total:.0f} %"
            above = QRectF(left, bar.top() - line - 1, step, line)
            painter.drawText(above, Qt.AlignmentFlag.AlignCenter, share)
            name = painter.fontMetrics().elidedText(
                series.name, Qt.TextElideMode.ElideRight, int(step) - 4
            )
            below = QRectF(left, room.bottom() + 2, step, line)
            painter.drawText(below, Qt.AlignmentFlag.AlignCenter, name)

    def _draw_spread(self, painter: QPainter, room: QRectF, text: QColor) -> None:
        most = max(float(series.heights.max()) for series in self.series)
        x = np.linspace(room.left(), room.right(), BINS + 1)
        for series in self.series:
            y = room.bottom() - room.height() * series.heights / most
            stairs = [QPointF(room.left(), room.bottom())]
            for index, level in enumerate(y):
                stairs += [QPointF(x[index], level), QPointF(x[index + 1], level)]
            stairs.append(QPointF(room.right(), room.bottom()))
            outline = QColor(series.colour)
            fill = QColor(outline)
            fill.setAlphaF(0.2)
            painter.setBrush(fill)
            painter.setPen(QPen(outline, 1.5))
            painter.drawPolygon(QPolygonF(stairs))
        painter.setPen(text)
        line = painter.fontMetrics().height()
        below = QRectF(room.left(), room.bottom() + 2, room.width(), line)
        for where, value in (
            (Qt.AlignmentFlag.AlignLeft, self.edges[0]),
            (Qt.AlignmentFlag.AlignRight, self.edges[-1]),
        ):
            painter.drawText(below, where, f"{value:.3g} {self.unit}".strip())
        above = QRectF(room.left(), 0, room.width(), line)
        painter.drawText(above, Qt.AlignmentFlag.AlignLeft, f"{most:,.0f} nuclei")


class Probabilities(QWidget):
    """A bar a class, with its name and the probability of one nucleus."""

    ROW_PX = 19

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[str, str, float]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_rows(self, rows: Sequence[tuple[str, str, float]]) -> None:
        """Show (name, colour, probability) of each class."""
        self.rows = list(rows)
        self.setFixedHeight(max(1, self.ROW_PX * len(self.rows)))
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().text().color()
        faint = QColor(text)
        faint.setAlphaF(0.12)
        name_px, value_px = int(0.36 * self.width()), 40
        bar_px = self.width() - name_px - value_px - 8
        metrics = painter.fontMetrics()
        middle = Qt.AlignmentFlag.AlignVCenter
        for index, (name, colour, value) in enumerate(self.rows):
            top = index * self.ROW_PX
            painter.setPen(text)
            short = metrics.elidedText(name, Qt.TextElideMode.ElideRight, name_px - 4)
            painter.drawText(
                QRectF(0, top, name_px, self.ROW_PX), middle | Qt.AlignmentFlag.AlignLeft, short
            )
            bar = QRectF(name_px, top + 5, bar_px, self.ROW_PX - 10)
            painter.setPen(Qt.PenStyle.NoPen)
            for brush, share in ((faint, 1.0), (QColor(colour), value)):
                painter.setBrush(brush)
                whole = QRectF(bar.left(), bar.top(), bar.width() * share, bar.height())
                painter.drawRoundedRect(whole, 3, 3)
            painter.setPen(text)
            right = QRectF(self.width() - value_px, top, value_px, self.ROW_PX)
            painter.drawText(right, middle | Qt.AlignmentFlag.AlignRight, f"{100 * value:.0f} %")
