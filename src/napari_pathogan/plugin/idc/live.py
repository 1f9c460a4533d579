"""Annotating a slide in the IDC dock, and the head that follows: after every outline a new map.

Outlines are drawn in a Shapes layer of the slide and kept beside it with every change. While 'Live'
is on, the chosen model's head is refitted to all of them and the heat map is shown anew, in the
background. Every version is kept until the slide is closed, and can be shown again.
"""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from napari.utils.colormaps.standardize_color import transform_color
from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
)

from napari_pathogan.annotations import merging
from napari_pathogan.annotations.classes import ClassTable
from napari_pathogan.annotations.outlines import is_outline
from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.errors import OutputError, PathoganError
from napari_pathogan.plugin.idc.classes import ClassesDialog
from napari_pathogan.plugin.idc.doubts import Doubts
from napari_pathogan.plugin.idc.refitting import (
    CLASSES,
    Annotated,
    FirstVersion,
    OutlinesWritten,
    checking,
    fitting,
    following,
    keeping,
    left_out,
    reading,
)
from napari_pathogan.plugin.idc.training import lesson
from napari_pathogan.plugin.shell.form import beside, button, combo, evenly, label, progress_line
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.shell.training_row import TrainingRow
from napari_pathogan.plugin.viewer import layers as between
from napari_pathogan.plugin.viewer.lines import SteadyEdges
from napari_pathogan.slides.names import of_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import napari
    from napari.layers import Image, Shapes
    from napari.utils.events import Event as NapariEvent

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.plugin.shell.dock import Dock
    from napari_pathogan.plugin.shell.form import Form
    from napari_pathogan.plugin.shell.running import Run
    from napari_pathogan.tasks.idc.heatmap import HeatMap

SOON_MS = 250  # changes that come closer together are taken at once


class Maps(Protocol):
    """What is annotated: the slides of a dock, and their maps."""

    viewer: napari.Viewer
    form: Form
    run: Run | None

    @property
    def layer(self) -> Image | None:
        """The chosen slide."""

    @property
    def card(self) -> ModelCard | None:
        """The card of the chosen model."""

    @property
    def model_folder(self) -> Path:
        """Its folder."""

    def aside(
        self,
        events: Iterator[Event],
        then: Callable[[Finished], None],
        if_stopped: Callable[[], None] | None = None,
        *,
        title: str = "",
        ask: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> Run:
        """Run something in the background."""

    def shortcut(self, keys: str, action: Callable[[], object]) -> None:
        """Call an action on a key while the dock has the focus."""

    def show_heat(self, layer: Image, heat: HeatMap) -> None:
        """Show another map of a slide."""

    def did(
        self, image: Image, what: str, back: Callable[[], bool], again: Callable[[], bool]
    ) -> None:
        """Something was done, which can be taken back."""

    def model_trained(self, folder: Path) -> str:
        """Offer a new model beside the old ones; returns its name."""


class Live:
    """The rows of the dock that annotate and refit."""

    def __init__(self, dock: Maps) -> None:
        self.dock = dock
        self.slides: dict[Image, Annotated] = {}
        self.run: Run | None = None
        self.kept: list[HeatMap] = []  # in files, cases or models of the user's
        self._again = False
        self.draw = {
            name: button(
                f"Draw {name}", f"Draw around {name} tissue with the mouse held down ({key})"
            )
            for key, name in enumerate(CLASSES, 1)
        }
        for key, (name, made) in enumerate(self.draw.items(), 1):
            made.clicked.connect(partial(self.begin, name))
            dock.shortcut(str(key), partial(self.begin, name))
        self.switch = QCheckBox("Live")
        self.switch.setToolTip(
            "After every outline, fit the model's head to all of them and show its map"
        )
        self.switch.toggled.connect(self._toggled)
        self.versions = combo(
            "Versions of this slide's map: the model as it was, and after annotations"
        )
        self.versions.currentIndexChanged.connect(self._chosen)
        self.undo = button("Earlier map", "Show the version of the map before this one")
        self.undo.clicked.connect(lambda: self.show(self._own.shown - 1))
        self.keep = button("Keep as model", "Save this version as a model of its own, with figures")
        self.keep.clicked.connect(self.accept)
        self.classes = button("Classes…", "Show and say what outlines of other classes count as")
        self.classes.clicked.connect(self.say_classes)
        self.fit = button(
            "Fit to this slide",
            "Fit the model's head to the slide by what its own map says of it: seconds, no annotations",
        )
        self.fit.clicked.connect(self.fit_to_slide)
        self.check_all = button(
            "Check annotations",
            "Let the model judge each outline by what it knows of the others, and list those first that are "
            "probably mislabelled",
        )
        self.check_all.clicked.connect(self.check)
        kinds = lambda: self._own.kinds  # noqa: E731
        self.training = TrainingRow(
            cast("Dock", dock), lesson(self._kept_slide, lambda: bool(self._own.outlines), kinds)
        )
        self.doubts = Doubts(self)
        self.status = label("")
        form = dock.form
        form.add_line(evenly(*self.draw.values()))
        form.add_line(beside(self.switch, self.versions, wide=1))
        form.add_line(evenly(self.undo, self.keep))
        form.add_line(evenly(self.fit, self.training.button))
        form.add_line(self.training)
        form.add_line(self.classes)
        form.add_line(self.check_all)
        form.add_line(self.doubts)
        form.add_line(self.status)
        self._soon = QTimer(dock.form)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self._soon.timeout.connect(self.follow)
        self.enable()

    def stop(self) -> None:
        """Let go: the dock is being closed. What was drawn a moment ago is kept first."""
        self._soon.stop()
        self.keep_drawn()

    def fitted(self, only: Image | None = None) -> str:
        """Maps in view by a model that was fitted to their slide and is kept nowhere, in words.

        Of one slide, or of all that are open.
        """
        names = [
            layer.name
            for layer, known in self.slides.items()
            if only in {None, layer}
            and known.shown
            and not any(known.versions[known.shown].heat is one for one in self.kept)
        ]
        if not names:
            return ""
        maps = "map" if len(names) == 1 else "maps"
        return (
            f"The fitted {maps} of {' and '.join(names)} would be lost: 'Keep as model', 'Export' or "
            "'Save case…' keep such a map."
        )

    def keep_drawn(self, only: Image | None = None) -> str:
        """Keep what was drawn since the last time; says what can't be kept, and why.

        On one slide, or on all.
        """
        lines = []
        for layer, known in self.slides.items():
            if only not in {None, layer}:
                continue
            drawn, slide = self.outlines(layer), between.slide_of(layer)
            if drawn == known.outlines and (slide.path is not None or not drawn):
                continue
            from napari_pathogan.tasks.idc.live import write  # noqa: PLC0415  (imports torch)

            try:
                write(slide, drawn, known.file)
                known.outlines = drawn
            except PathoganError as error:
                lines.append(f"The annotations of {layer.name} are not kept: {error}.")
        return "\n".join(lines)

    def _kept_slide(self) -> Path:
        """The file of the chosen slide, with what is drawn on it kept.

        Raises
        ------
        OutputError
            If that can't be kept.
        """
        layer = self.dock.layer
        assert layer is not None, "nothing is trained without a slide"
        if said := self.keep_drawn():
            raise OutputError(said)
        path = between.slide_of(layer).path
        if path is None:
            raise OutputError(
                f"{layer.name} is no file: save it, open it again, and annotate it there"
            )
        return path

    # drawing

    def begin(self, name: str, _checked: object = None) -> None:
        """Draw outlines of a class, freehand, in the slide's layer of annotations."""
        layer = self.dock.layer
        if layer is None:
            return
        known = self._of(layer)
        if known.shapes is None or known.shapes not in self.dock.viewer.layers:
            known.shapes = self._lay(layer, ())
        shapes = known.shapes
        shapes.selected_data = set()
        shapes.feature_defaults = {"class": name}
        shapes.current_edge_color = CLASSES[name]
        shapes.current_face_color = CLASSES[name] + "20"
        self.dock.viewer.layers.selection.active = shapes
        shapes.mode = "add_polygon_lasso"

    def outlines(self, layer: Image) -> tuple[Annotation, ...]:
        """What is drawn on a slide now; outlines that were kept before stay the same objects."""
        known = self._of(layer)
        if known.shapes is None or known.shapes not in self.dock.viewer.layers:
            return known.outlines
        return tuple(one for _, one in self._drawn_outlines(known, layer))

    def _drawn_outlines(self, known: Annotated, layer: Image) -> Iterator[tuple[int, Annotation]]:
        """What each shape that encloses something outlines, by its index."""
        from napari_pathogan.annotations import geojson  # noqa: PLC0415

        assert known.shapes is not None
        classes = known.shapes.features["class"].astype(str).to_numpy()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rings = between.closed(known.shapes, layer, range(known.shapes.nshapes))
        for index, ring in rings:
            if len(np.unique(ring, axis=0)) < 3:  # a click
                continue
            geometry = geojson.outline([[ring + 0.5]])
            if geometry.is_empty:
                continue
            name = classes[index]
            same = (x for x in known.outlines if x.class_name == name and x.geometry == geometry)
            new = geojson.Annotation(
                geometry, class_name=name, colour=CLASSES.get(name, ""), by="reader", when=now
            )
            yield index, next(same, new)

    def call(self, layer: Image, outline: Annotation, name: str) -> Annotation | None:
        """Give an outline another class; returns it as it is then, or None if it is not there any more."""
        known = self._of(layer)
        if known.shapes is None or known.shapes not in self.dock.viewer.layers:
            return None
        same = outline.class_name, outline.geometry
        drawn = self._drawn_outlines(known, layer)
        index = next((at for at, one in drawn if (one.class_name, one.geometry) == same), None)
        if index is None:
            return None
        shapes = known.shapes
        classes = shapes.features.copy()
        classes.loc[classes.index[index], "class"] = name
        shapes.features = classes
        edges, faces = shapes.edge_color.copy(), shapes.face_color.copy()
        edges[index] = transform_color(CLASSES[name])[0]
        faces[index] = transform_color(CLASSES[name] + "20")[0]
        shapes.edge_color, shapes.face_color = edges, faces
        self._soon.start()
        return next(one for at, one in self._drawn_outlines(known, layer) if at == index)

    def check(self, _checked: object = None) -> None:
        """Let the model judge the outlines, and list them."""
        layer = self.dock.layer
        if layer is None or self.run is not None:
            return
        known, outlines = self._of(layer), self.outlines(layer)
        known.folder = self.dock.model_folder
        self.run = self.dock.aside(
            checking(between.slide_of(layer), self.dock.model_folder, known, outlines),
            partial(self._checked, layer, outlines),
            self._stopped,
            title="Checking the annotations",
            on_event=partial(self._came, layer, ()),
        )
        self.enable()

    def _checked(self, layer: Image, outlines: tuple[Annotation, ...], event: Finished) -> None:
        self.run = None
        self.status.setText(event.summary["text"])
        if layer is self.dock.layer:
            self.doubts.show_review(layer, outlines, event.result)
        self.enable()
        self._next()

    def fit_to_slide(self, _checked: object = None) -> None:
        """Fit the head to the slide, without annotations; the map is a version like others."""
        layer = self.dock.layer
        if layer is None or self.run is not None or self.dock.run is not None:
            return
        known = self._of(layer)
        known.folder = self.dock.model_folder
        self.run = self.dock.aside(
            fitting(between.slide_of(layer), self.dock.model_folder, known),
            partial(self._followed, layer, known.outlines, False),
            self._stopped,
            title="Fitting to the slide",
            on_event=partial(self._came, layer, known.outlines),
        )
        self.enable()

    def say_classes(self, _checked: object = None) -> None:
        """Ask what classes count as; the head is fitted anew if that changes."""
        known = self._own
        dialog = ClassesDialog(self.dock.form, self._counted(known))
        if dialog.exec() != QDialog.DialogCode.Accepted or not dialog.changes:
            return
        known.kinds |= dialog.changes
        del known.versions[1:]  # they were of other classes
        known.followed = None
        self.show(0)
        self.status.setText(left_out(self._counted(known)))
        self.follow()

    @staticmethod
    def _counted(known: Annotated) -> dict[str, str]:
        from napari_pathogan.tasks.idc.annotated import CLASS_KINDS  # noqa: PLC0415  (slow to import)

        table = ClassTable(CLASS_KINDS, known.kinds)
        return {name: table(name) for name in known.others}

    # following

    def slide_changed(self) -> None:
        """Show what was annotated on the slide that was chosen, now and before."""
        self.keep_drawn()
        self.slides = {x: y for x, y in self.slides.items() if x in self.dock.viewer.layers}
        for image, known in self.slides.items():
            self._take_in(image, known.outlines)
        layer = self.dock.layer
        self.status.setText("")
        self.doubts.show_review(layer, (), None)
        if layer is not None and not self._of(layer).asked:
            self._of(layer).asked = True
            slide = between.slide_of(layer)
            if slide.path is not None:
                self.dock.aside(reading(slide), partial(self._read, layer), title="Annotations")
        self.enable()

    def model_changed(self) -> None:
        """Begin anew with another model."""
        self.doubts.show_review(self.dock.layer, (), None)
        for known in self.slides.values():
            known.folder = known.seen = known.followed = None
            known.versions, known.shown = [], 0
        self.enable()
        if self.switch.isChecked():
            self._soon.start()

    def follow(self) -> None:
        """Keep the outlines and, if 'Live' is on, fit the head to them; what runs begins anew."""
        layer = self.dock.layer
        if layer is None:
            return
        self.note_drawn()
        if self.run is not None or self.dock.run is not None:
            self._again = True
            return
        known, refit = self._of(layer), self.switch.isChecked() and self.can_follow
        outlines = self.outlines(layer)
        if outlines == known.outlines and not (refit and outlines != known.followed):
            return
        try:
            events = following(
                between.slide_of(layer), self.dock.model_folder, known, outlines, refit=refit
            )
        except PathoganError as error:
            show_error(str(error))
            return
        known.folder = self.dock.model_folder
        self.run = self.dock.aside(
            events,
            partial(self._followed, layer, outlines, refit),
            self._stopped,
            title="Following the annotations",
            on_event=partial(self._came, layer, outlines),
        )

    def show(self, number: int) -> None:
        """Show a version's map."""
        layer, known = self.dock.layer, self._own
        if layer is not None and 0 <= number < len(known.versions):
            known.shown = number
            self.dock.show_heat(layer, known.versions[number].heat)
            self.enable()

    def accept(self, _checked: object = None) -> None:
        """Save the version in view as a model of its own; the one it began with stays."""
        from napari_pathogan.engine.runs import RunFolder  # noqa: PLC0415

        layer, known = self.dock.layer, self._own
        if layer is None or not known.shown or self.run is not None:
            return
        base = known.versions[0].model.card.name
        names = (f"{base}-own-{number}" for number in itertools.count(1))
        name = next(name for name in names if not (settings().own_models / name).exists())
        run = RunFolder(settings().own_model(name))
        self.run = self.dock.aside(
            keeping(between.slide_of(layer), known, known.versions[known.shown], run),
            partial(self._saved, run, known.versions[known.shown].heat),
            self._stopped,
            title=f"Keeping {name}",
            ask=True,
            on_event=partial(self._came, layer, ()),
        )
        self.enable()

    def resume(self) -> None:
        """Go on with what has waited for a run of the dock."""
        if self._again and self.run is None:
            self._next()

    @property
    def version(self) -> int:
        """The number of the version in view."""
        return self._own.shown

    def go_back(self, layer: Image, version: int) -> None:
        """Another version of a slide's map is shown."""
        self._of(layer).shown = version
        self.enable()

    def note_drawn(self) -> None:
        """What was drawn, changed or deleted since the last time can be taken back from now on."""
        for layer, known in self.slides.items():
            drawn, before = self.outlines(layer), known.noted
            if _seen(drawn) == _seen(before):
                continue
            known.noted = drawn
            what = _what(before, drawn)
            back = partial(self._put, layer, drawn, before)
            again = partial(self._put, layer, before, drawn)
            self.dock.did(layer, what, back, again)

    def _put(self, layer: Image, now: tuple[Annotation, ...], then: tuple[Annotation, ...]) -> bool:
        """Go from what was drawn to what was drawn before, and follow it; what came in between stays."""
        drawn = self.outlines(layer)
        if _seen(drawn) != _seen(now):
            was, will, there = _seen(now), _seen(then), _seen(drawn)
            gone = [one for one in was if one not in will]
            stays = [one for one, seen in zip(drawn, there, strict=True) if seen not in gone]
            come = [one for one, s in zip(then, will, strict=True) if s not in (*was, *there)]
            then = (*stays, *come)
        self._draw_anew(layer, then)
        self._soon.start()
        return True

    def _take_in(self, layer: Image, written: tuple[Annotation, ...]) -> None:
        """Show what others have drawn in another window, which was found when outlines were kept."""
        known = self._of(layer)
        merged = known.file.annotations
        busy = known.shapes is not None and known.shapes._is_creating  # noqa: SLF001  (see drawn.py)
        if merged is None or busy:
            return
        own, there = merging.said(written), merging.said(merged)
        stays = (
            x for key, x in merging.keyed(self.outlines(layer)) if own.get(key) == there.get(key)
        )
        new = (x for key, x in merging.keyed(merged) if own.get(key) != there[key])
        come = filter(is_outline, new)
        self._draw_anew(layer, (*stays, *come))
        known.outlines = known.noted
        known.file.took(merged, known.file.written, is_outline)
        self._soon.start()

    def _draw_anew(self, layer: Image, outlines: tuple[Annotation, ...]) -> None:
        """Draw outlines in the place of those that are drawn; napari's tool stays in the hand."""
        known, selection = self._of(layer), self.dock.viewer.layers.selection
        old, mode = known.shapes, None
        if old is not None and old in self.dock.viewer.layers:
            mode = str(old.mode) if selection.active is old else None
            self.dock.viewer.layers.remove(old)
        known.shapes = self._lay(layer, outlines)
        known.noted = self.outlines(layer)
        if mode is not None:
            selection.active, known.shapes.mode = known.shapes, mode

    def replaced(self) -> None:
        """The map in view is the chosen model's own: a run has ended."""
        self._own.shown = 0
        self.enable()

    @property
    def can_follow(self) -> bool:
        """Whether the chosen model has a head that can be refitted."""
        card = self.dock.card
        return card is not None and card.architecture == "frozen head"

    def enable(self) -> None:
        """Show what can be done now."""
        known, busy = self._own, self.run is not None
        for made in self.draw.values():
            made.setEnabled(self.dock.layer is not None)
        self.switch.setEnabled(self.can_follow)
        self.undo.setEnabled(known.shown > 0)
        drawn = bool(known.versions) and bool(known.versions[known.shown].outlines)
        self.keep.setEnabled(known.shown > 0 and drawn and not busy)
        self.classes.setVisible(bool(known.others))
        self.classes.setEnabled(not busy)
        self.fit.setEnabled(self.can_follow and self.dock.layer is not None and not busy)
        self.check_all.setEnabled(self.can_follow and bool(known.outlines) and not busy)
        self.training.enable()
        self.versions.blockSignals(True)
        self.versions.clear()
        self.versions.addItems([version.title for version in known.versions])
        self.versions.setCurrentIndex(known.shown)
        self.versions.setEnabled(len(known.versions) > 1)
        self.versions.blockSignals(False)

    # how

    @property
    def _own(self) -> Annotated:
        return Annotated() if self.dock.layer is None else self._of(self.dock.layer)

    def _of(self, layer: Image) -> Annotated:
        return self.slides.setdefault(layer, Annotated())

    def _lay(self, layer: Image, outlines: tuple[Annotation, ...]) -> Shapes:
        from napari_pathogan.slides.polygons import keyhole  # noqa: PLC0415

        rings = [keyhole(rings) - 0.5 for one in outlines for rings in one.polygons]
        names = [one.class_name for one in outlines for _ in one.polygons]
        colours = [CLASSES.get(name, "#b4b4b4") for name in names]
        first = next(iter(CLASSES))
        with between.selection_kept(self.dock.viewer):
            shapes = self.dock.viewer.add_shapes(
                rings or None,
                shape_type="polygon",
                ndim=2,
                name=of_image("IDC annotations", between.image_name(layer)),
                metadata={"annotations": "idc"},
                features={"class": np.array(names, object)},
                feature_defaults={"class": first},
                edge_color=colours or CLASSES[first],
                face_color=[c + "20" for c in colours] or CLASSES[first] + "20",
                **between.place_level0(layer),
            )
        SteadyEdges(self.dock.viewer, shapes)
        shapes.events.data.connect(self._drawn)
        for key, name in enumerate(CLASSES, 1):
            shapes.bind_key(str(key), lambda _shapes, name=name: self.begin(name), overwrite=True)
        return shapes

    def _drawn(self, event: NapariEvent) -> None:
        if str(getattr(event, "action", "")) in {"added", "changed", "removed"}:
            self._soon.start()

    def _read(self, layer: Image, event: Finished) -> None:
        outlines, file = event.result
        known = self._of(layer)
        if known.shapes is not None or layer not in self.dock.viewer.layers:
            return  # what is drawn already is kept beside what was there
        known.file = file
        if outlines:
            known.shapes = self._lay(layer, tuple(outlines))
            known.outlines = known.noted = self.outlines(layer)
            counts = Counter(one.class_name or "without a class" for one in outlines)
            said = ", ".join(f"{n} {name}" for name, n in counts.items())
            left = left_out(self._counted(known))
            self.status.setText(f"Annotated before: {said}{'. ' * bool(left)}{left}")
            self.enable()

    def _toggled(self, on: bool) -> None:  # noqa: FBT001 - a signal's
        if on:
            self.follow()

    def _chosen(self, number: int) -> None:
        self.show(number)

    def _came(self, layer: Image, outlines: tuple[Annotation, ...], event: Event) -> None:
        known = self._of(layer)
        if isinstance(event, Progress):
            self.status.setText(progress_line(event))
        elif isinstance(event, OutlinesWritten):
            known.outlines = outlines
            self._take_in(layer, outlines)
        elif isinstance(event, FirstVersion):
            known.seen, known.versions, known.shown = event.seen, [event.version], 0

    def _followed(
        self,
        layer: Image,
        outlines: tuple[Annotation, ...],
        refit: bool,  # noqa: FBT001 - bound
        event: Finished,
    ) -> None:
        known = self._of(layer)
        if between.slide_of(layer).path is None:
            known.outlines = outlines
        if refit:
            known.followed = outlines
        self.status.setText(event.summary["text"])
        self.run = None
        if event.result is not None and layer in self.dock.viewer.layers:
            known.versions.append(event.result)
            if layer is self.dock.layer:
                self.show(len(known.versions) - 1)
        elif (
            refit and known.versions and known.versions[known.shown].outlines not in ((), outlines)
        ):
            known.shown = 0  # there is nothing any more that it could have been learnt from
            if layer is self.dock.layer:
                self.show(0)
        self.enable()
        self._next()

    def _saved(self, run: RunFolder, heat: HeatMap, event: Finished) -> None:
        self.kept.append(heat)
        name, metrics = self.dock.model_trained(run.model), event.result.metrics
        text = f"Kept as {name}."
        if gain := metrics.get("held_back_auc_after"):
            before = metrics["held_back_auc_before"].value
            text += f" Annotations held back: AUC {before:.2f} before, {gain.value:.2f} after."
        old, new = (metrics[f"reference_auc_{when}"].value for when in ("before", "after"))
        text += f" Images of the first training: {old:.2f} before, {new:.2f} after."
        self.status.setText(text)
        self.run = None
        self.enable()
        self._next()

    def _stopped(self) -> None:
        self.run = None
        self.status.setText("")
        self.enable()
        self._next()

    def _next(self) -> None:
        if self._again:
            self._again = False
            self._soon.start()


def _what(before: tuple[Annotation, ...], after: tuple[Annotation, ...]) -> str:
    """What was drawn, to stand after "Undo"."""
    new = [one for one in after if _seen((one,))[0] not in _seen(before)]
    if len(after) > len(before) and new:
        return f"outline of {new[-1].class_name or 'tissue'}"
    return "deletion of an outline" if len(after) < len(before) else "change of an outline"


def _seen(outlines: tuple[Annotation, ...]) -> list[tuple[str, object]]:
    """What is seen of outlines, whenever they were drawn."""
    return [(one.class_name, one.geometry) for one in outlines]
