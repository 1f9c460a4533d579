"""Images that ask to be turned or mirrored: shown as stored, as QuPath and napari's own reader do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIENTATION = 274  # tag of TIFF and EXIF
_WAYS = {
    2: "mirrored from left to right",
    3: "turned by 180 degrees",
    4: "mirrored from top to bottom",
    5: "mirrored along its diagonal",
    6: "turned by 90 degrees clockwise",
    7: "mirrored along its other diagonal",
    8: "turned by 90 degrees counterclockwise",
}


def turned(name: str, orientation: object) -> Iterator[str]:
    """A sentence on an image whose tag asks for that; Java's readers, and so QuPath, do not look at it."""
    how = _WAYS.get(orientation) if isinstance(orientation, int) else None
    if how is not None:
        yield (
            f"{name} asks to be shown {how}; it is shown as it is stored, so that coordinates are those "
            "of QuPath"
        )
