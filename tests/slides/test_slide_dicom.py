"""DICOM whole slides in codecs and layouts that OpenSlide does not read: right, or a sentence."""

from __future__ import annotations

import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import ClassVar

import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from slide_makers import smooth_image

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.slides.backends.openslide import _Handle
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

TILE = 64
IMAGE = smooth_image(200, 330)
WHOLE = Region(0, 0, 200, 330)
CODECS = {
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEGLosslessSV1: lambda a: imagecodecs.jpeg_encode(
        a, lossless=True, predictor=1, colorspace="rgb", outcolorspace="rgb"
    ),
    uid.HTJ2KLossless: imagecodecs.htj2k_encode,
    uid.JPEG2000Lossless: lambda a: imagecodecs.jpeg2k_encode(a, level=0, codecformat="j2k"),
    uid.RLELossless: lambda a: RLELosslessEncoder.encode(
        a.tobytes(), encoding_plugin="pydicom", rows=TILE, columns=TILE, number_of_frames=1,
        samples_per_pixel=3, bits_allocated=8, bits_stored=8, pixel_representation=0,
        photometric_interpretation="RGB", planar_configuration=0, transfer_syntax_uid=uid.RLELossless,
    ),
    uid.ExplicitVRLittleEndian: lambda a: a.tobytes(),
}  # fmt: skip


def item(**tags) -> Dataset:
    one = Dataset()
    for keyword, value in tags.items():
        setattr(one, keyword, value)
    return one


def tiles(image=IMAGE):
    """Tiles of the whole image, row by row, padded with white; and the corner of each."""
    height, width = (-(-side // TILE) * TILE for side in image.shape[:2])
    padded = np.full((height, width, 3), 255, np.uint8)
    padded[: image.shape[0], : image.shape[1]] = image
    corners = [(y, x) for y in range(0, height, TILE) for x in range(0, width, TILE)]
    return [np.ascontiguousarray(padded[y : y + TILE, x : x + TILE]) for y, x in corners], corners


def write_wsi(path, syntax, *, which=slice(None), sparse=False, stream=None, **tags):
    """Write some of the tiles as one instance of the slide of the series 1.2.3."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = uid.VLWholeSlideMicroscopyImageStorage
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    frames, corners = (part[which] for part in tiles())
    about = FileDataset(str(path), {}, preamble=bytes(128), file_meta=meta)
    measures = item(
        PixelMeasuresSequence=[item(PixelSpacing=[0.00025, 0.00025], SliceThickness=0.001)]
    )
    origin = {"XOffsetInSlideCoordinateSystem": 0.0, "YOffsetInSlideCoordinateSystem": 0.0}
    given = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": "1.2.3",
        "FrameOfReferenceUID": "1.2.4",
        "PatientName": "Quackenbush^Zerlina",
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
        "TotalPixelMatrixRows": IMAGE.shape[0],
        "TotalPixelMatrixColumns": IMAGE.shape[1],
        "TotalPixelMatrixOriginSequence": [item(**origin)],
        "ImageOrientationSlide": [0, -1, 0, -1, 0, 0],
        "ImagedVolumeWidth": 0.0825,
        "ImagedVolumeHeight": 0.05,
        "ImagedVolumeDepth": 0.001,
        "DimensionOrganizationType": "TILED_SPARSE" if sparse else "TILED_FULL",
        "SharedFunctionalGroupsSequence": [measures],
        "OpticalPathSequence": [item(OpticalPathIdentifier="0")],
        "NumberOfOpticalPaths": 1,
        "TotalPixelMatrixFocalPlanes": 1,
        "ExtendedDepthOfField": "NO",
        "FocusMethod": "AUTO",
        "LossyImageCompression": "00",
        "ContainerIdentifier": "a",
        "SpecimenLabelInImage": "NO",
        "VolumetricProperties": "VOLUME",
        **tags,
    }
    if sparse:
        given["PerFrameFunctionalGroupsSequence"] = [
            item(
                PlanePositionSlideSequence=[
                    item(
                        ColumnPositionInTotalImagePixelMatrix=x + 1,
                        RowPositionInTotalImagePixelMatrix=y + 1,
                        ZOffsetInSlideCoordinateSystem=0.0,
                        **origin,
                    )
                ]
            )
            for y, x in corners
        ]
    for keyword, value in given.items():
        setattr(about, keyword, value)
    coded = [CODECS[syntax](frame) if stream is None else stream for frame in frames]
    plain = syntax == uid.ExplicitVRLittleEndian
    about.PixelData = b"".join(coded) if plain else encapsulate([bytes(one) for one in coded])
    about.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("syntax", CODECS, ids=lambda one: one.keyword)
def test_any_codec_is_read_or_said(tmp_path, syntax, sparse):
    path = write_wsi(tmp_path / "a.dcm", syntax, sparse=sparse)
    try:
        slide = Slide.open(path)
    except SlideFormatError as error:
        assert syntax in {uid.HTJ2KLossless, uid.JPEGLosslessSV1}
        assert "is a DICOM slide compressed as" in str(error)  # noqa: PT017
        assert "Quackenbush" not in str(error)  # noqa: PT017
        return
    with slide:
        assert np.array_equal(slide.read(WHOLE), IMAGE)
        assert slide.damaged == []
        assert slide.mpp == pytest.approx((0.25, 0.25))


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEGLSLossless])
def test_parts_of_one_image_are_put_together(tmp_path, syntax):
    for number, which in enumerate((slice(0, 9), slice(9, None))):
        parts = {
            "ConcatenationUID": "1.2.5",
            "SOPInstanceUIDOfConcatenationSource": "1.2.6",
            "ConcatenationFrameOffsetNumber": 9 * number,
            "InConcatenationNumber": 1 + number,
        }
        write_wsi(tmp_path / f"{number}.dcm", syntax, which=which, **parts)
    write_wsi(tmp_path / "other.dcm", syntax, SeriesInstanceUID="1.2.9")
    with Slide.open(tmp_path / "1.dcm") as slide:
        assert np.array_equal(slide.read(WHOLE), IMAGE)
        assert slide.damaged == []


@pytest.mark.parametrize("stream", [b"\0\0", b"\xff\xd8\xff\xf7garbage", bytes(1000)])
def test_damaged_tiles_are_told_of(tmp_path, stream):
    path = write_wsi(tmp_path / "a.dcm", uid.JPEGLSLossless, stream=stream)
    try:
        with Slide.open(path) as slide:
            slide.read(WHOLE)
            assert slide.damaged
            assert "Quackenbush" not in str(slide.notes)
    except SlideFormatError as error:
        assert "a.dcm is a DICOM slide" in str(error)  # noqa: PT017


def test_without_wsidicom_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wsidicom", None)
    path = write_wsi(tmp_path / "a.dcm", uid.JPEGLSLossless)
    with pytest.raises(SlideFormatError, match=r"napari-pathogan\[slides\]"):
        Slide.open(path)


def test_a_real_one(data):
    with Slide.open(data / "wsi_small" / "highdicom_sm_image_jpegls.dcm") as slide:
        assert slide.shape == (50, 50)
        assert np.ptp(slide.read(Region(0, 0, 50, 50))) > 30
        assert slide.damaged == []


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("SeriesInstanceUID", b"1.2.3"), ("TransferSyntaxUID", b"1.2.840.10008.1.2.4.80")],
)
@pytest.mark.parametrize("damage", [b"\\\\\\", b"\xff\x00\xff", b"9.9"])
def test_damaged_words_of_a_header_end_in_a_sentence_at_most(
    tmp_path, caplog, keyword, value, damage
):
    path = write_wsi(tmp_path / "a.dcm", uid.JPEGLSLossless)
    whole = path.read_bytes()
    at = whole.index(value)
    for start in (at, at - 4):  # the value, and its VR
        path.write_bytes(whole[:start] + damage + whole[start + len(damage) :])
        try:
            with warnings.catch_warnings(), Slide.open(path) as slide:
                warnings.simplefilter("error")  # pydicom's quote the header
                slide.read(WHOLE)
        except SlideFormatError as error:
            assert "a.dcm" in str(error), keyword  # noqa: PT017
            assert "Quackenbush" not in str(error)  # noqa: PT017
        assert caplog.text == ""


@pytest.mark.parametrize(("vendor", "most"), [("dicom", 1), ("mirax", 4)])
def test_dicom_is_read_by_one_thread_at_a_time(vendor, most, tmp_path):
    """Of a truncated file, libdicom ended 2 of 60 processes whose threads met its damage at once."""
    inside, seen, gate = [], [], threading.Barrier(most)

    class Opened:
        properties: ClassVar = {"openslide.vendor": vendor}

        def __init__(self, path):
            pass

        def read_region(self, *_):
            inside.append(1)
            seen.append(len(inside))
            gate.wait(10)
            inside.pop()
            return np.zeros((4, 4, 4), np.uint8)

    module = SimpleNamespace(OpenSlide=Opened, OpenSlideError=OSError)
    handle = _Handle(tmp_path, module)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: handle.read((0, 0), 0, (4, 4)), range(4)))
    assert max(seen) == most
