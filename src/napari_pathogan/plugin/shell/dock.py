"""The shape that all docks share: Slide, Model, Region, Run <-> Cancel, a result, actions.

A dock of a task derives from :class:`Dock`, adds its own rows with :meth:`Dock.add_row`, and says
what is run (:meth:`Dock.events`) and what is done with what comes.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from inspect import isgeneratorfunction
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout

from napari_pathogan.engine.events import Event, Finished, Progress, Tile, Warn
from napari_pathogan.engine.limits import limits
from napari_pathogan.errors import PathoganError
from napari_pathogan.files import tidy
from napari_pathogan.plugin.shell.calibration import Calibration
from napari_pathogan.plugin.shell.card import CardDialog
from napari_pathogan.plugin.shell.docked import Docked
from napari_pathogan.plugin.shell.form import Foot, Form, Welcome, confirmed, label, scrolled
from napari_pathogan.plugin.shell.garbage import Aside, set_aside
from napari_pathogan.plugin.shell.history import HistoryLine, Step, history_of
from napari_pathogan.plugin.shell.notes import (
    digest_is_missing,
    digesting,
    keep_digest,
    notes_of,
)
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.shell.steps import Steps
from napari_pathogan.plugin.shell.subject import SHAPES, SLIDE, VIEW, Subject
from napari_pathogan.plugin.viewer import layers as between
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch
from napari_pathogan.plugin.viewer.canvas import letters_made
from napari_pathogan.plugin.viewer.opened import bring_back, hidden_for_others, made_of
from napari_pathogan.plugin.viewer.remembered import recall, remember
from napari_pathogan.slides.cache import set_cache_mb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import napari
    import numpy as np
    from napari.layers import Image, Layer
    from napari.utils.events import Event as NapariEvent

    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.plugin.shell.running import Run
    from napari_pathogan.slides.geometry import Region


STOPPED = "Stopped."
_SOON = (  # packages that are slow to import and that the window would import when it needs them
    "napari_pathogan.slides.store",
    "napari_pathogan.slides.backends.tiff",
    "pandas",
    "scipy.ndimage",
    "shapely",
)


class Dock(Docked):
    """Base of all docks.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are offered; napari passes it.
    """

    task: ClassVar[str]
    scope: ClassVar[str] = ""  # what it looks for, and what not: always in view
    subject: ClassVar[Subject] = SLIDE
    runs_on: ClassVar[tuple[str, ...]] = ()  # modules of tasks, which are slow to import
    helpers: ClassVar[tuple[str, ...]] = ()  # tasks whose models are used as well
    enlarges: ClassVar[bool] = False  # a slide to the scale of its model, however coarse it is
    letters: ClassVar[str] = ""  # that its layers write on the canvas
    follows_views: ClassVar[bool] = False  # in other colours, and not their slides
    sample: ClassVar[str] = samples.PHANTOM
    about_sample: ClassVar[str] = "A small drawn slide with tumour-like and healthy regions"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._aside = Aside(napari_viewer, self, self._ties)
        self.run: Run | None = None
        self._laying: Steps | None = None  # its result
        self._chosen: Image | None = None
        self._calibration: Calibration | None = None
        self._listed: list[Image] = []
        self._choices: dict[str, Any] = {}  # of a case, until the models are found
        self._warned: list[str] = []  # by the latest run
        self._model_picked = False  # by the user
        self._model_trail = ("", "")  # the model before, and the chosen one
        self._sure: tuple[str, float, str] | None = (
            None  # a scale that was asked about, and is right
        )
        self._before: WeakSet[Layer] | None = None  # the layers there were before a stopped run
        self._staying = False  # with the chosen slide, whatever is selected
        self._models: dict[str, tuple[Path, ModelCard]] = {}
        self.setMinimumWidth(0)  # its rows say how narrow it may be
        set_cache_mb(settings().cache_mb)

        self.limits = label(self.scope)
        self.limits.setVisible(bool(self.scope))
        self.welcome = Welcome(self.viewer, self.subject, self.sample, self.about_sample)
        self.form = Form(self.subject)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.limits.setContentsMargins(9, 9, 9, 0)  # as the rows, above which it stays in view
        column.addWidget(self.limits)
        column.addWidget(scrolled(self.welcome, self.form), 1)
        self.foot = Foot()
        column.addWidget(self.foot)

        self.form.run.clicked.connect(self.run_or_cancel)
        self.shortcut("Ctrl+Return", self.run_or_cancel)
        self.form.slide.currentIndexChanged.connect(self._slide_chosen)
        self.form.model.currentIndexChanged.connect(self._model_chosen)
        self.form.model.activated.connect(self._picked)
        self.form.info.clicked.connect(self.show_card)
        self.form.pixel_size_typed.connect(self._pixel_size_typed)
        self.form.measure.clicked.connect(self._measure)

        self.history = history_of(self)
        self._ties.add(partial(self.history.leave, self))
        self.build()
        self.past = HistoryLine(self, self._ties)
        self.foot.add_line(self.past)
        self._listen()
        self._list_slides()
        self.form.run.setEnabled(False)
        if kept := recall(self.title):
            self._model_picked = bool(kept.get("model"))
            self.choose_again({"part": self.form.region.currentText(), **kept})
        self._search()

    def _listen(self) -> None:
        """Hear of layers that come, go and are selected."""
        self._opened_files = QTimer(self)  # once napari has done with the layers
        self._opened_files.setSingleShot(True)
        self._opened_files.timeout.connect(self.take_up)
        self._ties.add(self._opened_files.stop)
        self._opened_files.start()
        self._chosen_seen = QTimer(self)  # once whoever shows, hides or removes layers has done so
        self._chosen_seen.setSingleShot(True)
        self._chosen_seen.timeout.connect(self._bring_back)
        self._ties.add(self._chosen_seen.stop)
        self._ties.connect(self.viewer.layers.events.inserted, self._inserted)
        self._ties.connect(self.viewer.layers.events.reordered, self._reordered)
        for emitter in ("inserted", "removed", "reordered"):
            self._ties.connect(getattr(self.viewer.layers.events, emitter), self._list_slides)
        self._ties.connect(self.viewer.layers.events.removed, self._say_as_before)
        self._ties.connect(self.viewer.layers.selection.events.active, self._follow)

    def _search(self) -> None:
        """Find models once the dock is seen."""
        search = QTimer(self)
        search.setSingleShot(True)
        search.timeout.connect(self._find_models)
        self._ties.add(search.stop)
        search.start()

    # what a task says

    def build(self) -> None:
        """Add the task's own rows; :meth:`Form.add_run` goes among them."""
        raise NotImplementedError

    @classmethod
    def warm_up(cls) -> None:
        """Import what a run needs; called in a thread while the user looks at the slide."""
        from napari_pathogan.engine.devices import check_torchvision  # noqa: PLC0415

        for name in cls.runs_on:
            import_module(f"napari_pathogan.tasks.{name}")
        check_torchvision()

    def events(self, layer: Image) -> Iterator[Event]:
        """Make the generator that runs on a slide's layer; reading and computing are left to it."""
        raise NotImplementedError

    def tile_came(self, tile: Tile) -> None:
        """Show a finished part of the result."""

    def event_came(self, event: Event) -> None:
        """Take any other event of the task."""

    def finished(self, event: Finished) -> Iterator[None]:
        """Show the result, in steps between which the window answers."""
        raise NotImplementedError

    def stopped(self) -> None:
        """Remove what an unfinished run has shown."""

    def busy(self, *, running: bool) -> None:
        """Let the task's own widgets rest while something runs."""

    def settle(self) -> None:
        """Take over what the user has drawn a moment ago: something is about to be undone."""

    def unsaved(self, layer: Image | None = None) -> str:
        """What of the user's own work is kept nowhere yet, as a sentence; empty if nothing is.

        Of one image, or of all that are open.
        """
        del layer
        return ""

    def lost_by_run(self, layer: Image) -> str:
        """What of :meth:`unsaved` a run on an image replaces."""
        return self.unsaved(layer)

    def was_kept(self, writes: Sequence[partial[None]]) -> None:
        """What :meth:`keeps` gave lies in a case of the user's now."""

    def found_in(self, layer: Image) -> str:
        """What was found in an image, in a few words; empty if nothing was looked for."""
        del layer
        return ""

    def keeps(self, layer: Image) -> tuple[str, partial[None]] | None:
        """What keeps a result in a case: how its file's name ends, and what writes it in a thread.

        That takes the path, and by keywords what it writes, which does not change any more. None where nothing was found, or nothing can be kept.
        """
        del layer
        return None

    def read_kept(self, layer: Image, path: Path) -> object:
        """Read, in a thread, what :meth:`keeps` has written of an image.

        Raises
        ------
        PathoganError
            If it is damaged, or of another image.
        """
        raise NotImplementedError

    def show_kept(self, layer: Image, result: object) -> None:
        """Show what :meth:`read_kept` has read, as if it had just been found."""
        raise NotImplementedError

    def take_up(self) -> None:
        """Show what was saved, and was opened on its image, as if it had just been found, where nothing was yet."""

    def notes_on(self, layer: Image) -> Sequence[str]:
        """What one should know of what was found in an image, as the result itself keeps it."""
        del layer
        return ()

    def choices(self) -> dict[str, Any]:
        """What the user has chosen here, plain JSON, for :meth:`choose_again`."""
        model = self.form.model.currentText()
        return {
            "model": model if model in self._models else "",
            "part": self.form.region.currentText(),
        }

    def choose_again(self, choices: Mapping[str, Any]) -> None:
        """Choose what was chosen before, as far as it is offered; models once they are found."""
        self._choices = dict(choices)
        self.form.region.setCurrentText(str(choices.get("part", "")))
        self._choose_model()

    def lasting(self) -> dict[str, Any]:
        """What of :meth:`choices` is for the next napari: what was chosen here, not what was offered."""
        left_out = {"part"} if self._model_picked else {"part", "model"}
        return {name: one for name, one in self.choices().items() if name not in left_out}

    def slide_changed(self) -> None:
        """Another slide was chosen."""

    def scale_changed(self) -> None:
        """Another size of a pixel was given to the chosen image: what was found in it was measured otherwise."""

    def slides_listed(self, slides: list[Image]) -> None:
        """These slides are open now, the topmost first."""

    def model_changed(self, card: ModelCard) -> None:
        """Another model was chosen."""

    def helpers_found(self, task: str, models: dict[str, tuple[Path, ModelCard]]) -> None:
        """Take the models of one of :attr:`helpers`; the task's own come after."""

    # what all docks do

    @property
    def layer(self) -> Image | None:
        """The layer of the chosen slide."""
        return self.form.slide.currentData()

    @property
    def images(self) -> list[Image]:
        """All images of the subject that are open, in the order of the layers."""
        return [image for image in self.viewer.layers if self.subject.offers(image)]

    @property
    def model_folder(self) -> Path:
        """The folder of the chosen model.

        Raises
        ------
        PathoganError
            If there is none.
        """
        if self.form.model.currentText() not in self._models:
            msg = "There is no model to run: choose a models folder in Preferences > PathoGAN"
            raise PathoganError(msg)
        return self._models[self.form.model.currentText()][0]

    @property
    def card(self) -> ModelCard | None:
        """The card of the chosen model."""
        _, card = self._models.get(self.form.model.currentText(), (None, None))
        return card

    def region(self, layer: Image) -> tuple[Region | None, list[np.ndarray] | None]:
        """The chosen part of the slide: a rectangle, polygons, or neither for the whole."""
        choice = self.form.region.currentText()
        if choice == VIEW:
            return between.view_region(self.viewer, layer), None
        if choice == SHAPES:
            return None, between.selected_polygons(self.viewer, layer)
        return None, None

    def run_or_cancel(self) -> None:
        """Do what the button says."""
        if self.run is not None:
            self.cancel()
            return
        layer = self.layer
        if layer is None or not self.take_pixel_size():
            return
        try:
            self.subject.check(layer)
            asks = self.subject.pixel_size
            size = asks.size(layer)
            if asks.needed and size is None:
                self.form.refuse_pixel_size(
                    f"{layer.name} has no scale: type how many {asks.unit} a pixel spans"
                )
                return
            if size is not None and not self._is_right(layer, size, self._too_coarse(layer, size)):
                self.form.pixel_size.setFocus()
                return
            unsaved = self.lost_by_run(layer)
            if unsaved and not confirmed(self, self.title, f"{unsaved} Run all the same?"):
                return
            events = self.events(layer)
        except PathoganError as error:
            self.form.status.setText(str(error))  # until the next run
            show_error(str(error))
            return
        self.start(events, self.title, self.finished, self.stopped)

    def cancel(self) -> None:
        """Stop what runs; a result that is being laid is laid at once."""
        if self._laying is not None:
            self._laying.finish()
        elif self.run is not None:
            self.run.cancel()

    def take_pixel_size(self) -> bool:
        """Give the chosen image the size of a pixel that was typed, if one was.

        An implausible size is asked about. Returns whether nothing speaks against going on.
        """
        field, layer = self.form.pixel_size, self.layer
        if layer is None or not field.isModified() or not field.text().strip():
            return True
        field.setModified(False)  # a question takes the focus, which ends the editing once more
        asks = self.subject.pixel_size
        try:
            size = asks.read(field.text())
            doubt = asks.doubt(layer, size) or self._too_coarse(layer, size)
            if not self._is_right(layer, size, doubt):
                self._ask_pixel_size()
                field.setFocus()
                return False
            asks.give(self.viewer, layer, size)
            self.form.pixel_size_taken()
            self.scale_changed()
            self._show_notes()
        except PathoganError as error:
            self._ask_pixel_size()  # what applies, not what was refused
            self.form.refuse_pixel_size(str(error))
            return False
        return True

    def _too_coarse(self, layer: Image, size: float) -> str:
        """Why a size is implausible for the model that is chosen, as a question; empty where it is not."""
        if not self.enlarges or self.card is None or self.card.mpp is None:
            return ""
        return self.subject.pixel_size.too_coarse(layer, size, self.card.name, self.card.mpp)

    def _is_right(self, layer: Image, size: float, doubt: str) -> bool:
        """Ask whether a size is right that there is doubt about; once for an image and a model."""
        asked = layer.name, size, self.form.model.currentText()
        if not doubt or asked == self._sure:
            return True
        if not confirmed(self, "Size of a pixel", doubt):
            return False
        self._sure = asked
        return True

    def _pixel_size_typed(self) -> None:
        if not self.form.run.hasFocus():  # Run takes it by itself, and would say an error again
            self.take_pixel_size()

    def _measure(self) -> None:
        """Let the size of a pixel be found by a line of known length."""
        if self._calibration is not None:
            self._calibration.cancel()
        if self.layer is not None:
            self._calibration = Calibration(
                self.viewer, self.form, self.subject.pixel_size, self.layer, self._length_measured
            )

    def _length_measured(self, size: str) -> None:
        self.form.pixel_size.setText(size)
        self.form.pixel_size.setModified(True)
        self.take_pixel_size()

    def start(
        self,
        events: Iterator[Event],
        title: str,
        then: Callable[[Finished], Iterator[None] | None],
        if_stopped: Callable[[], None] | None = None,
    ) -> None:
        """Run a task in the background, with the dock's progress bar and Cancel button.

        Where ``then`` is a generator, its steps belong to the run, which ends with the last.
        ``if_stopped`` takes back what a stopped run has left, if it leaves anything.
        """
        began = time.monotonic()

        def finished(event: Finished) -> None:
            opened = [slide for slide in self.images if slide not in self._listed]
            self._staying = True  # the result's own layers are not slides that were opened
            line = f"Done in {time.monotonic() - began:.1f} s"

            def shown() -> None:
                self._staying = False
                self._listed = self.images
                if self.viewer.layers.selection.active in opened:
                    self._follow()

            def laid() -> None:
                self._laying = None
                self._end(line)
                shown()

            if isgeneratorfunction(then):
                self._laying = Steps(self, then(event), laid)
                self._laying.go()
                return
            self._end(line)
            try:
                then(event)
            finally:
                shown()

        def stopped() -> None:
            why = self.run.failure if self.run is not None else ""
            self._end(why or STOPPED)
            if if_stopped is not None:
                if_stopped()
            self._before = before
            self._say_as_before()

        before = WeakSet(self.viewer.layers)
        self._before = None
        self._warned = []
        self.form.begin()
        self.run = self.aside(
            events,
            finished,
            stopped,
            title=title,
            ask=True,
            on_tile=self.tile_came,
            on_event=self._event_came,
        )
        self.busy(running=True)
        self.past.show_next()

    def model_trained(self, folder: Path) -> str:
        """Offer a new model beside the old ones; returns its name."""
        from napari_pathogan.engine.models import read_card  # noqa: PLC0415

        card = read_card(folder)
        if card.name not in self._models:
            self.form.model.addItem(card.name)
        self._models[card.name] = (folder, card)
        return card.name

    def take_model(self, name: str) -> None:
        """Choose a model that was offered; that can be taken back, as a choice by hand."""
        self.form.model.setCurrentText(name)
        self._picked()

    def did(
        self,
        image: Image,
        what: str,
        back: Callable[[], bool],
        again: Callable[[], bool],
        *,
        whole: bool = False,
    ) -> None:
        """Something was done in an image, which can be taken back; see :class:`.history.Step`."""
        self.history.add(Step(self, image, what, back, again, whole))

    def shortcut(self, keys: str, action: Callable[[], object]) -> None:
        """Call ``action`` on a key sequence while the dock has the focus."""
        made = QShortcut(QKeySequence(keys), self)
        made.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        made.activated.connect(action)

    def show_card(self) -> None:
        """Open the card of the chosen model."""
        if self.card is not None:
            CardDialog(self.card, self.model_folder, self).show()

    def release(self) -> None:
        """Let go of the viewer: cancel what runs, disconnect. The dock is being closed."""
        if self._laying is not None:
            self._laying.stop()
        remember({self.title: self.lasting()})
        super().release()

    # how

    def _event_came(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.form.show_progress(event)
        elif isinstance(event, Warn):
            self._warned.append(event.message)
        self.event_came(event)

    def _end(self, line: str) -> None:
        if self.run is not None:
            self._ties.remove(self.run.cancel)
        self.run = None
        self.form.end(line)
        self.busy(running=False)
        self._show_notes()
        self.past.show_next()
        self._list_slides(follow=False)

    def _say_as_before(self, _event: object = None) -> None:
        """Say that nothing is left of a stopped run once it is so: some layers go a moment later."""
        before = self._before
        if before is None or not all(layer in before for layer in self.viewer.layers):
            return
        self._before = None
        if self.form.status.text() == STOPPED:
            self.form.status.setText(f"{STOPPED} The viewer is as it was before.")

    def _inserted(self, event: NapariEvent) -> None:
        """See to it that an image that was opened covers no other."""
        if self.subject.offers(event.value):
            between.lie_beside(self.viewer, event.value)
            if self.subject is not SLIDE and event.value.source.reader_plugin == "napari":
                between.fit(self.viewer, self.images)  # mammograms are looked at together
        self._opened_files.start()

    def _reordered(self, _event: object) -> None:
        """What has waited for its image lies on it now."""
        self._opened_files.start()

    def _list_slides(self, _event: object = None, *, follow: bool = True) -> None:
        """Offer the slides that are open; the chosen one stays chosen unless another is opened."""
        if self.run is not None:
            chosen = self.layer
            if chosen is not None and chosen not in self.viewer.layers:
                self.run.cancel()
            return
        slides = self.images[::-1]
        first = self.layer is None and bool(slides)
        self.form.offer_slides(slides)
        if first:
            self.form.choose(made_of(self.viewer, slides[0]))
        for slide in slides:
            self._ties.connect_once(slide.events.name, self._list_slides)
            self._ties.connect_once(slide.events.scale, self._ask_pixel_size)
        self.welcome.setVisible(not slides)
        self.form.setVisible(bool(slides))
        self.foot.setVisible(bool(slides))
        self.slides_listed(slides)
        if self.layer is not self._chosen:
            self._slide_chosen()
        if follow and not self._staying:
            opened = [slide for slide in slides if slide not in self._listed]
            self._listed = slides
            if self.viewer.layers.selection.active in opened:
                self._follow()

    def _follow(self, _event: object = None) -> None:
        """Look at the slide that is selected in the layer list; of a view in other colours, at its slide."""
        active = self.viewer.layers.selection.active
        staying = self._staying or self.run is not None or between.results_are_added()
        if staying or active is None:
            return
        if active != self.layer and not self.follows_views:  # else where it was chosen here
            active = made_of(self.viewer, active)
        if active != self.layer:
            self.form.choose(active)
        else:
            self._show_chosen()

    def _slide_chosen(self) -> None:
        self._chosen = layer = self.layer
        self.form.status.setText("")  # it spoke of another slide
        if layer is not None:
            self.subject.pixel_size.recall(self.viewer, layer)
            self._show_chosen()
        self._ask_pixel_size()
        self._warned = []
        self.slide_changed()
        self._show_notes()
        self.past.show_next()

    def _show_notes(self) -> None:
        """Say what one should know of the image, of the model that looks at it, and of its result."""
        layer = self.layer
        notes = [] if layer is None else [*notes_of(layer, self.card), *self.notes_on(layer)]
        self.form.show_notes(list(dict.fromkeys([*notes, *self._warned])))
        if layer is not None and digest_is_missing(layer, self.card):
            shown = layer.metadata.get("slide") or layer.metadata.get("mammogram")
            if shown is not None:
                keep_digest(layer, "")  # until it is known
                self.aside(digesting(shown), partial(self._digest_came, layer))

    def _digest_came(self, layer: Image, event: Finished) -> None:
        keep_digest(layer, event.result)
        self._show_notes()

    def _show_chosen(self) -> None:
        """Bring the chosen slide back into view; mammograms are looked at together."""
        layer = self.layer
        if (
            layer is not None
            and self.subject is SLIDE
            and not between.is_looked_at(self.viewer, layer)
        ):
            between.fit(self.viewer, [layer])
        self._chosen_seen.start()

    def _bring_back(self) -> None:
        """Show the chosen image if it is hidden: what a dock looks at is seen."""
        layer = self.layer
        if layer is not None and hidden_for_others(self.viewer, layer):
            bring_back(self.viewer, layer)

    def _ask_pixel_size(self) -> None:
        """Show the row for the size of a pixel where the file does not say it."""
        asks, layer = self.subject.pixel_size, self.layer
        if layer is not None and asks.asked(layer):
            self.form.ask_pixel_size(asks.size(layer))
        else:
            self.form.pixel_size_known()

    def _find_models(self) -> None:
        """List the models and get ready for them in the background: importing torch takes long."""
        self.form.run.setEnabled(False)
        gc.collect()
        self.aside(
            _find((*self.helpers, self.task), settings().models_folders, self.warm_up),
            self._imported,
            title="Getting models ready",
            on_event=self._found,
        )

    def _imported(self, _event: Finished) -> None:
        self._aside.imported()
        if not self.letters:
            return
        letters = Steps(self, letters_made(self.viewer, self.letters))
        self._ties.add(letters.stop)
        letters.go()

    def _found(self, event: Event) -> None:
        if not isinstance(event, ModelsFound):
            return
        if event.task in self.helpers:
            self.helpers_found(event.task, event.models)
        else:
            self._models = event.models
            self.form.offer_models(list(self._models))
            self._model_chosen()
            if self._choices:
                self.choose_again(self._choices)

    def _picked(self) -> None:
        self._model_picked = True
        (before, now), self._model_trail = self._model_trail, (self._model_trail[1],) * 2
        if self.layer is not None and before in self._models and before != now:
            self.did(
                self.layer,
                f"choice of {now}",
                partial(self._choose_again, before),
                partial(self._choose_again, now),
            )

    def _choose_again(self, model: str) -> bool:
        if self.run is None and model in self._models:
            self.form.model.setCurrentText(model)
        return self.form.model.currentText() == model

    def _choose_model(self) -> None:
        if not self._models:
            return  # they are still looked for
        name = str(self._choices.get("model", ""))
        if name in self._models:
            self.form.model.setCurrentText(name)
        elif name:
            chosen = self.form.model.currentText()
            show_warning(f"{self.title}: there is no model {name} here, so {chosen} is chosen")
        self._choices = {}

    def _model_chosen(self) -> None:
        card = self.card
        self._model_trail = self._model_trail[1], self.form.model.currentText()
        self.form.run.setEnabled(card is not None)
        self.form.info.setEnabled(card is not None)
        if card is not None:
            self.form.model.setToolTip(card.title)
            self.limits.setText(limits(self.scope, card.blind_to))
            self.model_changed(card)
            self._show_notes()
        if (training := getattr(self, "training", None)) is not None:  # of docks that train
            training.enable()


@dataclass(frozen=True, slots=True, eq=False)
class ModelsFound(Event):
    """The models there are for a task, by name: folder and card."""

    models: dict[str, tuple[Path, ModelCard]]
    task: str = ""


def models_found(tasks: Iterable[str], folders: tuple[Path, ...]) -> Iterator[ModelsFound]:
    """The models of some tasks, embedded ones and those in folders, a task's own choice first."""
    from napari_pathogan.engine.models import find_models, read_card  # noqa: PLC0415
    from napari_pathogan.tasks import task_of  # noqa: PLC0415

    for task in tasks:
        folder_of, first = find_models(task, *folders), task_of(task).default
        names = sorted(folder_of, key=lambda name: name != first)
        models = {name: (folder_of[name], read_card(folder_of[name])) for name in names}
        yield ModelsFound(models, task)


def _find(
    tasks: tuple[str, ...], folders: tuple[Path, ...], warm_up: Callable[[], None]
) -> Iterator[Event]:
    """Find the models of some tasks, and import what is needed soon, here and in the window.

    What a training has left that was killed with its napari is taken away.
    """
    yield Progress(0, 0, "looking for models")
    for folder in folders:
        if folder.is_dir():
            tidy(folder)
    with set_aside():
        for name in _SOON:
            import_module(name)
        ready_for_torch()
        yield from models_found(tasks, folders)
        warm_up()
    yield Finished()
