"""The colour rule: whatever a file holds comes out as uint8 RGB or as grey, decided in one place.

======================  ==========================================================================
In the file             What comes out
======================  ==========================================================================
RGB, 8 bit              as it is
RGBA, grey + alpha      composited on white (unassociated alpha; premultiplied where the file says)
palette                 its colours, 16-bit colour maps divided by 257
RGB, 16 bit             divided by its true maximum over 255: 2^bits - 1 where the file states the
                        significant bits (BitsPerSample, MaxSampleValue), else 65535 (that is / 257)
YCbCr                   JPEG and JPEG 2000 as the codec says; other compressions by ITU-R BT.601
grey, 8 bit             grey uint8
grey, 9 to 16 bit       grey uint16, values untouched (mammograms are windowed by whoever shows them)
grey, white is zero     inverted, so that black is 0
1 bit                   grey 0 and 255
float                   0 to 1 becomes 0 to 255 where the coarsest level holds nothing above 1, else
                        the values are taken as 0 to 255 and clipped; NaN becomes 0
three 8-bit channels    taken as red, green, blue unless the file names other colours
anything else           SlideFormatError: fluorescence channels, signed or 32-bit integers, CMYK
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
    from collections.abc import Callable

    from napari_pathogan.slides.source import Plane

Kind = Literal["rgb", "grey", "palette", "ycbcr"]

_SRGB_TOLERANCE = 2


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
    alpha: Literal["straight", "premultiplied"] | None = None
    inverted: bool = False
    palette: np.ndarray | None = None

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
        if self.out_dtype == np.uint8 and self.maximum != 255:
            steps.append(f"0 to {self.maximum:g} scaled to 0 to 255")
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
            pixels = _to_uint8(pixels, self.maximum)
        if self.kind == "ycbcr":
            pixels = _from_ycbcr(pixels)
        pixels = pixels.astype(self.out_dtype, copy=False)
        if self.inverted:
            pixels = np.iinfo(pixels.dtype).max - pixels
        return np.ascontiguousarray(pixels if self.is_rgb else pixels[..., 0])

    def _composite(self, pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        share = alpha.astype(np.float32) / np.float32(self.maximum)
        light = pixels.astype(np.float32) * np.float32(255 / self.maximum)
        if self.alpha == "straight":
            light = light * share
        return _to_uint8(light + 255 * (1 - share), 255)


def choose(
    name: str,
    dtype: np.dtype,
    samples: int,
    *,
    kind: Kind | None = None,
    bits: int | None = None,
    alpha: Literal["straight", "premultiplied"] | None = None,
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
    colour = samples - 1 if alpha or (kind is None and samples in (2, 4)) else samples
    kind = kind or ("rgb" if colour == 3 else "grey")
    if colour not in (1, 3) or (kind in ("rgb", "ycbcr") and colour != 3):
        raise SlideFormatError(
            f"{name} has {samples} channels, so it is neither RGB nor grey (fluorescence?); "
            "save the channel you want, or an RGB rendering, as its own file"
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
    if colour < samples and alpha is None:
        alpha = "straight"
    return Colours(kind, samples, dtype, maximum, alpha, inverted, palette)


def settle_float_range(colours: Colours, coarsest: Plane) -> Colours:
    """For float samples: 0 to 1, or 0 to 255 where the coarsest level holds more than 1.

    Of a large level 64 tiles, evenly spread, stand for all.
    """
    rows, cols = (math.ceil(s / t) for s, t in zip(coarsest.shape, coarsest.tile, strict=True))
    for index in np.unique(np.linspace(0, rows * cols - 1, 64).astype(int)):
        tile = coarsest.decode(*divmod(int(index), cols))
        if tile is not None and np.any(tile > 1.0 + 1e-6):
            return replace(colours, maximum=255.0)
    return colours


def _to_uint8(pixels: np.ndarray, maximum: float) -> np.ndarray:
    if pixels.dtype == np.uint8 and maximum == 255:
        return pixels
    light = np.nan_to_num(pixels.astype(np.float32), nan=0.0) * np.float32(255 / maximum)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


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
