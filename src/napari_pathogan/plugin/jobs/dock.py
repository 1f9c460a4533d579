"""The Jobs dock: which trainings run, wait and have ended; how each goes, and what is done with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices, QFontDatabase
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QMainWindow,
    QPlainTextEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.engine.before_after import said
from napari_pathogan.engine.events import Event, Finished, Metrics, Progress
from napari_pathogan.engine.training_jobs import State, TrainingJob
from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.jobs.plot import CurvePlot
from napari_pathogan.plugin.shell.card import CardDialog
from napari_pathogan.plugin.shell.docked import Docked
from napari_pathogan.plugin.shell.form import (
    Paragraph,
    ProgressBar,
    above,
    button,
    confirmed,
    evenly,
    keep_place,
    scrolled,
)
from napari_pathogan.plugin.shell.jobs import Jobs, jobs_of
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch
from napari_pathogan.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import napari
    from qtpy.QtGui import QShowEvent

_NONE = "Nothing is trained yet. The docks' buttons Train… and Learn… begin trainings; they are listed here."
_ENDED = {
    State.DONE: "done",
    State.STOPPED: "interrupted",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}


class JobsDock(Docked):
    """A list of trainings, and the one that is chosen.

    Parameters
    ----------
    napari_viewer
        napari passes it.
    """

    title: ClassVar[str] = "Jobs"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.jobs: Jobs | None = None  # once it is in a window
        self._rows: dict[Path, QTreeWidgetItem] = {}
        self._build()
        self._refresh()

    @property
    def chosen(self) -> TrainingJob | None:
        """The training that is chosen."""
        items = self.list.selectedItems()
        if not items or self.jobs is None:
            return None
        folder = items[0].data(0, Qt.ItemDataRole.UserRole)
        return next((job for job in self.jobs.jobs if job.folder == folder), None)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Look at the trainings of the window."""
        super().showEvent(event)
        if self.jobs is None and above(self, QMainWindow) is not None:
            self.jobs = jobs_of(self)
            self.jobs.changed.connect(self._list)
            self.jobs.came.connect(self._came)
            self._list()

    # how

    def _build(self) -> None:
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["Model", "Training"])
        self.list.setRootIsDecorated(False)
        self.list.setMinimumHeight(150)
        self.list.itemSelectionChanged.connect(self._refresh)
        header = self.list.header()
        assert header is not None
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.bar = ProgressBar()
        keep_place(self.bar)
        self.about = Paragraph()
        self.plot = CurvePlot()
        self.buttons = {
            text: button(text, tip)
            for text, tip in (
                ("Pause", "Let it rest where it is, or go on"),
                ("Cancel", "Stop; nothing of the new model stays"),
                ("Earlier", "Change places with the one that waits before it"),
                ("Card", "The new model: what it learnt from, how well it does"),
                ("Folder", "Where the training lies: its settings, numbers and pictures"),
                ("Log", "The command, and all that was said"),
                ("Remove", "Take it off the list; a model that came of it stays"),
            )
        }
        done: tuple[Callable[[TrainingJob], None], ...] = (
            self._pause,
            self._cancel,
            self._earlier,
            self._show_card,
            self._show_folder,
            self._show_log,
            self._remove,
        )
        for made, act in zip(self.buttons.values(), done, strict=True):
            made.clicked.connect(partial(self._call, act))
        placed = list(self.buttons.values())
        rows = QWidget()
        inner = QVBoxLayout(rows)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(8)
        inner.addWidget(self.list, 1)
        for line in (self.about, self.bar, self.plot, evenly(*placed[:3]), evenly(*placed[3:])):
            inner.addWidget(line)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolled(rows))

    def _list(self) -> None:
        """Lay the list out; the chosen one stays chosen, else the first."""
        assert self.jobs is not None
        chosen, listed = self.chosen, self.jobs.listed
        self.list.blockSignals(True)
        self.list.clear()
        self._rows = {}
        for job in listed:
            row = QTreeWidgetItem([job.name, self._says(job)])
            row.setData(0, Qt.ItemDataRole.UserRole, job.folder)
            row.setToolTip(0, f"{job.name}: {_task(job)}")
            row.setToolTip(1, job.why)
            self.list.addTopLevelItem(row)
            self._rows[job.folder] = row
            if job is chosen:
                row.setSelected(True)
        if listed and not self.list.selectedItems():
            self._rows[listed[0].folder].setSelected(True)
        self.list.blockSignals(False)
        self._refresh()

    def _came(self, job: TrainingJob, event: Event) -> None:
        if job.folder in self._rows and isinstance(event, Progress):
            self._rows[job.folder].setText(1, self._says(job))
        if job is not self.chosen:
            return
        if isinstance(event, Progress):
            self._show_progress(job)
        elif isinstance(event, Metrics):
            self.plot.show_curve(job.curve())

    def _says(self, job: TrainingJob) -> str:
        """How it stands, short enough for the list."""
        assert self.jobs is not None
        run = self.jobs.run_of(job)
        if run is None or run.latest is None:
            return _ENDED.get(job.state) or self.jobs.says(job)
        latest = run.latest
        share = f"{100 * latest.done // latest.total} %" if latest.total else "starts"
        return f"{share}, paused" if job.paused else share

    def _refresh(self) -> None:
        """Show the chosen one, and what can be done with it."""
        job = self.chosen
        for made in self.buttons.values():
            made.setEnabled(False)
        self.plot.setVisible(job is not None)
        self.bar.setVisible(False)
        if job is None or self.jobs is None:
            self.about.setText(_NONE if self.jobs is None or not self.jobs.jobs else "")
            return
        runs = self.jobs.run_of(job) is not None
        waits = job.state is State.WAITS
        halted = (runs and job.paused) or job.state in {State.STOPPED, State.FAILED}
        can = {
            "Pause": runs or halted,
            "Cancel": runs or waits,
            "Earlier": waits and job is not self.jobs.waiting[0],
            "Card": job.state is State.DONE,
            "Folder": True,
            "Log": True,
            "Remove": job.ended,
        }
        for name, made in self.buttons.items():
            made.setEnabled(can[name])
        self.buttons["Pause"].setText("Resume" if halted else "Pause")
        self.plot.show_curve(job.curve())
        self._show_progress(job)

    def _show_progress(self, job: TrainingJob) -> None:
        assert self.jobs is not None
        run = self.jobs.run_of(job)
        self.bar.setVisible(run is not None)
        if run is not None and run.latest is not None:
            self.bar.setRange(0, run.latest.total)
            self.bar.setValue(run.latest.done)
        gained = said(job.summary.get("before_and_after", {}), *job.figure)
        how = {
            State.DONE: f"Trained. {gained}." if gained else "Trained; see its card.",
            State.STOPPED: "Interrupted; Resume goes on from its last checkpoint.",
            State.FAILED: f"Failed: {job.why}. Resume tries again from its last checkpoint.",
            State.CANCELLED: "Cancelled; nothing of it is left.",
        }.get(job.state) or self.jobs.says(job)
        self.about.setText(f"{job.name}. {_task(job)}.\n{how[:1].upper()}{how[1:]}")

    # what is done

    def _call(self, act: Callable[[TrainingJob], None], _checked: object = None) -> None:
        job = self.chosen
        if job is None:
            return
        try:
            act(job)
        except PathoganError as error:
            show_error(str(error))

    def _pause(self, job: TrainingJob) -> None:
        assert self.jobs is not None
        (self.jobs.resume if job.ended else self.jobs.pause)(job)

    def _cancel(self, job: TrainingJob) -> None:
        assert self.jobs is not None
        self.jobs.cancel(job)

    def _earlier(self, job: TrainingJob) -> None:
        assert self.jobs is not None
        self.jobs.earlier(job)

    def _remove(self, job: TrainingJob) -> None:
        assert self.jobs is not None
        lost = job.state in {State.STOPPED, State.FAILED}
        question = f"Remove {job.name}? What it has learnt so far is lost."
        if not lost or confirmed(self, self.title, question):
            self.jobs.remove(job)

    def _show_card(self, job: TrainingJob) -> None:
        self.aside(_reading(job.model), self._card_read)

    def _card_read(self, event: Finished) -> None:
        card, folder = event.result
        CardDialog(card, folder, self).show()

    @staticmethod
    def _show_folder(job: TrainingJob) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(job.folder)))

    def _show_log(self, job: TrainingJob) -> None:
        LogDialog(job, self).show()


class LogDialog(QDialog):
    """What a training was told, and what it said."""

    def __init__(self, job: TrainingJob, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Training {job.name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(640, 420)
        self.page = QPlainTextEdit(job.log())
        self.page.setReadOnly(True)
        self.page.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        box = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        copy = button("Copy as command", "The line that trains the same without a window")
        box.addButton(copy, QDialogButtonBox.ButtonRole.ActionRole)
        copy.clicked.connect(lambda: _copy(job.line))
        box.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.addWidget(self.page)
        column.addWidget(box)


def _copy(line: str) -> None:
    clipboard = QApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(line)


def _reading(model: Path) -> Iterator[Event]:
    """Read a model's card; finishes with it and the model's folder."""
    ready_for_torch()
    from napari_pathogan.engine.models import read_card  # noqa: PLC0415  (imports torch)

    yield Finished((read_card(model), model))


def _task(job: TrainingJob) -> str:
    return task_of(job.task).help.rstrip(".")
