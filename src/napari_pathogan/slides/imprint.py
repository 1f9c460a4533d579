"""What tells an image from another one of the same name: its size, and how bright it is where."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.slides.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Callable

_PATCHES, _PATCH = 6, 16  # along each side of an image; pixels along each side of a patch
_APART = 16  # of 255: decoders of one image differ by 1 or 2
_RESCALED = 0.02  # share by which a copy at another scale may differ in size
_TELLING = 8  # so many values of brightness are needed: blank images of a size are all alike
_TEXT = re.compile(r"(\d{1,9})x(\d{1,9}) ?((?:[0-9a-f]{2})*)")


@dataclass(frozen=True, slots=True)
class Imprint:
    """An image's size and brightness; it says nothing of the patient and is exported with results.

    Attributes
    ----------
    shape
        (Y, X) in pixels.
    grey
        Mean brightness, 0 to 255, of small patches all over the image, row by row; empty where it
        is not known.
    """

    shape: tuple[int, int]
    grey: bytes = b""

    @classmethod
    def of(
        cls,
        shape: tuple[int, int],
        read: Callable[[Region], np.ndarray],
        limits: tuple[float, float] = (0.0, 255.0),
    ) -> Imprint:
        """Take an image's imprint; a few tiles are read, however large it is.

        Parameters
        ----------
        shape
            (Y, X) of the image.
        read
            Gives its pixels in a region, (Y, X) or (Y, X, 3).
        limits
            Values of the pixels that count as 0 and 255.
        """
        low, high = limits
        means = [
            float(np.mean(read(Region(int(y), int(x), _PATCH, _PATCH).clip(shape)), dtype=float))
            for y in np.linspace(0, max(shape[0] - _PATCH, 0), _PATCHES)
            for x in np.linspace(0, max(shape[1] - _PATCH, 0), _PATCHES)
        ]
        grey = np.nan_to_num((np.array(means) - low) / (high - low)).clip(0, 1) * 255
        return cls(shape, bytes(np.rint(grey).astype(np.uint8)))

    @classmethod
    def read(cls, text: object) -> Imprint | None:
        """What `str` has written; None for anything else, as results of earlier versions have it."""
        found = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            return None
        return cls((int(found[1]), int(found[2])), bytes.fromhex(found[3]))

    def __str__(self) -> str:
        """``512x400 c9d0..``: rows, columns, and the brightness in hexadecimal digits."""
        return f"{self.shape[0]}x{self.shape[1]} {self.grey.hex()}".rstrip()

    @property
    def digest(self) -> str:
        """16 hex digits that know the same pixels again, and say nothing of them; empty where they are too few or plain."""
        if len(set(self.grey)) < _TELLING:
            return ""
        return hashlib.sha256(f"napari-pathogan image {self}".encode()).hexdigest()[:16]

    def contradicts(self, other: Imprint, ratio: tuple[float, float] = (1.0, 1.0)) -> str:
        """Why another image is not this one, as half a sentence; empty if nothing speaks against it.

        Parameters
        ----------
        ratio
            Pixels of the other (y, x) a pixel of this one, where it may be a copy at another scale.
        """
        if self.shape != other.shape:
            sides = np.asarray(self.shape) * ratio
            off = np.abs(np.asarray(other.shape) - sides)
            if not np.allclose(ratio, 1, atol=1e-3) and (off <= 2 + _RESCALED * sides).all():
                return ""
            one, two = (f"{x.shape[1]} x {x.shape[0]} px" for x in (self, other))
            return f"that has {two}, and its own image {one}"
        here, there = (np.frombuffer(x.grey, np.uint8).astype(int) for x in (self, other))
        if len(here) == len(there) and (np.abs(here - there) > _APART).any():
            return "its own image has other pixels"
        return ""
