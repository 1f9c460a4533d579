"""What DICOM objects say of the image that they belong to, and where its masses lie in it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.dicom_objects import CHARACTERS, MANUFACTURER, is_own
from napari_pathogan.errors import PathoganError
from napari_pathogan.mammograms.dicom.header import parsed, value, values, whole
from napari_pathogan.mammograms.dicom.luts import rescale_of
from napari_pathogan.mammograms.dicom.views import laterality_of
from napari_pathogan.mammograms.views import is_dicom
from napari_pathogan.slides.backends.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

    from napari_pathogan.tasks.masses.detections import Detections

__all__ = ["CHARACTERS", "MANUFACTURER", "DicomSourceError", "is_own", "source_of"]
_REFERENCE = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_IDENTITY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_HASHED = re.compile(r"[0-9A-Fa-f-]{16,64}")  # what pseudonymisers put in a UID's place


class DicomSourceError(PathoganError, ValueError):
    """Nothing can refer to an image: it is no DICOM file, or lacks what it is referred to by."""


def source_of(image: Path | None, what: str, *, identifiers: bool) -> Dataset:
    """What a DICOM object must know of the image that it refers to, and no more.

    Parameters
    ----------
    what
        The object, for the message: "DICOM SR".
    identifiers
        Whether it may know who the patient is; these values are empty otherwise.

    Raises
    ------
    DicomSourceError
        If the image is no DICOM file, or lacks the UIDs that it is referred to by.
    """
    if image is None or not is_dicom(image):
        name = "the image" if image is None else image.name
        msg = f"{name} is no DICOM file, so a {what} has nothing to refer to; write JSON"
        raise DicomSourceError(msg)
    with quiet(), nobody_named(image.name, what):
        return _source(image, what, identifiers=identifiers)


def _source(image: Path, what: str, *, identifiers: bool) -> Dataset:
    from pydicom import Dataset  # noqa: PLC0415
    from pydicom.valuerep import DS  # noqa: PLC0415

    header = parsed(image, stop_before_pixels=True)
    uids = {name: str(value(header, name) or "") for name in _REFERENCE}
    lacking = [name for name, uid in uids.items() if not _refers(uid)]
    if lacking:
        none = "no" if not any(uids[name] for name in lacking) else "no UID (nor a hash of one) as"
        msg = f"{image.name} has {none} {', '.join(lacking)}, which a {what} refers to; write JSON"
        raise DicomSourceError(msg)
    source = Dataset()
    for name, uid in uids.items():
        setattr(source, name, uid)
    source.Modality, source.SamplesPerPixel = "MG", 1
    source.Rows, source.Columns = whole(header, "Rows"), whole(header, "Columns")
    source.ImageLaterality = laterality_of(header) or ""
    for item in values(header, "ModalityLUTSequence")[:1]:
        source.ModalityLUTSequence = [_table(item)]
    rescale = rescale_of(header)
    if rescale != (1, 0) and "ModalityLUTSequence" not in source:
        source.RescaleSlope, source.RescaleIntercept = (DS(x, auto_format=True) for x in rescale)
    for name in _IDENTITY:
        setattr(source, name, _said(header, name) if identifiers else "")
    return source


def _refers(uid: str) -> bool:
    """Whether it is a UID, or a hash of one: no word, and no date."""
    from pydicom.uid import UID  # noqa: PLC0415

    return bool(_HASHED.fullmatch(uid)) or ("." in uid and UID(uid).is_valid)


def _table(item: Dataset) -> Dataset:
    """A modality LUT without the words that stand beside it."""
    from pydicom import Dataset  # noqa: PLC0415

    table = Dataset()
    table.ModalityLUTType = "US"
    for name in ("LUTDescriptor", "LUTData"):
        table[name] = item[name]
    return table


def _said(header: Dataset, name: str) -> str:
    """Of a person, a place or a date; empty where it is none."""
    from pydicom.valuerep import DA, TM, PersonName  # noqa: PLC0415

    said = value(header, name)
    if not isinstance(said, str | PersonName):
        return ""
    kinds = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}
    if name in kinds:
        try:
            kinds[name](said)
        except ValueError:
            return ""
    return "" if name == "PatientSex" and said not in {"M", "F", "O"} else str(said)


@contextmanager
def nobody_named(image: str, what: str) -> Iterator[None]:
    """Say what fails with a header in words of our own: those of libraries quote its values.

    Raises
    ------
    DicomSourceError
        Instead of what pydicom and highdicom raise.
    """
    try:
        yield
    except PathoganError:
        raise
    except Exception as error:  # noqa: BLE001 - as many kinds as headers can be odd in
        msg = (
            f"the header of {image} can't be used ({type(error).__name__}), and a {what} needs it; "
            "write JSON"
        )
        raise DicomSourceError(msg) from None


def outline(found: Detections, index: int, source: Dataset) -> np.ndarray:
    """A mass's outline, or the box where there is none: (K, 2) columns and rows, closed.

    They count from the image's upper left corner, and are cut at its edge.
    """
    ring = found.contours[index][:, ::-1]
    return box(found, index, source) if len(ring) < 3 else _closed(ring, source)


def box(found: Detections, index: int, source: Dataset) -> np.ndarray:
    """A mass's box as an outline."""
    x0, y0, x1, y1 = found.boxes[index]
    return _closed(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), source)


def _closed(ring: np.ndarray, source: Dataset) -> np.ndarray:
    inside = np.clip(ring, 0, (source.Columns, source.Rows))
    return np.concatenate([inside, inside[:1]])
