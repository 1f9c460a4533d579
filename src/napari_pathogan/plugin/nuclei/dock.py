"""The Nuclei dock: where the nuclei are, what classes they form, and how many of each."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QPushButton, QTabWidget

from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.nuclei.annotations import opening
from napari_pathogan.plugin.nuclei.corrections import Corrections
from napari_pathogan.plugin.nuclei.details import Details
from napari_pathogan.plugin.nuclei.events import NucleiLaid, draw_grid, keep_names, nuclei_events
from napari_pathogan.plugin.nuclei.gallery import Gallery, GridDialog, fill_shelf
from napari_pathogan.plugin.nuclei.layers import OPACITY, NucleiLayers
from napari_pathogan.plugin.nuclei.numbers import Numbers
from napari_pathogan.plugin.nuclei.picking import Picker
from napari_pathogan.plugin.nuclei.training import lesson
from napari_pathogan.plugin.nuclei.words import count_text, meanings, sure_text
from napari_pathogan.plugin.shell.card import CardDialog
from napari_pathogan.plugin.shell.dock import Dock
from napari_pathogan.plugin.shell.dock_keys import everywhere
from napari_pathogan.plugin.shell.exports import ExportButton, saving, say_saved
from napari_pathogan.plugin.shell.form import beside, combo, label
from napari_pathogan.plugin.shell.overlay_bar import OverlayBar, Swatches
from napari_pathogan.plugin.shell.places import Places
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.shell.subject import VIEW
from napari_pathogan.plugin.shell.training_row import TrainingRow
from napari_pathogan.plugin.viewer import layers as between
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.opened import opened
from napari_pathogan.plugin.viewer.placing import waits
from napari_pathogan.slides import tissues
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.names import file_name
from napari_pathogan.tasks.nuclei.segmentation import SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import napari
    from napari.layers import Image, Layer

    from napari_pathogan.engine.events import Event, Finished, Tile
    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.engine.task import Export
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation
    from napari_pathogan.tasks.nuclei_classes.naming import Naming

CLASSES_TASK = "nuclei-classes"
NONE = "None"
OLD_NOTE = "Classes found without labels; their names were kept by an older version."
CLOSE_UM = 60.0  # of the slide is in view around a nucleus that the dock goes to


class NucleiDock(Dock):
    """Nuclei of an H&E slide: instances, classes, counts, a look at each, corrections, export."""

    title: ClassVar[str] = "Nuclei"
    task: ClassVar[str] = "nuclei"
    enlarges: ClassVar[bool] = True
    runs_on: ClassVar[tuple[str, ...]] = ("nuclei.model", "nuclei.predict", "nuclei_classes.model")
    scope: ClassVar[str] = SCOPE
    helpers: ClassVar[tuple[str, ...]] = (CLASSES_TASK,)
    sample: ClassVar[str] = samples.PHANTOM_40X
    about_sample: ClassVar[str] = "A small drawn slide with nuclei of three kinds"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self.shown_on: dict[Image, NucleiLayers] = {}
        self.class_models: dict[str, tuple[Path, ModelCard]] = {}
        self.nucleus: int | None = None
        self._running: NucleiLayers | None = None
        self._class_model_chosen = False  # by the user, who then keeps it
        self._taken: set[tuple[Image, Path]] = (
            set()
        )  # files that were read for a slide, or are being
        super().__init__(napari_viewer)

    def build(self) -> None:
        """Add the task's own rows: the class model, pages of results, corrections, export."""
        self._build_class_model()
        self.form.region.setCurrentText(VIEW)
        self.fast = QCheckBox("Fast (look once)")
        self.form.add_line(self.fast)
        self.legend = Swatches()
        self.overlay = OverlayBar(
            self.form,
            round(100 * OPACITY),
            name="Nuclei",
            what="the nuclei's colour",
            outline="Show outlines also where nuclei are so small on the screen that they are filled",
            legend=self.legend,
        )
        self.overlay.changed.connect(self._show_overlay)
        self.form.add_run()
        self.class_note = label("")  # says with the classes, always, what they are not
        self.form.add_line(self.class_note)
        self.pages = QTabWidget()
        self.pages.setDocumentMode(True)
        self.pages.tabBar().setDrawBase(False)  # type: ignore[union-attr]
        self.numbers, self.details, self.gallery = Numbers(), Details(), Gallery()
        self.pages.addTab(self.numbers, "Classes")
        self.pages.addTab(self.details, "Nucleus")
        self.pages.addTab(self.gallery, "Gallery")
        self.form.add_line(self.pages)
        self.corrections = Corrections(self)
        tip = "Save the nuclei: labels, a table, or outlines for QuPath"
        self.export = ExportButton(self, self.task, tip, self._file_name, self.save, self._exported)
        corrections = self.corrections
        self.places = Places(
            self,
            self._ties,
            "unchecked nucleus",
            "Go to the nucleus that is least sure of those that nobody has corrected: another class "
            "by its number, A where it is right, Delete where it is none; each goes on to the next",
            find=self._unchecked,
            show=self._show_place,
        )
        self.foot.add_line(beside(self.places.next, self.places.back))
        self.form.add_line(beside(corrections.new_button, corrections.keep_button, wide=1))
        self.training = TrainingRow(self, lesson(corrections.folder, corrections.folders))
        self.form.add_line(beside(self.training.button, self.export))
        self.form.add_line(self.training)
        self.numbers.renamed.connect(self.rename)
        self.numbers.hidden_changed.connect(self._hide)
        self.numbers.drawn.clicked.connect(self.show_grid)
        self.details.class_chosen.connect(self.set_class)
        self.details.removed.connect(self.remove)
        self.gallery.chosen.connect(self.go_to)
        self.gallery.asked.connect(self._fill_gallery)
        self._ties.add(self._release_layers)
        self.picker = Picker(self, self._ties, self.pick, self._digit_typed)
        for keys, action in (
            ("N", self.corrections.begin_new),
            ("A", self.accept),
            ("Delete", self.remove),
        ):
            everywhere(self, self._ties, keys, action)
        self._ties.connect(self.viewer.scene.camera.events, self._camera_moved)
        self._layers_gone = QTimer(self)  # once napari has done with them, and show() with its own
        self._layers_gone.setSingleShot(True)
        self._layers_gone.timeout.connect(self._look_for_missing)
        self._ties.connect(self.viewer.layers.events.removed, self._layer_removed)
        self._ties.add(self._layers_gone.stop)
        self._show_result()

    def _build_class_model(self) -> None:
        self.classes = combo("The model that sorts nuclei into classes which it found by itself")
        self.classes.addItem(NONE)
        self.classes.currentIndexChanged.connect(self._class_model_changed)
        self.classes.activated.connect(self._class_model_picked)
        self.classes_info = QPushButton("i")
        self.classes_info.setFixedWidth(28)
        self.classes_info.setToolTip("What this class model was trained on, and its limits")
        self.classes_info.clicked.connect(self.show_classes_card)
        self.form.add_row_before_region("Classes", beside(self.classes, self.classes_info))
        self.tissue = combo(
            "The organ, which no file says. Classes of nuclei have names only on tissue on which "
            "they were checked, at its scale; elsewhere they are groups. Remembered for this file."
        )
        self.tissue.addItem("Not said", tissues.NOT_SAID)
        for tissue in tissues.TISSUES:
            self.tissue.addItem(tissue.capitalize(), tissue)
        self.tissue.activated.connect(self._tissue_said)
        self.form.add_row_before_region("Tissue", self.tissue)

    # running

    def events(self, layer: Image) -> Iterator[Event]:
        """Load the models and find nuclei, nearest the middle of the view first."""
        region, polygons = self.region(layer)
        near = between.view_centre(self.viewer, layer)
        slide = between.slide_of(layer)
        folder, _ = self.class_models.get(self.classes.currentText(), (None, None))
        return nuclei_events(
            slide,
            self.model_folder,
            folder,
            views=1 if self.fast.isChecked() else None,
            tissue=between.tissue_of(layer),
            region=region,
            polygons=polygons,
            near=near,
        )

    def event_came(self, event: Event) -> None:
        """Lay the empty picture once the models are loaded."""
        if isinstance(event, NucleiLaid) and self.layer is not None:
            layers = self.shown_on.setdefault(self.layer, NucleiLayers(self.viewer, self.layer))
            self._running = layers
            layers.begin(event.place, event.colours)

    def tile_came(self, tile: Tile) -> None:
        """Paint its classes."""
        if self._running is not None and tile.layer == "classes":
            self._running.paint(tile)

    def finished(self, event: Finished) -> Iterator[None]:
        """Show the nuclei, their classes, their counts."""
        assert self._running is not None
        layers, self._running = self._running, None
        self.nucleus = None
        self.corrections.begin(layers, event.result)
        yield from layers.finish(self.corrections.segmentation(layers))
        yield
        self._show_result()

    def stopped(self) -> None:
        """Take the unfinished picture away; earlier nuclei are shown as before."""
        if self._running is not None:
            self._running.take_back(at_once=self._ties.released)
        self._running = None
        self._show_result()

    def busy(self, *, running: bool) -> None:
        """Let pages and choices rest while something runs."""
        for widget in (self.pages, self.classes, self.tissue, self.fast):
            widget.setEnabled(not running)
        self.export.setEnabled(not running and self.segmentation is not None)
        for layers in self.shown_on.values():
            layers.brush.lock(locked=running)
        self.enable()

    def unsaved(self, layer: Image | None = None) -> str:
        """Corrections that are not kept; a run on their slide replaces them."""
        return self.corrections.unsaved([layer] if layer is not None else self.images)

    def was_kept(self, writes: Sequence[partial[None]]) -> None:
        """Corrections that lie in a case are kept."""
        for write in writes:
            self.corrections.was_kept(write.keywords["segmentation"])

    def found_in(self, layer: Image) -> str:
        """How many nuclei there are."""
        found = self.shown_on.get(layer)
        if found is None or found.segmentation is None or found.missing:
            return ""
        return count_text(self.corrections.segmentation(found))

    def notes_on(self, layer: Image) -> Sequence[str]:
        """Those of the nuclei."""
        found = self.shown_on.get(layer)
        return () if found is None or found.segmentation is None else found.segmentation.notes

    def keeps(self, layer: Image) -> tuple[str, partial[None]] | None:
        """The nuclei as corrected so far, as they are kept beside a slide."""
        found = self.shown_on.get(layer)
        if found is None or found.segmentation is None or found.missing:
            return None
        from napari_pathogan.tasks.nuclei.annotated import write_file  # noqa: PLC0415

        return ".geojson", partial(write_file, segmentation=self.corrections.segmentation(found))

    def read_kept(self, layer: Image, path: Path) -> Segmentation:
        """The nuclei; see :meth:`Dock.read_kept`."""
        from napari_pathogan.tasks.nuclei.annotated import read  # noqa: PLC0415

        return read(path, between.slide_of(layer))

    def show_kept(self, layer: Image, result: object) -> None:
        """Show nuclei that were kept."""
        self.show_annotated(layer, cast("Segmentation", result))

    def take_up(self) -> None:
        """Show nuclei of GeoJSON files that were opened on their slides, where there are none yet."""
        for one in opened(self.viewer):
            slide = one.first
            there = [x for x in one.results if not waits(x)]
            files = [path for x in there if (path := _nuclei_in(x)) is not None]
            if not files or slide not in self.images or slide in self.shown_on:
                continue
            if (slide, files[-1]) in self._taken:
                continue
            self._taken.add((slide, files[-1]))
            layers = [x for x in there if _nuclei_in(x) == files[-1]]
            events = opening(between.slide_of(slide), files[-1])
            self.aside(events, partial(self._taken_up, slide, files[-1], layers))

    def _taken_up(self, slide: Image, path: Path, layers: list[Layer], event: Finished) -> None:
        if slide not in self.viewer.layers or slide in self.shown_on:
            return
        self.viewer.layers.selection.active = slide
        for layer in layers:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self.show_annotated(slide, event.result)
        self.form.status.setText(f"Nuclei of {path.name}")
        self.enable()

    def choices(self) -> dict[str, Any]:
        """The model of classes too, if the user has chosen it, and whether to look once."""
        own = {"classes": self.classes.currentText()} if self._class_model_chosen else {}
        return super().choices() | own | {"fast": self.fast.isChecked()}

    def choose_again(self, choices: Mapping[str, Any]) -> None:
        """The model of classes as well; it is found before the others."""
        super().choose_again(choices)
        self.fast.setChecked(bool(choices.get("fast")))
        if self.classes.findText(name := str(choices.get("classes", ""))) >= 0:
            self.classes.setCurrentText(name)
            self._class_model_chosen = True

    def slide_changed(self) -> None:
        """Show the result of the slide that was chosen, or what was kept with it."""
        for gone in [slide for slide in self.shown_on if slide not in self.viewer.layers]:
            self.shown_on.pop(gone).slide_is_gone()
        self.nucleus = None
        if not self._class_model_chosen:
            self._suggest_class_model()
        tissue = between.tissue_of(self.layer) if self.layer is not None else tissues.NOT_SAID
        self.tissue.setCurrentIndex(max(0, self.tissue.findData(tissue)))
        self._show_result()
        if self.layer is not None and self.layer not in self.shown_on:
            self.corrections.look_for_annotations(self.layer)

    def model_changed(self, card: ModelCard) -> None:
        """Offer to look once only, where the model looks at a slide in several views."""
        views = card.settings.get("views", 1)
        self.fast.setVisible(views > 1)
        self.fast.setToolTip(
            f"Look at the slide once, not in {views} flips and turns: faster, a little less exact"
        )

    def scale_changed(self) -> None:
        """Take names back that were checked at the other scale; figures of it are not said any more."""
        if self.layer is not None and self.segmentation is not None:
            self._name_again(self.layer)
            self._show_result()

    def helpers_found(self, task: str, models: dict[str, tuple[Path, ModelCard]]) -> None:
        """List the class models."""
        del task  # there is but one
        self.class_models = models
        self.classes.blockSignals(True)
        self.classes.clear()
        self.classes.addItems([NONE, *models])
        self.classes.blockSignals(False)
        self._suggest_class_model()
        self._class_model_changed()

    # the result

    @property
    def shown(self) -> NucleiLayers | None:
        """The layers of the chosen slide's nuclei, if they are there."""
        found = self.shown_on.get(self.layer) if self.layer is not None else None
        if found is None or found.segmentation is None or found.missing:
            return None
        return found

    @property
    def segmentation(self) -> Segmentation | None:
        """The nuclei of the chosen slide, as corrected so far."""
        return self.shown.segmentation if self.shown is not None else None

    def show_class(self, name: str) -> None:
        """Show the nuclei of a class that may be hidden."""
        self.numbers.table.show_class(name)

    def enable(self) -> None:
        """Let the buttons of corrections and training say what can be done."""
        idle = self.run is None
        self.overlay.enable(enabled=idle)
        self.places.enable(enabled=idle and self.segmentation is not None)
        self.corrections.enable()
        self.training.enable()

    def show_again(self, layers: NucleiLayers) -> None:
        """Bring nuclei back that the user has taken out of the layer list."""
        layers.show(self.corrections.segmentation(layers))
        self._show_result()

    def show_place(self, layers: NucleiLayers, nuclei: set[int]) -> None:
        """Go to the first of some nuclei if it is out of view."""
        table = self.corrections.segmentation(layers).table
        there = table.loc[table["id"].isin(list(nuclei)), ["y_px", "x_px"]].to_numpy()
        if len(there) and not between.in_view(self.viewer, layers.slide, tuple(there[0] + 0.5)):
            self._look_at(layers.slide, *there[0])

    def settle(self) -> None:
        """Take over what was painted a moment ago."""
        for layers in self.shown_on.values():
            self.corrections.take_over(layers)

    def show_annotated(self, layer: Image, segmentation: Segmentation) -> None:
        """Show nuclei that were kept with a slide, as if they had just been found.

        They know the slide's scale, if nobody else does.
        """
        if between.slide_of(layer).mpp is None:
            between.give_mpp(self.viewer, layer, float(np.mean(segmentation.mpp)))
        layers = self.shown_on.setdefault(layer, NucleiLayers(self.viewer, layer))
        self.corrections.begin(layers, segmentation)
        layers.show(self.corrections.segmentation(layers))
        self._show_result()
        self._show_notes()

    def pick(self, y: float, x: float) -> None:
        """Choose the nucleus at a level-0 centre coordinate, or none."""
        if self.segmentation is not None:
            self.select(self.segmentation.at(y, x))

    def select(self, nucleus: int | None) -> None:
        """Show a nucleus in detail, and a ring around it on the slide."""
        if self.shown is None or self.layer is None:
            return
        self.nucleus = nucleus
        self.shown.select(nucleus)
        self.corrections.hold(self.shown, nucleus)
        self.details.show_nucleus(self.segmentation, between.slide_of(self.layer), nucleus)
        if nucleus is not None:
            self.pages.setCurrentWidget(self.details)
        self.picker.enable_keys(chosen=nucleus is not None)

    def go_to(self, nucleus: int) -> None:
        """Move the camera to a nucleus and show it in detail; the page stays."""
        if self.segmentation is None or self.layer is None:
            return
        page = self.pages.currentWidget()
        try:
            one = self.segmentation.nucleus(nucleus)
        except PathoganError as error:  # it was deleted meanwhile
            show_error(str(error))
            return
        self._look_at(self.layer, one["y_px"], one["x_px"])
        self.select(nucleus)
        self.pages.setCurrentWidget(page)

    def _look_at(self, slide: Image, y: float, x: float) -> None:
        """Move the camera close to a level-0 centre coordinate of a slide."""
        mpp = self.shown_on[slide].segmentation.mpp  # type: ignore[union-attr]  # it is shown
        half = [round(CLOSE_UM / 2 / one) for one in mpp]
        region = Region(
            round(y - half[0] + 0.5), round(x - half[1] + 0.5), 2 * half[0], 2 * half[1]
        )
        between.go_to(self.viewer, slide, region, fill=1.0)

    def set_class(self, name: str) -> None:
        """Correct the class of the chosen nucleus; on to the next, if they are gone through."""
        self._decide(partial(self.corrections.set_class, name))

    def accept(self) -> bool:
        """The chosen nucleus is right as it is; False if there is none."""
        if self.segmentation is None or self.nucleus is None:
            return False
        self.set_class(self.segmentation.nucleus(self.nucleus)["class"])
        return True

    def remove(self) -> bool:
        """Take the chosen nucleus away; False if there is none."""
        return bool(self._decide(self.corrections.remove))

    def corrected(self, layers: NucleiLayers, nucleus: int | None) -> None:
        """Show a slide's nuclei after a correction, and one of them in detail if it is there."""
        segmentation = self.corrections.segmentation(layers)
        layers.recolour(segmentation)
        if layers is self.shown:
            self._show_numbers()
            known = nucleus in set(segmentation.table["id"])
            self.select(nucleus if known else None)

    def rename(self, names: tuple[str, ...], colours: tuple[str, ...]) -> None:
        """Give the classes other names or colours, and keep them with the class model."""
        shown, layer = self.segmentation, self.layer
        name = shown.class_model if shown is not None else self.classes.currentText()
        if name not in self.class_models:
            return
        naming = self._naming(layer, name)
        back = partial(self._name_classes, name, naming.names, naming.colours)
        again = partial(self._name_classes, name, names, colours)
        if again() and layer is not None:
            self.did(layer, "names of classes", back, again)

    def _name_classes(self, name: str, names: tuple[str, ...], colours: tuple[str, ...]) -> bool:
        """Keep names and colours with a class model, in the background; says whether it can be done."""
        try:
            target = settings().own_model(name)
        except PathoganError as error:  # the card's name, from somebody else's folder
            show_error(str(error))
            self._show_result()
            return False
        naming = self._naming(self.layer, name)
        events = keep_names(
            self.class_models[name][0], names, colours, target, validated=naming.validated
        )
        self.aside(events, partial(self._renamed, name), self._show_result)
        return True

    def show_grid(self) -> None:
        """Open the picture of nuclei that the class model draws."""
        name = self.classes.currentText()
        if name in self.class_models:
            naming = self._naming(self.layer, name)
            self.aside(draw_grid(self.class_models[name][0], naming), self._grid_drawn)

    def show_classes_card(self) -> None:
        """Open the card of the class model."""
        if (chosen := self.class_models.get(self.classes.currentText())) is not None:
            CardDialog(chosen[1], chosen[0], self).show()

    def save(self, export: Export, path: Path) -> None:
        """Save the nuclei, in the background."""
        if self.segmentation is not None and self.layer is not None:
            pair = between.slide_of(self.layer), self.segmentation
            events = saving(self.task, export, [pair], path)
            self.start(events, "Saving", partial(say_saved, self.form))

    # how

    def _digit_typed(self, digit: int) -> None:
        """Give the chosen nucleus the class of that number."""
        names = () if self.segmentation is None else self.segmentation.class_names
        if digit <= len(names):
            self.set_class(names[digit - 1])

    def _decide(self, act: Callable[[], object]) -> object:
        """Correct the chosen nucleus, and go on if it is the one that was gone to."""
        gone_to = self.nucleus is not None and self.nucleus == self.places.current
        done = act()
        if gone_to and self.run is None:
            self.places.go(1)
        return done

    def _unchecked(self) -> list[int]:
        """Nuclei that nobody has corrected, the least sure first; without classes, those of odd shape."""
        if self.segmentation is None or self.run is not None:
            return []
        table = self.segmentation.table
        left = table.loc[~table["corrected"].astype(bool)]
        sure = left["class_probability"].fillna(left["solidity"]).to_numpy()
        ids: list[int] = left["id"].to_numpy()[np.argsort(sure, kind="stable")].tolist()
        return ids

    def _show_place(self, nucleus: int) -> str:
        """Go to a nucleus; says how sure its class is."""
        assert self.segmentation is not None
        self.go_to(nucleus)
        return sure_text(self.segmentation.nucleus(nucleus))

    def _show_overlay(self) -> None:
        if self.shown is not None:
            self.shown.fade(self.overlay.opacity, outline_only=self.overlay.outline.isChecked())

    def _show_result(self) -> None:
        """Fill all pages anew."""
        shown = self.segmentation
        self.select(None)
        if shown is None:
            self.details.show_nucleus(None, None, None)
        self.places.begin_anew()
        if self.shown is not None:
            self.overlay.show_opacity(self.shown.opacity)
            self._show_overlay()
        if shown is not None and shown.class_model and not self._class_model_chosen:
            self.classes.setCurrentText(
                shown.class_model
            )  # where it is there: what made the classes
        self._show_numbers()
        self.gallery.clear()
        if shown is not None and shown.class_model:
            self.gallery.offer(shown.class_names)

    def _show_numbers(self) -> None:
        shown = self.segmentation
        self.export.setEnabled(shown is not None and self.run is None)
        self.enable()
        self.legend.show_counts([] if shown is None else meanings(shown))
        if shown is None:
            name = self.classes.currentText()
            naming = self._naming(self.layer, name) if name in self.class_models else None
            self.numbers.show_model(naming)
            self._show_note(naming.note if naming else "")
            self.form.result.setText("")
            return
        self.numbers.show_nuclei(shown, editable=shown.class_model in self.class_models)
        self._say_who_classified(shown)
        if self.layer is not None and between.at_another_scale(self.layer, shown.mpp):
            self.form.result.setText(between.RUN_AGAIN)
            return
        self.form.result.setText(f"<b>{count_text(shown)}</b>")

    def _say_who_classified(self, shown: Segmentation) -> None:
        """Say what the classes are, and whose they are where the row names another model, for the next run."""
        note = shown.class_note or (OLD_NOTE if shown.class_model else "")
        if shown.class_model and shown.class_model != self.classes.currentText():
            note = f"The classes shown are by {shown.class_model}. {note}"
        self._show_note(note)

    def _show_note(self, note: str) -> None:
        self.class_note.setText(note)
        self.class_note.setVisible(bool(note))

    def _naming(self, layer: Image | None, name: str) -> Naming:
        """What the classes of a class model are called on a slide."""
        from napari_pathogan.tasks.nuclei_classes.naming import naming  # noqa: PLC0415

        card = self.class_models[name][1]
        if layer is None:
            return naming(card)
        return naming(card, between.tissue_of(layer), between.slide_of(layer).mpp)

    def _tissue_said(self) -> None:
        """Remember the organ, and call the classes of nuclei that are shown as it allows."""
        if self.layer is None:
            return
        try:
            between.set_tissue(self.layer, self.tissue.currentData())
        except PathoganError as error:
            show_error(str(error))
        if not self._class_model_chosen:
            self._suggest_class_model()
        if self.segmentation is not None:
            self._name_again(self.layer)
        self._show_result()

    def _name_again(self, layer: Image) -> None:
        """Call the classes of a slide's nuclei as their model's card says by now.

        Nuclei that an older version kept, which says nothing of their names, stay as they are.
        """
        shown = self.shown_on[layer].segmentation
        if shown is not None and shown.class_note and shown.class_model in self.class_models:
            naming = self._naming(layer, shown.class_model)
            self.corrections.rename(self.shown_on[layer], naming, between.tissue_of(layer))

    def _hide(self, hidden: frozenset[str]) -> None:
        if self.shown is not None and self.segmentation is not None:
            self.shown.recolour(self.segmentation, hidden)

    def _fill_gallery(self, name: str) -> None:
        if self.segmentation is not None and self.layer is not None:
            events = fill_shelf(between.slide_of(self.layer), self.segmentation, name)
            self.aside(events, lambda event: self.gallery.show_shelf(event.result))

    def _renamed(self, name: str, event: Finished) -> None:
        folder, card = event.result
        self.class_models[name] = (folder, card)
        for layer in self.shown_on:
            self._name_again(layer)
        self._show_result()
        self.form.status.setText(f"Names kept with {name}")

    def _grid_drawn(self, event: Finished) -> None:
        picture, naming, title = event.result
        GridDialog(picture, naming, title, self).show()

    def _suggest_class_model(self) -> None:
        """Choose the class model whose scale is the slide's, as far as anyone can tell.

        Of several one that was checked on tissue like the slide's, and is right most often.
        """
        mpp = between.slide_of(self.layer).mpp if self.layer is not None else None
        tissue = between.tissue_of(self.layer) if self.layer is not None else tissues.NOT_SAID
        own = mpp[0] if mpp else 0.25

        def rank(name: str) -> tuple[float, bool, float]:
            checked = self.class_models[name][1].validated_on
            elsewhere = not any(one.covers(tissue, mpp) for one in checked)
            right = max((one.accuracy.value or 0 for one in checked), default=0)
            return abs(math.log(scales[name] / own)), elsewhere, -right

        scales = {name: card.mpp for name, (_, card) in self.class_models.items() if card.mpp}
        if scales:
            self.classes.setCurrentText(min(scales, key=rank))

    def _class_model_picked(self) -> None:
        self._class_model_chosen = True

    def _class_model_changed(self) -> None:
        chosen = self.class_models.get(self.classes.currentText())
        self.classes_info.setEnabled(chosen is not None)
        draws = chosen is not None and chosen[1].settings.get("draws", True)
        self.numbers.drawn.setEnabled(draws)
        self.classes.setToolTip(chosen[1].title if chosen else "Nuclei are not sorted into classes")
        if self.segmentation is None:
            self._show_numbers()
        else:
            self._say_who_classified(self.segmentation)

    def _exported(self) -> list[Slide]:
        return [] if self.layer is None else [between.slide_of(self.layer)]

    def _file_name(self) -> str:
        assert self.segmentation is not None
        return file_name(self.segmentation.slide, "nuclei")

    def _layer_removed(self) -> None:
        self._layers_gone.start(0)

    def _look_for_missing(self) -> None:
        """Show no numbers of nuclei that are not there."""
        if self.run is None and self.corrections.removed is not None:
            self.corrections.note_missing()
            self._show_result()
            self.form.status.setText("The nuclei's layer is removed. Undo (Ctrl+Z) brings it back.")

    def _camera_moved(self) -> None:
        for layers in self.shown_on.values():
            layers.camera_moved()

    def _release_layers(self) -> None:
        for layers in self.shown_on.values():
            layers.release()


def _nuclei_in(layer: Layer) -> Path | None:
    """The file that a layer of nuclei was opened from, if it is GeoJSON of ours."""
    about = layer.metadata.get("pathogan")
    if not isinstance(about, dict) or (about.get("kind") != "nuclei" and "grid" not in about):
        return None
    path = between.file_of(layer)
    return path if path is not None and path.is_file() else None
