"""What the Stain transfer dock runs in the background."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Picture

from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.plugin.shell.learning import learning
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide

_MOST_PX = 4_000_000  # of a reference: more say nothing new about its colours
_POOL_PX = 512
LEARNING = ("--recipe", "quick", "--holdout", "0")  # one slide has no second patient


def transfer_events(
    slide: Slide, style: Path, method: str, reference: tuple[Slide, Region] | None
) -> Iterator[Event]:
    """Measure a slide, and the reference; finishes with the transferred slide and the transfer.

    ``method`` is empty for the one that comes closest.
    """
    yield Progress(0, 0, "loading the style")
    ready_for_torch()
    from napari_pathogan.plugin.shell.settings import settings  # noqa: PLC0415
    from napari_pathogan.tasks.stain.model import StyleModel  # noqa: PLC0415
    from napari_pathogan.tasks.stain.predict import Method, fit, transferred  # noqa: PLC0415

    model = StyleModel.load(style, settings().device)
    pixels = None
    if reference is not None:
        yield Progress(0, 0, "reading the reference")
        pixels = read_reference(*reference)
    named = reference[0].name if reference is not None else ""
    if method:
        yield Progress(0, 0, "measuring the slide's colours")
        transfer = fit(slide, model, Method(method), reference=pixels, named=named)
    else:
        yield Progress(0, 0, "measuring which method comes closest")
        transfer = fit(slide, model, reference=pixels, named=named)
    for note in transfer.notes:
        yield Warn(note)
    view = transferred(slide, transfer)
    yield Finished((view, transfer), {"style": transfer.style, "method": str(transfer.method)})


def stains_events(slide: Slide) -> Iterator[Event]:
    """Find the stains of a slide; finishes with haematoxylin and eosin as slides."""
    yield Progress(0, 0, "finding the stains")
    from napari_pathogan.tasks.stain.predict import stains  # noqa: PLC0415

    yield Finished(stains(slide))


def learn_events(slide: Slide, region: Region | None, model: Path) -> Iterator[Event]:
    """Learn a style from a slide, or a part of it; finishes with the new style's folder.

    The tiles that it learns from are there as long as it learns. Events and errors as of
    :func:`~napari_pathogan.plugin.shell.learning.learning`.
    """
    options = [*LEARNING]
    if slide.mpp is not None:
        options += ["--mpp", f"{float(np.mean(slide.mpp)):.5g}"]
    tiles, origin = partial(_cut_tiles, slide, region), f"tiles of slide {pseudonym(slide.name)}"
    yield from learning("stain", tiles, options, model, origin=origin, terms="those of the slide")


def read_reference(slide: Slide, region: Region) -> np.ndarray:
    """Read a region finely enough to measure its colours: uint8 (Y, X, 3)."""
    shrink = max(1.0, (region.height * region.width / _MOST_PX) ** 0.5)
    size = max(1, round(region.height / shrink)), max(1, round(region.width / shrink))
    return slide.read(region, size=size)


def _cut_tiles(slide: Slide, region: Region | None, pool: Path) -> Iterator[Event]:
    """Save tiles of tissue, or a part of the slide, as pictures in a new folder."""
    yield Progress(0, 0, "cutting tiles of tissue")
    from napari_pathogan.tasks.stain.predict import tissue_tiles  # noqa: PLC0415

    pool.mkdir()
    parts = [slide.read(region)] if region is not None else tissue_tiles(slide, None, _POOL_PX)
    for number, part in enumerate(parts):
        yield Progress(0, 0, "cutting tiles of tissue")
        Picture.fromarray(part).save(pool / f"slide_{number:03d}.png")
