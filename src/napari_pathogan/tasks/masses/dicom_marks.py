"""What a DICOM report or presentation state draws on an image: outlines and what is said of them.

Reads structured reports (planar regions, as of TID 1500) and grayscale presentation states, of this
project or of others. Nothing in it says who the image is of: no such element is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import dcmread
from pydicom.filereader import read_file_meta_info

from napari_pathogan.errors import ResultFormatError
from napari_pathogan.mammograms.dicom.header import value, values
from napari_pathogan.slides.backends.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

_REPORTS = "1.2.840.10008.5.1.4.1.1.88."  # all structured reports begin so
_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
_NEEDED = [
    "ContentSequence", "GraphicAnnotationSequence", "ReferencedSeriesSequence", "ContentDescription",
]  # fmt: skip
_THRESHOLD = re.compile(r"\bthreshold (\d*\.?\d+)|\bscore of (\d*\.?\d+)")
_DEEPEST = 50  # of a report's tree


@dataclass(frozen=True, eq=False)
class Mark:
    """One outline.

    Attributes
    ----------
    outline
        (K, 2) y, x in pixels from the image's upper left corner.
    group
        The graphic layer of a presentation state ("BOXES", "MASSES"); empty in reports.
    label
        What is said of it: a text beside it, or the name it is tracked by.
    numbers
        Measurements of a report by their names.
    """

    outline: np.ndarray
    group: str = ""
    label: str = ""
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Marks:
    """All outlines on one image.

    Attributes
    ----------
    image
        SOP instance UID of the image.
    threshold
        From which score on something is called a mass; None where nothing says.
    """

    image: str
    marks: tuple[Mark, ...]
    threshold: float | None = None


def holds_marks(path: Path) -> bool:
    """Whether a DICOM file is a report or a presentation state, by its first elements."""
    try:
        with quiet():
            kind = str(read_file_meta_info(path).get("MediaStorageSOPClassUID", ""))
    except Exception:  # noqa: BLE001 - pydicom raises many kinds
        return False
    return kind.startswith(_REPORTS) or kind == _STATE


def instance_of(path: Path) -> str:
    """SOP instance UID of a DICOM file; empty where it has none."""
    try:
        with quiet():
            return str(read_file_meta_info(path).get("MediaStorageSOPInstanceUID", ""))
    except Exception:  # noqa: BLE001 - pydicom raises many kinds
        return ""


def read_marks(path: Path) -> Marks:
    """Read the outlines of a report or presentation state.

    Raises
    ------
    ResultFormatError
        If the file is damaged, refers to no image, or to several.
    """
    try:
        with quiet():
            images, marks, said = _drawn(path)
    except Exception as error:  # noqa: BLE001 - pydicom raises many kinds
        # pydicom's words may quote a damaged value, which may name a person
        msg = f"{path.name} is damaged ({type(error).__name__}); export it again"
        raise ResultFormatError(msg) from None
    if len(images) != 1:
        which = "no image" if not images else f"{len(images)} images"
        msg = f"{path.name} refers to {which}, not to one; export it again, an image a file"
        raise ResultFormatError(msg)
    limits = [found for text in said if (found := _THRESHOLD.search(text))]
    threshold = float(limits[0][1] or limits[0][2]) if limits else None
    return Marks(images.pop(), tuple(marks), threshold)


def _drawn(path: Path) -> tuple[set[str], list[Mark], list[str]]:
    """The images that a file refers to, its outlines, and texts that may name a threshold."""
    header = dcmread(path, specific_tags=_NEEDED)
    if "GraphicAnnotationSequence" in header or "ReferencedSeriesSequence" in header:
        images, marks = _of_state(header)
        return images, marks, [str(value(header, "ContentDescription") or "")]
    nodes = list(_nodes(header, 0))
    return (
        {image for node in nodes for image in _referred(node)},
        [mark for node in nodes for mark in _of_node(node)],
        [str(value(node, "TextValue") or "") for node in nodes],
    )


def _of_state(header: Dataset) -> tuple[set[str], list[Mark]]:
    images = {
        str(one.ReferencedSOPInstanceUID)
        for series in values(header, "ReferencedSeriesSequence")
        for one in values(series, "ReferencedImageSequence")
    }
    marks = []
    for annotation in values(header, "GraphicAnnotationSequence"):
        texts = {
            str(value(text, "TrackingID")): str(value(text, "UnformattedTextValue") or "")
            for text in values(annotation, "TextObjectSequence")
        }
        group = str(value(annotation, "GraphicLayer") or "")
        for drawn in values(annotation, "GraphicObjectSequence"):
            in_pixels = value(drawn, "GraphicAnnotationUnits") == "PIXEL"
            if in_pixels and value(drawn, "GraphicType") == "POLYLINE":
                name = str(value(drawn, "TrackingID") or "")
                marks.append(Mark(_outline(drawn), group, texts.get(name) or name))
    return images, marks


def _nodes(item: Dataset, depth: int) -> Iterator[Dataset]:
    """All nodes of a report, each before what hangs from it."""
    if depth > _DEEPEST:
        msg = "a report of that depth"
        raise ValueError(msg)
    for child in values(item, "ContentSequence"):
        yield child
        yield from _nodes(child, depth + 1)


def _of_node(node: Dataset) -> Iterator[Mark]:
    """The outlines that hang from a node, with the measurements beside them."""
    children = values(node, "ContentSequence")
    label = next((str(value(x, "TextValue") or value(x, "UID")) for x in children
                  if _name(x) == "Tracking Identifier"), "")  # fmt: skip
    numbers = {
        _name(one): float(measured[0].NumericValue)
        for one in children
        if value(one, "ValueType") == "NUM" and (measured := values(one, "MeasuredValueSequence"))
    }
    for one in children:
        if value(one, "ValueType") == "SCOORD" and value(one, "GraphicType") == "POLYLINE":
            yield Mark(_outline(one), "", label, numbers)


def _referred(node: Dataset) -> list[str]:
    if value(node, "ValueType") != "IMAGE":
        return []
    return [str(one.ReferencedSOPInstanceUID) for one in values(node, "ReferencedSOPSequence")]


def _name(node: Dataset) -> str:
    return (
        str(value(codes[0], "CodeMeaning"))
        if (codes := values(node, "ConceptNameCodeSequence"))
        else ""
    )


def _outline(drawn: Any) -> np.ndarray:  # noqa: ANN401 - a dataset
    """Columns and rows in turn, closed -> (K, 2) y, x, not closed."""
    corners = np.array(values(drawn, "GraphicData"), float).reshape(-1, 2)[:, ::-1]
    if len(corners) < 3 or not np.isfinite(corners).all():
        msg = "an outline of less than three corners"
        raise ValueError(msg)
    return corners[:-1] if np.array_equal(corners[0], corners[-1]) else corners
