"""The page of numbers: classes with their counts, and a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_pathogan.plugin.nuclei.colours import FOUND_COLOUR
from napari_pathogan.plugin.nuclei.plot import COUNTS, FEATURES, Plot
from napari_pathogan.plugin.nuclei.table import ClassTable
from napari_pathogan.plugin.shell.form import combo

if TYPE_CHECKING:
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation
    from napari_pathogan.tasks.nuclei_classes.naming import Naming


class Numbers(QWidget):
    """Class table, histogram, and the door to the nuclei that the class model draws."""

    def __init__(self) -> None:
        super().__init__()
        self._segmentation: Segmentation | None = None
        self.table = ClassTable()
        self.renamed, self.hidden_changed = self.table.renamed, self.table.hidden_changed
        self.feature = combo("What to plot")
        self.feature.addItems([COUNTS, *FEATURES])
        self.feature.currentTextChanged.connect(self._plot)
        self.plot = Plot()
        self.drawn = QPushButton("Synthetic nuclei…")
        self.drawn.setToolTip("Nuclei that the class model draws: what it takes for typical")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.table, self.feature, self.plot, self.drawn):
            column.addWidget(widget)
        column.addStretch(1)

    def show_nuclei(self, segmentation: Segmentation, *, editable: bool) -> None:
        """Show what was found; ``editable`` where a class model can keep the names."""
        names, colours = segmentation.class_names, segmentation.class_colours
        self.table.show_classes(names, colours, editable=editable)
        counts, densities = segmentation.counts(), segmentation.densities()
        self.table.show_counts(list(counts.values()), list(densities.values()))
        self._segmentation = segmentation
        self._plot()

    def show_model(self, naming: Naming | None) -> None:
        """Show the classes that a class model knows, while nothing has been found."""
        names = naming.names if naming else ("nucleus",)
        colours = naming.colours if naming else (FOUND_COLOUR,)
        self.table.show_classes(names, colours, editable=naming is not None)
        self.table.show_counts(None, None)
        self._segmentation = None
        self._plot()

    def _plot(self) -> None:
        self.plot.show_nuclei(self._segmentation, self.feature.currentText())
