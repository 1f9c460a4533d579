"""Saving a transferred slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Progress
from napari_pathogan.kinds import ome_zarr
from napari_pathogan.slides.writers import pyramid as zarr_writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.slides.slide import Slide

KIND = "slide in other colours"
ZARR = ome_zarr(KIND)


def write_slide(path: Path, made: Slide) -> Iterator[Event]:
    """Write a slide of :func:`~napari_pathogan.tasks.stain.levels.transferred` as OME-Zarr.

    Its metadata say ``synthetic``, the style and the method.

    Raises
    ------
    OutputError
        If it can't be written; nothing is then left behind.
    """
    about = {
        "kind": KIND,
        "synthetic": True,
        **{k: v for k, v in made.metadata.items() if k.startswith("stain_")},
    }
    for done, total in zarr_writer.write_slide(path, made, {"pathogan": about}):
        yield Progress(done, total, f"writing {path.name}")
