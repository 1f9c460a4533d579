"""The widgets of a dock: rows that fit 320 px, in napari's dark and light theme."""

from __future__ import annotations

import math
import re
import time
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.plugin.viewer import samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import napari
    from napari.layers import Image
    from qtpy.QtGui import QPaintEvent, QResizeEvent

    from napari_pathogan.engine.events import Progress
    from napari_pathogan.plugin.shell.pixel_size import PixelSize
    from napari_pathogan.plugin.shell.subject import Subject

W = TypeVar("W", bound=QWidget)
NARROWEST = 300  # px of a dock
_FRAME_PX = 8  # of a field, beside its text
MOST_NOTES = 2  # that are shown
_STEP_S = 0.25  # between two steps of a bar that only moves
_ANIMATED = 213  # QEvent.Type.StyleAnimationUpdate, which PyQt has no name for
_GONE = re.compile(r"C\+\+ object.* deleted")  # PyQt's and PySide's words of what Qt has deleted


class Ties:
    """Connections of a widget that outlives neither napari nor itself: all are undone at once."""

    def __init__(self) -> None:
        self._undo: dict[Any, Callable[[], object]] = {}
        self.released = False

    def connect(self, emitter: Any, callback: Callable[..., object]) -> None:  # noqa: ANN401
        """Connect a callback to a napari emitter until :meth:`release`."""
        emitter.connect(callback)
        self._undo[emitter, callback] = partial(emitter.disconnect, callback)

    def connect_once(self, emitter: Any, callback: Callable[..., object]) -> None:  # noqa: ANN401
        """Connect unless that was done before."""
        if (emitter, callback) not in self._undo:
            self.connect(emitter, callback)

    def add(self, undo: Callable[[], object]) -> None:
        """Call something on release."""
        self._undo[undo] = undo

    def remove(self, undo: Callable[[], object]) -> None:
        """Don't call it any more."""
        self._undo.pop(undo, None)

    def release(self) -> None:
        """Undo everything, the latest first; where Python ends with a window open, what Qt has left."""
        self.released = True
        while self._undo:
            _, undo = self._undo.popitem()
            try:
                undo()
            except RuntimeError as error:
                if not _GONE.search(str(error)):
                    raise


class Welcome(QWidget):
    """What a dock shows before any image of its kind is open.

    Parameters
    ----------
    subject
        The kind of image.
    sample, about
        The sample data to try, a file of :data:`samples.FOLDER`, and what is on it.
    """

    def __init__(self, viewer: napari.Viewer, subject: Subject, sample: str, about: str) -> None:
        super().__init__()
        text = label(subject.start)
        self.open = QPushButton(subject.open)
        self.sample = QPushButton("Try the sample")
        # not partial: it would pass on the "checked" that comes with the click
        self.open.clicked.connect(lambda: subject.ask(viewer))
        self.sample.clicked.connect(lambda: subject.show(viewer, samples.FOLDER / sample))
        self.open.setToolTip(subject.open_tip)
        self.sample.setToolTip(about)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        for widget in (text, self.open, self.sample):
            column.addWidget(widget)


class TextField(QLineEdit):
    """A line of text that leaves Undo and Redo to its dock while it has nothing itself to undo."""

    def event(self, event: QEvent | None) -> bool:
        """Let the dock's shortcut have the key."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride:
            undo = event.matches(QKeySequence.StandardKey.Undo) and not self.isUndoAvailable()
            redo = event.matches(QKeySequence.StandardKey.Redo) and not self.isRedoAvailable()
            if undo or redo:
                event.ignore()
                return False
        return super().event(event)


class Form(QWidget):
    """The rows of a dock; knows nothing of images and models but their names."""

    pixel_size_typed = Signal()  # Enter was pressed, or the field left

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.grid = QGridLayout(self)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setHorizontalSpacing(8)
        self.grid.setVerticalSpacing(8)
        self.grid.setColumnStretch(1, 1)

        self.slide = combo(subject.tip)
        self.model = combo(f"The model that looks at the {subject.name.lower()}")
        self.model.addItem("Searching…")
        self.info = QPushButton("i")
        self.info.setFixedWidth(28)
        self.info.setEnabled(False)
        self.info.setToolTip("What this model was trained on, how well it does, and its limits")
        self.region = combo(subject.part_tip)
        self.region.addItems(list(subject.parts))
        self.add_row(subject.name, self.slide)
        self._build_pixel_size(subject.pixel_size)
        self.notes = Paragraph()
        self.notes.setTextFormat(Qt.TextFormat.RichText)
        self.notes.hide()
        self.add_line(self.notes)
        self.add_row("Model", beside(self.model, self.info))
        self._model_row = self.grid.rowCount() - 1
        self.add_row(subject.part, self.region)
        self.region_row = self.grid.rowCount() - 1

        self.run = QPushButton("Run")
        self.bar = ProgressBar()
        keep_place(self.bar)
        self.status = label("")
        self.result = label("")
        self.result.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._say_run(running=False)

    def add_row(self, name: str, widget: QWidget) -> QLabel:
        """Add a row: its name on the left, its widget beside. Returns the name's label."""
        row, called = self.grid.rowCount(), QLabel(name)
        self.grid.addWidget(called, row, 0)
        self.grid.addWidget(widget, row, 1)
        return called

    def add_row_before_region(self, name: str, widget: QWidget) -> None:
        """Add a row that belongs to the model: above the region."""
        moved = [
            item.widget() for c in (0, 1) if (item := self.grid.itemAtPosition(self.region_row, c))
        ]
        row = self.grid.rowCount()
        for column, region in enumerate(moved):
            self.grid.addWidget(region, row, column)
        self.grid.addWidget(QLabel(name), self.region_row, 0)
        self.grid.addWidget(widget, self.region_row, 1)
        self.region_row = row

    def hide_region(self) -> None:
        """Take the region's row away, for a task that works on what is in view by itself."""
        self._hide_row(self.region_row)

    def hide_model(self) -> None:
        """Take the model's row away, for a task that uses several at once."""
        self._hide_row(self._model_row)

    def _hide_row(self, row: int) -> None:
        for column in (0, 1):
            item = self.grid.itemAtPosition(row, column)
            if item is not None and (widget := item.widget()) is not None:
                widget.hide()

    def add_line(self, widget: QWidget) -> None:
        """Add a row that takes the whole width."""
        self.grid.addWidget(widget, self.grid.rowCount(), 0, 1, 2)

    def add_run(self, found: QWidget | None = None) -> None:
        """Add the button, the progress bar, the status line, what was found as a list, and the result in words."""
        self.run.setMinimumWidth(90)
        self.add_line(beside(self.run, self.bar, wide=1))
        self.add_line(self.status)
        if found is not None:
            self.add_line(found)
        self.add_line(self.result)

    def _build_pixel_size(self, asks: PixelSize) -> None:
        self.pixel_size = TextField()
        hint(self.pixel_size, f"e.g. {asks.example}")
        self.pixel_size.setToolTip(asks.tip)
        self.pixel_size.editingFinished.connect(self.pixel_size_typed)
        row = self.grid.rowCount()
        self.measure = button("Measure…", "Draw a line along something whose length you know")
        field = beside(self.pixel_size, QLabel(f"{asks.unit}/px"), self.measure)
        self._pixel_size_row = QLabel("Scale"), field
        for column, widget in enumerate(self._pixel_size_row):
            self.grid.addWidget(widget, row, column)
            widget.hide()
        self.pixel_size_refused = Paragraph()
        self.pixel_size_refused.setTextFormat(Qt.TextFormat.PlainText)
        self.pixel_size_refused.hide()
        self.pixel_size.textEdited.connect(self.pixel_size_taken)
        self.add_line(self.pixel_size_refused)

    def refuse_pixel_size(self, why: str) -> None:
        """Say below the field why its size is not taken, until another is typed."""
        self.pixel_size_refused.setText(f"\N{WARNING SIGN} {why}")
        self.pixel_size_refused.show()
        self.pixel_size.setFocus()

    def pixel_size_taken(self) -> None:
        """Nothing speaks against the size in the field, as far as is known."""
        self.pixel_size_refused.setText("")
        self.pixel_size_refused.hide()

    def ask_pixel_size(self, known: float | None) -> None:
        """Show the row that asks for the size of a pixel; ``known`` is what the user gave before."""
        self.pixel_size_taken()
        self.pixel_size.setText("" if known is None else f"{known:g}")
        for widget in self._pixel_size_row:
            widget.show()

    def show_notes(self, notes: Sequence[str]) -> None:
        """Show what one should know of the image; the first of it, where that is much."""
        shown = [f"\N{WARNING SIGN} {escape(one, quote=False)}" for one in notes[:MOST_NOTES]]
        left = len(notes) - len(shown)
        more = [f"and {left} more: hold the mouse here"] * (left > 0)
        self.notes.setText("<br>".join([*shown, *more]))
        lines = "<br>".join(escape(one, quote=False) for one in notes)
        self.notes.setToolTip(f"<qt>{lines}</qt>" if notes else "")
        self.notes.setVisible(bool(notes))

    def pixel_size_known(self) -> None:
        """Hide the row that asks for the size of a pixel."""
        self.pixel_size_taken()
        self.pixel_size.clear()
        for widget in self._pixel_size_row:
            widget.hide()

    def offer_slides(self, slides: Sequence[Image]) -> None:
        """Offer layers by name; the chosen one stays chosen, else the first."""
        chosen = self.slide.currentData()
        self.slide.blockSignals(True)
        self.slide.clear()
        for index, layer in enumerate(slides):
            self.slide.addItem(shortened(layer.name), layer)
            self.slide.setItemData(index, layer.name, Qt.ItemDataRole.ToolTipRole)
        self.slide.setCurrentIndex(slides.index(chosen) if chosen in slides else 0)
        self.slide.blockSignals(False)

    def choose(self, slide: Image) -> None:
        """Choose a layer if it is offered."""
        for index in range(self.slide.count()):
            if self.slide.itemData(index) == slide:
                self.slide.setCurrentIndex(index)

    def offer_models(self, names: Sequence[str]) -> None:
        """Offer models by name."""
        self.model.blockSignals(True)
        self.model.clear()
        self.model.addItems(list(names) or ["No model found"])
        self.model.blockSignals(False)

    def begin(self) -> None:
        """Show that work has started: Run becomes Cancel, choices rest."""
        self._say_run(running=True)
        self.status.setText("Starting…")

    def end(self, line: str) -> None:
        """Show that work has ended."""
        self._say_run(running=False)
        self.status.setText(line)

    def show_progress(self, event: Progress) -> None:
        """Move the bar; one line says what is done and how long it takes."""
        self.bar.setRange(0, event.total)
        self.bar.setValue(event.done)
        self.status.setText(progress_line(event))

    def _say_run(self, *, running: bool) -> None:
        self.run.setText("Cancel" if running else "Run")
        self.run.setToolTip(
            "Stop; earlier results stay (Ctrl+Return)" if running else "Start (Ctrl+Return)"
        )
        self.bar.setRange(0, 0 if running else 1)
        self.bar.setVisible(running)
        for widget in (self.slide, self.model, self.region, self.pixel_size, self.measure):
            widget.setEnabled(not running)


class ProgressBar(QProgressBar):
    """A thin bar, which moves four times a second where nobody knows how much there is to do.

    Qt moves it sixty times, and each draws the whole window: half a core without a graphics card.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setTextVisible(False)
        self.setFixedHeight(8)
        self._next_s = 0.0

    def event(self, event: QEvent) -> bool:  # type: ignore[override]
        """As Qt's; most steps of its animation are passed over."""
        if event.type().value == _ANIMATED:
            if time.monotonic() < self._next_s:
                event.accept()  # or Qt takes it for hidden and stops
                return True
            self._next_s = time.monotonic() + _STEP_S
        return super().event(event)


class Choice(QComboBox):
    """A combo box that leaves out the middle of what has no room, where Qt cuts it off."""

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802  (Qt's name)
        """As Qt's, with the text that fits."""
        del event
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = self.seen_text
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def showPopup(self) -> None:  # noqa: N802  (Qt's name)
        """Show the list, as wide as what is in it."""
        if (listed := self.view()) is not None:
            listed.setMinimumWidth(listed.sizeHintForColumn(0) + 4 * _FRAME_PX)
        super().showPopup()

    @property
    def seen_text(self) -> str:
        """What of the chosen text is seen; of what is said where nothing can be chosen yet, else."""
        return self.fontMetrics().elidedText(
            self.currentText() or self.placeholderText(), Qt.TextElideMode.ElideMiddle, self.room_px
        )

    @property
    def room_px(self) -> int:
        """How wide a text may be."""
        option, style = QStyleOptionComboBox(), self.style()
        self.initStyleOption(option)
        assert style is not None
        room = style.subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            self,
        )
        return room.width()


def combo(tip: str) -> QComboBox:
    """Give a combo box that shrinks with the dock; the middle of long names is left out."""
    box = Choice()
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box


def hint(field: QLineEdit, text: str) -> None:
    """Say in an empty field what it is for, with room for all of it."""
    field.setPlaceholderText(text)
    field.setMinimumWidth(field.fontMetrics().horizontalAdvance(text) + _FRAME_PX)


def label(text: str) -> QLabel:
    """Give a label that wraps."""
    made = QLabel(text)
    made.setWordWrap(True)
    return made


class Paragraph(QLabel):
    """A label of several lines, which always has the room that its text takes."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)

    def setText(self, text: str | None) -> None:  # noqa: N802  (Qt's name)
        """Show a text, and take the room for it."""
        super().setText(text)
        self._take_room()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802  (Qt's name)
        """Lines break elsewhere now."""
        super().resizeEvent(event)
        self._take_room()

    def _take_room(self) -> None:
        self.setMinimumHeight(self.heightForWidth(self.width()) if self.text() else 0)


def beside(*widgets: QWidget, wide: int = 0) -> QWidget:
    """Put widgets in a line; the one of index ``wide`` takes the room there is."""
    box = QWidget()
    line = QHBoxLayout(box)
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(6)
    for widget in widgets:
        line.addWidget(widget)
    line.setStretch(wide, 1)
    return box


def button(text: str, tip: str) -> QPushButton:
    """Give a button and what it says when the mouse rests on it."""
    made = QPushButton(text)
    made.setToolTip(tip)
    return made


def evenly(*buttons: QAbstractButton) -> QWidget:
    """Put buttons in a line, all as wide."""
    box = beside(*buttons)
    line = box.layout()
    assert isinstance(line, QHBoxLayout)
    for index, made in enumerate(buttons):
        line.setStretch(index, 1)
        made.setMinimumWidth(40)
    return box


def keep_lines(text: QLabel, lines: int) -> None:
    """Keep the room of some lines, so that nothing moves or is squeezed when they come."""
    text.setMinimumHeight(lines * text.fontMetrics().lineSpacing())
    text.setAlignment(Qt.AlignmentFlag.AlignTop)


def keep_place(widget: QWidget) -> None:
    """Keep a widget's room while it is hidden, so that nothing jumps."""
    policy = widget.sizePolicy()
    policy.setRetainSizeWhenHidden(True)
    widget.setSizePolicy(policy)


class _Rows(QScrollArea):
    """Scrolls where the window is low, and is never narrower than its rows."""

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """As wide as the rows, and the bar that may stand beside them."""
        body, bar, port = self.widget(), self.verticalScrollBar(), self.viewport()
        wide = 0 if body is None or bar is None else bar.sizeHint().width()
        if port is not None and bar is not None and bar.isVisible():
            wide = self.width() - port.width()  # with what a style leaves beside it
        wide += 0 if body is None else body.minimumSizeHint().width()
        return QSize(max(NARROWEST, wide), super().minimumSizeHint().height())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Notice that the rows have become wider."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


def scrolled(*rows: QWidget, fill: bool = False) -> QScrollArea:
    """Widgets one below the other, which scroll where the window is low; the last may fill what is left."""
    body, area = QWidget(), _Rows()
    column = QVBoxLayout(body)
    column.setContentsMargins(9, 9, 9, 9)
    for row in rows:
        column.addWidget(row)
    if fill:
        column.setStretch(len(rows) - 1, 1)
    else:
        column.addStretch(1)
    area.setWidget(body)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area


class Foot(QWidget):
    """Lines below the rows, which stay in view however far these are scrolled: what decides, and goes on."""

    def __init__(self) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(9, 0, 9, 9)
        self._column.setSpacing(6)
        self.hide()

    def add_line(self, widget: QWidget) -> None:
        """Add a line."""
        self._column.addWidget(widget)


def above(widget: QWidget, kind: type[W]) -> W | None:
    """The nearest of the widgets around this one that is of a kind."""
    around = widget.parentWidget()
    while around is not None and not isinstance(around, kind):
        around = around.parentWidget()
    return around


def progress_line(event: Progress) -> str:
    """``Scoring the tissue, 63 %, 4 s left``."""
    what = event.what[:1].upper() + event.what[1:]
    if event.total and event.done:
        what += f", {100 * event.done // event.total} %"
    if event.eta_s is not None:
        what += f", {duration(event.eta_s)} left"
    return what


def offer_folders(box: QComboBox, folders: Sequence[Path]) -> None:
    """Offer folders in a combo box, without a signal; the chosen one stays chosen."""
    chosen = box.currentData()
    box.blockSignals(True)
    box.clear()
    for index, folder in enumerate(folders):
        box.addItem(shortened(folder.name), folder)
        box.setItemData(index, str(folder), Qt.ItemDataRole.ToolTipRole)
    box.setCurrentIndex(folders.index(chosen) if chosen in folders else 0)
    box.blockSignals(False)


def shortened(name: str, longest: int = 24) -> str:
    """Leave out the middle of a long name."""
    if len(name) <= longest:
        return name
    head = longest // 2
    return f"{name[:head]}…{name[head + 1 - longest :]}"


def duration(seconds: float) -> str:
    """``4 s``, ``3 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def confirmed(parent: QWidget, title: str, question: str) -> bool:
    """Ask a question whose answer is No unless the user says Yes."""
    yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
    return QMessageBox.question(parent, title, question, yes | no, no) == yes
