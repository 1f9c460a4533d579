"""What can be told of a file at a glance: DICOM, OME-Zarr, the view that its name says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

IMAGE_SUFFIXES = (".png", ".pgm", ".tif", ".tiff")

MAX_PIXELS = 100_000_000
"""A mammogram has up to 40 million pixels; what has more than this is a slide, or damaged."""

_PREAMBLE = 128
_VIEWS = ("CC", "MLO", "ML", "LM", "LMO", "XCCL", "XCCM", "XCC", "SIO", "ISO", "FB", "AT", "CV")
_SIDES = {"R": "R", "RIGHT": "R", "L": "L", "LEFT": "L"}


def is_dicom(path: Path) -> bool:
    """Whether a file begins as a DICOM file; False where it can't be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(_PREAMBLE + 4)[_PREAMBLE:] == b"DICM"
    except OSError:
        return False


def named_view(stem: str) -> tuple[str | None, str | None]:
    """Laterality and view that a file's name says: ("R", "CC") for ``case7_R_CC`` or ``rcc``."""
    words = re.split(r"[^A-Z0-9]+", stem.upper())
    for word in words:
        if word[:1] in _SIDES and word[1:] in _VIEWS:
            return word[0], word[1:]
    laterality = next((_SIDES[word] for word in words if word in _SIDES), None)
    return laterality, next((word for word in words if word in _VIEWS), None)


def words_beside_view(stem: str) -> tuple[str, ...]:
    """The words of a file's name that say neither side nor view: ("CASE7",) for ``case7_R_CC``."""
    words = re.split(r"[^A-Z0-9]+", stem.upper())
    joined = {side + view for side in "RL" for view in _VIEWS}
    return tuple(word for word in words if word and word not in {*joined, *_SIDES, *_VIEWS})


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder's metadata name a multiscale image (OME-Zarr 0.4 or 0.5)."""
    for name in (".zattrs", "zarr.json"):
        meta = path / name
        if meta.is_file() and '"multiscales"' in meta.read_text(encoding="utf-8", errors="replace"):
            return True
    return False
