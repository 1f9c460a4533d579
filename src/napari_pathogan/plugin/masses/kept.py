"""Reviews of mammograms: kept beside the image with every decision, read again when it is opened.

Where the image's folder can't be written, they are kept in the user's data folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.engine.places import kept_elsewhere
from napari_pathogan.errors import OutputError
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.tasks.masses import annotated

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.tasks.masses.review import Review


def keep(mammogram: Mammogram, review: Review) -> Path:
    """Keep a review; returns where.

    Raises
    ------
    OutputError
        If no place can be written, or the mammogram is no file.
    """
    if mammogram.path is None:
        msg = f"{mammogram.name} is no file, so nothing can be kept with it: save it and open it again"
        raise OutputError(msg)
    about = {"laterality": mammogram.laterality or "", "view": mammogram.view or ""}
    *first, last = places(mammogram.path)
    for place in first:
        try:
            annotated.write(place, review, **about)
        except OutputError:
            continue
        return place
    annotated.write(last, review, **about)
    return last


def kept(mammogram: Mammogram) -> Review | None:
    """Read what was kept with a mammogram; None if there is nothing.

    Where there is something in both places, the newer counts.

    Raises
    ------
    DataFolderError
        If it can't be read, or is of an image of another size.
    """
    if mammogram.path is None:
        return None
    there = [path for path in places(mammogram.path) if path.is_file()]
    if not there:
        return None
    newest = max(there, key=lambda path: path.stat().st_mtime)
    return annotated.read(newest, mammogram.name, shape=mammogram.shape)


def places(image: Path) -> tuple[Path, ...]:
    """Beside an image (not so for sample data); and in the data folder, by its whole path."""
    beside = annotated.beside(image)
    elsewhere = kept_elsewhere(image) / beside.name
    return (elsewhere,) if samples.FOLDER in image.parents else (beside, elsewhere)
