"""What IDC models learn from: labelled 50 px patches at 4 um/px, always kept apart by patient.

The public layout is ``<patient>/<class>/<patient>_idx5_x<x>_y<y>_class<c>.png``, x and y being
the upper left corner in pixels of the slide at 4 um/px. Class folders are ``0`` (healthy), ``1``
(IDC) and ``unlabelled``, which the adversarial term of semi-supervised training learns from.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from napari_pathogan.annotations.classes import class_notes
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.errors import DataFolderError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PATCH_PX = 50
MPP = 4.0
UNLABELLED = -1
CLASSES = ("healthy", "IDC")
_FOLDERS = {"0": 0, "1": 1, "unlabelled": UNLABELLED}
_NAME = re.compile(r"(?P<patient>.+)_idx\d+_x(?P<x>\d+)_y(?P<y>\d+)(_class(?P<label>[01]))?")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}


@dataclass(frozen=True, eq=False)
class PatchFolder:
    """Patches of several patients in memory.

    Attributes
    ----------
    images
        uint8 (N, 50, 50, 3), RGB.
    labels
        int8 (N,): 1 IDC, 0 healthy, -1 unlabelled.
    patients
        str (N,): whose patch it is.
    xy
        int64 (N, 2): upper left corner in pixels of the slide at 4 um/px.
    skipped
        What was left out and why, one line a file.
    classes
        Class of annotations -> what it counts as; empty where nothing was drawn.
    notes
        What else the user should know, a sentence each.
    """

    images: np.ndarray
    labels: np.ndarray
    patients: np.ndarray
    xy: np.ndarray
    skipped: tuple[str, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The patients, sorted."""
        return tuple(str(name) for name in np.unique(self.patients))

    def take(self, which: np.ndarray) -> PatchFolder:
        """The patches that an index or mask picks."""
        return PatchFolder(
            self.images[which], self.labels[which], self.patients[which], self.xy[which]
        )

    def of(self, names: Sequence[str]) -> PatchFolder:
        """The patches of some patients."""
        return self.take(np.isin(self.patients, list(names)))

    @property
    def labelled(self) -> PatchFolder:
        """The patches that have a label."""
        return self.take(self.labels != UNLABELLED)

    def grid(self, name: str) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Lay one patient's patches on the grid they were cut from.

        Returns
        -------
        index, cell
            Which patches they are, and their row and column in a grid of 50 px steps.
        """
        index = np.flatnonzero(self.patients == name)
        x, y = (self.xy[index] // PATCH_PX).T
        return index, (y - y.min(), x - x.min())


def read_patches(folder: Path) -> PatchFolder:
    """Read a folder in the public layout.

    A nested copy of the data (the public archive holds one) is left out: patches lie exactly two
    folders deep. Broken and misplaced files are left out too, and named in ``skipped``.

    Raises
    ------
    DataFolderError
        If the folder does not exist or holds no readable patch.
    """
    if not folder.is_dir():
        msg = f"{folder} is not a folder; give one with <patient>/<class>/*.png inside"
        raise DataFolderError(msg)
    files = _patch_files(folder)
    if not files:  # the archive unpacked into a folder of its own
        files = next((found for sub in _folders(folder) if (found := _patch_files(sub))), [])
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(_read, files))
    good = [patch for patch in read if not isinstance(patch, str)]
    skipped = tuple(reason for reason in read if isinstance(reason, str))
    if not good:
        why = f"; {skipped[0]}" if skipped else ""
        msg = (
            f"no patches in {folder}{why}; expected "
            "<patient>/<0 or 1>/<patient>_idx5_x<x>_y<y>_class<c>.png"
        )
        raise DataFolderError(msg)
    images, labels, patients, xy = zip(*good, strict=True)
    return PatchFolder(
        np.stack(images), np.array(labels, np.int8), np.array(patients), np.array(xy), skipped
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _patch_files(folder: Path) -> list[Path]:
    return [
        file
        for patient in _folders(folder)
        for kind in _FOLDERS
        if (patient / kind).is_dir()
        for file in sorted((patient / kind).iterdir())
        if file.suffix.lower() in _SUFFIXES
    ]


def _read(file: Path) -> tuple[np.ndarray, int, str, tuple[int, int]] | str:
    label = _FOLDERS[file.parent.name]
    match = _NAME.fullmatch(file.stem)
    if match is None:
        return f"{file}: the name is not <patient>_idx5_x<x>_y<y>_class<c>"
    if match["label"] is not None and label not in (UNLABELLED, int(match["label"])):
        return f"{file}: the name says class {match['label']}, the folder {file.parent.name}"
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
        return f"{file}: can't be read ({error})"
    if pixels.shape != (PATCH_PX, PATCH_PX, 3):
        return f"{file}: {pixels.shape[1]} x {pixels.shape[0]} px, not {PATCH_PX} x {PATCH_PX}"
    # the folder names the patient: file names keep it only by convention
    return pixels, label, file.parent.parent.name, (int(match["x"]), int(match["y"]))


def join(parts: Sequence[PatchFolder]) -> PatchFolder:
    """Put patches of several folders or slides together.

    Raises
    ------
    DataFolderError
        If there are none.
    """
    if not parts:
        msg = "no patches: give at least one folder or annotated slide"
        raise DataFolderError(msg)
    return PatchFolder(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.patients for part in parts]),
        np.concatenate([part.xy for part in parts]),
        tuple(line for part in parts for line in part.skipped),
        {name: kind for part in parts for name, kind in part.classes.items()},
        tuple(line for part in parts for line in part.notes),
    )


def hold_out(patches: PatchFolder, share: float) -> tuple[PatchFolder, PatchFolder]:
    """Split into patches to train on and those of about ``share`` of the patients, held out.

    Raises
    ------
    DataFolderError
        If there are fewer than two patients to split.
    """
    fold = patient_folds(patches.patients, min(max(2, round(1 / share)), len(patches.names)))
    return patches.take(fold != 0), patches.take(fold == 0)


def hide_labels(patches: PatchFolder, share: float, seed: int) -> PatchFolder:
    """Keep the labels of ``share`` of the labelled patches, of each class alike; hide the rest.

    Raises
    ------
    DataFolderError
        If ``share`` is not in (0, 1].
    """
    if not 0 < share <= 1:
        msg = f"the share of labelled patches is {share:g}; it must be above 0 and at most 1"
        raise DataFolderError(msg)
    rng = np.random.default_rng(seed)
    labels = np.full_like(patches.labels, UNLABELLED)
    for kind in range(len(CLASSES)):
        index = np.flatnonzero(patches.labels == kind)
        kept = rng.permutation(index)[: max(1, round(share * len(index)))]
        labels[kept[: len(index)]] = kind
    return replace(patches, labels=labels)


def need_both_classes(patches: PatchFolder) -> None:
    """Make sure that there is something to learn to tell apart.

    Raises
    ------
    DataFolderError
        If one class is missing; says which.
    """
    for kind, name in enumerate(CLASSES):
        if not (patches.labels == kind).any():
            msg = f"no patch is labelled {name} (class {kind}); training needs both classes"
            msg = "; ".join((msg, *class_notes(patches.classes, CLASSES), *patches.notes))
            raise DataFolderError(msg)
