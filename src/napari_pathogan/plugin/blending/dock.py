"""The Blending dock: a lesion grown in a healthy breast, in three ways, to look at side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari.layers import Shapes
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton, QSlider

from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.blending.events import (
    WAYS,
    Grown,
    blend_events,
    lesions_marked,
    lesions_of_folder,
    saving,
)
from napari_pathogan.plugin.blending.layers import LOSS_NAME, BlendLayers
from napari_pathogan.plugin.blending.lesions import LesionShelf
from napari_pathogan.plugin.shell.clicks import Clicks
from napari_pathogan.plugin.shell.dock import Dock
from napari_pathogan.plugin.shell.form import beside, combo, keep_lines
from napari_pathogan.plugin.shell.mammogram_subject import MAMMOGRAM
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.asking import MAMMOGRAMS, RESULTS, ask_folder, ask_target
from napari_pathogan.plugin.viewer.layers import path_of
from napari_pathogan.plugin.viewer.mammogram_layers import mammogram_of
from napari_pathogan.slides.names import SYNTHETIC, file_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import napari
    from napari.layers import Image

    from napari_pathogan.engine.events import Event, Finished
    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.plugin.shell.running import Run
    from napari_pathogan.plugin.shell.subject import Subject
    from napari_pathogan.tasks.blending.lesions import Lesion
    from napari_pathogan.tasks.masses.detections import Detections
    from napari_pathogan.tasks.masses.review import Review

MARKED, SAMPLE, FOLDER = "Marked in open images", "The sample study", "A folder…"
LOSSES = {"Seam (in the lesion)": "seamless", "Background (around it)": "background"}
HINT = "Click in the image where the mass should grow."


class BlendingDock(Dock):
    """Pasted, by Poisson's equation, blended: the same lesion at the same place, with loss maps."""

    title: ClassVar[str] = "Blending"
    task: ClassVar[str] = "masses-blending"
    runs_on: ClassVar[tuple[str, ...]] = ("blending.blend",)
    scope: ClassVar[str] = "Grows synthetic masses: it looks for nothing in the image."
    subject: ClassVar[Subject] = MAMMOGRAM
    letters: ClassVar[str] = "synthetic: ".join(LOSS_NAME.format(way) for way in WAYS)
    sample: ClassVar[str] = samples.PHANTOM_STUDY
    about_sample: ClassVar[str] = "A drawn study of four views with masses"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self.place: tuple[float, float] | None = None
        self.grown: Grown | None = None
        self.layers = BlendLayers(napari_viewer)
        self._image: Image | None = None  # in which the lesion was grown
        self._reading: Run | None = None  # of lesions
        super().__init__(napari_viewer)

    def build(self) -> None:
        """Add the task's own rows: lesions, size, turn, comparison, losses."""
        self.form.hide_region()
        self.source = combo("Where lesions come from")
        self.source.addItems([MARKED, SAMPLE, FOLDER])
        self.source.activated.connect(self._source_chosen)
        self.shelf = LesionShelf()
        self.shelf.chosen.connect(self.again)
        self.form.add_row("Lesions", self.source)
        self.form.add_line(self.shelf)
        self.percent, self.percent_text = _slider(25, 300, 100, "How much the lesion is resized")
        self.degrees, self.degrees_text = _slider(0, 359, 0, "How far the lesion is turned")
        self.percent.valueChanged.connect(lambda value: self.percent_text.setText(f"{value} %"))
        self.degrees.valueChanged.connect(lambda value: self.degrees_text.setText(f"{value}°"))
        for slider in (self.percent, self.degrees):
            slider.sliderReleased.connect(self.again)
        self.form.add_row("Size", beside(self.percent, self.percent_text))
        self.form.add_row("Turn", beside(self.degrees, self.degrees_text))
        self.form.add_run()
        keep_lines(self.form.result, 3)
        self.loss = combo("Where the network still sees that a mass was put in (bright)")
        self.loss.addItems(list(LOSSES))
        self.loss.currentTextChanged.connect(self._loss_chosen)
        self.form.add_row("Visible", self.loss)
        self.sides = QCheckBox("Side by side")
        self.sides.setToolTip(
            "Pasted, Poisson and blended over their maps of what still shows, moving together"
        )
        self.sides.setChecked(True)
        self.sides.toggled.connect(self.layers.show_beside)
        self.export = QPushButton("Export…")
        self.export.setToolTip(
            "Save the blended mammogram, marked as synthetic, and its mass beside it: ready to "
            "train on"
        )
        self.export.clicked.connect(self._ask_export)
        self.form.add_line(beside(self.sides, self.export))
        self.clicks = Clicks(self.viewer, self._ties, self.click)
        self._gone = QTimer(self)
        self._gone.setSingleShot(True)
        self._gone.timeout.connect(self._clear)
        self._ties.add(self._gone.stop)
        self._show_result()

    # running

    def events(self, layer: Image) -> Iterator[Event]:
        """Grow the chosen lesion at the place that was clicked."""
        if self.place is None:
            raise PathoganError(HINT)
        if self.shelf.lesion is None:
            msg = "There is no lesion to grow: mark one in an open image, or choose a folder"
            raise PathoganError(msg)
        self._image = layer
        return blend_events(
            mammogram_of(layer),
            self.shelf.lesion,
            self.place,
            self.model_folder,
            scale=self.percent.value() / 100,
            angle=float(self.degrees.value()),
        )

    def finished(self, event: Finished) -> Iterator[None]:
        """Show the three ways."""
        if self._image is None or self._image not in self.viewer.layers:
            return
        self.grown = event.result
        lesion = self.shelf.lesion
        about = {"lesion": "" if lesion is None else lesion.name, "place": self.place}
        loss = LOSSES[self.loss.currentText()]
        yield from self.layers.show(self._image, event.result, loss, about)
        if self.sides.isChecked():
            yield from self.layers.laid_beside()
        self._show_result()

    def busy(self, *, running: bool) -> None:
        """Let choices rest while something runs."""
        for widget in (self.source, self.shelf, self.percent, self.degrees):
            widget.setEnabled(not running)
        self._show_result()

    def slides_listed(self, slides: list[Image]) -> None:
        """Put lesions on the shelf once there is an image; clear up after one that is gone."""
        if slides and not self.shelf.lesions:
            self.offer_lesions(MARKED if self.marked() else SAMPLE)
        if self._image is not None and self._image not in slides:
            self._gone.start()

    def slide_changed(self) -> None:
        """Another image needs another place."""
        self.place = None
        self._show_result()

    def release(self) -> None:
        """Leave the viewer as it was: one view, layers shown as they were."""
        self.layers.show_beside(False)
        super().release()

    # what it does

    def click(self, position: Sequence[float]) -> None:
        """Grow the lesion at a place in the world, in the image that is there."""
        for image in sorted(self.images, key=lambda one: one is not self.layer):
            y, x = image.world_to_data(position)
            height, width = image.data.shape
            if -0.5 <= y < height - 0.5 and -0.5 <= x < width - 0.5:
                if image is not self.layer:
                    self.form.slide.setCurrentIndex(self.form.slide.findData(image))
                self.place = float(y), float(x)
                self.again()
                return

    def again(self) -> None:
        """Grow the lesion anew, if it has a place."""
        if self.place is None or self.shelf.lesion is None or self.card is None:
            self._show_result()
            return
        self.cancel()
        self.run_or_cancel()

    def marked(self) -> list[tuple[Mammogram, Detections]]:
        """The masses of open images, as the Mammogram masses dock shows them."""
        reviews: list[tuple[Mammogram, Review]] = [
            one
            for layer in self.viewer.layers
            if isinstance(layer, Shapes)
            for one in layer.metadata.get("reviews", ())
        ]
        return [
            (mammogram, masses) for mammogram, review in reviews if len(masses := review.masses())
        ]

    def offer_lesions(self, source: str, folder: Path | None = None) -> None:
        """Put the lesions of a source on the shelf, read in the background."""
        self.source.setCurrentText(source)
        if source == MARKED:
            events = lesions_marked(self.marked())
        else:
            events = lesions_of_folder(folder or samples.FOLDER / samples.PHANTOM_STUDY)
        if self._reading is not None:  # what was asked for last shall not come first
            self._reading.cancel()
        self._reading = self.aside(events, self._lesions_came)

    def save(self, path: Path) -> None:
        """Save the blended mammogram, in the background."""
        if self.grown is not None and self._image is not None:
            events = saving(path, self.grown, mammogram_of(self._image))
            self.start(events, "Saving", self._saved)

    # how

    def _lesions_came(self, event: Finished) -> None:
        lesions: list[Lesion] = event.result
        self.shelf.show_lesions(lesions)
        if not lesions:
            self.form.status.setText(
                "No masses are marked: look for some with 'Mammogram masses', or draw them there"
            )
        self._show_result()

    def _source_chosen(self) -> None:
        source = self.source.currentText()
        if source != FOLDER:
            self.offer_lesions(source)
            return
        folder = ask_folder(self, "A folder of mammograms with masses", MAMMOGRAMS)
        if folder is not None:
            self.offer_lesions(FOLDER, folder)

    def _loss_chosen(self, name: str) -> None:
        self.layers.show_loss(LOSSES[name])
        self._show_result()

    def _show_result(self) -> None:
        known = self.grown is not None
        for widget in (self.loss, self.sides, self.export):
            widget.setEnabled(known and self.run is None)
        if self.grown is None:
            self.form.result.setText(HINT if self.place is None else "")
            return
        means = self.grown.means[LOSSES[self.loss.currentText()]]
        shows = ", ".join(f"{way} {1000 * means[way]:.2f}" for way in WAYS)
        self.form.result.setText(
            f"<b>Synthetic mass</b><br>What the network still sees of it (less is better): {shows}"
        )

    def _ask_export(self) -> None:
        assert self._image is not None
        name = f"{file_name(self._image.name.removesuffix(SYNTHETIC), 'synthetic')}.png"
        path = ask_target(
            self, "Save the blended mammogram", name, "*.png", RESULTS, beside=path_of(self._image)
        )
        if path is not None:
            self.save(path)

    def _saved(self, event: Finished) -> None:
        self.form.status.setText(f"Saved {event.result.name}")
        self.form.status.setToolTip(str(event.result))

    def _clear(self) -> None:
        self.layers.remove()
        self.grown, self._image = None, None
        self._show_result()


def _slider(low: int, high: int, value: int, tip: str) -> tuple[QSlider, QLabel]:
    slider, text = QSlider(Qt.Orientation.Horizontal), QLabel()
    slider.setRange(low, high)
    slider.setValue(value)
    slider.setToolTip(tip)
    text.setText(f"{value} %" if value else "0°")
    text.setMinimumWidth(40)
    text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return slider, text
