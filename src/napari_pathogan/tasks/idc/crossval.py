"""Cross-validation by patient, and the finished model with what it learnt about itself.

The figures on a model's card come from here: every patient is scored by a network, and called by
a calibration, that never saw a patch of theirs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file

from napari_pathogan.annotations.classes import class_notes
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.crossval import OUT_OF_FOLD, cross_validate, nested
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Event, Finished, Warn
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.models import Metric, ModelCard, TrainingData, card_metrics
from napari_pathogan.engine.ranking import auc
from napari_pathogan.engine.runs import save_arrays
from napari_pathogan.engine.trainer import one_part
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.idc import calibrate, context, generate, model
from napari_pathogan.tasks.idc.baseline import ColourBaseline
from napari_pathogan.tasks.idc.data import CLASSES, PatchFolder, hold_out, need_both_classes
from napari_pathogan.tasks.idc.evaluate import beside, report
from napari_pathogan.tasks.idc.frozen import FrozenHead
from napari_pathogan.tasks.idc.heatmap import area_at
from napari_pathogan.tasks.idc.network import Discriminator
from napari_pathogan.tasks.idc.plots import calibration_plot
from napari_pathogan.tasks.idc.score import score, score_slides
from napari_pathogan.tasks.idc.train import train

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from napari_pathogan.engine.report import Report
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.idc.config import TrainConfig
    from napari_pathogan.tasks.idc.score import Network
    from napari_pathogan.tasks.idc.train import Trained

# how far heat maps carry a slide to the reference colours; docs/idc.md says why
SHARE, PRETRAINED_SHARE = 0.75, 0.5
_NAMES = {"cgan": "cGAN", "cnn": "CNN"}
SIGMAS, SHARES = (2.0, 4.0), (0.5, 0.5)  # neighbourhoods of the heat map, in patches

HOLDOUT = 0.2  # share of the patients that is held out where there are no folds


@dataclass(frozen=True)
class OutOfFold:
    """Logits of patches by networks that never saw their patient.

    ``raw`` and ``slide`` are (N,): patch by patch, and in the slide's normalised colours; so is
    ``baseline``, by colours and contrast alone, and ``fast_raw`` and ``fast_slide``, by the small
    network of a head on a trunk. NaN for patches that were not tested; ``fold`` (N,) is -1 for those.
    """

    raw: np.ndarray
    slide: np.ndarray
    baseline: np.ndarray
    fold: np.ndarray
    fast_raw: np.ndarray
    fast_slide: np.ndarray

    def write(self, path: Path) -> None:
        """Keep them as safetensors."""
        save_arrays(path, vars(self))

    @classmethod
    def read(cls, path: Path) -> OutOfFold:
        """Those that :meth:`write` kept."""
        return cls(**load_file(path))


@dataclass(frozen=True)
class Calibrated:
    """What out-of-fold logits teach.

    Attributes
    ----------
    patch, heat_map
        Calibrations fitted to all of them.
    reports
        Patch by patch and heat map; empty where nobody was left to test on.
    curves
        Title -> labels and out-of-fold probabilities, for the calibration plot.
    fast
        Both of the small network alone; None where there is none.
    """

    patch: calibrate.Calibration
    heat_map: context.Context
    reports: tuple[Report, ...] = ()
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    fast: tuple[calibrate.Calibration, context.Context] | None = None


def learn(
    patches: PatchFolder,
    config: TrainConfig,
    run: RunFolder,
    *,
    folds: int = 0,
    holdout: float | None = None,
    device: str = "auto",
    name: str = "",
    data: TrainingData | None = None,
) -> Iterator[Event]:
    """Train a model, calibrate it on patients it did not learn from, and save it in the run.

    Parameters
    ----------
    folds
        Cross-validate over so many patient folds, then train on all patients. 0: train once,
        hold out some of the patients and calibrate on them.
    holdout
        Their share; 0.2 by default.
    name
        Of the model; the run's folder name by default.
    data
        What the patches are and on what terms, for the card.

    Yields
    ------
    Those of :func:`~napari_pathogan.tasks.idc.train.train`; ``Finished`` with the out-of-fold reports
    (patch by patch, heat map) as its result.
    """
    check(patches, config, folds=folds, holdout=holdout)
    for line in (*class_notes(patches.classes, CLASSES), *patches.notes):
        yield Warn(line)
    for line in patches.skipped:
        yield Warn(f"left out {line}")
    if patches.classes:
        write_text(run.path / "classes.json", json.dumps(patches.classes, indent=1), OURS)
    learning, rest, total = patches, None, folds + 1
    if folds:
        tested = yield from _cross_validate(patches, config, run, folds, device)
        config = replace(config, patience=0)  # nobody is left to watch
    elif (share := HOLDOUT if holdout is None else holdout) and len(patches.names) > 1:
        learning, rest = hold_out(patches, share)
    finished = yield from one_part(
        train(learning, config, run, held_out=rest, device=device), total - 1, total
    )
    if not folds:
        tested = _nothing(patches)
        if rest is not None:
            fold = np.where(np.isin(patches.patients, rest.names), 0, -1)
            _test(patches, fold, 0, tested, by=finished.result, device=device)
    trained: Trained = finished.result
    data = data or TrainingData(name="patches")
    name = name or run.path.name
    reports = _finish(patches, config, run, tested, trained, name=name, data=data)
    if trained.generator is not None:
        to, own = run.path / generate.FOLDER, data.of(learning.names, len(learning))
        recipe = config.to_json()
        generate.save(to, trained.generator, name=f"{name}-generator", data=own, recipe=recipe)
    summary = {
        "model": str(run.model),
        **{key: r.to_dict() for key, r in zip(("patch", "heat_map"), reports, strict=False)},
    }
    yield Finished(result=reports, summary=summary)


def check(
    patches: PatchFolder, config: TrainConfig, *, folds: int, holdout: float | None = None
) -> None:
    """Make sure that :func:`learn` has what it needs, before anything is written.

    Raises
    ------
    DataFolderError
        If a class is missing, or there are fewer patients than folds.
    SettingError
        If it shall stop by patients who are held out, and there are none; or if a share to hold out
        is asked for beside folds, which hold out all in turn.
    """
    if folds and holdout is not None:
        msg = f"holdout={holdout:g} would count for nothing: folds hold out all patients in turn"
        raise SettingError(msg)
    if config.patience and (folds or holdout == 0 or len(patches.names) == 1):
        msg = f"patience={config.patience} would count for nothing: no patient is held out"
        raise SettingError(msg)
    need_both_classes(patches)
    if folds:
        patient_folds(patches.patients, folds)


def _cross_validate(
    patches: PatchFolder, config: TrainConfig, run: RunFolder, folds: int, device: str
) -> Generator[Event, None, OutOfFold]:
    fold = patient_folds(patches.patients, folds)
    tested = _nothing(patches)
    # the best epoch would be chosen on the fold's own test patients: keep the last
    blind = replace(config, patience=0)

    def learn_without(k: int, part: RunFolder) -> Generator[Event, None, Trained]:
        part.start(blind, resume=True)
        training = train(patches.take(fold != k), blind, part, device=device)
        finished = yield from one_part(training, k, folds + 1)
        network: Trained = finished.result
        return network

    def test(k: int, network: Trained, file: Path) -> tuple[Event, ...]:
        own = _nothing(patches)
        _test(patches, fold, k, own, by=network, device=device)
        own.write(file)
        return ()

    for k, file in enumerate(
        (yield from cross_validate(run, folds, OUT_OF_FOLD, learn_without, test))
    ):
        own, which = OutOfFold.read(file), fold == k
        for name, whole in vars(tested).items():
            whole[which] = vars(own)[name][which]
    tested.write(run.path / OUT_OF_FOLD)
    return tested


def _nothing(patches: PatchFolder) -> OutOfFold:
    raw, slide, baseline, fast, fast_slide = np.full((5, len(patches)), np.nan, np.float32)
    return OutOfFold(raw, slide, baseline, np.full(len(patches), -1), fast, fast_slide)


def _test(
    patches: PatchFolder, fold: np.ndarray, k: int, tested: OutOfFold, *, by: Trained, device: str
) -> None:
    """Score the patients of fold ``k`` and note their logits."""
    which, network = fold == k, by.network
    part, where = patches.take(which), choose_device(device)
    known = [(network, tested.raw, tested.slide)]
    if isinstance(network, FrozenHead) and network.student is not None:
        known.append((network.student, tested.fast_raw, tested.fast_slide))
    share = share_of(network)
    for one, raw, slide in known:
        raw[which] = score(one, part.images, where)[:, 0]
        slide[which] = score_slides(one, part, where, by.reference, share)[:, 0]
    others = patches.take(~which).labelled
    baseline = ColourBaseline.fit(others.images, others.labels)
    tested.baseline[which] = baseline.logits(part.images)
    tested.fold[which] = k


def calibrated(patches: PatchFolder, tested: OutOfFold) -> Calibrated:
    """Calibrate on out-of-fold logits, and report on them fold by fold.

    The calibration returned is fitted to all; in the reports, each fold is called by one fitted
    to the others (where there is only one fold, by its own: too good, and the report says so).
    """
    known = (tested.fold >= 0) & (patches.labels >= 0)
    plain = context.Context((0.0,), (1.0,), calibrate.UNFITTED)
    near = context.Context(SIGMAS, SHARES, calibrate.UNFITTED)
    scored = tested.fold >= 0

    def mixed(logits: np.ndarray, neighbourhood: context.Context) -> np.ndarray:
        whole = np.full(len(patches), np.nan)
        part = logits[scored][:, None]
        whole[scored] = context.on_grids(patches.take(scored), part, neighbourhood)[:, 0]
        return whole[known]

    columns = [mixed(tested.raw, plain), mixed(tested.slide, near)]
    own = patches.take(known)
    fits = [calibrate.fit(column, own.labels, own.patients) for column in columns]
    titles = ("out of fold, patch by patch", "out of fold, heat map")
    called = [
        _nested(own, column, tested.fold[known], title)
        for column, title in zip(columns, titles, strict=True)
    ]
    curves = {
        title: (own.labels, probability)
        for title, (_, probability) in zip(titles, called, strict=True)
    }
    quick = [mixed(tested.fast_raw, plain), mixed(tested.fast_slide, near)]
    has_fast = bool(np.isfinite(quick[0]).all())
    reports = [
        beside(
            done,
            auc(own.labels, mixed(tested.baseline, around)),
            auc(own.labels, fast) if has_fast else None,
        )
        for (done, _), around, fast in zip(called, (plain, near), quick, strict=True)
    ]
    reports[1] = replace(
        reports[1],
        notes=(*reports[1].notes, *_covered(own, columns[1], tested.fold[known])),
    )
    by_student = None
    if has_fast:
        patch, region = (calibrate.fit(column, own.labels, own.patients) for column in quick)
        by_student = (patch, replace(near, calibration=region))
    near = replace(near, calibration=fits[1])
    return Calibrated(fits[0], near, tuple(reports), curves, by_student)


def _nested(
    patches: PatchFolder, logits: np.ndarray, fold: np.ndarray, title: str
) -> tuple[Report, np.ndarray]:
    probability = np.empty(len(patches))
    called = np.empty(len(patches), bool)
    for test, others in nested(fold):
        fitted = calibrate.fit(logits[others], patches.labels[others], patches.patients[others])
        probability[test] = fitted.probability(logits[test][:, None])[0]
        called[test] = probability[test] >= fitted.threshold
    done = report(patches, probability, called, title=title, ranking=logits)
    if len(np.unique(fold)) == 1:
        done = replace(done, notes=(*done.notes, "calibrated on these same patients"))
    return done, probability


def _covered(patches: PatchFolder, logits: np.ndarray, fold: np.ndarray) -> tuple[str, ...]:
    """How many patients' true share of IDC lies in the interval of the heat map, as a sentence."""
    held = 0
    for test, others in nested(fold):
        fitted = calibrate.fit(logits[others], patches.labels[others], patches.patients[others])
        for name in np.unique(patches.patients[test]):
            which = patches.patients == name
            said = fitted.probability(logits[which][:, None])
            share = area_at(*said, np.full(which.sum(), 1 / which.sum()), fitted.threshold)
            assert share.low is not None
            assert share.high is not None
            held += bool(share.low <= (patches.labels[which] == 1).mean() <= share.high)
    total = len(patches.names)
    return (f"the true share of IDC is in its 95 % interval in {held} of {total} patients",)


def share_of(network: Network) -> float:
    """How far heat maps carry a slide to the reference colours."""
    return SHARE if isinstance(network, Discriminator) else PRETRAINED_SHARE


def _what(config: TrainConfig) -> str:
    if config.method == "frozen":
        return f"head on frozen {config.trunk}{' and its student' * bool(config.student)}"
    what = f"on {config.trunk}" if config.trunk else f"width {config.width:g}"
    return f"{_NAMES[config.method]}, {what}"


def _how(config: TrainConfig, folds: int) -> str:
    how = f"--backbone {config.trunk}" if config.trunk else f"--width {config.width:g}"
    command = f"pathogan idc train DIR -o RUN --method {config.method} {how}"
    if folds > 1:
        return f"{command} --folds {folds}, with this recipe: out of fold"
    return f"{command}, with this recipe: on patients held out, who also calibrated it"


def _finish(
    patches: PatchFolder,
    config: TrainConfig,
    run: RunFolder,
    tested: OutOfFold,
    trained: Trained,
    *,
    name: str,
    data: TrainingData,
) -> tuple[Report, ...]:
    known = (tested.fold >= 0) & (patches.labels >= 0)
    done = Calibrated(calibrate.UNFITTED, context.Context(SIGMAS, SHARES, calibrate.UNFITTED))
    if len(np.unique(patches.labels[known])) == len(CLASSES):
        done = calibrated(patches, tested)
    metrics: dict[str, Metric] = {}
    for prefix, r in zip(("", "heat_map_"), done.reports, strict=False):
        metrics |= card_metrics(r.metrics, prefix)
    card = ModelCard(
        name=name,
        title=f"IDC {_what(config)}, {len(patches.names)} patients",
        task=model.TASK,
        architecture=model.FROZEN if config.method == "frozen" else model.DISCRIMINATOR,
        training_data=(data.of(patches.names, len(patches)),),
        recipe=config.to_json(),
        metrics=metrics,
        measured_by=_how(config, int(tested.fold.max()) + 1) if metrics else "",
        not_for=(
            "diagnosis or any clinical decision",
            "stains other than H&E, organs other than breast, carcinoma other than IDC",
            "cytology, frozen sections, and scales far from 4 um/px",
        ),
    )
    model.save(
        run.model,
        card,
        trained.network,
        width=config.width,
        reference=trained.reference,
        share=share_of(trained.network),
        calibration=done.patch,
        context=done.heat_map,
        baseline=ColourBaseline.fit(patches.labelled.images, patches.labelled.labels),
        by_student=done.fast,
        reach=trained.reach,
    )
    for key, r in zip(("patch", "heat_map"), done.reports, strict=False):
        write_text(run.path / f"{key}.json", r.to_json(), OURS)
    if done.curves:
        calibration_plot(run.model / "calibration.png", done.curves)
    return done.reports
