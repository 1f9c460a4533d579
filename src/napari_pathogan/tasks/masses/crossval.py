"""Cross-validation by patient, and the finished model with what it learnt about itself.

The figures on a model's card come from here: masses of every patient are looked for by a detector
that never saw an image of theirs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from napari_pathogan.engine.before_after import FILE, HALVES
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.crossval import cross_validate, need_model, write_folds
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.models import ModelCard, TrainingData, card_metrics, lineage
from napari_pathogan.engine.runs import RunFolder, load_state
from napari_pathogan.engine.trainer import one_part
from napari_pathogan.errors import DataFolderError
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.masses import model
from napari_pathogan.tasks.masses.arms import synthetic
from napari_pathogan.tasks.masses.baseline import spots
from napari_pathogan.tasks.masses.before_after import before_and_after
from napari_pathogan.tasks.masses.config import arguments
from napari_pathogan.tasks.masses.data import need_masses
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.evaluate import grouped, report
from napari_pathogan.tasks.masses.examples import Example, framed
from napari_pathogan.tasks.masses.frame import ranked
from napari_pathogan.tasks.masses.froc import Froc
from napari_pathogan.tasks.masses.network import BUILDERS
from napari_pathogan.tasks.masses.procedural import pictures
from napari_pathogan.tasks.masses.scored import SCORED, Scored
from napari_pathogan.tasks.masses.sizes import by_size
from napari_pathogan.tasks.masses.starts import check_start, learnt_from, model_of
from napari_pathogan.tasks.masses.train import train

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from torchvision.models.detection import MaskRCNN

    from napari_pathogan.engine.report import Report
    from napari_pathogan.tasks.masses.config import TrainConfig
    from napari_pathogan.tasks.masses.data import MassFolder
    from napari_pathogan.tasks.masses.examples import Framed

DEFAULT_FPPI = 0.5  # the operating point that the paper reports
_PICTURES, _ROOM_PX = 1000, 64  # procedural pictures, and how much larger than crops they are
_STRIDE = 32  # of the detector's coarsest features


class Known(NamedTuple):
    """What is known of a detector; by default nothing."""

    report: Report | None = None
    froc: Froc = Froc(np.zeros(0), np.zeros(0), np.zeros(0))
    calibration: tuple[float, float] = (1.0, 0.0)
    threshold: float = 0.5
    measured: Mapping[str, Any] = {}

    @classmethod
    def of(cls, card: ModelCard | None) -> Known:
        """What a model was used to, which stays when it learns on; nothing without a model."""
        if card is None:
            return cls()
        slope, offset = card.settings["calibration"]
        return cls(
            calibration=(float(slope), float(offset)), threshold=float(card.settings["threshold"])
        )


def learn(
    folder: MassFolder,
    config: TrainConfig,
    run: RunFolder,
    *,
    folds: int = 0,
    start: str = "",
    compare: bool = False,
    device: str = "auto",
    name: str = "",
    data: TrainingData | None = None,
) -> Iterator[Event]:
    """Train a detector on all patients, and save it in the run.

    Parameters
    ----------
    folds
        First cross-validate over so many patient folds, which gives the model its operating
        point, its FROC curve and the figures on its card. 0: neither.
    start
        Folder of an earlier run of the same folds, whose detectors to begin with; or a model that
        knows no patient of the folds. Its threshold and calibration stay if there are no folds.
    compare
        First measure what is gained over that model, as :func:`.before_after.before_and_after`.
    name
        Of the model; the run's folder name by default.
    data
        What the images are and on what terms, for the card.

    Yields
    ------
    Those of :func:`~.train.train`; ``Finished`` with the out-of-fold report, that of before and after, or None as its result.

    Raises
    ------
    DataFolderError, SettingError
        As :func:`check`.
    """
    check(folder, config, folds=folds, start=start, compare=compare)
    yield from (Warn(f"left out {line}") for line in folder.skipped)
    fold = _fold(folder, folds)
    write_folds(run, folder.patients, fold)
    seen = yield from framed(folder, config.long_side, config.grey)
    parts = HALVES if compare else folds
    training = _Training(folder, seen, config, run, device, parts)
    begin = yield from _beginning(config, run, start, device)
    known = Known.of(begin.card)
    if folds:
        known = yield from _cross_validate(training, fold, begin)
    gain = (yield from _gain(training, begin, start)) if compare else None
    network = yield from training.one(run, np.arange(len(folder)), begin, parts)
    about = folder.described(data)
    model.save(
        run.model,
        _card(
            name or run.path.name,
            config,
            begin,
            about,
            known.report or gain,
            folds,
            folder.digest,
        ),
        network,
        froc=known.froc,
        threshold=known.threshold,
        long_side=config.long_side,
        calibration=known.calibration,
        views=model.Views(scales=config.scales),
        grey=config.grey,
        measured=known.measured,
    )
    reports = {"out_of_fold": known.report, "before_and_after": gain}
    summary = {name: one.to_dict() for name, one in reports.items() if one}
    yield Finished(known.report or gain, {"model": str(run.model), **summary})


def check(
    folder: MassFolder, config: TrainConfig, *, folds: int, start: str = "", compare: bool = False
) -> None:
    """Make sure that :func:`learn` has what it needs, before anything is written.

    Raises
    ------
    DataFolderError
        If no image has a mass, there are fewer patients than folds, a fold would learn without a
        mass, or ``start`` is no finished run of the same folds, or a model that knows patients of
        a fold.
    ModelNotFoundError
        If ``start`` is neither a run nor a model.
    SettingError
        If the detector has no such name, or crops are no multiples of 32 px, or there are both
        weights and something else to begin with, or there is nothing to compare with.
    """
    need_masses(folder)
    need_model(start, compare=compare, folds=folds)
    if start and config.weights:
        msg = (
            f"weights={config.weights} would count for nothing beside start={start}: leave one out"
        )
        raise SettingError(msg)
    if config.detector not in BUILDERS:
        msg = f"detector={config.detector} is not among {', '.join(BUILDERS)}"
        raise SettingError(msg)
    if any(side < _STRIDE or side % _STRIDE for side in config.crop):
        msg = f"crop={list(config.crop)} are no multiples of {_STRIDE}, the detector's stride"
        raise SettingError(msg)
    fold = _fold(folder, folds)
    for k in range(folds):
        if not folder.n_masses[fold != k].any():
            msg = f"all masses are of the patients of one of {folds} folds; ask for other folds"
            raise DataFolderError(msg)
    if start:
        check_start(start, folder, fold)


def _fold(folder: MassFolder, folds: int) -> np.ndarray:
    """The fold in which each image is tested; -1 where there are none."""
    return patient_folds(folder.patients, folds) if folds else np.full(len(folder), -1)


class _Begin(NamedTuple):
    """The folder to begin with: of an earlier run, fold by fold, or one for all; a model's card."""

    earlier: Path | None = None
    common: Path | None = None
    card: ModelCard | None = None

    def of(self, part: Path) -> Path | None:
        """The folder for a part of this run, ``folds/0`` or ``.``."""
        return self.common if self.earlier is None else self.earlier / part

    def learnt(self, data: TrainingData) -> tuple[TrainingData, ...]:
        """What was learnt from, for the card: also what the model to begin with knows."""
        return learnt_from(self.card.training_data if self.card else (), data)

    def recipe(self, config: TrainConfig, digest: str) -> dict[str, Any]:
        """The settings, for the card; what came before, with its own, under ``start``."""
        own = config.to_json()
        if self.card is not None:
            return {**own, "start": self.card.recipe, **lineage(self.card, digest)}
        if self.earlier is None:
            return own
        before = json.loads(RunFolder(self.earlier).config.read_text(encoding="utf-8"))
        return {**own, "start": {name: before[name] for name in own if name in before}}


def _beginning(
    config: TrainConfig, run: RunFolder, start: str, device: str
) -> Generator[Event, None, _Begin]:
    """Find what to begin with, or learn it."""
    if start:
        found = model_of(start)
        return _Begin(Path(start)) if found is None else _Begin(common=found[0], card=found[1])
    if config.procedural_epochs:
        return (yield from _procedural(config, run, device))
    return _Begin()


def _procedural(config: TrainConfig, run: RunFolder, device: str) -> Generator[Event, None, _Begin]:
    """Learn from breasts made of noise, once for all folds."""
    own = replace(config, arm="real", epochs=config.procedural_epochs, procedural_epochs=0)
    part = RunFolder(run.path / "procedural")
    part.start(own, resume=True)
    if part.checkpoint.exists() and load_state(part.checkpoint)["epoch"] == own.epochs:
        return _Begin(common=part.path)
    height, width = config.crop
    size = height + _ROOM_PX, width + _ROOM_PX
    yield Progress(0, config.procedural_epochs, "drawing breasts made of noise")
    drawn = [
        Example(_greys(image, config), masks)
        for image, masks in pictures(_PICTURES, size, config.seed, config.long_side)
    ]
    yield from one_part(train(drawn, own, part, device=device), 0, 1, "procedural")
    return _Begin(common=part.path)


def _greys(image: torch.Tensor, config: TrainConfig) -> torch.Tensor:
    """A drawn breast in the greys that the detector is to see."""
    if config.grey == "shown":
        return image
    pixels = image.numpy()
    return torch.from_numpy(ranked(pixels, pixels > 0))


class _Training(NamedTuple):
    """What the folds of a training share."""

    folder: MassFolder
    seen: Mapping[int, Framed]
    config: TrainConfig
    run: RunFolder
    device: str
    folds: int

    def one(
        self, run: RunFolder, indices: np.ndarray, begin: _Begin, part: int
    ) -> Generator[Event, None, MaskRCNN]:
        """Train on some of the images, and on what is made of them."""
        real = [self.seen[int(i)].example for i in indices if int(i) in self.seen]
        made = yield from synthetic(self.folder.subset(indices), self.config, run, self.device)
        start = begin.of(run.path.relative_to(self.run.path))
        rest = np.setdiff1d(np.arange(len(self.folder)), indices)
        held_out = [self.seen[i] for i in rest.tolist() if i in self.seen]
        training = train(
            [*real, *made], self.config, run, device=self.device, start=start, held_out=held_out
        )
        finished = yield from one_part(training, part, self.folds + 1)
        network: MaskRCNN = finished.result
        return network


def _gain(training: _Training, begin: _Begin, start: str) -> Generator[Event, None, Report]:
    """Measure what is gained over the model that is begun with, and keep it in the run."""
    device = choose_device(training.device)

    def learn(part: RunFolder, indices: np.ndarray, k: int) -> Generator[Event, None, MaskRCNN]:
        part.start(training.config, resume=True)
        return (yield from training.one(part, indices, begin, k))

    def look(network: MaskRCNN, indices: np.ndarray) -> Generator[Event, None, list[Detections]]:
        own = [training.seen.get(int(i)) for i in indices]
        return (yield from _test(network, own, device, training.config))

    old = model.MassModel.load(start, training.device)
    done = yield from before_and_after(training.folder, training.run, old, learn, look)
    write_text(training.run.path / FILE, done.to_json(), OURS)
    return done


def _cross_validate(
    training: _Training, fold: np.ndarray, begin: _Begin
) -> Generator[Event, None, Known]:
    """Train a detector a fold; what each finds in patients it has not seen is what is known."""

    def learn_without(k: int, part: RunFolder) -> Generator[Event, None, MaskRCNN]:
        part.start(training.config, resume=True)
        return (yield from training.one(part, np.flatnonzero(fold != k), begin, k))

    def test(k: int, network: MaskRCNN, file: Path) -> Iterator[Event]:
        tested = np.flatnonzero(fold == k)
        own = [training.seen.get(int(i)) for i in tested]
        done = yield from _test(network, own, choose_device(training.device), training.config)
        Scored.of(training.folder.subset(tested), done).write(file)

    found: list[Detections | None] = [None] * len(fold)
    files = yield from cross_validate(training.run, training.folds, SCORED, learn_without, test)
    for k, file in enumerate(files):
        kept = Scored.read(file)
        for i, boxes, scores in zip(
            np.flatnonzero(fold == k), kept.boxes, kept.scores, strict=True
        ):
            found[i] = _detections(training.folder.files[i].name, boxes, scores)
    scored = Scored.of(training.folder, [one for one in found if one is not None])
    scored.write(training.run.path / SCORED)
    plain = []
    for number in range(len(fold)):
        yield Progress(number, len(fold), "what bright spots alone tell")
        seen = spots(training.folder.image(number)) if number in training.seen else model.NOTHING
        plain.append(_detections("", seen.boxes, seen.scores))
    known = _known(training.folder, scored, plain)
    assert known.report is not None
    write_text(training.run.path / "report.json", known.report.to_json(), OURS)
    return known


def _test(
    network: MaskRCNN, frames: list[Framed | None], device: Device, config: TrainConfig
) -> Generator[Event, None, list[Detections]]:
    views, done = model.Views(scales=config.scales), []
    for number, one in enumerate(frames):
        yield Progress(number, len(frames), "looking at patients not learnt from")
        found = model.NOTHING
        if one is not None:
            found = model.looked(network, one.frame, device, views)
            found = found._replace(boxes=one.frame.boxes_back(found.boxes))
        done.append(_detections("", found.boxes, found.scores))
    return done


def _detections(name: str, boxes: np.ndarray, scores: np.ndarray) -> Detections:
    return Detections(name, (0, 0), boxes, scores, (np.zeros((0, 2)),) * len(scores))


def _known(folder: MassFolder, scored: Scored, plain: Sequence[Detections]) -> Known:
    """Calibrate scores, choose the operating point, and report, from out-of-fold findings.

    ``plain`` is what the baseline found.
    """
    calibration = _calibration(model.logits(scored.hits.scores), scored.hits.found)
    curve = scored.hits.curve()
    curve = Froc(curve.fppi, curve.tpr, model.calibrated(curve.thresholds, calibration))
    threshold = min(1.0, curve.threshold_at(DEFAULT_FPPI))
    found = [
        _detections(str(file), boxes, model.calibrated(scores, calibration))
        for file, boxes, scores in zip(scored.files, scored.boxes, scored.scores, strict=True)
    ]
    quiet = replace(folder, skipped=())  # what was left out has names
    done = report(
        quiet, found, title="out of fold, by patient", threshold=threshold, baseline=plain
    )
    chances = replace(scored, scores=tuple(one.scores for one in found))
    measured: dict[str, Any] = {
        "by_size": [list(row) for row in by_size(folder, chances, threshold)]
    }
    for name, (values, sick, _) in grouped(folder, chances.scores).items():
        measured[name] = list(_calibration(values, sick))
    return Known(done, curve, calibration, threshold, measured)


def _calibration(logits: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope and offset that turn logits into those of chances; (1, 0) where all are of one kind."""
    if not 0 < right.sum() < len(right):
        return 1.0, 0.0
    fitted = LogisticRegression(C=np.inf).fit(logits[:, None], right)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def _card(  # noqa: PLR0917
    name: str,
    config: TrainConfig,
    begin: _Begin,
    data: TrainingData,
    done: Report | None,
    folds: int,
    digest: str,
) -> ModelCard:
    learnt, recipe = begin.learnt(data), begin.recipe(config, digest)
    patients = len({patient for part in learnt for patient in part.patients})
    start = " --start EARLIER" * ("start" in recipe)
    how = f"pathogan masses train DIR -o RUN --arm {config.arm} --folds {folds}{start}, with this recipe: out of fold"
    if not folds:
        how = "pathogan masses train DIR -o RUN --start MODEL --compare: before and after on halves held back"
    return ModelCard(
        name=name,
        title=f"Mask R-CNN for masses, {config.arm}, {patients} patient{'s' * (patients != 1)}",
        task=model.TASK,
        architecture=config.detector,
        arguments=arguments(config),
        training_data=learnt,
        recipe=recipe,
        metrics=card_metrics(done.metrics) if done else {},
        measured_by=how if done and done.metrics else "",
        licence="; ".join(dict.fromkeys(part.terms for part in learnt)),
        not_for=(
            "diagnosis, screening or any clinical decision",
            "tomosynthesis, film and specimen images",
            "calcifications and architectural distortion: it was taught masses alone",
        ),
    )
