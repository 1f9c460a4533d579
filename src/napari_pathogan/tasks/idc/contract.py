"""What the task's contract names: evaluating on a folder, and a slide's heat map with its areas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Event, Finished, Warn
from napari_pathogan.engine.pictures import drawn, overview
from napari_pathogan.errors import ModelError
from napari_pathogan.tasks.idc.annotated import read_training_folder
from napari_pathogan.tasks.idc.evaluate import evaluate
from napari_pathogan.tasks.idc.heatmap import SCOPE
from napari_pathogan.tasks.idc.predict import predict

_OUTLINE = "#c8003c"

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np

    from napari_pathogan.engine.report import Report
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.idc.heatmap import HeatMap
    from napari_pathogan.tasks.idc.model import IdcModel


def evaluated(
    folder: Path,
    model: IdcModel,
    *,
    context: bool = False,
    prevalence: float | None = None,
    classes: Mapping[str, str] | None = None,
    fast: bool = False,
) -> Report:
    """Evaluate a model on a folder of patches or annotated slides, as :func:`.evaluate.evaluate`.

    ``fast``: its small network alone.
    """
    model = model if not fast else _fast(model)
    patches = read_training_folder(folder, classes=classes)
    return evaluate(patches, model, context=context, prevalence=prevalence)


def predicted(
    slide: Slide,
    model: IdcModel,
    *,
    region: Region | None = None,
    step: float | None = None,
    threshold: float | None = None,
    fast: bool = False,
    fit: bool = False,
) -> Iterator[Event]:
    """Make a heat map, as :func:`.predict.predict`; Finished with a :class:`.heatmap.HeatMap`.

    ``fast``: by the model's small network alone. ``fit``: with its head fitted to the slide first, by what its
    own map says of it.

    Raises
    ------
    ModelError
        If there is no small network, or the head can't be fitted.
    SettingError
        If the map is to be finer, or fast, and fitted.
    """
    if fit and (fast or step is not None):
        raise SettingError(
            "a map is fitted at a step of 200 um by the whole model: leave --fast and --step out"
        )
    model = model if not fast else _fast(model)
    events = (
        fitted_map(slide, model, region) if fit else predict(slide, model, region, step_um=step)
    )
    for event in events:
        if not isinstance(event, Finished):
            yield event
            continue
        heat = event.result
        heat = heat if threshold is None else heat.with_threshold(threshold)
        said = " ".join(filter(None, (f"{heat.area()}.", heat.without_interval, SCOPE)))
        yield Finished(heat, {**heat.summary(), "text": said})


def fitted_map(slide: Slide, model: IdcModel, region: Region | None = None) -> Iterator[Event]:
    """Look at a slide, fit the model's head to it without annotations, and make the map by that."""
    from napari_pathogan.tasks.idc import live  # noqa: PLC0415

    live.past_of(model)
    seen = yield from live.look(slide, model, region=region)
    yield from (Warn(note) for note in seen.notes)
    changed = live.fitted(model, seen, f"{model.card.name}, fitted to the slide")
    yield Finished(seen.map(slide, changed))


def picture(slide: Slide, heat: HeatMap, px: int) -> np.ndarray:
    """The slide with IDC outlined at the threshold."""
    rings = [ring for outline in heat.outlines() for ring in (outline.exterior, *outline.holes)]
    return drawn(overview(slide, px), slide.shape, outlines=((ring, _OUTLINE) for ring in rings))


def _fast(model: IdcModel) -> IdcModel:
    if model.fast is None:
        msg = f"{model.card.name} has no small network that could look alone; leave out --fast"
        raise ModelError(msg)
    return model.fast
