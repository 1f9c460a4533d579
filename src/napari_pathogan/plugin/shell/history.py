"""One history of a case, whichever dock a step was taken in: what was corrected, decided, drawn, run, chosen.

A case is a slide, or all mammograms that are open: their views are decided on together. Each step knows
how it is taken back and done again; the latest comes first, so that no dock has an order of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from qtpy.QtCore import QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_pathogan.plugin.shell.dock_keys import DockKey, WithKeys
from napari_pathogan.plugin.shell.drawn import Drawn
from napari_pathogan.plugin.viewer.mammogram_layers import is_mammogram
from napari_pathogan.plugin.viewer.opened import opened

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Image, Layer
    from napari.utils.events import Event
    from qtpy.QtGui import QResizeEvent

    from napari_pathogan.plugin.shell.form import Form, Ties
    from napari_pathogan.plugin.shell.running import Run

UNDO, REDO = "Ctrl+Z", "Ctrl+Shift+Z"
MOST, MOST_RUNS = 100, 3  # steps; and of those that hold whole results
_MAMMOGRAMS = "mammograms"
_histories: dict[int, History] = {}


class WithHistory(WithKeys, Protocol):
    """A dock, as the history of its cases knows it."""

    form: Form
    run: Run | None
    history: History

    @property
    def layer(self) -> Image | None:
        """The layer of the chosen slide."""

    def settle(self) -> None:
        """Take over what the user has drawn a moment ago: something is about to be undone."""


@dataclass(frozen=True, eq=False)
class Step:
    """Something that was done, and can be taken back.

    Attributes
    ----------
    dock, image
        Where, and in which image; in no dock where a user has drawn in a layer of their own.
    what
        To stand after "Undo".
    back, again
        Take it back, and do it again; each says whether it could.
    whole
        Whether it holds a whole result.
    layer
        In which it was drawn.
    """

    dock: WithHistory | None
    image: Image
    what: str
    back: Callable[[], bool]
    again: Callable[[], bool]
    whole: bool = False
    layer: Layer | None = None


class History(QObject):
    """The histories of all cases of a viewer."""

    changed = Signal()

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._docks: list[WithHistory] = []
        self._said = ""  # in all docks, of what was taken back or done again last
        self._done: dict[object, list[Step]] = {}
        self._undone: dict[object, list[Step]] = {}
        viewer.layers.events.removed.connect(self._removed)
        self._drawn = Drawn(viewer, self._was_drawn)

    def join(self, dock: WithHistory) -> None:
        """A dock shares it from now on, until it leaves."""
        self._docks.append(dock)

    def leave(self, dock: WithHistory) -> None:
        """Forget what was done in a dock that is closed."""
        self._docks.remove(dock)
        self._keep(lambda step: step.dock is not dock)
        if not self._docks:
            self._drawn.release()
            self._viewer.layers.events.removed.disconnect(self._removed)
            _histories.pop(id(self._viewer), None)

    def add(self, step: Step) -> None:
        """Something was done; what was taken back before can't be done again any more."""
        case = _case_of(step.image)
        done = self._done.setdefault(case, [])
        done.append(step)
        while len(done) > MOST or sum(one.whole for one in done) > MOST_RUNS:
            done.pop(0)
        self._undone.pop(case, None)
        for dock in self._docks:
            if self._said and dock.form.status.text() == self._said:
                dock.form.status.setText("")
        self.changed.emit()

    def next(self, image: Image | None, *, back: bool) -> str:
        """What would be taken back, or done again, in an image's case; empty if there is nothing."""
        steps = (self._done if back else self._undone).get(_case_of(image))
        return steps[-1].what if steps else ""

    def undo(self, image: Image | None = None) -> bool:
        """Take back what was done last: in an image's case, or in that of the selected layer.

        False if there was nothing.
        """
        return self._go(image, back=True)

    def redo(self, image: Image | None = None) -> bool:
        """Do again what was taken back last."""
        return self._go(image, back=False)

    def _go(self, image: Image | None, *, back: bool) -> bool:
        self._drawn.look()
        for dock in self._docks:
            dock.settle()
        case = _case_of(image if image is not None else self._selected())
        here, there = (self._done, self._undone) if back else (self._undone, self._done)
        if not (steps := here.get(case)):
            return False
        step = steps[-1]
        if (step.back if back else step.again)():
            steps.remove(step)
            there.setdefault(case, []).append(step)
            self._said = f"{'Undone' if back else 'Done again'}: {step.what}."
            for dock in self._docks:
                dock.form.status.setText(self._said)
        self.changed.emit()
        return True

    def _selected(self) -> Image | None:
        """The image on which the selected layer lies."""
        active = self._viewer.layers.selection.active
        found = (one.first for one in opened(self._viewer) if active in one.layers)
        return next(found, None)

    def _removed(self, _event: Event) -> None:
        there = self._viewer.layers
        self._keep(lambda step: step.image in there and (step.layer is None or step.layer in there))

    def _was_drawn(
        self,
        image: Image,
        layer: Layer,
        what: str,
        back: Callable[[], bool],
        again: Callable[[], bool],
    ) -> None:
        self.add(Step(None, image, what, back, again, layer=layer))

    def _keep(self, keep: Callable[[Step], bool]) -> None:
        for histories in (self._done, self._undone):
            for case, steps in list(histories.items()):
                steps[:] = [step for step in steps if keep(step)]
                if not steps:
                    del histories[case]
        self.changed.emit()


class HistoryLine(QWidget):
    """Undo, which says what, and Redo."""

    def __init__(self, dock: WithHistory, ties: Ties) -> None:
        super().__init__()
        self._dock, self._what = dock, ""
        self.undo, self.redo = QPushButton("Undo"), QPushButton("Redo")
        self.undo.setMinimumWidth(90)
        self.undo.clicked.connect(lambda: dock.history.undo(dock.layer))
        self.redo.clicked.connect(lambda: dock.history.redo(dock.layer))
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(6)
        line.addWidget(self.undo, 1)
        line.addWidget(self.redo)
        dock.history.changed.connect(self.show_next)
        ties.add(partial(dock.history.changed.disconnect, self.show_next))
        for keys, act in ((UNDO, dock.history.undo), (REDO, dock.history.redo)):
            dock.shortcut(keys, partial(_in, dock, act))
            DockKey(dock.viewer, ties, keys, act)
        self.show_next()

    def show_next(self) -> None:
        """Say what would be taken back."""
        dock = self._dock
        for made, verb, back, keys in (
            (self.undo, "Undo", True, UNDO),
            (self.redo, "Redo", False, REDO),
        ):
            what = dock.history.next(dock.layer, back=back)
            made.setEnabled(dock.run is None and bool(what))
            made.setToolTip(f"{verb} {what or 'what was done last'} ({keys})")
        self._what = dock.history.next(dock.layer, back=True)
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802  (Qt's name)
        """Another part of what would be taken back has room now."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = self.undo.width() - self.undo.fontMetrics().horizontalAdvance("nn")
        whole = f"Undo {self._what}".strip()
        text = self.undo.fontMetrics().elidedText(whole, Qt.TextElideMode.ElideMiddle, room)
        self.undo.setText(text if self.undo.isVisible() else whole)


def history_of(dock: WithHistory) -> History:
    """The one that a dock shares with the others of its viewer."""
    history = _histories.get(id(dock.viewer)) or History(dock.viewer)
    _histories[id(dock.viewer)] = history
    history.join(dock)
    return history


def _in(dock: WithHistory, act: Callable[[Image | None], bool]) -> None:
    act(dock.layer)


def _case_of(image: Image | None) -> object:
    return _MAMMOGRAMS if image is not None and is_mammogram(image) else image
