"""Small DICOM mammograms for tests of the plugin."""

from __future__ import annotations

import numpy as np
from pydicom import uid
from pydicom.dataset import FileDataset, FileMetaDataset


def write_view(path, pixels, laterality, view, **tags):
    """An uncompressed 12-bit mammogram of 0.1 x 0.2 mm per px; ``tags`` override its header."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    header = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    values = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": "1.2.3",
        "PatientName": "Quackenbush^Zerlina",
        "PatientID": "PID-77041",
        "Modality": "MG",
        "ImageLaterality": laterality,
        "ViewPosition": view,
        "ImagerPixelSpacing": [0.1, 0.2],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "WindowCenter": 1000,
        "WindowWidth": 801,
        **tags,
    }
    for keyword, value in values.items():
        setattr(header, keyword, value)
    header.PixelData = pixels.astype("<u2").tobytes()
    header.save_as(path, enforce_file_format=True)
    return path


def breast(side: str, shape: tuple[int, int] = (60, 50)) -> np.ndarray:
    """A half disc at the left or right edge, uint16 of 12 bits."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    away = np.hypot((y - shape[0] / 2) / (0.45 * shape[0]), x / (0.8 * shape[1]))
    image = np.rint(4095 * np.clip(1 - away, 0, 1)).astype(np.uint16)
    return image if side == "left" else image[:, ::-1]
