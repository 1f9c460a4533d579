"""Opening mammograms: one file, the views of an examination, the examinations of a folder."""

from __future__ import annotations

import itertools
import secrets
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.errors import MammogramFormatError, SlideFormatError
from napari_pathogan.mammograms.mammogram import (
    RAW,
    USER,
    Mammogram,
    as_positive,
    data_range,
    told_if_negative,
)
from napari_pathogan.mammograms.views import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    is_dicom,
    named_view,
    words_beside_view,
)
from napari_pathogan.slides import scales
from napari_pathogan.slides.backends.dicom import is_whole_slide
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Sequence

_FINEST_UM = 10.0  # detectors and film scanners have 25 to 100

MOST_VIEWS = 24
"""Images without headers that a folder may hold and still be opened as one study."""

_CALLED_DICOM = {".dcm", ".dicom"}
_PUT_TOGETHER = "user"  # the beginning of a fingerprint that no header says
_NAMED = 2  # files that an examination is called by
_ROWS = {"CC": 0, "MLO": 1}
_COLUMNS = {"R": 0, "L": 1}


@dataclass(frozen=True, eq=False)
class MammogramStudy:
    """The views of one examination, as `Examination.open` opens them.

    Attributes
    ----------
    views
        One or more, in the order of a hanging: RCC, LCC, RMLO, LMLO, then all others.
    skipped
        Files that were left out and why, one line each.
    name
        What tells it from others that were opened with it: a folder's name, or those of files.
    """

    views: list[Mammogram]
    skipped: tuple[str, ...] = ()
    name: str = ""

    def hanging(self) -> dict[tuple[int, int], Mammogram]:
        """The place (row, column) of every view: RCC LCC over RMLO LMLO, others in rows below.

        Right breasts are in column 0, left ones in column 1; see ``Mammogram.mirrored``. Views with
        modifiers hang below, raw data too where there is the view that is made of them.
        """
        places: dict[tuple[int, int], Mammogram] = {}
        for one in sorted(self.views, key=_rank):
            columns = [_COLUMNS[one.laterality]] if one.laterality else [0, 1]
            plain = one.laterality and one.view in _ROWS and not one.modifiers
            rows = [_ROWS[str(one.view)]] if plain else []
            free = (
                (row, column)
                for row in (*rows, *range(len(_ROWS), len(_ROWS) + len(self.views)))
                for column in columns
                if (row, column) not in places
            )
            places[next(free)] = one
        return places


def open_mammogram(path: str | Path) -> Mammogram:
    """Open a DICOM file, or a grey PNG, PGM, TIFF or JPEG.

    Images other than DICOM are shown as they are (8 bit) or between their least and greatest value
    (16 bit); laterality and view come from the file's name (``..._R_CC.png``), the size of a pixel
    from the file, or from what the user has said before.

    Raises
    ------
    MammogramFormatError
        If it is no mammogram: another modality, several frames, no pixels, colour, a damaged file.
    CodecMissingError
        If it is compressed in a way that can't be decoded here.
    SlideFormatError
        If it is missing, empty, or no image at all.
    """
    path = Path(path)
    if not is_dicom(path) or is_whole_slide(path):
        with Slide.open(path) as slide:
            return mammogram_in(slide)
    from napari_pathogan.mammograms.dicom.files import read_dicom  # noqa: PLC0415 - slow to import

    return _with_known_spacing(told_if_negative(read_dicom(path)), path)


def mammogram_in(slide: Slide) -> Mammogram:
    """The mammogram in a file that is open as a slide; as `open_mammogram` opens it.

    Raises
    ------
    MammogramFormatError
        If it is too large for one, has colours, or is damaged.
    """
    assert slide.path is not None, "it was opened from a file"
    found = _read_image(slide, slide.path)
    if slide.mpp is not None and not slide.mpp_source.startswith(USER):
        y, x = slide.mpp
        return replace(found, mm_per_px=(y / 1e3, x / 1e3), spacing=f"by {slide.mpp_source}")
    return _with_known_spacing(found, slide.path)


def _with_known_spacing(found: Mammogram, path: Path) -> Mammogram:
    """With the size of a pixel that the user has said before, where the file says none."""
    if found.mm_per_px is None and (um := scales.recall(path)) is not None:
        return found.with_spacing((um[0] / 1e3, um[1] / 1e3))
    return found


@dataclass(frozen=True)
class Examination:
    """Files that belong to one examination, not opened yet; found by `examinations`.

    Attributes
    ----------
    name
        What tells it from the others that it was found with: a folder's name, or those of files.
    files
        One or more.
    views
        "RCC", ... of each file that is a mammogram; by the name of files without a header.
    certain
        Whether headers say that it is one; otherwise it was told by the names of files and folders, or
        by the patient's ID alone.
    folder
        Where it was found; None for files that were given, each of which has to open.
    fingerprint
        Of the one that the user has put together (`as_one`); otherwise that of its images.
    left_out
        Files that are not among ``files`` and why, one line each.
    """

    name: str
    files: tuple[Path, ...]
    views: tuple[str, ...]
    certain: bool
    folder: Path | None = None
    fingerprint: str | None = None
    left_out: tuple[str, ...] = ()
    own: tuple[object, ...] = ()
    """What its files have in common, as `examination_of` tells it; empty where none is a mammogram."""

    def __str__(self) -> str:
        count = len(self.views)
        return (
            f"{self.name} ({count} {'image' if count == 1 else 'images'}: {', '.join(self.views)})"
        )

    def open(self) -> MammogramStudy:
        """Open its mammograms; files of a folder that are none are told of in ``skipped``.

        Raises
        ------
        MammogramFormatError
            If there is no mammogram.
        SlideFormatError
            If one of the files that were given can't be opened.
        """
        views, skipped = [], [*self.left_out]
        for path in self.files:
            try:
                views.append(open_mammogram(path))
            except SlideFormatError as error:
                if self.folder is None:
                    raise
                skipped.append(str(error))
        if not views:
            assert self.folder is not None
            raise MammogramFormatError(
                f"{self.folder.name} holds no mammogram that can be opened: {skipped[0]}"
            )
        if self.fingerprint is not None:
            views = [replace(one, examination=self.fingerprint) for one in views]
        return MammogramStudy(sorted(views, key=_rank), tuple(skipped), self.name)


def as_one(found: Sequence[Examination], fingerprint: str | None = None) -> Examination:
    """Put together what the user knows to be one examination, though no header says so.

    Parameters
    ----------
    fingerprint
        Of the examination that is open and that they belong to; by default a new one.
    """
    return Examination(
        found[0].name,
        tuple(path for one in found for path in one.files),
        tuple(view for one in found for view in one.views),
        certain=False,
        folder=found[0].folder,
        left_out=tuple(line for one in found for line in one.left_out),
        fingerprint=fingerprint or f"{_PUT_TOGETHER} {secrets.token_hex(16)}",
    )


def examinations(folder_or_files: str | Path | Sequence[str | Path]) -> list[Examination]:
    """Tell apart the examinations of a folder (with its subfolders), or of files; opens none.

    Headers decide: what has another Study Instance UID, or Patient ID, is another examination. Without one, images
    of one folder belong together if their names are the same but for side and view. Of copies of an
    image the first counts. A disc's index (DICOMDIR) stands for the images that it names.

    Raises
    ------
    MammogramFormatError
        If a folder holds no mammogram, or no files were given.
    """
    if isinstance(folder_or_files, str | Path):
        given = [Path(folder_or_files)]
    else:
        given = [Path(path) for path in folder_or_files]
    if not given:
        raise MammogramFormatError("no files were given; give the mammograms of a study")
    found, files = [], []
    for path in given:
        if path.is_dir():
            found += _told_apart(_files_of_studies(path), path)
        elif is_index(path):
            found += _of_disc(path)
        else:
            files.append(path)
    return [*found, *(_told_apart(files, None) if files else [])]


def same_examination(one: Mammogram, other: Mammogram) -> bool:
    """Whether two mammograms belong together, as `examinations` tells it."""
    return examination_of(one) == examination_of(other)


def examination_of(mammogram: Mammogram) -> object:
    """What mammograms that belong together have in common, in this process; equal for no others."""
    return _belonging(mammogram.path, mammogram.examination)


def surely_apart(found: Examination, opened: Mammogram) -> bool:
    """Whether headers say that a mammogram is of another study than files that were found.

    One study with several patients does not tell for sure, nor does what has no header.
    """
    studies = [_study(one) for one in (found.own, _belonging(opened.path, opened.examination))]
    in_headers = all(isinstance(one, str) and one != _PUT_TOGETHER for one in studies)
    return in_headers and studies[0] != studies[1]


def says_mammogram(slide: Slide) -> bool:
    """Whether an image without a header says that it is a mammogram: its name tells side and view.

    Being grey says nothing; others are mammograms where the user says so.
    """
    assert slide.path is not None, "it was opened from a file"
    fits = not slide.is_rgb and slide.shape[0] * slide.shape[1] <= MAX_PIXELS
    return fits and not is_microscopic(slide) and None not in named_view(slide.path.stem)


def is_microscopic(slide: Slide) -> bool:
    """Whether its pixels are too fine for a mammogram."""
    return slide.mpp is not None and max(slide.mpp) < _FINEST_UM


def _read_image(slide: Slide, path: Path) -> Mammogram:
    if slide.shape[0] * slide.shape[1] > MAX_PIXELS:
        raise MammogramFormatError(
            f"{path.name} has {slide.shape[1]} x {slide.shape[0]} px, more than a mammogram can "
            "have; open it as a slide"
        )
    if is_microscopic(slide):
        assert slide.mpp is not None
        raise MammogramFormatError(
            f"{path.name} has pixels of {slide.mpp[1]:.4g} um ({slide.mpp_source}), which is a "
            "microscope's image, no mammogram; open it as a slide"
        )
    pixels = slide.read(Region(0, 0, *slide.shape))
    if slide.damaged:
        raise MammogramFormatError(f"{slide.damaged[0]}: copy {path.name} again from its source")
    if pixels.ndim == 3:
        if not (pixels == pixels[..., :1]).all():
            raise MammogramFormatError(
                f"{path.name} is a colour image; a mammogram is grey: open the DICOM file or a grey "
                "PNG, PGM or TIFF"
            )
        pixels = pixels[..., 0]
    laterality, view = named_view(path.stem)
    metadata = {key: known for key in ("format", "synthetic") if (known := slide.metadata.get(key))}
    found = Mammogram(
        path.stem,
        np.ascontiguousarray(pixels),
        window=(0.0, 255.0) if pixels.dtype == np.uint8 else data_range(pixels),
        laterality=laterality,
        view=view,
        path=path,
        metadata=metadata,
        notes=tuple(slide.notes),
    )
    return as_positive(found)


def _rank(one: Mammogram) -> tuple[int, int, bool]:
    """By row and column of a hanging; views with modifiers after all plain ones, raw data last."""
    row = len(_ROWS) if one.modifiers else _ROWS.get(one.view or "", len(_ROWS))
    column = _COLUMNS.get(one.laterality or "", len(_COLUMNS))
    return row, column, one.metadata.get("intent") == RAW


def _told_apart(files: list[Path], folder: Path | None) -> list[Examination]:
    """Group files by examination, in the order of each one's first; what is none goes with the first."""
    groups: dict[tuple[object, ...], list[tuple[Path, str]]] = {}
    certain, others, copies = set(), [], []
    instances: dict[str, list[Path]] = {}
    for path in files:
        view, key = "".join(part or "" for part in named_view(path.stem)) or path.stem, None
        if is_dicom(path):
            from napari_pathogan.mammograms.dicom.files import glance  # noqa: PLC0415 - slow to import

            seen = glance(path)
            if seen is None:
                others.append(path)
                continue
            view, key = seen.name, seen.examination
            same = instances.setdefault(seen.instance or str(path), [])
            known = next((one for one in same if _is_copy(path, one)), None)
            if known is not None:
                copies.append(path.name if folder is None else _below(folder, path))
                continue
            same.append(path)
        elif folder is not None and path.suffix.lower() in _CALLED_DICOM:
            others.append(path)
            continue
        own = _belonging(path, key)
        groups.setdefault(own, []).append((path, view))
        if key is not None:
            certain.add(own)
    if not groups:
        return [Examination(others[0].name, tuple(others), (), certain=False, folder=folder)]
    of_study = Counter(_study(own) for own in groups)
    certain = {own for own in certain if of_study[_study(own)] == 1}
    names = distinct_names([[path for path, _ in group] for group in groups.values()], folder)
    first, *rest = (
        Examination(
            name,
            tuple(path for path, _ in group),
            tuple(view for _, view in group),
            own in certain,
            folder,
            own=own,
        )
        for name, (own, group) in zip(names, groups.items(), strict=True)
    )
    return [replace(first, files=(*first.files, *others), left_out=_copied(copies)), *rest]


def _copied(names: list[str]) -> tuple[str, ...]:
    """One line for all copies that were left out."""
    if not names:
        return ()
    are = "1 file is a copy of another" if len(names) == 1 else f"{len(names)} files are copies"
    return (f"{are} with the same SOP Instance UID: {', '.join(names)}",)


def _is_copy(path: Path, first: Path) -> bool:
    """Whether files of one SOP instance show the same; pseudonymisers give several images one UID."""
    try:
        one, other = open_mammogram(path), open_mammogram(first)
    except SlideFormatError:
        return False
    return np.array_equal(one.pixels, other.pixels) and one.name == other.name


def _of_disc(index: Path) -> list[Examination]:
    """The examinations of a disc, by its index; those of its folder where the index names no file."""
    from napari_pathogan.mammograms.dicom.files import named_in_index  # noqa: PLC0415 - slow to import

    folder = index.parent
    there, missing = named_in_index(index)
    found = _told_apart(there or _files_of_studies(folder), folder)
    if missing:
        line = f"{missing} files that {index.name} names are not there; copy the whole disc"
        found[0] = replace(found[0], left_out=(*found[0].left_out, line))
    return found


def _belonging(path: Path | None, examination: str | None) -> tuple[object, ...]:
    """Equal for files of one examination: the header's fingerprint, else the folder and the name."""
    if examination is not None:
        return (examination,)
    if path is None:
        return (object(),)
    return path.resolve().parent, words_beside_view(path.stem)


def _study(own: tuple[object, ...]) -> object:
    """Of what files of one examination have in common, what the header says of the study alone."""
    return str(own[0]).partition(" ")[0] if len(own) == 1 else own


def distinct_names(groups: list[list[Path]], folder: Path | None = None) -> list[str]:
    """What tells groups of files apart: the folder that each is in, else the names of its files.

    One group has nothing to be told from: that of a folder is called as it, others by their files. Names begin in ``folder``, by default in the one that is around all files.
    """
    above = folder or _around([path for group in groups for path in group])
    within = [_around(group) for group in groups]
    if len(groups) == 1 and folder is not None:
        return [within[0].name]
    pairs = itertools.permutations(within, 2)
    if len(groups) > 1 and not any(one.is_relative_to(other) for one, other in pairs):
        return [_below(above, one) for one in within]
    return [
        ", ".join(_below(above, path) for path in group[:_NAMED]) + " …" * (len(group) > _NAMED)
        for group in groups
    ]


def _around(files: list[Path]) -> Path:
    """The innermost folder that all files are in; that of the first where there is none."""
    places = [path.absolute() for path in files]
    around = (at for at in places[0].parents if all(one.is_relative_to(at) for one in places))
    return next(around, places[0].parent)


def _below(folder: Path, path: Path) -> str:
    inside = path.absolute().is_relative_to(folder.absolute())
    return path.absolute().relative_to(folder.absolute()).as_posix() if inside else str(path)


def is_index(path: Path) -> bool:
    """Whether a file is the index of a disc of DICOM files."""
    return path.name.upper() == "DICOMDIR" and is_dicom(path)


def _files_of_studies(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    dicom = {path for path in files if is_dicom(path) and not is_index(path)}
    if dicom:  # what is only called DICOM is told of, not passed over
        return [path for path in files if path in dicom or path.suffix.lower() in _CALLED_DICOM]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise MammogramFormatError(
            f"{folder.name} holds no mammograms; choose a folder of DICOM, PNG, PGM or TIFF files"
        )
    if len(images) > MOST_VIEWS:
        raise MammogramFormatError(
            f"{folder.name} holds {len(images)} images, more than a study has; choose the files of "
            "one patient"
        )
    return images
