"""The training of a dock, beside its own work: its button, how far it is, how it goes, Cancel."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from napari_pathogan.engine.before_after import said, verdict
from napari_pathogan.engine.events import Event, Finished, Metrics, Progress
from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.shell.form import ProgressBar, beside, button, label, progress_line
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.shell.train_dialog import Lesson, TrainDialog, TrainingMaterial
from napari_pathogan.plugin.shell.training_job import training_job

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.plugin.shell.dock import Dock
    from napari_pathogan.plugin.shell.running import Run

_NO_LOSS = "lr"  # among an epoch's numbers


class TrainingRow(QWidget):
    """Hidden until something is trained; the dock can be worked with meanwhile."""

    def __init__(self, dock: Dock, lesson: Lesson) -> None:
        super().__init__()
        self.dock, self.lesson = dock, lesson
        self.run: Run | None = None
        self._name = self._loss = ""
        self.button = button(lesson.button, lesson.tip)
        self.button.clicked.connect(self.ask)
        self.cancel = button("Cancel training", "Stop; nothing of the new model stays")
        self.cancel.clicked.connect(self.stop)
        self.bar = ProgressBar()
        self.status = label("")
        self._running = beside(self.cancel, self.bar, wide=1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self._running)
        column.addWidget(self.status)
        self._into_view = QTimer(self)  # once the row has its size
        self._into_view.setSingleShot(True)
        self._into_view.timeout.connect(self._bring_into_view)
        self.hide()

    def enable(self) -> None:
        """Let the button say whether something can be trained."""
        chosen = self.dock.layer is not None and (
            self.dock.card is not None or not self.lesson.begins
        )
        self.button.setEnabled(self.run is None and chosen and self.lesson.ready())

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
        """Train a model of a name, in a process of its own."""
        try:
            target = settings().own_model(name)
        except PathoganError as error:
            show_error(str(error))
            return
        events = training_job(
            self.lesson.task,
            material.source,
            self.lesson.options(material, start, changes),
            target,
            origin=material.origin,
            terms=material.terms,
        )
        self._name, self._loss = name, ""
        self.bar.setRange(0, 0)
        self.status.setText(f"Training {name}…")
        self._running.show()
        self.show()
        self._into_view.start()
        self.run = self.dock.aside(
            events,
            self._trained,
            self._stopped,
            title=f"Training {name}",
            ask=True,
            on_event=self._came,
        )
        self.enable()

    def free_name(self) -> str:
        """A name for a new model: that of the chosen one, numbered."""
        card = self.dock.card
        stem = card.name if card is not None and self.lesson.begins else self.lesson.task
        stem = re.sub(r"-own-\d+$", "", stem)
        names = (f"{stem}-own-{number}" for number in itertools.count(1))
        return next(name for name in names if not (settings().own_models / name).exists())

    def stop(self) -> None:
        """Cancel the training."""
        if self.run is not None:
            self.run.cancel()

    def _came(self, event: Event) -> None:
        if isinstance(event, Metrics):
            total = sum(value for name, value in event.values.items() if name != _NO_LOSS)
            self._loss = f"; error {total:.3g}"
        elif isinstance(event, Progress):
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            self.status.setText(f"Training {self._name}: {progress_line(event)}{self._loss}")

    def _trained(self, event: Finished) -> None:
        name = self.dock.model_trained(event.result)
        gain = event.summary.get("before_and_after", {})
        figure, words = self.lesson.figure
        gained = said(gain, figure, words)
        gained = f". {gained}." if gained else ""
        if self.dock.run is not None:  # with the model from before
            self._end(f"{name} is trained: choose it above to use it{gained}")
            return
        if verdict(gain, figure) == -1:
            self._end(f"{name} is trained; the model from before stays chosen{gained}")
            return
        self.dock.form.model.setCurrentText(name)
        stays = "; the model it began with stays in the list" if self.lesson.begins else ""
        self._end(f"{name} is trained and chosen{stays}{gained}")

    def _stopped(self) -> None:
        self._end(f"The training of {self._name} was stopped. All models are as they were before.")

    def _end(self, line: str) -> None:
        self.run = None
        self._running.hide()
        self.status.setText(line)
        self._into_view.start()
        self.enable()

    def _bring_into_view(self) -> None:
        """Scroll the dock to this row."""
        room = self.parentWidget()
        while room is not None and not isinstance(room, QScrollArea):
            room = room.parentWidget()
        if room is not None:
            room.ensureWidgetVisible(self)
