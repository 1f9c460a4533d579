"""The paper's table: how close each method brings images of one laboratory to another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.colour.baselines import Macenko, Reinhard
from napari_pathogan.colour.histograms import (
    correlation,
    euclidean,
    hellinger,
    histogram,
    structure,
)
from napari_pathogan.colour.lab import joined, to_lab
from napari_pathogan.engine.folds import patient_resamples
from napari_pathogan.engine.report import Report, Value, about_skipped
from napari_pathogan.errors import DataFolderError, PathoganError
from napari_pathogan.tasks.stain.finish import Finish
from napari_pathogan.tasks.stain.predict import student

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_pathogan.tasks.stain.data import StylePool
    from napari_pathogan.tasks.stain.model import StyleModel

METHODS = (
    "none",
    "linear",
    "macenko",
    "reinhard",
    "reinhard_bounded",
    "lut",
    "cnn",
    "cnn_own_lightness",
    "scanner",
)
MEASURES = (
    "euclidean",
    "correlation",
    "hellinger",
    "ssim",
    "euclidean_all",
    "correlation_all",
    "hellinger_all",
)
_ROUNDS = 1000


def evaluate(source: StylePool, target: StylePool, style: StyleModel) -> Report:
    """Carry each image of ``source`` to a style and compare it with the images of ``target``.

    Each patient of the source counts as one slide: Macenko, Reinhard and the student are fitted on
    all of its images at once. Their target, as the network's, is the pool that the style was
    learned from; ``target`` only serves to be compared with, so it may hold other patients.

    Returns
    -------
    Report
        ``<method>_euclidean``, ``_correlation``, ``_hellinger`` (see colour/histograms.py) of the tissue,
        the same over all pixels, glass too, with ``_all``, and ``_ssim`` of the lightness before
        and after; for none, macenko, reinhard, reinhard_bounded (Reinhard's colours on the
        network's lightness, which keeps structure), lut, cnn, and cnn_own_lightness (the paper's);
        for scanner and linear, a baseline, where the style has a map from another scanner.
        Means over images, with 95 % intervals from resampling the source's patients.

    Raises
    ------
    DataFolderError
        If the target is empty, or no image of the source can be carried over; says why.
    """
    if not len(target):
        raise DataFolderError("the target pool is empty; give images of the style")
    goal = histogram(target.images), histogram(target.images, tissue=False)
    rows: dict[str, list[tuple[float, ...]]] = {}
    patients: list[str] = []
    notes = list(_notes(source, target, style))
    for patient in dict.fromkeys(source.patients):
        images = source.select([p == patient for p in source.patients]).images
        try:
            recolour = dict(methods(images, style))
        except PathoganError as error:
            notes.append(f"patient {patient} was left out: {error}")
            continue
        for image in images:
            patients.append(patient)
            for name, change in recolour.items():
                rows.setdefault(name, []).append(_compare(image, change(image), goal))
    if not patients:
        raise DataFolderError(f"no image of the source could be carried over: {notes[-1]}")
    return Report(
        f"{len(patients)} images carried to {style.card.name}",
        figures(rows, patients, MEASURES),
        {"n_images": len(patients), "n_patients": len(set(patients)), "n_target": len(target)},
        tuple(notes),
    )


def methods(
    images: tuple[np.ndarray, ...], style: StyleModel
) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """All ways to a style from the images of one slide, which those that need it are fitted to."""
    pixels = np.concatenate([image.reshape(-1, 3) for image in images])
    yield "none", lambda image: image
    yield "macenko", Macenko.fit(pixels).map_to(style.macenko)
    reinhard = Reinhard.fit(pixels).map_to(style.reinhard)
    yield "reinhard", reinhard
    colours = [style.painted(image) for image in images]
    finish = Finish.fit(images, colours, style.light, style.tint)
    yield "reinhard_bounded", lambda x: joined(finish.light(x), to_lab(reinhard(x))[..., 1:], x)
    yield "lut", student(images, colours, finish)[0]
    yield "cnn", lambda image: style(image, finish=finish)
    yield "cnn_own_lightness", style
    scanner = style.scanner
    if scanner is not None:
        yield "linear", scanner.linearly
        yield "scanner", lambda image: scanner(scanner.softening(image))


def _compare(
    before: np.ndarray, after: np.ndarray, goal: tuple[np.ndarray, np.ndarray]
) -> tuple[float, ...]:
    tissue, all_pixels = (
        [
            measure(histogram([after], tissue=k == 0), goal[k])
            for measure in (euclidean, correlation, hellinger)
        ]
        for k in (0, 1)
    )
    return (*tissue, structure(before, after), *all_pixels)


def figures(
    rows: dict[str, list[tuple[float, ...]]], patients: list[str], measures: tuple[str, ...]
) -> dict[str, Value]:
    """Means over images of each method's measures, with 95 % intervals from resampling patients."""
    weights = np.stack(list(patient_resamples(np.array(patients), _ROUNDS)))
    several = len(set(patients)) > 1
    metrics: dict[str, Value] = {}
    for method in [name for name in METHODS if name in rows]:
        values = np.array(rows[method])
        spread = weights @ values / weights.sum(1, keepdims=True)
        low, high = np.quantile(spread, [0.025, 0.975], axis=0)
        for k, what in enumerate(measures):
            bounds = (float(low[k]), float(high[k])) if several else (None, None)
            metrics[f"{method}_{what}"] = Value(float(values[:, k].mean()), *bounds)
    return metrics


def _notes(source: StylePool, target: StylePool, style: StyleModel) -> Iterator[str]:
    seen = sorted(style.card.knows(target.patients))
    if seen:
        yield (
            f"the style was learned from {len(seen)} of the target's patients "
            f"({', '.join(seen)}): its figures may be too good"
        )
    for pool in (source, target):
        yield from about_skipped(pool.skipped)
