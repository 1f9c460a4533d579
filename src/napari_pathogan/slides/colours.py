"""The colour rule: whatever a file holds comes out as uint8 RGB or as grey, decided in one place.

======================  ==========================================================================
In the file             What comes out
======================  ==========================================================================
RGB, 8 bit              as it is
RGBA, grey + alpha      composited on white, where the file says that the last one is alpha
palette                 its colours, 16-bit colour maps divided by 257
RGB, 16 bit             divided by its true maximum over 255: 2^bits - 1 where the file states the
                        significant bits (BitsPerSample, MaxSampleValue, OME's SignificantBits), else
                        of the fewest of 8, 10, 12, 14, 16 bits that hold what the coarsest level holds
YCbCr                   JPEG and JPEG 2000 as the codec says; other compressions by ITU-R BT.601
grey, 8 bit             grey uint8
grey, 9 to 16 bit       grey uint16, values untouched (mammograms are windowed by whoever shows them)
grey, white is zero     inverted, so that black is 0
1 bit                   grey 0 and 255
float                   0 to 1 or 0 to 255 where the coarsest level holds nothing beyond (and, if grey,
                        fills half of it); else its own least and greatest value become 0 and 255.
                        NaN and infinity become 0, or white in colour: glass is where nothing is
separate channels       three are red, green and blue where the file names no others, and the picture
                        is light that went through a slide (see `channels`); else each is grey
anything else           SlideFormatError: signed or 32-bit integers, CMYK
======================  ==========================================================================

An embedded RGB ICC profile is then applied: to sRGB, with the profile's own rendering intent. A
profile that is sRGB within 2 of 255 is skipped.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageCms

from napari_pathogan.errors import SlideFormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_pathogan.slides.plane import Plane

Kind = Literal["rgb", "grey", "palette", "ycbcr"]
Alpha = Literal["straight", "premultiplied"]

_SRGB_TOLERANCE = 2
_HOT, _TOLD = 100, 50_000  # times; values of a tile that tell
_DEPTHS = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
_FULL = _DEPTHS[-1]
_SAMPLED = 64  # tiles that stand for a level


@dataclass(frozen=True, slots=True)
class Colours:
    """How one file's samples become RGB or grey.

    Attributes
    ----------
    kind
        What the samples are.
    samples
        Samples per pixel in the file, alpha included.
    dtype
        Of the file's samples.
    maximum
        Sample value of full intensity.
    minimum
        Sample value of no intensity.
    alpha
        None, or "straight" or "premultiplied".
    inverted
        Whether 0 is white.
    palette
        (N, 3) uint8, for kind "palette".
    """

    kind: Kind
    samples: int
    dtype: np.dtype
    maximum: float = 255
    alpha: Alpha | None = None
    inverted: bool = False
    palette: np.ndarray | None = None
    minimum: float = 0

    @property
    def is_rgb(self) -> bool:
        """Whether the result is (Y, X, 3) uint8; else it is (Y, X)."""
        return self.kind != "grey"

    @property
    def out_dtype(self) -> np.dtype:
        """uint8, or uint16 for grey of more than 8 bits."""
        deep = self.kind == "grey" and self.dtype == np.uint16 and self.alpha is None
        return np.dtype(np.uint16 if deep else np.uint8)

    @property
    def rule(self) -> str:
        """What is done, in words, for the metadata."""
        steps = [f"{self.kind} {self.dtype}"]
        if self.alpha:
            steps.append(f"{self.alpha} alpha composited on white")
        if self.inverted:
            steps.append("inverted (white is zero)")
        if self.out_dtype == np.uint8 and (self.minimum, self.maximum) != (0, 255):
            steps.append(f"{self.minimum:g} to {self.maximum:g} scaled to 0 to 255")
        steps.append("kept" if len(steps) == 1 else f"{self.out_dtype}")
        return ", ".join(steps)

    def apply(self, tile: np.ndarray) -> np.ndarray:
        """Convert a tile (Y, X, samples) as decoded; (Y, X, 3) uint8 or (Y, X)."""
        if self.kind == "palette":
            assert self.palette is not None
            return self.palette[np.minimum(tile[..., 0], len(self.palette) - 1)]
        colour = 1 if self.kind == "grey" else 3
        pixels = tile[..., :colour]
        if self.alpha:
            pixels = self._composite(pixels, tile[..., colour : colour + 1])
        elif self.out_dtype == np.uint8:
            pixels = _to_uint8(pixels, self.maximum, self.minimum, 255.0 * self.is_rgb)
        if self.kind == "ycbcr":
            pixels = _from_ycbcr(pixels)
        pixels = pixels.astype(self.out_dtype, copy=False)
        if self.inverted:
            pixels = np.iinfo(pixels.dtype).max - pixels
        return np.ascontiguousarray(pixels if self.is_rgb else pixels[..., 0])

    def _composite(self, pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        span = self.maximum - self.minimum
        share = (alpha.astype(np.float32) - np.float32(self.minimum)) / np.float32(span)
        light = (pixels.astype(np.float32) - np.float32(self.minimum)) * np.float32(255 / span)
        if self.alpha == "straight":
            light = light * share
        with np.errstate(invalid="ignore"):  # infinity less infinity: no number
            shown = light + 255 * (1 - share)
        return _to_uint8(shown, 255, 0, 255.0 * self.is_rgb)


def choose(
    name: str,
    dtype: np.dtype,
    samples: int,
    *,
    kind: Kind | None = None,
    bits: int | None = None,
    alpha: Alpha | None = None,
    inverted: bool = False,
    palette: np.ndarray | None = None,
) -> Colours:
    """Decide the rule for a file; see the table at the top of this module.

    Parameters
    ----------
    name
        Of the file, for the message.
    kind
        What the file says it is; None guesses from the number of samples.
    bits
        Significant bits of a sample, where the file says.

    Raises
    ------
    SlideFormatError
        If the samples are none that a slide or mammogram has.
    """
    dtype = dtype.newbyteorder("=")
    colour = samples - 1 if alpha else samples
    kind = kind or ("rgb" if colour == 3 else "grey")
    if colour not in (1, 3) or (kind in ("rgb", "ycbcr") and colour != 3):
        raise SlideFormatError(
            f"{name} has {samples} channels and does not say that one is alpha, so it is neither RGB "
            "nor grey (fluorescence?); save the channel you want, or an RGB rendering, as its own file"
        )
    if dtype == np.bool_:
        maximum = 1.0
    elif dtype in (np.uint8, np.uint16):
        maximum = float(2 ** min(bits or dtype.itemsize * 8, dtype.itemsize * 8) - 1)
    elif dtype.kind == "f":
        maximum = 1.0
    else:
        raise SlideFormatError(
            f"{name} holds {dtype} samples; slides and mammograms have 1 to 16 bits without sign. "
            "Convert it to 8 or 16 bit first"
        )
    return Colours(kind, samples, dtype, maximum, alpha, inverted, palette)


def settle_range(colours: Colours, planes: Sequence[Plane]) -> Colours:
    """Which values are black and white, where only the pixels can say: floats, and RGB of over 8 bit.

    Floats are 0 to 1 or 0 to 255 where they can be, else their own range; a slide of 16 bit in
    colour is of fewer bits where it holds no more. Of a large level 64 tiles stand for all, and the
    coarsest that can be read for the others (``planes``, finest first).
    """
    deep = colours.kind in ("rgb", "ycbcr") and colours.maximum == _FULL
    if not deep and colours.dtype.kind != "f":
        return colours
    low, high = _range(sampled_tiles(planes))
    if deep:
        return replace(colours, maximum=next(top for top in _DEPTHS if high <= top))
    for top in (1.0, 255.0):
        fills = colours.is_rgb or high >= top / 2
        if low >= 0 and fills and high <= top + 1e-6:
            return replace(colours, maximum=top)
    return replace(colours, minimum=low, maximum=high if high > low else low + 1)


def nowhere_seen(colours: Colours, planes: Sequence[Plane]) -> bool:
    """Whether a file says that every pixel is transparent, and yet has something in its colours."""
    if colours.alpha != "straight":
        return False
    tiles = sampled_tiles(planes)
    clear = all((tile[..., -1] == colours.minimum).all() for tile in tiles)
    return clear and any(np.ptp(tile[..., :-1]) > 0 for tile in tiles)


def valueless(colours: Colours, planes: Sequence[Plane]) -> float:
    """The share of pixels of floats that are no number, or infinite, in tiles that stand for all."""
    if colours.dtype.kind != "f":
        return 0.0
    tiles = sampled_tiles(planes)
    whole = sum(tile.shape[0] * tile.shape[1] for tile in tiles)
    return sum(without_value(tile) for tile in tiles) / max(1, whole)


def without_value(tile: np.ndarray) -> int:
    """How many pixels of a tile (Y, X, samples) have a sample that is no number, or infinite."""
    return int((~np.isfinite(tile)).any(-1).sum())


def sampled_tiles(planes: Sequence[Plane]) -> list[np.ndarray]:
    """Up to 64 tiles as decoded, of the coarsest level (finest first) that has some to read."""
    return next((tiles for plane in reversed(planes) if (tiles := list(_spread(plane)))), [])


def _spread(plane: Plane) -> Iterator[np.ndarray]:
    """Tiles evenly spread over a level; those that can't be read are left out."""
    rows, cols = (math.ceil(s / t) for s, t in zip(plane.shape, plane.tile, strict=True))
    for index in np.unique(np.linspace(0, rows * cols - 1, _SAMPLED).astype(int)):
        row, col = divmod(int(index), cols)
        try:
            tile = plane.decode(row, col)
        except Exception:  # noqa: BLE001, S112 - codecs have no common error; told when it is shown
            continue
        if tile is not None:  # what a tile has beyond the edges is no pixel of the image
            yield tile[
                : plane.shape[0] - row * plane.tile[0], : plane.shape[1] - col * plane.tile[1]
            ]


def telling_tiles(name: str, planes: Sequence[Plane]) -> list[np.ndarray]:
    """The same, where what a file holds has to be told by them.

    Raises
    ------
    SlideFormatError
        If none of them can be read.
    """
    tiles = sampled_tiles(planes)
    if not tiles:
        raise SlideFormatError(
            f"{name} is damaged: none of its pixels can be read; copy it again from where it came"
        )
    return tiles


def _range(tiles: Sequence[np.ndarray]) -> tuple[float, float]:
    """The least and the greatest finite value but for hot pixels; 0 and 1 where there is none.

    A greatest value is a hot pixel's if it lies a hundred times as far up as 99.9 % of them.
    """
    finite = [values for tile in tiles if (values := tile[np.isfinite(tile)]).size]
    if not finite:
        return 0.0, 1.0
    low, high = float(min(v.min() for v in finite)), float(max(v.max() for v in finite))
    every = np.concatenate([v[:: max(1, v.size // _TOLD)] for v in finite])
    most = float(np.quantile(every, 0.999))
    return low, most if most > low and high - low > _HOT * (most - low) else high


def _to_uint8(
    pixels: np.ndarray, maximum: float, minimum: float = 0, nothing: float = 0
) -> np.ndarray:
    """Between two values, with ``nothing`` for what is no number."""
    if pixels.dtype == np.uint8 and (minimum, maximum) == (0, 255):
        return pixels
    light = pixels.astype(np.promote_types(pixels.dtype, np.float32))
    scaled = np.nan_to_num(
        (light - minimum) * (255 / (maximum - minimum)), nan=nothing, posinf=nothing, neginf=nothing
    )
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _from_ycbcr(pixels: np.ndarray) -> np.ndarray:
    y, cb, cr = np.moveaxis(pixels.astype(np.float32), -1, 0)
    cb, cr = cb - 128, cr - 128
    rgb = (y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb)
    return _to_uint8(np.stack(rgb, -1), 255)


def icc_to_srgb(profile: bytes) -> tuple[str, Callable[[np.ndarray], np.ndarray] | None]:
    """Name of an embedded profile, and the function that takes RGB tiles to sRGB.

    Returns
    -------
    name
        Of the profile, with the reason where it is not applied.
    convert
        (Y, X, 3) uint8 to the same, thread-safe; None where there is nothing to apply.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(source).strip() or "unnamed"
        if source.profile.xcolor_space.strip() != "RGB":
            return f"{name} (not an RGB profile, not applied)", None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            renderingIntent=ImageCms.Intent(ImageCms.getDefaultIntent(source)),
            # lcms shares a one-pixel cache between threads unless told not to
            flags=ImageCms.Flags.NOCACHE,
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        return f"unreadable ({error}), not applied", None

    def convert(tile: np.ndarray) -> np.ndarray:
        image = ImageCms.applyTransform(Image.fromarray(tile), transform)
        assert image is not None
        return np.asarray(image)

    axis = np.linspace(0, 255, 9, dtype=np.uint8)
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(27, 27, 3)
    shift = np.abs(convert(cube).astype(int) - cube).max()
    if shift <= _SRGB_TOLERANCE:
        return f"{name} (is sRGB, nothing to do)", None
    return name, convert
