"""The trainings of a dock, beside its own work: its button, how far one is, how it goes, Cancel."""

from __future__ import annotations

import itertools
import re
from functools import partial
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QMainWindow, QScrollArea, QVBoxLayout, QWidget

from napari_pathogan.engine.before_after import RULE, fell, said
from napari_pathogan.engine.events import Event, Finished, Metrics, Progress
from napari_pathogan.engine.training_jobs import State, TrainingJob, loss
from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.shell.form import (
    ProgressBar,
    above,
    beside,
    button,
    label,
    progress_line,
)
from napari_pathogan.plugin.shell.jobs import Jobs, jobs_of
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.shell.train_dialog import Lesson, TrainDialog, TrainingMaterial
from napari_pathogan.plugin.viewer.keys import dock_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_pathogan.plugin.shell.dock import Dock
    from napari_pathogan.plugin.shell.running import Run


class TrainingRow(QWidget):
    """Hidden until something is trained; the dock can be worked with meanwhile, and closed."""

    def __init__(self, dock: Dock, lesson: Lesson) -> None:
        super().__init__()
        self.dock, self.lesson = dock, lesson
        self.job: TrainingJob | None = None  # that is shown
        self._cutting: Run | None = None
        self._jobs: Jobs | None = None
        self._loss = ""
        self.button = button(lesson.button, lesson.tip)
        self.button.clicked.connect(self.ask)
        self.cancel = button("Cancel training", "Stop; nothing of the new model stays")
        self.cancel.clicked.connect(self.stop)
        self.others = button("Jobs", "All trainings: curves, Pause, and what waits")
        self.others.clicked.connect(self._show_jobs)
        self.bar = ProgressBar()
        self.status = label("")
        self._running = beside(self.cancel, self.bar, self.others, wide=1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self._running)
        column.addWidget(self.status)
        self._into_view = QTimer(self)  # once the row has its size
        self._into_view.setSingleShot(True)
        self._into_view.timeout.connect(self._bring_into_view)
        self.hide()

    @property
    def run(self) -> Run | None:
        """What makes the images for a training, or watches the one that is shown."""
        if self._cutting is not None:
            return self._cutting
        return self._jobs.run_of(self.job) if self._jobs is not None and self.job else None

    def enable(self) -> None:
        """Let the button say whether something can be trained; show what is trained already."""
        chosen = self.dock.layer is not None and (
            self.dock.card is not None or not self.lesson.begins
        )
        self.button.setEnabled(self._cutting is None and chosen and self.lesson.ready())
        self._follow()

    def ask(self) -> None:
        """Ask what is learnt from and how the new model is called, then train."""
        try:
            start = self.dock.model_folder if self.lesson.begins else None
            place = self.lesson.place()
        except PathoganError as error:
            show_error(str(error))
            return
        name = self.free_name()
        TrainDialog(self.dock, self.lesson, place, start=start, name=name, train=self.train).open()

    def train(
        self,
        material: TrainingMaterial,
        start: Path | None,
        name: str,
        changes: tuple[str, ...] = (),
    ) -> None:
        """Train a model of a name, in a process of its own, as soon as no other is trained."""
        lesson = self.lesson
        try:
            target = settings().own_model(name)
            job = TrainingJob.make(lesson.task, name, target, figure=lesson.figure)
        except PathoganError as error:
            show_error(str(error))
            return
        source = job.pool if callable(material.source) else material.source
        job.command = lesson.typed(material, source, start, name, changes, job.run)
        self._say(f"Training {name}…")
        if not callable(material.source):
            self._add(job)
            return
        self._cutting = self.dock.aside(
            _cutting(material.source, job),
            lambda _: self._add(job),
            partial(self._not_cut, job),
            title=f"Images for {name}",
            ask=True,
            on_event=self._cut,
        )
        self.enable()

    def free_name(self) -> str:
        """A name for a new model: that of the chosen one, numbered."""
        card = self.dock.card
        stem = card.name if card is not None and self.lesson.begins else self.lesson.task
        stem = re.sub(r"-own-\d+$", "", stem)
        folder = settings().own_models
        taken = jobs_of(self.dock).names(folder)
        names = (f"{stem}-own-{number}" for number in itertools.count(1))
        return next(one for one in names if one not in taken and not (folder / one).exists())

    def stop(self) -> None:
        """Cancel the training."""
        if self._cutting is not None:
            self._cutting.cancel()
        elif self._jobs is not None and self.job is not None:
            self._jobs.cancel(self.job)

    # its images

    def _cut(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._show(event, "Images")

    def _not_cut(self, job: TrainingJob) -> None:
        self._cutting = None
        self._end(_stopped(job))

    def _add(self, job: TrainingJob) -> None:
        self._cutting = None
        self._follow()
        assert self._jobs is not None, "a dock that is used is in a window"
        try:
            self._jobs.add(job)
        except PathoganError as error:
            job.remove()
            self._end(str(error))
            return
        self._into_view.start()

    # itself

    def _follow(self) -> None:
        """Look at the window's trainings from now on."""
        if self._jobs is None and above(self.dock, QMainWindow) is not None:
            self._jobs = jobs_of(self.dock)
            self._jobs.changed.connect(self._changed)
            self._jobs.came.connect(self._came)
            self._jobs.ended.connect(self._ended)
            self._changed()

    def _changed(self) -> None:
        """Show the training of this dock that runs, else the one that is next."""
        assert self._jobs is not None
        own = (job for job in self._jobs.listed if job.task == self.lesson.task and not job.ended)
        job = next(own, None)
        if job is not self.job:
            self.job, self._loss = job, ""
            if job is not None:
                self._say(f"Training {job.name}…")
        if job is not None and (self._jobs.run_of(job) is None or job.paused):
            self.status.setText(f"Training {job.name}: {self._jobs.says(job)}")
        self.enable()

    def _came(self, job: TrainingJob, event: Event) -> None:
        if job is not self.job or job.paused:
            return
        if isinstance(event, Metrics):
            self._loss = f"; error {loss(event.values):.3g}"
        elif isinstance(event, Progress):
            self._show(event, f"Training {job.name}", self._loss)

    def _ended(self, job: TrainingJob) -> None:
        if job.task != self.lesson.task:
            return
        if job.state is State.DONE:
            self._trained(job)
        elif job.state is State.CANCELLED:
            self._end(_stopped(job))
        else:
            self._end(f"The training of {job.name} has stopped; Jobs resumes it.")

    def _trained(self, job: TrainingJob) -> None:
        name = self.dock.model_trained(job.model)
        gain = job.summary.get("before_and_after", {})
        figure, words = self.lesson.figure
        gained = said(gain, figure, words)
        gained = f". {gained}." if gained else ""
        if self.dock.run is not None:  # with the model from before
            self._end(f"{name} is trained: choose it above to use it{gained}")
            return
        if fell(gain, figure):
            self._end(f"{name} is trained; the model from before stays chosen{gained} {RULE}.")
            return
        self.dock.take_model(name)
        stays = "; the model it began with stays in the list" if self.lesson.begins else ""
        self._end(f"{name} is trained and chosen{stays}{gained}")

    # what is seen

    def _show(self, event: Progress, what: str, more: str = "") -> None:
        self.bar.setRange(0, event.total)
        self.bar.setValue(event.done)
        self.status.setText(f"{what}: {progress_line(event)}{more}")

    def _say(self, line: str) -> None:
        self.bar.setRange(0, 0)
        self.status.setText(line)
        self._running.show()
        self.show()
        self._into_view.start()

    def _end(self, line: str) -> None:
        self.job = None
        self._running.hide()
        self.status.setText(line)
        self.show()
        self._into_view.start()
        self.enable()

    def _show_jobs(self) -> None:
        window = above(self, QMainWindow)
        assert window is not None, "a button that is pressed is in a window"
        dock_of(window, "Jobs")

    def _bring_into_view(self) -> None:
        """Scroll the dock to this row."""
        room = self.parentWidget()
        while room is not None and not isinstance(room, QScrollArea):
            room = room.parentWidget()
        if room is not None:
            room.ensureWidgetVisible(self)


def _cutting(source: Callable[[Path], Iterator[Event]], job: TrainingJob) -> Iterator[Event]:
    """Make the images of a training; those of one that is stopped go."""
    whole = False
    try:
        yield from source(job.pool)
        whole = True
    finally:
        if not whole:
            job.remove()
    yield Finished()


def _stopped(job: TrainingJob) -> str:
    return f"The training of {job.name} was stopped. All models are as they were before."
