"""What files say of their channels, in the words of each kind of file."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from slide_makers import smooth_image

from napari_pathogan.errors import FluorescenceError
from napari_pathogan.slides.channels import ChannelInfo, by_words, look_lit, names_dye
from napari_pathogan.slides.slide import Slide

BRIGHT = np.ascontiguousarray(np.moveaxis(smooth_image(120, 130), -1, 0))
PRIMARIES = ("FF0000", "00FF00", "0000FF")


@pytest.mark.parametrize(
    ("names", "shown", "colour"),
    [
        (("", "", ""), ("", "", ""), None),
        (("Channel 0", "Channel 1", "Channel 2"), PRIMARIES, None),
        (("Channel:0:0", "Channel:0:1", "Channel:0:2"), ("FFFFFF",) * 3, None),
        (("C1", "C2", "C3"), ("", "", ""), None),
        (("TL Brightfield", "Brightfield 2", "BF"), ("", "", ""), False),
        (("R", "G", "B"), ("", "", ""), True),
        (("Red", "Green", "Blue"), PRIMARIES, True),
        (("Red", "Green", "Blue", "Alpha"), (*PRIMARIES, "FFFFFF"), True),
        (("Red", "Green", "Blue", "DAPI"), (*PRIMARIES, "FFFFFF"), False),
        (("", "", "", ""), ("", "", "", ""), False),
        (("", ""), ("", ""), False),
        (("DAPI", "FITC", "TRITC"), PRIMARIES, False),
        (("CD3", "CD20", "PanCK"), ("", "", ""), False),
        (("", "", ""), ("0000FF", "00FF00", "FF0000"), False),
        (("", "", ""), ("00FFFF", "FF00FF", "FFFF00"), False),
        (("Blue", "Green", "Red"), ("", "", ""), False),
    ],
)
def test_words(names, shown, colour):
    said = [ChannelInfo(*one) for one in zip(names, shown, strict=True)]
    assert by_words(said, len(said)) is colour


def test_wavelengths_go_before_names():
    assert by_words([ChannelInfo(name, "", fluoresces=True) for name in "RGB"], 3) is False


def test_words_of_another_count_say_nothing():
    assert by_words([ChannelInfo("DAPI")], 3) is None
    assert by_words([], 5) is False


def write_ome(path, **channel):
    listed = {key: [value] * 3 for key, value in channel.items()}
    about = {"axes": "CYX", "Channel": listed}
    tifffile.imwrite(path, BRIGHT, ome=True, photometric="minisblack", metadata=about)


@pytest.mark.parametrize(
    "channel",
    [
        {"Fluor": "Cy3"},
        {"EmissionWavelength": 520.0, "EmissionWavelengthUnit": "nm"},
        {"ExcitationWavelength": 488.0, "ExcitationWavelengthUnit": "nm"},
        {"ContrastMethod": "Fluorescence"},
        {"IlluminationType": "Epifluorescence"},
        {"Color": 16711935},
    ],
)
def test_ome_channels_that_fluoresce(tmp_path, channel):
    path = tmp_path / "a.ome.tif"
    write_ome(path, **channel)
    if "Color" not in channel:  # not every version of tifffile writes all of these
        text = tifffile.tiffcomment(path)
        for name, value in channel.items():
            if f'{name}="' not in text:
                text = text.replace("<Channel ", f'<Channel {name}="{value}" ')
        tifffile.tiffcomment(path, text.encode())
    with pytest.raises(FluorescenceError):
        Slide.open(path)


def test_ome_channels_in_transmitted_light_are_colour(tmp_path):
    path = tmp_path / "a.ome.tif"
    write_ome(path, Name="Channel 0")
    text = tifffile.tiffcomment(path).replace(
        "<Channel ", '<Channel IlluminationType="Transmitted" ContrastMethod="Brightfield" '
    )
    tifffile.tiffcomment(path, text.encode())
    with Slide.open(path) as slide:
        assert slide.is_rgb


@pytest.mark.parametrize(
    ("tables", "colour"), [("RGB", True), ("BGR", False), ("CMY", False), ("www", True)]
)
def test_colours_of_imagej(tmp_path, tables, colour):
    ramp, none = np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8)
    mixes = {"R": "r", "G": "g", "B": "b", "C": "gb", "M": "rb", "Y": "rg", "w": "rgb"}
    luts = [np.stack([ramp if c in mixes[t] else none for c in "rgb"]) for t in tables]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, BRIGHT, imagej=True, metadata={"axes": "CYX", "LUTs": luts})
    if colour:
        with Slide.open(path) as slide:
            assert slide.is_rgb
    else:
        with pytest.raises(FluorescenceError):
            Slide.open(path)


def test_qptiff_names_its_dyes(tmp_path):
    path = tmp_path / "a.qptiff"
    page = (
        '<?xml version="1.0" encoding="utf-8"?><PerkinElmer-QPI-ImageDescription>'
        "<ImageType>FullResolution</ImageType><Name>{}</Name><Color>{}</Color>"
        "</PerkinElmer-QPI-ImageDescription>"
    )
    dyes = (("DAPI", "0,0,255"), ("Opal 520", "0,255,0"), ("Opal 690", "255,0,0"))
    with tifffile.TiffWriter(path) as out:
        for plane, dye in zip(BRIGHT, dyes, strict=True):
            out.write(
                plane,
                tile=(64, 64),
                description=page.format(*dye),
                software="PerkinElmer-QPI",
                metadata=None,
                photometric="minisblack",
            )
    with pytest.raises(FluorescenceError, match="DAPI, Opal 520, Opal 690"):
        Slide.open(path)
    (said, first), *rest = Slide.open_channels(path)
    assert said == ChannelInfo("DAPI", "0000FF")
    first.close()
    for _, slide in rest:
        slide.close()


def lit(kind):
    """Pictures as cameras give them, (Y, X, 3) float in 0 to 1."""
    rng = np.random.default_rng(0)
    light = np.full((120, 120, 3), 0.94) + rng.normal(0, 0.01, (120, 120, 3))
    match kind:
        case "tissue alone":
            light = light * [0.75, 0.45, 0.65]
        case "little tissue":
            light[30:40, 30:60] *= [0.6, 0.3, 0.6]
        case "glass":
            pass
        case "black around the scan":
            light[:90] = 0
        case "dense nuclei":
            light[rng.random((120, 120)) < 0.45] *= [0.3, 0.2, 0.5]
    return light.clip(0, 1)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize(
    "kind", ["tissue alone", "little tissue", "glass", "black around the scan", "dense nuclei"]
)
def test_light_through_a_slide_is_told(kind, bits):
    dtype = np.uint8 if bits == 8 else np.uint16
    assert look_lit([np.rint(lit(kind) * (2**bits - 1)).astype(dtype)])


def glow(kind):
    """Fluorescence of three dyes, (Y, X, 3) in counts of a camera."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(100, (120, 120, 3)).astype(float)
    spots = np.stack([rng.random((120, 120)) < 0.08 for _ in range(3)], -1)
    match kind:
        case "spots":
            counts[spots] = 3000
        case "noise alone":
            pass
        case "a few spots":
            counts += 500
            counts[5:7, 5:7] = 3e4
        case "spots on nothing":
            counts = spots * 3000.0
        case "one dye":
            counts[..., 2] += rng.gamma(2, 400, (120, 120))
        case "nothing":
            counts[...] = 0
    return counts


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "kind", ["spots", "a few spots", "noise alone", "spots on nothing", "one dye", "nothing"]
)
def test_dyes_without_a_word_are_told(kind, dtype):
    counts = glow(kind) / (1 if dtype == np.uint16 else 12)
    assert not look_lit([counts.clip(0, np.iinfo(dtype).max).astype(dtype)])


def test_brightfield_qptiff_is_colour(tmp_path):
    path = tmp_path / "a.qptiff"
    image = np.moveaxis(BRIGHT, 0, -1)
    text = "<PerkinElmer-QPI-ImageDescription><ImageType>FullResolution</ImageType></PerkinElmer-QPI-ImageDescription>"
    tifffile.imwrite(
        path,
        image,
        tile=(64, 64),
        photometric="rgb",
        description=text,
        software="PerkinElmer-QPI",
        metadata=None,
        resolution=(2e4, 2e4),
        resolutionunit=3,
    )
    with Slide.open(path) as slide:
        assert slide.is_rgb
        assert slide.mpp == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    "wrong",
    [
        ("</OME>", "</OM"),
        ("<Pixels ", "<Pixel "),
        ("<Channel ", "<Channel>&none;</Channel><Channel "),
        ('SizeX="130"', 'SizeX="-130"'),
        ('<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"', "<OME"),
    ],
)
def test_damaged_words_are_no_damaged_pixels(tmp_path, wrong):
    path = tmp_path / "a.ome.tif"
    write_ome(path, Name="Channel 0")
    text = tifffile.tiffcomment(path)
    assert wrong[0] in text
    tifffile.tiffcomment(path, text.replace(*wrong).encode())
    with Slide.open(path) as slide:
        assert slide.shape == (120, 130)
        assert slide.damaged == []


@pytest.mark.parametrize(
    ("name", "dye"),
    [
        *((name, True) for name in ("DAPI", "dapi 405", "Hoechst 33342", "FITC", "Cy5", "Cy 3.5")),
        *((name, True) for name in ("AF488", "Alexa Fluor 647", "eGFP", "Opal 520", "TexasRed")),
        *((name, False) for name in ("", "RGB", "TL Brightfield", "H&E", "HE 40x", "Channel 0")),
        *((name, False) for name in ("Camera 1", "Default", "slide af 12", "biopsy", "Cyan")),
    ],
)
def test_names_of_dyes(name, dye):
    assert names_dye(name) == dye


@pytest.mark.parametrize(
    ("channel", "colour"),
    [
        ('Name="DAPI"', False),
        ('Name="Camera" ContrastMethod="Fluorescence"', False),
        ('Name="Camera" Fluor="Hoechst"', False),
        ('Name="x" EmissionWavelength="461.0"', False),
        ('Name="TL Brightfield"', True),
        ('Name="scan of case 5"', True),
        ('Name="DAPI" ContrastMethod="Brightfield"', True),
        ("", True),
    ],
)
def test_red_green_and_blue_of_a_dye_are_no_stain(tmp_path, channel, colour):
    """A camera in colour, or a rendering, stores what shines as red, green and blue of each pixel."""
    path = tmp_path / "a.ome.tif"
    pixels = np.ascontiguousarray(np.moveaxis(BRIGHT, 0, -1))
    tifffile.imwrite(path, pixels, photometric="rgb", metadata={"axes": "YXS"})
    text = tifffile.tiffcomment(path)
    assert "<Channel " in text
    tifffile.tiffcomment(path, text.replace("<Channel ", f"<Channel {channel} ").encode())
    if colour:
        with Slide.open(path) as slide:
            assert slide.is_rgb
        return
    with pytest.raises(FluorescenceError, match="3 channels"):
        Slide.open(path)
    for number, (said, slide) in enumerate(Slide.open_channels(path)):
        with slide:
            assert said.colour == PRIMARIES[number]
            np.testing.assert_array_equal(slide.levels[0][:], BRIGHT[number])
