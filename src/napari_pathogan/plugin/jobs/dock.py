"""The Jobs dock: what runs, waits and has ended: trainings, batches, studies; how each goes, what is done with it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices, QFontDatabase, QPixmap
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QDockWidget,
    QHeaderView,
    QLabel,
    QMainWindow,
    QPlainTextEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.engine.before_after import said
from napari_pathogan.engine.events import Event, Finished, Metrics, Preview, Progress
from napari_pathogan.engine.training_jobs import State, TrainingJob
from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.jobs.folders import WorkFolder, forget, looked_at
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
from napari_pathogan.plugin.viewer.keys import dock_of
from napari_pathogan.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_pathogan.plugin.shell.running import Run

_NONE = (
    "Nothing is listed yet. Trainings (the docks' buttons Train… and Learn…), batches and reader studies "
    "stand here once they have begun."
)
_LOOK_MS = 2000  # batches and studies are looked at this often
_PREVIEW_PX = 280  # a picture's longer side at most
_ENDED = {
    State.DONE: "done",
    State.STOPPED: "interrupted",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}


class JobsDock(Docked):
    """A list of trainings, batches and studies, and the one that is chosen.

    Parameters
    ----------
    napari_viewer
        napari passes it.
    """

    title: ClassVar[str] = "Jobs"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.jobs: Jobs | None = None  # once it is in a window
        self.folders: tuple[WorkFolder, ...] = ()
        self._rows: dict[Path, QTreeWidgetItem] = {}
        self._looking: Run | None = None
        self._build()
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._look_at_folders)
        self._ties.add(self._look.stop)
        self._refresh()

    @property
    def chosen(self) -> TrainingJob | None:
        """The training that is chosen."""
        if self.jobs is None:
            return None
        return next((job for job in self.jobs.jobs if job.folder == self._chosen_folder), None)

    @property
    def chosen_folder(self) -> WorkFolder | None:
        """The batch or study that is chosen."""
        return next((one for one in self.folders if one.folder == self._chosen_folder), None)

    @property
    def _chosen_folder(self) -> Path | None:
        items = self.list.selectedItems()
        return items[0].data(0, Qt.ItemDataRole.UserRole) if items else None

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Look at the trainings of the window."""
        super().showEvent(event)
        if self.jobs is None and above(self, QMainWindow) is not None:
            self.jobs = jobs_of(self)
            self.jobs.changed.connect(self._list)
            self.jobs.came.connect(self._came)
            self._list()
        self._look.start()
        self._look_at_folders()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """Nobody sees how batches and studies stand."""
        super().hideEvent(event)
        self._look.stop()

    # how

    def _build(self) -> None:
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["Job", "State"])
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
        self.preview = QLabel()
        self.preview.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.preview_says = Paragraph()
        self.buttons = {
            text: button(text, tip)
            for text, tip in (
                ("Pause", "Let it rest where it is, or go on"),
                ("Cancel", "Stop; nothing of the new model stays"),
                ("Earlier", "Change places with the one that waits before it"),
                ("Open", "The results: a batch's slides, a study's readers"),
                ("Card", "The new model: what it learnt from, how well it does"),
                ("Folder", "Where it lies: settings, numbers and pictures"),
                ("Log", "The command, and all that was said"),
                ("Remove", "Take it off the list; a model or results that came of it stay"),
            )
        }
        done: dict[str, Callable[[TrainingJob], None]] = {
            "Pause": self._pause,
            "Cancel": self._cancel,
            "Earlier": self._earlier,
            "Card": self._show_card,
            "Log": self._show_log,
            "Remove": self._remove,
        }
        for text, act in done.items():
            self.buttons[text].clicked.connect(partial(self._call, act))
        self.buttons["Open"].clicked.connect(self._open)
        self.buttons["Folder"].clicked.connect(self._show_folder)
        placed = list(self.buttons.values())
        rows = QWidget()
        inner = QVBoxLayout(rows)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(8)
        inner.addWidget(self.list, 1)
        for line in (
            self.about,
            self.bar,
            self.plot,
            self.preview,
            self.preview_says,
            evenly(*placed[:4]),
            evenly(*placed[4:]),
        ):
            inner.addWidget(line)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolled(rows, fill=True))

    def _list(self) -> None:
        """Lay the list out; the chosen one stays chosen, else the first."""
        assert self.jobs is not None
        chosen, listed = self._chosen_folder, self.jobs.listed
        self.list.blockSignals(True)
        self.list.clear()
        self._rows = {}
        for job in listed:
            self._add_row(job.folder, job.name, self._says(job), f"{job.name}: {_task(job)}")
            self._rows[job.folder].setToolTip(1, job.why)
        for one in self.folders:
            self._add_row(one.folder, one.name, one.state, one.about)
        if self._rows:
            self._rows.get(chosen or Path(), next(iter(self._rows.values()))).setSelected(True)
        self.list.blockSignals(False)
        self._refresh()

    def _add_row(self, folder: Path, name: str, state: str, about: str) -> None:
        row = QTreeWidgetItem([name, state])
        row.setData(0, Qt.ItemDataRole.UserRole, folder)
        row.setToolTip(0, about)
        self.list.addTopLevelItem(row)
        self._rows[folder] = row

    def _look_at_folders(self) -> None:
        """See how batches and studies stand, unless that is done already."""
        if self._looking is None and self.jobs is not None:
            self._looking = self.aside(looked_at(), self._looked, self._looked)

    def _looked(self, event: Finished | None = None) -> None:
        if self._looking is not None:
            self._ties.remove(self._looking.cancel)
        self._looking = None
        if event is not None and event.result != self.folders:
            self.folders = event.result
            self._list()

    def _came(self, job: TrainingJob, event: Event) -> None:
        if job.folder in self._rows and isinstance(event, Progress):
            self._rows[job.folder].setText(1, self._says(job))
        if job is not self.chosen:
            return
        if isinstance(event, Progress):
            self._show_progress(job)
        elif isinstance(event, Metrics):
            self.plot.show_curve(job.curve())
        elif isinstance(event, Preview):
            self._show_preview(job)

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
        job, other = self.chosen, self.chosen_folder
        for made in self.buttons.values():
            made.setEnabled(False)
        self.plot.setVisible(job is not None)
        self.bar.setVisible(False)
        self._show_preview(job)
        if other is not None:
            self.about.setText(other.about)
            for name in ("Open", "Folder"):
                self.buttons[name].setEnabled(True)
            self.buttons["Remove"].setEnabled(not other.runs)
            return
        if job is None or self.jobs is None:
            self.about.setText("" if self._rows else _NONE)
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
        for name, enabled in can.items():
            self.buttons[name].setEnabled(enabled)
        self.buttons["Pause"].setText("Resume" if halted else "Pause")
        self.plot.show_curve(job.curve())
        self._show_progress(job)

    def _show_preview(self, job: TrainingJob | None) -> None:
        """Show the latest picture of a training, no larger than it is."""
        file = None if job is None else job.preview()
        picture = QPixmap() if file is None else QPixmap(str(file))
        if picture.width() > _PREVIEW_PX or picture.height() > _PREVIEW_PX:
            smooth = Qt.TransformationMode.SmoothTransformation
            picture = picture.scaled(
                _PREVIEW_PX, _PREVIEW_PX, Qt.AspectRatioMode.KeepAspectRatio, smooth
            )
        self.preview.setPixmap(picture)
        says = "" if job is None or picture.isNull() else job.preview_says()
        self.preview_says.setText(says[:1].upper() + says[1:])
        for widget in (self.preview, self.preview_says):
            widget.setVisible(not picture.isNull())

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
            State.STOPPED: f"Interrupted; Resume {resumes(job)}.",
            State.FAILED: f"Failed: {job.why}. Resume {resumes(job)}.",
            State.CANCELLED: "Cancelled; nothing of it is left.",
        }.get(job.state) or self.jobs.says(job)
        self.about.setText(f"{job.name}. {_task(job)}.\n{how[:1].upper()}{how[1:]}")

    # what is done

    def _open(self) -> None:
        """Show a batch or a study in its dock."""
        window = above(self, QMainWindow)
        if (one := self.chosen_folder) is not None and window is not None:
            shows: Any = dock_of(window, one.dock)
            if (
                frame := above(shows, QDockWidget)
            ) is not None:  # closed before, or behind this one
                frame.show()
                frame.raise_()
            shows.show_folder(one.folder)

    def _call(self, act: Callable[[TrainingJob], None], _checked: object = None) -> None:
        job, other = self.chosen, self.chosen_folder
        try:
            if other is not None:  # which can be removed alone
                forget(other)
                self._look_at_folders()
            elif job is not None:
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

    def _show_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._chosen_folder)))

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


def resumes(job: TrainingJob) -> str:
    """What Resume does with a training that has stopped."""
    if job.has_checkpoint:
        return "goes on from its last checkpoint"
    return "begins it anew: there is no checkpoint yet"


def _task(job: TrainingJob) -> str:
    return task_of(job.task).help.rstrip(".")
