"""The um per pixel that a user gave for a file that does not say: remembered per file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.slides import resolution
from napari_pathogan.slides.remembered import Remembered

if TYPE_CHECKING:
    from pathlib import Path

_SCALES = Remembered("scales")


def remember(path: str | Path, mpp: tuple[float, float]) -> None:
    """Keep um per pixel (y, x) for a file or OME-Zarr folder.

    Raises
    ------
    OutputError
        If the user's data folder can't be written.
    """
    _SCALES.remember(path, [float(mpp[0]), float(mpp[1])])


def recall(path: str | Path) -> tuple[float, float] | None:
    """Um per pixel (y, x) remembered for a file; None if there is none, or the file changed."""
    pair = _SCALES.recall(path)
    return resolution.positive(*pair) if isinstance(pair, list) and len(pair) == 2 else None
