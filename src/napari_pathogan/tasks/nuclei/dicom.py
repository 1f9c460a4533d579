"""Nuclei of a DICOM slide as DICOM annotations (Microscopy Bulk Simple Annotations); needs highdicom."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.dicom_objects import (
    LONGEST,
    about_us,
    algorithm_of,
    is_own,
    needing_highdicom,
    source_of,
)
from napari_pathogan.files import written
from napari_pathogan.kinds import FileKind
from napari_pathogan.slides.backends.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.nuclei.outlines import NucleusOutline
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation

ANN = FileKind("nuclei, DICOM annotations", ".ann.dcm", partial(is_own, modality="ANN"))
_WHAT = "a DICOM annotation object"


def write_ann(
    path: Path, segmentation: Segmentation, source: Slide, *, identifiers: bool = False
) -> None:
    """Write outlines as DICOM annotations, a group a class, in pixels of the slide's finest image.

    Each nucleus is a polygon with its area; of one in several pieces the largest, and holes are left out:
    these annotations have none.

    Parameters
    ----------
    source
        The slide, opened from its DICOM files.
    identifiers
        Copy name, number, birth date, sex and the study's dates and numbers from the slide. By default they
        stay empty.

    Raises
    ------
    DicomSlideError
        If the slide is no DICOM slide, or lacks what is referred to.
    EnvironmentMismatchError
        If highdicom is not installed.
    OutputError
        If it can't be written.
    """
    with needing_highdicom(_WHAT):
        from highdicom import UID, ann  # noqa: PLC0415  (an extra)
        from highdicom.color import CIELabColor  # noqa: PLC0415
        from pydicom.sr.codedict import codes  # noqa: PLC0415

    image = source_of(source.path, _WHAT, identifiers=identifiers)
    algorithm = algorithm_of(segmentation.model)
    kinds = dict(zip(segmentation.class_names, segmentation.class_colours, strict=True))
    rings: dict[str, list[np.ndarray]] = {name: [] for name in kinds}
    areas: dict[str, list[float]] = {name: [] for name in kinds}
    for name, area, ring in _outlines(segmentation):
        rings[name].append(ring)
        areas[name].append(area)
    groups = [
        ann.AnnotationGroup(
            number=number,
            uid=UID(),
            label=name[:LONGEST],
            annotated_property_category=codes.SCT.AnatomicalStructure,
            annotated_property_type=codes.SCT.Nucleus,
            graphic_type=ann.GraphicTypeValues.POLYGON,
            graphic_data=rings[name],
            algorithm_type=ann.AnnotationGroupGenerationTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            measurements=[
                ann.Measurements(
                    codes.SCT.Area, np.array(areas[name], np.float32), codes.UCUM.SquareMicrometer
                )
            ],
            description=segmentation.class_note or None,
            display_color=CIELabColor.from_rgb(
                *(int(kinds[name][at : at + 2], 16) for at in (1, 3, 5))
            ),
        )
        for number, name in enumerate((name for name in kinds if rings[name]), 1)
    ]
    with quiet(), written(path, ANN) as beside:
        ann.MicroscopyBulkSimpleAnnotations(
            source_images=[image],
            annotation_coordinate_type=ann.AnnotationCoordinateTypeValues.SCOORD,
            annotation_groups=groups,
            series_instance_uid=UID(),
            series_number=1,
            sop_instance_uid=UID(),
            instance_number=1,
            content_label="NUCLEI",
            content_description="nuclei, found by a network",
            **about_us(),
        ).save_as(beside)


def _outlines(segmentation: Segmentation) -> Iterator[tuple[str, float, np.ndarray]]:
    """Class, area in um2, and outline (K, 2) of columns and rows from the slide's corner."""
    table = segmentation.table
    ids, names = table["id"].to_numpy(), table["class"].to_numpy(object)
    areas = table["area_um2"].to_numpy(float)
    for outline in segmentation.outlines():
        row = int(np.searchsorted(ids, outline.id))
        yield names[row], areas[row], _largest(outline)[:, ::-1].astype(np.float32) + 0.5


def _largest(outline: NucleusOutline) -> np.ndarray:
    from napari_pathogan.slides.polygons import signed_area  # noqa: PLC0415

    return max(outline.exteriors, key=lambda ring: abs(signed_area(ring)))
