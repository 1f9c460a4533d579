"""The curve of a training: its error, and what is held out, by epochs; painted by Qt itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_pathogan.engine.training_jobs import is_figure, loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QPaintEvent

    from napari_pathogan.engine.training_jobs import Curve

_ERROR, _FIGURES = "#56B4E9", ("#E69F00", "#009E73", "#CC79A7")  # Okabe and Ito's
_HIGH = 130  # px
_DOT = 2.5


class Line(NamedTuple):
    """A line of the plot: its name, its look, a value an epoch, and the value that is on top."""

    name: str
    colour: str
    style: Qt.PenStyle
    values: Sequence[float]
    top: float


class CurvePlot(QWidget):
    """The sum of the losses from 0 to its most, and figures of what is held out from 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self.steps: tuple[int, ...] = ()
        self.setMinimumHeight(_HIGH)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_curve(self, curve: Curve | None) -> None:
        """Plot what there is so far."""
        self.lines = [] if curve is None else _lines(curve)
        self.steps = () if curve is None else curve.steps
        self.setToolTip("" if curve is None else ", ".join(map(_label, self.lines)))
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().text().color()
        painter.setPen(text)
        if not self.lines:
            hint = "The curve comes with the first epoch"
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, hint)
            return
        high = painter.fontMetrics().height()
        room = QRectF(4, high + 6, self.width() - 8, self.height() - 2 * high - 12)
        faint = QColor(text)
        faint.setAlphaF(0.35)
        painter.setPen(faint)
        painter.drawLine(room.bottomLeft(), room.bottomRight())
        painter.setPen(text)
        below = QRectF(room.left(), room.bottom() + 3, room.width(), high)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, f"epoch {self.steps[0]}")
        if len(self.steps) > 1:
            painter.drawText(below, Qt.AlignmentFlag.AlignRight, str(self.steps[-1]))
        left = room.left()
        for line in self.lines:
            self._draw(painter, room, line)
            left = self._name(painter, left, line, text)

    def _draw(self, painter: QPainter, room: QRectF, line: Line) -> None:
        """A line with a dot an epoch."""
        first, last = self.steps[0], max(self.steps[-1], self.steps[0] + 1)
        points = [
            QPointF(
                room.left() + room.width() * (step - first) / (last - first),
                room.bottom() - room.height() * max(0.0, value) / line.top,
            )
            for step, value in zip(self.steps, line.values, strict=True)
            if math.isfinite(value)
        ]
        painter.setPen(QPen(QColor(line.colour), 2, line.style))
        painter.drawPolyline(QPolygonF(points))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(line.colour))
        for point in points if room.width() > 4 * _DOT * len(points) else points[-1:]:
            painter.drawEllipse(point, _DOT, _DOT)
        painter.setBrush(Qt.BrushStyle.NoBrush)

    @staticmethod
    def _name(painter: QPainter, left: float, line: Line, text: QColor) -> float:
        """Write what a line is above the plot; returns where the next may be written."""
        high, words = painter.fontMetrics().height(), _label(line)
        painter.setPen(QPen(QColor(line.colour), 2, line.style))
        painter.drawLine(QPointF(left, high / 2 + 1), QPointF(left + 18, high / 2 + 1))
        painter.setPen(text)
        wide = painter.fontMetrics().horizontalAdvance(words)
        painter.drawText(QRectF(left + 22, 1, wide + 2, high), Qt.AlignmentFlag.AlignLeft, words)
        return left + 22 + wide + 12


def _lines(curve: Curve) -> list[Line]:
    epochs = [
        {name: values[i] for name, values in curve.values.items()} for i in range(len(curve.steps))
    ]
    errors = [loss(one) for one in epochs]
    most = max((one for one in errors if math.isfinite(one)), default=0.0)
    lines = [Line("error", _ERROR, Qt.PenStyle.SolidLine, errors, most or 1.0)]
    figures = [name for name in curve.values if is_figure(name)]
    lines += [
        Line(_words(name), colour, Qt.PenStyle.DashLine, curve.values[name], 1.0)
        for name, colour in zip(figures, _FIGURES, strict=False)
    ]
    return lines


def _words(name: str) -> str:
    return name.replace("held_out_", "held out, ").replace("auc", "AUC").replace("_", " ")


def _label(line: Line) -> str:
    return f"{line.name} {line.values[-1]:.3g}"
