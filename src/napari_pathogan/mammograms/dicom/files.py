"""Mammograms in DICOM files: what the header says, apart from who it is.

Values that name a person, a place or a date are never looked at: not for names, not for messages.
What pydicom says about a damaged value may quote it, so its words are not passed on either.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydicom

from napari_pathogan.errors import MammogramFormatError, SlideFormatError
from napari_pathogan.mammograms.dicom import pixels as dicom_pixels
from napari_pathogan.mammograms.dicom.header import numbers, text, value, values, whole
from napari_pathogan.mammograms.dicom.luts import modality, voi_of
from napari_pathogan.mammograms.dicom.quiet import quiet
from napari_pathogan.mammograms.mammogram import AT_DETECTOR, CALIBRATED, Mammogram, data_range
from napari_pathogan.mammograms.views import named_view
from napari_pathogan.slides import resolution

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from pydicom.dataset import FileDataset

_MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"  # for presentation; "... .1" for processing
_KEY = secrets.token_bytes(32)
_GREY = {"MONOCHROME1", "MONOCHROME2"}
_CALIBRATIONS = {"GEOMETRY", "FIDUCIAL"}
_VIEW_CODES = {  # PS3.16 CID 4014, SNOMED RT and CT
    **dict.fromkeys(("R-10242", "399162004"), "CC"),
    **dict.fromkeys(("R-10226", "399368009"), "MLO"),
    **dict.fromkeys(("R-10224", "399260004"), "ML"),
    **dict.fromkeys(("R-10228", "399352003"), "LM"),
    **dict.fromkeys(("R-10230", "399099002"), "LMO"),
    **dict.fromkeys(("R-10244", "399006006"), "FB"),
    **dict.fromkeys(("R-102D0", "399188001"), "SIO"),
    **dict.fromkeys(("R-40AAA", "399265009"), "XCC"),
    **dict.fromkeys(("Y-X1770", "399192008"), "XCCL"),
    **dict.fromkeys(("Y-X1771", "399101009"), "XCCM"),
}


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
        stored = dicom_pixels.decode(header, path.name)
        pixels = modality(stored, header, path.name)
        padded = _padded(stored, header)
        voi = voi_of(header)
        mm_per_px, spacing = _spacing(header)
        laterality, view = _laterality(header), _view(header)
        known = pixels if padded is None else pixels[~padded]
        return Mammogram(
            _name(laterality, view),
            pixels,
            inverted=text(header, "PhotometricInterpretation") == "MONOCHROME1",
            window=data_range(known) if voi is None else voi.limits,
            laterality=laterality,
            view=view,
            mm_per_px=mm_per_px,
            spacing=spacing,
            voi=voi,
            padded=padded,
            chest_wall=_chest_wall(header),
            examination=_examination(header),
            path=path,
            metadata=_metadata(header),
        )


@dataclass(frozen=True)
class Glance:
    """What a mammogram's header says before its pixels are read.

    Attributes
    ----------
    name
        "RCC", ..., as of `read_dicom`.
    examination
        As of :class:`Mammogram`.
    """

    name: str
    examination: str | None


def glance(path: Path) -> Glance | None:
    """Look at the header alone; None for what is no mammogram, or damaged."""
    with quiet():
        try:
            header = _dataset(path, stop_before_pixels=True)
        except SlideFormatError:
            return None
        if not _is_mammogram(header):
            return None
        return Glance(_name(_laterality(header), _view(header)), _examination(header))


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
        header = pydicom.dcmread(path, stop_before_pixels=stop_before_pixels)
    except Exception:  # noqa: BLE001 - pydicom raises many kinds, and their words quote the header
        raise damaged from None
    if not header:  # so pydicom gives files that end amid their compressed pixels
        raise damaged
    return header


def _is_mammogram(header: FileDataset) -> bool:
    sop = str(value(header, "SOPClassUID"))
    return text(header, "Modality") == "MG" or sop.startswith(_MAMMOGRAPHY)


def _check_kind(header: FileDataset, name: str) -> None:
    """Refuse what is no single grey mammogram."""
    if not _is_mammogram(header):
        kind = text(header, "Modality")
        said = f"modality {kind}" if re.fullmatch("[A-Z]{2,4}", kind) else "no modality"
        raise MammogramFormatError(
            f"{name} is not a mammogram ({said}); choose a DICOM file of modality MG"
        )
    frames = whole(header, "NumberOfFrames") or 1
    if frames > 1:
        raise MammogramFormatError(
            f"{name} holds {frames} frames (tomosynthesis), and only single images can be read; "
            "choose the 2-D mammogram, or the synthesised one, of the same view"
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


def _laterality(header: FileDataset) -> str | None:
    for keyword in ("ImageLaterality", "Laterality"):
        if (said := text(header, keyword)) in {"R", "L"}:
            return said
    return None


def _view(header: FileDataset) -> str | None:
    for item in values(header, "ViewCodeSequence")[:1]:
        if (view := _VIEW_CODES.get(text(item, "CodeValue"))) is not None:
            return view
    return named_view(text(header, "ViewPosition"))[1]


def _name(laterality: str | None, view: str | None) -> str:
    return f"{laterality or ''}{view or ''}" or "mammogram"


def _examination(header: FileDataset) -> str | None:
    """A fingerprint of the study, else of the series (which is of one study); None without both.

    It is keyed anew in every process: outside of it, it tells nobody anything.
    """
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        if (said := value(header, keyword)) is not None:
            return hashlib.blake2b(str(said).encode(), key=_KEY, digest_size=16).hexdigest()
    return None


def _chest_wall(header: FileDataset) -> str | None:
    """The edge towards which the rows run posterior (PatientOrientation)."""
    along = text(header, "PatientOrientation")[:1]
    return {"P": "right", "A": "left"}.get(along)


def _spacing(header: FileDataset) -> tuple[tuple[float, float] | None, str | None]:
    """Mm per pixel (y, x) and what they mean (PS3.3 10.7.1.1 and 10.7.1.3).

    PixelSpacing holds in the breast only where the file says how it was calibrated; otherwise it
    repeats ImagerPixelSpacing, or was copied from it by older devices.
    """
    stated, imager = (
        resolution.positive(*pair) if (pair := numbers(header, keyword, 2)) else None
        for keyword in ("PixelSpacing", "ImagerPixelSpacing")
    )
    if stated is not None and text(header, "PixelSpacingCalibrationType") in _CALIBRATIONS:
        return stated, CALIBRATED
    found = imager or stated
    return found, AT_DETECTOR if found else None


def _padded(stored: np.ndarray, header: FileDataset) -> np.ndarray | None:
    """Bool (H, W): stored values that are padding; None where there are none."""
    ends = [whole(header, key) for key in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if ends[0] is None:
        return None
    low, high = sorted((ends[0], ends[0] if ends[1] is None else ends[1]))
    where = (stored >= low) & (stored <= high)
    return where if where.any() and not where.all() else None


def _metadata(header: FileDataset) -> dict[str, Any]:
    """What is worth knowing of a mammogram, and says nothing about a person, a place or a date."""
    intent = text(header, "PresentationIntentType").lower()
    magnification = numbers(header, "EstimatedRadiographicMagnificationFactor")
    found: dict[str, Any] = {
        "format": "DICOM",
        "manufacturer": value(header, "Manufacturer"),
        "intent": intent or None,
        "photometric": text(header, "PhotometricInterpretation"),
        "bits": whole(header, "BitsStored"),
        "compression": dicom_pixels.syntax_of(header).name,
        "lossy": text(header, "LossyImageCompression") == "01",
        "imager_mm_per_px": numbers(header, "ImagerPixelSpacing", 2),
        "pixel_spacing_mm": numbers(header, "PixelSpacing", 2),
        "magnification": magnification[0] if magnification else None,
    }
    if text(header, "SyntheticData") == "YES":
        found["synthetic"] = True
    return found
