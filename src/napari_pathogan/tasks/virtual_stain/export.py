"""Painting a slide for good: what the task's contract names, and the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.pictures import overview
from napari_pathogan.kinds import ome_zarr
from napari_pathogan.slides.writers import pyramid as zarr_writer
from napari_pathogan.tasks.virtual_stain.look import Painting, painted, slide_tiles
from napari_pathogan.tasks.virtual_stain.stains import stain_title
from napari_pathogan.tasks.virtual_stain.trust import fit_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.virtual_stain.model import VirtualStainModel

KIND = "slide in a virtual stain"
ZARR = ome_zarr(KIND)
_SAID = ("virtual_stain", "source_stain")  # what the file says of how it was made begins so


def predicted(
    slide: Slide, model: VirtualStainModel, *, source_stain: str | None = None
) -> Iterator[Event]:
    """Measure a slide once; Finished with a :class:`.look.Painting`.

    Parameters
    ----------
    source_stain
        The stain that the slide has; where nobody says, it is measured by its colours, as
        :func:`.trust.fit_of`.

    Raises
    ------
    As :meth:`.look.Painting.of` and :func:`.trust.fit_of`.
    """
    yield Progress(0, 0, "measuring the slide")
    tiles = slide_tiles(slide, model.mpp)
    fit = fit_of(tiles, [model.card], source_stain or "", name=slide.name)
    if warning := fit.warning(slide.name):
        yield Warn(warning)
    painting = Painting.of(slide, model, fit.stain)
    said = "as it is said to be" if fit.said else "as its colours say"
    yield Finished(
        painting,
        {
            "slide": slide.name,
            "model": model.card.name,
            "source_stain": fit.stain,
            "virtual_stain": painting.target,
            "said": fit.said,
            "spreads": fit.distances,
            "synthetic": True,
            "text": f"{painting.title} from {stain_title(fit.stain)}, {said}: synthetic",
        },
    )


def picture(_slide: Slide, painting: Painting, px: int) -> np.ndarray:
    """The slide in its virtual stain."""
    with painted(painting) as made:
        return overview(made, px)


def write_painted(path: Path, painting: Painting, *, source: Slide) -> Iterator[Event]:
    """Write a slide in its virtual stain as OME-Zarr; warn of what was lost.

    Its metadata say ``synthetic``, both stains and the model.

    Raises
    ------
    OutputError
        If it can't be written; nothing is then left behind.
    """
    with painted(painting) as made:
        own = {k: v for k, v in made.metadata.items() if k.startswith(_SAID)}
        about = {"kind": KIND, "synthetic": True, **own}
        for done, total in zarr_writer.write_slide(path, made, {"pathogan": about}):
            yield Progress(done, total, f"writing {path.name}")
    yield from (Warn(note) for note in source.notes)
