"""Correcting nuclei in the dock: class, removal, painting; undo; keeping it with the slide."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QInputDialog, QPushButton

from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin import layers as between
from napari_pathogan.plugin.nuclei_colours import can_edit
from napari_pathogan.plugin.nuclei_kept import keeping, reading
from napari_pathogan.plugin.nuclei_training import training
from napari_pathogan.plugin.settings import settings

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image

    from napari_pathogan.engine.events import Finished
    from napari_pathogan.nuclei.classes.naming import Naming
    from napari_pathogan.nuclei.editing import Editor
    from napari_pathogan.nuclei.segmentation import Segmentation
    from napari_pathogan.plugin.nuclei_layers import NucleiLayers
    from napari_pathogan.plugin.nuclei_widget import NucleiDock


class Corrections:
    """The corrections of every slide of a dock, and the buttons that go with them."""

    def __init__(self, dock: NucleiDock) -> None:
        self.dock = dock
        self.editors: dict[NucleiLayers, Editor] = {}
        self.undo_button = QPushButton("Undo")
        self.undo_button.setToolTip("Take the last correction back")
        self.undo_button.clicked.connect(self.undo)
        self.keep_button = QPushButton("Keep corrections")
        self.keep_button.setToolTip(
            "Save these nuclei and their classes beside the slide (GeoJSON): they come back when it "
            "is opened again, and models can learn from them"
        )
        self.keep_button.clicked.connect(self.keep)
        self.train_button = QPushButton("Train on corrections…")
        self.train_button.setToolTip(
            "Let the chosen model learn from all slides of this folder that have kept nuclei; "
            "the new model has a name of its own, and the old one stays"
        )
        self.train_button.clicked.connect(self.ask_training)
        self._folders: set[Path] = set()  # of slides with nuclei kept beside them

    @property
    def editor(self) -> Editor | None:
        """The corrections of the chosen slide."""
        return self.editors.get(self.dock.shown) if self.dock.shown is not None else None

    def begin(self, layers: NucleiLayers, segmentation: Segmentation) -> None:
        """Start from nuclei as they were found, or kept."""
        from napari_pathogan.nuclei.editing import Editor, editable  # noqa: PLC0415

        own = editable(segmentation) if can_edit(segmentation) else segmentation
        self.editors[layers] = Editor(own, between.slide_of(layers.slide))
        layers.painted = partial(self._painted, layers)

    def segmentation(self, layers: NucleiLayers) -> Segmentation:
        """The nuclei as corrected so far."""
        return self.editors[layers].segmentation

    def set_class(self, name: str) -> None:
        """Correct the class of the chosen nucleus."""
        if self.editor is not None and self.dock.nucleus is not None:
            self.editor.set_class(self.dock.nucleus, name)
            self.dock.corrected()

    def remove(self) -> None:
        """Take the chosen nucleus away."""
        if self.editor is not None and self.dock.nucleus is not None:
            self.editor.remove(self.dock.nucleus)
            self._pixels_changed()

    def undo(self) -> None:
        """Take the last correction back."""
        if self.editor is not None and self.editor.undo():
            self._pixels_changed()

    def rename(self, layers: NucleiLayers, naming: Naming, tissue: str) -> None:
        """Show the classes under other names and colours."""
        editor = self.editors[layers]
        editor.rename(naming, tissue)
        layers.recolour(editor.segmentation)

    def keep(self) -> None:
        """Save the nuclei of the chosen slide beside it."""
        if self.editor is not None and self.dock.layer is not None:
            slide = between.slide_of(self.dock.layer)
            events = keeping(slide, self.editor.segmentation)
            self.dock.start(events, "Keeping corrections", self._kept, _nothing)

    def look_for_kept(self, layer: Image) -> None:
        """Show what was kept with a slide, if anything was; read in the background."""
        slide = between.slide_of(layer)
        if slide.path is not None:
            self.dock.aside(reading(slide), partial(self._read, layer))

    def enable(self) -> None:
        """Let the buttons say what can be done."""
        idle = self.dock.run is None
        self.undo_button.setEnabled(idle and bool(self.editor))
        self.keep_button.setEnabled(idle and self.editor is not None)
        self.train_button.setEnabled(idle and self._folder() in self._folders)

    def ask_training(self) -> None:
        """Ask for the new model's name, and train."""
        card = self.dock.card
        if card is None:
            return
        text = "Name of the new model (the old one stays):"
        name, said_yes = QInputDialog.getText(
            self.dock, "Train on corrections", text, text=f"{card.name}-corrected"
        )
        if said_yes and name.strip():
            self.train(name.strip())

    def train(self, name: str) -> None:
        """Go on with the chosen model on all corrected slides of this slide's folder."""
        folder = self._folder()
        if folder is not None:
            run = settings().own_models / name
            events = training(folder, self.dock.model_folder, run, name)
            self.dock.start(events, "Training on corrections", self._trained, _nothing)

    def _trained(self, event: Finished) -> None:
        name = self.dock.model_trained(event.result)
        self.dock.form.status.setText(f"{name} is trained: choose it above to use it")

    def _folder(self) -> Path | None:
        """The folder of the chosen slide."""
        path = between.slide_of(self.dock.layer).path if self.dock.layer is not None else None
        return None if path is None else path.parent

    def _painted(self, layers: NucleiLayers) -> None:
        """Measure what was painted with napari's tools; a new nucleus has the class shown last."""
        editor = self.editors[layers]
        name = self.dock.details.choice.currentText()
        names = editor.segmentation.class_names
        try:
            changed = editor.repainted(name if name in names else names[0])
        except PathoganError as error:
            show_error(str(error))
            return
        if changed and layers is self.dock.shown:
            self.dock.corrected()

    def _pixels_changed(self) -> None:
        assert self.dock.shown is not None
        if self.dock.shown.labels is not None:
            self.dock.shown.labels.refresh()
        self.dock.corrected()

    def _kept(self, event: Finished) -> None:
        path, elsewhere = event.result
        self.dock.form.status.setText(f"Kept in {path.name}")
        self.dock.form.status.setToolTip(str(path))
        if not elsewhere:
            self._folders.add(path.parent)
        else:
            show_info(f"The slide's folder can't be written: the corrections are kept in {path}")
        self.enable()

    def _read(self, layer: Image, event: Finished) -> None:
        in_time = layer in self.dock.viewer.layers and layer not in self.dock.shown_on
        path = between.slide_of(layer).path
        if event.result is not None and in_time and path is not None:
            self._folders.add(path.parent)
            self.dock.show_kept(layer, event.result)
            self.dock.form.status.setText("Nuclei that were kept with this slide")


def _nothing() -> None:
    """A stopped save leaves nothing behind, so there is nothing to take back."""
