"""The colour rule, file by file, and ICC profiles."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from slide_makers import smooth_image

from napari_pathogan.errors import FluorescenceError, SlideFormatError
from napari_pathogan.slides import colours
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

RGB = smooth_image(300, 280)
GREY = smooth_image(300, 280, 1)


def opened(path, **options):
    with Slide.open(path, **options) as slide:
        return slide.read(Region(0, 0, *slide.shape)), slide


def tiff(tmp_path, pixels, **options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, metadata=None, **options)
    return path


def test_rgb_of_12_bits_uses_its_own_range(tmp_path):
    deep = np.rint(RGB / 255 * 4095).astype(np.uint16)
    path = tiff(tmp_path, deep, photometric="rgb", extratags=[(281, 3, 3, (4095,) * 3, True)])
    pixels, _ = opened(path)
    assert np.abs(pixels.astype(int) - RGB).max() <= 1


def test_premultiplied_alpha(tmp_path):
    alpha = np.full(RGB.shape[:2], 100, np.uint8)
    dimmed = np.rint(RGB * (100 / 255)).astype(np.uint8)
    path = tiff(
        tmp_path, np.dstack([dimmed, alpha]), photometric="rgb", extrasamples=["assocalpha"]
    )
    pixels, _ = opened(path)
    assert np.abs(pixels - (dimmed + 155.0)).max() <= 1


def test_an_unspecified_fourth_channel_is_left_out(tmp_path):
    other = np.zeros(RGB.shape[:2], np.uint8)
    path = tiff(tmp_path, np.dstack([RGB, other]), photometric="rgb", extrasamples=["unspecified"])
    assert np.array_equal(opened(path)[0], RGB)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_four_dyes_stored_as_rgb_and_an_unspecified_sample_are_no_colours(tmp_path, planar):
    dyes = np.random.default_rng(0).integers(0, 12, (4, 64, 64), np.uint8)
    for number, dye in enumerate(dyes):
        dye[8 + 12 * number : 20 + 12 * number, 8:20] = 230
    pixels = dyes if planar == "separate" else np.moveaxis(dyes, 0, -1)
    path = tiff(
        tmp_path, pixels, photometric="rgb", planarconfig=planar, extrasamples=["unspecified"]
    )
    with pytest.raises(FluorescenceError, match="4 channels"):
        opened(path)
    shown = [one for _, one in Slide.open_channels(path)]
    assert len(shown) == 4
    np.testing.assert_array_equal(shown[3].read(Region(0, 0, 64, 64)), dyes[3])


@pytest.mark.parametrize("kind", ["tif", "png", "gif"])
def test_palette_is_expanded(tmp_path, kind):
    quantised = Image.fromarray(RGB).quantize(64)
    wanted = np.asarray(quantised.convert("RGB"))
    path = tmp_path / f"a.{kind}"
    if kind == "tif":
        table = np.zeros((256, 3), np.uint16)
        flat = np.array(quantised.getpalette(), np.uint16).reshape(-1, 3) * 257
        table[: len(flat)] = flat
        path = tiff(tmp_path, np.asarray(quantised), photometric="palette", colormap=table.T)
    else:
        quantised.save(path)
    assert np.array_equal(opened(path)[0], wanted)


def test_white_is_zero_is_inverted(tmp_path):
    pixels, _ = opened(tiff(tmp_path, GREY, photometric="miniswhite"))
    assert np.array_equal(pixels, 255 - GREY)


@pytest.mark.parametrize(("top", "factor"), [(1.0, 255.0), (255.0, 1.0)])
def test_floats(top, factor):
    values = (RGB / 255 * top).astype(np.float32)
    values[0, 0] = np.nan
    with Slide.from_arrays([values], name="a") as slide:
        pixels = slide.read(Region(0, 0, 300, 280))
    assert tuple(pixels[0, 0]) == (255, 255, 255)
    assert np.abs(pixels[1:] - values[1:] * factor).max() <= 0.51


def test_ycbcr_without_jpeg(tmp_path):
    ycbcr = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
    path = tiff(tmp_path, ycbcr, photometric="ycbcr", subsampling=(1, 1))
    assert np.abs(opened(path)[0].astype(int) - RGB).max() <= 3  # rounded twice


def test_cmyk_jpeg_is_converted(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(RGB).convert("CMYK").save(path, quality=97)
    assert opened(path)[0].shape == RGB.shape


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize(
    ("orientation", "told"), [(1, ""), (3, "180"), (6, "90 degrees clockwise"), (9, "")]
)
def test_exif_orientation_is_told_of_and_coordinates_are_those_of_other_programs(
    tmp_path, ending, orientation, told
):
    """Java's readers, and so QuPath, and napari's own show what is stored."""
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a.{ending}"
    Image.fromarray(RGB).save(path, exif=exif, quality=100)
    with Slide.open(path) as slide:
        assert slide.shape == RGB.shape[:2]
        off = np.abs(slide.read(Region(0, 0, *RGB.shape[:2])).astype(int) - RGB)
        assert off.mean() < 5
        assert told in "".join(slide.notes)
        assert len(slide.notes) == bool(told)


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("damage", ["cut", "no TIFF", "count"])
def test_damaged_exif_is_no_damage_of_the_image(tmp_path, ending, damage, recwarn):
    exif = Image.Exif()
    exif[274], exif[271] = 6, "maker"
    data = exif.tobytes()  # Exif, two zeros, and a TIFF from byte 6 on
    data = {
        "cut": data[:18],
        "no TIFF": data[:6] + b"XX" + data[8:],
        "count": data[:14] + b"\xff\xff" + data[16:],
    }[damage]
    path = tmp_path / f"a.{ending}"
    Image.fromarray(RGB).save(path, exif=data, quality=100)
    assert opened(path)[0].shape == RGB.shape
    assert not [one for one in recwarn if "PIL" in str(one.filename)]


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_that_is_transparent_everywhere_is_shown_in_its_colours(
    tmp_path, ending, channels
):
    """Some programs leave alpha at 0: all of it would be glass."""
    path = tmp_path / f"a.{ending}"
    pixels = np.dstack([RGB[..., :channels], np.zeros(RGB.shape[:2], np.uint8)])
    if ending == "png":
        Image.fromarray(pixels).save(path)
    else:
        kind = {1: "minisblack", 3: "rgb"}[channels]
        tifffile.imwrite(path, pixels, photometric=kind, extrasamples=["unassalpha"])
    with Slide.open(path) as slide:
        shown = slide.read(Region(0, 0, *RGB.shape[:2]))
        np.testing.assert_array_equal(shown, RGB if channels == 3 else RGB[..., 0])
        assert ["every pixel that it is transparent" in note for note in slide.notes] == [True]


def test_separated_inks_are_refused(tmp_path):
    path = tiff(tmp_path, np.zeros((64, 64, 4), np.uint8), photometric="separated")
    with pytest.raises(SlideFormatError, match="SEPARATED colours"):
        Slide.open(path)


def swapped_profile() -> bytes:
    """An RGB profile far from sRGB: red and green primaries exchanged."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = made.index(b"rXYZ"), made.index(b"gXYZ")
    made[red : red + 4], made[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(made)


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("kind", ["tif", "png"])
def test_icc_profile_is_applied_or_not(tmp_path, kind):
    profile = swapped_profile()
    path = tmp_path / "a.png"
    if kind == "tif":
        path = tiff(tmp_path, RGB, photometric="rgb", tile=(128, 128), iccprofile=profile)
    else:
        Image.fromarray(RGB).save(path, icc_profile=profile)
    pixels, slide = opened(path)
    wanted = ImageCms.profileToProfile(
        Image.fromarray(RGB),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
    )
    assert slide.metadata["icc_applied"] is True
    assert np.abs(pixels.astype(int) - np.asarray(wanted)).max() <= 1
    assert np.abs(pixels[..., 0].astype(int) - RGB[..., 1]).mean() < 3  # green became red
    raw, slide = opened(path, icc=False)
    assert np.array_equal(raw, RGB)
    assert slide.metadata["icc_applied"] is False


def test_an_srgb_profile_is_skipped(tmp_path):
    path = tiff(tmp_path, RGB, photometric="rgb", iccprofile=srgb_profile())
    pixels, slide = opened(path)
    assert np.array_equal(pixels, RGB)
    assert "nothing to do" in slide.metadata["icc"]


def test_a_broken_profile_is_named_not_applied(tmp_path):
    path = tiff(tmp_path, RGB, photometric="rgb", iccprofile=b"no profile at all")
    pixels, slide = opened(path)
    assert np.array_equal(pixels, RGB)
    assert "unreadable" in slide.metadata["icc"]


@pytest.mark.parametrize("samples", [1, 3, 4])
def test_what_is_no_number_is_glass_in_colour(tmp_path, samples):
    pixels = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])[..., :samples] / np.float32(
        255
    )
    pixels[:100] = np.nan
    pixels[100:110] = np.inf
    kind = "minisblack" if samples == 1 else "rgb"
    extra = ["unassalpha"] if samples == 4 else None
    read, _ = opened(tiff(tmp_path, pixels.squeeze(), photometric=kind, extrasamples=extra))
    assert (read[:110] == (0 if samples == 1 else 255)).all()
    np.testing.assert_array_equal(read[110:], RGB[110:, :, 0] if samples == 1 else RGB[110:])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("samples", [1, 3])
def test_floats_without_any_value_are_no_picture(tmp_path, value, samples):
    pixels = np.full((300, 280, samples), value, np.float32).squeeze()
    path = tiff(tmp_path, pixels, photometric="rgb" if samples == 3 else "minisblack")
    with pytest.raises(SlideFormatError, match="none of its pixels has a value"):
        opened(path)
    with pytest.raises(SlideFormatError, match="none of its pixels has a value"):
        Slide.from_arrays([pixels], name="a")


def test_how_much_of_floats_has_no_value_is_said(tmp_path):
    pixels = RGB / np.float32(255)
    pixels[:75] = np.nan
    with Slide.open(tiff(tmp_path, pixels, photometric="rgb", tile=(64, 64))) as slide:
        assert "about 25 % of its pixels have no value" in slide.notes[0]
        slide.read(Region(0, 0, *slide.shape))
        assert f"{75 * 280:,} px of level 0" in slide.notes[0]
    with Slide.from_arrays([pixels[75:]], name="a") as slide:
        slide.read(Region(0, 0, *slide.shape))
        assert slide.notes == []


def test_few_pixels_without_a_value_are_said_when_they_are_met(tmp_path):
    pixels = np.tile(RGB / np.float32(255), (12, 12, 1))
    pixels[70, 200] = np.nan
    with Slide.open(tiff(tmp_path, pixels, photometric="rgb", tile=(64, 64))) as slide:
        assert slide.notes == []
        slide.read(Region(64, 192, 64, 64))
        assert "1 px of level 0" in slide.notes[0]


def test_settling_the_range_of_floats_looks_at_tiles():
    class Plane:
        shape, tile = (4, 4), (2, 2)

        def decode(self, row, col):
            return np.full((2, 2, 1), 2.0 if (row, col) == (1, 1) else 0.5)

    for samples, wanted in ((3, (0, 255)), (1, (0.5, 2.0))):  # a dim colour image stays dim
        rule = colours.choose("a", np.dtype(np.float32), samples)
        settled = colours.settle_range(rule, [Plane()])
        assert (settled.minimum, settled.maximum) == wanted


@pytest.mark.parametrize("hot", [False, True])
@pytest.mark.parametrize(("kind", "scale"), [("uint16", 1), ("float32", 1 / 255), ("float32", 1)])
def test_bytes_in_wider_samples_are_the_same_slide(tmp_path, kind, scale, hot):
    """A camera's hot pixel does not set the range of all others."""
    pixels = np.random.default_rng(0).integers(60, 256, (512, 512, 3)).astype(np.uint8)
    wide = (pixels * scale).astype(kind)
    if hot:
        wide[3, 3] = 65535 if kind == "uint16" else 1e30
    tifffile.imwrite(tmp_path / "wide.tif", wide, photometric="rgb", tile=(256, 256))
    with Slide.open(tmp_path / "wide.tif", mpp=0.25) as slide:
        seen = slide.levels[0][:].copy()
    seen[3, 3] = pixels[3, 3]
    np.testing.assert_array_equal(seen, pixels)
