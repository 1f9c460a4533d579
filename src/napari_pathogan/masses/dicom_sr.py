"""Masses as a DICOM structured report (Comprehensive SR, TID 1500); needs highdicom."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
from highdicom import UID, sr
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.sr.codedict import codes

from napari_pathogan.errors import PathoganError
from napari_pathogan.slides.views import is_dicom

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.masses.detections import Detections

_SCHEME = "99PATHOGAN"  # of codes that DICOM has none for
_QUANTITY = sr.CodedConcept("246205007", "SCT", "Quantity")
_SIDES = {"R": codes.SCT.Right, "L": codes.SCT.Left}
_REFERENCE = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_IDENTITY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip


class StructuredReportError(PathoganError, ValueError):
    """A DICOM SR can't be made for an image: it is no DICOM file, or lacks what an SR refers to."""


def structured_report(
    found: Detections, image: Path, *, identifiers: bool = False
) -> sr.ComprehensiveSR:
    """Make a report that refers to the image by its UIDs.

    Parameters and errors as of :func:`napari_pathogan.masses.export.write_sr`.
    """
    source = _source(image, identifiers=identifiers)
    return sr.ComprehensiveSR(
        evidence=[source],
        content=_content(found, source)[0],
        series_instance_uid=UID(),
        series_number=1,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer="napari-pathogan",
        is_complete=True,
    )


def _source(image: Path, *, identifiers: bool) -> Dataset:
    """What a report must know of an image, and no more."""
    if not is_dicom(image):
        msg = f"{image.name} is no DICOM file, so a DICOM SR has nothing to refer to; write JSON"
        raise StructuredReportError(msg)
    try:
        header = dcmread(image, stop_before_pixels=True)
        lacking = [name for name in _REFERENCE if not header.get(name)]
    except (InvalidDicomError, OSError, ValueError, KeyError, AttributeError) as error:
        msg = f"the header of {image.name} can't be read ({error}); write JSON"
        raise StructuredReportError(msg) from error
    if lacking:
        msg = f"{image.name} has no {', '.join(lacking)}, which a DICOM SR refers to; write JSON"
        raise StructuredReportError(msg)
    source = Dataset()
    for name in (*_REFERENCE, "Modality", "Rows", "Columns", "ImageLaterality"):
        setattr(source, name, header.get(name))
    for name in _IDENTITY:
        setattr(source, name, header.get(name, "") if identifiers else "")
    return source


def _content(found: Detections, source: Dataset) -> sr.MeasurementReport:
    device = sr.ObserverContext(
        codes.DCM.Device,
        sr.DeviceObserverIdentifyingAttributes(
            uid=UID(), name="napari-pathogan", model_name=found.model or None
        ),
    )
    return sr.MeasurementReport(
        sr.ObservationContext(observer_device_context=device),
        procedure_reported=codes.SCT.Mammography,
        imaging_measurements=[
            _total(found, source),
            *(_group(found, i, source) for i in range(len(found))),
        ],
        title=codes.DCM.ImagingMeasurementReport,
    )


def _total(found: Detections, source: Dataset) -> sr.MeasurementsAndQualitativeEvaluations:
    """How many masses: a report must say something where there are none, too."""
    image = sr.SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID)
    return sr.MeasurementsAndQualitativeEvaluations(
        sr.TrackingIdentifier(identifier="masses"),
        finding_type=codes.SCT.Mass,
        algorithm_id=_algorithm(found),
        measurements=[sr.Measurement(_QUANTITY, len(found), codes.UCUM.NoUnits)],
        source_images=[image],
    )


def _group(
    found: Detections, index: int, source: Dataset
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """One mass."""
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        sr.TrackingIdentifier(identifier=f"mass {index + 1}"),
        referenced_region=_region(found, index, source),
        finding_type=codes.SCT.Mass,
        finding_sites=[sr.FindingSite(codes.SCT.Breast, _SIDES.get(source.ImageLaterality))],
        algorithm_id=_algorithm(found),
        measurements=_measurements(found, index),
    )


def _algorithm(found: Detections) -> sr.AlgorithmIdentification:
    settings = [f"threshold {found.threshold:.4f}"]
    if found.sha256:
        settings.append(f"weights sha256 {found.sha256}")
    if found.synthetic:
        settings.append("the image is synthetic")
    name = found.model or "not stated"
    return sr.AlgorithmIdentification(name, metadata.version("napari-pathogan"), settings)


def _region(found: Detections, index: int, source: Dataset) -> sr.ImageRegion:
    """The outline, or the box: columns and rows from the image's upper left corner, closed."""
    ring = found.contours[index][:, ::-1]
    if len(ring) < 3:
        x0, y0, x1, y1 = found.boxes[index]
        ring = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    inside = np.clip(ring, 0, (source.Columns, source.Rows))
    return sr.ImageRegion(
        sr.GraphicTypeValues.POLYLINE,
        np.concatenate([inside, inside[:1]]),
        sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID),
    )


def _measurements(found: Detections, index: int) -> list[sr.Measurement]:
    certainty = round(100 * float(found.scores[index]), 2)
    done = [sr.Measurement(codes.DCM.CertaintyOfFinding, certainty, codes.UCUM.Percent)]
    sizes = found.sizes_mm()
    if sizes is not None:
        spacing = found.spacing or "not stated"
        meaning = f"mm {spacing}"
        how = sr.CodedConcept(spacing.replace(" ", "-").upper()[:16], _SCHEME, meaning)
        axes = (codes.SCT.LongAxis, codes.SCT.ShortAxis)
        done += [
            sr.Measurement(axis, round(float(mm), 2), codes.UCUM.Millimeter, method=how)
            for axis, mm in zip(axes, sizes[index], strict=True)
        ]
    return done
