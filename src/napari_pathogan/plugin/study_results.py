"""The results of a study: figures, tables and galleries, from the same functions as the report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QByteArray, QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QFrame,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.plugin import study_recent as recent
from napari_pathogan.plugin.form import Ties, beside, combo, label, shortened
from napari_pathogan.plugin.running import Run, run_in_viewer
from napari_pathogan.plugin.study_tables import (
    confusion_html,
    metrics_html,
    not_counted_html,
    problems_html,
    verdict_html,
)
from napari_pathogan.study.layout import key_path
from napari_pathogan.study.record import Study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_pathogan.study.judgements import Seen
    from napari_pathogan.study.report import StudyReport

ALL = "All readers"
FIGURES = ("accuracy", "roc", "sources", "confidence", "times")
ACROSS, THUMB_PX, LARGE_PX = 4, 60, 720


def find_results(folder: Path, key: Path) -> Iterator[Event]:
    """Work out a study's results and draw them; finishes with (report, figure name -> SVG)."""
    yield Progress(0, 0, "reading the answers")
    # matplotlib and scipy are slow to import
    from napari_pathogan.study.figures import draw_all  # noqa: PLC0415
    from napari_pathogan.study.report import report  # noqa: PLC0415

    found = report(Study.open(folder), key)
    yield Progress(0, 0, "drawing")
    yield Finished((found, draw_all(found)))


def save_page(path: Path, found: StudyReport) -> Iterator[Event]:
    """Save the report as one page; the suffix is added where it is missing."""
    from napari_pathogan.study.html import write_html  # noqa: PLC0415  (matplotlib is slow to import)

    if path.suffix.lower() not in {".html", ".htm"}:
        path = path.with_name(path.name + ".html")
    yield Progress(0, 0, f"saving {path.name}")
    write_html(path, found)
    yield Finished(path)


class Results(QWidget):
    """Choose a study and its key, look at what was found, save it."""

    def __init__(self) -> None:
        super().__init__()
        self.run: Run | None = None
        self.ties = Ties()
        self.report: StudyReport | None = None
        self.key: Path | None = None
        self.study = combo("The study whose answers are looked at")
        self.open = QPushButton("Open…")
        self.open.setToolTip("Choose the folder of a study")
        self.key_name = QLabel()
        self.choose_key = QPushButton("Choose…")
        self.choose_key.setToolTip("The answer key that was made with the study: <study>.key.json")
        self.show_button = QPushButton("Show results")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar.hide()
        self.status = label("")
        self.found = QWidget()
        self.save_button = QPushButton("Save report (HTML)…")
        self.save_button.setToolTip("One page with all figures, tables and images; opens anywhere")
        self._lay_out()
        self._build_found()
        self.study.currentIndexChanged.connect(self._study_chosen)
        self.open.clicked.connect(self._ask_study)
        self.choose_key.clicked.connect(self._ask_key)
        self.show_button.clicked.connect(self.show_or_cancel)
        self.save_button.clicked.connect(self._ask_save)
        self.reader.currentIndexChanged.connect(self._reader_chosen)
        self.offer()

    def offer(self) -> None:
        """Offer the studies that were opened last; the chosen one stays chosen."""
        chosen, folders = self.study.currentData(), recent.recall()
        self.study.blockSignals(True)
        self.study.clear()
        for index, folder in enumerate(folders):
            self.study.addItem(shortened(folder.name), folder)
            self.study.setItemData(index, str(folder), Qt.ItemDataRole.ToolTipRole)
        self.study.setCurrentIndex(folders.index(chosen) if chosen in folders else 0)
        self.study.blockSignals(False)
        if self.study.currentData() != chosen:
            self._study_chosen()

    def use_key(self, path: Path | None) -> None:
        """Take this answer key."""
        self.key = path
        self.key_name.setText(shortened(path.name, 22) if path else "not found beside the study")
        self.key_name.setToolTip(str(path) if path else "The one who made the study has it")
        self.show_button.setEnabled(path is not None and self.study.currentData() is not None)

    def show_or_cancel(self) -> None:
        """Do what the button says."""
        if self.run is not None:
            self.run.cancel()
            return
        folder = self.study.currentData()
        if folder is not None and self.key is not None:
            self._start(find_results(folder, self.key), "Results of a study", self._show)

    def save(self, path: Path) -> None:
        """Save the report as one page, in the background."""
        if self.report is not None and self.run is None:
            self._start(save_page(path, self.report), "Saving the report", self._saved)

    # how

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        grid.addWidget(QLabel("Study"), 0, 0)
        grid.addWidget(beside(self.study, self.open), 0, 1)
        grid.addWidget(QLabel("Key"), 1, 0)
        grid.addWidget(beside(self.key_name, self.choose_key), 1, 1)
        room = QScrollArea()
        room.setWidgetResizable(True)
        room.setFrameShape(QFrame.Shape.NoFrame)
        room.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        room.setWidget(self.found)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(grid)
        for widget in (self.show_button, self.bar, self.status):
            column.addWidget(widget)
        column.addWidget(room, 1)
        column.addWidget(self.save_button)

    def _build_found(self) -> None:
        """Make the parts that results are shown in."""
        self.verdict, self.problems, self.table = label(""), label(""), label("")
        self.confusion, self.not_counted = label(""), label("")
        self.reader = combo("Whose figures are shown")
        self.figures = {name: Picture() for name in FIGURES}
        self.galleries = (Gallery("Most convincing generated"), Gallery("Most doubted real"))
        for text in (self.verdict, self.problems, self.table, self.confusion, self.not_counted):
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column = QVBoxLayout(self.found)
        column.setContentsMargins(0, 0, 6, 0)
        column.setSpacing(10)
        top = self.problems, self.figures["accuracy"], self.not_counted, self.reader, self.verdict
        rest = (self.figures[name] for name in FIGURES[1:])
        for widget in (*top, self.table, self.confusion, *rest, *self.galleries):
            column.addWidget(widget)
        column.addStretch(1)
        self._clear()

    def _start(self, events: Iterator[Event], title: str, then: Callable[[Finished], None]) -> None:
        def finished(event: Finished) -> None:
            self._end("")
            then(event)

        self.show_button.setText("Cancel")
        self.bar.setRange(0, 0)
        self.bar.show()
        self.run = run_in_viewer(
            events,
            title=title,
            on_event=self._event_came,
            on_finished=finished,
            on_stopped=partial(self._end, "Stopped."),
        )
        self.ties.add(self.run.cancel)

    def _end(self, line: str) -> None:
        if self.run is not None:
            self.ties.remove(self.run.cancel)
        self.run = None
        self.show_button.setText("Show results")
        self.bar.hide()
        self._say(line)

    def _say(self, line: str) -> None:
        self.status.setText(line)
        self.status.setVisible(bool(line))

    def _event_came(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._say(event.what[:1].upper() + event.what[1:])

    def _show(self, event: Finished) -> None:
        found, figures = event.result
        self.report = found
        self.problems.setText(problems_html(found))
        self.problems.setVisible(not found.intact)
        self.not_counted.setText(not_counted_html(found.not_counted))
        self.not_counted.setVisible(bool(found.not_counted))
        self.reader.blockSignals(True)
        self.reader.clear()
        self.reader.addItems([ALL, *found.readers])
        self.reader.blockSignals(False)
        for name, picture in self.figures.items():
            picture.show_svg(figures[name])
        for gallery, seen in zip(
            self.galleries, (found.convincing(), found.doubted()), strict=True
        ):
            gallery.fill(found.study, seen)
        self._reader_chosen()
        self.found.show()
        self.save_button.setEnabled(True)

    def _reader_chosen(self, _index: int = 0) -> None:
        found, name = self.report, self.reader.currentText()
        if found is None:
            return
        one = found.readers.get(name)
        shown = found.pooled if one is None else one
        said = [found.verdict, found.elsewhere] if one is None else [found.verdicts[name]]
        self.verdict.setText(verdict_html(*said))
        self.table.setText(metrics_html(shown))
        judged = [x for x in found.judged if one is None or x.name == name]
        self.confusion.setText(confusion_html(judged, pairs=found.study.manifest.mode == "pairs"))

    def _clear(self) -> None:
        self.report = None
        self.found.hide()
        self.save_button.setEnabled(False)

    def _study_chosen(self, _index: int = 0) -> None:
        self._clear()
        self._say("")
        folder = self.study.currentData()
        beside_it = key_path(folder) if folder is not None else None
        self.use_key(beside_it if beside_it is not None and beside_it.is_file() else None)

    def _ask_study(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a study's folder")
        if folder:
            self.open_study(Path(folder))

    def open_study(self, folder: Path) -> None:
        """Choose a study; an error becomes a notification."""
        try:
            Study.open(folder)
            recent.remember(folder)
        except (OSError, ValueError) as error:
            show_error(str(error))
            return
        self.offer()
        self.study.setCurrentIndex(0)

    def _ask_key(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Answer key", "", "Answer keys (*.json)")
        if path:
            self.use_key(Path(path))

    def _ask_save(self) -> None:
        assert self.report is not None
        suggested = f"{self.report.study.folder.name}.html"
        path, _ = QFileDialog.getSaveFileName(self, "Save report (HTML)", suggested, "*.html")
        if path:
            self.save(Path(path))

    def _saved(self, event: Finished) -> None:
        self._say(f"Saved {event.result.name}")
        self.status.setToolTip(str(event.result))


class Picture(QLabel):
    """A figure, as wide as the dock; a click shows it large."""

    _drawn: QSvgRenderer | None

    def __init__(self) -> None:
        super().__init__()
        self._svg, self._drawn = "", None
        self.setToolTip("Click to see it large")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_svg(self, svg: str) -> None:
        """Show a figure."""
        self._svg = svg
        self._drawn = QSvgRenderer(QByteArray(svg.encode()))
        self._render()

    def mousePressEvent(self, _event: object) -> None:  # noqa: N802 (Qt's name)
        """Show it large."""
        large = QDialog(self.window())
        large.setWindowTitle("Reader study")
        large.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        picture = Picture()
        picture.setToolTip("")
        QVBoxLayout(large).addWidget(picture)
        large.resize(LARGE_PX, LARGE_PX)
        large.show()
        picture.show_svg(self._svg)

    def resizeEvent(self, event: object) -> None:  # noqa: N802 (Qt's name)
        """Draw again for the new width."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._render()

    def _render(self) -> None:
        if self._drawn is None or self.width() < 8:
            return
        ratio, natural = self.devicePixelRatioF(), self._drawn.defaultSize()
        height = round(self.width() * natural.height() / natural.width())
        if self.height() != height:
            self.setFixedHeight(height)
        size = QSize(round(self.width() * ratio), round(height * ratio))
        image = QImage(size, QImage.Format.Format_RGB32)
        image.fill(Qt.GlobalColor.white)
        painter = QPainter(image)
        self._drawn.render(painter)
        painter.end()
        image.setDevicePixelRatio(ratio)
        self.setPixmap(QPixmap.fromImage(image))


class Gallery(QWidget):
    """Images in a grid, each with what is known of it as a tooltip."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.grid = QGridLayout(self)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setSpacing(6)
        self.grid.addWidget(QLabel(f"<b>{title}</b>"), 0, 0, 1, ACROSS)
        self.grid.setColumnStretch(ACROSS, 1)
        self.pictures: list[QLabel] = []

    def fill(self, study: Study, seen: Sequence[Seen]) -> None:
        """Show other images."""
        for gone in self.pictures:
            self.grid.removeWidget(gone)
            gone.deleteLater()
        self.pictures = [_thumbnail(study, one) for one in seen] or [QLabel("none")]
        for number, picture in enumerate(self.pictures):
            self.grid.addWidget(picture, 1 + number // ACROSS, number % ACROSS)


def _thumbnail(study: Study, seen: Seen) -> QLabel:
    pixels = study.image(seen.image)
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    shown = QPixmap.fromImage(image).scaled(
        THUMB_PX,
        THUMB_PX,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
    made = QLabel()
    made.setPixmap(shown)
    kind = "generated" if seen.truth.real else "real"
    made.setToolTip(
        f"{seen.truth.source}: taken for {kind} by {seen.fooled} of {seen.readers}\n{seen.truth.origin}"
    )
    return made
