"""The dialog that shows and asks what outlines of each class count as."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QFormLayout, QWidget

from napari_pathogan.annotations.classes import IGNORED, UNCLASSIFIED, UNKNOWN
from napari_pathogan.plugin.idc.refitting import CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping


class ClassesDialog(QDialog):
    """What the outlines of each class count as, to see and to change.

    Parameters
    ----------
    counted
        Class -> what it counts as now.
    """

    def __init__(self, parent: QWidget, counted: Mapping[str, str]) -> None:
        super().__init__(parent)
        self.setWindowTitle("What classes count as")
        self.rows = {name: QComboBox() for name in counted}
        form = QFormLayout(self)
        for name, row in self.rows.items():
            row.addItems([*CLASSES, IGNORED, *[UNKNOWN] * (counted[name] == UNKNOWN)])
            row.setCurrentText(counted[name])
            form.addRow(name or UNCLASSIFIED, row)
        ways = QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        box = QDialogButtonBox(ways)
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        form.addRow(box)
        self._counted = dict(counted)

    @property
    def changes(self) -> dict[str, str]:
        """Class -> what it is to count as, where that is another."""
        chosen = {name: row.currentText() for name, row in self.rows.items()}
        return {
            name or UNCLASSIFIED: kind
            for name, kind in chosen.items()
            if kind != self._counted[name]
        }
