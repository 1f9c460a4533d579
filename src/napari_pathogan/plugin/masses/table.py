"""The list of findings: where, how sure, how large, and what the reader says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_pathogan.plugin.masses.layers import COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

    from napari_pathogan.tasks.masses.review import Decision

HEADS = ("View", "Score", "Size", "Decision")
ROWS, FEWEST_ROWS = 6, 3  # that are shown, as the dock's height allows
_DOT_PX = 10


class MassRow(NamedTuple):
    """A finding as the list shows it: its image and number, and what is said of it."""

    image: Image
    number: int
    view: str
    score: str
    size: str
    decision: Decision


class FindingsTable(QTableWidget):
    """A row a finding; choosing one, by mouse or arrow keys, goes there."""

    chosen = Signal(object)  # Row

    def __init__(self) -> None:
        super().__init__(0, len(HEADS))
        self.rows: list[MassRow] = []
        self.setHorizontalHeaderLabels(list(HEADS))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # names of files end with the view
        self.verticalHeader().hide()  # type: ignore[union-attr]
        header = self.horizontalHeader()
        assert header is not None
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setMinimumSectionSize(30)
        for column in range(len(HEADS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        row = self.verticalHeader().defaultSectionSize()  # type: ignore[union-attr]
        self._row_px = row
        self.setMinimumHeight((FEWEST_ROWS + 1) * row)
        self.setMaximumHeight((ROWS + 1) * row)
        self.setToolTip("All findings, the surest first: choose one to go there")
        self.itemSelectionChanged.connect(self._selected)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As many rows as are shown where there is room."""
        return QSize(super().sizeHint().width(), (ROWS + 1) * self._row_px)

    @property
    def current(self) -> MassRow | None:
        """The finding that is chosen."""
        picked = self.selectionModel().selectedRows()  # type: ignore[union-attr]
        return self.rows[picked[0].row()] if picked else None

    def show_findings(self, rows: Sequence[MassRow], current: tuple[Image, int] | None) -> None:
        """Fill the list; ``current`` (image, number) stays chosen, without going there."""
        self.blockSignals(True)
        self.rows = list(rows)
        self.clearSelection()
        self.setRowCount(len(self.rows))
        for line, row in enumerate(self.rows):
            texts = (row.view, row.score, row.size, str(row.decision))
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip(f"{row.view}: {row.score}, {row.size}, {row.decision}")
                if column == 0:
                    item.setIcon(_dot(COLOURS[row.decision]))
                self.setItem(line, column, item)
            if current is not None and (row.image, row.number) == current:
                self.selectRow(line)
        self.blockSignals(False)

    def _selected(self) -> None:
        if (row := self.current) is not None:
            self.chosen.emit(row)


def _dot(colour: str) -> QIcon:
    """A square in the colour of the finding's outline."""
    picture = QPixmap(_DOT_PX, _DOT_PX)
    picture.fill(QColor(colour))
    return QIcon(picture)
