"""DICOM mammograms: every codec, the tables and windows against pydicom, sizes, views."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from mammogram_makers import ENCODERS, breast, coded, lut, write_dicom
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_voi, apply_windowing

from napari_pathogan.errors import MammogramFormatError
from napari_pathogan.mammograms.dicom import pixels as dicom_pixels
from napari_pathogan.mammograms.study import open_mammogram

IMAGE = breast()
PLAIN = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)
LOSSLESS = (
    *PLAIN,
    uid.RLELossless,
    *(s for s in ENCODERS if "Lossless" in s.name and "Near" not in s.name),
)


def opened(path, pixels=IMAGE, **tags):
    return open_mammogram(write_dicom(path / "a.dcm", pixels, **tags))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.keyword)
def test_lossless_codecs_give_the_stored_values(tmp_path, syntax, bits):
    pixels = breast(bits)
    found = opened(tmp_path, pixels, bits=bits, syntax=syntax)
    assert found.pixels.dtype == pixels.dtype
    assert np.array_equal(found.pixels, pixels)
    assert found.metadata["compression"] == syntax.name


@pytest.mark.parametrize(
    ("syntax", "bits", "most"),
    [
        (uid.JPEGBaseline8Bit, 8, 6),
        (uid.JPEGExtended12Bit, 12, 40),
        (uid.JPEGLSNearLossless, 12, 1),
        (uid.JPEG2000, 12, 40),
    ],
    ids=lambda value: getattr(value, "keyword", str(value)),
)
def test_lossy_codecs_come_close(tmp_path, syntax, bits, most):
    pixels = breast(bits)
    found = opened(tmp_path, pixels, bits=bits, syntax=syntax)
    assert np.abs(found.pixels.astype(int) - pixels).max() <= most


@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLSLossless]
)
def test_signed_values(tmp_path, syntax):
    pixels = (IMAGE.astype(int) - 2048).astype(np.int16)
    stored = pixels
    if syntax == uid.JPEGLSLossless:  # knows no sign: 12 bits of two's complement
        stored = (pixels.view(np.uint16) & 0xFFF).astype(np.uint16)
    found = opened(tmp_path, stored, syntax=syntax, PixelRepresentation=1)
    assert found.pixels.dtype == np.int16
    assert np.array_equal(found.pixels, pixels)


def test_bits_above_the_stored_ones_are_cleared(tmp_path):
    overlay = IMAGE | np.uint16(0xA000)
    assert np.array_equal(opened(tmp_path, overlay).pixels, IMAGE)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("above", "tags", "told"),
    [
        (0x1000, {}, True),
        (0x1000, {0x60000102: 12}, False),  # an overlay
        (0x1000, {0x60000102: 0}, True),  # an overlay with data of its own
        (0, {}, False),
    ],
)
def test_values_of_more_bits_than_the_header_says_are_told_of(tmp_path, above, tags, told, signed):
    words = IMAGE - np.uint16(2048 * signed)  # with the sign in all bits above
    words[:5, :5] ^= np.uint16(above)
    path = write_dicom(tmp_path / "a.dcm", words, PixelRepresentation=int(signed))
    header = pydicom.dcmread(path)
    for tag, position in tags.items():
        header.add_new(tag, "US", position)
    header.save_as(path)
    found = open_mammogram(path)
    np.testing.assert_array_equal(found.pixels, IMAGE.astype(int) - 2048 * signed)
    assert [("more bits than its header says" in note) for note in found.notes] == [True] * told
    shifted = opened(tmp_path, IMAGE << 4, HighBit=15)
    assert np.array_equal(shifted.pixels, IMAGE)


@pytest.mark.parametrize("signed", [False, True])
def test_a_high_bit_that_the_values_contradict_is_not_believed(tmp_path, signed):
    """Values of 12 bits in the lowest, said to be in the highest: the least four would be lost."""
    words = IMAGE - np.uint16(2048 * signed)
    found = opened(tmp_path, words, HighBit=15, PixelRepresentation=int(signed))
    np.testing.assert_array_equal(found.pixels, IMAGE.astype(int) - 2048 * signed)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("tags", "side", "told"),
    [
        ({"ImageLaterality": "R", "Laterality": "L"}, "R", True),
        ({"ImageLaterality": "L", "Laterality": "L"}, "L", False),
        ({"ImageLaterality": "R", "ViewPosition": "LCC"}, "R", True),
        ({"ImageLaterality": "R", "ViewPosition": "RCC"}, "R", False),
        ({"ImageLaterality": "R", "Laterality": "B"}, "R", False),
    ],
)
def test_sides_that_contradict_each_other_are_told_of(tmp_path, tags, side, told):
    found = opened(tmp_path, IMAGE, **tags)
    assert found.laterality == side
    assert [("right in one place and left in another" in note) for note in found.notes] == [
        True
    ] * told


@pytest.mark.parametrize("element", [0x00281053, 0x00281052])
@pytest.mark.parametrize("words", ["nan", "Quackenbush"])
def test_a_rescale_that_cant_be_read_is_told_of(tmp_path, element, words):
    path = write_dicom(tmp_path / "a.dcm", IMAGE, RescaleSlope=1, RescaleIntercept=0)
    header = pydicom.dcmread(path)
    header.add_new(element, "LO", words)
    header.save_as(path)
    found = open_mammogram(path)
    np.testing.assert_array_equal(found.pixels, IMAGE)
    assert ["what can't be read" in note for note in found.notes] == [True]
    assert words not in found.notes[0]


@pytest.mark.parametrize(
    "name", ["JPGExtended.dcm", "MR_small_jpeg_ls_lossless.dcm", "693_J2KI.dcm", "MR_small_RLE.dcm"]
)
def test_files_of_other_makers_decode_as_the_reference_does(name):
    header = pydicom.dcmread(get_testdata_file(name))
    found = dicom_pixels.decode(header, name).values
    assert found.shape == (header.Rows, header.Columns)
    if header.file_meta.TransferSyntaxUID == uid.RLELossless:
        assert np.array_equal(found, header.pixel_array)
    elif name.startswith("MR_small"):
        plain = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
        assert np.array_equal(found, plain.pixel_array)
    assert np.ptp(found) > 100


@pytest.mark.parametrize("shape", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(2048, 4096), (1500, 900), (700.5, 60)])
def test_windows_are_those_of_the_standard(tmp_path, shape, centre, width):
    found = opened(tmp_path, WindowCenter=centre, WindowWidth=width, VOILUTFunction=shape)
    header = pydicom.dcmread(tmp_path / "a.dcm")
    with np.errstate(over="ignore"):
        wanted = apply_windowing(IMAGE, header) / (2**12 - 1)
    assert np.allclose(found.shown(), wanted, atol=1e-5)
    low, high = found.window
    assert low < high
    assert (low + high) / 2 == pytest.approx(centre, abs=0.6)


def test_a_table_goes_before_a_window(tmp_path):
    entries = np.rint(4095 * np.linspace(0, 1, 2000) ** 2).astype(int)
    found = opened(
        tmp_path, VOILUTSequence=[lut(500, 12, entries)], WindowCenter=2048, WindowWidth=4096
    )
    wanted = apply_voi(IMAGE, pydicom.dcmread(tmp_path / "a.dcm")) / 4095
    assert np.allclose(found.shown(), wanted, atol=1e-6)
    low, high = found.window
    assert 500 <= low < 600
    assert high == 2499


def test_a_modality_table_and_a_rescale(tmp_path):
    entries = 65535 - 16 * np.arange(4096)
    found = opened(tmp_path, ModalityLUTSequence=[lut(0, 16, entries)], RescaleSlope=3)
    assert np.array_equal(found.pixels, entries[IMAGE])
    assert found.pixels.dtype == np.uint16
    scaled = opened(tmp_path, RescaleSlope=0.5, RescaleIntercept=-100)
    assert np.allclose(scaled.pixels, IMAGE * 0.5 - 100)
    assert scaled.pixels.dtype == np.float32
    same = opened(tmp_path, RescaleSlope=1, RescaleIntercept=0)
    assert same.pixels.dtype == np.uint16


@pytest.mark.parametrize("damaged", [{"WindowWidth": 0}, {"WindowWidth": -5}, {}])
def test_without_a_window_the_data_say(tmp_path, damaged):
    found = opened(tmp_path, IMAGE // 2 + 100, WindowCenter=50, **damaged)
    assert found.window == (100, 2147)
    assert found.shown().min() == 0
    assert found.shown().max() == 1


def test_monochrome1_is_turned_but_its_values_stay(tmp_path):
    normal = opened(tmp_path, WindowCenter=2047.5, WindowWidth=4095, VOILUTFunction="LINEAR_EXACT")
    turned = opened(
        tmp_path, 4095 - IMAGE, PhotometricInterpretation="MONOCHROME1",
        WindowCenter=2047.5, WindowWidth=4095, VOILUTFunction="LINEAR_EXACT",
    )  # fmt: skip
    assert turned.inverted
    assert not normal.inverted
    assert np.array_equal(turned.pixels, 4095 - IMAGE)
    assert np.allclose(turned.shown(), normal.shown(), atol=1e-6)


def test_padding_is_air(tmp_path):
    pixels = IMAGE.copy()
    pixels[:, 30:] = 0
    found = opened(tmp_path, pixels, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1")
    assert (found.shown()[:, 30:] == 0).all()
    assert found.window[0] == pixels[pixels > 0].min()


@pytest.mark.parametrize(
    ("tags", "mm", "meaning"),
    [
        ({"ImagerPixelSpacing": [0.07, 0.08]}, (0.07, 0.08), "at detector"),
        ({"ImagerPixelSpacing": [0.1, 0.1], "PixelSpacing": [0.1, 0.1]}, (0.1, 0.1), "at detector"),
        (
            {"ImagerPixelSpacing": [0.1, 0.1], "PixelSpacing": [0.09, 0.09]},
            (0.1, 0.1),
            "at detector",
        ),
        (
            {
                "ImagerPixelSpacing": [0.1, 0.1],
                "PixelSpacing": [0.09, 0.09],
                "PixelSpacingCalibrationType": "GEOMETRY",
            },
            (0.09, 0.09),
            "calibrated",
        ),
        ({"PixelSpacing": [0.05, 0.05]}, (0.05, 0.05), "at detector"),
        ({"ImagerPixelSpacing": [0, 0.1]}, None, None),
        ({}, None, None),
    ],
)
def test_what_a_pixel_measures(tmp_path, tags, mm, meaning):
    found = opened(tmp_path, **tags)
    assert found.mm_per_px == mm
    assert found.spacing == meaning


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ({}, "RMLO"),
        ({"ImageLaterality": "L", "ViewPosition": "CC"}, "LCC"),
        ({"ViewPosition": "L-MLO", "ImageLaterality": "L"}, "LMLO"),
        ({"ViewCodeSequence": [coded("399162004")]}, "RCC"),
        ({"ViewCodeSequence": [coded("R-10224")], "ViewPosition": ""}, "RML"),
        ({"ImageLaterality": "", "Laterality": "L"}, "LMLO"),
        ({"ViewPosition": "MCC"}, "RCC magnification"),
        ({"ViewPosition": "SMLO"}, "RMLO spot compression"),
        ({"ViewPosition": "RCCID"}, "RCC implant displaced"),
        ({"ViewPosition": "XCCL"}, "RXCCL"),
        ({"ViewPosition": "SIO"}, "RSIO"),
        ({"ViewPosition": "MLO"}, "RMLO"),
        ({"ImageLaterality": "B", "ViewPosition": "?"}, "mammogram"),
    ],
)
def test_which_view_it_is(tmp_path, tags, name):
    assert opened(tmp_path, **tags).name == name


def test_the_chest_wall_is_where_the_header_or_the_breast_says(tmp_path):
    assert opened(tmp_path).chest_side == "left"
    assert opened(tmp_path).mirrored  # a right breast whose chest wall is on the left
    assert not opened(tmp_path, ImageLaterality="L").mirrored
    assert opened(tmp_path, IMAGE[:, ::-1]).chest_side == "right"
    assert opened(tmp_path, PatientOrientation=["P", "L"]).chest_side == "right"


def test_real_files(data):
    pattern = open_mammogram(data / "dicom" / "MG_Explicit_Little.dcm")
    assert (pattern.name, pattern.mm_per_px, pattern.spacing) == ("RCC", (0.25, 0.25), "calibrated")
    assert pattern.metadata["imager_mm_per_px"] == (0.5, 0.5)
    turned = open_mammogram(data / "dicom" / "derived_mono1_12bit_rle_50996352.dcm")
    assert (turned.name, turned.inverted, turned.spacing) == ("RMLO", True, "at detector")
    assert turned.shown()[:, 0].mean() < 0.1 < turned.shown()[:, -1].mean()
    assert turned.chest_side == "right"


@pytest.mark.parametrize("syntax", [*LOSSLESS[4:], uid.JPEG2000], ids=lambda one: one.keyword)
def test_compressed_pixels_without_meta(tmp_path, syntax):
    """How they are compressed is told by how they begin."""
    path = write_dicom(tmp_path / "a.dcm", IMAGE, syntax=syntax)
    whole = open_mammogram(path).pixels
    meta = pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
    path.write_bytes(path.read_bytes()[128 + 4 + 12 + meta :])
    found = open_mammogram(path)
    assert np.array_equal(found.pixels, whole)
    assert "does not say how its pixels are compressed" in found.notes[0]


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
@pytest.mark.parametrize("syntax", PLAIN, ids=lambda one: one.keyword)
def test_more_pixels_than_the_header_says_are_told_of(tmp_path, syntax, keyword):
    found = opened(tmp_path, syntax=syntax, **{keyword: 30})
    assert "holds more pixels than its header says" in found.notes[0]
    assert not opened(tmp_path, syntax=syntax).notes


@pytest.mark.parametrize(
    ("types", "modifiers"),
    [
        (["TOMOSYNTHESIS", "NONE"], ("tomosynthesis slice",)),
        (["TOMOSYNTHESIS", "MAX_IP"], ("tomosynthesis slice",)),
        (["TOMO_PROJ", "LEFT"], ("tomosynthesis projection",)),
        (["TOMOSYNTHESIS", "GENERATED_2D"], ()),
        ([""], ()),
    ],
)
@pytest.mark.parametrize("sop", [uid.BreastTomosynthesisImageStorage, None])
def test_parts_of_a_tomosynthesis_are_named(tmp_path, types, modifiers, sop):
    tags = {"ImageType": ["DERIVED", "PRIMARY", *types]} | ({"SOPClassUID": sop} if sop else {})
    found = opened(tmp_path, **tags)
    assert found.modifiers == modifiers
    assert found.name == " ".join(("RMLO", *modifiers))


def test_values_as_floats_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(MammogramFormatError, match="as floats, which mammograms have not"):
        opened(tmp_path, drop=("PixelData",), FloatPixelData=IMAGE.astype("<f4").tobytes())


DARK = lut(0, 16, [*range(4096), 65535])  # of 12-bit pixels
SAID = [  # of the header; what is told
    ({"PixelAspectRatio": [1, 2]}, "not square (0.5 times as high as wide)"),
    ({"ImagerPixelSpacing": [0.07, 0.14]}, "not square (0.5 times as high as wide)"),
    ({"ImagerPixelSpacing": [0.07, 0.07], "PixelAspectRatio": [2, 1]}, ""),
    ({"ImagerPixelSpacing": [0.07, 0.0705]}, ""),
    (
        {"ImagerPixelSpacing": [0.07]},
        "states a size of a pixel that no detector has or that can't be",
    ),
    ({"ImagerPixelSpacing": ["0,07", "0,07"]}, "that can't be read"),
    ({"ImagerPixelSpacing": None}, ""),
    ({"WindowCenter": "2000,5", "WindowWidth": 900}, "holds a window that can't be read"),
    ({"WindowCenter": None, "WindowWidth": None}, ""),
    ({"PatientOrientation": ["F", "P"]}, "lies on its side"),
    ({"PatientOrientation": ["A", "HL"]}, "lies upside down"),
    ({"PatientOrientation": ["A", "FR"]}, ""),
    ({"PatientOrientation": ["A"]}, ""),
    ({"VOILUTSequence": [DARK]}, "holds a VOI LUT that is damaged or shows next to nothing"),
]


@pytest.mark.parametrize(("tags", "told"), SAID)
def test_what_a_header_says_oddly_is_told_of(tmp_path, tags, told):
    path = write_dicom(tmp_path / "a.dcm", IMAGE)
    header = pydicom.dcmread(path)
    for keyword, value in tags.items():
        if value in ("2000,5", ["0,07", "0,07"]):  # which pydicom does not write as numbers
            header.add_new(keyword, "LO", value)
        else:
            setattr(header, keyword, value)
    header.save_as(path)
    found = open_mammogram(path)
    assert len(found.notes) == bool(told)
    assert told in "".join(found.notes)
    assert found.shown().max() == 1


@pytest.mark.parametrize("slope", [1e-6, 1e-3, 1 / 4095])
def test_values_of_a_small_range_are_shown_over_it(tmp_path, slope):
    shown = opened(tmp_path, RescaleSlope=f"{slope:.6e}", RescaleIntercept=0).shown()
    assert (shown.min(), shown.max()) == (0, 1)


def test_the_size_of_a_scanned_films_pixels(tmp_path):
    found = opened(tmp_path, NominalScannedPixelSpacing=[0.05, 0.05])
    assert (found.mm_per_px, found.spacing) == ((0.05, 0.05), "at detector")
