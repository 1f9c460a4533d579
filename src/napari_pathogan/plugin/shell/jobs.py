"""The trainings of a window: one runs, the others wait for it; each is a process of its own.

They lie on disk (:mod:`napari_pathogan.engine.training_jobs`), so that the next window finds them: what
runs on alone is watched again, what was stopped can be resumed, and what waits has its turn.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_pathogan.engine.training_jobs import Fate, State, TrainingJob, all_jobs
from napari_pathogan.errors import JobError, PathoganError
from napari_pathogan.plugin.shell.form import above, progress_line
from napari_pathogan.plugin.shell.running import Run

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.engine.events import Event

_LOOK_MS = 500
_KEEPS = (
    "A training is stopped at once, and can be resumed in Plugins > PathoGAN > Jobs; or it goes on "
    "without the window, and the next napari finds it."
)
_log = logging.getLogger(__name__)


def begin(dock: QWidget) -> None:
    """Find a dock's window its trainings, which go on."""
    if above(dock, QMainWindow) is not None:
        jobs_of(dock)


def jobs_of(widget: QWidget) -> Jobs:
    """The trainings of the window that a widget is in."""
    window = above(widget, QMainWindow)
    assert window is not None, "docks are in windows"
    found = window.findChild(Jobs)
    return Jobs(window) if found is None else found


class Jobs(QObject):
    """All trainings, and what runs of them.

    Attributes
    ----------
    jobs
        All that are known, in no order.
    """

    changed = Signal()  # another one, another state, another place
    came = Signal(object, object)  # a job and what it says
    ended = Signal(object)  # a job: it is done, failed, stopped or cancelled

    _runs: ClassVar[
        dict[Path, Run | None]
    ] = {}  # of all windows; None as long as one is being made

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self.jobs = all_jobs()
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()
        if found := [job for job in self.jobs if job.state is State.RUNS and self._take(job)]:
            names = " and ".join(job.name for job in found)
            show_info(f"{names} went on without the window: Plugins > PathoGAN > Jobs")

    # which there are

    @property
    def waiting(self) -> list[TrainingJob]:
        """Those that wait, the next first."""
        return sorted(
            (job for job in self.jobs if job.state is State.WAITS), key=lambda job: job.place
        )

    @property
    def listed(self) -> list[TrainingJob]:
        """All: what runs, what waits in its order, what has ended, the latest first."""
        running = [job for job in self.jobs if job.state is State.RUNS]
        ended = sorted((job for job in self.jobs if job.ended), key=lambda job: -job.place)
        return [*running, *self.waiting, *ended]

    def run_of(self, job: TrainingJob) -> Run | None:
        """What watches a job, while it runs."""
        run = self._runs.get(job.folder)
        return run if run is not None and run.active else None

    def is_watched(self, job: TrainingJob) -> bool:
        """Whether a window of this napari watches a job."""
        making = job.folder in self._runs and self._runs[job.folder] is None
        return making or self.run_of(job) is not None

    def names(self, folder: Path) -> set[str]:
        """How models will be called in a folder that wait, learn or can be resumed."""
        done = {State.DONE, State.CANCELLED}
        return {
            job.name for job in self.jobs if job.state not in done and job.model.parent == folder
        }

    def says(self, job: TrainingJob) -> str:
        """How a job stands, in a few words."""
        run, waiting = self.run_of(job), self.waiting
        if job in waiting:
            before = waiting.index(job)
            return "waits" if not before else f"waits, {before} before it"
        if job.state is State.RUNS and run is None:
            return "runs in another window"
        if run is None or run.latest is None:
            return job.state.value
        return f"paused: {progress_line(run.latest)}" if job.paused else progress_line(run.latest)

    # what is done with them

    def add(self, job: TrainingJob) -> None:
        """Keep a job, and run it as soon as nothing else runs.

        Raises
        ------
        OutputError
            If it can't be kept.
        """
        job.state = State.WAITS
        job.save()
        self.jobs.append(job)
        self._start_next()
        self.changed.emit()

    def cancel(self, job: TrainingJob) -> None:
        """Give a job up, with all that it has made."""
        run = self.run_of(job)
        if run is None:
            job.give_up()
            self._has_ended(job)
            return
        job.fate = Fate.GOES
        job.state = State.CANCELLED  # its thread sees to the rest
        run.cancel()

    def pause(self, job: TrainingJob) -> None:
        """Let a job rest where it is, or go on."""
        (job.go_on if job.paused else job.pause)()
        self.changed.emit()

    def resume(self, job: TrainingJob) -> None:
        """Let a job that was stopped, or failed, go on from its last checkpoint, before those that wait."""
        job.place = min([job.place, *(one.place - 1 for one in self.waiting[:1])])
        job.state, job.fate = State.WAITS, Fate.STOPS
        job.save()
        self._start_next()
        self.changed.emit()

    def earlier(self, job: TrainingJob) -> None:
        """Let a job that waits change places with the one before it."""
        waiting = self.waiting
        other = waiting[max(0, waiting.index(job) - 1)]
        job.place, other.place = other.place, job.place
        for one in (other, job):
            one.save()
        self.changed.emit()

    def remove(self, job: TrainingJob) -> None:
        """Take a job that has ended out of the list, and its folder away; a model that came of it stays."""
        self.jobs.remove(job)
        job.remove()
        self.changed.emit()

    # how

    def _look(self) -> None:
        """See what other windows have done, and whether the next one may begin."""
        for job in [one for one in self.jobs if one.state is State.RUNS]:
            if not self.is_watched(job) and not (job.watched_elsewhere and job.process):
                self._look_again(job)
        if self.waiting:
            self._start_next()

    def _look_again(self, job: TrainingJob) -> None:
        """Nobody watches a job any more, or not as it was."""
        self.jobs.remove(job)
        try:
            self.jobs.append(now := TrainingJob.load(job.folder))
        except JobError:
            self.changed.emit()
            return
        if now.state is State.RUNS:
            self._take(now)
        self.changed.emit()

    def _start_next(self) -> None:
        """Run the first that waits, unless one runs, here or elsewhere, or still ends."""
        self.jobs = all_jobs(self.jobs)
        waiting = self.waiting
        busy = any(job.process is not None or self.is_watched(job) for job in self.jobs)
        if not waiting or busy:
            return
        if TrainingJob.load(waiting[0].folder).state is State.WAITS:
            self._watch(waiting[0])
        else:  # another window has been quicker
            self._look_again(waiting[0])

    def _take(self, job: TrainingJob) -> bool:
        """Watch a job that goes on alone, or note what became of it; whether it goes on."""
        if job.watched_elsewhere or self.is_watched(job):
            return False
        going = job.process is not None
        try:
            if going or job.has_finished():
                self._watch(job)
            else:
                job.settle()
        except PathoganError as error:
            _log.warning("%s", error)
        return going

    def _watch(self, job: TrainingJob) -> None:
        window = self.parent()  # not kept: both would keep each other alive
        assert isinstance(window, QMainWindow), "it is a window's"
        found, job.state = job.state is State.RUNS, State.RUNS
        self._runs[job.folder] = None  # napari's bar lets timers go off while it is made
        self._runs[job.folder] = Run(
            job.events(found=found),
            title=f"Training {job.name}",
            owner=window,
            ask=True,
            keeps=_KEEPS,
            alone=job.stay,
            on_event=partial(self._came, job),
            on_finished=lambda _: self._has_ended(job),
            on_stopped=partial(self._has_ended, job),
        )
        self.changed.emit()

    def _came(self, job: TrainingJob, event: Event) -> None:
        self.came.emit(job, event)

    def _has_ended(self, job: TrainingJob) -> None:
        self._runs.pop(job.folder, None)
        self.ended.emit(job)
        self.changed.emit()
