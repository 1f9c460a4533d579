"""Which of several examinations are opened: the user is told, and chooses."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari import current_viewer
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

from napari_pathogan.mammograms.study import (
    as_one,
    examination_of,
    examinations,
    is_index,
    surely_apart,
)
from napari_pathogan.plugin.viewer.mammogram_groups import opened_in, put_together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.mammograms.study import Examination


_NAMED = 3  # files that are open
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
    """Ask which of several examinations to open, or whether another beside one that is open; none if the user leaves it.

    One is not asked about where none is open but itself. All are opened where nobody can be asked: in a
    thread, without a window.
    """
    if not _can_ask():
        return list(found)
    viewer = current_viewer()
    opened = [one for one in opened_in(viewer) if one.path is not None]  # an array is of nobody
    known = {examination_of(one) for one in opened}
    new = [one for one in found if one.own and one.own not in known]
    if len(found) < 2 and not (opened and new):
        return list(found)
    dialog = ExaminationDialog(found, opened if new else (), parent=QApplication.activeWindow())
    if not dialog.exec():
        return []
    ticked = dialog.chosen()
    fingerprint = ticked[0].fingerprint if ticked else None
    if viewer is not None and opened and new and fingerprint is not None:
        put_together(viewer, fingerprint)
    return ticked


def _can_ask() -> bool:
    if QApplication.instance() is None or threading.current_thread() is not threading.main_thread():
        return False
    return any(isinstance(w, QMainWindow) and w.isVisible() for w in QApplication.topLevelWidgets())


class ExaminationDialog(QDialog):
    """Lists examinations by what may be shown: names of folders or files, images, views.

    Parameters
    ----------
    found
        Two or more; or one that is another than those that are open.
    opened
        Mammograms that are open, where one of those found is of another examination.
    """

    def __init__(
        self,
        found: Sequence[Examination],
        opened: Sequence[Mammogram] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.found, self.opened = found, opened
        self.setWindowTitle("Mammograms of several examinations")
        self.setMinimumWidth(420)
        about = QLabel(_told(found, opened))
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
        self.together.setVisible(_may_be_one(found, opened))
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
        if not (ticked and self.together.isChecked()):
            return ticked
        return [as_one(ticked, self.opened[0].examination if self.opened else None)]

    def _enable(self) -> None:
        self.go.setEnabled(bool(self.chosen()))


def _told(found: Sequence[Examination], opened: Sequence[Mammogram]) -> str:
    """What the user chooses of, in words."""
    several = f"These are {len(found)} examinations: other patients, or other days."
    if opened:
        files = {one.path for one in opened if one.path is not None}
        names = ", ".join(sorted(path.name for path in files)[:_NAMED]) + " …" * (
            len(files) > _NAMED
        )
        what = "This is another examination" if len(found) == 1 else several.rstrip(".")
        several = f"{what} than that which is open ({names}): another patient, or another day."
        several = several if len(found) == 1 else f"{what}. Open already: {names}."
    return f"{several} Those that you choose hang one beside the other, numbered, and never as one."


def _may_be_one(found: Sequence[Examination], opened: Sequence[Mammogram]) -> bool:
    """Whether the user may put them together: no header tells them apart for sure."""
    if len({examination_of(one) for one in opened}) > 1:
        return False  # with which?
    if len(found) > 1 and any(one.certain for one in found):
        return False
    return not any(surely_apart(one, other) for one in found for other in opened)
