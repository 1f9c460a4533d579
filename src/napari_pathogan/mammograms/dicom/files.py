"""Mammograms in DICOM files: what the header says, apart from who it is.

Values that name a person, a place or a date are never looked at: not for names, not for messages. Of a
patient's ID a keyed fingerprint is made, with that of the study.
What pydicom says about a damaged value may quote it, so its words are not passed on either.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_pathogan.errors import MammogramFormatError, SlideFormatError
from napari_pathogan.mammograms.dicom import pixels as dicom_pixels
from napari_pathogan.mammograms.dicom.header import (
    numbers,
    parsed,
    text,
    value,
    values,
    whole,
)
from napari_pathogan.mammograms.dicom.luts import (
    modality,
    named_windows,
    says_no_slope,
    says_unknown_function,
    says_unreadable_rescale,
    says_unreadable_window,
    voi_of,
    windows_of,
)
from napari_pathogan.mammograms.dicom.views import (
    is_raw,
    laterality_of,
    modifiers_of,
    says_both_sides,
    says_magnified_by_distances,
    says_no_size,
    spacing_of,
    stretch_of,
    view_name,
    view_of,
)
from napari_pathogan.mammograms.mammogram import MAGNIFIED, RAW, Mammogram, by_looks, data_range
from napari_pathogan.mammograms.voi import Table, Voi
from napari_pathogan.slides.backends.quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import FileDataset

_MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"  # for presentation; "... .1" for processing
_IMAGES = "1.2.840.10008.5.1.4.1.1.1."  # digital X-ray, of whatever kind
_UP = {"", ".", ".."}
_MOST_FRAMES = 1000
_KEY = secrets.token_bytes(32)
_BEYOND = (
    "{} holds more pixels than its header says, so its size there may be wrong and part of the image "
    "is not shown; export it again"
)
_WIDER = (
    "{} holds values of more bits than its header says, which are shown without those, so bright parts "
    "may be dark; export it again"
)
_GREY = {"MONOCHROME1", "MONOCHROME2"}


def read_dicom(path: Path) -> Mammogram:
    """Open a DICOM file as a mammogram.

    Raises
    ------
    MammogramFormatError
        If it is of another modality, has several frames, colours or no pixels, or is damaged.
    CodecMissingError
        If its pixels are compressed in a way that can't be decoded here.
    """
    with quiet():
        header = _dataset(path)
        _check_kind(header, path.name)
        stored, padded, beyond, wider = dicom_pixels.decode(header, path.name)
        pixels = modality(stored, header, path.name)
        known = pixels if padded is None else pixels[~padded]
        voi = voi_of(header, known)
        mm_per_px, spacing = spacing_of(header)
        found = Mammogram(
            view_name(header),
            pixels,
            inverted=_is_inverted(header),
            window=data_range(known) if voi is None else voi.limits,
            laterality=laterality_of(header),
            view=view_of(header),
            modifiers=modifiers_of(header),
            mm_per_px=mm_per_px,
            spacing=spacing,
            voi=voi,
            windows=named_windows(header),
            padded=padded,
            chest_wall=_chest_wall(header),
            examination=_examination(header),
            path=path,
            metadata=_metadata(header),
            notes=(
                *_notes(header, voi, path.name),
                *[_BEYOND.format(path.name)] * beyond,
                *[_WIDER.format(path.name)] * wider,
            ),
        )
        return by_looks(found) if _contradicts_itself(header) else found


@dataclass(frozen=True)
class Glance:
    """What a mammogram's header says before its pixels are read.

    Attributes
    ----------
    name
        "RCC", ..., as of `read_dicom`.
    examination
        As of :class:`Mammogram`.
    instance
        A fingerprint of the image, which its copies share; None where the header has none.
    """

    name: str
    examination: str | None
    instance: str | None = None


def glance(path: Path) -> Glance | None:
    """Look at the header alone; None for what is no mammogram, or damaged."""
    with quiet():
        try:
            header = _dataset(path, stop_before_pixels=True)
        except SlideFormatError:
            return None
        if not _is_mammogram(header):
            return None
        return Glance(
            view_name(header), _examination(header), _fingerprint(header, "SOPInstanceUID")
        )


def named_in_index(index: Path) -> tuple[list[Path], int]:
    """The images that a DICOMDIR names and that are there, and how many are not.

    Raises
    ------
    MammogramFormatError
        If it is damaged.
    """
    with quiet():
        names = [
            [part for part in map(str, values(record, "ReferencedFileID")) if part not in _UP]
            for record in values(_dataset(index), "DirectoryRecordSequence")
            if text(record, "DirectoryRecordType") == "IMAGE"
        ]
    asked = [_beneath(index.parent, parts) for parts in names if parts]
    there = list(dict.fromkeys(path for path in asked if path is not None))
    return there, asked.count(None)


def _beneath(folder: Path, parts: list[str]) -> Path | None:
    """A file by the names on a disc, which copying may have put in lower case, or without endings."""
    for part in parts:
        same = {part.casefold(), f"{part}.dcm".casefold()}
        found = (
            (one for one in folder.iterdir() if one.name.casefold() in same)
            if folder.is_dir()
            else ()
        )
        if (below := next(iter(sorted(found)), None)) is None:
            return None
        folder = below
    return folder if folder.is_file() else None


def _dataset(path: Path, *, stop_before_pixels: bool = False) -> FileDataset:
    """Parse a file.

    Raises
    ------
    MammogramFormatError
        If it is damaged.
    """
    damaged = MammogramFormatError(
        f"{path.name} is not a DICOM file that can be read: it is truncated or damaged; copy it "
        "again from where it came from"
    )
    try:
        header = parsed(path, stop_before_pixels=stop_before_pixels)
    except Exception:  # noqa: BLE001 - pydicom raises many kinds, and their words quote the header
        raise damaged from None
    if not header:  # so pydicom gives files that end amid their compressed pixels
        raise damaged
    return header


def _is_mammogram(header: FileDataset) -> bool:
    sop = str(value(header, "SOPClassUID"))
    return text(header, "Modality") == "MG" or sop.startswith(_MAMMOGRAPHY)


def _is_image(header: FileDataset) -> bool:
    """Whether it says of itself that it is an image, as no report or presentation state does."""
    return str(value(header, "SOPClassUID")).startswith(_IMAGES)


def _check_kind(header: FileDataset, name: str) -> None:
    """Refuse what is no single grey mammogram."""
    if "DirectoryRecordSequence" in header:
        raise MammogramFormatError(f"{name} is the index of a disc, no image; open its folder")
    if not _is_mammogram(header):
        kind = text(header, "Modality")
        said = f"modality {kind}" if re.fullmatch("[A-Z]{2}", kind) else "no modality"
        raise MammogramFormatError(
            f"{name} is not a mammogram ({said}); choose a DICOM file of modality MG"
        )
    frames = whole(header, "NumberOfFrames") or 1
    if frames > 1:
        several = frames if frames <= _MOST_FRAMES else "many"
        raise MammogramFormatError(
            f"{name} holds {several} frames (tomosynthesis), and only single images can be read; "
            "choose the 2-D mammogram, or the synthesised one, of the same view"
        )
    if "FloatPixelData" in header or "DoubleFloatPixelData" in header:
        raise MammogramFormatError(
            f"{name} holds its pixels as floats, which mammograms have not (it may be a map of doses or "
            "of parameters); choose the image as it was taken"
        )
    if "PixelData" not in header and _is_image(header):
        raise MammogramFormatError(
            f"{name} holds no pixels: it is truncated before them, or was exported without them; copy it "
            "again from where it came from"
        )
    if "PixelData" not in header:
        raise MammogramFormatError(
            f"{name} holds no pixels (it is a report or a presentation state, or it was exported "
            "without them); choose the image itself"
        )
    colour = text(header, "PhotometricInterpretation")
    if (whole(header, "SamplesPerPixel") or 1) != 1 or colour not in _GREY:
        raise MammogramFormatError(
            f"{name} is not a grey image, as mammograms are; choose the image as it was taken"
        )


def _is_inverted(header: FileDataset) -> bool:
    return text(header, "PhotometricInterpretation") == "MONOCHROME1"


def _contradicts_itself(header: FileDataset) -> bool:
    """Whether Presentation LUT Shape says the other thing of high values (PS3.3 C.8.11.3.1.2)."""
    shape = text(header, "PresentationLUTShape")
    return shape in {"IDENTITY", "INVERSE"} and (shape == "INVERSE") != _is_inverted(header)


def _examination(header: FileDataset) -> str | None:
    """Fingerprints of study (else series, which is of one study) and patient; None without UIDs.

    Copied headers give several patients one UID. They are keyed anew in every process: outside of it,
    they tell nobody anything.
    """
    own = _fingerprint(header, "StudyInstanceUID") or _fingerprint(header, "SeriesInstanceUID")
    return own and f"{own} {_fingerprint(header, 'PatientID') or ''}"


def _fingerprint(header: FileDataset, keyword: str) -> str | None:
    if (said := value(header, keyword)) is None:
        return None
    return hashlib.blake2b(str(said).strip().encode(), key=_KEY, digest_size=16).hexdigest()


def _chest_wall(header: FileDataset) -> str | None:
    """The edge towards which the rows run posterior (PatientOrientation)."""
    along = text(header, "PatientOrientation")[:1]
    return {"P": "right", "A": "left"}.get(along)


def _lies(header: FileDataset) -> str:
    """How an image is turned whose rows run along the breast, or which is upside down; "" for others."""
    ends = [str(one).strip().upper()[:1] for one in values(header, "PatientOrientation")[:2]]
    along, down = ends if len(ends) == 2 else ("", "")
    if down in {"A", "P"} and along not in {"A", "P"}:
        return "on its side"
    return "upside down" if down == "H" else ""


def _notes(header: FileDataset, voi: Voi | None, name: str) -> tuple[str, ...]:
    """What the user must know of a view before anything is read from it."""
    notes = []
    if is_raw(header):
        notes.append(
            f"{name} is raw data of the detector (FOR PROCESSING), on which models see little: "
            "choose the view FOR PRESENTATION if there is one"
        )
    notes += _shown_notes(header, voi, name)
    if says_both_sides(header):
        side = {"R": "right", "L": "left"}[str(laterality_of(header))]
        notes.append(
            f"{name} says right in one place and left in another; it is taken for a {side} breast: look "
            "which it is"
        )
    if dicom_pixels.says_no_syntax(header):
        read_as = dicom_pixels.called(dicom_pixels.syntax_of(header))
        notes.append(
            f"{name} does not say how its pixels are compressed; by how they begin, they were read as "
            f"{read_as}"
        )
    if lies := _lies(header):
        notes.append(
            f"{name} lies {lies}, as its header says, and models know upright breasts alone: turn it and "
            "export it again"
        )
    if says_no_size(header):
        notes.append(
            f"{name} states a size of a pixel that no detector has or that can't be read, so lengths are "
            "in pixels; give the right one in mm"
        )
    if (ratio := stretch_of(header)) is not None:
        notes.append(
            f"{name} has pixels that are not square ({ratio:.3g} times as high as wide), so models see "
            "its breast stretched; export it with square ones"
        )
    if (factor := says_magnified_by_distances(header)) is not None:
        notes.append(
            f"{name} is magnified {factor:.2g} times by its distances, and its view does not say so: if it is, "
            "lengths are greater than in the breast"
        )
    if spacing_of(header)[1] == MAGNIFIED:
        notes.append(
            f"{name} is magnified, and does not say how much: lengths are those on the detector, "
            "greater than in the breast"
        )
    return tuple(notes)


def _shown_notes(header: FileDataset, voi: Voi | None, name: str) -> list[str]:
    """How it is shown otherwise than its header says."""
    notes = []
    if values(header, "VOILUTSequence") and not isinstance(voi, Table):
        instead = "its range of values" if voi is None else "its window"
        notes.append(
            f"{name} holds a VOI LUT that is damaged or shows next to nothing, so it is shown by "
            f"{instead} instead"
        )
    windows = windows_of(header)
    if windows and not isinstance(voi, Table) and voi != windows[0]:
        which = "the window" if len(windows) == 1 else "the first window"
        instead = "its range of values" if voi is None else "another of its windows"
        notes.append(
            f"{which} of {name} shows next to nothing of it, so it is shown by {instead} instead"
        )
    if not windows and not isinstance(voi, Table) and says_unreadable_window(header):
        notes.append(
            f"{name} holds a window that can't be read, so it is shown by its range of values"
        )
    if windows and voi == windows[0] and says_unknown_function(header):
        notes.append(
            f"{name} asks for a VOI LUT function that there is not, so its window is linear"
        )
    if says_no_slope(header):
        notes.append(f"{name} has a rescale slope of 0, which is taken as 1")
    if says_unreadable_rescale(header):
        notes.append(f"{name} rescales its values by what can't be read, so they are those stored")
    return notes


def _metadata(header: FileDataset) -> dict[str, Any]:
    """What is worth knowing of a mammogram, and says nothing about a person, a place or a date."""
    maker = value(header, "Manufacturer")
    intent = text(header, "PresentationIntentType").lower()
    magnification = numbers(header, "EstimatedRadiographicMagnificationFactor")
    found: dict[str, Any] = {
        "format": "DICOM",
        "manufacturer": maker if isinstance(maker, str) else None,
        "intent": RAW if is_raw(header) else intent if intent == "for presentation" else None,
        "photometric": text(header, "PhotometricInterpretation"),
        "bits": whole(header, "BitsStored"),
        "compression": dicom_pixels.called(dicom_pixels.syntax_of(header)),
        "lossy": text(header, "LossyImageCompression") == "01",
        "imager_mm_per_px": numbers(header, "ImagerPixelSpacing", 2),
        "pixel_spacing_mm": numbers(header, "PixelSpacing", 2),
        "magnification": magnification[0] if magnification else None,
    }
    if text(header, "SyntheticData") == "YES":
        found["synthetic"] = True
    return found
