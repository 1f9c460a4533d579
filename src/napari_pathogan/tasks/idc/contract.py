"""What the task's contract names: evaluating on a folder, and a slide's heat map with its areas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished
from napari_pathogan.tasks.idc.annotated import read_training_folder
from napari_pathogan.tasks.idc.evaluate import evaluate
from napari_pathogan.tasks.idc.heatmap import SCOPE
from napari_pathogan.tasks.idc.predict import predict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from napari_pathogan.engine.report import Report
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.idc.model import IdcModel


def evaluated(
    folder: Path,
    model: IdcModel,
    *,
    context: bool = False,
    prevalence: float | None = None,
    classes: Mapping[str, str] | None = None,
) -> Report:
    """Evaluate a model on a folder of patches or annotated slides, as :func:`.evaluate.evaluate`."""
    patches = read_training_folder(folder, classes=classes)
    return evaluate(patches, model, context=context, prevalence=prevalence)


def predicted(
    slide: Slide,
    model: IdcModel,
    *,
    region: Region | None = None,
    step: float | None = None,
    threshold: float | None = None,
) -> Iterator[Event]:
    """Make a heat map, as :func:`.predict.predict`; Finished with a :class:`.heatmap.HeatMap`."""
    for event in predict(slide, model, region, step_um=step):
        if not isinstance(event, Finished):
            yield event
            continue
        heat = event.result
        heat = heat if threshold is None else heat.with_threshold(threshold)
        yield Finished(heat, {**heat.summary(), "text": f"{heat.area()}. {SCOPE}"})
