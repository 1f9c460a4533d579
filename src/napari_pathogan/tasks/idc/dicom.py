"""A heat map of a DICOM slide as a DICOM segmentation; needs highdicom."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.dicom_objects import (
    about_us,
    algorithm_of,
    is_own,
    needing_highdicom,
    placed,
    source_of,
)
from napari_pathogan.files import written
from napari_pathogan.kinds import FileKind
from napari_pathogan.slides.backends.quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.idc.heatmap import HeatMap

SEG = FileKind("IDC heat map, DICOM segmentation", ".seg.dcm", partial(is_own, modality="SEG"))
NAMES = ("IDC probability", "IDC outline", "looked at")
_WHAT = "a DICOM segmentation"
_TILE = 256


def write_seg(path: Path, heat_map: HeatMap, source: Slide, *, identifiers: bool = False) -> None:
    """Write a heat map as a fractional DICOM segmentation, in the cells that it has.

    Three segments: the probability in steps of 1 / 255, cells at or above the threshold, and cells that
    were looked at, as nothing else tells glass from a probability of 0.

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
        from highdicom import (  # noqa: PLC0415  (an extra)
            UID,
            CoordinateSystemNames,
            PixelMeasuresSequence,
            PlanePositionSequence,
            seg,
        )
        from pydicom.sr.codedict import codes  # noqa: PLC0415

    image = source_of(source.path, _WHAT, identifiers=identifiers)
    place = placed(image)
    assert place is not None, "source_of has looked"
    overlay = heat_map.probability
    step = np.asarray(overlay.step)
    y, x = np.asarray(overlay.origin) + step / 2 - 0.5  # the centre of the first cell
    x_mm, y_mm = place.mm_of(float(y), float(x))
    spacing = (step * place.spacing).tolist()
    algorithm = algorithm_of(heat_map.model, {"threshold": f"{heat_map.threshold:.4f}"})
    tissue = (codes.SCT.AnatomicalStructure, codes.SCT.Tissue)
    tumour = (codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Neoplasm)
    segments = [
        seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=kind[0],
            segmented_property_type=kind[1],
            algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=UID(),
            tracking_id=name,
        )
        for number, (name, kind) in enumerate(zip(NAMES, (tumour, tumour, tissue), strict=True), 1)
    ]
    planes = (np.nan_to_num(overlay.data, nan=0.0), heat_map.positive(), heat_map.scored)
    with quiet(), written(path, SEG) as beside:
        seg.Segmentation(
            source_images=[image],
            pixel_array=np.stack(planes, -1)[None].astype(np.float32),
            segmentation_type=seg.SegmentationTypeValues.FRACTIONAL,
            fractional_type=seg.SegmentationFractionalTypeValues.PROBABILITY,
            segment_descriptions=segments,
            series_instance_uid=UID(),
            series_number=1,
            sop_instance_uid=UID(),
            instance_number=1,
            pixel_measures=PixelMeasuresSequence(
                pixel_spacing=[float(f"{side:.9g}") for side in spacing], slice_thickness=0.001
            ),
            plane_positions=[
                PlanePositionSequence(
                    CoordinateSystemNames.SLIDE,
                    image_position=(float(f"{x_mm:.9g}"), float(f"{y_mm:.9g}"), 0.0),
                    pixel_matrix_position=(1, 1),
                )
            ],
            tile_pixel_array=True,
            tile_size=(_TILE, _TILE),
            omit_empty_frames=False,
            content_label="IDC",
            content_description="IDC, found by a network",
            **about_us(),
        ).save_as(beside)
