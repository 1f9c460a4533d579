"""What is no mammogram: one clear sentence with the file's name, never a person's; no crash."""

from __future__ import annotations

import logging
import tracemalloc
import warnings
import zlib

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mammogram_makers import PERSON, breast, lut, write_dicom
from PIL import Image
from pydicom import uid

from napari_pathogan.errors import CodecMissingError, MammogramFormatError, SlideFormatError
from napari_pathogan.mammograms.study import open_mammogram

IMAGE = breast()
PART_2 = b"1.2.840.10008.1.2.4.92"  # JPEG 2000 with several components
KINDS = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
)


def refused(path, *words, kind=MammogramFormatError):
    with pytest.raises(SlideFormatError) as caught:
        open_mammogram(path)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    assert not names_a_person(message)
    for word in words:
        assert word in message


def names_a_person(text):
    return [word for word in PERSON if word.lower() in text.lower()]


def test_without_pixels(tmp_path):
    refused(write_dicom(tmp_path / "a.dcm", IMAGE, drop=("PixelData",)), "no pixels")


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_a_header_that_is_cut_is_said_to_be_truncated(tmp_path, syntax):
    whole = write_dicom(tmp_path / "whole.dcm", IMAGE, syntax=syntax)
    data, path = whole.read_bytes(), tmp_path / "a.dcm"
    first = 140  # behind the preamble
    pixels = data.rindex(b"\xe0\x7f\x10\x00")
    for end in {*range(first, pixels + 8, 7), pixels}:
        path.write_bytes(data[:end])
        refused(path, "truncated")


@pytest.mark.parametrize(("modality", "said"), [("CT", "modality CT"), ("", "no modality")])
def test_another_modality(tmp_path, modality, said):
    path = write_dicom(tmp_path / "a.dcm", IMAGE, Modality=modality, SOPClassUID=uid.CTImageStorage)
    refused(path, "not a mammogram", said, "modality MG")


def test_tomosynthesis(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.tile(IMAGE, (60, 1)), NumberOfFrames=60, Rows=48)
    refused(path, "60 frames", "tomosynthesis", "2-D")


@pytest.mark.parametrize(
    "tags", [{"SamplesPerPixel": 3}, {"PhotometricInterpretation": "PALETTE COLOR"}]
)
def test_colours(tmp_path, tags):
    refused(write_dicom(tmp_path / "a.dcm", IMAGE, **tags), "not a grey image")


@pytest.mark.parametrize(
    "tags",
    [
        {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31},
        {"BitsStored": 12, "HighBit": 17},
        {"BitsStored": 0},
    ],
)
def test_other_words_than_8_or_16_bits(tmp_path, tags):
    refused(write_dicom(tmp_path / "a.dcm", IMAGE, **tags), "bits")


@pytest.mark.parametrize("tags", [{"Rows": 0}, {"Rows": 65535, "Columns": 65535}])
def test_an_implausible_size(tmp_path, tags):
    refused(write_dicom(tmp_path / "a.dcm", IMAGE, **tags), "size")


def test_a_codec_that_nobody_has(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", IMAGE, syntax=uid.JPEGLSLossless)
    path.write_bytes(path.read_bytes().replace(str(uid.JPEGLSLossless).encode(), PART_2))
    refused(path, "can't be decoded here", "gdcmconv", kind=CodecMissingError)


@pytest.mark.parametrize("syntax", KINDS[3:], ids=lambda syntax: syntax.keyword)
def test_a_codec_that_is_not_installed(tmp_path, monkeypatch, syntax):
    path = write_dicom(tmp_path / "a.dcm", IMAGE, syntax=syntax)
    for codec in ("JPEG", "JPEGLS", "JPEG2K"):
        monkeypatch.setattr(getattr(imagecodecs, codec), "available", False)
    refused(path, syntax.name, "not installed", "imagecodecs", kind=CodecMissingError)


@pytest.mark.parametrize("syntax", KINDS, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_truncated(tmp_path, syntax, share):
    path = write_dicom(tmp_path / "a.dcm", breast(shape=(96, 80)), syntax=syntax)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, "copy it again")


def test_a_stream_of_another_size_is_not_decoded(tmp_path):
    for syntax in KINDS[3:]:
        path = write_dicom(tmp_path / "a.dcm", IMAGE, syntax=syntax, Rows=47)
        refused(path, "damaged")


@pytest.mark.parametrize("syntax", KINDS[2:], ids=lambda syntax: syntax.keyword)
def test_a_stream_that_ends_early(tmp_path, syntax):
    path = write_dicom(tmp_path / "a.dcm", IMAGE, syntax=syntax, stream=b"\xff\xd8\xff\xd9")
    refused(path, syntax.name, "copy it again")


def test_a_damaged_modality_table(tmp_path):
    for count in (3000, 2048, 100, 0):
        table = lut(0, 16, np.arange(4096))
        table.LUTData = list(range(0, 2 * count, 2))
        path = write_dicom(tmp_path / "a.dcm", IMAGE, ModalityLUTSequence=[table])
        refused(path, "modality LUT")


def test_a_damaged_voi_table_gives_way_to_the_window(tmp_path):
    table = lut(0, 12, np.arange(100))
    table.LUTDescriptor = [4096, 0, 12]
    path = write_dicom(
        tmp_path / "a.dcm", IMAGE, VOILUTSequence=[table], WindowCenter=1000, WindowWidth=201
    )
    assert open_mammogram(path).window == (899.5, 1099.5)


def test_files_of_other_kinds(tmp_path):
    text = tmp_path / "notes.dcm"
    text.write_text("Dear radiologist, this is not a mammogram.")
    refused(text, kind=SlideFormatError)
    empty = tmp_path / "empty.dcm"
    empty.touch()
    refused(empty, "empty", kind=SlideFormatError)
    refused(tmp_path / "gone.dcm", "no file", kind=SlideFormatError)
    head = tmp_path / "head.dcm"
    head.write_bytes(bytes(128) + b"DICM")
    refused(head, "copy it again")


def test_a_colour_png(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)).save(path)
    refused(path, "colour image")


def test_a_truncated_png(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:800])
    refused(path, "truncated", kind=SlideFormatError)


def test_nobody_is_named(tmp_path, caplog):
    """Not in what is read, and not in what pydicom says about a header that it finds odd."""
    path = tmp_path / "a.dcm"
    odd = {"PatientBirthDate": PERSON[0], "StudyDate": PERSON[1], "WindowWidth": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_dicom(path, IMAGE, **odd)
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = open_mammogram(path)
    assert found.path == path
    words = [repr(found), found.name, str(found.metadata), caplog.text]
    assert not names_a_person(" ".join([*words, *(str(one.message) for one in said)]))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    pixels = breast(shape=(40, 32))
    table = lut(0, 12, range(0, 4096, 8))
    return [
        write_dicom(
            folder / f"{number}.dcm", pixels, syntax=syntax, ImagerPixelSpacing=[0.1, 0.1],
            WindowCenter=2048, WindowWidth=4096, VOILUTSequence=[table] if number % 2 else [],
            PixelPaddingValue=0, RescaleSlope=1, RescaleIntercept=0,
        ).read_bytes()
        for number, syntax in enumerate(KINDS)
    ]  # fmt: skip


CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)),
    min_size=1,
    max_size=6,
)


def tried(path):
    """A mammogram with its image as shown, or the words in which the file is refused."""
    try:
        found = open_mammogram(path)
        return found, found.shown()
    except SlideFormatError as error:
        return None, str(error)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(torn=st.tuples(st.integers(0, len(KINDS) - 1), CHANGES, st.floats(0.05, 3)))
def test_mutated_files_open_or_are_refused(originals, tmp_path, torn):
    """Bytes overwritten anywhere, the end cut off: a mammogram or one of our errors."""
    which, changes, keep = torn
    whole = bytearray(originals[which])
    for at, what in changes:
        start = 132 + int(at * (len(whole) - 132))
        whole[start : start + len(what)] = what
    path = tmp_path / "torn.dcm"
    path.write_bytes(whole[: int(min(keep, 1) * len(whole))])
    found, shown = tried(path)
    if found is None:
        assert "torn.dcm" in shown
        assert not names_a_person(shown)
        return
    assert found.pixels.dtype in (np.uint8, np.uint16, np.int16, np.float32)
    assert shown.shape == found.shape
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert found.window[0] < found.window[1]


@pytest.mark.parametrize(
    "meta", [b"", b"\2\0\1\0OB\0\0" + (20_000).to_bytes(4, "little") + bytes(20_000)]
)
@pytest.mark.parametrize("preamble", [True, False])
def test_a_file_that_unfolds_to_gigabytes_is_refused_in_little_memory(tmp_path, preamble, meta):
    path = write_dicom(tmp_path / "a.dcm", IMAGE, syntax=uid.DeflatedExplicitVRLittleEndian)
    whole = path.read_bytes()
    length = pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
    (head, own) = whole[:132], whole[132 + 12 : 132 + 12 + length]
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    private = b"\x09\0\1\x10OB\0\0" + (1 << 30).to_bytes(4, "little")
    folded = deflate.compress(private) + b"".join(
        deflate.compress(bytes(1 << 20)) for _ in range(1024)
    )
    path.write_bytes(head * preamble + meta + own + folded + deflate.flush())
    tracemalloc.start()
    with pytest.raises(SlideFormatError, match=r"a\.dcm"):
        open_mammogram(path)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
