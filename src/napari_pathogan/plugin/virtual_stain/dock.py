"""The Virtual stains dock: a slide as other stains would show it, painted as one looks."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.shell.card import CardDialog
from napari_pathogan.plugin.shell.comparison import Comparison
from napari_pathogan.plugin.shell.dock import Dock
from napari_pathogan.plugin.shell.exports import ExportButton, saving, say_saved
from napari_pathogan.plugin.shell.form import Paragraph, beside, button, combo, label
from napari_pathogan.plugin.shell.overlay_bar import Legend, OverlayBar
from napari_pathogan.plugin.shell.refining import InView, Refining
from napari_pathogan.plugin.shell.steps import Steps, at_once
from napari_pathogan.plugin.shell.training_row import TrainingRow
from napari_pathogan.plugin.viewer import layers as between
from napari_pathogan.plugin.viewer.mammogram_layers import LETTERS
from napari_pathogan.plugin.viewer.placing import Ground
from napari_pathogan.plugin.virtual_stain.classes import TASK as CLASSES
from napari_pathogan.plugin.virtual_stain.classes import PatchClasses
from napari_pathogan.plugin.virtual_stain.events import (
    Virtual,
    doubt_events,
    measuring,
    painting_events,
)
from napari_pathogan.plugin.virtual_stain.training import lesson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import napari
    from napari.layers import Image

    from napari_pathogan.engine.events import Event, Finished
    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.engine.task import Export
    from napari_pathogan.slides.geometry import Overlay
    from napari_pathogan.tasks.virtual_stain.trust import Fit, TrustMap

_ASK = "Which is it?"
_ROW_PX = 26  # high, of a stain to paint
_SAID = "source_stain"  # in a slide's layer's metadata: the stain that the user says it has


@dataclass(eq=False)
class View:
    """A layer in a virtual stain."""

    layer: Image
    virtual: Virtual
    refining: Refining
    doubt: Image | None = None

    def show(self, *, visible: bool, doubt: bool = True) -> None:
        """Show or hide it, and its map of doubt."""
        self.layer.visible = visible
        if self.doubt is not None:
            self.doubt.visible = visible and doubt


class VirtualStainDock(Dock):
    """Lazy layers of virtual stains over a slide; compared by a divider or in linked views."""

    title: ClassVar[str] = "Virtual stains"
    task: ClassVar[str] = "virtual-stain"
    letters: ClassVar[str] = LETTERS
    runs_on: ClassVar[tuple[str, ...]] = ("virtual_stain.model", "virtual_stain.look")
    helpers: ClassVar[tuple[str, ...]] = (CLASSES,)

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self.views: dict[Image, dict[str, View]] = {}  # slide -> model's name -> its view
        self._laid: dict[str, View] = {}  # by the run that goes on
        self._made: deque[Virtual] = deque()  # by it, and not laid yet
        self._steps: Steps | None = None  # that lay them
        self.targets: dict[str, QCheckBox] = {}  # by model's name
        self._measured: dict[Image, Fit | str] = {}
        self._measuring: Any = None
        super().__init__(napari_viewer)

    def build(self) -> None:
        """Add the task's own rows."""
        self.form.hide_model()
        self.form.hide_region()
        self.stain = combo(
            "The stain that the slide really has. It is measured by its colours where they tell; "
            "else say it: a generator paints nonsense from a stain that it does not know."
        )
        self.stain.activated.connect(self._stain_said)
        self.form.add_row("Its stain", self.stain)
        self.fits = Paragraph()
        self.form.add_line(self.fits)
        self._boxes = QVBoxLayout()
        self._boxes.setContentsMargins(0, 0, 0, 0)
        box = QWidget()
        box.setLayout(self._boxes)
        self.form.add_row("Paint", box)
        self.form.add_run()
        self.front = combo("The virtual stain that lies over the slide; the others are hidden")
        self.front.setPlaceholderText("nothing is painted yet")
        self.front.currentIndexChanged.connect(self._bring_to_front)
        self.form.add_row("In front", self.front)
        self.compare = Comparison(
            self.viewer,
            self._ties,
            "its virtual stain",
            "All side by side",
            "The slide and all its virtual stains in linked views",
        )
        self.compare.sides.toggled.connect(self._bring_to_front)
        self.compare.add_to(self.form)
        self.map = combo("What doubt is measured by; maps that find no planted defect are left out")
        self.map.setPlaceholderText("no map yet")
        self.map.activated.connect(self._say_trust)
        self.doubt = button(
            "Doubt in view",
            "A map of where the virtual stain in front may be wrong, of what is in view",
        )
        self.doubt.clicked.connect(self._find_doubt)
        self.form.add_row("Trust", self.map)
        self.form.add_line(self.doubt)
        self.legend = Legend()
        self.overlay = OverlayBar(
            self.form, 50, name="Doubt", what="the map of doubt", legend=self.legend
        )
        self.overlay.changed.connect(self._show_overlay)
        self.note = Paragraph()
        self.coming = label("")
        for line in (self.note, self.coming):
            self.form.add_line(line)
        self.classes = PatchClasses(self, self._ties, lambda: self.stain.currentData() or "")
        self.export = ExportButton(
            self,
            self.task,
            "Save the virtual stain in front, all of it",
            self._suggested,
            self._save,
        )
        self.form.add_line(self.export)
        self.training = TrainingRow(self, lesson())
        self.form.add_line(self.training.button)
        self.form.add_line(self.training)
        self._ties.connect(self.viewer.layers.events.removed, self._prune)
        self._ties.add(self._lay_no_more)
        self._offer_stains()
        self._show_result()

    # running

    def events(self, layer: Image) -> Iterator[Event]:
        """Measure the slide and make its virtual stains."""
        stain = self.stain.currentData()
        if not stain:
            msg = f"Nobody says which stain {layer.name} has: choose it in the row 'Its stain'"
            raise PathoganError(msg)
        chosen = [name for name, box in self.targets.items() if box.isChecked()]
        if not chosen:
            msg = "Choose at least one stain to paint"
            raise PathoganError(msg)
        folders = [self._models[name][0] for name in chosen]
        seen = InView.now(self.viewer, layer)
        return painting_events(between.slide_of(layer), stain, folders, self._cards, seen)

    def event_came(self, event: Event) -> None:
        """Lay a view as soon as it is there."""
        if isinstance(event, Virtual) and self.layer is not None:
            self._made.append(event)
            if self._steps is None:
                self._steps = Steps(self, self._lay_made(self.layer), self._lay_no_more)
                self._steps.go()

    def finished(self, event: Finished) -> Iterator[None]:
        """Take the views that were laid in place of those from before."""
        assert self.layer is not None
        while self._steps is not None:
            yield
        slide, laid, self._laid = self.layer, self._laid, {}
        self._measured[slide] = event.result
        if warning := event.result.warning(slide.name):
            self.fits.setText(warning)
        gone, self.views[slide] = self.shown, laid
        for old in gone.values():
            yield from self._remove(old)
        self._show_result()

    def stopped(self) -> None:
        """Take away what was laid; those from before are shown again."""
        self._lay_no_more()
        laid, self._laid = self._laid, {}
        for view in laid.values():
            at_once(self._remove(view))
        self._bring_to_front()

    def slide_changed(self) -> None:
        """Show the views of the slide that was chosen, and measure its stain."""
        self.classes.slide_changed()
        self._measure()
        self._show_result()

    def scale_changed(self) -> None:
        """What was painted at another scale is to be painted again."""
        self._show_result()

    def model_changed(self, card: ModelCard) -> None:
        """Models were found, or another trained."""
        del card
        self._offer_stains()
        self._measure()

    def helpers_found(self, task: str, models: dict[str, tuple[Path, ModelCard]]) -> None:
        """Offer the classifiers."""
        del task  # there is but one
        self.classes.offer(models)

    def model_trained(self, folder: Path) -> str:
        """Offer a new pair's stains."""
        name = super().model_trained(folder)
        self._offer_stains()
        return name

    def busy(self, *, running: bool) -> None:
        """Let choices rest while something runs."""
        for widget in (self.stain, *self.targets.values(), self.front):
            widget.setEnabled(not running)
        self._enable()

    def release(self) -> None:
        """Leave the viewer as it was: one view, layers shown as they were."""
        self.compare.release()
        super().release()

    # the result

    @property
    def shown(self) -> dict[str, View]:
        """The views of the chosen slide, by model's name."""
        return self.views.get(self.layer, {}) if self.layer is not None else {}

    @property
    def view(self) -> View | None:
        """The one in front."""
        return self.shown.get(self.front.currentData())

    # the stain that the slide has

    @property
    def _cards(self) -> list[ModelCard]:
        return [card for _, card in self._models.values()]

    def _offer_stains(self) -> None:
        from napari_pathogan.tasks.virtual_stain.stains import stain_title  # noqa: PLC0415

        chosen = self.stain.currentData()
        ends = dict.fromkeys(end for card in self._cards for end in _ends(card))
        self.stain.clear()
        self.stain.addItem(_ASK, "")
        for end in ends:
            self.stain.addItem(stain_title(end), end)
        self.stain.setCurrentIndex(max(0, self.stain.findData(chosen)))
        self._offer_targets()

    def _offer_targets(self) -> None:
        """Offer what can be painted from the stain; of several pairs for one, the first is checked."""
        from napari_pathogan.tasks.virtual_stain.stains import stain_title  # noqa: PLC0415

        stain = self.stain.currentData()
        left_out = {name for name, box in self.targets.items() if not box.isChecked()}
        while (item := self._boxes.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        self.targets, there = {}, set()
        for name, (folder, card) in self._models.items():
            ends = _ends(card)
            if stain not in ends:
                continue
            target = ends[1] if stain == ends[0] else ends[0]
            text = stain_title(target) + (f" ({name})" if target in there else "")
            box = QCheckBox(text.replace("&", "&&"))  # one alone is Qt's mark of a key
            box.setToolTip(f"{card.title}. All that it paints is synthetic.")
            box.setChecked(target not in there and name not in left_out)
            about = button("i", "What this model was trained on, how well it does, and its limits")
            about.setFixedWidth(28)
            about.clicked.connect(partial(self._show_card, card, folder))
            row = beside(box, about)
            row.setMinimumHeight(_ROW_PX)
            self._boxes.addWidget(row)
            self.targets[name] = box
            there.add(target)
        if not self.targets:
            self._boxes.addWidget(label(self._why_nothing(stain)))

    def _why_nothing(self, stain: str) -> str:
        """Why nothing is offered to be painted."""
        if not self._models:
            return "Models are looked for…"
        if stain:
            return "No model paints from it."
        measured = self._measuring is not None
        return (
            "Once its stain is measured, or said." if measured else "Say the slide's stain first."
        )

    def _show_card(self, card: ModelCard, folder: Path, _checked: object = None) -> None:
        CardDialog(card, folder, self).show()

    def _measure(self) -> None:
        """Find out which stain the slide has, unless that is known."""
        if self._measuring is not None:
            self._measuring.cancel()
            self._measuring = None
        layer = self.layer
        self.fits.setText("")
        if layer is None or not self._models:
            return
        said = layer.metadata.get(_SAID) or layer.metadata.get("virtual_stain", "")
        if said:
            self._choose_stain(said)
            fit = self._measured.get(layer)
            if fit is not None and not isinstance(fit, str) and fit.stain == said:
                self.fits.setText(fit.warning(layer.name))
        elif layer in self._measured:
            self._say_fit(layer)
        else:
            self.fits.setText("Measuring its stain…")
            self._measuring = self.aside(
                measuring(between.slide_of(layer), self._cards), partial(self._fit_found, layer)
            )
            self._choose_stain("")

    def _fit_found(self, layer: Image, event: Finished) -> None:
        self._measuring = None
        self._measured[layer] = event.result
        said = layer.metadata.get(_SAID)
        if layer is self.layer and not said:
            self._say_fit(layer)

    def _say_fit(self, layer: Image) -> None:
        from napari_pathogan.tasks.virtual_stain.stains import stain_title  # noqa: PLC0415

        fit = self._measured[layer]
        if isinstance(fit, str):
            self._choose_stain("")
            self.fits.setText(fit[:1].upper() + fit[1:] + ".")
            return
        self._choose_stain(fit.stain)
        if fit.said:
            self.fits.setText(fit.warning(layer.name))
            return
        spreads = ", ".join(f"{stain_title(end)} {d:.1f}" for end, d in fit.distances.items())
        self.fits.setText(f"Measured by its colours (spreads: {spreads}). Another? Say so above.")

    def _choose_stain(self, stain: str) -> None:
        self.stain.setCurrentIndex(max(0, self.stain.findData(stain)))
        self._offer_targets()

    def _stain_said(self) -> None:
        stain = self.stain.currentData()
        if self.layer is not None:
            self.layer.metadata = {**self.layer.metadata, _SAID: stain}
        self.fits.setText("")
        self._offer_targets()

    # layers

    def _lay_made(self, slide: Image) -> Iterator[None]:
        """Lay the views that are made, in place of those from before."""
        for old in self.shown.values():
            old.show(visible=False)
            yield
        while self._made:
            virtual = self._made.popleft()
            number = len(self._laid)
            view = self._lay(slide, virtual, number)
            self._laid[virtual.painting.model.card.name] = view
            yield
            layers = self.viewer.layers
            if {view.layer, slide} <= set(layers):  # neither was removed meanwhile
                layers.move(layers.index(view.layer), layers.index(slide) + 1 + number)
            yield

    def _lay_no_more(self) -> None:
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.stop()
        self._made.clear()

    def _lay(self, slide: Image, virtual: Virtual, number: int) -> View:
        painting = virtual.painting
        with between.selection_kept(self.viewer):
            layer = self.viewer.add_image(
                between.shown_levels(virtual.live.slide),
                name=between.virtual_name(slide.name, painting.title),
                rgb=True,
                multiscale=True,
                opacity=self.compare.fade.value() / 100,
                visible=number == 0,
                metadata={"slide": virtual.slide, **virtual.slide.metadata},
                **between.place_level0(slide),
            )
        refining = Refining(self.viewer, layer, virtual.live, self, "generator")
        refining.said.connect(self._say_coming)
        return View(layer, virtual, refining)

    def _remove(self, view: View) -> Iterator[None]:
        for layer in (view.layer, view.doubt):
            if layer is not None and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
                yield

    def _prune(self, _event: object = None) -> None:
        """Forget views whose layers, or slides, are gone."""
        there = set(self.viewer.layers)
        self.classes.found = {k: v for k, v in self.classes.found.items() if k in there}
        self.classes.show_legend()
        kept = {
            slide: {name: view for name, view in views.items() if view.layer in there}
            for slide, views in self.views.items()
            if slide in there
        }
        if kept != self.views:
            self.views = kept
            self._show_result()

    def _show_result(self) -> None:
        chosen = self.front.currentData()
        self.front.blockSignals(True)
        self.front.clear()
        for name, view in self.shown.items():
            self.front.addItem(view.virtual.painting.title, name)
        self.front.setCurrentIndex(max(0, self.front.findData(chosen)))
        self.front.blockSignals(False)
        self._bring_to_front()

    def _bring_to_front(self, _index: int = 0) -> None:
        front = self.view
        together = self.compare.sides.isChecked()
        for view in self.shown.values():
            view.show(visible=together or view is front, doubt=not together)
        if front is not None:
            front.layer.opacity = 1.0 if together else self.compare.fade.value() / 100
        layers = [view.layer for view in self.shown.values()]
        said = f"{front.virtual.painting.title}, synthetic" if front is not None else ""
        self.compare.show(self.layer, layers, front.layer if front is not None else None, said)
        self.form.result.setText(self._result_text(front))
        self._offer_maps()
        self._show_legend()
        self._say_coming()
        self._enable()

    def _result_text(self, front: View | None) -> str:
        if front is None or self.layer is None:
            return ""
        mpp = front.virtual.painting.slide.mpp
        if mpp is not None and between.at_another_scale(self.layer, mpp):
            return between.RUN_AGAIN
        return f"<b>{front.layer.name}</b>"

    def _enable(self) -> None:
        there = self.view is not None and self.run is None
        self.doubt.setEnabled(there and self.map.count() > 0)
        self.map.setEnabled(self.map.count() > 0)
        self.export.setEnabled(self._to_save is not None and self.run is None)
        self.classes.enable()
        self.training.enable()

    def _say_coming(self) -> None:
        """Say whether finer tiles of what is in view are still to come."""
        self.coming.setText(self.view.refining.text if self.view is not None else "")

    # trust

    def _offer_maps(self) -> None:
        self.map.clear()
        self.map.setPlaceholderText("none finds defects" if self.view is not None else "no map yet")
        view = self.view
        if view is None:
            self._say_trust()
            return
        from napari_pathogan.tasks.virtual_stain.trust import shown  # noqa: PLC0415

        painting = view.virtual.painting
        for which in shown(painting.model.card, painting.stain):
            self.map.addItem(which.words[:1].upper() + which.words[1:], which)
        self.map.setCurrentIndex(0)  # Qt chooses none by itself beside a placeholder
        self._say_trust()

    def _say_trust(self, _index: int = 0) -> None:
        """What the chosen map was measured to find."""
        view, which = self.view, self.map.currentData()
        if view is None:
            self.note.setText("")
            return
        from napari_pathogan.tasks.virtual_stain.trust import finds  # noqa: PLC0415

        painting = view.virtual.painting
        known = "No map of doubt is shown: none was measured to find planted defects."
        if which is not None:
            known = finds(painting.model.card, painting.stain, which)
        self.note.setText(f"A guess at another stain: synthetic. {known}")
        self.note.setToolTip(
            f"The first look differs from the generator by {painting.student_error:.1f} Lab units"
        )

    def _find_doubt(self) -> None:
        view, slide = self.view, self.layer
        if view is None or slide is None:
            return
        which = self.map.currentData()
        try:
            region = between.view_region(self.viewer, slide)
        except PathoganError as error:
            self.form.status.setText(str(error))
            return
        events = doubt_events(view.virtual.painting, region, which)
        self.start(events, "Doubt", partial(self._lay_doubt, view, which))

    def _lay_doubt(self, view: View, which: TrustMap, event: Finished) -> None:
        from napari_pathogan.plugin.viewer.results import doubt_layers  # noqa: PLC0415
        from napari_pathogan.tasks.virtual_stain.doubt import DoubtMap  # noqa: PLC0415
        from napari_pathogan.tasks.virtual_stain.trust import usual_doubt  # noqa: PLC0415

        if view.layer not in self.viewer.layers or self.layer is None:
            return
        overlay: Overlay = event.result
        painting = view.virtual.painting
        low, high = usual_doubt(painting.model.card, painting.stain, which)
        if view.doubt is not None and view.doubt in self.viewer.layers:
            self.viewer.layers.remove(view.doubt)
        found = DoubtMap.of(overlay, which.words, view.layer.name, (low, high), painting.slide)
        ((data, kwargs, _),) = doubt_layers(found, Ground(self.layer))
        kwargs["metadata"] |= {**view.virtual.slide.metadata, "doubt": which.value}
        with between.selection_kept(self.viewer):
            view.doubt = self.viewer.add_image(data, **kwargs | {"opacity": self.overlay.opacity})
        self._show_legend()
        on_tissue = overlay.data[np.isfinite(overlay.data)]
        if not on_tissue.size:
            self.form.result.setText("<b>No tissue is in view: glass keeps its pixels</b>")
            return
        share = 100 * float(np.mean(on_tissue > high))
        self.form.result.setText(
            f"<b>{share:.0f} % of the tissue in view is more doubtful than 95 % of places in images without defects</b>"
        )

    def _show_overlay(self) -> None:
        for view in self.shown.values():
            if view.doubt is not None:
                view.doubt.opacity = self.overlay.opacity

    def _show_legend(self) -> None:
        """What the colours of the map of doubt in front mean: the values that they end at, and what is usual."""
        there = self.view is not None and self.view.doubt in self.viewer.layers
        doubt = self.view.doubt if there and self.view is not None else None
        self.overlay.enable(enabled=doubt is not None)
        self.legend.setVisible(doubt is not None)
        if doubt is None:
            return
        from napari_pathogan.tasks.virtual_stain.trust import TrustMap  # noqa: PLC0415

        low, high = doubt.contrast_limits
        usual, unit = doubt.metadata["doubt_map"].usual[1], TrustMap(doubt.metadata["doubt"]).unit
        self.legend.show_colours(doubt, f"{low:.3g} (usual)", f"{high:.3g} {unit} (doubtful)")
        self.legend.show_mark((usual - low) / (high - low))
        self.legend.setToolTip(
            f"Beyond the mark, {usual:.3g} {unit}, lie 5 % of places in images without defects"
        )
        self.overlay.show_opacity(doubt.opacity)

    # saving

    @property
    def _to_save(self) -> tuple[Image, View] | None:
        """The chosen slide and its view in front; or the slide whose view is chosen."""
        if self.layer is not None and self.view is not None:
            return self.layer, self.view
        every = ((slide, view) for slide, views in self.views.items() for view in views.values())
        return next((one for one in every if one[1].layer is self.layer), None)

    def _suggested(self) -> str:
        assert self._to_save is not None
        name = self._to_save[1].virtual.slide.name
        return name.replace(" ", "-").replace("[", "").replace("]", "")

    def _save(self, export: Export, path: Path) -> None:
        if self._to_save is None:
            return
        slide, view = self._to_save
        found = [(between.slide_of(slide), view.virtual.painting)]
        self.start(saving(self.task, export, found, path), "Saving", partial(say_saved, self.form))


def _ends(card: ModelCard) -> tuple[str, str]:
    """Both stains of a pair; it goes either way."""
    return str(card.settings.get("source_stain", "")), str(card.settings.get("target_stain", ""))
