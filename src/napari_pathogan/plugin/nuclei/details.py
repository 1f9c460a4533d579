"""One nucleus in detail: enlarged, its features, its class probabilities; and correcting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_pathogan.plugin.nuclei.pictures import portrait
from napari_pathogan.plugin.nuclei.plot import Probabilities
from napari_pathogan.plugin.shell.form import beside, combo, label

if TYPE_CHECKING:
    import pandas as pd

    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation

PORTRAIT_PX = 96
HINT = "Click a nucleus on the slide: here come its picture, its features and its class."


class Details(QWidget):
    """Shows the nucleus that was clicked."""

    class_chosen = Signal(str)  # the user corrects the class
    removed = Signal()  # the user says that this is no nucleus

    def __init__(self) -> None:
        super().__init__()
        self.hint = label(HINT)
        self.picture = QLabel()
        self.picture.setFixedSize(PORTRAIT_PX, PORTRAIT_PX)
        self.facts = QLabel()
        self.facts.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.bars = Probabilities()
        self.choice = combo(
            "The class of this nucleus; correct it here or with the keys 1, 2, 3…, or say that it is right (A)"
        )
        self.choice.activated.connect(self._chosen)
        self.delete = QPushButton("Delete")
        self.delete.setToolTip("This is no nucleus: take it away (Delete)")
        self.delete.clicked.connect(self.removed)

        self.body = QWidget()
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, 0)
        top = QHBoxLayout()
        top.setSpacing(10)
        top.addWidget(self.picture)
        top.addWidget(self.facts, 1)
        column.addLayout(top)
        column.addWidget(self.bars)
        column.addWidget(beside(QLabel("Class"), self.choice, self.delete, wide=1))
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 6, 0, 0)
        whole.addWidget(self.hint)
        whole.addWidget(self.body)
        whole.addStretch(1)
        self.body.hide()

    def show_nucleus(
        self, segmentation: Segmentation | None, slide: Slide | None, nucleus: int | None
    ) -> None:
        """Show a nucleus; None clears the page."""
        known = segmentation is not None and slide is not None and nucleus is not None
        self.hint.setVisible(not known)
        self.body.setVisible(known)
        if segmentation is None or slide is None or nucleus is None:
            return
        one = segmentation.nucleus(nucleus)
        self.picture.setPixmap(portrait(slide, segmentation, nucleus, PORTRAIT_PX))
        self.facts.setText(facts(one))
        self.bars.show_rows(probabilities(segmentation, one))
        self.choice.clear()
        self.choice.addItems(list(segmentation.class_names))
        self.choice.setCurrentText(one["class"])

    def _chosen(self, index: int) -> None:
        self.class_chosen.emit(self.choice.itemText(index))


def facts(one: pd.Series) -> str:
    """The features of a nucleus as a small table in HTML."""
    rows = [
        ("Area", f"{one['area_um2']:.0f} µm²"),
        ("Eccentricity", f"{one['eccentricity']:.2f}"),
        ("Solidity", f"{one['solidity']:.2f}"),
        ("Haematoxylin", f"{one['haematoxylin_mean']:.2f} OD"),
        ("x", f"{one['x_um']:,.0f} µm"),
        ("y", f"{one['y_um']:,.0f} µm"),
    ]
    lines = [f"<tr><td>{name}&nbsp;</td><td>{value}</td></tr>" for name, value in rows]
    note = "<br><i>corrected by hand</i>" if one["corrected"] else ""
    return f"<table>{''.join(lines)}</table>{note}"


def probabilities(segmentation: Segmentation, one: pd.Series) -> list[tuple[str, str, float]]:
    """Name, colour and probability of each class; nothing where no model has given any."""
    look = zip(segmentation.class_names, segmentation.class_colours, strict=True)
    found = [(name, colour, one.get(f"p_{name}", np.nan)) for name, colour in look]
    return [] if any(np.isnan(p) for _, _, p in found) else found
