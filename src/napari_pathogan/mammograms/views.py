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
# The first element of a file that does not say DICM: of group 2 or 8 (PS3.10), in little or big endian,
# with its VR; where there is no preamble either, a length below 64 KiB may stand there.
_VR = rb"(UL|UI|OB|CS|SH|LO|DA|TM|DT|PN|ST|US|SQ|UN)"
_FIRST = re.compile(rb"([\x02\x08]\0[\0-\x1f]\0|\0[\x02\x08]\0[\0-\x1f])" + _VR, re.DOTALL)
_BARE = re.compile(
    _FIRST.pattern + rb"|[\x02\x08]\0[\0-\x1f]\0..\0\0|\0[\x02\x08]\0[\0-\x1f]\0\0", re.DOTALL
)
VIEWS = (
    "CC", "MLO", "ML", "LM", "LMO", "LAT", "XCCL", "XCCM", "XCC", "SIO", "ISO", "FB", "AT", "CV",
)  # fmt: skip
"""What projections are called."""

_LATERAL = {"LATERAL": "LAT"}
SIDES = {"R": "R", "RIGHT": "R", "L": "L", "LEFT": "L"}
"""What sides are called."""


_OF_OME_ZARR = ("multiscales", "bioformats2raw.layout", "plate", "well", "chunk_grid")


def is_dicom(path: Path) -> bool:
    """Whether a file begins as a DICOM file, with its preamble or without; False where it can't be read."""
    try:
        if not path.is_file():  # a pipe would never end
            return False
        with path.open("rb") as stream:
            start = stream.read(_PREAMBLE + 8)
    except OSError:
        return False
    whole = start[_PREAMBLE:].startswith(b"DICM")
    return whole or bool(_BARE.match(start) or _FIRST.match(start, _PREAMBLE))


def begins_at(path: Path) -> int:
    """The byte at which a DICOM file begins for those who read it: behind a preamble without DICM."""
    with path.open("rb") as stream:
        start = stream.read(_PREAMBLE + 8)
    whole = start[_PREAMBLE:].startswith(b"DICM") or _BARE.match(start) is not None
    return 0 if whole else _PREAMBLE


def named_view(stem: str) -> tuple[str | None, str | None]:
    """Laterality and view that a file's name says: ("R", "CC") for ``case7_R_CC`` or ``rcc``.

    A word that is a view is not read as a side and a view (``LAT`` as left axillary tail). Where a
    name has both sides, that beside the view counts, and neither if that doesn't tell; nor do words
    of both that contradict each other (``LCC_RCC``).
    """
    words = [_LATERAL.get(word, word) for word in re.split(r"[^A-Z0-9]+", stem.upper())]
    joined = [w for w in words if w not in VIEWS and w[:1] in SIDES and w[1:] in VIEWS]
    if joined:
        one_side, one_view = (
            {word[part] for word in joined} for part in (slice(1), slice(1, None))
        )
        return (
            one_side.pop() if len(one_side) == 1 else None,
            one_view.pop() if len(one_view) == 1 else None,
        )
    at = next((index for index, word in enumerate(words) if word in VIEWS), None)
    sides = {SIDES[word] for word in words if word in SIDES}
    if at is not None and len(sides) > 1:
        beside = {
            SIDES[w] for w in (*words[max(at - 1, 0) : at], *words[at + 1 : at + 2]) if w in SIDES
        }
        sides = beside or sides
    return sides.pop() if len(sides) == 1 else None, None if at is None else words[at]


def words_beside_view(stem: str) -> tuple[str, ...]:
    """The words of a file's name that say neither side nor view: ("CASE7",) for ``case7_R_CC``."""
    words = re.split(r"[^A-Z0-9]+", stem.upper())
    joined = {side + view for side in "RL" for view in VIEWS}
    return tuple(
        word for word in words if word and word not in {*joined, *SIDES, *VIEWS, *_LATERAL}
    )


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder's metadata are OME-Zarr's (0.4 or 0.5): an image, several, or a plate.

    An array by itself, of the shape of a picture, is taken for one too.
    """
    if (path / ".zarray").is_file():
        return True
    for name in (".zattrs", "zarr.json"):
        meta = path / name
        if meta.is_file():
            text = meta.read_text(encoding="utf-8", errors="replace")
            if any(f'"{member}"' in text for member in _OF_OME_ZARR):
                return True
    return False
