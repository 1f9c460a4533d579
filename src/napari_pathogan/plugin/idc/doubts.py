"""Outlines that the model speaks against: listed, gone to, and called what it suggests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.annotations.classes import UNCLASSIFIED
from napari_pathogan.plugin.shell.form import button, combo, evenly, label
from napari_pathogan.plugin.viewer import layers as between

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.annotations.review import AnnotationReview, Doubt

HEADS = ("Drawn as", "Model says", "Against it")
ROWS = 5  # that are shown at once


class _Dock(Protocol):
    viewer: napari.Viewer


class Outlines(Protocol):
    """What the outlines are drawn and called by."""

    @property
    def dock(self) -> _Dock:
        """The dock they belong to."""

    def call(self, layer: Image, outline: Annotation, name: str) -> Annotation | None:
        """Give an outline another class."""


class Doubts(QWidget):
    """Hidden until annotations are checked: a row an outline, the most doubtful first.

    Attributes
    ----------
    cells
        The confusion matrix: patches by what was drawn and what the model says; one shows its outlines alone.
    table
        Choosing a row, by mouse or arrow keys, goes there.
    """

    def __init__(self, live: Outlines) -> None:
        super().__init__()
        self._live = live
        self._layer: Image | None = None
        self._outlines: list[Annotation] = []
        self._review: AnnotationReview | None = None
        self._done: list[tuple[int, str]] = []  # number of an outline, and its class before
        self.rows: tuple[Doubt, ...] = ()
        self.said = label("")
        self.cells = combo(
            "Patches by what was drawn and what the model says: show these outlines alone"
        )
        self.cells.currentIndexChanged.connect(self._fill)
        self.table = QTableWidget(0, len(HEADS))
        self.table.setHorizontalHeaderLabels(list(HEADS))
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setToolTip("Choose an outline to go there")
        side = self.table.verticalHeader()
        head = self.table.horizontalHeader()
        assert side is not None
        assert head is not None
        side.hide()
        head.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.setFixedHeight((ROWS + 1) * side.defaultSectionSize())
        self.table.itemSelectionChanged.connect(self._chosen)
        self.accept = button("Accept suggestion", "Call the chosen outline what the model says")
        self.accept.clicked.connect(self.accept_suggestion)
        self.back = button("Take back", "Give the last outline its class again")
        self.back.clicked.connect(self.take_back)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.said, self.cells, self.table, evenly(self.accept, self.back)):
            column.addWidget(widget)
        self.hide()

    def show_review(
        self, layer: Image | None, outlines: tuple[Annotation, ...], review: AnnotationReview | None
    ) -> None:
        """List what a review found of the outlines of a slide; nothing hides the list."""
        self._layer, self._outlines, self._review = layer, list(outlines), review
        self._done.clear()
        self.cells.blockSignals(True)
        self.cells.clear()
        if review is not None:
            self.cells.addItem(f"All {len(review.doubts)} outlines", None)
            for (drawn, model), n in review.confusion.items():
                self.cells.addItem(f"Drawn {drawn}, model {model}: {n} patches", (drawn, model))
        self.cells.blockSignals(False)
        self.setVisible(review is not None)
        self._fill()

    def accept_suggestion(self, _checked: object = None) -> None:
        """Call the chosen outline what the model says, and go on to the next."""
        doubt = self._current
        if doubt is None or not self._call(doubt.number, doubt.suggested, keep=True):
            return
        at = self.table.currentRow()
        self._fill()
        self.table.selectRow(min(at + 1, len(self.rows) - 1))

    def take_back(self, _checked: object = None) -> None:
        """Give the outline that was called anew last its class again."""
        if self._done:
            number, name = self._done.pop()
            self._call(number, name)
            self._fill()

    # how

    @property
    def _current(self) -> Doubt | None:
        at = self.table.currentRow()
        return self.rows[at] if self.table.selectedItems() and 0 <= at < len(self.rows) else None

    def _call(self, number: int, name: str, *, keep: bool = False) -> bool:
        outline = self._outlines[number]
        called = None if self._layer is None else self._live.call(self._layer, outline, name)
        if called is None:
            self.said.setText("This outline was changed since: check the annotations again")
            return False
        if keep:
            self._done.append((number, outline.class_name))
        self._outlines[number] = called
        return True

    def _fill(self, _at: int = 0) -> None:
        review, cell = self._review, self.cells.currentData()
        self.rows = () if review is None else review.of(*cell) if cell else review.doubts
        self.table.blockSignals(True)
        self.table.clearSelection()
        self.table.setRowCount(len(self.rows))
        for line, doubt in enumerate(self.rows):
            drawn = self._outlines[doubt.number].class_name or UNCLASSIFIED
            texts = (drawn, doubt.suggested, f"{100 * doubt.against:.0f} %")
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip(f"{doubt.patches} patches, {doubt.otherwise} called otherwise")
                self.table.setItem(line, column, item)
        self.table.blockSignals(False)
        if review is not None:
            how = (
                "judged by what the others teach"
                if review.held_back
                else "judged by the model as it is"
            )
            n = review.mislabelled
            self.said.setText(
                f"{n or 'None'} of {len(review.doubts)} outlines probably mislabelled; {how}"
            )
        self._enable()

    def _chosen(self) -> None:
        doubt = self._current
        if doubt is not None and self._layer is not None:
            between.go_to(self._live.dock.viewer, self._layer, doubt.place)
        self._enable()

    def _enable(self) -> None:
        doubt = self._current
        named = None if doubt is None else self._outlines[doubt.number].class_name
        self.accept.setEnabled(
            doubt is not None
            and named != doubt.suggested
            and (doubt.disagrees or named != doubt.class_name)
        )
        self.back.setEnabled(bool(self._done))
