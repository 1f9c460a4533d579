"""A style of one's own: learnt from the regions that a reader has outlined on slides.

A style begins with nothing; the one that it is named beside is what it is measured against.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.annotations import outlines
from napari_pathogan.colour.stained import need_colours, tissue_tiles
from napari_pathogan.engine.before_after import FILE, HALVES, compared, judged
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.report import Report
from napari_pathogan.errors import DataFolderError, NoTissueError
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.slides.geometry import Overlay
from napari_pathogan.slides.polygons import inside
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.tissue import tissue_mask
from napari_pathogan.tasks.stain.config import RECIPES
from napari_pathogan.tasks.stain.data import StylePool
from napari_pathogan.tasks.stain.learn import colours_apart, learn
from napari_pathogan.tasks.stain.model import StyleModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.engine.models import TrainingData
    from napari_pathogan.engine.runs import RunFolder

SUFFIX, KIND, RECIPE = ".stain.geojson", "stain annotations", "quick"
FIGURE = "colour_error"
_SIDE_PX = 256


def read(slide: Slide, path: Path | None = None) -> tuple[list[Annotation], list[str]]:
    """Regions that are kept with a slide, or of another file; as :func:`.outlines.read`."""
    return outlines.read(slide, SUFFIX, path)


def write(slide: Slide, annotations: Sequence[Annotation]) -> Path:
    """Keep regions with their slide; as :func:`.outlines.write`."""
    return outlines.write(slide, SUFFIX, KIND, annotations)


def counted(
    slide: Slide,
    annotations: Sequence[Annotation],
    classes: Mapping[str, str] | None = None,
) -> tuple[dict[str, int], list[str]]:
    """How many tiles of tissue there are in regions, and what the user should know.

    Raises
    ------
    SlideFormatError
        If the slide is grey.
    """
    del classes
    need_colours(slide)
    tiles = sum(len(_tiles(slide, one)) for one in annotations if _used(one))
    notes = outlines.beyond(slide, "the annotations", annotations)
    if annotations and not tiles:
        notes.append(f"{slide.name}: no region holds tissue")
    return {"tiles": tiles}, notes


def retrain(
    slides: Sequence[Path],
    base: str,
    run: RunFolder,
    *,
    device: str = "auto",
    name: str = "",
    data: TrainingData | None = None,
    classes: Mapping[str, str] | None = None,
    mpp: float | None = None,
) -> Iterator[Event]:
    """Learn a style from regions; of two slides or more, half are held back first to measure on.

    Yields
    ------
    As :func:`.learn.learn`; Finished with the report of the old and the new style on what was held back.

    Raises
    ------
    SettingError
        If classes are given.
    DataFolderError
        If no region holds tissue, or annotations are of another image.
    ModelNotFoundError, ModelError
        If there is no such style, or its files don't fit together.
    """
    if classes:
        raise SettingError(
            f"classes={', '.join(classes)} would count for nothing: a region's class is the tissue's"
        )
    old = StyleModel.load(base, device)
    images, patients, names = [], [], []
    scales = []
    for number, path in enumerate(slides):
        yield Progress(number, len(slides), f"cutting tiles out of {path.name}")
        with Slide.open(path, mpp=mpp) as slide:
            drawn, notes = read(slide)
            for note in notes:
                yield Warn(note)
            own = [
                (tile, one.class_name) for one in drawn if _used(one) for tile in _tiles(slide, one)
            ]
            if not own:
                yield Warn(f"{path.name}: no region on it holds tissue")
            for tile, called in own:
                images.append(tile)
                names.append(called)
                patients.append(slide.name.split(".")[0])
            scales += [float(np.mean(slide.mpp))] if own and slide.mpp is not None else []
    if not images:
        msg = "none of the slides has regions of tissue: import outlines of the colours that are wanted"
        raise DataFolderError(msg)
    known = tuple(sorted(set(names))) if len(set(names)) > 1 else ()
    labels = tuple(known.index(one) if known else 0 for one in names)
    files = tuple(f"{patient}_{i}" for i, patient in enumerate(patients))
    pool = StylePool(tuple(images), files, tuple(patients), labels, known)
    config = RECIPES[RECIPE]
    share = 1 / HALVES if len(set(patients)) > 1 else 0.0
    run.start(config, {"slides": [str(path) for path in slides], "base": base})
    how = f"pathogan retrain stain --slides ... --base {old.card.name} -o RUN: half of the slides held back"
    finished: Finished | None = None
    for event in learn(
        pool, config, run, holdout=share, mpp=scales[0] if scales else None, name=name, data=data,
        device=device, measured_by=how,
    ):  # fmt: skip
        if isinstance(event, Finished):
            finished = event
        else:
            yield event
    assert finished is not None
    yield Progress(1, 1, "comparing before and after")
    if share:
        held = StyleModel.load(run.path / "held_out" / "model", device)
        report = compare(old, held, pool.split(share, config.seed)[1])
    else:
        note = "not measured, which needs regions of two slides at least"
        report = Report(f"{old.card.name} and the new style", {}, {}, (note,))
    report = replace(report, counts={"n_tiles": len(pool), "n_slides": len(set(patients))})
    report = judged(report, FIGURE)
    write_text(run.path / FILE, report.to_json(), OURS)
    yield Finished(report, {"model": str(run.model), **report.to_dict()})


def compare(old: StyleModel, new: StyleModel, out: StylePool) -> Report:
    """How far two styles' colours of tiles are from the tiles' own, which neither has seen."""
    each = np.array(
        [[colours_apart(style(image), image) for style in (old, new)] for image in out.images]
    )

    def figure(which: np.ndarray) -> tuple[float, float] | None:
        before, after = each[which].mean(0).tolist()
        return before, after

    metrics = compared(FIGURE, figure, np.array(out.patients), less_is_better=True)
    notes = ("colours of slides held back, made from their lightness, against their own",)
    return Report(f"{old.card.name} and the new style", metrics, {}, notes)


def _used(one: Annotation) -> bool:
    return not one.class_name.endswith("*")  # QuPath's way to say that it is to be ignored


def _tiles(slide: Slide, outline: Annotation) -> list[np.ndarray]:
    """Tiles of the tissue in an outline, in the slide's own pixels: uint8 (256, 256, 3) each."""
    mask = tissue_mask(slide)
    overlay = mask.overlay
    rows, cols = np.indices(overlay.data.shape)
    middles = np.stack([rows.ravel(), cols.ravel()], 1) + 0.5
    points = middles * np.asarray(overlay.step) + np.asarray(overlay.origin) - 0.5
    rings = [rings[0] - 0.5 for rings in outline.polygons]
    within = inside(points, None, rings).reshape(overlay.data.shape)
    tissue = np.asarray(overlay.data, bool) & within
    if not tissue.any():
        return []
    own = replace(mask, overlay=Overlay(tissue, overlay.origin, overlay.step))
    try:
        return tissue_tiles(slide, None, _SIDE_PX, mask=own)
    except NoTissueError:
        return []
