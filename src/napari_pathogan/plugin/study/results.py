"""The results of a study: the answer key is asked for, then figures, tables and galleries."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from PIL import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QImage, QPainter, QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.errors import PathoganError
from napari_pathogan.files import write_text
from napari_pathogan.plugin.shell.form import ProgressBar, Ties, beside, combo, label, offer_folders
from napari_pathogan.plugin.shell.recent import STUDIES
from napari_pathogan.plugin.shell.running import Run
from napari_pathogan.plugin.study.bundle import Bundle, bundling
from napari_pathogan.plugin.study.words import being_read_text, unblinding_text
from napari_pathogan.study.browser import write_folder
from napari_pathogan.study.merge import merge_file
from napari_pathogan.study.page import PAGE
from napari_pathogan.study.record import Study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ALL = "All readers"
FIGURES = ("accuracy", "roc", "sources", "confidence", "times")
ACROSS, THUMB_PX, LARGE_PX = 4, 60, 720
SHOW = "Show results…"


@dataclass(frozen=True, slots=True, eq=False)
class Unpacked:
    """Results with their pictures unpacked."""

    bundle: Bundle
    figures: dict[str, QImage]
    galleries: list[list[tuple[QImage, str]]]


def find_results(folder: Path, key: Path) -> Iterator[Event]:
    """Work out and draw a study's results; finishes with them, unpacked here in the thread."""
    for event in bundling(folder, key):
        if not isinstance(event, Finished):
            yield event
            continue
        bundle: Bundle = event.result
        figures = {name: _unpacked(png) for name, png in bundle.figures.items()}
        galleries = [
            [(_unpacked(one.picture), one.about) for one in images] for images in bundle.galleries
        ]
        yield Finished(Unpacked(bundle, figures, galleries))


def _unpacked(png: bytes) -> QImage:
    """Unpack a picture; by Pillow, which lets the window work meanwhile, as Qt's Python does not."""
    with Image.open(io.BytesIO(png)) as packed:
        picture = packed.convert("RGB")
    width, height = picture.size
    rgb = QImage.Format.Format_RGB888
    return QImage(picture.tobytes(), width, height, 3 * width, rgb).copy()  # its own pixels


def save_page(path: Path, page: str) -> Iterator[Event]:
    """Save the report as one page; the suffix is added where it is missing."""
    if path.suffix.lower() not in {".html", ".htm"}:
        path = path.with_name(path.name + ".html")
    yield Progress(0, 0, f"saving {path.name}")
    write_text(path, page, PAGE)
    yield Finished(path)


def paged(study: Path, folder: Path) -> Iterator[Event]:
    """Write a study for readers elsewhere; finishes with the page to open."""
    yield from write_folder(Study.open(study), folder)


def take_answers(folder: Path, files: Sequence[Path]) -> Iterator[Event]:
    """Copy what readers elsewhere handed back into a study; finishes with what came of each file."""
    study, said = Study.open(folder), []
    for number, file in enumerate(files):
        yield Progress(number, len(files), f"taking {file.name}")
        done = merge_file(study, file)
        how = "was here already" if done.kept else "went on" if done.extended else "was taken"
        said.append(f"{file.name} {how}")
    yield Finished(said)


class Results(QWidget):
    """Choose a study, hand it out, open its key, look at what was found, save it."""

    def __init__(self, ties: Ties) -> None:
        super().__init__()
        self.run: Run | None = None
        self._ties = ties
        self.bundle: Bundle | None = None
        self.study = combo("The study whose answers are looked at")
        self.open = QPushButton("Open…")
        self.open.setToolTip("Choose the folder of a study")
        self.page = QPushButton("Browser page…")
        self.page.setToolTip(
            "Make a folder that readers elsewhere open in a browser: offline, with nothing installed, without "
            "the answer key"
        )
        self.take = QPushButton("Take answers…")
        self.take.setToolTip(
            "Files that readers handed back from such a page; nothing is overwritten"
        )
        self.show_button = QPushButton(SHOW)
        self.show_button.setToolTip(
            "Asks for the answer key, which the one who made the study has. That ends blinding on this "
            "computer"
        )
        self.bar = ProgressBar()
        self.bar.hide()
        self.status = label("")
        self.found = QWidget()
        self.save_button = QPushButton("Save report (HTML)…")
        self.save_button.setToolTip("One page with all figures, tables and images; opens anywhere")
        self._hidden: Iterator[QWidget] = iter(())
        self._one_more = QTimer(self)
        self._one_more.timeout.connect(self._show_one_more)
        self._lay_out()
        self._build_found()
        self.study.currentIndexChanged.connect(self._study_chosen)
        self.open.clicked.connect(self._ask_study)
        self.page.clicked.connect(self._ask_page)
        self.take.clicked.connect(self._ask_answers)
        self.show_button.clicked.connect(self.show_or_cancel)
        self.save_button.clicked.connect(self._ask_save)
        self.reader.currentIndexChanged.connect(self._reader_chosen)
        self._offer_elsewhere(possible=False)
        self.offer()

    def offer(self) -> None:
        """Offer the studies that were opened last; the chosen one stays chosen."""
        chosen = self.study.currentData()
        offer_folders(self.study, STUDIES.recall())
        if self.study.currentData() != chosen:
            self._study_chosen()

    def show_or_cancel(self) -> None:
        """Do what the button says; the answer key is asked for every time, and never remembered."""
        if self.run is not None:
            self.run.cancel()
            return
        folder = self.study.currentData()
        try:
            if folder is not None and self._may_unblind(Study.open(folder)):
                self._ask_key(folder)
        except PathoganError as error:
            show_error(str(error))

    def work_out(self, folder: Path, key: Path) -> None:
        """Open the answer key and work out the results, in the background."""
        self._clear()
        self._start(find_results(folder, key), "Results of a study", self._show)

    def save(self, path: Path) -> None:
        """Save the report as one page, in the background."""
        if self.bundle is not None and self.run is None:
            self._start(save_page(path, self.bundle.page), "Saving the report", self._saved)

    def make_page(self, folder: Path) -> None:
        """Write the chosen study for readers elsewhere, in the background."""
        study = self.study.currentData()
        if study is not None and self.run is None:
            self._start(paged(study, folder), "A study for readers elsewhere", self._paged)

    def take_in(self, files: Sequence[Path]) -> None:
        """Copy what readers handed back into the chosen study, in the background."""
        study = self.study.currentData()
        if study is not None and self.run is None and files:
            self._clear()
            self._start(take_answers(study, files), "Answers from elsewhere", self._taken)

    # how

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        grid.addWidget(QLabel("Study"), 0, 0)
        grid.addWidget(beside(self.study, self.open), 0, 1)
        elsewhere = QHBoxLayout()
        for button in (self.page, self.take):
            elsewhere.addWidget(button, 1)
        room = QScrollArea()
        room.setWidgetResizable(True)
        room.setFrameShape(QFrame.Shape.NoFrame)
        room.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        room.setWidget(self.found)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(grid)
        column.addLayout(elsewhere)
        for widget in (self.show_button, self.bar, self.status):
            column.addWidget(widget)
        column.addWidget(room, 1)
        column.addWidget(self.save_button)

    def _build_found(self) -> None:
        """Make the parts that results are shown in."""
        self.verdict, self.problems, self.table = label(""), label(""), label("")
        self.confusion, self.not_counted, self.unblinded = label(""), label(""), label("")
        self.reader = combo("Whose figures are shown")
        self.figures = {name: FigureView() for name in FIGURES}
        self.galleries = (
            FigureGallery("Most convincing generated"),
            FigureGallery("Most doubted real"),
        )
        warnings = self.problems, self.unblinded, self.not_counted
        for text in (*warnings, self.verdict, self.table, self.confusion):
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column = QVBoxLayout(self.found)
        column.setContentsMargins(0, 0, 6, 0)
        column.setSpacing(10)
        top = (*warnings, self.reader, self.verdict, self.figures["accuracy"])
        figures = (self.figures[name] for name in FIGURES[1:])
        self._later = (self.table, self.confusion, *figures, *self.galleries)
        for widget in (*top, *self._later):
            column.addWidget(widget)
        column.addStretch(1)
        self._clear()

    def _start(self, events: Iterator[Event], title: str, then: Callable[[Finished], None]) -> None:
        def finished(event: Finished) -> None:
            self._end("")
            then(event)

        self.show_button.setText("Cancel")
        self._offer_elsewhere(possible=False)
        self.bar.setRange(0, 0)
        self.bar.show()
        self.run = Run(
            events,
            title=title,
            owner=self,
            ask=True,
            on_event=self._event_came,
            on_finished=finished,
            on_stopped=self._stopped,
        )
        self._ties.add(self.run.cancel)

    def _stopped(self) -> None:
        """Say why, where it was not the user who stopped it."""
        self._end((self.run.failure if self.run is not None else "") or "Stopped.")

    def _end(self, line: str) -> None:
        if self.run is not None:
            self._ties.remove(self.run.cancel)
        self.run = None
        self.show_button.setText(SHOW)
        self._offer_elsewhere(possible=self.study.currentData() is not None)
        self.bar.hide()
        self._say(line)

    def _say(self, line: str) -> None:
        self.status.setText(line)
        self.status.setVisible(bool(line))

    def _event_came(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._say(event.what[:1].upper() + event.what[1:])

    def _show(self, event: Finished) -> None:
        drawn: Unpacked = event.result
        self.bundle = found = drawn.bundle
        for text, said in (
            (self.problems, found.problems),
            (self.unblinded, found.unblinded),
            (self.not_counted, found.not_counted),
        ):
            text.setText(said)
            text.setVisible(bool(said))
        self.reader.blockSignals(True)
        self.reader.clear()
        self.reader.addItem(ALL, found.everyone)
        for name, part in found.readers.items():
            self.reader.addItem(name, part)
        self.reader.blockSignals(False)
        for name, picture in self.figures.items():
            picture.show_image(drawn.figures[name])
        for gallery, images in zip(self.galleries, drawn.galleries, strict=True):
            gallery.fill(images)
        self._reader_chosen()
        for widget in self._later:
            widget.hide()
        self._hidden = iter(self._later)
        self.found.show()
        self._one_more.start()
        self.save_button.setEnabled(True)

    def _show_one_more(self) -> None:
        """Lay out part by part: all at once would keep a busy computer's window waiting."""
        part = next(self._hidden, None)
        if part is None:
            self._one_more.stop()
        else:
            part.show()

    def _reader_chosen(self, _index: int = 0) -> None:
        part = self.reader.currentData()
        if part is not None:
            self.verdict.setText(part.verdict)
            self.table.setText(part.table)
            self.confusion.setText(part.confusion)

    def _clear(self) -> None:
        self.bundle = None
        self.found.hide()
        self.save_button.setEnabled(False)

    def _study_chosen(self, _index: int = 0) -> None:
        self._clear()
        self._say("")
        possible = self.study.currentData() is not None
        self.show_button.setEnabled(possible)
        self._offer_elsewhere(possible=possible and self.run is None)

    def _offer_elsewhere(self, *, possible: bool) -> None:
        for button in (self.page, self.take):
            button.setEnabled(possible)

    def _ask_page(self) -> None:
        study: Path = self.study.currentData()
        beside_it = str(study.with_name(f"{study.name}-page"))
        chosen, _ = QFileDialog.getSaveFileName(self, "Folder for readers elsewhere", beside_it)
        if chosen:
            self.make_page(Path(chosen))

    def _paged(self, event: Finished) -> None:
        page: Path = event.result
        self._say(f"Send the folder {page.parent.name} to the readers: they open {page.name} in it")
        self.status.setToolTip(str(page.parent))

    def _ask_answers(self) -> None:
        chosen, _ = QFileDialog.getOpenFileNames(self, "What readers handed back")
        self.take_in([Path(one) for one in chosen])

    def _taken(self, event: Finished) -> None:
        self._say("; ".join(event.result))

    def _ask_study(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a study's folder")
        if folder:
            self.open_study(Path(folder))

    def open_study(self, folder: Path) -> None:
        """Choose a study; an error becomes a notification."""
        try:
            Study.open(folder)
            STUDIES.remember(folder)
        except (OSError, ValueError) as error:
            show_error(str(error))
            return
        self.offer()
        self.study.setCurrentIndex(0)

    def _may_unblind(self, study: Study) -> bool:
        """Ask whether blinding shall end on this computer; not while somebody reads."""
        if reading := study.being_read():
            show_error(being_read_text(reading))
            return False
        asked = QMessageBox(self)
        asked.setIcon(QMessageBox.Icon.Warning)
        asked.setWindowTitle("Show results")
        asked.setText("Open the answer key here? That ends blinding on this computer.")
        asked.setInformativeText(unblinding_text(study))
        asked.setStandardButtons(QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No)
        asked.setDefaultButton(QMessageBox.StandardButton.No)
        agreed = asked.exec() == QMessageBox.StandardButton.Yes
        asked.deleteLater()
        return agreed

    def _ask_key(self, folder: Path) -> None:
        asked = QFileDialog(self, "Answer key", str(Path.home()), "Answer keys (*.json)")
        asked.setFileMode(QFileDialog.FileMode.ExistingFile)
        if asked.exec():
            self.work_out(folder, Path(asked.selectedFiles()[0]))
        asked.deleteLater()

    def _ask_save(self) -> None:
        assert self.bundle is not None
        suggested = f"{self.bundle.study}.html"
        path, _ = QFileDialog.getSaveFileName(self, "Save report (HTML)", suggested, "*.html")
        if path:
            self.save(Path(path))

    def _saved(self, event: Finished) -> None:
        self._say(f"Saved {event.result.name}")
        self.status.setToolTip(str(event.result))


class FigureView(QWidget):
    """A figure, as wide as the dock; a click shows it large."""

    def __init__(self) -> None:
        super().__init__()
        self.image = QImage()
        self._fitted = QPixmap()
        self.setToolTip("Click to see it large")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_image(self, image: QImage) -> None:
        """Show a figure."""
        self.image, self._fitted = image, QPixmap()
        self._fit()
        self.update()

    def mousePressEvent(self, _event: object) -> None:  # noqa: N802 (Qt's name)
        """Show it large."""
        large = QDialog(self.window())
        large.setWindowTitle("Reader study")
        large.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        picture = FigureView()
        picture.setToolTip("")
        QVBoxLayout(large).addWidget(picture)
        large.resize(LARGE_PX, LARGE_PX)
        large.show()
        picture.show_image(self.image)

    def resizeEvent(self, event: object) -> None:  # noqa: N802 (Qt's name)
        """Keep the figure's shape."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._fit()

    def paintEvent(self, _event: object) -> None:  # noqa: N802 (Qt's name)
        """Draw it, fitted to the width when it is first seen so: that takes a while, so not before."""
        if self.image.isNull():
            return
        ratio = self.devicePixelRatioF()
        width = round(self.width() * ratio)
        if self._fitted.width() != width:
            smooth = Qt.TransformationMode.SmoothTransformation
            self._fitted = QPixmap.fromImage(self.image.scaledToWidth(width, smooth))
            self._fitted.setDevicePixelRatio(ratio)
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._fitted)
        painter.end()

    def _fit(self) -> None:
        if not self.image.isNull() and self.width():
            height = round(self.width() * self.image.height() / self.image.width())
            if self.height() != height:
                self.setFixedHeight(height)


class FigureGallery(QWidget):
    """Images in a grid, each with what is known of it as a tooltip."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.grid = QGridLayout(self)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setSpacing(6)
        self.grid.addWidget(QLabel(f"<b>{title}</b>"), 0, 0, 1, ACROSS)
        self.grid.setColumnStretch(ACROSS, 1)
        self.pictures: list[QLabel] = []

    def fill(self, images: Sequence[tuple[QImage, str]]) -> None:
        """Show other images."""
        for gone in self.pictures:
            self.grid.removeWidget(gone)
            gone.deleteLater()
        self.pictures = [_shown(*one) for one in images] or [QLabel("none")]
        for number, picture in enumerate(self.pictures):
            self.grid.addWidget(picture, 1 + number // ACROSS, number % ACROSS)


def _shown(image: QImage, about: str) -> QLabel:
    made = QLabel()
    made.setPixmap(
        QPixmap.fromImage(image).scaled(
            THUMB_PX,
            THUMB_PX,
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
    )
    made.setToolTip(about)
    return made
