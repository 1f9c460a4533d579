"""Reviews of mammograms: kept beside the image with every decision, read again when it is opened.

Where the image's folder can't be written, they are kept in the user's data folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.annotations.merging import Known
from napari_pathogan.annotations.store import file_of
from napari_pathogan.tasks.masses import annotated

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.tasks.masses.review import Review


def write_review(mammogram: Mammogram, review: Review, known: Known | None = None) -> Path:
    """Keep a review, and what others have kept since the file was ``known``; returns where.

    Raises
    ------
    OutputError
        If no place can be written, or the mammogram is no file.
    """
    about = {"laterality": mammogram.laterality or "", "view": mammogram.view or ""}
    return annotated.write(file_of(mammogram), review, known=known, **about)


def read_review(mammogram: Mammogram) -> Review | None:
    """Read what was kept with a mammogram; None if there is nothing.

    Where there is something in both places, the newer counts.

    Raises
    ------
    DataFolderError
        If it can't be read, or is of another image.
    """
    if mammogram.path is None:
        return None
    path = annotated.store(mammogram.path).path
    return annotated.read(path, mammogram) if path.is_file() else None


def known_of(mammogram: Mammogram) -> Known:
    """What is known of the file that is kept with a mammogram; to be asked before it is read.

    Raises
    ------
    ResultFormatError
        If it can't be read.
    """
    if mammogram.path is None:
        return Known()
    return Known.read(annotated.store(mammogram.path).path)
