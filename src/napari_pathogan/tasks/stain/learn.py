"""From a pool to a style's model: checked on patients held out, then learned from all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.colour.histograms import structure
from napari_pathogan.colour.lab import joined, lightness, to_lab
from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.engine.models import Metric, ModelCard, TrainingData
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.tasks.stain import model
from napari_pathogan.tasks.stain.config import RECIPES
from napari_pathogan.tasks.stain.data import StylePool
from napari_pathogan.tasks.stain.model import StyleModel
from napari_pathogan.tasks.stain.network import colours, whole
from napari_pathogan.tasks.stain.scanner import ScannerMap
from napari_pathogan.tasks.stain.student import distil
from napari_pathogan.tasks.stain.train import train

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from napari_pathogan.tasks.stain.config import TrainConfig
    from napari_pathogan.tasks.stain.network import Colouriser


def learn(
    pool: StylePool,
    config: TrainConfig,
    run: RunFolder,
    *,
    holdout: float = 0.25,
    mpp: float | None = None,
    from_pool: Path | StylePool | None = None,
    name: str = "",
    data: TrainingData | None = None,
    device: str = "auto",
    measured_by: str = "",
) -> Iterator[Event]:
    """Learn a style from a pool and write its model to ``run.model``.

    With ``holdout``, a first network learns without that share of the patients and is measured on
    them; the model learns from all. The run without them stays in ``run/held_out``, with a model
    of its own, for ``evaluate`` against patients it never saw. With ``from_pool``, images of another
    scanner, the style gets a map from those to the pool (:class:`.scanner.ScannerMap`); held-out
    patients are left out of both. ``measured_by`` is the command that does this, where it is another.

    Yields
    ------
    Events of both trainings, and Finished with the :class:`StyleModel`.

    Raises
    ------
    DataFolderError
        If the pool has no second patient to hold out.
    """
    name = name or run.path.name
    metrics: dict[str, Metric] = {}
    how = measured_by or _how(config, holdout, mpp, from_pool)
    other = StylePool.read(from_pool) if isinstance(from_pool, Path) else from_pool
    if holdout:
        rest, out = pool.split(holdout, config.seed)
        part = RunFolder(run.path / "held_out")
        part.start(config, resume=True)
        network = yield from _trained(rest, config, part, "without held-out patients: ", device)
        before = None if other is None else other.without(out.patients)
        about = _card(f"{name}-held-out", rest, before, config, mpp=mpp, data=data, metrics={})
        checked = _save(part, about, network, rest, before, device=device)
        metrics = _measure(checked, out)
    network = yield from _trained(pool, config, run, "all patients: " if holdout else "", device)
    style = _save(
        run,
        _card(name, pool, other, config, mpp=mpp, data=data, metrics=metrics, measured_by=how),
        network,
        pool,
        other,
        device=device,
    )
    summary = {"model": str(run.model), **{k: m.value for k, m in metrics.items()}}
    yield Finished(style, summary)


def _how(
    config: TrainConfig, holdout: float, mpp: float | None, from_pool: Path | StylePool | None
) -> str:
    """The command that gives the figures again."""
    command = f"pathogan stain train IMAGES -o RUN {config.typed(RECIPES)} --holdout {holdout!r}"
    command += "" if mpp is None else f" --mpp {mpp!r}"
    command += "" if from_pool is None else " --from-pool OTHERS"
    return f"{command}: a first network, on patients it had not seen"


def _trained(
    pool: StylePool, config: TrainConfig, run: RunFolder, prefix: str, device: str
) -> Generator[Event, None, Colouriser]:
    for event in train(pool, config, run, device=device):
        if isinstance(event, Finished):
            network: Colouriser = event.result
            return network
        yield replace(event, what=prefix + event.what) if isinstance(event, Progress) else event
    raise AssertionError("training ends with Finished")


def _save(
    run: RunFolder,
    card: ModelCard,
    network: Colouriser,
    pool: StylePool,
    other: StylePool | None,
    *,
    device: str,
) -> StyleModel:
    """Measure how well a student can follow, on the pool; write the model and read it back.

    ``other`` is the pool that the map from another scanner starts from.
    """
    parts = [whole(image) for image in pool.images[:: max(1, len(pool) // 16)]]
    _, error = distil(parts, [colours(network, lightness(part)) for part in parts])
    scanner = None if other is None else ScannerMap.fit(other, pool)
    width = card.recipe["width"]
    model.save(run.model, card, network, pool, width=width, student_error=error, scanner=scanner)
    return StyleModel.load(run.model, device)


def _measure(style: StyleModel, out: StylePool) -> dict[str, Metric]:
    """Of patients the network never saw: their colours from their lightness, in Lab units.

    The baseline gives each lightness the mean colour that it has in the pool.
    """
    apart, simply, kept = [], [], []
    for image in out.images:
        made, light = style(image), lightness(image)
        apart.append(colours_apart(made, image))
        simply.append(colours_apart(joined(light, style.tint.typical(light), image), image))
        kept.append(structure(image, made))
    return {
        "colour_error_lab": Metric(value=float(np.mean(apart))),
        "baseline_colour_error_lab": Metric(value=float(np.mean(simply))),
        "ssim_lightness": Metric(value=float(np.mean(kept))),
        **_measure_classes(style, out),
    }


def colours_apart(made: np.ndarray, image: np.ndarray) -> float:
    """How far the colours of two images (H, W, 3) are apart, lightness aside, in Lab units."""
    return float(np.linalg.norm((to_lab(made) - to_lab(image))[..., 1:], axis=-1).mean())


def _measure_classes(style: StyleModel, out: StylePool) -> dict[str, Metric]:
    """How often the class head is right; nothing without one."""
    if style.network.classify is None:
        return {}
    right = np.array([style.tissue_class(image) for image in out.images]) == out.labels
    each = [right[np.equal(out.labels, label)].mean() for label in sorted(set(out.labels))]
    return {
        "class_accuracy": Metric(value=float(right.mean())),
        "class_balanced_accuracy": Metric(value=float(np.mean(each))),
    }


def _card(
    name: str,
    pool: StylePool,
    other: StylePool | None,
    config: TrainConfig,
    *,
    mpp: float | None,
    data: TrainingData | None,
    metrics: dict[str, Metric],
    measured_by: str = "",
) -> ModelCard:
    about = data or TrainingData(name="a pool of images")
    used = [about.of(pool.patients, len(pool))]
    if other is not None:
        start = TrainingData(name="images of another scanner, not paired", terms=about.terms)
        used.append(start.of(other.patients, len(other)))
    return ModelCard(
        name=name,
        title=f"Stain style of {about.name}, {len(set(pool.patients))} patients",
        task=model.TASK,
        architecture=model.ARCHITECTURE,
        mpp=mpp,
        training_data=tuple(used),
        recipe=config.to_json(),
        metrics=metrics,
        measured_by=measured_by if metrics else "",
        not_for=(
            "diagnosis: the colours are a guess from lightness",
            "stains other than H&E, and quantifying a stain",
            *(("its scanner map: slides of other scanners than those two",) if other else ()),
        ),
    )
