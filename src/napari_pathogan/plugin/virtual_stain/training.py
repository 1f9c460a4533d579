"""Training a new pair of stains: two folders of images, and of which stain each is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtWidgets import QComboBox, QFileDialog, QLineEdit, QWidget

from napari_pathogan.errors import DataFolderError
from napari_pathogan.plugin.shell.form import beside, button
from napari_pathogan.plugin.shell.train_dialog import Lesson, TrainingMaterial

if TYPE_CHECKING:
    from collections.abc import Callable

_HELD = 0.2  # share of the slides that are measured on, where there are several


class TrainingStains(NamedTuple):
    """The target stain's folder, and both stains, as typed."""

    target: str
    source_stain: str
    target_stain: str


class PairRows:
    """The second folder, and the stains of both."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._target = QLineEdit()
        self._target.setReadOnly(True)
        choose = button("Choose…", "Images of the other stain; they need not show the same tissue")
        choose.clicked.connect(self._choose)
        self._stains = [_stains(), _stains()]
        for box in self._stains:
            box.currentTextChanged.connect(changed)
        self.rows: dict[str, QWidget] = {
            "Their stain": self._stains[0],
            "Other images": beside(self._target, choose),
            "Their stain is": self._stains[1],
        }

    @property
    def value(self) -> TrainingStains:
        """What is in them now."""
        return TrainingStains(
            self._target.text(), *(_key(box.currentText()) for box in self._stains)
        )

    def _choose(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self._target, "Images of the other stain", self._target.text()
        )
        if chosen:
            self._target.setText(chosen)
            self._changed()


def lesson() -> Lesson:
    """What the dock trains: a pair of stains, from two folders."""
    return Lesson(
        task="virtual-stain",
        button="Train a new pair of stains…",
        tip="Learn to paint one stain from another, both ways, from two folders of images (hours)",
        title="Train a pair of stains",
        where="Images",
        place=lambda: "",
        look=material,
        ready=lambda: True,
        choose="Images of one stain",
        begins=False,
        more=PairRows,
    )


def material(place: tuple[object, TrainingStains], _start: Path | None) -> TrainingMaterial:
    """What there is to learn from in two folders.

    Raises
    ------
    DataFolderError
        If a folder or a stain is missing, or the folders won't do.
    """
    folder, asked = place
    if not folder or not asked.target:
        msg = "choose a folder with images of one stain, and one with images of the other"
        raise DataFolderError(msg)
    if not asked.source_stain or not asked.target_stain:
        msg = "say which stain the images of each folder have"
        raise DataFolderError(msg)
    if asked.source_stain == asked.target_stain:
        msg = "both folders are said to be of the same stain"
        raise DataFolderError(msg)
    from napari_pathogan.tasks.virtual_stain.data import Pair  # noqa: PLC0415  (imports torch)
    from napari_pathogan.tasks.virtual_stain.stains import stain_title  # noqa: PLC0415

    source, target = Path(str(folder)), Path(asked.target)
    pair = Pair.read(source, target=target)
    pools = {asked.source_stain: pair.source, asked.target_stain: pair.target}
    slides = [len(set(pool.slides)) for pool in pools.values()]
    held = _HELD if min(slides) > 1 else 0.0
    counts = " and ".join(
        f"{len(pool)} images of {n} slides in {stain_title(stain)}"
        for (stain, pool), n in zip(pools.items(), slides, strict=True)
    )
    measured = "a fifth of the slides is held out to measure on" if held else "nothing is held out"
    options = [str(target), "--source-stain", asked.source_stain]
    options += ["--target-stain", asked.target_stain, "--holdout", f"{held:g}"]
    return TrainingMaterial(
        source,
        f"{counts}; {measured}. {' '.join(pair.notes())}".strip(),
        f"images of {source.name} and {target.name}",
        "those of the images",
        tuple(options),
    )


def _stains() -> QComboBox:
    from napari_pathogan.tasks.virtual_stain.stains import STAINS  # noqa: PLC0415

    box = QComboBox()
    box.setEditable(True)
    box.addItems(["", *STAINS.values()])
    box.setToolTip("Choose a stain, or type another's name")
    return box


def _key(title: str) -> str:
    """The name that models have for a stain; that of a stain that they have none for is the user's."""
    from napari_pathogan.tasks.virtual_stain.stains import STAINS  # noqa: PLC0415

    return next((key for key, known in STAINS.items() if known == title), title.strip())
