"""What the Nuclei dock runs in the background: generators of events, without a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from napari_pathogan.slides.geometry import Overlay, Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.nuclei_classes.model import ClassModel
    from napari_pathogan.tasks.nuclei_classes.naming import Naming


@dataclass(frozen=True, slots=True, eq=False)
class NucleiLaid(Event):
    """The models are loaded: where the labels will lie, and the colours of their classes."""

    place: Overlay  # its data have the shape of the labels, and nothing in them
    colours: tuple[str, ...]


def nuclei_events(
    slide: Slide,
    model: Path,
    class_model: Path | None,
    *,
    views: int | None = None,
    tissue: str = "",
    region: Region | None,
    polygons: list[np.ndarray] | None,
    near: tuple[float, float],
) -> Iterator[Event]:
    """Load the models and find the nuclei; :class:`NucleiLaid` comes before the first tile.

    ``views`` are those of :class:`~napari_pathogan.tasks.nuclei.model.NucleiModel`, by default its own;
    ``tissue`` is the organ, as the user says.
    """
    yield Progress(0, 0, "loading the models")
    ready_for_torch()
    import numpy as np  # noqa: PLC0415

    from napari_pathogan.engine.devices import choose_device  # noqa: PLC0415
    from napari_pathogan.tasks.nuclei.model import NucleiModel  # noqa: PLC0415
    from napari_pathogan.tasks.nuclei.predict import UNetSegmenter, label_grid, segment  # noqa: PLC0415
    from napari_pathogan.tasks.nuclei.segmentation import NUCLEUS_COLOUR  # noqa: PLC0415

    chosen = settings()
    network = NucleiModel.load(model, chosen.device, views)
    network.device = choose_device(chosen.device, chosen.precision)
    classifier = load_classes(class_model) if class_model is not None else None
    segmenter = UNetSegmenter(network)
    grid = label_grid(slide, segmenter, region, polygons=polygons)
    empty = np.broadcast_to(np.int32(0), grid.shape)
    colours = classifier.naming(tissue, slide.mpp).colours if classifier else (NUCLEUS_COLOUR,)
    yield NucleiLaid(grid.overlay(empty), colours)
    yield from segment(
        slide,
        segmenter,
        region,
        polygons=polygons,
        classifier=classifier,
        tissue=tissue,
        near=near,
    )


def load_classes(folder: Path) -> ClassModel:
    """Load a class model on the device of the preferences; torch is ready by then."""
    from napari_pathogan.engine.devices import choose_device  # noqa: PLC0415
    from napari_pathogan.tasks.nuclei_classes.model import ClassModel  # noqa: PLC0415

    chosen = settings()
    model = ClassModel.load(folder, chosen.device)
    model.device = choose_device(chosen.device, chosen.precision)
    return model


def draw_grid(folder: Path, naming: Naming, rows: int = 6) -> Iterator[Event]:
    """Let a class model draw its grid of nuclei; finishes with (picture, naming, title)."""
    yield Progress(0, 0, "drawing nuclei")
    ready_for_torch()
    model = load_classes(folder)
    yield Finished((model.grid(rows, colours=naming.colours), naming, model.card.title))


def keep_names(
    folder: Path,
    names: tuple[str, ...],
    colours: tuple[str, ...],
    target: Path,
    *,
    validated: bool,
) -> Iterator[Event]:
    """Save a class model under the user's names and colours; finishes with its folder and card.

    They replace those that were in view: the names of tissue that the classes were checked on
    (``validated``), or those of the groups everywhere else. The embedded model stays as it is; ``target`` is found before it from now on.
    """
    yield Progress(0, 0, "keeping the names with the class model")
    ready_for_torch()
    model = load_classes(folder)
    card = (model.renamed if validated else model.regrouped)(names, colours).save(target)
    yield Finished((target, card))
