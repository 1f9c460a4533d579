"""The Mammogram masses dock: where masses are, how sure that is, and what the reader says."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QLabel, QSlider

from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.masses.decisions import Decisions
from napari_pathogan.plugin.masses.events import masses_events, warm_up
from napari_pathogan.plugin.masses.layers import COLOURS, MassLayers
from napari_pathogan.plugin.masses.reviews import Reviews
from napari_pathogan.plugin.masses.table import FindingsTable, MassRow
from napari_pathogan.plugin.masses.training import lesson
from napari_pathogan.plugin.masses.words import (
    POSITIONS,
    count_text,
    from_slider,
    meaning,
    meanings,
    percent,
    score_text,
    size_text,
    summary,
    to_slider,
    usual_threshold,
)
from napari_pathogan.plugin.shell.clicks import Clicks
from napari_pathogan.plugin.shell.dock import Dock
from napari_pathogan.plugin.shell.dock_keys import OF_MAMMOGRAMS, everywhere
from napari_pathogan.plugin.shell.exports import ExportButton, saving, say_saved
from napari_pathogan.plugin.shell.form import beside, evenly, keep_lines, label
from napari_pathogan.plugin.shell.mammogram_subject import ALL_VIEWS, MAMMOGRAM
from napari_pathogan.plugin.shell.overlay_bar import OverlayBar, Swatches
from napari_pathogan.plugin.shell.places import Places
from napari_pathogan.plugin.shell.steps import Steps, at_once
from napari_pathogan.plugin.shell.training_row import TrainingRow
from napari_pathogan.plugin.shell.viewing_rows import ViewingRows
from napari_pathogan.plugin.viewer import layers as between
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.mammogram_groups import hung
from napari_pathogan.plugin.viewer.mammogram_layers import mammogram_of
from napari_pathogan.plugin.viewer.opened import bring_back, hidden_for_others
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.names import SYNTHETIC
from napari_pathogan.tasks.masses.detections import SCOPE, ViewSearched
from napari_pathogan.tasks.masses.review import Decision

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence
    from pathlib import Path

    import napari
    from napari.layers import Image

    from napari_pathogan.engine.events import Event, Finished
    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.engine.task import Export
    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.plugin.shell.subject import Subject
    from napari_pathogan.tasks.masses.detections import Detections
    from napari_pathogan.tasks.masses.review import Review

LIVE_MS = 15  # slider moves that come closer together are shown at once
FILL = 0.25  # of the canvas that a finding takes when the dock goes to it


class MassesDock(Dock):
    """Masses of one view or a study: boxes, outlines, sizes; accepted, rejected or drawn; kept."""

    title: ClassVar[str] = "Mammogram masses"
    task: ClassVar[str] = "masses"
    scope: ClassVar[str] = SCOPE
    subject: ClassVar[Subject] = MAMMOGRAM
    letters: ClassVar[str] = "0123456789.%, mpx"
    sample: ClassVar[str] = samples.PHANTOM_STUDY
    about_sample: ClassVar[str] = "A drawn study of four views with masses"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self.reviews = Reviews()
        self._pairs: dict[int, MassLayers] = {}  # of examinations, by their numbers
        self.finding: tuple[Image, int] | None = None
        self._asked: list[Image] = []
        self._known: dict[Image, str] = {}
        self._came_back = False  # something that was kept is about to be shown
        self._threshold_chosen = False  # by the user, who then keeps it
        self._arrived: list[Image] = []  # views that a run has looked at, not shown yet
        self._arriving: Steps | None = None
        super().__init__(napari_viewer)

    def build(self) -> None:
        """Add the task's own rows: threshold, list, decisions, export."""
        self.viewing = ViewingRows(self)
        self.threshold = QSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(0, POSITIONS)
        self.threshold.setToolTip("Findings that score at least this much are shown")
        self.threshold.valueChanged.connect(self._threshold_moved)
        self.value = QLabel()
        self.value.setMinimumWidth(44)
        self.meaning = label("")
        self.meaning.setToolTip("Measured on patients that the model had not seen")
        self.form.add_row("Threshold", beside(self.threshold, self.value))
        self.form.add_line(self.meaning)
        self.legend = Swatches()
        self.overlay = OverlayBar(
            self.form,
            100,
            name="Marks",
            what="what is marked",
            outline="Show outlines alone, without boxes and scores",
            legend=self.legend,
        )
        self.overlay.changed.connect(self._show_overlay)
        self.table = FindingsTable()
        self.form.add_run(self.table)
        keep_lines(self.meaning, 2)
        keep_lines(self.form.result, 3)
        self.decisions = Decisions(self, self.reviews)
        for keys, action in self.decisions.keys.items():
            everywhere(self, self._ties, keys, action, marks=OF_MAMMOGRAMS)
        self.foot.add_line(self.decisions.line)
        self.places = Places(
            self,
            self._ties,
            "finding",
            "Go to the next finding that is not decided yet, the surest first",
            find=lambda: [(row.image, row.number) for row in self.table.rows],
            show=self._show_place,
            waits=self._open,
            marks=OF_MAMMOGRAMS,
        )
        self.foot.add_line(evenly(self.places.next, self.places.back))
        self.export = ExportButton(
            self,
            self.task,
            "Save what is shown and not rejected, of this view or of all, as chosen in 'Views'",
            lambda: "masses",
            self.save,
            lambda: [source for source, _ in self._to_save()],
        )
        self.training = TrainingRow(self, lesson(lambda: self.layer))
        self.form.add_line(evenly(self.decisions.keep, self.training.button, self.export))
        self.form.add_line(self.training)
        self._live = QTimer(self)
        self._live.setSingleShot(True)
        self._live.setInterval(LIVE_MS)
        self._live.timeout.connect(self._show_live)
        self.table.chosen.connect(lambda row: self.go_to(row.image, row.number))
        self.clicks = Clicks(self.viewer, self._ties, self.pick)
        self._ties.connect(self.viewer.scene.camera.events, self._camera_moved)
        self._ties.add(self._release_layers)
        self._ties.add(self._live.stop)
        self._set_threshold(0.5)

    # running

    @classmethod
    def warm_up(cls) -> None:
        """Load the embedded model and let it look once, which is slow at first."""
        super().warm_up()
        warm_up()

    def events(self, layer: Image) -> Iterator[Event]:
        """Load the model and look at this view, or at all of them."""
        everything = self.form.region.currentText() == ALL_VIEWS
        self._asked = self.images if everything else [layer]
        return masses_events([mammogram_of(image) for image in self._asked], self.model_folder)

    def event_came(self, event: Event) -> None:
        """Show each view as it is done."""
        if (
            not isinstance(event, ViewSearched)
            or self._asked[event.number] not in self.viewer.layers
        ):
            return
        image = self._asked[event.number]
        self.reviews.come(image, event.found)
        self._arrived.append(image)
        if self._arriving is None:
            self._usual_threshold()
            self._arriving = Steps(self, self._arrivals_shown(), self._all_shown)
            self._arriving.go()

    def _arrivals_shown(self) -> Iterator[None]:
        while self._arrived:
            yield from self._findings_shown({self._arrived.pop(0)})

    def _all_shown(self) -> None:
        self._arriving = None

    def _stop_arriving(self) -> None:
        self._arrived.clear()
        if self._arriving is not None:
            self._arriving.stop()
            self._arriving = None

    def finished(self, event: Finished) -> Iterator[None]:
        """Show what was found."""
        self._stop_arriving()
        before: dict[Image, Review | None] = {}
        for image, found in zip(self._asked, event.result, strict=True):
            if image in self.viewer.layers:
                before[image] = self.reviews.decided(image)
                self.reviews.detected(image, found)
        if any(review is not None for review in before.values()):
            after = {image: self.reviews.decided(image) for image in before}
            back, again = partial(self._put_all, before), partial(self._put_all, after)
            self.did(next(iter(before)), "the last run", back, again)
        self._usual_threshold()
        yield
        yield from self._findings_shown()

    def stopped(self) -> None:
        """Take back what was shown of the views that were done."""
        self._stop_arriving()
        self.reviews.take_back()
        if not self._ties.released:
            self.show_findings()

    def busy(self, *, running: bool) -> None:
        """Let decisions rest while something runs."""
        self.table.setEnabled(not running)
        self._enable()

    def slides_listed(self, slides: list[Image]) -> None:
        """Show what was kept with images that were just opened; forget those that are gone."""
        names = {image: image.name for image in reversed(slides)}
        if names == self._known:
            return
        for gone in self._known.keys() - names.keys():
            self.reviews.forget(gone)
        for image in names.keys() - self._known.keys():
            for emitter in ("visible", "scale", "translate", "units"):  # findings lie in the world
                self._ties.connect_once(getattr(image.events, emitter), self._image_changed)
            try:
                if self.reviews.look_for_annotations(image):
                    self._came_back = True
            except PathoganError as error:
                show_error(str(error))
        self._known = names
        self._live.start()  # layers come and go once napari has done with this one

    def found_in(self, layer: Image) -> str:
        """How many masses there are at the threshold."""
        shown = self.reviews.shown(layer)
        return "" if shown is None else count_text(len(shown.masses()))

    def keeps(self, layer: Image) -> tuple[str, partial[None]] | None:
        """The whole review, as it is kept beside an image."""
        if (review := self.reviews.review_of(layer)) is None:
            return None
        from napari_pathogan.tasks.masses.annotated import write_file  # noqa: PLC0415

        return ".geojson", partial(write_file, review=review)

    def read_kept(self, layer: Image, path: Path) -> Review:
        """The review; see :meth:`Dock.read_kept`."""
        from napari_pathogan.tasks.masses.annotated import read  # noqa: PLC0415

        mammogram = mammogram_of(layer)
        return read(path, mammogram)

    def show_kept(self, layer: Image, result: object) -> None:
        """Show a review that was kept."""
        self.reviews.come_back(layer, cast("Review", result))
        self.show_findings()

    def choices(self) -> dict[str, Any]:
        """The threshold too, if the user has chosen it."""
        own = {"threshold": self.reviews.threshold} if self._threshold_chosen else {}
        return super().choices() | own

    def choose_again(self, choices: Mapping[str, Any]) -> None:
        """The threshold after the model, which brings its own."""
        super().choose_again(choices)
        if isinstance(threshold := choices.get("threshold"), float):
            self._threshold_chosen = True
            self._set_threshold(threshold)
            self.show_findings()

    def _put_all(self, reviews: Mapping[Image, Review | None]) -> bool:
        """Show what an earlier run has found, as it was decided on."""
        if self.run is not None:
            return False
        for image, review in reviews.items():
            if image in self.viewer.layers:
                self.reviews.show(image, review)
        self.show_findings()
        return True

    def settle(self) -> None:
        """Take over masses that were drawn a moment ago."""
        self.decisions.take_drawn()

    def slide_changed(self) -> None:
        """Draw and decide in the image that is chosen now."""
        self.viewing.offer(self.layer)
        if self.finding is not None and self.finding[0] is not self.layer:
            self.finding = None
            self.table.clearSelection()
            self._live.start()  # its line is thin again
        self.decisions.draw.setChecked(False)
        self._enable()

    # the result

    def show_findings(self) -> None:
        """Show what the threshold lets through: in the images, in the list, in words."""
        at_once(self._findings_shown())

    def _findings_shown(self, images: Container[Image] | None = None) -> Iterator[None]:
        """Of some images, or all; the list and the words are of all."""
        if self.card is not None:
            self.meaning.setText(meaning(self.card, self.reviews.threshold))
        if self._came_back:
            self.form.status.setText("Findings that were kept with these images")
            self._came_back = False
        shown = self._shown()
        rows = [row for image, review in shown.items() for row in _rows(image, review)]
        order = sorted(rows, key=lambda row: -self._score(row))
        if self.finding is not None and not any(
            (row.image, row.number) == self.finding for row in rows
        ):
            self.finding = None
        yield from self._laid(shown, images)
        self.viewing.follow(self.layer)
        self.table.show_findings(order, self.finding)
        self.legend.show_counts(meanings(shown.values(), COLOURS))
        examinations: dict[int, list[Review]] = {}
        for image, review in shown.items():
            examinations.setdefault(hung(image).number, []).append(review)
        self.form.result.setText(summary(examinations, self.card) if shown else "")
        self._enable()

    def _laid(
        self, shown: Mapping[Image, Review], images: Container[Image] | None
    ) -> Iterator[None]:
        """Lay what is shown of the examinations of some images, or of all."""
        together: dict[int, dict[Image, Review]] = {}
        for image, review in shown.items():
            together.setdefault(hung(image).number, {})[image] = review
        for gone in self._pairs.keys() - together.keys():
            self._pairs.pop(gone).remove()
        for reviews in together.values():
            if images is None or any(image in images for image in reviews):
                pair = self.layers_of(next(iter(reviews)))
                yield from pair.show(reviews, self.finding)

    def go_to(self, image: Image, number: int) -> None:
        """Move the camera to a finding and choose it."""
        review = self.reviews.review_of(image)
        at = None if review is None else review.index(number)
        if review is None or at is None:
            return
        x0, y0, x1, y1 = review.found.boxes[at].tolist()
        region = Region(int(y0), int(x0), max(1, round(y1 - y0)), max(1, round(x1 - x0)))
        bring_back(self.viewer, image)
        between.go_to(self.viewer, image, region, fill=FILL)
        self.select(image, number)

    def show_place(self, image: Image, number: int) -> None:
        """Choose a finding, and go there if it is out of view."""
        review = self.reviews.review_of(image)
        at = None if review is None else review.index(number)
        if review is None or at is None:
            return
        x0, y0, x1, y1 = review.found.boxes[at].tolist()
        if between.in_view(self.viewer, image, ((y0 + y1) / 2, (x0 + x1) / 2)):
            self.select(image, number)
        else:
            self.go_to(image, number)

    def go_on(self) -> None:
        """Go to the next finding of the list that is not decided yet; stay where all are."""
        rows = self.table.rows
        at = next((i for i, row in enumerate(rows) if (row.image, row.number) == self.finding), -1)
        after = [*rows[at + 1 :], *rows[: max(at, 0)]]
        left = [row for row in after if row.decision is Decision.OPEN]
        said = self.form.status.text()  # another image has nothing to say yet
        if left:
            self.go_to(left[0].image, left[0].number)
        self.form.status.setText(
            f"{said}; {len(left)} to go" if left else f"{said}; all are decided"
        )

    def select(self, image: Image, number: int) -> None:
        """Choose a finding, and its image."""
        self.finding = self.places.current = image, number
        if image is not self.layer:
            self.form.slide.setCurrentIndex(self.form.slide.findData(image))
        self.show_findings()

    def pick(self, position: Sequence[float]) -> None:
        """Choose the smallest finding at a place in the world; nothing changes where there is none."""
        for image, review in self._shown().items():
            if not image.visible:
                continue
            y, x = np.asarray(image.world_to_data(position)) + 0.5
            boxes = review.found.boxes
            inside = (boxes[:, :2] <= (x, y)).all(1) & (boxes[:, 2:] >= (x, y)).all(1)
            if inside.any():
                area = np.prod(boxes[:, 2:] - boxes[:, :2], 1)
                self.select(image, review.ids[int(np.where(inside, area, np.inf).argmin())])
                return

    def save(self, export: Export, path: Path) -> None:
        """Save what is shown and not rejected, a file a view, in the background."""
        events = saving(self.task, export, self._to_save(), path)
        self.start(events, "Saving", partial(say_saved, self.form))

    def _to_save(self) -> list[tuple[Mammogram, Detections]]:
        """What is saved: of the chosen view, or of all."""
        everything = self.form.region.currentText() == ALL_VIEWS
        return [
            (mammogram_of(image), review.masses())
            for image, review in self._shown().items()
            if everything or image is self.layer
        ]

    @property
    def pairs(self) -> list[MassLayers]:
        """The layers of all examinations that have findings."""
        return list(self._pairs.values())

    def layers_of(self, image: Image) -> MassLayers:
        """The layers that show the findings of an image, and of the other views of its examination."""
        number = hung(image).number
        if number not in self._pairs:
            self._pairs[number] = MassLayers(self.viewer, number, self.decisions.edited)
            self._show_overlay()
        return self._pairs[number]

    def model_changed(self, card: ModelCard) -> None:
        """Start from the new model's operating point."""
        self._threshold_chosen = False
        self._set_threshold(usual_threshold(card))
        self.show_findings()

    # how

    def _show_place(self, place: tuple[Image, int]) -> str:
        """Go to a finding; says what is known of it."""
        self.go_to(*place)
        row = next(row for row in self.table.rows if (row.image, row.number) == place)
        return f"{row.view}, {row.score}, {row.size}, {row.decision}"

    def _open(self, place: tuple[Image, int]) -> bool:
        review = self.reviews.review_of(place[0])
        at = None if review is None else review.index(place[1])
        return review is not None and at is not None and review.decisions[at] is Decision.OPEN

    def _show_overlay(self) -> None:
        for layers in self.pairs:
            layers.fade(self.overlay.opacity, outline_only=self.overlay.outline.isChecked())

    def _shown(self) -> dict[Image, Review]:
        shown = {image: self.reviews.shown(image) for image in self.images}
        return {image: review for image, review in shown.items() if review is not None}

    def _score(self, row: MassRow) -> float:
        review = self.reviews.review_of(row.image)
        assert review is not None
        return float(review.found.scores[review.ids.index(row.number)])

    def _enable(self) -> None:
        self.decisions.enable()
        self.places.enable(enabled=self.run is None and bool(self.table.rows))
        self.training.enable()
        self.export.setEnabled(self.run is None and bool(self._shown()))

    def _usual_threshold(self) -> None:
        if not self._threshold_chosen and self.card is not None:
            self._set_threshold(usual_threshold(self.card))

    def _set_threshold(self, threshold: float) -> None:
        self.threshold.blockSignals(True)
        self.threshold.setValue(to_slider(threshold))
        self.threshold.blockSignals(False)
        self._say_threshold(threshold)

    def _say_threshold(self, threshold: float) -> None:
        self.reviews.threshold = threshold
        self.value.setText(percent(threshold))

    def _threshold_moved(self, position: int) -> None:
        self._threshold_chosen = True
        self._say_threshold(from_slider(position))
        self._live.start()

    def _show_live(self) -> None:
        """Show findings; look at the selected image where the chosen one was hidden for it."""
        layer, active = self.layer, self.viewer.layers.selection.active
        if (
            self.run is None
            and layer is not None
            and active in self.images
            and active.visible
            and hidden_for_others(self.viewer, layer)
        ):
            self.form.choose(active)
        self.show_findings()

    def _image_changed(self, _event: object = None) -> None:
        self._live.start()

    def _camera_moved(self) -> None:
        for layers in self.pairs:
            layers.camera_moved()

    def _release_layers(self) -> None:
        for layers in self.pairs:
            layers.release()


def _rows(image: Image, review: Review) -> Iterator[MassRow]:
    for i, number in enumerate(review.ids):
        about = score_text(review, i), size_text(review.found, i), review.decisions[i]
        yield MassRow(image, number, image.name.removesuffix(SYNTHETIC), *about)
