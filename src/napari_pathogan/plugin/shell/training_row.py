"""A training that runs beside a dock's own work: how far it is, how well it goes, Cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from napari_pathogan.engine.events import Event, Finished, Metrics, Progress
from napari_pathogan.plugin.shell.form import beside, button, label, progress_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_pathogan.plugin.shell.dock import Dock
    from napari_pathogan.plugin.shell.running import Run

_NO_LOSS = "lr"  # among an epoch's numbers


class TrainingRow(QWidget):
    """Hidden until something is trained; the dock can be worked with meanwhile."""

    def __init__(self, dock: Dock) -> None:
        super().__init__()
        self.dock = dock
        self.run: Run | None = None
        self._name = self._loss = ""
        self._at_end: Callable[[], None] = self.hide
        self.cancel = button("Cancel training", "Stop; nothing of the new model stays")
        self.cancel.clicked.connect(self.stop)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.status = label("")
        self._running = beside(self.cancel, self.bar, wide=1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self._running)
        column.addWidget(self.status)
        self.hide()

    def start(
        self,
        events: Iterator[Event],
        name: str,
        then: Callable[[Finished], str],
        at_end: Callable[[], None],
    ) -> None:
        """Watch a training to its end.

        Parameters
        ----------
        name
            Of the new model.
        then
            Called with the last event; returns what is said of it.
        at_end
            Called when it has ended in one way or another.
        """

        def finished(event: Finished) -> None:
            self._end(then(event))

        self._name, self._loss, self._at_end = name, "", at_end
        self.bar.setRange(0, 0)
        self.status.setText(f"Training {name}…")
        self._running.show()
        self.show()
        self.run = self.dock.aside(
            events,
            finished,
            self._stopped,
            title=f"Training {name}",
            ask=True,
            on_event=self._came,
        )

    def stop(self) -> None:
        """Cancel the training."""
        if self.run is not None:
            self.run.cancel()

    def _came(self, event: Event) -> None:
        if isinstance(event, Metrics):
            total = sum(value for name, value in event.values.items() if name != _NO_LOSS)
            self._loss = f"; loss {total:.3g}"
        elif isinstance(event, Progress):
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            self.status.setText(f"Training {self._name}: {progress_line(event)}{self._loss}")

    def _stopped(self) -> None:
        self._end(f"The training of {self._name} was stopped. All models are as they were before.")

    def _end(self, line: str) -> None:
        self.run = None
        self._running.hide()
        self.status.setText(line)
        self._at_end()
