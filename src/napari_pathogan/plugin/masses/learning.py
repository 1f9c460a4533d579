"""Learning from reviews in the dock: which folder, under which name, and what comes of it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QVBoxLayout,
)

from napari_pathogan.engine.events import Finished
from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.masses.training import Reviewed, looking, training
from napari_pathogan.plugin.shell.form import beside, button, keep_lines, label
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.shell.training_row import TrainingRow
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.mammogram_layers import mammogram_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.engine.events import Event
    from napari_pathogan.plugin.masses.dock import MassesDock


class Learning:
    """The dock's Train button, the dialog it opens, and the training that runs beside the dock."""

    def __init__(self, dock: MassesDock) -> None:
        self.dock = dock
        self.button = button(
            "Train…",
            "Let the chosen model learn from all reviewed mammograms of a folder, in the "
            "background; the new model has a name of its own, and the old one stays",
        )
        self.button.clicked.connect(self.ask)
        self.row = TrainingRow(dock)

    def enable(self) -> None:
        """Let the button say whether something can be trained."""
        self.button.setEnabled(
            self.row.run is None and self.dock.layer is not None and self.dock.card is not None
        )

    def ask(self) -> None:
        """Ask for the folder and the new model's name, then train."""
        layer = self.dock.layer
        if layer is None or self.dock.card is None:
            return
        path = mammogram_of(layer).path
        if path is None:
            show_error(f"{layer.name} is no file: save it, open it again, and review it there")
        elif samples.FOLDER in path.parents:
            show_error("Nothing is learnt from the sample: review mammograms of your own")
        else:
            TrainingDialog(self, path).open()

    def train(self, reviewed: Reviewed, start: Path, name: str) -> None:
        """Go on with a model on the reviewed mammograms of a folder."""
        events = training(reviewed, start, settings().own_model(name))
        self.row.start(events, name, self._trained, self.enable)
        self.enable()

    def free_name(self) -> str:
        """A name for a new model: that of the chosen one, numbered."""
        assert self.dock.card is not None
        stem = re.sub(r"-own-\d+$", "", self.dock.card.name)
        names = (f"{stem}-own-{number}" for number in itertools.count(1))
        return next(name for name in names if not (settings().own_models / name).exists())

    def _trained(self, event: Finished) -> str:
        name = self.dock.model_trained(event.result)
        if self.dock.run is not None:  # with the model from before
            return f"{name} is trained: choose it above to use it"
        self.dock.form.model.setCurrentText(name)
        return f"{name} is trained and chosen; the model it began with stays in the list"


class TrainingDialog(QDialog):
    """Which folder to learn from, what is in it, and what the new model is called.

    Parameters
    ----------
    image
        The mammogram whose folder is proposed.
    """

    def __init__(self, owner: Learning, image: Path) -> None:
        super().__init__(owner.dock)
        self.owner = owner
        self.start = owner.dock.model_folder
        self.reviewed: Reviewed | None = None
        self.setWindowTitle("Train on reviewed mammograms")
        self.setMinimumWidth(420)
        self.folder = QLineEdit()
        self.folder.setReadOnly(True)
        self.folder.setToolTip("A folder of mammograms, with a folder of its own for each patient")
        self.choose = button("Choose…", "Learn from another folder")
        self.choose.clicked.connect(self._choose)
        self.about = label("")
        keep_lines(self.about, 4)
        self.name = QLineEdit(owner.free_name())
        self.name.textChanged.connect(self._enable)
        self.wrong = label("")
        box = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.go = button("Train", "Start in the background; the viewer stays usable")
        box.addButton(self.go, QDialogButtonBox.ButtonRole.AcceptRole)
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        rows = QFormLayout()
        rows.addRow("Reviews in", beside(self.folder, self.choose))
        rows.addRow("", self.about)
        rows.addRow("New model", self.name)
        rows.addRow("", self.wrong)
        column = QVBoxLayout(self)
        column.addLayout(rows)
        column.addWidget(box)
        self.look(image)
        self.finished.connect(self._close)

    def look(self, place: Path) -> None:
        """See what a folder, or that of an image, holds."""
        self.reviewed = None
        self.folder.setText(str(place if place.is_dir() else place.parent))
        self.about.setText("Looking for reviewed mammograms…")
        self._enable()
        self._search = self.owner.dock.aside(_told(looking(place, self.start)), self._found)

    def accept(self) -> None:
        """Train."""
        super().accept()
        if self.reviewed is not None:
            self.owner.train(self.reviewed, self.start, self.name.text().strip())

    def _found(self, event: Finished) -> None:
        if isinstance(event.result, Reviewed):
            self.reviewed = event.result
            self.folder.setText(str(event.result.folder))
        self.about.setText(str(event.result))
        self._enable()

    def _choose(self) -> None:
        title = "Folder of reviewed mammograms"
        chosen = QFileDialog.getExistingDirectory(self, title, self.folder.text())
        if chosen:
            self.look(Path(chosen))

    def _close(self) -> None:
        self._search.cancel()
        self.deleteLater()

    def _enable(self) -> None:
        why = ""
        try:
            settings().own_model(self.name.text().strip())
        except PathoganError as error:
            why = str(error)
        self.wrong.setText(why)
        self.go.setEnabled(self.reviewed is not None and not why)


def _told(events: Iterator[Event]) -> Iterator[Event]:
    """Finish with what is wrong, for the dialog to say it."""
    try:
        yield from events
    except PathoganError as error:
        yield Finished(f"Nothing to learn from: {error}.")
