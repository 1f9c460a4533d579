"""Detections in the formats that others read: CSV; DICOM SR and GSPS that refer to their image.

JSON is in :mod:`napari_pathogan.tasks.masses.detections`. Each file is written whole or not at all.
"""

from __future__ import annotations

import csv
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.saved import reading
from napari_pathogan.errors import EnvironmentMismatchError, OutputError, ResultFormatError
from napari_pathogan.files import written
from napari_pathogan.kinds import FileKind, table
from napari_pathogan.slides.backends.quiet import quiet
from napari_pathogan.slides.imprint import Imprint
from napari_pathogan.tasks.masses.dicom_source import is_own, nobody_named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.tasks.masses.detections import Detections

COLUMNS = (
    "image", "mass", "score", "xmin", "ymin", "xmax", "ymax", "longest_mm", "across_mm", "mm",
    "synthetic",
)  # fmt: skip
_IMPRINT, _SCOPE = "imprint", "scope"  # further columns, which earlier versions did not write
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
CSV = table("masses", COLUMNS, more=(_IMPRINT, _SCOPE))
SR, GSPS = (
    FileKind(name, suffix, partial(is_own, modality=modality))
    for name, suffix, modality in (
        ("DICOM SR", ".sr.dcm", "SR"),
        ("DICOM presentation state", ".gsps.dcm", "PR"),
    )
)


def write_csv(path: Path, found: Detections) -> None:
    """Write a row a mass: box in pixels, longest diameter and the width across it in mm.

    Each says what was looked for; so does the row with the number 0 that stands for no mass.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    sizes = found.sizes_mm()
    with written(path, CSV) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow((*COLUMNS, _IMPRINT, _SCOPE))
        said = int(found.synthetic), found.imprint or "", found.scope
        if not len(found.scores):
            rows.writerow((found.name, 0, *[""] * (len(COLUMNS) - 3), *said))
        for i, (score, box) in enumerate(zip(found.scores, found.boxes, strict=True)):
            mm = ("", "", "") if sizes is None else (*sizes[i].round(2), found.spacing)
            corners = box.astype(float).round(2)
            rows.writerow((found.name, i + 1, round(float(score), 4), *corners, *mm, *said))


@dataclass(frozen=True, eq=False)
class SavedBoxes:
    """Masses of one image as a table holds them.

    Attributes
    ----------
    name
        What the image is called.
    scores, boxes
        (N,), and (N, 4): x0, y0, x1, y1 in pixels from the image's upper left corner.
    synthetic
        Whether the image was generated.
    imprint
        What tells the image from others of its name; None where the table does not say.
    """

    name: str
    scores: np.ndarray
    boxes: np.ndarray
    synthetic: bool = False
    imprint: Imprint | None = None


def read_csv(path: Path) -> list[SavedBoxes]:
    """Read what :func:`write_csv` wrote; tables may have been joined.

    Raises
    ------
    ResultFormatError
        If it can't be read, holds no row, or is something else.
    """
    by_image: dict[tuple[str, str], list[list[float]]] = {}
    synthetic = {}
    with (
        reading(path, "is not a whole table of masses"),
        path.open(newline="", encoding="utf-8-sig") as stream,
    ):
        for row in csv.DictReader(stream):
            image = row["image"], row.get(_IMPRINT) or ""
            synthetic[image] = bool(float(row["synthetic"]))
            rows = by_image.setdefault(image, [])
            if row["mass"] != "0":
                rows.append([float(row[name]) for name in ("score", *_CORNERS)])
    if not by_image:
        raise ResultFormatError(f"{path.name} has no row: no mass was saved in it")
    return [
        SavedBoxes(
            name,
            np.array(rows).reshape(-1, 5)[:, 0],
            np.array(rows).reshape(-1, 5)[:, 1:],
            synthetic[name, imprint],
            Imprint.read(imprint),
        )
        for (name, imprint), rows in by_image.items()
    ]


def write_sr(path: Path, found: Detections, image: Path, *, identifiers: bool = False) -> None:
    """Write a DICOM SR (Comprehensive SR, TID 1500) that refers to the image by its UIDs.

    Each mass is a planar region with its outline, the certainty of the finding in percent and its
    long and short axes in mm, with how these mm are to be read.

    Parameters
    ----------
    image
        The DICOM file that the masses were found in.
    identifiers
        Copy name, number, birth date, sex and the study's dates and numbers from the image, so
        that an archive files the report with the patient. By default they stay empty.

    Raises
    ------
    DicomSourceError
        If the image is no DICOM file, or lacks the UIDs that the report needs.
    EnvironmentMismatchError
        If highdicom is not installed.
    OutputError
        If it can't be written.
    """
    with _needing_highdicom("DICOM SR"):
        from napari_pathogan.tasks.masses import dicom_sr  # noqa: PLC0415
    with quiet(), nobody_named(image.name, "DICOM SR"):
        report = dicom_sr.structured_report(found, image, identifiers=identifiers)
        with written(path, SR) as beside:
            report.save_as(beside)


def write_gsps(
    path: Path, found: Detections, mammogram: Mammogram, *, identifiers: bool = False
) -> None:
    """Write a DICOM presentation state (GSPS): what a viewer lays over the image that it has.

    Boxes, outlines, scores and sizes are graphic annotations in pixels of the image; the window,
    the polarity and the size of a pixel are those of the mammogram.

    Parameters
    ----------
    mammogram
        The image that the masses were found in, opened from a DICOM file.
    identifiers
        As of :func:`write_sr`.

    Raises
    ------
    DicomSourceError
        If the image is no DICOM file, or lacks the UIDs that the state needs.
    EnvironmentMismatchError
        If highdicom is not installed.
    OutputError
        If it can't be written.
    """
    with _needing_highdicom("DICOM presentation state"):
        from napari_pathogan.tasks.masses import dicom_gsps  # noqa: PLC0415
    with quiet(), nobody_named(mammogram.name, "DICOM presentation state"):
        state = dicom_gsps.presentation_state(found, mammogram, identifiers=identifiers)
        with written(path, GSPS) as beside:
            state.save_as(beside)


def file_of(mammogram: Mammogram) -> Path:
    """The file of a mammogram.

    Raises
    ------
    OutputError
        If it is none.
    """
    if mammogram.path is None:
        msg = f"{mammogram.name} is no file, which a DICOM SR refers to; save JSON"
        raise OutputError(msg)
    return mammogram.path


@contextmanager
def _needing_highdicom(what: str) -> Iterator[None]:
    """Say what to install where an import fails."""
    try:
        yield
    except ImportError as error:
        msg = (
            f"a {what} needs highdicom, which can't be loaded: uv pip install "
            "'napari-pathogan[sr]', or write JSON"
        )
        raise EnvironmentMismatchError(msg) from error
