"""Which of several examinations are opened: the user is told, and chooses."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMainWindow,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.mammograms.study import as_one

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.mammograms.study import Examination


def chosen(found: Sequence[Examination]) -> list[Examination]:
    """Ask which of several examinations to open; none if the user leaves it.

    One is not asked about. All are opened where nobody can be asked: in a thread, without a window.
    """
    if len(found) < 2 or not _can_ask():
        return list(found)
    dialog = ExaminationDialog(found, QApplication.activeWindow())
    return dialog.chosen() if dialog.exec() else []


def _can_ask() -> bool:
    if QApplication.instance() is None or threading.current_thread() is not threading.main_thread():
        return False
    return any(isinstance(w, QMainWindow) and w.isVisible() for w in QApplication.topLevelWidgets())


class ExaminationDialog(QDialog):
    """Lists examinations by what may be shown: names of folders or files, images, views.

    Parameters
    ----------
    found
        Two or more.
    """

    def __init__(self, found: Sequence[Examination], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.found = found
        self.setWindowTitle("Mammograms of several examinations")
        self.setMinimumWidth(420)
        about = QLabel(
            f"These are {len(found)} examinations: other patients, or other days. Those that you "
            "choose hang one beside the other, numbered, and never as one."
        )
        about.setWordWrap(True)
        self.list = QListWidget()
        self.items = [QListWidgetItem(str(one)) for one in found]
        for item, one in zip(self.items, found, strict=True):
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked)
            item.setToolTip("\n".join(path.name for path in one.files))
            self.list.addItem(item)
        self.list.itemChanged.connect(self._enable)
        self.together = QCheckBox("They are one examination of one patient: hang them as one")
        self.together.setToolTip("The images have no headers, so only their names tell them apart")
        self.together.setVisible(not any(one.certain for one in found))
        box = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.go = QPushButton("Open")
        box.addButton(self.go, QDialogButtonBox.ButtonRole.AcceptRole)
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        for widget in (about, self.list, self.together, box):
            column.addWidget(widget)

    def chosen(self) -> list[Examination]:
        """Those that are ticked, or all of them as one."""
        ticked = [
            one
            for item, one in zip(self.items, self.found, strict=True)
            if item.checkState() == Qt.CheckState.Checked
        ]
        return [as_one(ticked)] if ticked and self.together.isChecked() else ticked

    def _enable(self) -> None:
        self.go.setEnabled(bool(self.chosen()))
