"""Cross-validation by patient, and the finished model with what it learnt about itself.

The figures on a model's card come from here: every patient is segmented by a network, and cut at
a threshold, that never saw an image of theirs.
"""

from __future__ import annotations

import copy
import csv
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file

from napari_pathogan.engine.backbones import origin
from napari_pathogan.engine.before_after import FILE
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.crossval import (
    OUT_OF_FOLD,
    cross_validate,
    need_model,
    nested,
    write_folds,
)
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Event, Finished, Warn
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.models import ModelCard, TrainingData, card_metrics, lineage
from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.engine.runs import save_arrays
from napari_pathogan.engine.trainer import one_part
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.nuclei import model
from napari_pathogan.tasks.nuclei.baseline import PixelBaseline, sample
from napari_pathogan.tasks.nuclei.before_after import before_and_after
from napari_pathogan.tasks.nuclei.data import NucleiFolder, need_nuclei, read_others
from napari_pathogan.tasks.nuclei.encoder import EncoderUNet
from napari_pathogan.tasks.nuclei.ensemble import UNET
from napari_pathogan.tasks.nuclei.evaluate import (
    Scored,
    beside,
    by_baseline,
    predicted_images,
    report,
    score,
)
from napari_pathogan.tasks.nuclei.metrics import pixel_table
from napari_pathogan.tasks.nuclei.network import MULTIPLE
from napari_pathogan.tasks.nuclei.starts import (
    Starts,
    earlier,
    going_on,
    in_common,
    joined,
    learnt_by,
    unseen_by,
)
from napari_pathogan.tasks.nuclei.train import train

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_pathogan.colour.slide_colours import SlideColours
    from napari_pathogan.engine.report import Report, Value
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.nuclei.config import TrainConfig
    from napari_pathogan.tasks.nuclei.model import Network

DEFAULT_THRESHOLD = 0.5
THRESHOLDS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
OTHERS, GROUPS = "others", 2  # laboratories beside, of which folds leave every second out
_STEPS = 255  # probabilities are kept as bytes


def learn(
    folder: NucleiFolder,
    config: TrainConfig,
    run: RunFolder,
    *,
    folds: int | str = 0,
    start: str = "",
    others: Path | None = None,
    compare: bool = False,
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
    others
        Folder of images with masks of other laboratories, to learn from beside. Where their names
        tell groups, each fold learns from every second group, and the two first folds are tested
        on the rest: what is said of them is of networks that saw nothing of their group.
    compare
        First measure what is gained over the model that is begun with, as
        :func:`.before_after.before_and_after`.
    name
        Of the model; the run's folder name by default.
    data
        What the images are and on what terms, for the card.

    Yields
    ------
    Those of :func:`~.train.train`; ``Finished`` with the out-of-fold report, that of before and after, or None as its result.
    """
    check(folder, config, folds=folds, start=start, compare=compare)
    folds = _number(folds, folder)
    yield from (Warn(f"left out {line}") for line in folder.skipped)
    foreign = read_others(others) if others else None
    yield from (Warn(f"left out {line}") for line in (foreign.skipped if foreign else ()))
    done, elsewhere, threshold, starts = None, None, DEFAULT_THRESHOLD, Starts()
    fold = patient_folds(folder.patients, folds) if folds else None
    if start:
        starts = earlier(start, folder, fold, config)
    if fold is not None:
        if not start:
            starts = yield from in_common(folder, fold, config, run, device, foreign)
        found = yield from _cross_validate(folder, fold, config, run, starts, device, foreign)
        threshold, done = _calibrated(folder, fold, found, run)
        elsewhere = _elsewhere(foreign, run, threshold) if foreign else None
    whole = going_on(config, starts.whole, config.final_epochs)
    gain = None
    if compare and starts.whole is not None:
        old = model.NucleiModel.load(start, device)
        gain = yield from before_and_after(folder, whole, run, old, starts.whole, device)
        write_text(run.path / FILE, gain.to_json(), OURS)
    seen = folder
    if starts.model is not None:  # which sees slides in colours of its own
        seen = folder.carried(starts.model.reference, starts.model.share)
    training = train(seen, whole, run, device=device, start=starts.whole, others=foreign)
    finished = yield from one_part(training, folds, folds + 1)
    network = joined(finished.result, starts.whole)
    if gain is not None:
        gain = _with_reference(gain, old, network)
        write_text(run.path / FILE, gain.to_json(), OURS)
    learnt = starts.model.card.training_data if starts.model else ()
    before = [part.pseudonymous() for part in learnt]
    also = [*origin(config.backbone)] if config.backbone else []
    if foreign is not None and others is not None:
        also.insert(0, _described(foreign, TrainingData(name=others.name)))
    model.save(
        run.model,
        _card(
            name or run.path.name,
            config,
            ((*before, _described(folder, data)), tuple(also)),
            (done or gain, elsewhere),
            folds,
            lineage(starts.model.card, folder.digest) if starts.model else {},
        ),
        network,
        crop=config.crop,
        baseline=fit_baseline(folder),
        **_use(starts.model, folder, config, threshold),
    )
    reports = {"out_of_fold": done, "other_laboratories": elsewhere, "before_and_after": gain}
    summary = {key: one.to_dict() for key, one in reports.items() if one}
    shown = tuple(one for one in reports.values() if one)
    yield Finished(shown if elsewhere else done or gain, {"model": str(run.model), **summary})


def _with_reference(gain: Report, old: model.NucleiModel, network: Network) -> Report:
    """The report of before and after, with what was forgotten: figures on drawn tiles."""
    from napari_pathogan.tasks.nuclei import reference  # noqa: PLC0415

    new = replace(old, network=model.quick(copy.deepcopy(network)))
    metrics = {**gain.metrics, **reference.forgotten(old, new)}
    return replace(gain, metrics=metrics, notes=(*gain.notes, reference.NOTE))


def _use(
    old: model.NucleiModel | None, folder: NucleiFolder, config: TrainConfig, threshold: float
) -> dict[str, Any]:
    """How the model is to be used: as that which it goes on from, else as it was measured."""
    if old is not None:  # what it looks at once where there is no bfloat16 is asked of its card
        settings = old.card.settings
        views = {name: settings[name] for name in ("views", "views_float32") if name in settings}
        return {name: getattr(old, name) for name in ("threshold", "reference", "share")} | views
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


def _card(  # noqa: PLR0917
    name: str,
    config: TrainConfig,
    data: tuple[tuple[TrainingData, ...], tuple[TrainingData, ...]],
    reports: tuple[Report | None, Report | None],
    folds: int,
    came_from: Mapping[str, str],
) -> ModelCard:
    patients = sum(len(part.patients) for part in data[0])
    done, elsewhere = (one.metrics if one else {} for one in reports)
    what = f"U-Net, {f'on {config.backbone}' if config.backbone else f'width {config.width}'}"
    if came_from:
        what = f"gone on from {came_from['parent']}"
    return ModelCard(
        name=name,
        title=f"Nuclei {what}, {patients} patient{'s' * (patients != 1)}",
        task=model.TASK,
        architecture=UNET,
        training_data=data[0] + data[1],
        recipe={**config.to_json(), **came_from},
        metrics={**card_metrics(done), **card_metrics(elsewhere, f"{OTHERS}_")},
        measured_by=_how(config, folds, with_others=bool(elsewhere)) if folds else _compared(done),
        not_for=(
            "diagnosis or any clinical decision",
            "stains other than H&E, cytology, frozen sections",
            "scales far from 0.25 um/px",
        ),
    )


def _how(config: TrainConfig, folds: int, *, with_others: bool) -> str:
    which = f"--backbone {config.backbone}" if config.backbone else f"--width {config.width}"
    command = f"pathogan nuclei train DIR -o RUN {which} --folds {folds}"
    command += " --others OTHERS" * with_others
    return f"{command}, with this recipe: out of fold, thresholds from the other folds"


def _compared(metrics: Mapping[str, Value]) -> str:
    command = "pathogan nuclei train SLIDES -o RUN --start MODEL --compare"
    if not metrics:
        return ""
    held = "halves held back, and on " * ("dice_gain" in metrics)
    return f"{command}: before and after on {held}drawn tiles"


def check(
    folder: NucleiFolder,
    config: TrainConfig,
    *,
    folds: int | str,
    others: Path | None = None,
    start: str = "",
    compare: bool = False,
) -> None:
    """Make sure that :func:`learn` has what it needs, before anything is written.

    Raises
    ------
    DataFolderError
        If no nucleus is marked, there are fewer patients than folds, or the others won't do.
    SettingError
        If crops are of a size that the U-Net can't halve four times, or there is nothing to compare
        with.
    ModelNotFoundError, ModelError
        If there is no such backbone, or a U-Net can't have it.
    """
    need_nuclei(folder)
    need_model(start, compare=compare, folds=folds)
    if others is not None:
        need_nuclei(read_others(others))
    if config.backbone:
        EncoderUNet.on(config.backbone, config.width)
    multiple = MULTIPLE * (1 if config.backbone else config.squares)
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
    foreign: NucleiFolder | None,
) -> Generator[Event, None, dict[str, np.ndarray]]:
    """Train a network a fold; returns each image's probabilities, uint8 (3, H, W)."""
    folds = int(fold.max()) + 1

    def learn_without(k: int, part: RunFolder) -> Generator[Event, None, Network]:
        part.start(config, resume=True)
        start = starts.folds.get(k)
        own = going_on(config, start)
        learnt = folder.take(fold != k)
        others = learnt_by(foreign, k)
        training = train(learnt, own, part, device=device, start=start, others=others)
        finished = yield from one_part(training, k, folds + 1)
        network: Network = finished.result
        return network

    def test(k: int, network: Network, file: Path) -> tuple[Event, ...]:
        tried = _fold_model(network, folder.take(fold != k), config, device)
        if k < GROUPS and foreign is not None and len(foreign.names) >= GROUPS:
            _test(
                foreign.take(unseen_by(foreign, k)), tried, run.path / OTHERS / f"{k}.safetensors"
            )
        _test(folder.take(fold == k), tried, file)
        return ()

    write_folds(run, folder.patients, fold)
    files = yield from cross_validate(run, folds, OUT_OF_FOLD, learn_without, test)
    found: dict[str, np.ndarray] = {}
    for k, file in enumerate(files):
        found |= _kept(folder.take(fold == k), file)
    return found


def _kept(folder: NucleiFolder, file: Path) -> dict[str, np.ndarray]:
    """Probabilities of the images of a fold, by name."""
    planes = load_file(file)
    found: dict[str, np.ndarray] = {}
    for number, image in enumerate(folder.images):
        key = _key(number, image.name)
        found[image.name] = planes[key if key in planes else image.name]
    return found


def _elsewhere(foreign: NucleiFolder, run: RunFolder, threshold: float) -> Report | None:
    """Report on other laboratories: each group by a network that saw none of it."""
    scored = []
    for k in range(GROUPS):
        part, file = foreign.take(unseen_by(foreign, k)), run.path / OTHERS / f"{k}.safetensors"
        if len(foreign.names) < GROUPS or not file.exists():
            return None
        found = _kept(part, file)
        scored += [
            score(i, found[i.name] / _STEPS, threshold, instances_known=foreign.instances)
            for i in part.images
        ]
    done = report(scored, title="other laboratories, by networks that saw nothing of their group")
    write_text(run.path / f"{OTHERS}.json", done.to_json(), OURS)
    return done


def _fold_model(
    network: Network, learnt: NucleiFolder, config: TrainConfig, device: str
) -> model.NucleiModel:
    """The model of one fold: the reference colours are of the patients that it learned from."""
    card = ModelCard(name="fold", title="fold", task=model.TASK, architecture=UNET)
    reference, share = _colours(learnt, config)
    where = choose_device(device)
    return model.NucleiModel(
        card, model.quick(network), where, DEFAULT_THRESHOLD, config.views, reference, share
    )


def _colours(learnt: NucleiFolder, config: TrainConfig) -> tuple[SlideColours | None, float]:
    """The colours that images are carried to, and how far."""
    return learnt.reference() if config.normalise else None, config.normalise


def _test(folder: NucleiFolder, tried: model.NucleiModel, kept: Path) -> None:
    """Segment the images of a fold and keep the probabilities on disk."""
    numbers = {image.name: number for number, image in enumerate(folder.images)}
    planes = {
        _key(numbers[image.name], image.name): (found * _STEPS).round().astype(np.uint8)
        for image, found in predicted_images(folder, tried)
    }
    save_arrays(kept, planes)


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
    simple = baseline_out_of_fold(folder, fold)
    done = beside(done, simple) if simple else done
    write_text(run.path / "report.json", done.to_json(), OURS)
    write_text(run.path / "patients.csv", patient_table(scored), OURS)
    return best_threshold(counts), done


def fit_baseline(folder: NucleiFolder) -> PixelBaseline | None:
    """Fit what stain alone tells to images; None where all that is known is of one label."""
    return PixelBaseline.fit([sample(*image.at(model.MPP)) for image in folder.images])


def baseline_out_of_fold(folder: NucleiFolder, fold: np.ndarray) -> list[Scored]:
    """Score each image by stain alone, learnt from the other folds; nothing where that can't be."""
    samples = [sample(*image.at(model.MPP)) for image in folder.images]
    scored = []
    for tested, others in nested(fold):
        baseline = PixelBaseline.fit([samples[i] for i in np.flatnonzero(others)])
        if baseline is None:
            return []
        scored += [by_baseline(folder.images[i], baseline) for i in np.flatnonzero(tested)]
    return scored


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
