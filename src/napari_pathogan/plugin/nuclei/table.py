"""The table of classes: shown or hidden, colour, name, how many, how many per mm2."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QCheckBox,
    QColorDialog,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SWATCH_PX = 18
NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True, eq=False)
class ClassRow:
    """The widgets of one class."""

    shown: QCheckBox
    swatch: QPushButton
    name: QLineEdit
    count: QLabel
    density: QLabel


class ClassTable(QWidget):
    """One row a class; knows nothing of nuclei but what it shows.

    Names and colours can be changed where there is a class model to keep them.
    """

    renamed = Signal(object, object)  # names, colours: the user has changed one
    hidden_changed = Signal(object)  # frozenset of names

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[ClassRow] = []
        self.names: tuple[str, ...] = ()
        self.colours: tuple[str, ...] = ()
        self.grid = QGridLayout(self)
        self.grid.setContentsMargins(0, 4, 0, 0)
        self.grid.setHorizontalSpacing(6)
        self.grid.setVerticalSpacing(4)
        self.grid.setColumnStretch(2, 1)

    @property
    def hidden(self) -> frozenset[str]:
        """Names of the classes that are not to be shown."""
        pairs = zip(self.names, self.rows, strict=True)
        return frozenset(name for name, row in pairs if not row.shown.isChecked())

    def show_classes(
        self, names: Sequence[str], colours: Sequence[str], *, editable: bool = True
    ) -> None:
        """Lay out the rows anew if there are others than before; counts are left empty."""
        if len(names) != len(self.rows):
            self._build(len(names))
        self.names, self.colours = tuple(names), tuple(colours)
        for row, name, colour in zip(self.rows, names, colours, strict=True):
            row.name.setText(name)
            row.name.setCursorPosition(0)
            row.name.setReadOnly(not editable)
            row.name.setToolTip("Type another name: it stays with the class model")
            row.swatch.setStyleSheet(f"background: {colour}; border: none; border-radius: 3px")
            row.swatch.setEnabled(editable)

    def show_class(self, name: str) -> None:
        """Show the nuclei of a class on the slide, if they are hidden."""
        self.rows[self.names.index(name)].shown.setChecked(True)

    def show_counts(self, counts: Sequence[int] | None, densities: Sequence[float] | None) -> None:
        """Fill in the numbers; None empties them."""
        for index, row in enumerate(self.rows):
            row.count.setText(NOTHING if counts is None else f"{counts[index]:,}")
            row.density.setText(NOTHING if densities is None else f"{densities[index]:,.0f}")

    def _build(self, classes: int) -> None:
        while (item := self.grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        heads = (QLabel("Class"), QLabel("Nuclei"), QLabel("per mm²"))
        for column, head in zip((2, 3, 4), heads, strict=True):
            side = Qt.AlignmentFlag.AlignLeft if column == 2 else Qt.AlignmentFlag.AlignRight
            self.grid.addWidget(head, 0, column, side)
        self.rows = [self._row(index) for index in range(classes)]
        for line, row in enumerate(self.rows, 1):
            widgets = (row.shown, row.swatch, row.name, row.count, row.density)
            for column, widget in enumerate(widgets):
                self.grid.addWidget(widget, line, column)

    def _row(self, index: int) -> ClassRow:
        shown = QCheckBox()
        shown.setChecked(True)
        shown.setToolTip("Show this class on the slide")
        shown.toggled.connect(lambda: self.hidden_changed.emit(self.hidden))
        swatch = QPushButton()
        swatch.setFixedSize(SWATCH_PX, SWATCH_PX)
        swatch.setToolTip("Choose another colour: it stays with the class model")
        swatch.clicked.connect(partial(self._ask_colour, index))
        name = QLineEdit()
        name.setMinimumWidth(60)
        name.editingFinished.connect(partial(self._named, index))
        numbers = QLabel(NOTHING), QLabel(NOTHING)
        for number in numbers:
            number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return ClassRow(shown, swatch, name, *numbers)

    def _named(self, index: int) -> None:
        name = self.rows[index].name.text().strip()
        if name != self.names[index]:
            names = tuple(name if i == index else old for i, old in enumerate(self.names))
            self.renamed.emit(names, self.colours)

    def _ask_colour(self, index: int, _checked: object = None) -> None:
        asked = QColorDialog.getColor(QColor(self.colours[index]), self, self.names[index])
        if asked.isValid():
            self.recolour(index, asked.name())

    def recolour(self, index: int, colour: str) -> None:
        """Ask for another colour of a class, ``#rrggbb``."""
        colours = tuple(colour if i == index else old for i, old in enumerate(self.colours))
        self.renamed.emit(self.names, colours)
