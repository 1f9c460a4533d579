"""Single images: reading, recognising the same one again, bringing all to one form.

Nothing but the picture itself may tell real from generated: not the size, the file's length, its
date, its metadata, nor what it was resampled with. So every image, real or generated, is cropped to
a square, brought to the smallest side found among all, then to the study's size, by the same
filters, and saved as a PNG without compression (compressed, a smoother image is a shorter file).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from scipy.fft import dctn

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"}
_SIDE = 32  # of the thumbnail that near duplicates are found by
_LOW = 8  # lowest frequencies each way that make the perceptual hash
_BITS_OFF = 8  # of 63: as far apart as near duplicates may be; strangers differ by about 32
_ALIKE = 0.95  # correlation of the thumbnails, which near duplicates must have too
_GREY, _INK = (128, 128, 128), (255, 255, 255)


def read_image(path: Path) -> np.ndarray:
    """Read an image, uint8 (H, W, 3).

    Raises
    ------
    ValueError
        If it can't be read, or is deeper than 8 bit; says why.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                msg = f"is {image.mode} (more than 8 bit); convert it as the other images were"
                raise ValueError(msg)
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
        msg = f"can't be read ({error})"
        raise ValueError(msg) from error


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What an image is recognised by.

    Attributes
    ----------
    content
        Hash of the pixels; the same picture in another file has the same.
    hashes
        uint64 (8,): perceptual hash of the image, flipped and turned all ways; [0] as it is.
    thumbnails
        float32 (8, 1024): the same as thumbnails with mean 0 and length 1.
    """

    content: str
    hashes: np.ndarray
    thumbnails: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray) -> Fingerprint:
        """Of a uint8 (H, W, 3) image.

        The perceptual hash is the sign, against their median, of the 63 lowest frequencies of a
        32 x 32 grey thumbnail under a cosine transform (Zauner 2010, section 3.2.1).
        """
        small = Image.fromarray(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
        grey = np.asarray(small, np.float32)
        ways = [np.rot90(side, turns) for side in (grey, grey[:, ::-1]) for turns in range(4)]
        low = dctn(np.stack(ways), axes=(1, 2))[:, :_LOW, :_LOW].reshape(len(ways), -1)[:, 1:]
        bits = low > np.median(low, axis=1, keepdims=True)
        hashes = (bits * (np.uint64(1) << np.arange(bits.shape[1], dtype=np.uint64))).sum(1)
        flat = np.stack([way.ravel() - way.mean() for way in ways])
        flat /= max(float(np.linalg.norm(flat[0])), 1e-6)
        content = hashlib.sha256(str(image.shape).encode() + np.ascontiguousarray(image).tobytes())
        return cls(content.hexdigest(), hashes.astype(np.uint64), flat.astype(np.float32))


class Album:
    """Images seen so far, to find the same or nearly the same one again."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._contents: dict[str, str] = {}
        self._hashes: list[np.ndarray] = []
        self._thumbnails: list[np.ndarray] = []

    def add(self, name: str, fingerprint: Fingerprint) -> None:
        """Remember an image under a name."""
        self._names.append(name)
        self._contents.setdefault(fingerprint.content, name)
        self._hashes.append(fingerprint.hashes[0])
        self._thumbnails.append(fingerprint.thumbnails[0])

    def same(self, fingerprint: Fingerprint) -> str | None:
        """Name of the image with the very same pixels, if any."""
        return self._contents.get(fingerprint.content)

    def near(self, fingerprint: Fingerprint) -> str | None:
        """Name of an image that is nearly the same, flipped or turned too, if any."""
        if not self._names:
            return None
        apart = np.bitwise_count(np.array(self._hashes)[:, None] ^ fingerprint.hashes)
        for i, way in np.argwhere(apart <= _BITS_OFF):
            if self._thumbnails[i] @ fingerprint.thumbnails[way] >= _ALIKE:
                return self._names[i]
        return None


def square_side(image: np.ndarray) -> int:
    """Side of the largest square in an image."""
    return min(image.shape[:2])


def uniform(image: np.ndarray, native: int, size: int, jpeg_quality: int | None) -> np.ndarray:
    """Bring an image to the form that all have.

    Parameters
    ----------
    image
        uint8 (H, W, 3).
    native
        Smallest side among all images of the study: none may be sharper than the others.
    size
        Side wanted.
    jpeg_quality
        Pass through JPEG; None does not.

    Returns
    -------
    uint8 (size, size, 3), from the middle of the image.
    """
    side = square_side(image)
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    picture = Image.fromarray(np.ascontiguousarray(image[top : top + side, left : left + side]))
    first = min(native, size)
    picture = picture.resize((first, first), Image.Resampling.LANCZOS)
    picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    if jpeg_quality is not None:
        through = io.BytesIO()
        picture.save(through, "JPEG", quality=jpeg_quality, subsampling=0)
        picture = Image.open(through).convert("RGB")
    return np.asarray(picture)


def save(path: Path, image: np.ndarray) -> None:
    """Save as a PNG without compression or metadata: all of one size are equally many bytes."""
    Image.fromarray(image).save(path, "PNG", compress_level=0)


def control_image(text: str, size: int) -> np.ndarray:
    """An image that says what to answer: white letters on grey, uint8 (size, size, 3)."""
    picture = Image.new("RGB", (size, size), _GREY)
    pen = ImageDraw.Draw(picture)
    for points in range(max(6, size // 3), 5, -1):
        font = ImageFont.load_default(points)
        left, top, right, bottom = pen.multiline_textbbox((0, 0), text, font, align="center")
        if right - left <= 0.9 * size and bottom - top <= 0.9 * size:
            break
    place = ((size - right - left) / 2, (size - bottom - top) / 2)
    pen.multiline_text(place, text, _INK, font, align="center")
    return np.asarray(picture)
