"""Whole slides in DICOM files (VL Whole Slide Microscopy), told at a glance from other DICOM."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from napari_pathogan.errors import SlideFormatError

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = 8192
_MOST_FILES = 2000  # of a folder that are looked at
_CLASS = re.compile(  # (0002,0002) or (0008,0016): what it is an image of
    rb"[\x02\x08]\0[\x02\x16]\0(UI..|....)1\.2\.840\.10008\.5\.1\.4\.1\.1\.77\.1\.6(?![.0-9])",
    re.DOTALL,
)


def is_whole_slide(path: Path) -> bool:
    """Whether a file is one of the files of a DICOM whole slide; False where it can't be read."""
    try:
        if not path.is_file():  # a pipe would never end
            return False
        with path.open("rb") as stream:
            return _CLASS.search(stream.read(_HEAD)) is not None
    except OSError:
        return False


def is_folder_of_slide(path: Path) -> bool:
    """Whether a folder holds files of DICOM whole slides."""
    return path.is_dir() and bool(_files(path))


def slide_in(folder: Path) -> Path:
    """One file of the slide in a folder: the others are found by it.

    Raises
    ------
    SlideFormatError
        If there are several slides: names a file of each.
    """
    import pydicom  # noqa: PLC0415 - slow to import

    series: dict[str, Path] = {}
    for file in _files(folder):
        try:
            about = pydicom.dcmread(
                file, specific_tags=["SeriesInstanceUID"], stop_before_pixels=True
            )
            key = str(
                about.get_item("SeriesInstanceUID").value
            )  # as it is: pydicom warns of odd ones
        except Exception:  # noqa: BLE001 - pydicom has no common error, and what it says may be private
            key = file.name
        series.setdefault(key, file)
    if len(series) == 1:
        return next(iter(series.values()))
    names = [file.name for file in series.values()]
    more = ", ..." if len(names) > 5 else ""
    raise SlideFormatError(
        f"{folder.name} holds {len(names)} slides; open a file of the one you want: "
        f"{', '.join(names[:5])}{more}"
    )


def _files(folder: Path) -> list[Path]:
    files = [file for file in islice(sorted(folder.iterdir()), _MOST_FILES) if file.is_file()]
    return [file for file in files if is_whole_slide(file)]
