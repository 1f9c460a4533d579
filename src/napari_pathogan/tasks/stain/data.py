"""A pool of images of one stain style: what a style is learned from.

``POOL/*.png`` or ``POOL/<class>/*.png`` (also jpg, tif): where there are sub-folders, they are the
tissue classes of the paper's class loss. The patient is what stands before the first ``_`` of a
file's name (``02_3.png`` is patient 02), so that whole patients can be held out; or what a table
``pairs.csv`` in the folder or beside it says: its columns ``pair`` (a name without suffix) and
``case``. A folder for each patient, ``POOL/<patient>/<class>/*.png``, will do as well: the layout
of the IDC patches.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import UnidentifiedImageError

from napari_pathogan.colour.lab import STAINED, optical_density
from napari_pathogan.colour.pools import SUFFIXES, stained_image
from napari_pathogan.colour.stained import need_colours, tissue_tiles
from napari_pathogan.errors import DataFolderError
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari_pathogan.slides.geometry import Region

_LEAST_PX = 48
_TILE_PX = 512  # of a slide
_CASES = "pairs.csv"


@dataclass(frozen=True, eq=False)
class StylePool:
    """Images of one style.

    Attributes
    ----------
    images
        uint8 (H, W, 3) each, of any sizes.
    names, patients
        File name and patient of each.
    labels
        Class of each, an index into ``classes``; all 0 where there are none.
    classes
        Names of the sub-folders; empty where there are none.
    skipped
        One sentence for each file that was left out.
    """

    images: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    patients: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> StylePool:
        """Read a folder.

        Raises
        ------
        DataFolderError
            If there is no folder, or no image in it that can be used.
        """
        if not folder.is_dir():
            msg = f"{folder} is not a folder; a pool is a folder of images of one stain style"
            raise DataFolderError(msg)
        classes, places = _places(folder)
        cases = _cases(folder)
        found, skipped = [], []
        for place, patient, label in places:
            for path in _files(place):
                try:
                    image = stained_image(path, _LEAST_PX)
                except (OSError, ValueError, UnidentifiedImageError) as error:
                    skipped.append(f"{path.name}: {error}")
                else:
                    named = path.name.partition("_")[0].partition(".")[0]
                    found.append((image, path.name, patient or cases.get(path.stem, named), label))
        if not found:
            why = f" ({skipped[0]})" if skipped else ""
            msg = f"{folder} holds no colour image of tissue{why}; give PNG, JPEG or TIFF images"
            raise DataFolderError(msg)
        images, names, patients, labels = zip(*found, strict=True)
        return cls(images, names, patients, labels, classes, tuple(skipped))

    def __len__(self) -> int:
        """Images."""
        return len(self.images)

    def select(self, keep: Sequence[bool] | np.ndarray) -> StylePool:
        """Part of the pool."""
        return self.ordered(np.flatnonzero(keep))

    def ordered(self, places: Sequence[int] | np.ndarray) -> StylePool:
        """The images at these places, in this order."""
        return StylePool(
            tuple(self.images[i] for i in places),
            tuple(self.names[i] for i in places),
            tuple(self.patients[i] for i in places),
            tuple(self.labels[i] for i in places),
            self.classes,
            self.skipped,
        )

    def without(self, patients: Iterable[str]) -> StylePool:
        """The pool without some patients, of whom it need have none.

        Raises
        ------
        DataFolderError
            If nobody is left.
        """
        out = set(patients)
        rest = self.select([name not in out for name in self.patients])
        if not len(rest):
            msg = f"all {len(self)} images are of patients held out; none is left to learn from"
            raise DataFolderError(msg)
        return rest

    def split(self, share: float, seed: int) -> tuple[StylePool, StylePool]:
        """Hold out about a share of the patients (at least one); the rest comes first.

        Raises
        ------
        DataFolderError
            If there is only one patient.
        """
        names = sorted(set(self.patients))
        if len(names) < 2:
            msg = f"all {len(self)} images are of one patient; none can be held out (--holdout 0)"
            raise DataFolderError(msg)
        shuffled = np.random.default_rng(seed).permutation(names)
        out = set(shuffled[: max(1, min(len(names) - 1, round(share * len(names))))])
        held = np.array([p in out for p in self.patients])
        return self.select(~held), self.select(held)

    def tissue(self, most: int = 300_000) -> np.ndarray:
        """Pixels of tissue from all images alike: uint8 (N, 3)."""
        each = max(1, most // len(self))
        parts = []
        for image in self.images:
            flat = image.reshape(-1, 3)
            stained = flat[optical_density(flat).max(1) >= STAINED]
            parts.append(stained[:: max(1, len(stained) // each)])
        return np.concatenate(parts)


def read_pool(folder: Path, *, region: Region | None = None) -> StylePool:
    """Images of one style in a folder; or tiles of a slide's tissue, or a part of it as one image.

    Raises
    ------
    DataFolderError
        As :meth:`StylePool.read`; if a region of a folder is asked for.
    SlideFormatError, NoTissueError
        If there is a slide that can't be read, is grey or has no tissue.
    """
    if not folder.is_file():
        if region is not None:
            msg = f"a region is of a slide, and {folder} is none: give a slide, or leave the region out"
            raise DataFolderError(msg)
        return StylePool.read(folder)
    with Slide.open(folder) as slide:
        parts = tiles_of(slide, region)
        patient = slide.name.split(".")[0]
    n = len(parts)
    names = tuple(f"{patient}_{i:03d}" for i in range(n))
    return StylePool(tuple(parts), names, (patient,) * n, (0,) * n)


def tiles_of(slide: Slide, region: Region | None) -> list[np.ndarray]:
    """What a style is learnt from on a slide, in its own pixels: a part as one image, or tiles of all its tissue."""
    if region is None:
        return tissue_tiles(slide, None, _TILE_PX)
    need_colours(slide)
    return [slide.read(region)]


def _places(folder: Path) -> tuple[tuple[str, ...], list[tuple[Path, str, int]]]:
    """Classes, and each folder that holds images: its patient ("": in the names) and its class."""
    below = _holding_images(folder)
    if below or _files(folder):
        classes = tuple(place.name for place in below)
        return classes, [(place, "", i) for i, place in enumerate(below)] or [(folder, "", 0)]
    nested = [(p, q) for p in _folders(folder) for q in _holding_images(p)]
    classes = tuple(sorted({place.name for _, place in nested}))
    return classes, [(q, p.name, classes.index(q.name)) for p, q in nested]


def _cases(folder: Path) -> dict[str, str]:
    """Name of an image without suffix -> its patient, where a table says so."""
    for path in (folder / _CASES, folder.resolve().parent / _CASES):
        if path.is_file():
            try:
                with path.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
                    rows = list(csv.DictReader(lines))
            except (OSError, csv.Error) as error:
                msg = f"{path}, which says whose images are whose, can't be read: {error}"
                raise DataFolderError(msg) from error
            if rows and {"pair", "case"} <= rows[0].keys():
                return {row["pair"]: row["case"] for row in rows if row["pair"] and row["case"]}
    return {}


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir())


def _holding_images(folder: Path) -> list[Path]:
    return [p for p in _folders(folder) if _files(p)]


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
