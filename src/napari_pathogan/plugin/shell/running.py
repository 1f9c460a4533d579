"""Long work in napari: a generator of events in a thread, shown in the activity dock."""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
import time
from contextlib import closing
from functools import partial
from threading import Event as Flag
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari.qt.threading import GeneratorWorker
from napari.utils import progress
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QTimer

from napari_pathogan.engine.events import Event, Finished, Progress, Pulse, Tile, Warn
from napari_pathogan.errors import PathoganError, out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from qtpy.QtWidgets import QWidget

BAR_MS = 200  # the activity dock shows the latest progress this often
LEAVE_S = 0.3  # a task that has been told to stop has as long to come to its next event
END_S = 0.9  # and as long in all to end
_LOOK_S = 0.01
_SWITCH_S = 0.0005

log = logging.getLogger(__name__)


class _Going(set["Run"]):
    """The runs whose threads have not ended. As long as there are some, threads take turns quickly.

    Each call of OpenGL gives the interpreter away, and a thread that computes in Python keeps it for
    5 ms, as Python is set: to draw a layer anew, of some hundred calls, would take the window a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._usual_s = sys.getswitchinterval()

    def add(self, run: Run) -> None:
        """A run starts."""
        if not self:
            self._usual_s = sys.getswitchinterval()
            sys.setswitchinterval(min(_SWITCH_S, self._usual_s))
        super().add(run)

    def discard(self, run: object) -> None:
        """Its thread has ended."""
        super().discard(run)
        if not self:
            sys.setswitchinterval(self._usual_s)


_going = _Going()


def running() -> list[Run]:
    """All tasks whose threads have not ended."""
    return list(_going)


def end(runs: Iterable[Run]) -> None:
    """Stop tasks for good, without a word to those who wait for them, and wait for their threads.

    For a window that is going away. A task ends at its next event; one that does not come to it in
    time is interrupted, as by Ctrl-C. Returns within :data:`END_S`, even if a thread is in the
    middle of something that can't be interrupted: it then ends after that.
    """
    ending = list(runs)
    for run in ending:
        run.abandon()
    began = time.monotonic()
    patient = set(ending)
    while not _going.isdisjoint(ending) and time.monotonic() < began + END_S:
        time.sleep(_LOOK_S)
        if time.monotonic() > began + LEAVE_S:
            patient -= {run for run in patient if run.interrupt()}


class Run:
    """A task that runs in a thread; its callbacks run in the GUI thread.

    Parameters
    ----------
    events
        The task: a generator of events. It is closed where it stands when the run is cancelled.
    title
        What napari's activity dock calls it.
    owner
        The widget whose task it is: it ends with the widget's window.
    ask
        Whether the user is asked before the widget, or its window, is closed while this runs.
    keeps
        A sentence on what stays if it is stopped; by default nothing does.
    alone
        Lets it go on when the window is closed, if it can.
    on_tile, on_event, on_finished
        Called with each tile, every other event, and the last one.
    on_stopped
        Called once when the run was cancelled or failed. An error has been shown by then.

    Attributes
    ----------
    latest
        How far it is.
    failure
        Why it has failed, as a sentence.
    """

    def __init__(
        self,
        events: Iterator[Event],
        *,
        title: str,
        owner: QWidget,
        ask: bool = False,
        keeps: str = "",
        alone: Callable[[], None] | None = None,
        on_tile: Callable[[Tile], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_finished: Callable[[Finished], None] | None = None,
        on_stopped: Callable[[], None] | None = None,
    ) -> None:
        self._on_tile, self._on_event = on_tile, on_event
        self._on_finished, self._on_stopped = on_finished, on_stopped
        self.title, self.ask, self.keeps = title, ask, keeps
        self._owner = ref(owner)  # which may go while the thread ends
        self.alone = alone
        self.latest: Progress | None = None
        self.failure = ""
        self._stop, self._span = Flag(), _Span()
        self._bar = progress(total=0, desc=title)
        self._latest: Progress | None = None
        # napari's bars handle waiting Qt events whenever they change. Drawn for every event, or for
        # the next while one is being drawn, which on a busy machine takes longer than a tick, they
        # would take each event inside of the one before, until the stack is full
        self._drawing = False
        self._tick = QTimer()
        self._tick.setSingleShot(True)
        self._tick.setInterval(BAR_MS)
        self._tick.timeout.connect(self._draw_bar)
        self.worker = _Worker(events, self._stop, self._span, partial(_going.discard, self))
        self.worker.yielded.connect(self._receive)
        _going.add(self)
        self.worker.start()

    @property
    def owner(self) -> QWidget | None:
        """The widget whose task it is, as long as it is there."""
        return self._owner()

    @property
    def active(self) -> bool:
        """Whether the run is neither finished, failed nor cancelled."""
        return not self._stop.is_set()

    def cancel(self) -> None:
        """Stop: nothing more is shown from now on, and the task ends at its next event."""
        if self.active:
            self._end()
            if self._on_stopped:
                self._on_stopped()

    def abandon(self) -> None:
        """Stop, and tell nobody: those who would be told are going away with their window."""
        self._stop.set()
        self._tick.stop()

    def interrupt(self) -> bool:
        """Interrupt the thread as by Ctrl-C, wherever it is; false if that can't be done now."""
        return self._span.interrupt()

    def _end(self) -> None:
        self.abandon()
        self._bar.close()

    def _receive(self, event: Event | _Failure) -> None:
        if not self.active:
            return  # it was cancelled while this was on its way
        if isinstance(event, _Failure):
            self._end()
            self.failure = event.sentence
            show_error(event.sentence)
            if self._on_stopped:
                self._on_stopped()
        elif isinstance(event, Finished):
            self._end()
            if self._on_finished:
                self._on_finished(event)
        elif isinstance(event, Tile):
            if self._on_tile:
                self._on_tile(event)
        else:
            self._show(event)
            if self._on_event:
                self._on_event(event)

    def _show(self, event: Event) -> None:
        if isinstance(event, Warn):
            show_warning(event.message)
        elif isinstance(event, Progress):
            self.latest = self._latest = event
            self._draw_soon()

    def _draw_soon(self) -> None:
        if self.active and not self._drawing and not self._tick.isActive():
            self._tick.start()

    def _draw_bar(self) -> None:
        latest, self._latest = self._latest, None
        if latest is None or not self.active:
            return
        self._drawing = True
        self._draw(latest)
        self._drawing = False
        if self._latest is not None:  # it came meanwhile
            self._draw_soon()

    def _draw(self, latest: Progress) -> None:
        if latest.total != self._bar.total:
            self._bar.total = latest.total
        self._bar.set_description(latest.what or self.title)
        if self.active:  # it may have ended meanwhile
            self._bar.update(latest.done - self._bar.n)


class _Failure:
    """An error on its way from the thread to the user."""

    def __init__(self, error: Exception) -> None:
        if isinstance(error, PathoganError):
            self.sentence = str(error)
        elif out_of_memory(error):
            self.sentence = "Out of memory: choose a smaller region or close other slides."
        else:
            self.sentence = f"Unexpected {type(error).__name__}: {error}. The log has the details."


class _Span:
    """A stretch of a thread's work that can be interrupted from another, as by Ctrl-C."""

    def __init__(self) -> None:
        self._thread: int | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._thread = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            _raise_in(self._thread, None)  # what has not arrived yet does not arrive later
            self._thread = None

    def interrupt(self) -> bool:
        """Raise KeyboardInterrupt in it.

        False if it does not work now, or imports: a half imported torch can't be imported again.
        """
        with self._lock:
            if self._thread is None or _imports(self._thread):
                return False
            _raise_in(self._thread, KeyboardInterrupt)
            return True


def _raise_in(thread: int | None, error: type[BaseException] | None) -> None:
    if thread is not None:
        what = None if error is None else ctypes.py_object(error)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)


def _imports(thread: int) -> bool:
    frame = sys._current_frames().get(thread)  # noqa: SLF001  (there is no other door)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


class _Worker(GeneratorWorker):  # type: ignore[misc]  # napari's are untyped
    """Closes its events at its end, also when napari ends it between two of them.

    superqt leaves a generator where it stands, when napari quits, and what it holds open with it.
    """

    def __init__(
        self, events: Iterator[Event], stop: Flag, span: _Span, ended: Callable[[], None]
    ) -> None:
        super().__init__(_guarded, events, stop, span)
        self._events, self._ended = events, ended

    def work(self) -> Any:  # noqa: ANN401 - superqt's
        """Go through the events."""
        try:
            with closing(self._events):  # type: ignore[type-var]
                return super().work()
        finally:
            self._ended()


def _guarded(events: Iterator[Event], stop: Flag, span: _Span) -> Iterator[Event | _Failure]:
    """Yield the events until told to stop; an error becomes the last item.

    Errors travel as items because superqt's worker takes any RuntimeError (a missing device is
    one) for a deleted worker and drops it.
    """
    try:
        while not stop.is_set():
            with span:
                event = next(events, None)
            if event is None:
                return
            if not isinstance(event, Pulse):
                yield event
    except KeyboardInterrupt:
        log.info("a task was interrupted")
    except Exception as error:
        if not isinstance(error, PathoganError):
            log.exception("a task failed")
        yield _Failure(error)
