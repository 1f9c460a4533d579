"""DICOM whole slides of any pixels, with a patient in their header."""

from __future__ import annotations

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate

from napari_pathogan.engine.dicom_objects import Placed

TILE = 64
PATIENT = "Quackenbush^Zerlina"
TURNED = (0, -1, 0, -1, 0, 0)  # of rows and columns on the glass, as most scanners have it


def item(**tags) -> Dataset:
    one = Dataset()
    for keyword, value in tags.items():
        setattr(one, keyword, value)
    return one


def write_slide(
    path, pixels, *, mpp=0.25, corner=(3.5, 12.25), series="1.2.3", jpeg2000=False, **tags
):
    """Write one level, tiled in full, without loss; the glass is placed at ``corner`` (x, y in mm)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.JPEG2000Lossless if jpeg2000 else uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = uid.VLWholeSlideMicroscopyImageStorage
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    height, width = (-(-side // TILE) * TILE for side in pixels.shape[:2])
    padded = np.full((height, width, 3), 255, np.uint8)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    frames = [
        np.ascontiguousarray(padded[y : y + TILE, x : x + TILE])
        for y in range(0, height, TILE)
        for x in range(0, width, TILE)
    ]
    about = FileDataset(str(path), {}, preamble=bytes(128), file_meta=meta)
    spacing = [mpp / 1e3] * 2
    measures = item(PixelMeasuresSequence=[item(PixelSpacing=spacing, SliceThickness=0.001)])
    x, y = corner
    origin = item(XOffsetInSlideCoordinateSystem=x, YOffsetInSlideCoordinateSystem=y)
    specimen = item(
        SpecimenIdentifier="H-2026-4711 Quackenbush",
        SpecimenUID=uid.generate_uid(),
        IssuerOfTheSpecimenIdentifierSequence=[],
        SpecimenPreparationSequence=[],
    )
    given = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": series,
        "FrameOfReferenceUID": "1.2.4",
        "PositionReferenceIndicator": "SLIDE_CORNER",
        "PatientName": PATIENT,
        "PatientID": "4711",
        "PatientBirthDate": "19500102",
        "PatientSex": "F",
        "PatientComments": "Quackenbush comes back in May",
        "AccessionNumber": "A4711",
        "StudyID": "S4711",
        "StudyDate": "20260102",
        "StudyTime": "101010",
        "StudyDescription": "Quackenbush, again",
        "Modality": "SM",
        "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "Rows": TILE,
        "Columns": TILE,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "NumberOfFrames": len(frames),
        "TotalPixelMatrixRows": pixels.shape[0],
        "TotalPixelMatrixColumns": pixels.shape[1],
        "TotalPixelMatrixOriginSequence": [origin],
        "ImageOrientationSlide": list(TURNED),
        "ImagedVolumeWidth": pixels.shape[1] * mpp / 1e3,
        "ImagedVolumeHeight": pixels.shape[0] * mpp / 1e3,
        "ImagedVolumeDepth": 0.001,
        "DimensionOrganizationType": "TILED_FULL",
        "SharedFunctionalGroupsSequence": [measures],
        "OpticalPathSequence": [item(OpticalPathIdentifier="0")],
        "NumberOfOpticalPaths": 1,
        "TotalPixelMatrixFocalPlanes": 1,
        "ExtendedDepthOfField": "NO",
        "FocusMethod": "AUTO",
        "LossyImageCompression": "00",
        "ContainerIdentifier": "glass 1 of Quackenbush",
        "IssuerOfTheContainerIdentifierSequence": [],
        "ContainerTypeCodeSequence": [],
        "SpecimenDescriptionSequence": [specimen],
        "AcquisitionContextSequence": [],
        "SpecimenLabelInImage": "NO",
        "VolumetricProperties": "VOLUME",
        **tags,
    }
    for keyword, value in given.items():
        if value is not None:
            setattr(about, keyword, value)
    coded = [imagecodecs.jpeg2k_encode(one, level=0, codecformat="j2k") for one in frames]
    plain = b"".join(frame.tobytes() for frame in frames)
    about.PixelData = encapsulate([bytes(one) for one in coded]) if jpeg2000 else plain
    about.save_as(path, enforce_file_format=True)
    return path


def place_of(corner=(3.5, 12.25), mpp=0.25) -> Placed:
    """Where such a slide says that it lies."""
    return Placed(corner, np.array([[0.0, -1], [-1, 0]]), (mpp / 1e3, mpp / 1e3))
