"""The Batch dock: one task over many slides, in the background, and its results as layers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QGridLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.batch.folder import BatchFolder
from napari_pathogan.engine.events import Event, Finished, Item, Progress
from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.batch.events import batch, find_models_of
from napari_pathogan.plugin.shell.dock import ModelsFound
from napari_pathogan.plugin.shell.docked import Docked
from napari_pathogan.plugin.shell.form import (
    ProgressBar,
    beside,
    button,
    combo,
    confirmed,
    evenly,
    hint,
    label,
    progress_line,
    scrolled,
)
from napari_pathogan.plugin.shell.recent import BATCHES
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.viewer.asking import RESULTS, SLIDES, ask_files, ask_folder
from napari_pathogan.plugin.viewer.keys import PLUGIN
from napari_pathogan.tasks import registered

if TYPE_CHECKING:
    import napari
    from qtpy.QtGui import QDragEnterEvent, QDropEvent

    from napari_pathogan.plugin.shell.running import Run

_STATES = {"waits": "waiting", "runs": "running", "done": "done", "failed": "failed"}
_OPENED = (".ome.zarr", ".geojson", ".json")  # the first of these that was saved comes as layers
_RECORD = "result.json"
KEEPS = "What is done of the batch stays, and it can be gone on with."


class BatchDock(Docked):
    """One task over many slides.

    Parameters
    ----------
    napari_viewer
        The viewer that results open in; napari passes it.
    """

    title: ClassVar[str] = "Batch"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.setAcceptDrops(True)
        self.run: Run | None = None
        self._models: dict[str, tuple[str, ...]] = {}
        self._sources: list[Path] = []
        self._wanted = ""  # the model of a batch that is gone on with
        self._rows: dict[str, QTreeWidgetItem] = {}
        self._build()
        self._lay_out()
        self.aside(
            find_models_of(list(self._tasks), settings().models_folders),
            title="Looking for models",
            on_event=self._found,
        )
        self._refresh()

    # what it does

    def add(self, paths: list[Path]) -> None:
        """Put slides, or folders of them, on the list; what a batch has listed goes."""
        if self._rows:
            self.clear()
        for path in paths:
            if path not in self._sources:
                self._sources.append(path)
                row = QTreeWidgetItem([path.name, ""])
                row.setToolTip(0, str(path))
                self.slides.addTopLevelItem(row)
        self._refresh()

    def show_folder(self, folder: Path) -> None:
        """Show a batch that was begun before, as it stands; Run goes on with it. One that runs here stays."""
        if self.run is not None:
            return
        try:
            batch = BatchFolder(folder).standing()
        except PathoganError as error:
            show_error(str(error))
            return
        self.clear()
        self.task.setCurrentIndex(max(0, self.task.findData(batch.task)))
        self._wanted = batch.model
        self._task_chosen()
        self.target.setText(str(folder))
        scale = batch.options.get("mpp", batch.options.get("mm"))
        self.mpp.setText("" if scale is None else f"{scale:g}")
        self._sources = list(batch.sources.values())
        for name, path in batch.sources.items():
            state = "done" if name in batch.done else "failed" if name in batch.failed else "waits"
            self._show_item(Item(name, state, message=str(path)))
        self._refresh()

    def clear(self) -> None:
        """Take all slides off the list."""
        self.slides.clear()
        self._sources, self._rows, self._wanted = [], {}, ""
        self.result.clear()
        self._refresh()

    def run_or_cancel(self) -> None:
        """Do what the button says."""
        if self.run is not None:
            self.run.cancel()
            return
        out = Path(self.target.text()).expanduser()
        more = []
        if (out / "batch.json").is_file():
            question = f"{out.name} holds a batch already. Go on with it? What is done stays."
            if not confirmed(self, self.title, question):
                return
            more = ["--resume"]
        self.slides.clear()
        self._rows = {}
        self.result.clear()
        self.start.setText("Cancel")
        self.bar.setRange(0, 0)
        self.bar.show()
        self.status.setText("Starting a process for the batch…")
        self._remember(out)
        self.run = self.aside(
            batch([*self._command(out), *more]),
            self._finished,
            self._stopped,
            ask=True,
            keeps=KEEPS,
            on_event=self._came,
        )
        self._refresh()

    def open_results(self, row: QTreeWidgetItem) -> None:
        """Open a slide of the batch, and what was found on it."""
        folder = Path(self.target.text()).expanduser() / "slides" / row.text(0)
        try:
            record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            saved = [folder / name for image in record["images"] for name in image["files"]]
            paths = [Path(record["source"])]
        except (OSError, ValueError, KeyError, TypeError):
            if row.text(1) == _STATES["done"]:
                show_error(f"{folder} holds no results that can be read; run the batch again")
            return
        for suffix in _OPENED:
            if found := [path for path in saved if path.name.endswith(suffix)]:
                paths += found
                break
        for path in paths:
            self.viewer.open(str(path), plugin=PLUGIN)

    # how

    def _build(self) -> None:
        self._tasks = {
            name: task for name, task in registered().items() if task.prediction is not None
        }
        self.task = combo("What is done with every slide")
        for name, one in self._tasks.items():
            self.task.addItem(one.help.rstrip("."), name)
            self.task.setItemData(self.task.count() - 1, one.help, Qt.ItemDataRole.ToolTipRole)
        self.task.currentIndexChanged.connect(self._task_chosen)
        self.model = combo("The model that looks at them")
        self.slides = QTreeWidget()
        self.slides.setRootIsDecorated(False)
        self.slides.setHeaderLabels(["Slide", "State"])
        self.slides.setMinimumHeight(140)
        header = self.slides.header()
        assert header is not None
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.slides.setToolTip("A double click opens a slide that is done, with its results")
        self.slides.itemDoubleClicked.connect(lambda row, _column: self.open_results(row))
        self.add_files = button("Add slides…", "Choose slides, or images")
        self.add_files.clicked.connect(self._ask_files)
        self.add_folder = button(
            "Add folder…", "Choose a folder: of slides, or of a case's mammograms"
        )
        self.add_folder.clicked.connect(self._ask_folder)
        self.clear_button = button("Clear", "Take all slides off the list")
        self.clear_button.clicked.connect(self.clear)
        self.target = QLineEdit()
        hint(self.target, "a new folder")
        self.target.setToolTip("A new folder, or that of a batch to go on with")
        self.target.textChanged.connect(self._refresh)
        self.choose = button("Choose…", "The folder that results go to, one a slide")
        self.choose.clicked.connect(self._ask_target)
        self.mpp = QLineEdit()
        hint(self.mpp, "as the slides say")
        self.mpp.setToolTip("Micrometres (mammograms: mm) a pixel, of slides that do not say")
        self.workers = QSpinBox()
        self.workers.setRange(1, max(1, os.cpu_count() or 1))
        self.workers.setToolTip("Slides that are worked on at once, each by a process of its own")
        self.cluster = QLineEdit()
        hint(self.cluster, "none: this computer")
        self.cluster.setToolTip("Address of a dask scheduler whose machines see the same files")
        self.start = QPushButton("Run")
        self.start.setMinimumWidth(90)
        self.start.clicked.connect(self.run_or_cancel)
        self.bar = ProgressBar()
        self.bar.hide()
        self.status, self.result = label(""), label("")
        self.open = button(
            "Open results", "Open the chosen slide, and what was found on it (double click)"
        )
        self.open.clicked.connect(self._open_chosen)
        self.slides.itemSelectionChanged.connect(self._refresh)
        self.page = button("Show page", "All slides with pictures and figures, in the browser")
        self.page.clicked.connect(self._show_page)

    def _lay_out(self) -> None:
        rows, grid = QWidget(), QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        named: list[tuple[str, QWidget]] = [
            ("Task", self.task),
            ("Model", self.model),
            ("", self.slides),
            ("", evenly(self.add_files, self.add_folder, self.clear_button)),
            ("Results", beside(self.target, self.choose)),
            ("Scale", self.mpp),
            ("At once", self.workers),
            ("Cluster", self.cluster),
            ("", beside(self.start, self.bar, wide=1)),
            ("", self.status),
            ("", self.result),
            ("", evenly(self.open, self.page)),
        ]
        for number, (name, widget) in enumerate(named):
            if name:
                grid.addWidget(QLabel(name), number, 0)
                grid.addWidget(widget, number, 1)
            else:
                grid.addWidget(widget, number, 0, 1, 2)
            grid.setRowStretch(number, int(widget is self.slides))
        grid.setContentsMargins(0, 0, 0, 0)
        rows.setLayout(grid)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(scrolled(rows, fill=True))

    def _command(self, out: Path) -> list[str]:
        task = self._tasks[self.task.currentData()]
        command = [task.name, *map(str, self._sources), "-o", str(out)]
        if self.model.currentData():
            command += [f"--{task.model_word.replace('_', '-')}", self.model.currentData()]
        if text := self.mpp.text().strip():
            assert task.prediction is not None
            names = [one.name for one in task.prediction.options]
            command += [f"--{next(name for name in ('mpp', 'mm') if name in names)}", text]
        if address := self.cluster.text().strip():
            command += ["--cluster", address]
        return [*command, "--workers", str(self.workers.value()), "--device", settings().device]

    def _found(self, event: Event) -> None:
        if isinstance(event, ModelsFound):
            self._models[event.task] = tuple(event.models)
            if event.task == self.task.currentData():
                self._task_chosen()

    def _task_chosen(self, _index: int = 0) -> None:
        task = self._tasks[self.task.currentData()]
        self.model.clear()
        for name in self._models.get(task.name, ()):
            self.model.addItem(name, name)
        usual = task.predicts_with or task.default
        wanted = (self.model.findData(name) for name in (self._wanted, usual))
        self.model.setCurrentIndex(next((at for at in wanted if at >= 0), 0))
        self._refresh()

    def _came(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            self.status.setText(progress_line(event))
        elif isinstance(event, Item):
            self._show_item(event)
            waiting = [row.text(1) for row in self._rows.values()].count(_STATES["waits"])
            if event.state == "waits":
                slides = "1 slide waits" if waiting == 1 else f"{waiting} slides wait"
                self.status.setText(f"{slides}: the model is being loaded, which takes a while")

    def _show_item(self, event: Item) -> None:
        row = self._rows.get(event.name)
        if row is None:
            row = self._rows[event.name] = QTreeWidgetItem([event.name, ""])
            self.slides.addTopLevelItem(row)
        share = f"{100 * event.done // event.total} %" if event.total else ""
        row.setText(1, share or _STATES[event.state])
        for column in (0, 1):
            row.setToolTip(column, event.message or event.name)

    def _finished(self, event: Finished) -> None:
        self._end("")
        failed = event.summary["failed"]
        self.result.setText(
            "\n".join(
                [
                    event.summary["text"].partition(":")[0] + ".",
                    *(f"{name}: {why}" for name, why in list(failed.items())[:5]),
                    *([f"and {len(failed) - 5} more, on the page"] if len(failed) > 5 else []),
                ]
            )
        )

    def _stopped(self) -> None:
        why = self.run.failure if self.run is not None else ""
        self._end(why or "Stopped. Run goes on with what is left.")
        for row in self._rows.values():
            if row.text(1) not in {_STATES["done"], _STATES["failed"]}:
                row.setText(1, "stopped")

    def _end(self, line: str) -> None:
        if self.run is not None:
            self._ties.remove(self.run.cancel)
        self.run = None
        self.start.setText("Run")
        self.bar.hide()
        self.status.setText(line)
        self._refresh()

    def _refresh(self, _text: str = "") -> None:
        runs = self.run is not None
        out = self.target.text().strip()
        for widget in (self.task, self.model, self.target, self.choose, self.mpp, self.workers, self.cluster,
                       self.add_files, self.add_folder, self.clear_button):  # fmt: skip
            widget.setEnabled(not runs)
        self.start.setEnabled(runs or bool(self._sources and out and self.model.count()))
        self.start.setToolTip("Stop; what is done stays" if runs else "Start, in the background")
        chosen = self.slides.selectedItems()
        self.open.setEnabled(any(row.text(1) == _STATES["done"] for row in chosen))
        self.page.setEnabled(bool(out) and (Path(out).expanduser() / "index.html").is_file())

    @staticmethod
    def _remember(folder: Path) -> None:
        """Let it be listed with the jobs."""
        try:
            BATCHES.remember(folder)
        except PathoganError as error:
            show_error(str(error))

    def _ask_files(self) -> None:
        self.add(ask_files(self, "Slides", "", SLIDES))

    def _ask_folder(self) -> None:
        if folder := ask_folder(self, "A folder of slides", SLIDES):
            self.add([folder])

    def _ask_target(self) -> None:
        if folder := ask_folder(self, "Folder for the results", RESULTS):
            self.target.setText(str(folder))

    def _open_chosen(self) -> None:
        for row in self.slides.selectedItems():
            self.open_results(row)

    def _show_page(self) -> None:
        page = Path(self.target.text()).expanduser() / "index.html"
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(page)))

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Files may be dropped."""
        data = event and event.mimeData()
        if event is not None and data and data.hasUrls() and self.run is None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Take them for slides."""
        data = event and event.mimeData()
        if event is not None and data:
            self.add([Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()])
            event.acceptProposedAction()
