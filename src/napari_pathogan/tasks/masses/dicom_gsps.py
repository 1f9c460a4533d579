"""Masses as a DICOM presentation state: drawn over the image that an archive has; needs highdicom.

A Grayscale Softcopy Presentation State (PS3.3 A.33.1) changes no pixel: a viewer that opens it lays
outlines and scores over the image, in the window that they were looked at in here.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
from highdicom import UID, PresentationLUTTransformation, pr
from pydicom import Dataset
from pydicom.valuerep import DS

from napari_pathogan.mammograms.voi import Shape, Table, Window
from napari_pathogan.tasks.masses.dicom_source import (
    CHARACTERS,
    MANUFACTURER,
    box,
    outline,
    source_of,
)

if TYPE_CHECKING:
    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.tasks.masses.detections import Detections

_PIXEL = pr.AnnotationUnitsValues.PIXEL
_BOXES = pr.GraphicLayer("BOXES", 1, "Boxes around masses")
_MASSES = pr.GraphicLayer("MASSES", 2, "Outlines and scores of masses")
_SCOPE = pr.GraphicLayer("SCOPE", 3, "What was looked for")
_TEXT_HIGH = 0.03  # of the image
_TOP = 0.0, 0.0, 1.0, _TEXT_HIGH  # of what is displayed: left, top, right, bottom


def presentation_state(
    found: Detections, mammogram: Mammogram, *, identifiers: bool = False
) -> pr.GrayscaleSoftcopyPresentationState:
    """Make a presentation state that refers to the image by its UIDs.

    Parameters and errors as of :func:`napari_pathogan.tasks.masses.export.write_gsps`.
    """
    source = source_of(mammogram.path, "DICOM presentation state", identifiers=identifiers)
    shape = "INVERSE" if mammogram.inverted else "IDENTITY"
    state = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[source],
        series_instance_uid=UID(),
        series_number=1,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=found.model or "not stated",
        software_versions=metadata.version(MANUFACTURER),
        device_serial_number=found.sha256 or "not stated",
        content_label="MASSES",
        content_description=_said_of(found),
        graphic_layers=[_BOXES, _MASSES, _SCOPE],
        graphic_annotations=_annotations(found, source),
        voi_lut_transformations=[_window(mammogram)],
        presentation_lut_transformation=PresentationLUTTransformation(shape),
    )
    state.SpecificCharacterSet = CHARACTERS
    _as_in_the_image(state, mammogram, source)
    return state


def _said_of(found: Detections) -> str:
    return f"Masses only, from a score of {found.threshold:.2f} on{', synthetic' * found.synthetic}"


def _annotations(found: Detections, source: Dataset) -> list[pr.GraphicAnnotation]:
    """What was looked for; boxes, and outlines with what is said of them: one UID a mass in both."""
    scope = pr.TextObject(found.scope, pr.AnnotationUnitsValues.DISPLAY, _TOP)
    about = pr.GraphicAnnotation([source], _SCOPE, text_objects=[scope])
    every = range(len(found))
    if not every:
        return [about]  # a state that shows nothing would be read as an all-clear
    uids = [UID() for _ in every]
    boxes, outlines = (
        [_line(shape(found, i, source), i, uids[i]) for i in every] for shape in (box, outline)
    )
    texts = [_text(found, i, source, uids[i]) for i in every]
    return [
        pr.GraphicAnnotation([source], _BOXES, graphic_objects=boxes),
        pr.GraphicAnnotation([source], _MASSES, graphic_objects=outlines, text_objects=texts),
        about,
    ]


def _line(ring: np.ndarray, index: int, uid: UID) -> pr.GraphicObject:
    kind = pr.GraphicTypeValues.POLYLINE
    return pr.GraphicObject(kind, ring, _PIXEL, tracking_id=_name(index), tracking_uid=uid)


def _text(found: Detections, index: int, source: Dataset, uid: UID) -> pr.TextObject:
    """``87 %, 14 x 11 mm at detector`` above the box, below it where there is no room."""
    text = f"{100 * float(found.scores[index]):.0f} %"
    sizes = found.sizes_mm()
    if sizes is not None:
        longest, across = sizes[index]
        text += f", {longest:.0f} x {across:.0f} mm {found.spacing}"
    ring, high = box(found, index, source), _TEXT_HIGH * source.Rows
    (left, top), (right, bottom) = ring.min(0).tolist(), ring.max(0).tolist()
    top, bottom = (top - high, top) if top >= high else (bottom, bottom + high)
    place = left, top, right, bottom
    return pr.TextObject(text, _PIXEL, place, tracking_id=_name(index), tracking_uid=uid)


def _name(index: int) -> str:
    return f"mass {index + 1}"


def _window(mammogram: Mammogram) -> pr.SoftcopyVOILUTTransformation:
    """The window that the image is looked at in: the header's, else the range of its values."""
    window = mammogram.voi
    if not isinstance(window, Window):
        low, high = mammogram.window
        window = Window((low + high) / 2, high - low, Shape.LINEAR_EXACT)
    return pr.SoftcopyVOILUTTransformation(
        window_center=window.centre,
        window_width=window.width,
        voi_lut_function=window.shape.value,
    )


def _as_in_the_image(
    state: pr.GrayscaleSoftcopyPresentationState, mammogram: Mammogram, source: Dataset
) -> None:
    """Take over the image's own tables, and the size of its pixels."""
    if "ModalityLUTSequence" in source:
        state.ModalityLUTSequence = source.ModalityLUTSequence
    if isinstance(mammogram.voi, Table):
        shown = Dataset()
        shown.VOILUTSequence = [_table(mammogram.voi)]
        state.SoftcopyVOILUTSequence = [shown]
    if mammogram.mm_per_px is not None:
        (area,) = state.DisplayedAreaSelectionSequence
        del area.PresentationPixelAspectRatio
        area.PresentationPixelSpacing = [DS(mm, auto_format=True) for mm in mammogram.mm_per_px]


def _table(voi: Table) -> Dataset:
    """A VOI LUT that says of itself what it is: its bits, and the sign of its first value."""
    item, count = Dataset(), len(voi.entries)
    signed = voi.first < 0 and count < 1 << 15
    first = voi.first if signed else voi.first % (1 << 16)
    bits = voi.bits if voi.bits >= 10 else 16  # 8 would be two entries a word
    item.add_new("LUTDescriptor", "SS" if signed else "US", [count % (1 << 16), first, bits])
    entries = np.rint(voi.entries.astype(float) * (2**bits - 1)).astype("<u2")
    item.add_new("LUTData", "OW", entries.tobytes())
    return item
