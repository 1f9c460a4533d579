"""Pictures of many nuclei: the most typical and the most doubtful of a class, and drawn ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.plugin.nuclei.pictures import cut_out, pixmap
from napari_pathogan.plugin.shell.form import combo, label

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation
    from napari_pathogan.tasks.nuclei_classes.naming import Naming

ACROSS, DOWN = 5, 2  # pictures of each kind
THUMB_PX = 44
THUMB_UM = 16.0
TYPICAL, DOUBTFUL = "Most typical", "Most doubtful"


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """Pictures of a class: ids, and uint8 (N, S, S, 3), of each kind."""

    name: str
    nuclei: dict[str, list[int]]
    pictures: dict[str, list[np.ndarray]]


class Gallery(QWidget):
    """The surest and the least sure nuclei of a class; a click goes there."""

    chosen = Signal(int)  # a nucleus
    asked = Signal(str)  # pictures of a class are wanted

    def __init__(self) -> None:
        super().__init__()
        self.choice = combo("The class whose nuclei are shown")
        self.choice.currentTextChanged.connect(self._asked)
        self.hint = label("Run with a class model: here come its surest and least sure nuclei.")
        self.buttons: dict[str, list[QPushButton]] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.addWidget(self.hint)
        column.addWidget(self.choice)
        self.none = label("No nucleus was called so.")
        column.addWidget(self.none)
        self.headings = {kind: QLabel(kind) for kind in (TYPICAL, DOUBTFUL)}
        for kind, heading in self.headings.items():
            column.addWidget(heading)
            column.addLayout(self._thumbs(kind))
        column.addStretch(1)
        self.clear()

    def clear(self) -> None:
        """Show that there is nothing to show."""
        self.choice.blockSignals(True)
        self.choice.clear()
        self.choice.blockSignals(False)
        self._hide(hidden=True)

    def offer(self, names: Sequence[str]) -> None:
        """Offer the classes, and ask for pictures of the one that is chosen."""
        chosen = self.choice.currentIndex()
        self.choice.blockSignals(True)
        self.choice.clear()
        self.choice.addItems(list(names))
        self.choice.setCurrentIndex(max(0, min(chosen, len(names) - 1)))
        self.choice.blockSignals(False)
        self._hide(hidden=False)
        self._asked(self.choice.currentText())

    def show_shelf(self, shelf: Shelf) -> None:
        """Show pictures, unless another class has been chosen meanwhile."""
        if shelf.name != self.choice.currentText():
            return
        self.none.setVisible(not any(shelf.nuclei.values()))
        for kind, buttons in self.buttons.items():
            self.headings[kind].setVisible(bool(shelf.nuclei[kind]))
            for index, button in enumerate(buttons):
                there = index < len(shelf.nuclei[kind])
                button.setVisible(there)
                if there:
                    button.setIcon(QIcon(pixmap(shelf.pictures[kind][index], THUMB_PX)))
                    button.setProperty("nucleus", shelf.nuclei[kind][index])

    def _thumbs(self, kind: str) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(4)
        grid.setColumnStretch(ACROSS, 1)
        self.buttons[kind] = []
        for index in range(ACROSS * DOWN):
            button = QPushButton()
            button.setFixedSize(THUMB_PX + 4, THUMB_PX + 4)
            button.setIconSize(QSize(THUMB_PX, THUMB_PX))
            button.setStyleSheet("padding: 0px")
            button.setToolTip("Go to this nucleus")
            button.clicked.connect(partial(self._clicked, button))
            grid.addWidget(button, index // ACROSS, index % ACROSS)
            self.buttons[kind].append(button)
        return grid

    def _hide(self, *, hidden: bool) -> None:
        self.hint.setVisible(hidden)
        self.none.hide()
        thumbs = (button for buttons in self.buttons.values() for button in buttons)
        for widget in (self.choice, *self.headings.values(), *thumbs):
            widget.setVisible(not hidden)

    def _asked(self, name: str) -> None:
        if name:
            self.asked.emit(name)

    def _clicked(self, button: QPushButton, _checked: object = None) -> None:
        self.chosen.emit(int(button.property("nucleus")))


def fill_shelf(slide: Slide, segmentation: Segmentation, name: str) -> Iterator[Event]:
    """Cut the pictures of a class out of the slide; finishes with a :class:`Shelf`."""
    yield Progress(0, 0, f"cutting out nuclei of class {name}")
    nuclei = ranked(segmentation, name, ACROSS * DOWN)
    pictures: dict[str, list[np.ndarray]] = {}
    for kind, ids in nuclei.items():
        pictures[kind] = []
        for nucleus in ids:
            one = segmentation.nucleus(nucleus)
            pixels, _, _ = cut_out(
                slide, one["y_px"], one["x_px"], side_um=THUMB_UM, side_px=THUMB_PX
            )
            pictures[kind].append(pixels)
            yield Progress(0, 0)
    yield Finished(Shelf(name, nuclei, pictures))


def ranked(segmentation: Segmentation, name: str, n: int) -> dict[str, list[int]]:
    """Ids of the surest and of the least sure nuclei of a class, the extreme ones first.

    Nuclei that the user has corrected are not the model's, and left out.
    """
    table = segmentation.table
    own = table[(table["class"] == name) & ~table["corrected"].astype(bool)]
    own = own.dropna(subset=["class_probability"]).sort_values("class_probability", kind="stable")
    ids = own["id"].tolist()
    few = min(n, len(ids) // 2)  # none is both
    return {TYPICAL: ids[::-1][: len(ids) - few][:n], DOUBTFUL: ids[:few]}


class GridDialog(QDialog):
    """Nuclei that a class model has drawn: classes across, the same random start along a row."""

    SCALE = 2.2  # names of classes fit above their columns

    def __init__(
        self, picture: np.ndarray, naming: Naming, title: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Synthetic nuclei: {title}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        text = label(
            "<b>Synthetic:</b> the model has drawn these nuclei; none is a patient's. Each column "
            "is a class, in its colour; nuclei in a row differ in their class alone. "
            f"{naming.note}"
        )
        shown = QLabel()
        shown.setPixmap(pixmap(picture, round(self.SCALE * picture.shape[1])))
        above = QWidget()
        above.setFixedWidth(round(self.SCALE * picture.shape[1]))
        heads = QGridLayout(above)
        heads.setContentsMargins(0, 0, 0, 0)
        for index, name in enumerate(naming.names):
            heads.addWidget(QLabel(name), 0, index, Qt.AlignmentFlag.AlignHCenter)
            heads.setColumnStretch(index, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.addWidget(text)
        column.addWidget(above, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(shown, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(buttons)
