"""A real napari window, worked as a user works it: menus, dialogs, buttons and keys.

Nothing here calls the plugin's own functions. Docks and commands come from napari's menus, dialogs
are Qt's own (not the system's) and are answered in their widgets, buttons are clicked where they
are seen. Whatever goes wrong on the way is an error of the test: a notification of an error, a
logged traceback, a warning of Qt or of napari about private parts, a dialog that nobody expected.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import tempfile
import threading
import time
import traceback
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from napari.utils.notifications import (
    ErrorNotification,
    NotificationSeverity,
    notification_manager,
)
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt, QTimer, qInstallMessageHandler
from qtpy.QtGui import QKeySequence, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDockWidget,
    QFileDialog,
    QHeaderView,
    QInputDialog,
    QLabel,
    QLineEdit,
    QMainWindow,
    QMessageBox,
    QPushButton,
    QWidget,
)

import patience
from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari
    from qtpy.QtWidgets import QAction, QMenu

SIZE = (1600, 1000)
TICK_MS = 20
FEWEST = 9  # letters of a longer name that have to be seen
LONG_S = 0.1  # a gap that is worth a look at what the threads do
DEPTH = 25  # frames of a stack that are shown
WAITS = (" in wait", " in select", " in _worker")  # where a thread is that has nothing to do
SETTLED_S = 5.0  # a layout
# What Qt says on a display without a window manager, whatever the program does.
NOISE = (
    "propagateSizeHints",
    "XDG_RUNTIME_DIR",
    "does not support raise",
    "does not support grabbing",
)


@dataclass
class Answer:
    """What a dialog is answered with, and what it said."""

    kind: type[QDialog]
    give: Callable[[QDialog], None]
    title: str = ""
    text: str = ""
    given: bool = False
    ready: Callable[[QDialog], bool] = lambda _: True
    """Whether the dialog can be answered now; asked until it can."""


def choose(*paths: Path) -> Answer:
    """Type paths into a file dialog and press its button."""

    def give(dialog: QDialog) -> None:
        assert isinstance(dialog, QFileDialog)
        line = dialog.findChild(QLineEdit, "fileNameEdit")
        text = str(paths[0]) if len(paths) == 1 else " ".join(f'"{path}"' for path in paths)
        line.setText(text)  # typed, its completer would pop up over the button
        box = dialog.findChild(QDialogButtonBox)
        accept = box.buttons()[0]
        for button in box.buttons():
            if box.buttonRole(button) == QDialogButtonBox.ButtonRole.AcceptRole:
                accept = button
        assert accept.isEnabled(), f"the dialog {dialog.windowTitle()!r} does not take {text}"
        QTest.mouseClick(accept, Qt.MouseButton.LeftButton)

    return Answer(QFileDialog, give)


def press_in(name: str, kind: type[QDialog] = QMessageBox) -> Answer:
    """Press the button of that name in a message, or another dialog, once it can be pressed."""

    def give(dialog: QDialog) -> None:
        QTest.mouseClick(button_in(dialog, name), Qt.MouseButton.LeftButton)

    return Answer(kind, give, ready=lambda dialog: button_in(dialog, name).isEnabled())


def enter(text: str) -> Answer:
    """Type a text where a dialog asks for one, and press OK."""

    def give(dialog: QDialog) -> None:
        line = dialog.findChild(QLineEdit)
        line.selectAll()
        QTest.keyClicks(line, text)
        QTest.keyClick(line, Qt.Key.Key_Return)

    return Answer(QInputDialog, give)


def dismiss(kind: type[QDialog] = QDialog) -> Answer:
    """Leave any dialog by Escape."""
    return Answer(kind, lambda dialog: QTest.keyClick(dialog, Qt.Key.Key_Escape))


def button_in(room: QWidget, name: str) -> QAbstractButton:
    """The visible button of that name, accelerators left out."""
    there = [one for one in room.findChildren(QAbstractButton) if one.isVisible()]
    for one in there:
        if plain(one.text()) == name:
            return one
    msg = f"no button {name!r} among {[plain(one.text()) for one in there]}"
    raise AssertionError(msg)


def plain(text: str) -> str:
    """A label as it is seen: ``&File`` is File, ``H&&E`` is H&E."""
    return text.replace("&&", "\0").replace("&", "").replace("\0", "&")


class Desk:
    """A napari window and all that went wrong in it.

    Parameters
    ----------
    viewer
        A viewer that is shown. Tests look at it; they work through the window.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self.window: QMainWindow = viewer.window._qt_window
        self.faults: list[str] = []
        self.notifications: list[str] = []
        self.answers: list[Answer] = []
        self._expected: str | None = None
        self._dismissed: list[str] | None = None
        self._at_rest_s: float | None = None
        self._log = _Log(self.faults)
        self._tick = QTimer()
        self._tick.setInterval(TICK_MS)

    # the watch over it

    @contextmanager
    def watched(self) -> Iterator[Desk]:
        """Take note of faults as long as the desk is in use; they fail the test at its end."""
        QApplication.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs, True)
        before, hook = qInstallMessageHandler(self._qt_said), sys.excepthook
        sys.excepthook = self._raised
        logging.getLogger().addHandler(self._log)
        notification_manager.notification_ready.connect(self._notified)
        self._tick.timeout.connect(self._answer)
        self._tick.start()
        try:
            with warnings.catch_warnings(record=True) as raised:
                warnings.filterwarnings("always", message="Private attribute access")
                yield self
                self.faults += [f"warning: {one.message}" for one in raised if _private(one)]
        finally:
            self._tick.stop()
            self._tick.timeout.disconnect()
            notification_manager.notification_ready.disconnect(self._notified)
            logging.getLogger().removeHandler(self._log)
            qInstallMessageHandler(before)
            sys.excepthook = hook
            del self.viewer, self.window  # or napari takes them for a leak
            QApplication.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs, False)
        self.check()

    def check(self) -> None:
        """Fail if anything went wrong until now."""
        faults = self.faults[:]
        self.faults.clear()  # the log's handler writes into this very list
        open_answers = [one.kind.__name__ for one in self.answers if not one.given]
        assert not faults, "\n".join(faults)
        assert not open_answers, f"dialogs that never came: {open_answers}"

    @contextmanager
    def expecting(self, fault: str) -> Iterator[None]:
        """Let one error pass: a notification whose message holds ``fault``."""
        self.check()
        self._expected = fault
        yield
        self._expected = None
        fitting = [one for one in self.faults if fault in one]
        self.faults[:] = [one for one in self.faults if fault not in one]
        assert fitting, f"the user was not told {fault!r}, but {self.notifications}"

    @contextmanager
    def answering(self, *answers: Answer) -> Iterator[tuple[Answer, ...]]:
        """Answer the dialogs that come within the block, in this order; all have to come."""
        self.answers += answers
        yield answers
        self.wait(lambda: all(one.given for one in answers), "the dialog")
        self.answers = [one for one in self.answers if one not in answers]

    @contextmanager
    def dismissing(self) -> Iterator[list[str]]:
        """Leave every dialog that comes within the block; gives what they said.

        Errors that are a sentence pass as well: not everything can be done at any time.
        """
        self._dismissed = []
        yield self._dismissed
        self.rest(0.3)
        self._dismissed = None

    def _answer(self) -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QDialog) or not dialog.isVisible():
            return
        if self._dismissed is not None:
            self._dismissed.append(_words(dialog))
            dialog.reject()
            return
        waiting = [one for one in self.answers if not one.given]
        if not waiting or not isinstance(dialog, waiting[0].kind):
            self.faults.append(f"a dialog that was not expected: {_words(dialog)}")
            dialog.reject()
            return
        answer = waiting[0]
        if not answer.ready(dialog):
            return
        answer.given, answer.title, answer.text = True, dialog.windowTitle(), _words(dialog)
        try:
            answer.give(dialog)
        except AssertionError as error:
            self.faults.append(str(error))
        finally:
            if answer.kind is QFileDialog and dialog.isVisible():
                self.faults.append(f"the dialog {_words(dialog)} did not take the answer")
                dialog.reject()

    def _notified(self, notification: object) -> None:
        self.notifications.append(notification.message)
        sentence = not isinstance(notification, ErrorNotification)
        if self._dismissed is not None and sentence and "Unexpected" not in notification.message:
            return
        if notification.severity >= NotificationSeverity.ERROR:
            error = getattr(notification, "exception", None)  # nobody caught it
            trace = "".join(traceback.format_exception(error)) if error is not None else ""
            self.faults.append(f"notification: {notification.message}\n{trace}".rstrip())

    def _raised(self, kind: type[BaseException], error: BaseException, trace: object) -> None:
        """An exception in a slot or an event: napari would show it with its traceback."""
        self.faults.append("".join(traceback.format_exception(kind, error, trace)))

    def _qt_said(self, kind: object, context: object, message: str) -> None:
        del kind, context
        if not any(one in message for one in NOISE):
            self.faults.append(f"Qt: {message}")

    # what a user does

    def menu(self, *names: str) -> None:
        """Choose an entry of the menu bar, e.g. ``menu("Plugins", "PathoGAN", "Nuclei")``."""
        self.entry(*names).trigger()
        self.rest(0.05)

    def entry(self, *names: str) -> QAction:
        """The entry of the menu bar, its menus opened on the way; it has to be enabled."""
        actions = self.window.menuBar().actions()
        for depth, name in enumerate(names):
            there = {plain(one.text()): one for one in actions if one.isVisible()}
            short = {text.removesuffix(" (PathoGAN)"): one for text, one in there.items()}
            assert name in short, f"no {name!r} in {names[:depth]}: {list(short)}"
            action = short[name]
            assert action.isEnabled(), f"{names[: depth + 1]} is greyed out"
            if depth < len(names) - 1:
                menu: QMenu = action.menu()
                menu.aboutToShow.emit()
                actions = menu.actions()
        return action

    def dock(self, title: str) -> QWidget:
        """Open a dock by Plugins > PathoGAN."""
        self.menu("Plugins", "PathoGAN", title)
        return self.wait(lambda: self.docked(title), f"the dock {title!r}")

    def docked(self, title: str) -> QWidget | None:
        """The plugin's widget of that title if it is seen."""
        seen = [one for one in self.window.findChildren(QWidget) if one.isVisible()]
        return next((one for one in seen if getattr(one, "title", None) == title), None)

    def sample(self, title: str) -> None:
        """File > Open Sample > PathoGAN."""
        before = len(self.viewer.layers)
        self.menu("File", "Open Sample", "PathoGAN", title)
        self.wait(lambda: len(self.viewer.layers) > before, title)
        self.rest(0.05)

    def open(self, *paths: Path) -> None:
        """File > Open File(s)…"""
        with self.answering(choose(*paths)):
            self.menu("File", "Open File(s)...")

    def press(self, button: QAbstractButton | QWidget, name: str = "") -> None:
        """Click a button where it is seen; or the button of that name in a widget."""
        if name:
            button = button_in(button, name)
        assert button.isVisible(), f"{_named(button)} is hidden"
        assert button.isEnabled(), f"{_named(button)} is greyed out"
        self.scroll_to(button)
        seen = button.visibleRegion().boundingRect()
        assert not seen.isEmpty(), f"{_named(button)} can't be seen"
        QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=seen.center())

    def cut_texts(self, room: QWidget) -> list[str]:
        """The labels and buttons whose text is not seen whole once the room has found its sizes."""
        for _ in range(round(SETTLED_S / 0.05)):
            if not (cut := self._cut_now(room)):
                break
            self.rest(0.05)
        return cut

    def _cut_now(self, room: QWidget) -> list[str]:
        cut = []
        for label in room.findChildren(QLabel):
            lines = (
                label.heightForWidth(label.width())
                if label.wordWrap()
                else label.sizeHint().height()
            )
            narrow = not label.wordWrap() and label.sizeHint().width() > label.width()
            out = label.mapTo(room, label.rect().topRight()).x() > room.width()
            if label.isVisible() and label.text() and (lines > label.height() + 1 or narrow or out):
                cut.append(label.text())
        for button in room.findChildren(QAbstractButton):
            wide = button.fontMetrics().horizontalAdvance(plain(button.text()))
            flat = button.text() and button.fontMetrics().height() > button.height()
            out = button.mapTo(room, button.rect().topRight()).x() > room.width()
            if button.isVisible() and (flat or out or wide > button.width()):
                cut.append(plain(button.text()))
        return [*cut, *_cut_in_fields(room)]

    def pick(self, button: QPushButton, name: str) -> None:
        """Choose an entry of a button's menu."""
        menu = button.menu()
        assert button.isEnabled(), f"{_named(button)} is greyed out"
        menu.aboutToShow.emit()
        there = {plain(action.text()): action for action in menu.actions()}
        assert there[name].isEnabled(), f"{name!r} is greyed out"
        there[name].trigger()
        self.rest(0.05)

    def click(self, point: QPoint) -> None:
        """Click on the canvas."""
        QTest.mouseClick(self.canvas(), Qt.MouseButton.LeftButton, pos=point)
        self.rest(0.05)

    def scroll_to(self, widget: QWidget) -> None:
        """Bring a widget into view where it lies in something that scrolls, or behind another dock."""
        room = widget.parentWidget()
        if widget.visibleRegion().boundingRect() == widget.rect():
            room = None
        while room is not None:
            if isinstance(room, QDockWidget) and room.visibleRegion().isEmpty():
                room.raise_()  # as a click on its tab
                self.rest(0.05)
            if hasattr(room, "ensureWidgetVisible"):
                room.ensureWidgetVisible(widget)
                self.rest(0.05)
            room = room.parentWidget()

    def key(self, keys: str, where: QWidget | None = None) -> None:
        """Press keys, e.g. ``Ctrl+Alt+I``: in a widget, or wherever the focus is."""
        if QApplication.activeWindow() is None:  # nobody gives a window back what a dialog took
            self.window.activateWindow()
            self.rest(0.1)
        target = where or QApplication.focusWidget() or self.window
        combination = QKeySequence(keys)[0]
        QTest.keyClick(target, combination.key(), combination.keyboardModifiers())
        self.rest(0.05)

    def type(self, where: QWidget, text: str) -> None:
        """Type a text in place of what a field holds."""
        where.setFocus()
        QTest.keyClick(where, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(where, text)

    def canvas(self) -> QWidget:
        """The native widget of the canvas."""
        return self.viewer.window._qt_viewer.canvas.native

    def at(self, layer: object, y: float, x: float) -> QPoint:
        """Where on the canvas a layer's data coordinates are seen."""
        world = layer.data_to_world((y, x))[-2:]
        camera, size = self.viewer.scene.camera, self.viewer.canvas.size
        spot = [
            (w - c) * camera.zoom + s / 2
            for w, c, s in zip(world, camera.center[-2:], size, strict=True)
        ]
        return QPoint(round(spot[1]), round(spot[0]))

    def drag(self, *points: QPoint, keys: object = Qt.KeyboardModifier.NoModifier) -> None:
        """Draw with the left mouse button on the canvas, e.g. with the brush."""
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        self._mouse(QEvent.Type.MouseMove, points[0], none, none, keys)
        self._mouse(QEvent.Type.MouseButtonPress, points[0], left, left, keys)
        for point in points[1:]:
            self._mouse(QEvent.Type.MouseMove, point, none, left, keys)
            for _ in range(4):  # napari hears of moves 5 ms apart, the last one later than it came
                self.rest(0.006)
        self._mouse(QEvent.Type.MouseButtonRelease, points[-1], left, none, keys)
        self.rest(0.05)

    def _mouse(
        self,
        kind: QEvent.Type,
        point: QPoint,
        button: Qt.MouseButton,
        held: Qt.MouseButton,
        keys: object,
    ) -> None:
        """Send the canvas an event of the mouse; QTest's moves may come late, or not at all."""
        canvas, at = self.canvas(), QPointF(point)
        event = QMouseEvent(kind, at, QPointF(canvas.mapToGlobal(point)), button, held, keys)
        QApplication.sendEvent(canvas, event)

    # time

    def rest(self, seconds: float = 0.2) -> None:
        """Let Qt work for a while, longer by what this process had no core for."""

        def work() -> None:
            QApplication.processEvents()
            time.sleep(0.003)

        patience.rest(seconds, work)

    def wait(self, until: Callable[[], object], what: str = "it", patience_s: float = PATIENCE_S):
        """Let Qt work until something is there; returns it. Fails at once if something goes wrong.

        It is waited for longer by what a thread of this process, or of one that it has started, has
        queued for a core meanwhile.
        """
        begun, queued = time.monotonic(), patience.queued_s()
        while not (there := until()):
            self.rest(0.02)
            if self._expected is None:
                assert not self.faults, "\n".join(self.faults)
            left_s = begun + patience_s - time.monotonic()
            if left_s < 0:
                left_s += patience.longest_s(queued, patience.queued_with_children_s())
            if left_s < 0:
                msg = f"{what} did not come within {patience_s:.0f} s; faults: {self.faults}"
                raise AssertionError(msg)
        return there

    @contextmanager
    def gaps(self) -> Iterator[Gaps]:
        """Measure for how long the window does not answer within the block."""
        if self._at_rest_s is None:
            rest = Gaps()
            with rest.measuring():
                self.rest(1.0)
            self._at_rest_s = rest.longest.own_s
        gaps = Gaps(at_rest_s=self._at_rest_s)
        with gaps.measuring():
            yield gaps

    def least_gaps(self, work: Callable[[Gaps], None], good_s: float, tries: int = 5) -> Gaps:
        """Do something until its longest gap is good; returns the try that had the least.

        A busy machine has gaps of its own, now and then; one of ours comes every time.
        """
        seen: list[Gaps] = []
        while len(seen) < tries and not any(gaps.beyond_rest_s < good_s for gaps in seen):
            with self.gaps() as gaps:
                work(gaps)
                self.rest(0.5)  # for what comes late, as from a timer
            seen.append(gaps)
            if gaps.beyond_rest_s >= good_s:
                self._at_rest_s = None  # the machine may have become busier
        return min(seen, key=lambda gaps: gaps.beyond_rest_s)

    def picture(self, name: str) -> None:
        """Save what the window shows, where ``DESK_PICTURES`` names a folder."""
        if folder := os.environ.get("DESK_PICTURES"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.viewer.screenshot(f"{folder}/{name}.png", canvas_only=False, flash=False)


@contextmanager
def napari_of_its_own() -> Iterator[Desk]:
    """A napari in a process that does nothing else, watched."""
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    desk = Desk(viewer)
    desk.window.activateWindow()
    with desk.watched():
        yield desk


@dataclass(frozen=True)
class Gap:
    """A time in which the main thread did not come back to its events.

    Attributes
    ----------
    wall_s
        How long it was.
    cpu_s, queued_s
        For how much of it the main thread computed, and for how much it had no core: itself, or a
        thread that it may have waited for. What is left it waited: for a lock, for the interpreter,
        for a disk.
    where
        The stacks of the threads half way through it, as text, if it was long.
    """

    wall_s: float
    cpu_s: float
    queued_s: float
    where: str = field(default="", compare=False)

    @property
    def own_s(self) -> float:
        """What of it is not for want of a core."""
        return self.wall_s - self.queued_s

    def __str__(self) -> str:
        waited = max(0.0, self.own_s - self.cpu_s)
        parts = (
            f"{self.cpu_s:.2f} computing, {waited:.2f} waiting, {self.queued_s:.2f} without a core"
        )
        return f"{self.wall_s:.2f} s ({parts})"


@dataclass
class Gaps:
    """How long the main thread was away, by a timer of 20 ms; and where it was meanwhile.

    Attributes
    ----------
    at_rest_s
        The longest gap of the same window with nothing going on: the machine's own.
    seen
        Every gap, in order.
    """

    at_rest_s: float = 0.0
    seen: list[Gap] = field(default_factory=list)

    @property
    def longest(self) -> Gap:
        """The longest gap, but for what the machine had no core for."""
        return max(self.seen, key=lambda gap: gap.own_s, default=Gap(0, 0, 0))

    @property
    def beyond_rest_s(self) -> float:
        """The longest gap in seconds, less the machine's own at rest."""
        return max(0.0, self.longest.own_s - self.at_rest_s)

    def __str__(self) -> str:
        """The longest gap in words, and where the threads were."""
        longest = self.longest
        return f"no answer for {longest}; at rest {self.at_rest_s:.2f} s\n{longest.where}"

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Measure within the block."""
        timer, last, over = QTimer(), _spent(), threading.Event()
        stacks: list[str] = []  # within the gap that is going on
        own = {threading.get_native_id()}  # and of the thread that looks

        def others() -> dict[int, float]:
            return {one: s for one, s in patience.queued_s().items() if one not in own}

        before = others()  # shortly before the gap

        def tick() -> None:
            nonlocal last
            wall, cpu, queued = (b - a for a, b in zip(last, _spent(), strict=True))
            if (waited := wall - cpu - queued) > LONG_S:
                queued += min(waited, patience.longest_s(before, others()))
            where = stacks[len(stacks) // 2] if stacks else ""
            stacks.clear()
            self.seen.append(Gap(wall - TICK_MS / 1000, cpu, queued, where))
            last = _spent()

        def look() -> None:
            nonlocal before
            own.add(threading.get_native_id())
            with tempfile.TemporaryFile("w+") as file:
                while not over.wait(TICK_MS / 1000):
                    if time.monotonic() - last[0] > LONG_S:
                        stacks.append(_stacks(file, but=threading.get_ident()))
                        continue
                    queued = others()
                    if time.monotonic() - last[0] < LONG_S:
                        before = queued

        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.timeout.connect(tick)
        timer.start(TICK_MS)
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
            tick()
        finally:
            timer.stop()
            over.set()
            looking.join()


def _cut_in_fields(room: QWidget) -> list[str]:
    """What stands in fields, choices and heads of tables and has no room; names may lack their middle."""
    cut = []
    for line in room.findChildren(QLineEdit):
        wide = line.fontMetrics().horizontalAdvance(line.placeholderText())
        if line.isVisible() and not line.text() and wide > line.width() - 8:
            cut.append(line.placeholderText())
    for box in room.findChildren(QComboBox):
        seen = getattr(box, "seen_text", box.currentText())
        room_for = getattr(box, "room_px", box.width() - 24)
        if box.isVisible() and (
            box.fontMetrics().horizontalAdvance(seen) > room_for
            or len(seen) < FEWEST < len(box.currentText())
        ):
            cut.append(box.currentText())
    for head in room.findChildren(QHeaderView):
        model = head.model()
        for at in range(head.count() if head.isVisible() and model is not None else 0):
            text = str(model.headerData(at, head.orientation()) or "")
            if head.fontMetrics().horizontalAdvance(text) > head.sectionSize(at) > 0:
                cut.append(text)
    return cut


def _spent() -> tuple[float, float, float]:
    """The time, for how long this thread has computed, and for how long it has queued for a core."""
    now, cpu = time.monotonic(), time.thread_time()
    try:
        _, queued, _ = Path("/proc/thread-self/schedstat").read_text().split()
    except OSError:  # not Linux
        return now, cpu, 0.0
    return now, cpu, int(queued) / 1e9


def _stacks(file: IO[str], *, but: int) -> str:
    """The stacks of the threads, the main thread's first; those that wait for work are left out.

    Python's own way to look at frames would keep what is in them alive: a painter, for one, that
    has to be gone when its widget has been drawn.
    """
    file.seek(0)
    file.truncate()
    faulthandler.dump_traceback(file)
    file.seek(0)
    main = f"{threading.main_thread().ident:x}"
    parts: list[str] = []
    for part in file.read().split("\n\n"):
        head, *lines = part.strip().splitlines()
        ident = head.split("0x")[1].split()[0].lstrip("0")
        if ident == main:
            parts.insert(0, "\n".join(["-- main thread", *lines[:DEPTH]]))
        elif ident != f"{but:x}" and not lines[0].endswith(WAITS):
            parts.append("\n".join(["-- another thread", *lines[:DEPTH]]))
    return "\n".join(parts)


class _Log(logging.Handler):
    """Takes down errors and tracebacks that are logged."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._desk_faults = faults
        self.setFormatter(logging.Formatter("log: %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self._desk_faults.append(self.format(record))


def _private(warning: warnings.WarningMessage) -> bool:
    return "napari_pathogan" in warning.filename and "Private attribute" in str(warning.message)


def _words(dialog: QDialog) -> str:
    text = (
        f": {dialog.text()} {dialog.informativeText()}" if isinstance(dialog, QMessageBox) else ""
    )
    return f"{type(dialog).__name__} {dialog.windowTitle()!r}{text}"


def _named(widget: QWidget) -> str:
    text = plain(widget.text()) if isinstance(widget, QAbstractButton) else widget.objectName()
    return f"{type(widget).__name__} {text!r}"
