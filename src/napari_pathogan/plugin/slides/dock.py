"""The Slides dock: what is open, one at a time or all, with what was found in each."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from html import escape
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import QSize, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMainWindow,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.shell import case as cases
from napari_pathogan.plugin.shell import session
from napari_pathogan.plugin.shell.dock import Dock
from napari_pathogan.plugin.shell.docked import Docked
from napari_pathogan.plugin.shell.form import (
    Paragraph,
    above,
    button,
    confirmed,
    evenly,
    label,
)
from napari_pathogan.plugin.shell.keeping import (
    Keeper,
    Notice,
    Read,
    keepers,
    open_images,
    reading,
    show_drawn,
    show_looks,
    take,
    writing,
)
from napari_pathogan.plugin.shell.notes import notes_of
from napari_pathogan.plugin.slides.pictures import SIDE, Pictured, pictures
from napari_pathogan.plugin.slides.words import results_text, scale_text, told_apart
from napari_pathogan.plugin.viewer import commands
from napari_pathogan.plugin.viewer.asking import CASES, ask_file, ask_target
from napari_pathogan.plugin.viewer.keys import dock_of, dock_titles
from napari_pathogan.plugin.viewer.opened import (
    opened,
    remove,
    results_hidden,
    show_all,
    show_alone,
    show_in_place,
    show_results,
)
from napari_pathogan.plugin.viewer.reader import CASE_SUFFIX
from napari_pathogan.plugin.viewer.reader import read as read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import napari
    from napari.layers import Image
    from qtpy.QtGui import QKeyEvent, QResizeEvent

    from napari_pathogan.engine.events import Event, Finished
    from napari_pathogan.plugin.shell.case import Case
    from napari_pathogan.plugin.viewer.opened import Opened

_RIM = 6  # px around a picture
_LOOK_MS = 700  # what docks have found is looked at this often
_CASES = f"Cases (*{CASE_SUFFIX})"
_START = "<b>Nothing is open</b><br>Slides and mammograms that you open are listed here."


class SlidesDock(Docked):
    """A list of what is open; the one that is chosen is shown alone, and all docks look at it.

    Parameters
    ----------
    napari_viewer
        napari passes it.
    """

    title: ClassVar[str] = "Slides"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.opened: list[Opened] = []
        self._pictures: dict[Image, QPixmap] = {}
        self._asked: set[Image] = set()  # for a picture
        self._shown: Image | None = None  # that was chosen last, to be seen alone
        self.working = False  # a case is saved or opened
        self._build()
        for emitter in ("inserted", "removed", "reordered"):
            self._ties.connect(getattr(self.viewer.layers.events, emitter), self._changed)
        self._ties.connect(self.viewer.layers.selection.events.active, self._follow)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._list)
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._describe)
        self._look.start()
        self._ties.add(self._soon.stop)
        self._ties.add(self._look.stop)
        self._offer_before(session.left_over())
        self._list()

    # what it does

    @property
    def chosen(self) -> Opened | None:
        """What is chosen in the list."""
        row = self.list.currentRow()
        there = 0 <= row < len(self.opened) and bool(self.list.selectedItems())
        return self.opened[row] if there else None

    @property
    def keepers(self) -> list[Keeper]:
        """Those whose results a case keeps."""
        window = above(self, QMainWindow)
        return keepers(window) if window is not None else []

    @property
    def docks(self) -> list[Dock]:
        """The docks of tasks in the same window."""
        window = above(self, QMainWindow)
        return window.findChildren(Dock) if window is not None else []

    def show_chosen(self) -> None:
        """Show the chosen image alone; docks follow. Where several are marked, they wait for their button."""
        if (one := self.chosen) is not None and len(self.marked) < 2:
            before, self._shown = self._shown, one.first
            flips = before is not one.first and before in self.viewer.layers
            if before is not None and flips and self.same_place.isChecked():
                show_in_place(self.viewer, before, one)
            else:
                show_alone(self.viewer, one)
        self._describe()

    @property
    def marked(self) -> list[Opened]:
        """All that are marked in the list, in its order."""
        rows = sorted(self.list.row(item) for item in self.list.selectedItems())
        return [self.opened[row] for row in rows if row < len(self.opened)]

    def show_marked(self) -> None:
        """Show those that are marked, next to each other at one scale; one mouse moves all."""
        if len(self.marked) > 1:
            show_alone(self.viewer, *self.marked)
        else:
            self.said.setText("Mark two or more in the list: click them with Ctrl held.")
        self._describe()

    def show_all(self) -> None:
        """Show everything that is open."""
        show_all(self.viewer)
        self._describe()

    def toggle_results(self) -> None:
        """Hide what lies on the chosen image, or show it again."""
        if (one := self.chosen) is not None:
            show_results(self.viewer, one, shown=results_hidden(one))
        self._describe()

    def close_chosen(self) -> None:
        """Close the chosen image, with what was found in it."""
        one = self.chosen
        if one is None:
            return
        unsaved = [said for dock in self.docks for x in one.images if (said := dock.unsaved(x))]
        if unsaved and not confirmed(self, self.title, f"{' '.join(unsaved)} Close all the same?"):
            return
        remove(self.viewer, one)

    def save_case(self) -> None:
        """Ask for a file, and keep there what is open, what was found and drawn, and how it is seen."""
        path = ask_target(self, "Save the case", "", _CASES, CASES)
        if path is None:
            return
        file = cases.named(path)
        taken = take(self.viewer, self.keepers)
        found = [(one.task, write) for one, write in taken.results if one.task]  # without layers

        def done(event: Finished) -> None:
            for dock in self.keepers:
                dock.was_kept([write for task, write in found if task == dock.task])
            left = f" Not kept: {'; '.join(event.result)}." if event.result else ""
            self.said.setText(f"Saved {file.name}.{left}")

        self._do(writing(taken, file), f"Saving {file.name}", done)

    def ask_case(self) -> None:
        """Ask for a case, and open it."""
        path = ask_file(self, "Open a case", _CASES, CASES)
        if path is not None:
            self.open_case(path)

    def bring_back(self) -> None:
        """Open what was open when a napari ended that did not come to its end."""
        if self._before is not None:
            self.open_case(self._before, let_go=True)

    def forget(self) -> None:
        """Let what was open then go for good; offer what was open in another napari, if there is more."""
        if self._before is not None:
            session.forget(self._before)
        self._offer_before(session.left_over())

    def open_case(self, path: Path, *, let_go: bool = False) -> None:
        """Open what was open, with what was found and drawn; an error becomes a notification."""
        try:
            case = cases.read(path)
            images, told, given = open_images(self.viewer, case, path)
        except PathoganError as error:
            show_error(str(error))
            return
        self._open_docks(case)
        for file in case.others:
            self._open_result(cases.find(file, path), told)

        def done(_event: Finished) -> None:
            show_looks(self.viewer, case, images)
            what = "Brought back what was open." if let_go else f"Opened {path.name}."
            self.said.setText(" ".join([what, *given, *(f"⚠ {one}." for one in told)]))
            if let_go and not told:  # what could not be opened now may be later
                self.forget()

        came = partial(self._came_back, images, told)
        self._do(reading(case, path, images, self.keepers), f"Opening {path.name}", done, came)

    # how

    def _build(self) -> None:
        self.start = label(_START)
        self.list = _List()
        self.list.itemClicked.connect(lambda _: self.show_chosen())
        self.list.moved.connect(self.show_chosen)
        made = {
            "Open…": ("Choose a slide file on this computer", self._open),
            "Show all": ("Show everything that is open, side by side", self.show_all),
            "Side by side": (
                "Show those that are marked (clicked with Ctrl held) next to each other, at one scale",
                self.show_marked,
            ),
            "Hide results": ("Hide what lies on the chosen image, or show it again", self.toggle_results),
            "Close": ("Close the chosen image, and what was found in it", self.close_chosen),
            "Save case…": ("Keep what is open, found and drawn, and how it is seen, in a file", self.save_case),
            "Open case…": ("Open what was kept so", self.ask_case),
        }  # fmt: skip
        self.buttons = {}
        for text, (tip, act) in made.items():
            self.buttons[text] = button(text, tip)
            self.buttons[text].clicked.connect(lambda _=False, act=act: act())
        self.lost = label("")
        self.before = button("Bring it back", "Open it, with what was found and drawn")
        self.before.clicked.connect(lambda _=False: self.bring_back())
        self.no = button("Forget it", "Let it go for good")
        self.no.clicked.connect(lambda _=False: self.forget())
        self.answers = evenly(self.before, self.no)
        column = QVBoxLayout(self)
        column.addWidget(self.lost)
        column.addWidget(self.answers)
        column.addWidget(self.start)
        column.addWidget(self.list, 1)
        self.same_place = QCheckBox("Same place")
        self.same_place.setToolTip(
            "Another slide that is chosen shows the place that was in view, as far from its upper left corner and "
            "as large: arrow keys flip between sections of one block"
        )
        placed = [*self.buttons.values(), self.same_place]
        self.said = Paragraph()
        for line in (*(evenly(*placed[at : at + 2]) for at in range(0, len(placed), 2)), self.said):
            column.addWidget(line)

    def _offer_before(self, before: Path | None) -> None:
        """Offer what was open in a napari that did not come to its end."""
        self._before = before
        if before is not None:
            when = datetime.fromtimestamp(before.stat().st_mtime).astimezone()
            self.lost.setText(
                f"<b>napari ended unexpectedly.</b> What was open on {when:%d %B, %H:%M} was noted."
            )
        for widget in (self.lost, self.answers):
            widget.setVisible(before is not None)

    def _open(self) -> None:
        commands.open_slide(self.viewer)

    def _open_docks(self, case: Case) -> None:
        """Open the docks that were open, with what was chosen in them."""
        window, known = above(self, QMainWindow), dock_titles()
        assert window is not None, "a dock is in a window"
        for name, choices in case.docks.items():
            dock = dock_of(window, name) if name in known else None
            if isinstance(dock, Dock):
                dock.choose_again(choices)

    def _came_back(self, images: list[Image | None], told: list[str], event: Event) -> None:
        """Show what was found in an image, or drawn on it, if that is still there."""
        if isinstance(event, Notice):
            told.append(event.sentence)
        if not isinstance(event, Read):
            return
        at, task = event.result.image, event.result.task
        image = None if at is None else images[at]
        if image is not None and image not in self.viewer.layers:
            return
        if not task:
            show_drawn(self.viewer, event.result.file, event.content, image)
        elif image is not None:
            dock = next((one for one in self.docks if one.task == task), None)
            if dock is not None:
                dock.show_kept(image, event.content)

    def _open_result(self, path: Path, told: list[str]) -> None:
        """Open a file of results that was open."""
        if not path.exists():
            told.append(f"{path.name} is not where it was")
            return
        try:
            for data, kwargs, kind in read_file(str(path)):
                getattr(self.viewer, f"add_{kind}")(data, **kwargs)
        except PathoganError as error:
            told.append(str(error))

    def _do(
        self,
        events: Iterator[Event],
        title: str,
        done: Callable[[Finished], None],
        came: Callable[[Event], None] | None = None,
    ) -> None:
        """Save or open a case in the background."""
        self.working = True
        self._describe()

        def ended() -> None:
            self.working = False
            self.said.setText("")  # if it failed, it was said why
            self._describe()

        def finished(event: Finished) -> None:
            ended()
            done(event)

        self.said.setText(f"{title}…")
        self.aside(events, finished, ended, title=title, ask=True, on_event=came)

    def _changed(self, event: object = None) -> None:
        del event
        self._soon.start(0)  # once napari has done with the layer

    def _list(self) -> None:
        """List what is open; the chosen one stays chosen."""
        self.opened = opened(self.viewer)
        firsts = [one.first for one in self.opened]
        self._pictures = {x: made for x, made in self._pictures.items() if x in firsts}
        self._asked &= set(firsts)
        self.list.show_rows(len(firsts))
        self.start.setVisible(not firsts)
        self._follow()
        self._describe()
        new = [x for x in firsts if x not in self._asked]
        if new:
            self._asked.update(new)
            self.aside(pictures(new), title="Pictures of slides", on_event=self._pictured)

    def _pictured(self, event: Event) -> None:
        if isinstance(event, Pictured):
            self._pictures[event.image] = _pixmap(event.picture)
            self._describe()

    def _follow(self, _event: object = None) -> None:
        """Choose the image on which the selected layer lies."""
        active = self.viewer.layers.selection.active
        at = next((i for i, one in enumerate(self.opened) if active in one.layers), None)
        if at is not None and at != self.list.currentRow():
            self.list.choose(at)
        elif self.list.currentRow() < 0 and self.opened:
            self.list.choose(len(self.opened) - 1)

    def _describe(self) -> None:
        """Say of each image what is known by now."""
        there = set(self.viewer.layers)
        if any(layer not in there for one in self.opened for layer in one.layers):
            return  # it is listed anew in a moment
        docks, titles = self.docks, told_apart(self.opened)
        for at, one in enumerate(self.opened):
            found = [
                f"{image.name}: {said}" if len(one.images) > 1 else said
                for dock in docks
                for image in one.images
                if (said := dock.found_in(image))
            ]
            lines = [f"<b>{escape(titles[at])}</b>", escape(scale_text(one.first))]
            lines += [text] if (text := results_text(found, one.results)) else []
            notes = dict.fromkeys(note for image in one.images for note in notes_of(image))
            lines += [f"⚠ {escape(note)}" for note in notes]
            picture = self._pictures.get(one.first)
            self.list.describe(at, "<br>".join(lines), picture, seen=not one.hidden)
        chosen = self.chosen
        hidden = chosen is not None and results_hidden(chosen)
        self.buttons["Hide results"].setText("Show results" if hidden else "Hide results")
        self.buttons["Hide results"].setEnabled(chosen is not None and bool(chosen.results))
        self.buttons["Close"].setEnabled(chosen is not None)
        self.buttons["Side by side"].setEnabled(len(self.opened) > 1)
        self.buttons["Show all"].setEnabled(bool(self.opened))
        self.buttons["Save case…"].setEnabled(bool(self.opened) and not self.working)
        self.buttons["Open case…"].setEnabled(not self.working)


class _List(QListWidget):
    """Rows of a picture and lines of text, as high as these are."""

    moved = Signal()  # another row was chosen by a key

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(200)
        self.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.rows: list[_Row] = []

    def show_rows(self, count: int) -> None:
        """Have so many rows, the chosen one as before if it is still there."""
        while self.count() > count:
            self.takeItem(self.count() - 1)
            self.rows.pop()
        while self.count() < count:
            item, row = QListWidgetItem(), _Row()
            self.addItem(item)
            self.setItemWidget(item, row)
            self.rows.append(row)

    def choose(self, at: int) -> None:
        """Mark a row as chosen."""
        self.setCurrentRow(at)

    def describe(self, at: int, text: str, picture: QPixmap | None, *, seen: bool) -> None:
        """Show what is known of a row, faint where its image is hidden."""
        self.rows[at].show_text(text, picture, seen=seen)
        self._fit(at)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802  (Qt's name)
        """Arrows choose another row."""
        before = self.currentRow()
        super().keyPressEvent(event)
        if self.currentRow() != before:
            self.moved.emit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802  (Qt's name)
        """Lines break elsewhere now."""
        super().resizeEvent(event)
        for at in range(self.count()):
            self._fit(at)

    def _fit(self, at: int) -> None:
        item, viewport = self.item(at), self.viewport()
        if item is not None and viewport is not None:
            wide = viewport.width()
            size = QSize(wide, self.rows[at].height_for(wide))
            if item.sizeHint() != size:
                item.setSizeHint(size)


class _Row(QWidget):
    """A picture, and lines of text beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)  # clicks are the list's
        self.picture, self.text = QLabel(), label("")
        self.picture.setFixedSize(SIDE, SIDE)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        line = QHBoxLayout(self)
        line.setContentsMargins(_RIM, _RIM, _RIM, _RIM)
        line.setSpacing(_RIM)
        line.addWidget(self.picture, 0, Qt.AlignmentFlag.AlignTop)
        line.addWidget(self.text, 1)

    def show_text(self, text: str, picture: QPixmap | None, *, seen: bool) -> None:
        """Say what is known."""
        if text != self.text.text():
            self.text.setText(text)
        if picture is not None:
            self.picture.setPixmap(picture)
        for part in (self.picture, self.text):
            part.setEnabled(seen)

    def height_for(self, wide: int) -> int:
        """How high it is where it is so wide."""
        lines = self.text.heightForWidth(wide - SIDE - 3 * _RIM)
        return max(SIDE, lines) + 2 * _RIM


def _pixmap(picture: np.ndarray) -> QPixmap:
    height, width = picture.shape[:2]
    kept = np.ascontiguousarray(picture)
    image = QImage(kept.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())
