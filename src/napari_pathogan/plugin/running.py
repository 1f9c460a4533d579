"""Long work in napari: a generator of events in a thread, shown in the activity dock."""

from __future__ import annotations

import logging
from contextlib import closing
from threading import Event as Flag
from typing import TYPE_CHECKING

from napari.qt.threading import create_worker
from napari.utils import progress
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QTimer

from napari_pathogan.engine.events import Event, Finished, Progress, Tile, Warn
from napari_pathogan.errors import PathoganError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.qt.threading import GeneratorWorker

BAR_MS = 200  # the activity dock shows the latest progress this often

log = logging.getLogger(__name__)


def run_in_viewer(
    events: Iterator[Event],
    *,
    title: str,
    on_tile: Callable[[Tile], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_finished: Callable[[Finished], None] | None = None,
    on_stopped: Callable[[], None] | None = None,
) -> Run:
    """Start a task in a thread; the callbacks run in the GUI thread.

    Parameters
    ----------
    events
        The task: a generator of events. It is closed where it stands when the run is cancelled.
    title
        What napari's activity dock calls it.
    on_tile, on_event, on_finished
        Called with each tile, every other event, and the last one.
    on_stopped
        Called once when the run was cancelled or failed. An error has been shown by then.
    """
    return Run(
        events,
        title=title,
        on_tile=on_tile,
        on_event=on_event,
        on_finished=on_finished,
        on_stopped=on_stopped,
    )


class Run:
    """A task that is running; :meth:`cancel` takes effect at once."""

    def __init__(
        self,
        events: Iterator[Event],
        *,
        title: str,
        on_tile: Callable[[Tile], None] | None,
        on_event: Callable[[Event], None] | None,
        on_finished: Callable[[Finished], None] | None,
        on_stopped: Callable[[], None] | None,
    ) -> None:
        self._on_tile, self._on_event = on_tile, on_event
        self._on_finished, self._on_stopped = on_finished, on_stopped
        self._title = title
        self._stop = Flag()
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
        self.worker: GeneratorWorker = create_worker(_guarded, events, self._stop)
        self.worker.yielded.connect(self._receive)
        self.worker.start()

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

    def _end(self) -> None:
        self._stop.set()
        self._tick.stop()
        self._bar.close()

    def _receive(self, event: Event | _Failure) -> None:
        if not self.active:
            return  # it was cancelled while this was on its way
        if isinstance(event, _Failure):
            self._end()
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
            self._latest = event
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
        self._bar.set_description(latest.what or self._title)
        if self.active:  # it may have ended meanwhile
            self._bar.update(latest.done - self._bar.n)


class _Failure:
    """An error on its way from the thread to the user."""

    def __init__(self, error: Exception) -> None:
        if isinstance(error, PathoganError):
            self.sentence = str(error)
        elif isinstance(error, MemoryError):
            self.sentence = "Out of memory: choose a smaller region or close other slides."
        else:
            self.sentence = f"Unexpected {type(error).__name__}: {error}. The log has the details."


def _guarded(events: Iterator[Event], stop: Flag) -> Iterator[Event | _Failure]:
    """Yield the events until told to stop; an error becomes the last item.

    Errors travel as items because superqt's worker takes any RuntimeError (a missing device is
    one) for a deleted worker and drops it.
    """
    with closing(events):  # type: ignore[type-var]
        try:
            for event in events:
                yield event
                if stop.is_set():
                    return
        except Exception as error:
            if not isinstance(error, PathoganError):
                log.exception("a task failed")
            yield _Failure(error)
