"""Which of several examinations are opened: the user is told, and chooses."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari.utils import progress
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

from napari_pathogan.mammograms.study import as_one, examinations, is_index

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_pathogan.mammograms.study import Examination


_ASKED: WeakKeyDictionary[progress, list[Examination]] = WeakKeyDictionary()
"""What the user has chosen of the files that napari is opening."""


def chosen_of(paths: Sequence[Path], belongs: Callable[[Path], bool]) -> list[Examination]:
    """Ask which of several examinations to open, once for all files of one File > Open.

    napari hands such files over one by one: what was chosen at the first of them holds for all.

    Parameters
    ----------
    paths
        Files that are opened now, or folders.
    belongs
        Whether another file that is opened with them is a mammogram.
    """
    opening = next((x for x in progress._all_instances if str(paths[0]) in _files(x)), None)  # noqa: SLF001
    if opening is None or not _can_ask():
        return chosen(examinations(paths))
    if opening not in _ASKED:
        together = [path for path in map(Path, _files(opening)) if belongs(path)]
        _ASKED[opening] = chosen(examinations(together))
    wanted = []
    for one in _ASKED[opening]:
        if files := tuple(path for path in paths if path in one.files):
            told = one.left_out if one.files[0] in files else ()
            wanted.append(replace(one, files=files, left_out=told))
    return wanted


def _files(opening: progress) -> list[str]:
    """The files that napari hands over one by one while it shows this progress; empty for any other."""
    files = opening.iterable
    several = isinstance(files, list) and len(files) > 1 and all(isinstance(x, str) for x in files)
    ours = several and not any(Path(x).is_dir() or is_index(Path(x)) for x in files)
    return files if ours else []


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
        self.together.setToolTip(
            "No header tells them apart for sure: they have none, or those of one study with several patients"
        )
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
