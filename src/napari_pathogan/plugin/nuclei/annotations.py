"""Nuclei kept with a slide: beside it, or in the user's data folder where that can't be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.annotations.merging import Known
from napari_pathogan.annotations.store import file_of
from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch
from napari_pathogan.slides.polygons import corner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation


def reading(slide: Slide) -> Iterator[Event]:
    """Read the nuclei that were kept with a slide; finishes with them, or None if there are none.

    With them comes what is known of the file then. Where there are some in both places, the newer ones count.
    """
    yield Progress(0, 0, "looking for nuclei that were kept")
    if slide.path is None:
        yield Finished((None, Known()))
        return
    ready_for_torch()
    from napari_pathogan.tasks.nuclei import annotated  # noqa: PLC0415

    path = annotated.store(slide.path).path
    known = Known.read(path, corner(slide))
    yield Finished((annotated.read(path, slide) if path.is_file() else None, known))


def opening(slide: Slide, path: Path) -> Iterator[Event]:
    """Read nuclei of a file that was opened on their slide; finishes with them.

    Raises
    ------
    DataFolderError
        If they can't be read, or are another image's.
    """
    yield Progress(0, 0, f"reading {path.name}")
    ready_for_torch()
    from napari_pathogan.tasks.nuclei import annotated  # noqa: PLC0415

    yield Finished(annotated.read(path, slide))


def keeping(
    slide: Slide, segmentation: Segmentation, known: Known | None = None
) -> Iterator[Event]:
    """Keep nuclei beside a slide; finishes with the path, and whether it is elsewhere.

    What others have kept there since the file was ``known`` stays.

    Raises
    ------
    OutputError
        If neither place can be written, or the slide is no file.
    """
    yield Progress(0, 0, "keeping the corrections")
    ready_for_torch()
    from napari_pathogan.tasks.nuclei import annotated  # noqa: PLC0415

    file = file_of(slide)
    path = annotated.write(file, segmentation, known)
    yield Finished((path, path.parent != file.parent))
