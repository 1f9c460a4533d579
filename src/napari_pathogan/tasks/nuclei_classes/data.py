"""What class models learn from and are scored on: nuclei cut from images, kept apart by image.

Three kinds of folders are read:

- ``images/`` and ``points/`` with a csv of the same name (x, y and, where known, class);
- ``images/`` and ``masks/`` with a mask of the same name, binary or one number a nucleus;
- slides with corrected nuclei beside them (``<slide>.nuclei.geojson``).

No labels are needed to train; where there are any they serve only to name what was found. The
public sets don't say which patient an image is of, so the image is what is held out.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.ndimage import center_of_mass
from scipy.spatial import cKDTree

from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.errors import DataFolderError, PathoganError
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei import annotated, drawn
from napari_pathogan.tasks.nuclei.data import read_folder
from napari_pathogan.tasks.nuclei.labels import is_binary, split
from napari_pathogan.tasks.nuclei.segmentation import NUCLEUS
from napari_pathogan.tasks.nuclei_classes.crops import CROP_PX, cut_from_slide, stain_around

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.tasks.nuclei.segmentation import Segmentation
    from napari_pathogan.tasks.nuclei_classes.stain import Stain

UNKNOWN = ""
ROOM_PX = CROP_PX + 4  # room to move the crop by 2 px
CONTEXT_PX = 64  # of a nucleus and what is around it
DESCRIBED_MPP = 0.55  # where a nucleus is described, whatever scale the networks see it at
_MIN_PX = 12  # a smaller speck of a mask is no nucleus


@dataclass(frozen=True, eq=False)
class Nuclei:
    """Nuclei of several images, cut with what is around them.

    Attributes
    ----------
    pictures
        uint8 (N, 64, 64, 3), RGB; smaller crops are in their middle.
    wide
        uint8 (N, 40, 40, 3): the same nuclei at 0.55 um/px, to describe them and what is around.
    classes
        str (N,): their annotated class, empty where unknown.
    images
        str (N,): which image each is from.
    centres
        float (N, 2): y, x in um within the image.
    stains
        Image -> its colours, None where there is no tissue.
    mpp
        Micrometres per pixel of the pictures.
    skipped
        What was left out and why, one line each.
    """

    pictures: np.ndarray
    wide: np.ndarray
    classes: np.ndarray
    images: np.ndarray
    centres: np.ndarray
    stains: dict[str, Stain | None]
    mpp: float
    skipped: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def crops(self) -> np.ndarray:
        """uint8 (N, 40, 40, 3): the nuclei as :func:`.crops.cut` gives them."""
        return self.cropped(CROP_PX)

    def cropped(self, size: int) -> np.ndarray:
        """uint8 (N, ``size``, ``size``, 3): the middle of the pictures; 64 px at most."""
        edge = (self.pictures.shape[1] - size) // 2
        return self.pictures[:, edge : edge + size, edge : edge + size]

    @property
    def names(self) -> tuple[str, ...]:
        """The images, sorted."""
        return tuple(str(name) for name in np.unique(self.images))

    def take(self, which: np.ndarray) -> Nuclei:
        """The nuclei that an index or mask picks."""
        images = self.images[which]
        stains = {name: self.stains[name] for name in np.unique(images)}
        return Nuclei(
            self.pictures[which],
            self.wide[which],
            self.classes[which],
            images,
            self.centres[which],
            stains,
            self.mpp,
            self.skipped,
        )

    def of(self, names: Iterable[str]) -> Nuclei:
        """The nuclei of some images."""
        return self.take(np.isin(self.images, list(names)))

    def by_image(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each image's name, and the numbers of its nuclei."""
        for name in self.names:
            yield name, np.flatnonzero(self.images == name)

    def neighbours(self, n: int) -> np.ndarray:
        """int64 (N, n): the nearest nuclei of the same image, nearest first.

        A nucleus without others beside it is its own neighbour.
        """
        found = np.repeat(np.arange(len(self))[:, None], n, 1)
        for _, own in self.by_image():
            near = min(n, len(own) - 1)
            if near:
                _, index = cKDTree(self.centres[own]).query(self.centres[own], near + 1)
                # where nuclei share a centre the first found need not be the nucleus itself
                found[own] = own[index[:, 1 + np.arange(n) % near]]
        return found


class Labelled(NamedTuple):
    """The labels of some nuclei as numbers.

    Attributes
    ----------
    names
        Of the classes that are scored.
    which
        int64 (N,): which of the nuclei have such a class.
    classes
        int64 (N,): their classes.
    image
        int64 (N,): their images, as numbers.
    left_out
        Nuclei of each class that is not scored.
    """

    names: tuple[str, ...]
    which: np.ndarray
    classes: np.ndarray
    image: np.ndarray
    left_out: dict[str, int]


def image_groups(nuclei: Nuclei, groups: int) -> np.ndarray:
    """Groups of images of similar colours, of about as many nuclei: what is held out together.

    Images that are alike may be of one patient, which these sets don't say. They are put in the
    order of their densities' first principal component, and cut.

    Returns
    -------
    int64 (N,): the group of each nucleus.

    Raises
    ------
    DataFolderError
        If there are fewer images than groups.
    """
    names, index, counts = np.unique(nuclei.images, return_inverse=True, return_counts=True)
    if len(names) < groups:
        msg = f"{groups} groups of images are held out in turn; {len(names)} images are too few"
        raise DataFolderError(msg)
    stains = [nuclei.stains[str(name)] for name in names]
    known = np.stack([s.density.ravel() for s in stains if s] or [np.zeros(6)])
    middle, spread = known.mean(0), known.std(0) + 1e-9
    _, _, axes = np.linalg.svd((known - middle) / spread, full_matrices=False)
    place = [((s.density.ravel() - middle) / spread) @ axes[0] if s else 0.0 for s in stains]
    order = np.argsort(place, kind="stable")
    upto = np.cumsum(counts[order]) - counts[order] / 2
    group = np.empty(len(names), int)
    group[order] = np.minimum(upto * groups / counts.sum(), groups - 1).astype(int)
    # every group has an image, however many nuclei one of them holds
    if len(np.unique(group)) < groups:
        group[order] = np.arange(len(names)) * groups // len(names)
    found: np.ndarray = group[index]
    return found


def read_nuclei(folder: Path, mpp: float, image_mpp: float | None = None) -> Nuclei:
    """Read a folder of images whose nuclei are given as points, masks or corrected outlines.

    Parameters
    ----------
    mpp
        um per pixel to cut at: the class model's.
    image_mpp
        um per pixel of the images; None takes what each file says, else ``mpp``.

    Raises
    ------
    DataFolderError
        If the folder holds none of the three, or no nucleus.
    """
    if not folder.is_dir():
        msg = f"{folder} is not a folder; give one with images/ and points/ (or masks/) inside"
        raise DataFolderError(msg)
    if (folder / "points").is_dir():
        parts, skipped = _from_points(folder, mpp, image_mpp)
    elif (folder / "masks").is_dir():
        parts, skipped = _from_masks(folder, mpp, image_mpp)
    else:
        parts, skipped = _from_annotated(folder, mpp, image_mpp)
    if not sum(len(part) for part in parts):
        why = skipped[0] if skipped else "expected images/ with points/ or masks/"
        msg = f"no nucleus in {folder}: {why}"
        raise DataFolderError(msg)
    return join(parts, skipped)


def nuclei_of(slide: Slide, centres: np.ndarray, classes: Iterable[str], mpp: float) -> Nuclei:
    """Cut nuclei out of one open slide.

    Parameters
    ----------
    centres
        (N, 2): y, x in level-0 pixels.
    classes
        (N,): their classes, empty where unknown.

    Raises
    ------
    DataFolderError
        If a centre lies off the slide.
    UnknownScaleError
        If the slide does not say its um per pixel.
    """
    centres = np.asarray(centres, float).reshape(-1, 2)
    off = ((centres < -1) | (centres > slide.shape)).any(1)
    if off.any():
        y, x = centres[off][0]
        size = f"{slide.shape[1]} x {slide.shape[0]}"
        msg = f"{slide.name} has {size} px, but a nucleus at x {x:g}, y {y:g}"
        raise DataFolderError(msg)
    pictures = cut_from_slide(slide, centres, mpp, CONTEXT_PX)
    wide = cut_from_slide(slide, centres, DESCRIBED_MPP)
    assert slide.mpp is not None  # else cutting would have failed
    return Nuclei(
        pictures,
        wide,
        np.array(list(classes), dtype=object).astype(str),
        np.full(len(centres), slide.name),
        centres * slide.mpp,
        {slide.name: stain_around(slide, centres, mpp)},
        mpp,
    )


def from_segmentation(slide: Slide, segmentation: Segmentation, mpp: float) -> Nuclei:
    """Cut the nuclei that a segmentation found; their classes are those it has, if any."""
    table = segmentation.table
    classes = table["class"].astype(str).replace(NUCLEUS, UNKNOWN)
    return nuclei_of(slide, table[["y_px", "x_px"]].to_numpy(), classes, mpp)


def join(parts: Sequence[Nuclei], skipped: Iterable[str] = ()) -> Nuclei:
    """Put the nuclei of several images together; there must be one image at least."""
    return Nuclei(
        np.concatenate([part.pictures for part in parts]),
        np.concatenate([part.wide for part in parts]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.centres for part in parts]),
        {name: stain for part in parts for name, stain in part.stains.items()},
        parts[0].mpp,
        (*(line for part in parts for line in part.skipped), *skipped),
    )


def _from_points(
    folder: Path, mpp: float, image_mpp: float | None
) -> tuple[list[Nuclei], list[str]]:
    parts, skipped = [], []
    for image, points in _point_files(folder):
        try:
            with Slide.open(image, mpp=image_mpp) as slide:
                scaled = slide if slide.mpp else slide.with_mpp(mpp, "assumed")
                parts.append(nuclei_of(scaled, *_read_points(points), mpp))
        except PathoganError as error:
            skipped.append(f"{image.name}: {error}")
    return parts, skipped


def _from_masks(
    folder: Path, mpp: float, image_mpp: float | None
) -> tuple[list[Nuclei], list[str]]:
    found = read_folder(folder, mpp=image_mpp or mpp)
    parts = []
    for image in found.images:
        mask = np.maximum(image.mask, 0)
        numbered = split(mask) if is_binary(mask) else mask
        ids, counts = np.unique(numbered[numbered > 0], return_counts=True)
        ids = ids[counts >= _MIN_PX]
        centres = np.array(center_of_mass(numbered > 0, numbered, ids)).reshape(-1, 2)
        slide = Slide.from_arrays([image.pixels], name=image.name, mpp=image.mpp)
        parts.append(nuclei_of(slide, centres, [UNKNOWN] * len(ids), mpp))
    return parts, list(found.skipped)


def _from_annotated(
    folder: Path, mpp: float, image_mpp: float | None
) -> tuple[list[Nuclei], list[str]]:
    parts, skipped = [], []
    for kept in AnnotationStore.in_folder(folder, annotated.SUFFIX):
        try:
            path = kept.path
            with Slide.open(kept.image, mpp=image_mpp) as slide:
                found = annotated.read(path, slide)
                parts.append(from_segmentation(slide, found, mpp))
            skipped += [f"{path.name}: {line}" for line in drawn.left_out(found.notes)]
        except PathoganError as error:
            skipped.append(f"{kept.image.name}: {error}")
    return parts, skipped


def _point_files(folder: Path) -> list[tuple[Path, Path]]:
    images = folder / "images"
    if not images.is_dir():
        msg = f"{images} is missing; put the images there, named as the csv files in points/"
        raise DataFolderError(msg)
    by_stem = {file.stem: file for file in sorted(images.iterdir()) if file.is_file()}
    points = sorted((folder / "points").glob("*.csv"))
    missing = [file.name for file in points if file.stem not in by_stem]
    if missing:
        msg = f"{images} holds no image for {missing[0]}; each csv needs one of the same name"
        raise DataFolderError(msg)
    return [(by_stem[file.stem], file) for file in points]


def _read_points(path: Path) -> tuple[np.ndarray, list[str]]:
    """Centres (N, 2) y, x in pixels and classes of a csv with x, y and perhaps class."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
        centres = [(float(row["y"]), float(row["x"])) for row in rows]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        msg = f"{path} is no list of nuclei ({error}); it needs the columns x, y and perhaps class"
        raise DataFolderError(msg) from error
    return np.array(centres).reshape(-1, 2), [(row.get("class") or UNKNOWN).strip() for row in rows]
