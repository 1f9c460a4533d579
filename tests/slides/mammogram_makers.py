"""DICOM mammograms of a few pixels, in any transfer syntax; their headers name a person."""

from __future__ import annotations

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from scipy import ndimage

from napari_pathogan.mammograms.study import examinations

PERSON = ("Quackenbush", "Zerlina", "PID-77041", "19520229", "Saint-Elsewhere", "ACC-90210")

ENCODERS = {
    uid.JPEGBaseline8Bit: lambda a, bits: imagecodecs.jpeg8_encode(a, level=98),
    uid.JPEGExtended12Bit: lambda a, bits: imagecodecs.jpeg_encode(a, level=98, bitspersample=12),
    uid.JPEGLossless: lambda a, bits: imagecodecs.ljpeg_encode(a, bitspersample=bits),
    uid.JPEGLosslessSV1: lambda a, bits: imagecodecs.jpeg_encode(
        a, lossless=True, predictor=1, bitspersample=bits
    ),
    uid.JPEGLSLossless: lambda a, bits: imagecodecs.jpegls_encode(a),
    uid.JPEGLSNearLossless: lambda a, bits: imagecodecs.jpegls_encode(a, level=1),
    uid.JPEG2000Lossless: lambda a, bits: imagecodecs.jpeg2k_encode(
        a, level=0, codecformat="j2k", bitspersample=bits
    ),
    uid.JPEG2000: lambda a, bits: imagecodecs.jpeg2k_encode(
        a, level=60, codecformat="j2k", bitspersample=bits
    ),
    uid.HTJ2KLossless: lambda a, bits: imagecodecs.htj2k_encode(a),
}


def breast(bits: int = 12, shape: tuple[int, int] = (48, 40), *, seed: int = 0) -> np.ndarray:
    """A bright half disc at the left edge, smooth: uint8 or uint16 of the full range of ``bits``."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    away = np.hypot((y - shape[0] / 2) / (0.45 * shape[0]), x / (0.8 * shape[1]))
    grain = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2)
    image = np.clip(1.2 * (1 - away), 0, 1) * (1 + 0.3 * grain)
    image = (image - image.min()) / np.ptp(image)
    return np.rint(image * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def write_dicom(
    path, pixels, *, bits=12, syntax=uid.ExplicitVRLittleEndian, drop=(), stream=None, **tags
):
    """Write a mammogram of a person who must not come out of it; ``tags`` override its header.

    ``stream`` is written instead of the compressed pixels.
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    header = FileDataset(
        str(path),
        {},
        preamble=bytes(128),
        file_meta=meta,
        is_implicit_VR=syntax.is_implicit_VR,
        is_little_endian=syntax.is_little_endian,
    )
    family, given, number, born, hospital, accession = PERSON
    given_tags = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": "1.2.3.4",
        "SeriesInstanceUID": "1.2.3.4.1",
        "PatientName": f"{family}^{given}",
        "PatientID": number,
        "PatientBirthDate": born,
        "InstitutionName": hospital,
        "AccessionNumber": accession,
        "Modality": "MG",
        "ImageLaterality": "R",
        "ViewPosition": "MLO",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        **tags,
    }
    for keyword, value in given_tags.items():
        if keyword not in drop:
            setattr(header, keyword, value)
    if "PixelData" not in drop:
        header.PixelData = encapsulate([stream]) if stream else _encoded(pixels, bits, syntax)
    header.save_as(path, enforce_file_format=True)
    return path


def lut(first: int, bits: int, entries) -> Dataset:
    """An item of a modality or VOI LUT sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item.add_new("LUTData", "US", [int(entry) for entry in entries])
    return item


def coded(value: str) -> Dataset:
    """An item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "a view"
    return item


def _encoded(pixels, bits, syntax) -> bytes:
    if syntax == uid.RLELossless:
        order = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        return encapsulate(
            [RLELosslessEncoder.encode(order, encoding_plugin="pydicom", **_about(pixels, bits))]
        )
    if syntax in ENCODERS:
        return encapsulate([bytes(ENCODERS[syntax](pixels, bits))])
    return pixels.astype(
        pixels.dtype.newbyteorder(">" if syntax == uid.ExplicitVRBigEndian else "<")
    ).tobytes()


def _about(pixels, bits) -> dict:
    return {
        "rows": pixels.shape[0],
        "columns": pixels.shape[1],
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "bits_allocated": 8 * pixels.dtype.itemsize,
        "bits_stored": bits,
        "pixel_representation": int(pixels.dtype.kind == "i"),
        "photometric_interpretation": "MONOCHROME2",
        "transfer_syntax_uid": uid.RLELossless,
    }


def open_study(folder_or_files):
    """The views of the one examination in a folder or of files."""
    [found] = examinations(folder_or_files)
    return found.open()
