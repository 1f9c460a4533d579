"""The IDC heat map dock: where invasive ductal carcinoma is likely, tile by tile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QLabel, QSlider

from napari_pathogan.engine.events import Event, Finished, Progress, Tile
from napari_pathogan.plugin.idc.layers import MAP_OPACITY, HeatLayers
from napari_pathogan.plugin.idc.live import Live
from napari_pathogan.plugin.idc.refitting import PLACES
from napari_pathogan.plugin.idc.words import (
    area_text,
    cursor_text,
    meaning,
    place_text,
    plain_area_text,
    usual_threshold,
)
from napari_pathogan.plugin.shell.dock import Dock
from napari_pathogan.plugin.shell.exports import ExportButton, saving, say_saved
from napari_pathogan.plugin.shell.form import beside, label
from napari_pathogan.plugin.shell.overlay_bar import Legend, OverlayBar
from napari_pathogan.plugin.shell.places import Places
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.shell.steps import Steps
from napari_pathogan.plugin.viewer import layers as between
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch
from napari_pathogan.plugin.viewer.opened import opened
from napari_pathogan.plugin.viewer.placing import waits
from napari_pathogan.slides.names import file_name
from napari_pathogan.tasks.idc.heatmap import SCOPE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import napari
    import numpy as np
    from napari.layers import Image

    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.engine.task import Export
    from napari_pathogan.slides.geometry import Overlay, Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.idc.heatmap import HeatMap

LIVE_MS = 15  # slider moves that come closer together are shown at once


@dataclass(frozen=True, slots=True, eq=False)
class Laid(Event):
    """The model is loaded: empty overlays that the tiles belong to."""

    probability: Overlay
    uncertainty: Overlay


def idc_events(
    slide: Slide,
    model_folder: Path,
    region: Region | None,
    polygons: list[np.ndarray] | None,
    near: tuple[float, float],
) -> Iterator[Event]:
    """Load the model and predict; the first event that matters is :class:`Laid`."""
    yield Progress(0, 0, "loading the model")
    ready_for_torch()
    from napari_pathogan.engine.devices import choose_device  # noqa: PLC0415
    from napari_pathogan.tasks.idc.model import IdcModel  # noqa: PLC0415
    from napari_pathogan.tasks.idc.predict import heat_map_grid, predict  # noqa: PLC0415

    chosen = settings()
    model = IdcModel.load(model_folder, chosen.device)
    model.device = choose_device(chosen.device, chosen.precision)
    grid = heat_map_grid(slide, model)
    yield Laid(grid.overlay(), grid.overlay())
    yield from predict(
        slide, model, region, near=near, polygons=polygons, first_look=True, places=PLACES
    )


class IdcDock(Dock):
    """Heat map of invasive ductal carcinoma on an H&E slide, with areas, outline and export."""

    title: ClassVar[str] = "IDC heat map"
    task: ClassVar[str] = "idc"
    enlarges: ClassVar[bool] = True
    runs_on: ClassVar[tuple[str, ...]] = ("idc.model", "idc.predict")
    scope: ClassVar[str] = SCOPE

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self.maps: dict[Image, HeatLayers] = {}
        self._running: HeatLayers | None = None
        self._places: list[Region] = []  # where an annotation would say most
        self._threshold_chosen = False  # by the user, who then keeps it
        self._steps: Steps | None = None  # of a map that is being shown
        super().__init__(napari_viewer)

    def build(self) -> None:
        """Add the rows that this task has besides those of all docks."""
        self.threshold = QSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(1, 99)
        self.threshold.setToolTip("Tissue with at least this probability counts as IDC")
        self.threshold.valueChanged.connect(self._threshold_moved)
        self.value = QLabel("0.50")
        self.meaning = label("")
        self.form.add_row("Threshold", beside(self.threshold, self.value))
        self.form.add_line(self.meaning)
        self.legend = Legend()
        self.overlay = OverlayBar(
            self.form,
            round(100 * MAP_OPACITY),
            outline="Show the outline at the threshold, and the tissue as it is",
            legend=self.legend,
        )
        self.overlay.changed.connect(self.show_overlay)
        self.form.add_run()
        self.places = Places(
            self,
            self._ties,
            "uncertain region",
            "Go to where the model is not sure and an annotation would teach it most: uncertain, and "
            "unlike what is known",
            find=self._uncertain,
            show=self._show_place,
        )
        tip = "Save the heat map, its outlines, a table or a report page"
        self.export = ExportButton(self, self.task, tip, self._file_name, self.save, self._exported)
        self.form.add_line(beside(self.places.next, self.places.back, self.export))
        self.live = Live(self)
        self.training = self.live.training
        self.under_cursor = label("")
        self.form.add_line(self.under_cursor)
        self._live = QTimer(self)
        self._live.setSingleShot(True)
        self._live.setInterval(LIVE_MS)
        self._live.timeout.connect(self.show_threshold)
        self.viewer.mouse_move_callbacks.append(self._cursor_moved)
        self._ties.add(partial(self.viewer.mouse_move_callbacks.remove, self._cursor_moved))
        self._ties.add(self._live.stop)
        self._ties.add(self.live.stop)
        self._set_threshold(0.5)

    # running

    def events(self, layer: Image) -> Iterator[Event]:
        """Load the model and predict, nearest the middle of the view first."""
        region, polygons = self.region(layer)
        near = between.view_centre(self.viewer, layer)
        slide = between.slide_of(layer)
        return idc_events(slide, self.model_folder, region, polygons, near)

    def event_came(self, event: Event) -> None:
        """Lay the empty map once the model is loaded."""
        if isinstance(event, Laid) and self.layer is not None:
            self._running = self.maps.setdefault(self.layer, HeatLayers(self.viewer, self.layer))
            self._running.begin(event.probability, event.uncertainty)

    def tile_came(self, tile: Tile) -> None:
        """Paint it."""
        if self._running is not None:
            self._running.paint(tile)

    def finished(self, event: Finished) -> Iterator[None]:
        """Show the map, its outline and its areas."""
        assert self._running is not None
        layers, self._running = self._running, None
        earlier, version = layers.heat, self.live.version
        yield from layers.finish(event.result)
        if earlier is not None:
            back = partial(self._show_again, layers.slide, earlier, version)
            again = partial(self._show_again, layers.slide, event.result, 0)
            self.did(layers.slide, "the last run", back, again, whole=True)
        if not self._threshold_chosen:
            self._set_threshold(event.result.threshold)
        self.live.replaced()
        self._show_result()

    def _show_again(self, layer: Image, heat: HeatMap, version: int) -> bool:
        """Show the map of an earlier run, or that of a version after annotations."""
        if self.run is not None:
            return False
        self.live.go_back(layer, version)
        self.show_heat(layer, heat)
        return True

    def settle(self) -> None:
        """Note what was drawn a moment ago."""
        self.live.note_drawn()

    def stopped(self) -> None:
        """Take the unfinished map away; the earlier one is shown as before."""
        if self._running is not None:
            self._running.take_back(at_once=self._ties.released)
        self._running = None

    def busy(self, *, running: bool) -> None:
        """Let what was drawn meanwhile be followed once the run has ended."""
        if not running:
            self.live.resume()

    def unsaved(self, layer: Image | None = None) -> str:
        """Annotations that can't be kept (those that can are kept now), and maps that were fitted."""
        return "\n".join(filter(None, (self.live.keep_drawn(layer), self.live.fitted(layer))))

    def lost_by_run(self, layer: Image) -> str:
        """Nothing: versions and annotations stay."""
        del layer
        return ""

    def was_kept(self, writes: Sequence[partial[None]]) -> None:
        """Maps that lie in a case are kept."""
        self.live.kept += [write.keywords["heat"] for write in writes]

    def found_in(self, layer: Image) -> str:
        """How much IDC there is at the threshold."""
        heat = found.heat if (found := self.maps.get(layer)) is not None else None
        if heat is None:
            return ""
        if between.at_another_scale(layer, heat.mpp):
            return between.RUN_AGAIN
        return plain_area_text(heat.area(self.threshold.value() / 100))

    def notes_on(self, layer: Image) -> Sequence[str]:
        """Those of the map."""
        heat = found.heat if (found := self.maps.get(layer)) is not None else None
        return () if heat is None else heat.notes

    def keeps(self, layer: Image) -> tuple[str, partial[None]] | None:
        """The map at the threshold that is shown, as OME-Zarr."""
        heat = found.heat if (found := self.maps.get(layer)) is not None else None
        if heat is None:
            return None
        return ".ome.zarr", partial(_keep, heat=heat, threshold=self.threshold.value() / 100)

    def read_kept(self, layer: Image, path: Path) -> HeatMap:
        """The map; see :meth:`Dock.read_kept`."""
        from napari_pathogan.tasks.idc.export import read_zarr  # noqa: PLC0415

        del layer
        return read_zarr(path)

    def show_kept(self, layer: Image, result: object) -> None:
        """Show a map that was kept."""
        self.show_heat(layer, cast("HeatMap", result))
        if self._steps is not None:
            self._steps.finish()

    def take_up(self) -> None:
        """Show maps of files that were opened on their slides, where there is none yet.

        They know the slide's scale, if nobody else does.
        """
        own = {layer for one in self.maps.values() for layer in one.all}
        for one in opened(self.viewer):
            slide = one.first
            there = [x for x in one.results if "heat_map" in x.metadata and not waits(x)]
            saved = [x for x in there if x not in own]
            if not saved or slide not in self.images or slide in self.maps:
                continue
            heat: HeatMap = saved[-1].metadata["heat_map"]
            its, imprint = heat.imprint, between.slide_of(slide).imprint
            other = its is not None and imprint is not None and its.contradicts(imprint)
            if other or between.at_another_scale(slide, heat.mpp):
                continue
            if between.slide_of(slide).mpp is None:
                between.give_mpp(self.viewer, slide, mpp := sum(heat.mpp) / 2)
                self.form.status.setText(f"The map says the scale: {mpp:.4g} µm per pixel")
            self.maps[slide] = HeatLayers(self.viewer, slide)
            self.maps[slide].take(x for x in saved if x.metadata["heat_map"] is heat)
            self.show_heat(slide, heat)

    def choices(self) -> dict[str, Any]:
        """The threshold too, if the user has chosen it."""
        own = {"threshold": self.threshold.value() / 100} if self._threshold_chosen else {}
        return super().choices() | own

    def choose_again(self, choices: Mapping[str, Any]) -> None:
        """The threshold after the model, which brings its own."""
        super().choose_again(choices)
        if isinstance(threshold := choices.get("threshold"), float):
            self._threshold_chosen = True
            self._set_threshold(threshold)
            self._show_result()

    def slide_changed(self) -> None:
        """Show the result of the slide that was chosen."""
        for gone in [slide for slide in self.maps if slide not in self.viewer.layers]:
            del self.maps[gone]
        self.under_cursor.setText("")  # it spoke of a place on another slide
        self._show_result()
        self.live.slide_changed()

    # the result

    @property
    def shown(self) -> HeatLayers | None:
        """The layers of the chosen slide's finished map."""
        found = self.maps.get(self.layer) if self.layer is not None else None
        return found if found is not None and found.heat is not None else None

    @property
    def heat(self) -> HeatMap | None:
        """The finished map of the chosen slide."""
        return self.shown.heat if self.shown is not None else None

    def show_threshold(self) -> None:
        """Show what the threshold means, and on a finished map its outline and area."""
        threshold = self.threshold.value() / 100
        said = meaning(self.card, threshold) if self.card else ""
        if self.heat is not None and self.heat.refitted:
            said = f"This map is by the model {self.heat.refitted}"
        self.meaning.setText(said)
        if self.heat is not None and self.shown is not None:
            old = self.layer is not None and between.at_another_scale(self.layer, self.heat.mpp)
            self.form.result.setText(
                between.RUN_AGAIN if old else area_text(self.heat.area(threshold))
            )
            self.shown.show_outlines(self.heat.outlines(threshold))

    def _uncertain(self) -> list[Region]:
        if self.heat is not None and not self._places:
            self._places = self.heat.next_places(PLACES)
        return self._places

    def _show_place(self, place: Region) -> str:
        assert self.heat is not None
        assert self.layer is not None
        assert self.shown is not None
        between.go_to(self.viewer, self.layer, place)
        self.shown.mark(place)
        return place_text(
            self.heat, place.y + place.height / 2 - 0.5, place.x + place.width / 2 - 0.5
        )

    def show_overlay(self) -> None:
        """Show the maps as opaque as was chosen, or the outline alone."""
        if self.shown is not None:
            self.shown.fade(self.overlay.opacity, outline_only=self.overlay.outline.isChecked())

    def save(self, export: Export, path: Path) -> None:
        """Save the map at the threshold that is shown, in the background."""
        if self.heat is not None and self.layer is not None:
            heat = self.heat.with_threshold(self.threshold.value() / 100)
            events = saving(self.task, export, [(between.slide_of(self.layer), heat)], path)
            self.start(events, "Saving", partial(self._saved, self.heat))

    def _saved(self, heat: HeatMap, event: Finished) -> None:
        self.live.kept.append(heat)
        say_saved(self.form, event)

    def model_changed(self, card: ModelCard) -> None:
        """Start from the new model's operating point."""
        self._threshold_chosen = False
        self._set_threshold(usual_threshold(card))
        self.live.model_changed()
        self.show_threshold()

    def show_heat(self, layer: Image, heat: HeatMap) -> None:
        """Show another map of a slide, in steps; the threshold stays if the user has chosen it."""
        if self._steps is not None:
            self._steps.finish()
        shown = self.maps.setdefault(layer, HeatLayers(self.viewer, layer))

        def laid() -> None:
            self._steps = None
            if layer is self.layer:
                if not self._threshold_chosen:
                    self._set_threshold(heat.threshold)
                self._show_result()
                self._show_notes()

        self._steps = Steps(self, shown.finish(heat), laid)
        self._steps.go()

    # how

    def _set_threshold(self, threshold: float) -> None:
        self.threshold.blockSignals(True)
        self.threshold.setValue(round(100 * threshold))
        self.threshold.blockSignals(False)
        self.value.setText(f"{self.threshold.value() / 100:.2f}")
        self.legend.show_mark(threshold)

    def _threshold_moved(self, percent: int) -> None:
        self._threshold_chosen = True
        self.value.setText(f"{percent / 100:.2f}")
        self.legend.show_mark(percent / 100)
        self._live.start()

    def scale_changed(self) -> None:
        """Areas of the other scale are not said any more."""
        self.show_threshold()

    def _show_result(self) -> None:
        self.export.setEnabled(self.heat is not None)
        self.places.enable(enabled=self.heat is not None)
        self.places.begin_anew()
        self._places = []
        self.form.result.setText("")
        image = self.shown.images["probability"] if self.shown is not None else None
        self.legend.show_colours(image, "0 (healthy)", "1 (IDC)")
        if self.shown is not None:
            self.overlay.show_opacity(self.shown.images["probability"].opacity)
        self.show_threshold()

    def _exported(self) -> list[Slide]:
        return [] if self.layer is None else [between.slide_of(self.layer)]

    def _file_name(self) -> str:
        assert self.heat is not None
        return file_name(self.heat.slide, "idc")

    def _cursor_moved(self, viewer: napari.Viewer, _event: object) -> None:
        layer = self.layer
        if layer is None or layer not in viewer.layers:
            return
        y, x = layer.world_to_data(viewer.cursor.position[-2:])
        self.under_cursor.setText(
            cursor_text(between.slide_of(layer), self.heat, float(y), float(x))
        )


def _keep(path: Path, heat: HeatMap, threshold: float) -> None:
    from napari_pathogan.tasks.idc.export import write_zarr  # noqa: PLC0415

    write_zarr(path, heat.with_threshold(threshold))
