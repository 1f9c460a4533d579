"""A DICOM mammogram of a person, for what refers to it."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation as Mammography
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

NAME, NUMBER = "Somebody^Known", "Number-4711"  # in no random identifier nor address


def write_image(path, **tags):
    """Write 60 x 40 px of 12 bits, 0.1 mm each; ``tags`` override the header, None leaves one out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = Mammography, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    values = {
        "SOPClassUID": Mammography,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "PatientName": NAME,
        "PatientID": NUMBER,
        "Modality": "MG",
        "ImageLaterality": "L",
        "ViewPosition": "CC",
        "ImagerPixelSpacing": [0.1, 0.1],
        "Rows": 60,
        "Columns": 40,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        **tags,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(header, keyword, value)
    header.PixelData = np.arange(2400, dtype=np.uint16).tobytes()
    header.save_as(path, enforce_file_format=True)
    return path
