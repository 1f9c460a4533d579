"""What the Stain transfer dock runs in the background."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image as Picture

from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.plugin.shell.refining import first_look
from napari_pathogan.plugin.shell.train_dialog import Lesson, TrainingMaterial
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_pathogan.plugin.shell.refining import InView
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide

_MOST_PX = 4_000_000  # of a reference: more say nothing new about its colours


def transfer_events(
    slide: Slide, style: Path, method: str, reference: tuple[Slide, Region] | None
) -> Iterator[Event]:
    """Measure a slide, and the reference; finishes with the transferred slide and the transfer.

    ``method`` is empty for the one that comes closest.
    """
    yield Progress(0, 0, "loading the style")
    ready_for_torch()
    from napari_pathogan.plugin.shell.settings import settings  # noqa: PLC0415
    from napari_pathogan.tasks.stain.levels import transferred  # noqa: PLC0415
    from napari_pathogan.tasks.stain.model import StyleModel  # noqa: PLC0415
    from napari_pathogan.tasks.stain.predict import Method, fit  # noqa: PLC0415

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


def looked_at(events: Iterator[Event], slide: Slide, seen: InView | None) -> Iterator[Event]:
    """The events of a transfer, which finishes with its live view too (None where no network transfers).

    What is in view is computed before it is laid.
    """
    with closing(events):  # type: ignore[type-var]  # a generator
        for event in events:
            if not isinstance(event, Finished):
                yield event
                continue
            view, transfer = event.result
            live = None
            if transfer.model is not None:
                from napari_pathogan.tasks.stain.live import live as live_view  # noqa: PLC0415

                live = live_view(slide, view, transfer)
            if seen is not None:
                yield Progress(0, 0, "looking at what is in view")
                first_look(view if live is None else live.slide, seen)
            yield Finished((view, transfer, live), event.summary)


def stains_events(slide: Slide) -> Iterator[Event]:
    """Find the stains of a slide; finishes with haematoxylin and eosin as slides."""
    yield Progress(0, 0, "finding the stains")
    from napari_pathogan.tasks.stain.levels import stains  # noqa: PLC0415

    yield Finished(stains(slide))


def lesson(place: Callable[[], StyleSource]) -> Lesson:
    """What the dock trains: a style, from a part of a slide."""
    return Lesson(
        task="stain",
        button="Learn a style from this slide…",
        tip="Train a network on this slide's colours in the background (minutes to hours)",
        title="Learn a style",
        where="Slide",
        place=place,
        look=lambda part, _: tiles(part),
        ready=lambda: True,
        begins=False,
        fixed=("class_loss",),
    )


class StyleSource(NamedTuple):
    """What a style is learnt from: a region of a slide, or all its tissue."""

    slide: Slide
    region: Region | None

    def __str__(self) -> str:
        """Its slide's name."""
        return self.slide.name


def tiles(part: StyleSource) -> TrainingMaterial:
    """What is learnt from; the tiles are there as long as it learns."""
    slide, region = part
    source: Path | Callable[[Path], Iterator[Event]] = partial(_cut_tiles, slide, region)
    origin = f"tiles of slide {pseudonym(slide.name)}"
    options = ["--holdout", "0"]  # one slide has no second patient
    if slide.mpp is not None:
        options += ["--mpp", f"{float(np.mean(slide.mpp)):.5g}"]
    if slide.path is not None:  # a command can read it too
        source = slide.path
        if region is not None:
            options += ["--region", f"{region.y},{region.x},{region.height},{region.width}"]
    what = "Tiles of all its tissue" if region is None else "What is in view"
    about = f"{what}. How well it does is not measured: that takes a second patient."
    return TrainingMaterial(source, about, origin, "those of the slide", tuple(options))


def read_reference(slide: Slide, region: Region) -> np.ndarray:
    """Read a region finely enough to measure its colours: uint8 (Y, X, 3)."""
    shrink = max(1.0, (region.height * region.width / _MOST_PX) ** 0.5)
    size = max(1, round(region.height / shrink)), max(1, round(region.width / shrink))
    return slide.read(region, size=size)


def _cut_tiles(slide: Slide, region: Region | None, pool: Path) -> Iterator[Event]:
    """Save tiles of tissue, or a part of the slide, as pictures in a new folder."""
    yield Progress(0, 0, "cutting tiles of tissue")
    from napari_pathogan.tasks.stain.data import tiles_of  # noqa: PLC0415

    pool.mkdir()
    for number, part in enumerate(tiles_of(slide, region)):
        yield Progress(0, 0, "cutting tiles of tissue")
        Picture.fromarray(part).save(pool / f"slide_{number:03d}.png")
