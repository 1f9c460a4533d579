"""What nucleus models learn from: images with masks, always kept apart by patient.

A folder holds ``images/`` and ``masks/`` with files of the same names, or slides with corrected
nuclei beside them (``<slide name>.nuclei.geojson``). A mask is binary (0 is background) or numbers
the nuclei. Whose image it is, the name says: ``04_3.png`` is the third of patient 04; a name of
another form is a patient of its own, unless a pattern says how to read it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.config import SettingError
from napari_pathogan.errors import DataFolderError, NoTissueError
from napari_pathogan.tasks.nuclei.annotated import SUFFIX, annotated_regions
from napari_pathogan.tasks.nuclei.labels import is_binary, split, three_labels
from napari_pathogan.tasks.nuclei.model import MPP

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PATIENT = r"(.+)_\d+"
USUAL_UM2 = 22.0  # the median nucleus of the breast images (352 pixels of 0.25 um)
_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
_NO_MASKS = {".json", ".xml", ".csv", ".txt", ".geojson", ".db"}  # what may lie beside one
_SMALLEST = 16  # pixels
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    UnidentifiedImageError,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, eq=False)
class NucleiImage:
    """One image with its mask, as they were read.

    Attributes
    ----------
    name, patient
        Of the file; whose it is.
    pixels
        uint8 (H, W, 3), RGB.
    mask
        int32 (H, W): 0 background, else a nucleus's number (or one value for all); -1 where it
        was not annotated.
    mpp
        Micrometres per pixel of both.
    """

    name: str
    patient: str
    pixels: np.ndarray
    mask: np.ndarray
    mpp: float = MPP

    @cached_property
    def learnt(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and the three labels (int8) at the scale of the model."""
        pixels, mask = self.at(MPP)
        return pixels, three_labels(mask)

    def at(self, mpp: float) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and mask at another scale: averaged or interpolated, and nearest."""
        factor = self.mpp / mpp
        if abs(factor - 1) < 0.01:
            return self.pixels, self.mask
        height, width = (max(1, round(side * factor)) for side in self.mask.shape)
        pixels = Image.fromarray(self.pixels).resize((width, height), Image.Resampling.BICUBIC)
        mask = Image.fromarray(self.mask).resize((width, height), Image.Resampling.NEAREST)
        return np.asarray(pixels), np.asarray(mask)


@dataclass(frozen=True, eq=False)
class NucleiFolder:
    """Images of several patients in memory.

    Attributes
    ----------
    images
        One or more.
    skipped
        What was left out and why, one line a file.
    outlined
        Whether each nucleus was outlined by itself, so that numbers are known where there is but one.
    """

    images: tuple[NucleiImage, ...]
    skipped: tuple[str, ...] = ()
    outlined: bool = False

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def patients(self) -> np.ndarray:
        """Str (N,): whose image each is."""
        return np.array([image.patient for image in self.images])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The patients, sorted."""
        return tuple(sorted(set(self.patients.tolist())))

    @property
    def digest(self) -> str:
        """The sha256 of the masks, in their order."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(np.ascontiguousarray(image.mask).tobytes())
        return digest.hexdigest()

    @cached_property
    def instances(self) -> bool:
        """Whether the masks number the nuclei: they were outlined, or some mask has several numbers."""
        return self.outlined or not all(
            is_binary(np.maximum(image.mask, 0)) for image in self.images
        )

    def reference(self) -> SlideColours | None:
        """The average of the patients' colours; None where no image shows tissue."""
        known = []
        for name in self.names:
            own = [i.pixels.reshape(-1, 3) for i in self.images if i.patient == name]
            with suppress(NoTissueError):
                known.append(SlideColours.measure(np.concatenate(own)))
        return SlideColours.average(known) if known else None

    def carried(self, reference: SlideColours | None, share: float) -> NucleiFolder:
        """The images in the colours in which a model sees them, as :meth:`.NucleiModel.in_colours_of`.

        Parameters
        ----------
        reference, share
            The model's: what colours are carried towards, and how far. None: images stay as they are.
        """
        if reference is None or not share:
            return self
        seen: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name in self.names:
            own = [i.pixels.reshape(-1, 3) for i in self.images if i.patient == name]
            with suppress(NoTissueError):
                seen[name] = SlideColours.measure(np.concatenate(own)).map_to(reference, share)
        images = tuple(
            replace(image, pixels=_recoloured(image.pixels, *seen[image.patient]))
            if image.patient in seen
            else image
            for image in self.images
        )
        return NucleiFolder(images, outlined=self.outlined)

    def take(self, which: np.ndarray) -> NucleiFolder:
        """The images that a mask or index picks."""
        images = tuple(self.images[i] for i in np.arange(len(self))[which])
        return NucleiFolder(images, outlined=self.outlined)


def _recoloured(pixels: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) carried over, in [0, 1], by a matrix (3, 3) and an offset (3,)."""
    rgb = (pixels / np.float32(255)) @ matrix.T.astype(np.float32) + offset.astype(np.float32)
    return (rgb.clip(0, 1) * 255).round().astype(np.uint8)


def read_training_folder(
    folder: Path, *, mpp: float | None = None, patient: str = PATIENT
) -> NucleiFolder:
    """Read a folder of images with masks, or of slides with corrected nuclei beside them.

    Arguments and errors are those of :func:`read_folder`. Slides say their own ``mpp``.

    Raises
    ------
    SettingError
        If it is asked for all the same.
    """
    plain = not folder.is_dir() or (folder / "images").is_dir()
    named = [] if plain else sorted(file.name for file in folder.glob("*.geojson"))
    if named and not AnnotationStore.in_folder(folder, SUFFIX):
        msg = (
            f"{folder} holds {named[0]}, but nuclei are looked for in files that are called as their slide "
            f"and then {SUFFIX}, such as case.svs{SUFFIX}; call it so"
        )
        raise DataFolderError(msg)
    if plain or not AnnotationStore.in_folder(folder, SUFFIX):
        return read_folder(folder, mpp=mpp or MPP, patient=patient)
    if mpp is not None:
        raise SettingError(f"mpp={mpp:g} would count for nothing: slides say their own scale")
    return of_slides(AnnotationStore.in_folder(folder, SUFFIX), patient=patient)


def of_slides(
    stores: Iterable[AnnotationStore], *, patient: str = PATIENT, mpp: float | None = None
) -> NucleiFolder:
    """What is known on slides with corrected nuclei.

    Parameters
    ----------
    patient
        As for :func:`read_folder`.
    mpp
        um per pixel, where slides do not say.

    Raises
    ------
    DataFolderError, SettingError
        If nothing is known on any, or the pattern won't do.
    """
    names = _pattern(patient)
    regions, skipped = annotated_regions(stores, mpp)
    if not regions:
        msg = f"no slide could be used; the first: {skipped[0]}"
        raise DataFolderError(msg)
    images = (
        NucleiImage(
            f"{r.slide} {number}", _whose(PurePath(r.slide).stem, names), r.image, r.mask, r.mpp
        )
        for number, r in enumerate(regions, 1)
    )
    return NucleiFolder(tuple(images), tuple(skipped), outlined=True)


def read_folder(folder: Path, *, mpp: float = MPP, patient: str = PATIENT) -> NucleiFolder:
    """Read ``folder/images`` with ``folder/masks``.

    Files that can't be read, images without a mask and masks of another size are left out and
    named in ``skipped``.

    Parameters
    ----------
    mpp
        Micrometres per pixel of the images.
    patient
        Regular expression whose first group, on the whole of a name without its suffix, is the
        patient; a name that does not match is a patient of its own.

    Raises
    ------
    DataFolderError
        If a folder is missing, nothing in it can be used, or the pattern is none.
    """
    names = _pattern(patient)
    for sub in (folder, folder / "images", folder / "masks"):
        if not sub.is_dir():
            msg = f"{sub} is not a folder; give one with images/ and masks/ of the same file names"
            raise DataFolderError(msg)
    masks: dict[str, list[Path]] = {}
    for file in sorted((folder / "masks").iterdir()):
        if file.suffix.lower() not in _NO_MASKS:
            masks.setdefault(file.stem, []).append(file)
    files = [f for f in sorted((folder / "images").iterdir()) if f.suffix.lower() in _SUFFIXES]
    stems = Counter(file.stem for file in files)
    with ThreadPoolExecutor(4) as pool:
        read = list(
            pool.map(lambda f: _pair(f, stems[f.stem], masks.get(f.stem, []), mpp, names), files)
        )
    images = tuple(image for image in read if isinstance(image, NucleiImage))
    skipped = tuple(reason for reason in read if isinstance(reason, str))
    if not images:
        why = f"; {skipped[0]}" if skipped else ""
        msg = f"no image with a mask in {folder}{why}; images/ and masks/ hold the same file names"
        raise DataFolderError(msg)
    return NucleiFolder(images, skipped)


def read_others(folder: Path) -> NucleiFolder:
    """Read images of other laboratories as :func:`read_folder`, each at a scale of its own.

    It is taken to be that at which the image's median nucleus has the usual area: magnifications
    may be mixed and unknown. The group that is an image's (in place of a patient) its name says.
    """
    found = read_folder(folder)
    return NucleiFolder(tuple(_usual_size(image) for image in found.images), found.skipped)


def _usual_size(image: NucleiImage) -> NucleiImage:
    mask = np.maximum(image.mask, 0)
    areas = np.bincount((split(mask) if is_binary(mask) else mask).ravel())[1:]
    areas = areas[areas > 0]
    return replace(image, mpp=math.sqrt(USUAL_UM2 / np.median(areas))) if len(areas) else image


def _pattern(patient: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(patient)
    except re.error as error:
        msg = f"{patient!r} is no regular expression ({error}); the default is {PATIENT!r}"
        raise DataFolderError(msg) from error
    if not pattern.groups:
        msg = f"{patient!r} has no group; put the patient in brackets, as in {PATIENT!r}"
        raise DataFolderError(msg)
    return pattern


def _pair(
    file: Path, namesakes: int, masks: list[Path], mpp: float, names: re.Pattern[str]
) -> NucleiImage | str:
    """An image with its mask, or why it has none that is plainly its own."""
    if not masks:
        return f"{file}: there is no mask {file.name} beside it"
    if len(masks) > 1:
        return f"{file}: {' and '.join(mask.name for mask in masks)} may both be its mask; keep one"
    if namesakes > 1:
        return f"{file}: {namesakes} images are called {file.stem}; keep one"
    return _read(file, masks[0], mpp, names)


def _read(file: Path, mask: Path, mpp: float, names: re.Pattern[str]) -> NucleiImage | str:
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
    except _UNREADABLE as error:
        return f"{file}: can't be read ({error})"
    try:
        marked = _read_mask(mask)
    except _UNREADABLE as error:
        return f"{mask}: can't be read ({error})"
    if marked.shape != pixels.shape[:2]:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in (marked.shape, pixels.shape)]
        return f"{mask}: {sizes[0]} px, but its image has {sizes[1]}"
    if min(marked.shape) < _SMALLEST:
        return f"{file}: a side under {_SMALLEST} px shows no tissue"
    return NucleiImage(file.stem, _whose(file.stem, names), pixels, marked, mpp)


def _whose(name: str, names: re.Pattern[str]) -> str:
    match = names.fullmatch(name)
    return match[1] if match else name


def _read_mask(file: Path) -> np.ndarray:
    """int32 (H, W); colours are numbered, as tools that paint each nucleus differently save them.

    Raises
    ------
    ValueError
        If it is no plane of whole numbers.
    """
    if file.suffix.lower() == ".npy":
        plane = np.load(file, allow_pickle=False)
    elif file.suffix.lower() in (".tif", ".tiff"):
        plane = tifffile.imread(file)  # ids beyond 16 bit, which other readers refuse
    else:
        with Image.open(file) as image:
            plane = np.asarray(image)
    if plane.ndim == 3:
        plane = plane[..., :3].astype(np.int64) @ (1, 256, 65536)[: min(3, plane.shape[2])]
    if plane.ndim != 2 or plane.dtype.kind not in "buif" or (plane < 0).any():
        msg = f"{plane.dtype} {plane.shape} is no plane of whole numbers from 0 on"
        raise ValueError(msg)
    if plane.max(initial=0) > np.iinfo(np.int32).max or plane.dtype.kind == "f":
        plane = np.unique(plane, return_inverse=True)[1].reshape(plane.shape) + (plane.min() > 0)
    return np.asarray(plane, np.int32)


def need_nuclei(folder: NucleiFolder) -> None:
    """Make sure that there is something to learn.

    Raises
    ------
    DataFolderError
        If no mask marks a nucleus.
    """
    if not any((image.mask > 0).any() for image in folder.images):
        left = f"; left out: {folder.skipped[0]}" if folder.skipped else ""
        msg = f"no nucleus is marked in any of the {len(folder)} masks: all are 0{left}"
        raise DataFolderError(msg)
