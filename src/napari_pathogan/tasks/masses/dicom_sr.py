"""Masses as a DICOM structured report (Comprehensive SR, TID 1500); needs highdicom."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from highdicom import UID, sr
from pydicom.sr.codedict import codes

from napari_pathogan.tasks.masses.dicom_source import CHARACTERS, MANUFACTURER, outline, source_of

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import Dataset

    from napari_pathogan.tasks.masses.detections import Detections

_SCHEME = "99PATHOGAN"  # of codes that DICOM has none for
_QUANTITY = sr.CodedConcept("246205007", "SCT", "Quantity")
_SIDES = {"R": codes.SCT.Right, "L": codes.SCT.Left}


def structured_report(
    found: Detections, image: Path, *, identifiers: bool = False
) -> sr.ComprehensiveSR:
    """Make a report that refers to the image by its UIDs.

    Parameters and errors as of :func:`napari_pathogan.tasks.masses.export.write_sr`.
    """
    source = source_of(image, "DICOM SR", identifiers=identifiers)
    report = sr.ComprehensiveSR(
        evidence=[source],
        content=_content(found, source)[0],
        series_instance_uid=UID(),
        series_number=1,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
    )
    report.SpecificCharacterSet = CHARACTERS
    return report


def _content(found: Detections, source: Dataset) -> sr.MeasurementReport:
    device = sr.ObserverContext(
        codes.DCM.Device,
        sr.DeviceObserverIdentifyingAttributes(
            uid=UID(), name=MANUFACTURER, model_name=found.model or None
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
    settings = [found.scope, f"threshold {found.threshold:.4f}"]
    if found.sha256:
        settings.append(f"weights sha256 {found.sha256}")
    if found.synthetic:
        settings.append("the image is synthetic")
    name = found.model or "not stated"
    return sr.AlgorithmIdentification(name, metadata.version(MANUFACTURER), settings)


def _region(found: Detections, index: int, source: Dataset) -> sr.ImageRegion:
    return sr.ImageRegion(
        sr.GraphicTypeValues.POLYLINE,
        outline(found, index, source),
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
