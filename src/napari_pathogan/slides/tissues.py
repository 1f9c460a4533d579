"""The organ that a slide is of, which no file says: the user does, and it is remembered per file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.slides.remembered import Remembered

if TYPE_CHECKING:
    from pathlib import Path

NOT_SAID = ""
TISSUES = ("breast", "colon", "kidney", "liver", "lung", "prostate", "skin", "other")
_TISSUES = Remembered("tissues")


def remember(path: str | Path, tissue: str) -> None:
    """Keep the organ of a file or OME-Zarr folder.

    Raises
    ------
    OutputError
        If the user's data folder can't be written.
    """
    _TISSUES.remember(path, tissue)


def recall(path: str | Path) -> str:
    """The organ that the user said a file is of; "" if nobody has, or the file changed."""
    tissue = _TISSUES.recall(path)
    return tissue if isinstance(tissue, str) else NOT_SAID
