"""What detectors learn from: mammograms with the boxes of their masses, kept apart by patient.

A folder holds ``images/`` (PNG, TIFF, DICOM, ...), ``images.csv`` with a row an image (``file``,
``patient``, and ``laterality``, ``view``, ``synthetic`` where known) and ``boxes.csv`` with a row a
finding (``file``, ``type``, ``xmin``, ``ymin``, ``xmax``, ``ymax`` in image pixels). Findings of
another type than ``mass`` are left alone. ``masks/<name>.png`` numbers the pixels of an image's
masses 1, 2, ... in the order of their boxes, where outlines are known.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from napari_pathogan.errors import DataFolderError
from napari_pathogan.files import written
from napari_pathogan.kinds import NEW
from napari_pathogan.mammograms.study import open_mammogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from napari_pathogan.engine.models import TrainingData
    from napari_pathogan.mammograms.mammogram import Mammogram

MASS = "mass"
IMAGE_COLUMNS = ("file", "patient", "laterality", "view", "synthetic")
BOX_COLUMNS = ("file", "type", "xmin", "ymin", "xmax", "ymax")
_CORNERS = BOX_COLUMNS[2:]
_OVER = 0.05  # of a side: boxes drawn by hand may reach so far over the edge; they are cut there
_YES = ["1", "true", "yes"]
_UNREADABLE = (OSError, ValueError, SyntaxError, UnidentifiedImageError)


@dataclass(frozen=True, eq=False)
class MassFolder:
    """Mammograms and the boxes of their masses; images are read when they are asked for.

    Attributes
    ----------
    files
        One or more images.
    patients, laterality, view
        Str (N,): whose image it is, "L" or "R", "CC", "MLO", ...; "" where nobody said.
    boxes
        Of each image float32 (n, 4): x0, y0, x1, y1 in pixels; n is 0 for a normal image.
    synthetic
        Bool (N,): whether the image was generated.
    masks
        The file with the outlines of an image's masses, or None.
    skipped
        What was left out and why, one line each.
    """

    files: tuple[Path, ...]
    patients: np.ndarray
    laterality: np.ndarray
    view: np.ndarray
    boxes: tuple[np.ndarray, ...]
    synthetic: np.ndarray
    masks: tuple[Path | None, ...]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def n_masses(self) -> np.ndarray:
        """Int (N,): the number of masses of each image."""
        return np.array([len(own) for own in self.boxes], int)

    @property
    def digest(self) -> str:
        """The sha256 of the boxes, in their order."""
        digest = hashlib.sha256()
        for own in self.boxes:
            digest.update(len(own).to_bytes(4, "little") + np.ascontiguousarray(own).tobytes())
        return digest.hexdigest()

    def described(self, data: TrainingData | None) -> TrainingData:
        """What is said of the images on a model's card, with whose and how many they are."""
        from napari_pathogan.engine.models import TrainingData  # noqa: PLC0415  (torch is slow)

        data = data or TrainingData(name="a folder of mammograms")
        return data.of(self.patients, len(self))

    def mammogram(self, index: SupportsIndex) -> Mammogram:
        """Open an image with all that its header says.

        Raises
        ------
        SlideFormatError
            If it can't be read.
        DataFolderError
            If a box lies outside of it.
        """
        found = open_mammogram(self.files[index])
        height, width = found.shape
        _check_inside(self.files[index], self.boxes[index], (height, width))
        return found

    def image(self, index: SupportsIndex) -> np.ndarray:
        """float32 (H, W) in [0, 1] as it is shown: dense tissue bright; errors as `mammogram`."""
        return self.mammogram(index).shown()

    def shape(self, index: SupportsIndex) -> tuple[int, int]:
        """(H, W) of an image in pixels; errors as `mammogram`."""
        return _shape(self.files[index]) or self.mammogram(index).shape

    def mask(self, index: SupportsIndex) -> np.ndarray:
        """Outlines of an image's masses, bool (n, H, W).

        Those of ``masks/`` where there are any, else the ellipses that touch the sides of the
        boxes.

        Raises
        ------
        DataFolderError
            If the file of outlines can't be read, has another size than the image, or another
            number of masses than the image has boxes.
        """
        boxes, file = self.boxes[index], self.masks[index]
        shape = self.shape(index)
        if file is None:
            return ellipses(boxes, shape)
        try:
            with Image.open(file) as image:
                labels = np.asarray(image)
        except _UNREADABLE as error:
            msg = f"{file} can't be read ({error}); write it anew or take it away"
            raise DataFolderError(msg) from error
        if labels.shape != shape or labels.max(initial=0) != len(boxes):
            msg = (
                f"{file} marks {labels.max(initial=0)} masses on {_size(labels.shape)}, but its "
                f"image has {len(boxes)} boxes on {_size(shape)}; the first box's mass is 1, and so on"
            )
            raise DataFolderError(msg)
        outlines: np.ndarray = labels == np.arange(1, len(boxes) + 1)[:, None, None]
        return outlines

    def subset(self, indices: np.ndarray | Sequence[int]) -> MassFolder:
        """The images that a mask or index picks, in its order."""
        chosen = np.arange(len(self))[np.asarray(indices)]
        return MassFolder(
            tuple(self.files[i] for i in chosen),
            self.patients[chosen],
            self.laterality[chosen],
            self.view[chosen],
            tuple(self.boxes[i] for i in chosen),
            self.synthetic[chosen],
            tuple(self.masks[i] for i in chosen),
            self.skipped,
        )


class MassImage(NamedTuple):
    """An image to write with :func:`write_mass_folder`.

    ``pixels`` are float32 (H, W) in [0, 1], ``boxes`` (n, 4) as in :class:`MassFolder`, ``mask``
    is bool (n, H, W), and ``name`` becomes the file's name without a suffix.
    """

    name: str
    patient: str
    pixels: np.ndarray
    boxes: np.ndarray
    mask: np.ndarray
    laterality: str = ""
    view: str = ""
    synthetic: bool = True


def read_mass_folder(folder: Path | str) -> MassFolder:
    """Read the tables of a folder and check them against its images.

    Boxes of files that ``images.csv`` does not name are left out and told of in ``skipped``.
    A box that reaches a little over the edge of its image is cut there.

    Raises
    ------
    DataFolderError
        If the folder, a table, a column, a patient or an image is missing, an image is named
        twice, or a box is none or lies outside of its image; says which and in which line.
    """
    folder = Path(folder)
    if not (folder / "images").is_dir():
        msg = f"{folder} is not a folder with images/, images.csv and boxes.csv; give one that is"
        raise DataFolderError(msg)
    rows = _image_rows(folder)
    boxes, skipped = _boxes(folder / "boxes.csv", set(rows))
    files = tuple(folder / "images" / name for name in rows)
    missing = [file for file in files if not file.is_file()]
    if missing:
        msg = (
            f"{len(missing)} of the {len(files)} images that {folder / 'images.csv'} names are not "
            f"there, the first: {missing[0]}; copy them or take out their lines"
        )
        raise DataFolderError(msg)
    masks = [folder / "masks" / f"{file.stem}.png" for file in files]
    patients, laterality, view, synthetic = (
        np.array([row[key] for row in rows.values()]) for key in IMAGE_COLUMNS[1:]
    )
    return MassFolder(
        files,
        patients,
        laterality,
        view,
        tuple(_inside(file, boxes[name]) for file, name in zip(files, rows, strict=True)),
        np.isin(np.char.lower(synthetic), _YES),
        tuple(mask if mask.is_file() else None for mask in masks),
        tuple(skipped),
    )


@contextmanager
def write_mass_folder(
    folder: Path, more: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[Callable[[MassImage], None]]:
    """Write a folder of the same form, image by image, whole or not at all.

    Gives a function that takes one :class:`MassImage` after the other. Images are PNG of 8 bits
    that say in their text whether they are synthetic.

    Parameters
    ----------
    more
        Further JSON files by name; what is in them may grow until the last image is written.

    Raises
    ------
    OutputError
        If it can't be written, or there is something at ``folder`` already.
    """
    with written(folder, NEW) as beside:
        for part in ("images", "masks"):
            (beside / part).mkdir(parents=True)
        with (
            (beside / "images.csv").open("w", encoding="utf-8", newline="") as images,
            (beside / "boxes.csv").open("w", encoding="utf-8", newline="") as boxes,
        ):
            image_rows, box_rows = csv.writer(images), csv.writer(boxes)
            image_rows.writerow(IMAGE_COLUMNS)
            box_rows.writerow(BOX_COLUMNS)

            def add(made: MassImage) -> None:
                file = f"{made.name}.png"
                about = (made.laterality, made.view, int(made.synthetic))
                image_rows.writerow((file, made.patient, *about))
                for corners in made.boxes:
                    box_rows.writerow((file, MASS, *(round(float(c), 1) for c in corners)))
                _write_image(beside / "images" / file, made)
                if len(made.boxes):
                    numbers = np.arange(1, len(made.boxes) + 1, dtype=np.uint8)
                    labels = (made.mask * numbers[:, None, None]).max(0)
                    Image.fromarray(labels).save(beside / "masks" / file)

            yield add
        for name, content in (more or {}).items():
            (beside / name).write_text(json.dumps(content, indent=1), encoding="utf-8")


def ellipses(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The ellipses inscribed in boxes (n, 4), x0, y0, x1, y1: bool (n, H, W).

    A pixel belongs to one if its middle lies in it; the smallest box has the pixel at its middle.
    """
    x0, y0, x1, y1 = np.asarray(boxes, np.float64).reshape(-1, 4).T[:, :, None, None]
    y, x = (np.arange(n) + 0.5 for n in shape)
    across = (x - (x0 + x1) / 2) / np.maximum((x1 - x0) / 2, 0.75)
    down = (y[:, None] - (y0 + y1) / 2) / np.maximum((y1 - y0) / 2, 0.75)
    return np.asarray(across**2 + down**2 <= 1)


def need_masses(folder: MassFolder) -> None:
    """Make sure that there is something to find.

    Raises
    ------
    DataFolderError
        If no image has a mass.
    """
    if not folder.n_masses.any():
        msg = (
            f"none of the {len(folder)} images has a mass: a box of type {MASS!r} in boxes.csv, or "
            "one accepted or drawn in napari"
        )
        raise DataFolderError(msg)


def _table(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of a table with where it stands: ``boxes.csv, line 7``."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            lacking = [name for name in columns if name not in (reader.fieldnames or ())]
            if lacking:
                msg = f"{path} has no column {', '.join(lacking)}; it needs {', '.join(columns)}"
                raise DataFolderError(msg)
            for row in reader:
                cells = {key: (value or "").strip() for key, value in row.items() if key}
                yield f"{path}, line {reader.line_num}", cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        msg = f"{path} can't be read ({reason}); it is a table with {', '.join(columns)}"
        raise DataFolderError(msg) from error


def _image_rows(folder: Path) -> dict[str, dict[str, str]]:
    """File name -> its row, with "" for what the table does not have."""
    rows: dict[str, dict[str, str]] = {}
    for where, row in _table(folder / "images.csv", IMAGE_COLUMNS[:2]):
        if not row["file"] or not row["patient"]:
            lacking = "file" if not row["file"] else "patient"
            msg = f"{where}: there is no {lacking}; images are kept apart by patient, so each needs one"
            raise DataFolderError(msg)
        if row["file"] in rows:
            msg = f"{where}: {row['file']} was named before; each image has one line"
            raise DataFolderError(msg)
        rows[row["file"]] = dict.fromkeys(IMAGE_COLUMNS, "") | row
    if not rows:
        msg = f"{folder / 'images.csv'} names no image"
        raise DataFolderError(msg)
    return rows


def _boxes(path: Path, files: set[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """File name -> boxes (n, 4) of its masses; and the boxes left out."""
    found: dict[str, list[list[float]]] = {name: [] for name in files}
    skipped = []
    for where, row in _table(path, BOX_COLUMNS):
        if row["type"] != MASS:
            continue
        if row["file"] not in files:
            skipped.append(f"{where}: images.csv has no {row['file']}")
            continue
        try:
            corners = [float(row[name]) for name in _CORNERS]
        except ValueError:
            corners = [math.nan] * 4
        if (
            not all(map(math.isfinite, corners))
            or corners[0] >= corners[2]
            or corners[1] >= corners[3]
        ):
            given = ", ".join(row[name] or "nothing" for name in _CORNERS)
            msg = f"{where}: {given} is no box xmin, ymin, xmax, ymax with xmin < xmax and ymin < ymax"
            raise DataFolderError(msg)
        found[row["file"]].append(corners)
    return {k: np.array(v, np.float32).reshape(-1, 4) for k, v in found.items()}, skipped


def _shape(file: Path) -> tuple[int, int] | None:
    """(H, W) of an image whose header says so at once; None where it must be opened (DICOM)."""
    try:
        with Image.open(file) as image:
            return image.height, image.width
    except (*_UNREADABLE, Image.DecompressionBombError):
        return None


def _inside(file: Path, boxes: np.ndarray) -> np.ndarray:
    """The boxes, cut at the edge of their image where its size is known."""
    shape = _shape(file) if len(boxes) else None
    if shape is None:
        return boxes
    _check_inside(file, boxes, shape)
    cut: np.ndarray = np.clip(boxes, 0, np.array(shape[::-1] * 2, np.float32))
    return cut


def _check_inside(file: Path, boxes: np.ndarray, shape: tuple[int, int]) -> None:
    side = np.array(shape[::-1], np.float32)
    over = np.maximum(-boxes[:, :2], boxes[:, 2:] - side).max(1) > _OVER * side.max()
    outside = (boxes[:, 2:] <= 0).any(1) | (boxes[:, :2] >= side).any(1)
    for corners in boxes[over | outside]:
        given = ", ".join(f"{value:g}" for value in corners)
        msg = f"{file} has {_size(shape)}, the box {given} lies outside; are the boxes of another size?"
        raise DataFolderError(msg)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} px" if len(shape) > 1 else f"{shape} px"


def _write_image(path: Path, made: MassImage) -> None:
    text = PngInfo()
    text.add_text("synthetic", str(made.synthetic).lower())
    grey = np.rint(np.clip(made.pixels, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(grey).save(path, pnginfo=text)
