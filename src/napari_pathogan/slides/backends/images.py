"""PNG, JPEG and other single images, through Pillow."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from napari_pathogan.errors import PathoganError, SlideFormatError
from napari_pathogan.slides import bounds, colours, resolution
from napari_pathogan.slides.arrays import ArrayPlane
from napari_pathogan.slides.backends.quiet import quiet
from napari_pathogan.slides.backends.turned import ORIENTATION, turned
from napari_pathogan.slides.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.slides.backends.remote import RemoteFile

MAX_PIXELS = 400_000_000
"""Such files are decoded whole; beyond this many pixels they must be converted."""

_DEEP_GREY = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def open_image(path: Path, distant: RemoteFile | None = None) -> Source:
    """Open a single image, or that at an address; it is decoded whole, up to ``MAX_PIXELS``.

    Raises
    ------
    SlideFormatError
        If it is broken, or too large to be held in memory.
    """
    try:
        # by name, it may be mapped
        size = path.stat().st_size if distant is None else distant.size
        if distant is not None and size > bounds.MOST_AT_ONCE:
            raise SlideFormatError(
                f"{path.name} has {size} bytes, too much for an image that is read as a whole over a "
                "network; download it"
            )
        with (
            quiet(),
            path.open("rb") if distant is None else BytesIO(distant.read_at(0, size)) as stream,
            Image.open(stream) as image,
        ):
            if image.width * image.height > MAX_PIXELS:
                raise SlideFormatError(
                    f"{path.name} has {image.width} x {image.height} px, which a {image.format} "
                    "must be decoded at once for; convert it to a tiled TIFF (vips tiffsave --tile)"
                )
            depth = len(image.getbands())
            bounds.check_image(path.name, (image.height, image.width), depth, size)
            kind = image.format or "image"
            icc = image.info.get("icc_profile")
            scale = _scale(image)
            made = str(image.info.get("synthetic", "")).lower() in {"true", "1", "yes"}  # PNG text
            asked = (*turned(path.name, _orientation(image)), *_of_several(path.name, image))
            pixels, rule = _uniform(image, path.name)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise SlideFormatError(f"{path.name} is not an image that can be read: {error}") from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        if isinstance(error, PathoganError):
            raise
        raise SlideFormatError(
            f"{path.name} is damaged or truncated ({error}); copy it again from where it came from"
        ) from error
    return Source(
        planes=(ArrayPlane(pixels, "yxs"),),
        colours=rule,
        mpp=scale.mpp,
        mpp_source=scale.source,
        icc=icc if isinstance(icc, bytes) else None,
        choices=asked,
        metadata={
            "format": kind,
            "vendor": None,
            "compression": kind,
            **({"synthetic": True} if made else {}),
        },
    )


def _of_several(name: str, image: Image.Image) -> list[str]:
    """A sentence on further pictures in a file, such as frames."""
    count = getattr(image, "n_frames", 1)
    return [f"{name} holds {count} pictures; the first is read"] if count > 1 else []


def _orientation(image: Image.Image) -> object:
    """What the image's EXIF says of it; None where that is damaged, as its pixels need not be."""
    try:
        return image.getexif().get(ORIENTATION)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return None


def _uniform(image: Image.Image, name: str) -> tuple[np.ndarray, colours.Colours]:
    if image.mode in _DEEP_GREY:
        pixels = np.asarray(image)
        if pixels.max(initial=0) > 65535 or pixels.min(initial=0) < 0:
            raise SlideFormatError(f"{name} holds 32-bit grey values; convert it to 16 bit first")
        pixels = pixels.astype(np.uint16)
    elif image.mode == "F":
        raise SlideFormatError(f"{name} holds float values; save it as TIFF or 16-bit PNG")
    elif image.mode in ("LA", "La") or (image.mode == "L" and "transparency" in image.info):
        pixels = np.asarray(image.convert("LA"))
    elif image.mode == "P" or "transparency" in image.info:
        pixels = np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))
    elif image.mode in ("1", "L", "RGB"):
        pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
    else:  # PA, RGBA, RGBa, CMYK, YCbCr, LAB, HSV
        with_alpha = image.mode in ("PA", "RGBA", "RGBa")
        pixels = np.asarray(image.convert("RGBA" if with_alpha else "RGB"))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    alpha: colours.Alpha | None = "straight" if pixels.shape[2] in (2, 4) else None
    return pixels, colours.choose(name, pixels.dtype, pixels.shape[2], alpha=alpha)


def _scale(image: Image.Image) -> resolution.Scale:
    dpi = image.info.get("dpi")
    if not (isinstance(dpi, tuple) and len(dpi) == 2):
        return resolution.UNSTATED
    return resolution.from_resolution("image resolution", float(dpi[1]), float(dpi[0]), "inch")
