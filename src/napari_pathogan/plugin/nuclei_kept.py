"""Nuclei kept with a slide: beside it, or in the user's data folder where that can't be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.errors import OutputError
from napari_pathogan.plugin.beside_opengl import ready_for_torch
from napari_pathogan.plugin.settings import kept_elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.nuclei.segmentation import Segmentation
    from napari_pathogan.slides.slide import Slide


def reading(slide: Slide) -> Iterator[Event]:
    """Read the nuclei that were kept with a slide; finishes with them, or None if there are none.

    Where there are some in both places, the newer ones count.
    """
    yield Progress(0, 0, "looking for nuclei that were kept")
    if slide.path is None:
        yield Finished(None)
        return
    ready_for_torch()
    from napari_pathogan.nuclei import annotated  # noqa: PLC0415

    there = [path for path in places(slide.path) if path.is_file()]
    if there:
        newest = max(there, key=lambda path: path.stat().st_mtime)
        yield Finished(annotated.read(newest, slide))
    else:
        yield Finished(None)


def keeping(slide: Slide, segmentation: Segmentation) -> Iterator[Event]:
    """Keep nuclei beside a slide; finishes with the path, and whether it is elsewhere.

    Raises
    ------
    OutputError
        If neither place can be written, or the slide is no file.
    """
    yield Progress(0, 0, "keeping the corrections")
    ready_for_torch()
    from napari_pathogan.nuclei import annotated  # noqa: PLC0415

    if slide.path is None:
        msg = f"{slide.name} is no file, so nothing can be kept with it: save it and open it again"
        raise OutputError(msg)
    beside, elsewhere = places(slide.path)
    try:
        annotated.write(beside, segmentation)
    except OutputError:
        annotated.write(elsewhere, segmentation)
        yield Finished((elsewhere, True))
    else:
        yield Finished((beside, False))


def places(slide: Path) -> tuple[Path, Path]:
    """Beside a slide; and in the data folder, by the slide's whole path."""
    from napari_pathogan.nuclei.annotated import beside  # noqa: PLC0415

    name = beside(slide)
    return name, kept_elsewhere(slide) / name.name
