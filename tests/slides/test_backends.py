"""Every kind of content in every kind of file: what a second reader sees, or one sentence of refusal.

A content says what is to come of it; a format writes it and reads it again with another library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from slide_makers import APERIO, smooth_image

from napari_pathogan.errors import FluorescenceError, SlideFormatError
from napari_pathogan.slides.backends import tiff, tiff_planes
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Callable

HEIGHT, WIDTH = 200, 262
RGB = smooth_image(HEIGHT, WIDTH)
GREY = smooth_image(HEIGHT, WIDTH, 1)
UM = 0.25
DYES = ("DAPI", "FITC", "TRITC", "Cy5", "Cy7")


def same(raw):
    return raw


def on_white(raw):
    """Straight alpha; one channel after another, so that nothing is vectorised as in the product."""
    share = raw[..., -1] / 255
    return np.stack([raw[..., n] * share + 255 * (1 - share) for n in range(raw.shape[-1] - 1)], -1)


def stretched(raw):
    low, high = float(raw.min()), float(raw.max())
    return (raw.astype(float) - low) / (high - low) * 255


@dataclass(frozen=True)
class Content:
    """Pixels, what they mean, and what is to come of them.

    ``wanted`` makes it of what a second reader gives; text is a sentence of refusal, and "channels"
    are opened one by one.
    """

    name: str
    pixels: np.ndarray
    axes: str
    wanted: Callable[[np.ndarray], np.ndarray] | str
    photometric: str = "minisblack"
    names: tuple[str, ...] = ()
    alpha: bool = False

    @property
    def dtype(self):
        return self.pixels.dtype


def dyes(count, dtype, *, bright=False):
    """(C, Y, X) of spots on black; or as bright as a slide, which only its names give away."""
    if bright:
        return np.moveaxis(smooth_image(HEIGHT, WIDTH, count), -1, 0).astype(dtype)
    planes = np.zeros((count, HEIGHT, WIDTH), dtype)
    top = min(np.iinfo(dtype).max, 4000)
    for number in range(count):
        planes[number, 30 + 20 * number : 60 + 20 * number, 50:90] = top // (number + 1)
    return planes + 3


def interleaved(name, pixels):
    return Content(name, np.ascontiguousarray(np.moveaxis(pixels, 0, -1)), "YXS", "channels")


def channels(name, pixels, names=()):
    return Content(name, pixels, "CYX", "channels", names=names)


ALPHA = np.full(GREY.shape, 128, np.uint8)
ALPHA[:70], ALPHA[70:140] = 0, 255
PLANES = np.moveaxis(RGB, -1, 0)
COLOUR, DIM = RGB.astype(np.float32) / 255, GREY.astype(np.float32) / 255
CONTENTS = [
    Content("colour", RGB, "YXS", same, "rgb"),
    Content("colour of 16 bit", RGB.astype(np.uint16) * 257, "YXS", lambda x: x / 257, "rgb"),
    Content("colour of 12 bit", RGB.astype(np.uint16) * 16, "YXS", lambda x: x / 4095 * 255, "rgb"),
    Content("colour of 10 bit", RGB.astype(np.uint16) * 4, "YXS", lambda x: x / 1023 * 255, "rgb"),
    Content("colour from 0 to 1", COLOUR, "YXS", lambda x: x * 255, "rgb"),
    Content("colour in half floats", COLOUR.astype(np.float16), "YXS", lambda x: x * 255.0, "rgb"),
    Content("colour in floats to 255", COLOUR * 255, "YXS", same, "rgb"),
    Content("colour in floats to 65535", COLOUR.astype(float) * 65535, "YXS", stretched, "rgb"),
    Content("colour in floats from -1", COLOUR * 2 - 1, "YXS", stretched, "rgb"),
    Content("colour and alpha", np.dstack([RGB, ALPHA]), "YXS", on_white, "rgb", alpha=True),
    Content("colour in planes", PLANES, "CYX", same),
    Content("colour in planes of 16 bit", PLANES.astype(np.uint16) * 257, "CYX", lambda x: x / 257),
    Content("colour in planes of 12 bit", PLANES.astype(np.uint16) * 16, "CYX",
            lambda x: x / 4095 * 255),
    Content("colour in named planes", PLANES, "CYX", same, names=("Red", "Green", "Blue")),
    Content("colour in numbered planes", PLANES, "CYX", same,
            names=("Channel 0", "Channel 1", "Channel 2")),
    Content("colour in focus", np.stack([255 - RGB, RGB, RGB // 2]), "ZYXS", same, "rgb"),
    Content("grey", GREY, "YX", same),
    Content("grey of 16 bit", GREY.astype(np.uint16) * 250, "YX", same),
    Content("grey of 12 bit", GREY.astype(np.uint16) * 16, "YX", same),
    Content("grey in focus", np.stack([255 - GREY, GREY, GREY // 2]), "ZYX", same),
    Content("grey and alpha", np.dstack([GREY, ALPHA]), "YXS", on_white, alpha=True),
    Content("one bit", GREY > 128, "YX", lambda x: x * 255.0),
    Content("grey from 0 to 1", DIM, "YX", lambda x: x * 255),
    Content("grey in half floats", (DIM * 40).astype(np.float16), "YX", stretched),
    Content("grey in doubles", DIM.astype(np.float64) * 4110, "YX", stretched),
    Content("grey in floats around 0", DIM * 4110 - 1000, "YX", stretched),
    Content("grey in floats near 0", DIM / 1000, "YX", stretched),
    *(channels(f"{n} dyes", dyes(n, np.uint8), DYES[:n]) for n in (2, 3, 4, 5)),
    *(channels(f"{n} dyes of 16 bit", dyes(n, np.uint16), DYES[:n]) for n in (2, 3, 4, 5)),
    *(channels(f"{n} unnamed dyes", dyes(n, np.uint8)) for n in (2, 3, 4)),
    *(channels(f"{n} unnamed dyes of 16 bit", dyes(n, np.uint16)) for n in (2, 3, 4)),
    *(channels(f"{n} bright dyes", dyes(n, np.uint8, bright=True), DYES[:n]) for n in (2, 3, 4)),
    channels("3 bright planes in another order", PLANES, ("Blue", "Green", "Red")),
    channels("4 bright unnamed planes", dyes(4, np.uint8, bright=True)),
    *(interleaved(f"{n} interleaved dyes", dyes(n, np.uint16)) for n in (2, 3, 4, 5)),
    Content("signed", GREY.astype(np.int16), "YX", "int16 (samples|values of one channel)"),
    Content("32 bit", GREY.astype(np.uint32), "YX", "uint32 (samples|values of one channel)"),
    Content("300 channels", np.ones((300, HEIGHT, WIDTH), np.uint8), "CYX", "claims 300 channels"),
    Content("signed channels", dyes(3, np.int16), "CYX", "int16 samples"),
]  # fmt: skip


@dataclass(frozen=True)
class Format:
    """A kind of file: how it is written, how a second reader reads it, and what it can hold."""

    name: str
    suffix: str
    write: Callable
    second: Callable[..., np.ndarray]
    holds: Callable[[Content], bool]
    scaled: bool = True
    lossy: bool = False


def deep(content):
    return content.axes[0] == "Z"


def together(content):
    """How tifffile is told that samples that are no colour lie together."""
    apart = content.axes != "YXS" or content.photometric == "rgb"
    return {} if apart else {"planarconfig": "contig"}


def write_tiff(**options):
    """With one resolution, alpha where there is some, and a page a channel or plane of focus."""

    def write(path, content):
        alpha = {"extrasamples": ["unassalpha"]} if content.alpha else {}
        tifffile.imwrite(
            path,
            content.pixels,
            photometric=content.photometric,
            resolution=(1e4 / UM, 1e4 / UM),
            resolutionunit="CENTIMETER",
            metadata=None,
            **alpha,
            **together(content),
            **options,
        )

    return write


def write_shaped(path, content):
    options = {"photometric": content.photometric, "metadata": {"axes": content.axes}}
    options |= {"resolution": (1e4 / UM,) * 2, "resolutionunit": "CENTIMETER"}
    options |= {"extrasamples": ["unassalpha"]} if content.alpha else {}
    options |= together(content)
    tifffile.imwrite(path, content.pixels, rowsperstrip=50, compression="deflate", **options)


def write_apart(**options):
    """Each sample in a plane of its own, in one page."""

    def write(path, content):
        tifffile.imwrite(
            path,
            np.moveaxis(content.pixels, -1, 0),
            photometric=content.photometric,
            planarconfig="separate",
            resolution=(1e4 / UM, 1e4 / UM),
            resolutionunit="CENTIMETER",
            metadata=None,
            extrasamples=["unassalpha"] if content.alpha else None,
            **options,
        )

    return write


def read_apart(path, _):
    with tifffile.TiffFile(path) as file:
        return np.moveaxis(file.pages[0].asarray(), 0, -1)


def in_samples(content):
    return content.axes == "YXS" and not (content.photometric != "rgb" and content.alpha)


def write_ome(path, content):
    about = {"axes": content.axes, "PhysicalSizeX": UM, "PhysicalSizeY": UM}
    if content.names:
        about["Channel"] = {"Name": list(content.names)}
    alpha = {"extrasamples": ["unassalpha"]} if content.alpha else {}
    options = {"ome": True, "photometric": content.photometric, "metadata": about}
    options |= alpha | together(content)
    tifffile.imwrite(path, content.pixels, tile=(64, 64), compression="deflate", **options)


def write_imagej(path, content):
    about = {"axes": content.axes, "unit": "um"}
    if content.names:
        about["Labels"] = list(content.names)
    photometric, scale = content.photometric, (1 / UM, 1 / UM)
    tifffile.imwrite(
        path, content.pixels, imagej=True, photometric=photometric, resolution=scale, metadata=about
    )


def write_pyramid(path, content):
    with tifffile.TiffWriter(path) as out:
        for step in (1, 2):
            out.write(
                content.pixels[::step, ::step],
                tile=(64, 64),
                photometric=content.photometric,
                subfiletype=step - 1,
                resolution=(1e4 / UM / step,) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
            )


def write_svs(path, content):
    text = APERIO.format(w=WIDTH, h=HEIGHT, mpp=UM)
    options = {"tile": (64, 64), "photometric": "rgb", "description": text, "metadata": None}
    tifffile.imwrite(path, content.pixels, compression="jpeg", **options)


def read_tiff(path, content):
    with tifffile.TiffFile(path) as file:
        raw = file.pages[0].asarray() if content.axes in ("YX", "YXS") else file.asarray()
    return raw.reshape(content.pixels.shape)


def write_zarr(version):
    def write(path, content):
        pixels = np.moveaxis(content.pixels, -1, -3) if "S" in content.axes else content.pixels
        axes = content.axes.lower().replace("yxs", "cyx")
        group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
        chunks = (*pixels.shape[:-2], 128, 128)
        group.create_array("0", data=np.ascontiguousarray(pixels), chunks=chunks)
        space = {"type": "space", "unit": "micrometer"}
        scale = [UM if axis in "yx" else 1 for axis in axes]
        about = {
            "multiscales": [
                {
                    "version": version,
                    "axes": [{"name": axis, **(space if axis in "yx" else {})} for axis in axes],
                    "datasets": [
                        {
                            "path": "0",
                            "coordinateTransformations": [{"type": "scale", "scale": scale}],
                        }
                    ],
                }
            ]
        }
        if content.names or content.alpha:
            names = content.names or ("Red", "Green", "Blue", "alpha")
            about["omero"] = {"channels": [{"label": name} for name in names]}
        group.attrs.update(about if version == "0.4" else {"ome": {"version": version, **about}})

    return write


def read_zarr(path, content):
    raw = np.asarray(zarr.open_array(path / "0", mode="r"))
    return np.moveaxis(raw, -3, -1) if "S" in content.axes else raw


def write_pillow(**options):
    def write(path, content):
        Image.fromarray(content.pixels).save(path, **options)

    return write


def read_pillow(path, _):
    with Image.open(path) as image:
        return np.asarray(image)


def in_ome(content):
    return content.dtype != np.float16


def unnamed(content):
    """Without words for channels, bright ones are colour, and rightly so."""
    return not content.names or content.name.startswith("colour")


def in_page(content):
    """Plain TIFF of several pages does not say what they are."""
    return content.axes in ("YX", "YXS")


def in_codec(*dtypes, samples=(1, 3)):
    """Holds for compressions of images: one page of some types."""

    def holds(content):
        count = content.pixels.shape[-1] if content.axes == "YXS" else 1
        return (
            content.axes in ("YX", "YXS")
            and content.wanted != "channels"
            and content.dtype in dtypes
            and count in samples
        )

    return holds


def in_imagej(content):
    if content.name.endswith("interleaved dyes"):
        return False
    known = content.dtype in (np.uint8, np.uint16, np.float32, np.int16)
    return known and not content.alpha and not (content.axes == "YXS" and content.dtype != np.uint8)


def in_zarr(content):
    grey_alpha = content.alpha and content.pixels.shape[-1] == 2
    return content.dtype not in (np.float16, bool) and not grey_alpha


def in_png(content):
    simple = content.axes in ("YX", "YXS") and content.dtype == np.uint8
    return simple or (content.axes == "YX" and content.dtype in (np.uint16, bool))


def tiff_format(name, holds=in_page, *, lossy=False, **options):
    return Format(name, "tif", write_tiff(**options), read_tiff, holds, lossy=lossy)


BYTES = (np.dtype(np.uint8),)
INTEGERS = (np.dtype(np.uint8), np.dtype(np.uint16))
TILES = {"tile": (64, 64)}
FORMATS = [
    tiff_format("tiles", in_page, **TILES, compression="deflate"),
    tiff_format("tiles with predictor", in_codec(*INTEGERS, np.float32), **TILES,
                compression="zstd", predictor=True),
    tiff_format("big-endian BigTIFF", in_page, **TILES, compression="lzw", byteorder=">",
                bigtiff=True),
    tiff_format("short strips", in_page, rowsperstrip=7, compression="lzw"),
    tiff_format("packed strips", in_page, rowsperstrip=64, compression="packbits"),
    tiff_format("strips as they are", in_page, rowsperstrip=50),
    tiff_format("one strip as it is", in_page, rowsperstrip=HEIGHT),
    tiff_format("big-endian strip as it is", in_page, rowsperstrip=HEIGHT, byteorder=">"),
    tiff_format("JPEG tiles", in_codec(*BYTES), **TILES, compression="jpeg"),
    tiff_format("JPEG 2000 tiles", in_codec(*INTEGERS), **TILES, compression="jpeg2000"),
    tiff_format("Aperio's JPEG 2000 tiles", in_codec(*BYTES), **TILES, compression=33005),
    tiff_format("JPEG XL tiles", in_codec(*INTEGERS), **TILES, compression="jpegxl"),
    tiff_format("WebP tiles", in_codec(*BYTES, samples=(3, 4)), **TILES, compression="webp"),
    *(Format(f"samples apart {n}", "tif", write_apart(**options), read_apart, in_samples)
      for n, options in enumerate((
          {**TILES, "compression": "deflate"},
          {"rowsperstrip": 7, "compression": "lzw", "byteorder": ">"},
          {"rowsperstrip": 50},
          {"rowsperstrip": HEIGHT},
          {"rowsperstrip": HEIGHT, "byteorder": ">"},
      ))),
    Format("TIFF by tifffile", "tif", write_shaped, read_tiff, unnamed),
    Format("OME-TIFF", "ome.tif", write_ome, read_tiff, in_ome),
    Format("ImageJ", "tif", write_imagej, read_tiff, in_imagej),
    Format("pyramid", "tif", write_pyramid, read_tiff, in_codec(*INTEGERS)),
    Format("SVS", "svs", write_svs, read_tiff, in_codec(*BYTES, samples=(3,))),
    Format("OME-Zarr 0.4", "ome.zarr", write_zarr("0.4"), read_zarr, in_zarr),
    Format("OME-Zarr 0.5", "ome.zarr", write_zarr("0.5"), read_zarr, in_zarr),
    Format("PNG", "png", write_pillow(dpi=(25400 / UM,) * 2), read_pillow, in_png),
    Format("JPEG", "jpg", write_pillow(quality=95), read_pillow, in_codec(*BYTES), scaled=False),
    Format("BMP", "bmp", write_pillow(), read_pillow, in_codec(*BYTES), scaled=False),
    Format("PGM", "pgm", write_pillow(), read_pillow, in_codec(*INTEGERS, samples=(1,)),
           scaled=False),
]  # fmt: skip
PAIRS = [
    pytest.param((content, kind), id=f"{content.name} - {kind.name}")
    for kind in FORMATS
    for content in CONTENTS
    if kind.holds(content)
]


@pytest.fixture(params=PAIRS)
def case(request, tmp_path, monkeypatch):
    """A content, the format, and the file that holds it."""
    content, kind = request.param
    for module in (tiff, tiff_planes):
        monkeypatch.setattr(module, "RAW_TILE", 64)  # so small a file is read in parts too
    path = tmp_path / f"a.{kind.suffix}"
    kind.write(path, content)
    return content, kind, path


def test_what_a_second_reader_sees_or_a_sentence(case):
    content, kind, path = case
    if content.wanted == "channels":
        compare_channels(content, kind, path)
    elif isinstance(content.wanted, str):
        with pytest.raises(SlideFormatError, match=content.wanted) as refused:
            Slide.open(path)
        assert path.name in str(refused.value)
        assert "\n" not in str(refused.value)
    else:
        compare(content, kind, path)


def compare(content, kind, path):
    raw = kind.second(path, content)
    if deep(content):
        raw = raw[1]  # the middle plane
    if content.axes == "CYX":
        raw = np.moveaxis(raw, 0, -1)
    wanted = content.wanted(raw)
    if wanted.ndim == 3 and wanted.shape[-1] == 1:
        wanted = wanted[..., 0]
    with Slide.open(path) as slide:
        found = slide.read(Region(0, 0, *slide.shape))
        assert np.array_equal(slide.levels[0][:], found)
        assert slide.damaged == []
        assert slide.is_rgb == (wanted.ndim == 3)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted.astype(float)).max() <= 0.51
        if kind.scaled:
            assert slide.mpp == pytest.approx((UM, UM), rel=1e-3)
        assert deep(content) == any("plane 2 of 3 (Z)" in choice for choice in slide.notes)


def compare_channels(content, kind, path):
    count = content.pixels.shape[content.axes.index("C" if "C" in content.axes else "S")]
    with pytest.raises(FluorescenceError, match=rf"{count} channels.*fluorescence") as refused:
        Slide.open(path)
    message = str(refused.value)
    assert path.name in message
    assert "\n" not in message
    assert all(name in message for name in content.names)
    raw = kind.second(path, content)
    raw = raw if content.axes == "CYX" else np.moveaxis(raw, -1, 0)
    opened = Slide.open_channels(path)
    assert len(opened) == count
    for number, (said, slide) in enumerate(opened):
        assert np.array_equal(slide.read(Region(0, 0, *slide.shape)), raw[number])
        assert slide.mpp == pytest.approx((UM, UM), rel=1e-3)
        assert said.name == (content.names[number] if content.names else "")
        slide.close()


@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
@pytest.mark.parametrize(
    "kind", [one for one in FORMATS if one.suffix != "ome.zarr"], ids=lambda x: x.name
)
def test_what_is_cut_off_is_told(tmp_path, kind, share):
    """By a refusal, or beside what can still be read; never by blank pixels alone."""
    content = next(one for one in CONTENTS if kind.holds(one))
    path = tmp_path / f"a.{kind.suffix}"
    kind.write(path, content)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    told = ""
    try:
        with Slide.open(path) as slide:
            found = slide.read(Region(0, 0, *slide.shape))
            lost = np.abs(found - content.wanted(content.pixels).astype(float)).max() > 30
            told = slide.damaged[0] if slide.damaged else ""
    except SlideFormatError as error:
        lost, told = True, str(error)
    assert path.name in told or not lost
    assert "\n" not in told
