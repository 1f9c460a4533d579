"""What happens when a window, or one of our docks, is closed while something runs in it, or work is unsaved.

The user is asked first. What runs is then stopped, at once, and leaves nothing behind but a training's
run, which can be resumed; or a training goes on without the window. A window that
is gone is not waited for. All of this listens to what Qt says of the window, whichever way it is
closed: by its frame, a key, or a menu.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QDockWidget, QMainWindow, QMessageBox, QPushButton, QWidget

from napari_pathogan.plugin.shell import session
from napari_pathogan.plugin.shell.form import above, progress_line
from napari_pathogan.plugin.shell.garbage import take_back
from napari_pathogan.plugin.shell.running import end, running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.plugin.shell.running import Run

_CLOSE_BUTTON = "QTitleBarCloseButton"  # what napari calls that of a dock, for its style sheets
_LEAVE = "Go on without the window"
_SAYS_MS = 500  # between two looks at how far it is, while the user is asked
_watched: WeakSet[Any] = WeakSet()  # docks that may hold work which is kept nowhere
_PRESS_KEYS = {Qt.Key.Key_Space, Qt.Key.Key_Select, Qt.Key.Key_Return, Qt.Key.Key_Enter}


def watch(widget: QWidget) -> None:
    """Ask before a docked widget, or its window, is closed while something of it runs or is unsaved.

    Call whenever the widget is shown: it may have come into another frame.
    """
    if hasattr(widget, "unsaved"):
        _watched.add(widget)
    frame, window = above(widget, QDockWidget), above(widget, QMainWindow)
    if window is not None and window.findChild(_Window) is None:
        viewer = _viewer_of(window)
        if viewer is not None:
            _Window(window, viewer)
    if frame is not None and frame.findChild(_Frame) is None:
        _Frame(frame)


def may_stop(room: QWidget) -> bool:
    """Ask whether what runs in a widget, or anywhere within it, may be stopped, if anything does.

    And whether the user's work that is kept nowhere may go.
    """
    runs, unsaved = _at_stake(room)
    return not (runs or unsaved) or _asked(room, runs, unsaved)


class _Window(QObject):
    """Asks before its window is closed, and ends what runs there once it is.

    napari takes the viewer out of a window that it closes, then waits for all threads, and last
    hides the window: what runs is ended when the viewer is hidden.

    One question is enough: napari's own, which comes to who closes the window by its frame, is left
    out once ours was answered.
    """

    def __init__(self, window: QMainWindow, viewer: QWidget) -> None:
        super().__init__(window)
        self.window, self.viewer = window, viewer
        self._asks = self._agreed = self._closes = False
        window.installEventFilter(self)
        viewer.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Listen to the window's Close, and what comes of it."""
        if event is None or watched not in {self.window, self.viewer}:
            return super().eventFilter(watched, event)
        if event.type() == QEvent.Type.Close:
            if watched is self.window and not self._may_close(by_frame=event.spontaneous()):
                event.ignore()
                return True
            self._closes = True
        elif event.type() == QEvent.Type.Hide and self._closes and not event.spontaneous():
            end(run for run in running() if _within(run.owner, self.window))
            session.end(self.window)
            take_back()
        return super().eventFilter(watched, event)

    def _may_close(self, *, by_frame: bool) -> bool:
        """Whether the window may close now; where napari would ask once more it is closed from here."""
        if self._asks or (by_frame and self._agreed):
            return False  # the question is still open, or was answered and it closes in a moment
        if self._agreed or not self.viewer.isVisible():
            return True  # the viewer is gone from it, so there is nothing to ask any more
        runs, unsaved = _at_stake(self.window)
        if not (runs or unsaved):
            return True
        self._asks = True
        try:
            agreed = _asked(self.window, runs, unsaved)
        finally:
            self._asks = False
        if agreed and by_frame:
            self._agreed = True
            QTimer.singleShot(0, self.window.close)
            return False
        return agreed


class _Frame(QObject):
    """Asks before its dock is closed: napari's button for that takes the dock out of the window."""

    def __init__(self, frame: QDockWidget) -> None:
        super().__init__(frame)
        self.frame = frame
        self._look_for_button()
        frame.topLevelChanged.connect(self._look_for_button)  # it has another title bar then

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        if isinstance(watched, QPushButton) and event is not None and _presses(event):
            room = self.frame.widget()
            return room is not None and not may_stop(room)
        return super().eventFilter(watched, event)

    def _look_for_button(self) -> None:
        bar = self.frame.titleBarWidget()
        button = bar.findChild(QPushButton, _CLOSE_BUTTON) if bar is not None else None
        if button is not None:
            button.installEventFilter(self)


def _at_stake(room: QWidget) -> tuple[list[Run], list[str]]:
    """What runs in a widget or within it, and what work of the user's there is kept nowhere."""
    runs = [run for run in running() if run.ask and run.active and _within(run.owner, room)]
    docks = [dock for dock in _watched if _within(dock, room)]
    return runs, [sentence for dock in docks if (sentence := dock.unsaved())]


def _viewer_of(window: QMainWindow) -> QWidget | None:
    """The widget that holds the canvas, just below the window's central one."""
    central = window.centralWidget()
    viewer: QWidget | None = central.findChild(QOpenGLWidget) if central is not None else None
    while viewer is not None and viewer.parentWidget() is not central:
        viewer = viewer.parentWidget()
    return viewer


def _presses(event: QEvent) -> bool:
    if event.type() == QEvent.Type.KeyPress:
        return event.key() in _PRESS_KEYS  # type: ignore[attr-defined]
    return event.type() in {QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonDblClick}


def _asked(room: QWidget, runs: Sequence[Run], unsaved: Sequence[str]) -> bool:
    box = QMessageBox(room)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle("Not finished")

    def say() -> None:
        box.setText("\n".join([*map(_how_far, runs), *unsaved]))

    say()
    timer = QTimer(box)  # it goes on meanwhile
    timer.timeout.connect(say)
    timer.start(_SAYS_MS)
    what = "It is" if len(runs) == 1 else "All of this is"
    kept = dict.fromkeys(run.keeps for run in runs if run.keeps)
    said = f"{what} stopped{'.' if kept else ', and nothing of it is left behind.'}" if runs else ""
    box.setInformativeText(" ".join(filter(None, ["Close anyway?", said, *kept])))
    alone = [run.alone for run in runs if run.alone is not None]
    go = box.addButton("Close anyway", QMessageBox.ButtonRole.DestructiveRole)
    leave = box.addButton(_LEAVE, QMessageBox.ButtonRole.AcceptRole) if alone else None
    stay = box.addButton("Don't close", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(stay)
    box.setEscapeButton(stay)
    box.exec()
    if leave is not None and box.clickedButton() is leave:
        for let_stay in alone:
            let_stay()
        return True
    return box.clickedButton() is go


def _how_far(run: Run) -> str:
    if not run.active:
        return f"'{run.title}' has ended."
    far = f" ({progress_line(run.latest)})" if run.latest is not None else ""
    return f"'{run.title}' is not finished{far}."


def _within(widget: QWidget | None, room: QWidget) -> bool:
    """Whether a widget, if it is still there, is another or in it; also in a window of its own."""
    around = widget if widget is not None and isalive(widget) else None  # type: ignore[no-untyped-call]
    while around is not None and around is not room:
        around = around.parentWidget()
    return around is not None
