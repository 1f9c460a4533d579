"""What the Virtual stains dock runs in the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.plugin.shell.refining import first_look
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.engine.live import LiveView
    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.plugin.shell.refining import InView
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.virtual_stain.look import Painting, Tiles
    from napari_pathogan.tasks.virtual_stain.trust import TrustMap


@dataclass(frozen=True, slots=True, eq=False)
class Virtual(Event):
    """A slide in a virtual stain is there to be looked at.

    Attributes
    ----------
    painting
        How it is painted.
    slide
        All of it by the generator, as it is saved.
    live
        What is shown.
    """

    painting: Painting
    slide: Slide
    live: LiveView


def painting_events(
    slide: Slide,
    stain: str,
    models: Sequence[Path],
    cards: Sequence[ModelCard],
    seen: InView | None = None,
) -> Iterator[Event]:
    """Measure a slide and make its virtual stains: a :class:`Virtual` each.

    Finishes with a Fit, whose warning says with figures if the slide is far from what the models learnt from.

    Parameters
    ----------
    seen
        What is in view: its first look is painted here, so that the window need not wait for it.
    """
    yield Progress(0, 0, "loading the models")
    ready_for_torch()
    from napari_pathogan.tasks.virtual_stain.look import (  # noqa: PLC0415
        Painting,
        live,
        painted,
    )
    from napari_pathogan.tasks.virtual_stain.model import VirtualStainModel  # noqa: PLC0415
    from napari_pathogan.tasks.virtual_stain.trust import fit_of  # noqa: PLC0415

    mpp: float | None = None
    known: Tiles = {}
    for number, folder in enumerate(models):
        model = VirtualStainModel.load(folder, settings().device)
        mpp = model.mpp
        yield Progress(number, len(models), f"measuring the slide for {model.card.name}")
        painting = Painting.of(slide, model, stain, known)
        view = live(painting)
        if number == 0 and seen is not None:
            first_look(view.slide, seen)
        yield Virtual(painting, painted(painting), view)
    yield Finished(fit_of(known[mpp], cards, stain, name=slide.name))


def measuring(slide: Slide, cards: Sequence[ModelCard]) -> Iterator[Event]:
    """Measure which stain a slide has; finishes with it, or with why it can't be told."""
    yield Progress(0, 0, "measuring the stain")
    from napari_pathogan.errors import PathoganError  # noqa: PLC0415
    from napari_pathogan.tasks.virtual_stain.look import slide_tiles  # noqa: PLC0415
    from napari_pathogan.tasks.virtual_stain.trust import fit_of  # noqa: PLC0415

    try:
        yield Finished(fit_of(slide_tiles(slide, None), cards, name=slide.name))
    except PathoganError as error:
        yield Finished(str(error))


def doubt_events(painting: Painting, region: Region, which: TrustMap) -> Iterator[Event]:
    """Compute a doubt map; finishes with an overlay."""
    ready_for_torch()
    from napari_pathogan.tasks.virtual_stain.look import doubt_map  # noqa: PLC0415

    yield from doubt_map(painting, region, which)


def class_events(slide: Slide, folder: Path, region: Region) -> Iterator[Event]:
    """Classify the patches of a region by virtual stains; finishes with a ClassMap."""
    yield Progress(0, 0, "loading the models")
    ready_for_torch()
    from napari_pathogan.tasks.virtual_stain.g2c.model import G2CModel  # noqa: PLC0415
    from napari_pathogan.tasks.virtual_stain.g2c.predict import predict  # noqa: PLC0415

    yield from predict(slide, G2CModel.load(folder, settings().device), region=region)
