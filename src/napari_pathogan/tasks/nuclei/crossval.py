"""Cross-validation by patient, and the finished model with what it learnt about itself.

The figures on a model's card come from here: every patient is segmented by a network, and cut at
a threshold, that never saw an image of theirs.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.crossval import cross_validate, nested, write_folds
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Event, Finished, Warn
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.models import Metric, ModelCard, TrainingData
from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.engine.trainer import one_part
from napari_pathogan.files import write_text, written
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.nuclei import model
from napari_pathogan.tasks.nuclei.data import NucleiFolder, need_nuclei
from napari_pathogan.tasks.nuclei.evaluate import Scored, foretold, report, score
from napari_pathogan.tasks.nuclei.metrics import pixel_table
from napari_pathogan.tasks.nuclei.network import MULTIPLE
from napari_pathogan.tasks.nuclei.starts import Starts, earlier, going_on, in_common
from napari_pathogan.tasks.nuclei.train import train

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.colour.slide_colours import SlideColours
    from napari_pathogan.engine.report import Report
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.nuclei.config import TrainConfig
    from napari_pathogan.tasks.nuclei.network import UNet

DEFAULT_THRESHOLD = 0.5
THRESHOLDS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
_STEPS = 255  # probabilities are kept as bytes


def learn(
    folder: NucleiFolder,
    config: TrainConfig,
    run: RunFolder,
    *,
    folds: int | str = 0,
    start: str = "",
    device: str = "auto",
    name: str = "",
    data: TrainingData | None = None,
) -> Iterator[Event]:
    """Train a model on all patients, and save it in the run.

    Parameters
    ----------
    folds
        First cross-validate over so many patient folds ("patients": one a patient), which gives the model its operating
        point and the figures on its card. 0: neither.
    start
        Folder of an earlier run of the same folds whose networks to begin with, or, without
        folds, a model's name or folder: its card then says what came before.
    name
        Of the model; the run's folder name by default.
    data
        What the images are and on what terms, for the card.

    Yields
    ------
    Those of :func:`~.train.train`; ``Finished`` with the out-of-fold report or None as its result.
    """
    check(folder, config, folds=folds)
    folds = _number(folds, folder)
    yield from (Warn(f"left out {line}") for line in folder.skipped)
    done, threshold, starts = None, DEFAULT_THRESHOLD, Starts()
    fold = patient_folds(folder.patients, folds) if folds else None
    if start:
        starts = earlier(start, folder, fold, config)
    if fold is not None:
        if not start:
            starts = yield from in_common(folder, fold, config, run, device)
        found = yield from _cross_validate(folder, fold, config, run, starts, device)
        threshold, done = _calibrated(folder, fold, found, run)
    whole = going_on(config, starts.whole, config.final_epochs)
    training = train(folder, whole, run, device=device, start=starts.whole)
    finished = yield from one_part(training, folds, folds + 1)
    learnt = starts.model.card.training_data if starts.model else ()
    before = [part.pseudonymous() for part in learnt]
    model.save(
        run.model,
        _card(name or run.path.name, config, (*before, _described(folder, data)), done, folds),
        finished.result.state_dict(),
        width=config.width,
        squares=config.squares,
        crop=config.crop,
        **_use(starts.model, folder, config, threshold),
    )
    out_of_fold = {"out_of_fold": done.to_dict()} if done else {}
    yield Finished(done, {"model": str(run.model), **out_of_fold})


def _use(
    old: model.NucleiModel | None, folder: NucleiFolder, config: TrainConfig, threshold: float
) -> dict[str, Any]:
    """How the model is to be used: as that which it goes on from, else as it was measured."""
    if old is not None:
        return {name: getattr(old, name) for name in ("threshold", "reference", "share", "views")}
    reference, share = _colours(folder, config)
    return {
        "threshold": threshold,
        "reference": reference,
        "share": share,
        "views": config.views,
    }


def _described(folder: NucleiFolder, data: TrainingData | None) -> TrainingData:
    data = data or TrainingData(name="images with masks")
    return data.of(folder.names, len(folder))


def _card(
    name: str, config: TrainConfig, data: tuple[TrainingData, ...], done: Report | None, folds: int
) -> ModelCard:
    patients = sum(len(part.patients) for part in data)
    metrics = done.metrics if done else {}
    return ModelCard(
        name=name,
        title=f"Nuclei U-Net, width {config.width}, {patients} patient{'s' * (patients != 1)}",
        task=model.TASK,
        architecture=model.ARCHITECTURE,
        training_data=data,
        recipe=config.to_json(),
        metrics={key: Metric(**value._asdict()) for key, value in metrics.items()},
        measured_by=_how(config, folds) if folds else "",
        not_for=(
            "diagnosis or any clinical decision",
            "stains other than H&E, cytology, frozen sections",
            "scales far from 0.25 um/px",
        ),
    )


def _how(config: TrainConfig, folds: int) -> str:
    command = f"pathogan nuclei train DIR -o RUN --width {config.width} --folds {folds}"
    return f"{command}, with this recipe: out of fold, thresholds from the other folds"


def check(folder: NucleiFolder, config: TrainConfig, *, folds: int | str) -> None:
    """Make sure that :func:`learn` has what it needs, before anything is written.

    Raises
    ------
    DataFolderError
        If no nucleus is marked, or there are fewer patients than folds.
    SettingError
        If crops are of a size that the U-Net can't halve four times.
    """
    need_nuclei(folder)
    multiple = MULTIPLE * config.squares
    if config.crop < multiple or config.crop % multiple:
        msg = f"crop={config.crop} is no multiple of {multiple}, as the U-Net's halvings need"
        raise SettingError(msg)
    if number := _number(folds, folder):
        patient_folds(folder.patients, number)


def _number(folds: int | str, folder: NucleiFolder) -> int:
    return len(folder.names) if folds == "patients" else int(folds)


def _cross_validate(  # noqa: PLR0917
    folder: NucleiFolder,
    fold: np.ndarray,
    config: TrainConfig,
    run: RunFolder,
    starts: Starts,
    device: str,
) -> Generator[Event, None, dict[str, np.ndarray]]:
    """Train a network a fold; returns each image's probabilities, uint8 (3, H, W)."""
    folds = int(fold.max()) + 1

    def learn_without(k: int, part: RunFolder) -> Generator[Event, None, UNet]:
        part.start(config.to_json(), resume=True)
        start = starts.folds.get(k)
        own = going_on(config, start)
        training = train(folder.take(fold != k), own, part, device=device, start=start)
        finished = yield from one_part(training, k, folds + 1)
        network: UNet = finished.result
        return network

    def test(k: int, network: UNet, file: Path) -> tuple[Event, ...]:
        tried = _fold_model(network, folder.take(fold != k), config, device)
        _test(folder.take(fold == k), tried, file)
        return ()

    write_folds(run, folder.patients, fold)
    files = yield from cross_validate(run, folds, "out_of_fold.safetensors", learn_without, test)
    found: dict[str, np.ndarray] = {}
    for k, file in enumerate(files):
        planes = load_file(file)
        for number, image in enumerate(folder.take(fold == k).images):
            key = _key(number, image.name)
            found[image.name] = planes[key if key in planes else image.name].numpy()
    return found


def _fold_model(
    network: UNet, learnt: NucleiFolder, config: TrainConfig, device: str
) -> model.NucleiModel:
    """The model of one fold: the reference colours are of the patients that it learned from."""
    card = ModelCard(name="fold", title="fold", task=model.TASK, architecture=model.ARCHITECTURE)
    reference, share = _colours(learnt, config)
    where = choose_device(device)
    return model.NucleiModel(
        card, network, where, DEFAULT_THRESHOLD, config.views, reference, share
    )


def _colours(learnt: NucleiFolder, config: TrainConfig) -> tuple[SlideColours | None, float]:
    """The colours that images are carried to, and how far."""
    return learnt.reference() if config.normalise else None, config.normalise


def _test(folder: NucleiFolder, tried: model.NucleiModel, kept: Path) -> None:
    """Segment the images of a fold and keep the probabilities on disk."""
    numbers = {image.name: number for number, image in enumerate(folder.images)}
    planes = {
        _key(numbers[image.name], image.name): torch.from_numpy(
            (found * _STEPS).round().astype(np.uint8)
        )
        for image, found in foretold(folder, tried)
    }
    with written(kept, OURS) as beside:
        save_file(planes, beside)


def _key(number: int, name: str) -> str:
    """Under which an image's probabilities are kept; those of older runs have its name."""
    return f"{number} {pseudonym(name)}"


def _calibrated(
    folder: NucleiFolder, fold: np.ndarray, found: dict[str, np.ndarray], run: RunFolder
) -> tuple[float, Report]:
    """Choose the threshold, and report fold by fold at the one chosen on the other folds."""
    tried = [
        [
            score(image, found[image.name] / _STEPS, threshold, instances_known=folder.instances)
            for threshold in THRESHOLDS
        ]
        for image in folder.images
    ]
    counts = np.array([[one.pixels for one in row] for row in tried])
    chosen = np.empty(len(fold), int)
    for tested, others in nested(fold):
        chosen[tested] = THRESHOLDS.index(best_threshold(counts[others]))
    scored = [row[t] for row, t in zip(tried, chosen, strict=True)]
    done = report(scored, title="out of fold, by patient")  # what was left out has names
    write_text(run.path / "report.json", done.to_json(), OURS)
    write_text(run.path / "patients.csv", patient_table(scored), OURS)
    return best_threshold(counts), done


def best_threshold(tables: np.ndarray) -> float:
    """The threshold with the highest Dice, the pooled one and the image mean together.

    Parameters
    ----------
    tables
        (N, T, 4): pixel counts of N images at each of the T ``THRESHOLDS``.
    """
    weights = np.ones(len(tables))
    both = []
    for t in range(tables.shape[1]):
        figures = pixel_table(tables[:, t], weights)
        both.append((figures["dice"] or 0.0) + (figures["dice_mean"] or 0.0))
    return THRESHOLDS[int(np.argmax(both))]


def patient_table(scored: Sequence[Scored]) -> str:
    """Comma-separated figures of each patient, by their pseudonyms, one a row."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    for number, patient in enumerate(sorted({one.patient for one in scored})):
        own = np.stack([one.pixels for one in scored if one.patient == patient])
        figures = pixel_table(own, np.ones(len(own)))
        if not number:
            table.writerow(["patient", "images", *figures])
        values = ("" if v is None else f"{v:.4f}" for v in figures.values())
        table.writerow([pseudonym(patient), len(own), *values])
    return stream.getvalue()
