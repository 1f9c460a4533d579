"""The Stain transfer dock: a slide in the colours of another laboratory, computed as one looks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtWidgets import QPushButton

from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.shell.comparison import Comparison
from napari_pathogan.plugin.shell.dock import Dock
from napari_pathogan.plugin.shell.exports import ExportButton, saving, say_saved
from napari_pathogan.plugin.shell.form import Paragraph, combo, label
from napari_pathogan.plugin.shell.refining import InView, Refining
from napari_pathogan.plugin.shell.training_row import TrainingRow
from napari_pathogan.plugin.stain.events import (
    StyleSource,
    lesson,
    looked_at,
    stains_events,
    transfer_events,
)
from napari_pathogan.plugin.viewer import layers as between
from napari_pathogan.plugin.viewer.mammogram_layers import LETTERS
from napari_pathogan.slides import names
from napari_pathogan.slides.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import napari
    from napari.layers import Image

    from napari_pathogan.engine.events import Event, Finished
    from napari_pathogan.engine.live import LiveView
    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.engine.task import Export
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.stain.predict import Transfer

CLOSEST = "Closest on this slide"
METHODS = {CLOSEST: "", **{words: method for method, words in names.METHODS.items()}}
OWN, IN_VIEW = "The style's own images", "What is in view"
GUESS = "The network guesses colours from lightness alone, and may paint patches in a wrong one"
_COLOURMAPS = {"haematoxylin": ("#ffffff", "#3b1f77"), "eosin": ("#ffffff", "#c2185b")}


@dataclass(eq=False)
class StainView:
    """A layer in new colours, and how it was made; by a network, of pixels of a size (um, y and x)."""

    layer: Image
    transfer: Transfer
    refining: Refining | None = None
    mpp: tuple[float, float] | None = None

    @property
    def whose(self) -> str:
        """What its colours are called after."""
        return names.short(self.transfer.colours_of or self.transfer.style)

    @property
    def said(self) -> str:
        """Why it was made so, and how well."""
        lines = [self.transfer.why]
        if self.transfer.student_error is not None:
            lines.append(
                f"Fast colours differ from the network's by {self.transfer.student_error:.1f} Lab "
                "units on average."
            )
        return " ".join(filter(None, lines))


class StainDock(Dock):
    """A slide in other colours: a lazy layer over it, compared by swiping, fading, side by side."""

    title: ClassVar[str] = "Stain transfer"
    task: ClassVar[str] = "stain"
    letters: ClassVar[str] = LETTERS
    follows_views: ClassVar[bool] = True  # which it saves
    runs_on: ClassVar[tuple[str, ...]] = ("stain.model", "stain.predict", "stain.levels")

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self.views: dict[Image, StainView] = {}  # by slide
        super().__init__(napari_viewer)

    def build(self) -> None:
        """Add the task's own rows: reference, method, comparison, stains, learning."""
        self.reference = combo(
            "Whose colours the slide gets: the style's, or a region's you choose"
        )
        self.method = combo(
            "The network sees lightness alone; Macenko and Reinhard see colours; a scanner map was "
            "fitted to two scanners' images, not to this slide. By default that map where the slide "
            "looks like its scanner's, and else what measures closest to the style on this slide."
        )
        for name, method in METHODS.items():
            self.method.addItem(name, method)
        self.reference.activated.connect(self._measured_no_more)
        self.form.add_row("Colours of", self.reference)
        self.form.add_row("Method", self.method)
        self.method_note = Paragraph()
        self.method_note.hide()
        self.form.add_line(self.method_note)
        self.method.currentIndexChanged.connect(self._warn_of_method)
        self.form.hide_region()
        self.form.add_run()
        self.compare = Comparison(self.viewer, self._ties, "its new colours")
        self.compare.add_to(self.form)
        self.show_stains = QPushButton("Show stains")
        self.show_stains.setToolTip("Haematoxylin and eosin of the slide as two layers (Macenko)")
        self.show_stains.clicked.connect(self._find_stains)
        self.form.add_line(self.show_stains)
        self.export = ExportButton(
            self,
            self.task,
            "Save the slide in its new colours, all of it",
            self._suggested,
            self._save,
        )
        self.form.add_line(self.export)
        self.training = TrainingRow(self, lesson(self._learnt_from))
        self.form.add_line(self.training.button)
        self.form.add_line(self.training)
        self.note = label("")
        self.coming = label("")
        for line in (self.note, self.coming):
            self.form.add_line(line)
        self._ties.connect(self.viewer.layers.events.removed, self._prune)
        self._offer_references()
        self._show_result()

    # running

    def events(self, layer: Image) -> Iterator[Event]:
        """Measure the slide and make its view."""
        method = self.method.currentData()
        slide = between.slide_of(layer)
        events = transfer_events(slide, self.model_folder, method, self._reference_of(layer))
        return looked_at(events, slide, InView.now(self.viewer, layer))

    def finished(self, event: Finished) -> Iterator[None]:
        """Lay the view over its slide; it computes what is looked at."""
        assert self.layer is not None
        view, transfer, live = event.result
        yield from self._lay(self.layer, view, transfer, live)
        if transfer.from_scanner:
            self.method.setItemText(0, f"Meant for this slide: {transfer.method.words}")
        elif transfer.measured and not self.method.currentIndex():
            self.method.setItemText(0, f"Closest here: {transfer.method.words}")
        self._show_result()

    def slide_changed(self) -> None:
        """Show the view of the slide that was chosen."""
        self._measured_no_more()
        self._offer_references()
        self._show_result()

    def scale_changed(self) -> None:
        """What a network made of another scale is to be made again."""
        self._show_result()

    def model_changed(self, card: ModelCard) -> None:
        """Another style: another method may come closest."""
        del card
        self._measured_no_more()
        self._warn_of_method()

    def busy(self, *, running: bool) -> None:
        """Let choices rest while something runs."""
        for widget in (self.reference, self.method, self.show_stains):
            widget.setEnabled(not running)
        self._enable()

    def release(self) -> None:
        """Leave the viewer as it was: one view, layers shown as they were."""
        self.compare.release()
        super().release()

    # the result

    @property
    def view(self) -> Image | None:
        """The layer of the chosen slide in its new colours."""
        return self._shown.layer if self._shown is not None else None

    @property
    def _shown(self) -> StainView | None:
        return self.views.get(self.layer) if self.layer is not None else None

    # saving

    @property
    def _to_save(self) -> tuple[Image, StainView] | None:
        """The chosen slide and its view; or the slide whose view is chosen."""
        return next(((s, v) for s, v in self.views.items() if self.layer in (s, v.layer)), None)

    def _suggested(self) -> str:
        assert self._to_save is not None
        slide, view = self._to_save
        return f"{names.short(slide.name)}-{view.whose}-{view.transfer.method}".replace(" ", "-")

    def _save(self, export: Export, path: Path) -> None:
        if self._to_save is None:
            return
        slide, view = self._to_save
        found = [(between.slide_of(slide), view.transfer)]
        self.start(saving(self.task, export, found, path), "Saving", partial(say_saved, self.form))

    # how

    def _enable(self) -> None:
        self.export.setEnabled(self._to_save is not None and self.run is None)
        self.training.enable()

    def _prune(self, _event: object = None) -> None:
        """Forget views whose layers, or slides, are gone."""
        there = set(self.viewer.layers)
        kept = {s: v for s, v in self.views.items() if {s, v.layer} <= there}
        if kept != self.views:
            self.views = kept
            self._show_result()

    def _warn_of_method(self) -> None:
        """Say what was measured of the network where it is chosen."""
        chosen = self.method.currentData() in {"cnn", "lut"}
        note = network_note(self.card) if chosen and self.card is not None else ""
        self.method_note.setText(f"\N{WARNING SIGN} {note}" if note else "")
        self.method_note.setVisible(bool(note))

    def _measured_no_more(self) -> None:
        """What was measured spoke of another slide, style or reference."""
        self.method.setItemText(0, CLOSEST)

    def _lay(
        self, slide: Image, view: Slide, transfer: Transfer, live: LiveView | None
    ) -> Iterator[None]:
        old = self.views.pop(slide, None)
        if old is not None and old.layer in self.viewer.layers:
            self.viewer.layers.remove(old.layer)
            yield
        whose = transfer.colours_of or transfer.style
        layer = self.viewer.add_image(
            between.shown_levels(view if live is None else live.slide),
            name=between.view_name(slide.name, whose, str(transfer.method)),
            rgb=True,
            multiscale=True,
            opacity=self.compare.fade.value() / 100,
            metadata={"slide": view, "synthetic": True, **view.metadata},
            **between.place_level0(slide),
        )
        self.views[slide] = made = StainView(layer, transfer)
        if live is not None:
            made.mpp = view.mpp
            made.refining = Refining(self.viewer, layer, live, self)
            made.refining.said.connect(self._say_coming)
        yield
        if {layer, slide} <= set(self.viewer.layers):  # neither was removed meanwhile
            self.viewer.layers.move(
                self.viewer.layers.index(layer), self.viewer.layers.index(slide) + 1
            )

    def _say_coming(self) -> None:
        """Say whether finer colours of what is in view are still to come."""
        refining = self._shown.refining if self._shown is not None else None
        self.coming.setText(refining.text if refining is not None else "")

    def _show_result(self) -> None:
        views = [] if self.view is None else [self.view]
        said = f"{self._shown.whose} colours, synthetic" if self._shown is not None else ""
        self.compare.show(self.layer, views, said=said)
        self.form.result.setText(self._result_text())
        self.note.setText(self._shown.said if self._shown is not None else "")
        self._say_coming()
        self._enable()

    def _result_text(self) -> str:
        if self.layer is None or self._shown is None:
            return ""
        mpp = self._shown.mpp
        if mpp is not None and between.at_another_scale(self.layer, mpp):
            return between.RUN_AGAIN
        return f"<b>{self._shown.layer.name}</b>"

    def _find_stains(self) -> None:
        if self.layer is not None:
            events = stains_events(between.slide_of(self.layer))
            self.start(events, "Stains", self._stains_found)

    def _stains_found(self, event: Finished) -> None:
        from napari.utils import Colormap  # noqa: PLC0415

        if self.layer is None:
            return
        for slide, (name, colours) in zip(event.result, _COLOURMAPS.items(), strict=True):
            self.viewer.add_image(
                between.shown_levels(slide),
                name=f"{self.layer.name}, {name}",
                multiscale=True,
                colormap=Colormap(list(colours), name=f"pathogan-{name}"),
                contrast_limits=(0, 255),
                blending="multiplicative" if name == "eosin" else "translucent",
                metadata={"slide": slide},
                **between.place_level0(self.layer),
            )

    def _learnt_from(self) -> StyleSource:
        """The chosen slide, or what is in view of it."""
        assert self.layer is not None, "there is no training without a slide"
        seen = self.reference.currentText() == IN_VIEW
        region = between.view_region(self.viewer, self.layer) if seen else None
        return StyleSource(between.slide_of(self.layer), region)

    def _offer_references(self) -> None:
        chosen = self.reference.currentText()
        slides = [x for x in self.viewer.layers if between.is_slide(x) and x is not self.layer]
        shown = {view.layer for view in self.views.values()}
        self.reference.clear()
        self.reference.addItem(OWN)
        self.reference.addItem(IN_VIEW)
        for slide in slides:
            if slide not in shown:
                self.reference.addItem(slide.name, slide)
        self.reference.setCurrentIndex(max(0, self.reference.findText(chosen)))

    def _reference_of(self, layer: Image) -> tuple[Slide, Region] | None:
        choice = self.reference.currentText()
        if choice == OWN:
            return None
        if choice == IN_VIEW:
            return self._in_view(layer)
        other = self.reference.currentData()
        height, width = between.slide_of(other).shape
        return between.slide_of(other), Region(0, 0, height, width)

    def _in_view(self, layer: Image) -> tuple[Slide, Region]:
        """The topmost other slide that is in view, or else the slide itself."""
        shown = {view.layer for view in self.views.values()}
        for other in reversed(self.viewer.layers):
            if between.is_slide(other) and other.visible and other not in shown:
                try:
                    return between.slide_of(other), between.view_region(self.viewer, other)
                except PathoganError:
                    continue
        return between.slide_of(layer), between.view_region(self.viewer, layer)


def network_note(card: ModelCard) -> str:
    """What is to know of a style's network before it is chosen, with what its card has measured."""
    known = {name: one.value for name, one in card.metrics.items() if one.value is not None}
    network, plain = known.get("colour_error_lab"), known.get("baseline_colour_error_lab")
    if network is not None and plain is not None:
        figures = (
            f": on images it had not seen {network:.1f} Lab units off, where one colour for each "
            f"lightness is {plain:.1f} off"
        )
    elif {"cnn_psnr", "scanner_psnr"} <= known.keys():
        figures = (
            f": {known['cnn_psnr']:.1f} dB from the same tissue on that scanner, the scanner map "
            f"{known['scanner_psnr']:.1f} dB (more is nearer)"
        )
    else:
        figures = ""
    return f"{GUESS}{figures}. '{CLOSEST}' measures which method fits."
