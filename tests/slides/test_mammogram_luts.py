"""Tables and padding of DICOM mammograms that say of themselves what they are not.

pydicom's own functions are what is compared with where they are right; where not, that is shown.
"""

from __future__ import annotations

import imagecodecs
import numpy as np
import pydicom
import pytest
from mammogram_makers import breast, lut, write_dicom
from pydicom import uid
from pydicom.pixels import apply_modality_lut, apply_voi

from napari_pathogan.mammograms.study import open_mammogram

IMAGE = breast()
CURVE = np.linspace(0, 1, 4096) ** 2
SYNTAXES = (
    uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian,
    uid.JPEGLSLossless,
)  # fmt: skip


def opened(path, pixels=IMAGE, **tags):
    return open_mammogram(write_dicom(path / "a.dcm", pixels, **tags))


def table(first, declared, entries, order="<"):
    """A VOI or modality table whose entries are bytes, or words, of VR OW."""
    item = lut(0, declared, entries)
    wide = np.asarray(entries)
    item.LUTDescriptor = [len(wide) % 65536, first, declared]
    kind = "u1" if wide.dtype == np.uint8 else f"{order}u2"
    packed = wide.astype(kind).tobytes()
    packed += bytes(len(packed) % 2)
    if wide.dtype == np.uint8 and order == ">":
        packed = np.frombuffer(packed, "u2").byteswap().tobytes()
    item.add_new("LUTData", "OW", packed)
    return item


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("declared", [0, 8, 10, 12, 16, 32])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_table_rises_to_what_its_entries_are(tmp_path, syntax, declared, bits):
    entries = np.rint((2**bits - 1) * CURVE).astype(int)
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    wanted = CURVE[IMAGE]
    for item in (lut(0, declared, entries), table(0, declared, entries, order)):
        for turned in (False, True):
            photometric = "MONOCHROME1" if turned else "MONOCHROME2"
            found = opened(
                tmp_path,
                syntax=syntax,
                VOILUTSequence=[item],
                PhotometricInterpretation=photometric,
            )
            shown = 1 - found.shown() if turned else found.shown()
            assert np.allclose(shown, wanted, atol=0.6 / (2**bits - 1))
    if declared == bits > 8:  # pydicom counts 8-bit tables with 8 bits
        header = pydicom.dcmread(tmp_path / "a.dcm")
        assert np.allclose(apply_voi(IMAGE, header) / (2**bits - 1), wanted, atol=0.01)


@pytest.mark.parametrize("declared", [8, 12, 16])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("count", [4096, 4095])
def test_a_table_of_bytes(tmp_path, syntax, declared, count):
    """Two entries a word; pydicom looks for a word each (it fails, or takes both for one entry)."""
    entries = np.rint(255 * CURVE[:count]).astype(np.uint8)
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    found = opened(tmp_path, syntax=syntax, VOILUTSequence=[table(0, declared, entries, order)])
    wanted = entries[np.minimum(IMAGE, count - 1)] / 255
    assert np.allclose(found.shown(), wanted, atol=1e-6)


@pytest.mark.parametrize("syntax", SYNTAXES[:3], ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize(
    ("pixels", "tags", "first"),
    [
        (IMAGE, {"RescaleSlope": 1, "RescaleIntercept": -1024}, -1024),
        (IMAGE, {"RescaleSlope": 2, "RescaleIntercept": -1}, -1),
        (IMAGE, {"RescaleSlope": -1, "RescaleIntercept": 0}, -4095),
        (IMAGE, {"RescaleSlope": 1, "RescaleIntercept": 40000}, 40000),
        (IMAGE.astype(np.int16) - 2048, {}, -2048),
        (IMAGE.astype(np.int16) - 2048, {"RescaleIntercept": 42048, "RescaleSlope": 1}, 40000),
        (IMAGE.astype(np.int16) - 2048, {"ModalityLUTSequence": 40000}, 40000),
        (IMAGE, {"ModalityLUTSequence": 40000}, 40000),
        (IMAGE, {"ModalityLUTSequence": 0}, 0),
        (IMAGE.astype(np.uint16) * 16, {"BitsStored": 16, "HighBit": 15}, 64000),
    ],
)
@pytest.mark.parametrize("vr", ["US", "SS"])
def test_the_sign_of_the_first_value(tmp_path, *, syntax, pixels, tags, first, vr):
    """That of the values that the table maps, whatever VR it was written with."""
    if isinstance(tags.get("ModalityLUTSequence"), int):
        low = int(pixels.dtype.kind == "i") * -2048
        modality = lut(low % 65536, 16, tags["ModalityLUTSequence"] + np.arange(4096))
        modality["LUTDescriptor"].VR = "US"
        tags = tags | {"ModalityLUTSequence": [modality]}
    item = lut(0, 12, np.rint(4095 * CURVE).astype(int))
    word = first % 65536
    said = word - 65536 if vr == "SS" and word >= 32768 else word
    item.add_new("LUTDescriptor", vr, [4096, said, 12])
    found = opened(tmp_path, pixels, syntax=syntax, VOILUTSequence=[item], **tags)
    index = np.clip(found.pixels.astype(float) - first, 0, 4095).astype(int)
    assert np.allclose(found.shown(), CURVE[index], atol=2e-4)
    assert found.window[0] < found.window[1]


def test_where_pydicom_is_not_right(tmp_path):
    """Why its functions are not simply called: a dark image, values that wrap, exceptions."""
    path = tmp_path / "a.dcm"
    entries = np.rint(4095 * CURVE).astype(int)
    write_dicom(path, IMAGE, VOILUTSequence=[lut(0, 16, entries)])
    assert apply_voi(IMAGE, pydicom.dcmread(path)).max() / (2**16 - 1) < 0.07
    write_dicom(path, IMAGE, VOILUTSequence=[lut(0, 9, entries)])
    with pytest.raises(NotImplementedError):
        apply_voi(IMAGE, pydicom.dcmread(path))
    rescaled = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    write_dicom(
        path, IMAGE, syntax=uid.ImplicitVRLittleEndian, VOILUTSequence=[lut(64512, 12, entries)],
        **rescaled,
    )  # fmt: skip
    header = pydicom.dcmread(path)
    assert np.ptp(apply_voi(apply_modality_lut(IMAGE, header).astype(int), header)) == 0
    assert open_mammogram(path).shown().max() == 1
    write_dicom(path, IMAGE, ModalityLUTSequence=[lut(0, 12, entries)])
    with pytest.raises(TypeError):
        apply_modality_lut(IMAGE, pydicom.dcmread(path))
    assert np.array_equal(open_mammogram(path).pixels, entries[IMAGE])


@pytest.mark.parametrize("declared", [0, 8, 12, 16])
def test_a_modality_table_gives_its_entries(tmp_path, declared):
    entries = np.arange(4096)[::-1] * 16 + 15
    found = opened(tmp_path, ModalityLUTSequence=[lut(0, declared, entries)])
    assert np.array_equal(found.pixels, entries[IMAGE])
    assert found.pixels.dtype == np.uint16


@pytest.mark.parametrize("shape", [(48, 40), (47, 39)])
@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_eight_bits_in_big_endian(tmp_path, shape, vr):
    """Words of VR OW hold two pixels each, with the bytes in turn (PS3.5 8.1.1)."""
    pixels = breast(8, shape)
    path = write_dicom(tmp_path / "a.dcm", pixels, bits=8, syntax=uid.ExplicitVRBigEndian)
    data = pixels.tobytes() + bytes(pixels.size % 2)
    header = pydicom.dcmread(path)
    swapped = np.frombuffer(data, "u2").byteswap().tobytes()
    header.add_new("PixelData", vr, swapped if vr == "OW" else data)
    header.save_as(path)
    assert np.array_equal(open_mammogram(path).pixels, pixels)
    assert np.array_equal(pydicom.dcmread(path).pixel_array, pixels)


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize(
    ("dtype", "bits", "value"),
    [
        ("i2", 12, -2000), ("i2", 16, -2000), ("i2", 16, -32768), ("u2", 16, 65535),
        ("u2", 12, 4095), ("u2", 12, 0), ("u1", 8, 255),
    ],
)  # fmt: skip
def test_padding_has_the_sign_of_the_pixels(tmp_path, *, vr, syntax, dtype, bits, value):
    if dtype == "u1" and syntax == uid.ExplicitVRBigEndian:
        pytest.skip("eight bits in big endian are above")
    pixels = (IMAGE // 32 + 1).astype(dtype)
    pixels[:, 25:] = value
    stored = pixels
    if syntax == uid.JPEGLSLossless and dtype == "i2":
        stored = (pixels.view(np.uint16) & (2**bits - 1)).astype(np.uint16)
    path = write_dicom(
        tmp_path / "a.dcm", stored, bits=bits, syntax=syntax, PixelRepresentation=int(dtype == "i2")
    )
    word = value % 65536 if dtype != "u1" else value
    said = {"US": word, "SS": word - 65536 if word >= 32768 else word}[vr]
    if dtype == "u1" and vr == "SS":
        said = -1
    header = pydicom.dcmread(path)
    header.add_new("PixelPaddingValue", vr, said)
    header.save_as(path)
    found = open_mammogram(path)
    assert found.padded.mean() == pytest.approx(15 / 40)
    assert found.window[1] <= 129
    assert (found.shown()[:, 25:] == 0).all()


def test_padding_beyond_the_stored_bits(tmp_path):
    """0xFFFF around a 12-bit image is padding; its brightest tissue, 0xFFF, is not."""
    pixels = IMAGE.copy()
    pixels[:, 25:] = 65535
    pixels[20:24, 4:8] = 4095
    found = opened(tmp_path, pixels, PixelPaddingValue=65535)
    assert found.padded.mean() == pytest.approx(15 / 40)
    assert found.shown()[20:24, 4:8].min() == 1


STREAMS = [(8, 8), (10, 10), (12, 12), (12, 16), (13, 16), (16, 16), (10, 12), (8, 12)]


def in_j2k(values, precision):
    return bytes(
        imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k", bitspersample=precision)
    )


@pytest.mark.parametrize(("precision", "stored"), STREAMS)
@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLosslessSV1])
def test_the_sign_is_the_highest_bit_of_the_stream(tmp_path, syntax, precision, stored):
    """Streams without a sign that hold signed values: two's complement of as many bits as they have."""
    values = breast(precision).astype(int) - 2 ** (precision - 1)
    words = (values % 2**precision).astype(np.uint8 if precision == 8 else np.uint16)
    if syntax == uid.JPEGLosslessSV1:
        stream = imagecodecs.jpeg_encode(words, lossless=True, predictor=1, bitspersample=precision)
    else:
        stream = in_j2k(words, precision)
    path = write_dicom(
        tmp_path / "a.dcm", words, bits=stored, syntax=syntax, stream=bytes(stream),
        PixelRepresentation=1, BitsAllocated=8 if stored == 8 else 16,
    )  # fmt: skip
    found = open_mammogram(path)
    assert np.array_equal(found.pixels, values)
    if syntax == uid.JPEG2000Lossless:
        assert np.array_equal(pydicom.dcmread(path).pixel_array, values)


@pytest.mark.parametrize(("precision", "stored"), [(16, 12), (16, 10), (12, 10)])
def test_a_stream_of_more_bits_than_the_header_says(tmp_path, precision, stored):
    """Values are sign-extended over all of them, and so the stream's highest bit is the sign."""
    values = breast(stored).astype(int) - 2 ** (stored - 1)
    words = (values % 2**precision).astype(np.uint16)
    stream = in_j2k(words, precision)
    path = write_dicom(
        tmp_path / "a.dcm", words, bits=stored, syntax=uid.JPEG2000Lossless, stream=stream,
        PixelRepresentation=1,
    )  # fmt: skip
    assert np.array_equal(open_mammogram(path).pixels, values)
    assert np.array_equal(pydicom.dcmread(path).pixel_array, values)


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize(("precision", "stored"), STREAMS)
def test_a_signed_stream_holds_signed_values(tmp_path, precision, stored, signed):
    """Whatever the header says; so do its padding, and the first value of a table."""
    values = (breast(precision).astype(int) - 2 ** (precision - 1)) // 2
    values[:, 30:] = -(2 ** (precision - 1))
    words = values.astype(np.int8 if precision == 8 else np.int16)
    low = -(2 ** (precision - 1))
    curve = CURVE[:: 4096 >> min(precision, 12)]
    found = opened(
        tmp_path, words, bits=stored, syntax=uid.JPEG2000Lossless, stream=in_j2k(words, precision),
        PixelRepresentation=signed, BitsAllocated=8 if stored == 8 else 16,
        VOILUTSequence=[lut(low if signed else low % 65536, 12, np.rint(4095 * curve).astype(int))],
    )  # fmt: skip
    assert np.array_equal(found.pixels, values)
    index = np.clip(values - low, 0, len(curve) - 1)
    assert np.allclose(found.shown(), curve[index], atol=2e-4)


def test_a_table_of_which_entries_are_missing_is_told_of(tmp_path):
    item = lut(0, 12, np.arange(100))
    item.LUTDescriptor = [4096, 0, 12]
    (note,) = opened(tmp_path, VOILUTSequence=[item]).notes
    assert note == (
        "a.dcm holds a VOI LUT that is damaged or shows next to nothing, so it is shown by its range of "
        "values instead"
    )
    for useless in (lut(5000, 12, np.arange(100)), lut(0, 12, [7] * 4096), lut(0, 12, [0] * 4096)):
        found = opened(tmp_path, VOILUTSequence=[useless])
        assert found.notes == (note,)
        assert found.shown().max() == 1
    window = {"WindowCenter": 1000, "WindowWidth": 500}
    (note,) = opened(tmp_path, VOILUTSequence=[item], **window).notes
    assert note.endswith("by its window instead")


@pytest.mark.parametrize(
    ("centres", "widths", "taken", "words"),
    [
        ([2048], [3000], 0, ""),
        ([2048, 9000], [3000, 100], 0, ""),
        ([9000, 2048], [100, 3000], 1, "the first window of a.dcm"),
        ([-500, 9000, 2048], [100, 1, 3000], 2, "another of its windows"),
        ([2048], [1], None, "its range of values"),
        ([9000], [100], None, "the window of a.dcm"),
    ],
)
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_a_window_that_shows_nothing_is_passed_over(
    tmp_path, *, centres, widths, taken, words, function
):
    found = opened(tmp_path, WindowCenter=centres, WindowWidth=widths, VOILUTFunction=function)
    notes = " ".join(found.notes)
    assert bool(notes) == bool(words)
    assert words in notes
    shown = found.shown()
    assert ((shown > 0.05) & (shown < 0.95)).mean() > 0.05
    if taken is None:
        assert found.window == (0, 4095)
    else:
        assert (found.voi.centre, found.voi.width) == (centres[taken], widths[taken])


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"WindowCenter": 2048, "WindowWidth": -100}, "a window that can't be read"),
        ({"WindowCenter": 2048, "WindowWidth": 0}, ""),
        ({"WindowCenter": 2048, "WindowWidth": 3000, "VOILUTFunction": "CUBIC"}, "is linear"),
        ({"WindowCenter": 2048, "WindowWidth": 3000, "VOILUTFunction": "SIGMOID"}, ""),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "a rescale slope of 0"),
        ({"RescaleSlope": 2, "RescaleIntercept": 5}, ""),
    ],
)
def test_what_of_a_header_is_not_followed_is_said(tmp_path, elements, words):
    notes = opened(tmp_path, **elements).notes
    assert len(notes) == bool(words)
    assert words in "".join(notes)
    assert "CUBIC" not in "".join(notes), "no value of a header is said"


@pytest.mark.parametrize("first", [0, 300, 2000])
def test_a_table_of_black_and_white_alone_is_no_picture(tmp_path, first):
    item = lut(first, 12, np.array([0, 4095], np.uint16))
    found = opened(tmp_path, VOILUTSequence=[item])
    assert "shows next to nothing" in found.notes[0]
    assert found.window == (0, 4095)
