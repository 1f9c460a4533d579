"""Correcting nuclei in the dock: class, removal, painting; undo; keeping it with the slide."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from napari.utils.notifications import show_error, show_info

from napari_pathogan.annotations.merging import LATER, Known
from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.nuclei.annotations import keeping, reading
from napari_pathogan.plugin.nuclei.brush import Hands
from napari_pathogan.plugin.nuclei.colours import can_edit
from napari_pathogan.plugin.nuclei.words import stroke_text
from napari_pathogan.plugin.shell.form import button
from napari_pathogan.plugin.viewer import layers as between
from napari_pathogan.plugin.viewer import samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import napari
    from napari.layers import Image

    from napari_pathogan.engine.events import Event, Finished
    from napari_pathogan.plugin.nuclei.layers import NucleiLayers
    from napari_pathogan.plugin.shell.form import Form
    from napari_pathogan.plugin.shell.history import History
    from napari_pathogan.plugin.shell.running import Run
    from napari_pathogan.tasks.nuclei.editing import Editor, Stroke
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation
    from napari_pathogan.tasks.nuclei_classes.naming import Naming

NEW_TIP = "Paint a nucleus that was missed: it takes a number that no other has (N)"
REMOVAL = "removal of the nuclei"
TOO_MANY_TIP = "There are too many nuclei here to paint one more: run on a part of the slide, such as 'In view'"


class Nuclei(Protocol):
    """What is corrected: the nuclei of the open slides, as a dock shows them."""

    viewer: napari.Viewer
    form: Form
    run: Run | None
    shown_on: dict[Image, NucleiLayers]
    nucleus: int | None

    @property
    def layer(self) -> Image | None:
        """The chosen slide."""

    @property
    def shown(self) -> NucleiLayers | None:
        """The layers of its nuclei."""

    def select(self, nucleus: int | None) -> None:
        """Choose a nucleus, or none."""

    def corrected(self, layers: NucleiLayers, nucleus: int | None) -> None:
        """Show a slide's nuclei after a correction, and one of them if it is there."""

    def show_class(self, name: str) -> None:
        """Show the nuclei of a class that may be hidden."""

    def enable(self) -> None:
        """Let all buttons say what can be done."""

    def show_again(self, layers: NucleiLayers) -> None:
        """Show nuclei whose layer was removed."""

    def show_place(self, layers: NucleiLayers, nuclei: set[int]) -> None:
        """Go to nuclei that are out of view."""

    @property
    def history(self) -> History:
        """What was done in the case."""

    def did(
        self,
        image: Image,
        what: str,
        back: Callable[[], bool],
        again: Callable[[], bool],
        *,
        whole: bool = False,
    ) -> None:
        """Something was done, which can be taken back."""

    def show_annotated(self, layer: Image, segmentation: Segmentation) -> None:
        """Show nuclei that were kept with a slide."""

    def start(
        self,
        events: Iterator[Event],
        title: str,
        then: Callable[[Finished], Iterator[None] | None],
    ) -> None:
        """Run something with the progress bar and Cancel."""

    def aside(self, events: Iterator[Event], then: Callable[[Finished], None]) -> Run:
        """Run something beside it."""


class Corrections:
    """The corrections of every slide of a dock, and the buttons that go with them."""

    def __init__(self, dock: Nuclei) -> None:
        self.dock = dock
        self.editors: dict[NucleiLayers, Editor] = {}
        self._class_of_new: dict[NucleiLayers, int] = {}  # the number of the class given last
        self.new_button = button("New nucleus", NEW_TIP)
        self.new_button.clicked.connect(self.begin_new)
        self.keep_button = button(
            "Keep corrections",
            "Save these nuclei and their classes beside the slide (GeoJSON): they come back when it "
            "is opened again, and models can learn from them",
        )
        self.keep_button.clicked.connect(self.keep)
        self._gone: set[NucleiLayers] = set()  # out of the layer list, which is noted
        self._saved: dict[NucleiLayers, Segmentation] = {}  # as they were when they were kept
        self._known: dict[Image, Known] = {}  # of the files of slides
        self.folders: set[Path] = set()  # of slides with nuclei kept

    @property
    def editor(self) -> Editor | None:
        """The corrections of the chosen slide."""
        return self.editors.get(self.dock.shown) if self.dock.shown is not None else None

    @property
    def removed(self) -> NucleiLayers | None:
        """The chosen slide's nuclei, if the user has taken them out of the layer list."""
        layer = self.dock.layer
        layers = self.dock.shown_on.get(layer) if layer is not None else None
        return layers if layers in self.editors and layers is not None and layers.missing else None

    def begin(self, layers: NucleiLayers, segmentation: Segmentation) -> None:
        """Start from nuclei as they were found, or kept; those of an earlier run can be had again."""
        from napari_pathogan.tasks.nuclei.editing import Editor, editable  # noqa: PLC0415

        own = editable(segmentation) if can_edit(segmentation) else segmentation
        earlier = self.editors.get(layers)
        self.editors[layers] = editor = Editor(own, between.slide_of(layers.slide))
        if earlier is not None:
            self.dock.did(
                layers.slide,
                "the last run",
                partial(self._bring_back, layers, earlier),
                partial(self._bring_back, layers, editor),
                whole=True,
            )
        self._class_of_new.pop(layers, None)
        layers.brush.hands = Hands(
            painted=partial(self.take_over, layers),
            undo=lambda: self.dock.history.undo(layers.slide),
            redo=lambda: self.dock.history.redo(layers.slide),
            numbered=partial(self._numbered, layers),
            missed=self._missed,
        )

    def segmentation(self, layers: NucleiLayers) -> Segmentation:
        """The nuclei as corrected so far."""
        return self.editors[layers].segmentation

    def set_class(self, name: str) -> None:
        """Correct the class of the chosen nucleus."""
        layers = self.dock.shown
        if layers is None or not self.take_over(layers) or self.dock.nucleus is None:
            return
        editor, nucleus = self.editors[layers], self.dock.nucleus
        editor.set_class(nucleus, name)
        self._note(layers)
        self._class_of_new[layers] = editor.segmentation.class_names.index(name)
        self.dock.corrected(layers, nucleus)

    def remove(self) -> bool:
        """Take the chosen nucleus away; False if there is none."""
        layers, nucleus = self.dock.shown, self.dock.nucleus
        if layers is None or nucleus is None:
            return False
        if self.take_over(layers):
            self.editors[layers].remove(nucleus)
            self._note(layers)
            layers.redraw()
            self.dock.corrected(layers, None)
            self.dock.form.status.setText(f"Nucleus {nucleus} is deleted.")
        return True

    def note_missing(self) -> None:
        """The chosen slide's nuclei were taken out of the layer list, which can be taken back."""
        layers = self.removed
        if layers is None or layers in self._gone:
            return
        self._gone.add(layers)
        self.dock.did(
            layers.slide,
            REMOVAL,
            partial(self._show_again, layers),
            partial(self._remove_again, layers),
        )

    def _show_again(self, layers: NucleiLayers) -> bool:
        if self.dock.run is not None:
            return False
        self._gone.discard(layers)
        self.dock.show_again(layers)
        return True

    def _remove_again(self, layers: NucleiLayers) -> bool:
        if self.dock.run is not None:
            return False
        self._gone.add(layers)
        layers.remove()
        return True

    def _bring_back(self, layers: NucleiLayers, editor: Editor) -> bool:
        """Show what an earlier run has found, as it was corrected."""
        if self.dock.run is not None:
            return False
        self.take_over(layers)
        self.editors[layers] = editor
        self.dock.show_again(layers)
        return True

    def _note(self, layers: NucleiLayers) -> None:
        """A correction was made, which can be taken back."""
        self.dock.did(
            layers.slide,
            self.editors[layers].undoable,
            partial(self._step, layers, back=True),
            partial(self._step, layers, back=False),
        )

    def begin_new(self) -> bool:
        """Let the user paint a nucleus that was missed; False if there are none to paint beside."""
        layers = self.dock.shown
        if layers is None or not layers.editable:
            return False
        if self.take_over(layers):
            layers.begin_painting()
            self.dock.select(None)
            self.dock.form.status.setText(
                "Paint the nucleus. N: one more; Z: move the slide again."
            )
        return True

    def hold(self, layers: NucleiLayers, nucleus: int | None) -> None:
        """Paint the outline of a nucleus from now on; of one that is new if it is None."""
        layers.brush.hold(self.editors[layers].unused if nucleus is None else nucleus)

    def take_over(self, layers: NucleiLayers) -> bool:
        """Take over what was painted with napari's tools; False if it is no time for corrections."""
        if self.dock.run is not None or layers.brush.painting or layers not in self.editors:
            return False
        editor = self.editors[layers]
        steps = len(editor)
        layers.reclaim()
        try:
            stroke = editor.repainted(self._name_of_new(layers))
        except PathoganError as error:
            layers.redraw()
            show_error(str(error))
            return True
        if len(editor) > steps:
            self._note(layers)
        if stroke is not None:
            self._show_stroke(layers, stroke)
        return True

    def rename(self, layers: NucleiLayers, naming: Naming, tissue: str) -> None:
        """Show the classes under other names and colours."""
        editor = self.editors[layers]
        editor.rename(naming, tissue)
        layers.recolour(editor.segmentation)

    def keep(self) -> None:
        """Save the nuclei of the chosen slide beside it."""
        if self.dock.shown is not None and self.dock.layer is not None:
            self.take_over(self.dock.shown)
            assert self.editor is not None
            known = self._known.setdefault(self.dock.layer, Known())
            kept = partial(self._kept, self.dock.shown, self.editor.segmentation, known)
            slide = between.slide_of(self.dock.layer)
            events = keeping(slide, self.editor.segmentation, known)
            self.dock.start(events, "Keeping corrections", kept)

    def unsaved(self, slides: Sequence[Image]) -> str:
        """What of these slides is corrected and not kept, as a sentence; empty if nothing is."""
        names = []
        for slide in slides:
            layers = self.dock.shown_on.get(slide)
            if layers is None or layers not in self.editors:
                continue
            self.take_over(layers)
            editor = self.editors[layers]
            if len(editor) and editor.segmentation is not self._saved.get(layers):
                names.append(slide.name)
        if not names:
            return ""
        return f"Your corrections on {' and '.join(names)} are not kept: they would be lost."

    def was_kept(self, segmentation: Segmentation) -> None:
        """Nuclei as they were then are kept."""
        for layers, editor in self.editors.items():
            if editor.segmentation is segmentation:
                self._saved[layers] = segmentation

    def look_for_annotations(self, layer: Image) -> None:
        """Show what was kept with a slide, if anything was; read in the background."""
        slide = between.slide_of(layer)
        if slide.path is not None:
            self.dock.aside(reading(slide), partial(self._read, layer))

    def enable(self) -> None:
        """Let the buttons say what can be done."""
        idle = self.dock.run is None
        editor = self.editor
        paintable = self.dock.shown is not None and self.dock.shown.editable
        self.new_button.setEnabled(idle and paintable)
        self.new_button.setToolTip(NEW_TIP if paintable or editor is None else TOO_MANY_TIP)
        self.keep_button.setEnabled(idle and editor is not None)

    def folder(self) -> Path | None:
        """The folder of the chosen slide; None for the sample, which nothing is learnt from."""
        path = between.slide_of(self.dock.layer).path if self.dock.layer is not None else None
        return None if path is None or samples.FOLDER in path.parents else path.parent

    def _show_stroke(self, layers: NucleiLayers, stroke: Stroke) -> None:
        """Show what has become of a stroke, and choose the nucleus that is new."""
        segmentation = self.editors[layers].segmentation
        layers.redraw()
        self.dock.form.choose(layers.slide)
        if stroke.new and layers is self.dock.shown:
            new = next(iter(stroke.new))
            self.dock.show_class(segmentation.nucleus(new)["class"])
            self.dock.corrected(layers, new)
        else:
            self.dock.corrected(layers, self.dock.nucleus)
        self.dock.form.status.setText(stroke_text(stroke, segmentation))

    def _step(self, layers: NucleiLayers, *, back: bool) -> bool:
        """Go a step of a slide's corrections; False if it is no time for that."""
        if not self.take_over(layers):
            return False
        editor = self.editors[layers]
        step = editor.undo() if back else editor.redo()
        if step is None:
            return False
        if step.pixels is not None:
            layers.redraw()
        there = step.ids & set(editor.segmentation.table["id"].tolist())
        self.dock.corrected(layers, there.pop() if len(there) == 1 else self.dock.nucleus)
        self.dock.show_place(layers, step.ids)
        return True

    def _name_of_new(self, layers: NucleiLayers) -> str:
        """The class of a nucleus that was painted: the one given last, else the most frequent."""
        segmentation = self.editors[layers].segmentation
        if (given := self._class_of_new.get(layers)) is not None:
            return segmentation.class_names[given]
        counts = segmentation.counts()
        return max(counts, key=lambda name: counts[name])

    def _numbered(self, layers: NucleiLayers, number: int) -> None:
        """The user has given the brush a number: that of a nucleus chooses it."""
        if layers is self.dock.shown:
            known = number in set(self.editors[layers].segmentation.table["id"])
            self.dock.select(number if known else None)

    def _missed(self) -> None:
        self.dock.form.status.setText(
            "Nothing was painted: nuclei were not looked for there. Run there first."
        )

    def _kept(
        self, layers: NucleiLayers, kept: Segmentation, known: Known, event: Finished
    ) -> None:
        self._saved[layers] = kept
        path, elsewhere = event.result
        others = f"{known.note}. {LATER}" if known.note else ""
        self.dock.form.status.setText(others or f"Kept in {path.name}")
        self.dock.form.status.setToolTip(str(path))
        slide = between.slide_of(layers.slide).path
        assert slide is not None, "what is no file can't be kept"
        self.folders.add(slide.parent)
        if elsewhere:
            show_info(f"Nothing can be kept beside this slide: the corrections are in {path}")
        self.dock.enable()

    def _read(self, layer: Image, event: Finished) -> None:
        in_time = layer in self.dock.viewer.layers and layer not in self.dock.shown_on
        path = between.slide_of(layer).path
        nuclei, known = event.result
        self._known.setdefault(layer, known)
        if nuclei is not None and in_time and path is not None:
            self.folders.add(path.parent)
            self.dock.show_annotated(layer, nuclei)
            self.dock.form.status.setText("Nuclei that were kept with this slide")
            self.dock.enable()
