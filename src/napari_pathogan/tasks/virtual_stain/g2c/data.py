"""What a classifier learns from: images of classes, always kept apart by patient.

A folder is laid out as ``<patient>/<class>/<image>``, or it holds images and a CSV that says of
each file its class, and whose it is: the columns ``image`` (or ``file``), ``label`` (or ``class``)
and ``patient``. Without the last one, a file's name up to its first underscore is the patient.
"""

from __future__ import annotations

import csv
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.virtual_stain.g2c.config import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
_LEAST_PX = 16
_NAMED = re.compile(r"_class(?P<label>[^_]+)$")  # in the public IDC patches
_COLUMNS = {"image": ("image", "file", "filename"), "label": ("label", "class")}
_UNREADABLE = (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError)

Groups = dict[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class ClassFolder:
    """Labelled images of several patients, in memory.

    Attributes
    ----------
    images
        uint8 (H, W, 3) each, RGB; the longer side is at most 256 px.
    labels
        int64 (N,): number of the class.
    patients
        str (N,): whose image it is.
    groups
        Class -> the labels in the folder that it stands for.
    notes
        What the user should know, a sentence each.
    """

    images: tuple[np.ndarray, ...]
    labels: np.ndarray
    patients: np.ndarray
    groups: Groups
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in order; the last one is what F1 and AUC are of."""
        return tuple(self.groups)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The patients, sorted."""
        return tuple(str(name) for name in np.unique(self.patients))

    @property
    def patch_px(self) -> int | None:
        """The side that all images have; None if they differ."""
        sides = {side for image in self.images for side in image.shape[:2]}
        return sides.pop() if len(sides) == 1 else None

    def take(self, which: np.ndarray) -> ClassFolder:
        """The images that an index or mask picks."""
        index = np.arange(len(self))[which]
        images = tuple(self.images[i] for i in index)
        return replace(
            self, images=images, labels=self.labels[index], patients=self.patients[index]
        )

    def batch(self, index: np.ndarray | torch.Tensor, side: int) -> torch.Tensor:
        """Some images, resized: float32 (N, 3, side, side) in [0, 1]."""
        return resized([self.images[int(i)] for i in index], side)


def resized(images: list[np.ndarray], side: int) -> torch.Tensor:
    """uint8 (H, W, 3) each -> float32 (N, 3, side, side) in [0, 1]."""
    parts = [
        torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255 for image in images
    ]
    if len({part.shape for part in parts}) == 1:
        parts = [torch.cat(parts)]
    return torch.cat(
        [F.interpolate(part, (side, side), mode="bilinear", antialias=True) for part in parts]
    )


def groups(text: str) -> Groups:
    """Read ``noa,s=ss+gs``: the classes in order, each with the labels that it stands for.

    Raises
    ------
    ValueError
        If a name is empty, or a label stands in two classes.
    """
    found: Groups = {}
    for part in text.split(","):
        name, given, members = (one.strip() for one in part.partition("="))
        labels = tuple(one.strip() for one in (members if given else name).split("+"))
        if not name or not all(labels) or name in found:
            msg = f"{text!r} is no list of classes; give them as CLASS,CLASS=LABEL+LABEL"
            raise ValueError(msg)
        found[name] = labels
    every = [label for labels in found.values() for label in labels]
    twice = sorted({label for label in every if every.count(label) > 1})
    if twice:
        msg = f"{text!r} has {twice[0]} in two classes"
        raise ValueError(msg)
    return found


def read_folder(folder: Path, classes: Mapping[str, tuple[str, ...]] | None = None) -> ClassFolder:
    """Read a folder of labelled images.

    Parameters
    ----------
    classes
        As :func:`groups` gives them; images of other labels are left out. By default every label
        is a class, sorted.

    Raises
    ------
    DataFolderError
        If there is no such folder, it holds no labelled images, none of a class that is asked
        for, or one class only.
    """
    if not folder.is_dir():
        msg = (
            f"{folder} is not a folder; give one with <patient>/<class>/*.png, or images and a CSV"
        )
        raise DataFolderError(msg)
    listed, notes = _listed(folder)
    labels = sorted({label for _, label, _ in listed})
    known: Groups = dict(classes) if classes else {label: (label,) for label in labels}
    number = {label: k for k, own in enumerate(known.values()) for label in own}
    missing = [label for label in number if label not in labels]
    if missing and listed:
        msg = f"{folder} has no images of class {missing[0]}; it has {', '.join(labels)}"
        raise DataFolderError(msg)
    wanted = [one for one in listed if one[1] in number]
    if len(wanted) < len(listed):
        others = ", ".join(sorted(set(labels) - set(number)))
        notes.append(f"{len(listed) - len(wanted)} images of other classes were left out: {others}")
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(_read, [file for file, _, _ in wanted]))
    notes += [f"left out {one}" for one in read if isinstance(one, str)]
    good = [
        (image, number[label], patient)
        for image, (_, label, patient) in zip(read, wanted, strict=True)
        if not isinstance(image, str)
    ]
    if not good:
        why = f": {notes[0]}" if notes else ""
        msg = f"no labelled images in {folder}{why}; expected <patient>/<class>/*.png, or images and a CSV"
        raise DataFolderError(msg)
    images, numbers, patients = zip(*good, strict=True)
    found = ClassFolder(
        images, np.array(numbers, np.int64), np.array(patients), known, tuple(notes)
    )
    need_classes(found, str(folder))
    return found


def need_classes(images: ClassFolder, where: str) -> None:
    """Make sure that there is something to tell apart.

    Raises
    ------
    DataFolderError
        If there are fewer than two classes, or one has no image.
    """
    there = np.bincount(images.labels, minlength=len(images.classes))
    if len(images.classes) < 2:
        msg = (
            f"{where} has images of one class only, {images.classes[0]}; give at least two classes"
        )
        raise DataFolderError(msg)
    for name, count in zip(images.classes, there, strict=True):
        if not count:
            msg = f"{where} has no readable image of class {name}; every class needs some"
            raise DataFolderError(msg)


def _listed(folder: Path) -> tuple[list[tuple[Path, str, str]], list[str]]:
    """Each image's file, label and patient; and what is to be said of them."""
    tables = sorted(folder.glob("*.csv"))
    if len(tables) > 1:
        msg = f"{folder} holds {len(tables)} CSV files; leave the one that says the classes"
        raise DataFolderError(msg)
    if tables:
        return _in_table(tables[0])
    listed, notes = list(_in_folders(folder)), []
    good = [one for one in listed if _agrees(one[0], one[1])]
    for file, label, _ in listed:
        if not _agrees(file, label):
            notes.append(f"left out {file}: its name says another class than its folder, {label}")
    return good, notes


def _in_folders(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Exactly two folders deep: the public IDC archive holds a nested copy of itself."""
    for patient in sorted(path for path in folder.iterdir() if path.is_dir()):
        for label in sorted(path for path in patient.iterdir() if path.is_dir()):
            for file in sorted(label.iterdir()):
                if file.suffix.lower() in _SUFFIXES:
                    yield file, label.name, patient.name


def _agrees(file: Path, label: str) -> bool:
    named = _NAMED.search(file.stem)
    return named is None or named["label"] == label


def _in_table(table: Path) -> tuple[list[tuple[Path, str, str]], list[str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = {name.strip().casefold(): name for name in reader.fieldnames or ()}
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{table} can't be read as a table ({error})"
        raise DataFolderError(msg) from error
    own = {
        part: next((columns[name] for name in names if name in columns), None)
        for part, names in _COLUMNS.items()
    }
    image, label = own["image"], own["label"]
    if image is None or label is None:
        msg = f"{table} lacks a column {'image' if image is None else 'label'}; it has {', '.join(columns)}"
        raise DataFolderError(msg)
    patient, notes = columns.get("patient"), []
    if patient is None:
        notes.append(
            f"{table.name} has no column patient: file names up to their first _ are taken for it"
        )
    listed: dict[Path, tuple[str, str]] = {}
    for line, row in enumerate(rows, 2):
        name, kind = ((row.get(column) or "").strip() for column in (image, label))
        who = (
            (row.get(patient) or "").strip()
            if patient
            else name.rpartition("/")[2].partition("_")[0]
        )
        if not (name and kind and who):
            msg = f"{table}, line {line}: image, class or patient is missing"
            raise DataFolderError(msg)
        file = table.parent / name
        if listed.setdefault(file, (kind, who)) != (kind, who):
            msg = f"{table} says two things of {name}; leave one line"
            raise DataFolderError(msg)
    return [(file, kind, who) for file, (kind, who) in listed.items()], notes


def _read(file: Path) -> np.ndarray | str:
    try:
        with Image.open(file) as image:
            colour = image.convert("RGB")
    except _UNREADABLE as error:
        return f"{file}: can't be read ({error})"
    if min(colour.size) < _LEAST_PX:
        return f"{file}: {colour.width} x {colour.height} px is too small"
    colour.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)  # does not enlarge
    return np.asarray(colour)
