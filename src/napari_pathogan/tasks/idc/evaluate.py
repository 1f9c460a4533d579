"""How good a model is on patients: the paper's Table 1, with intervals over patients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_pathogan.annotations.classes import class_notes
from napari_pathogan.engine.folds import patient_resamples
from napari_pathogan.engine.ranking import auc
from napari_pathogan.engine.report import (
    Report,
    Value,
    about_patients,
    about_skipped,
    with_intervals,
)
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.idc.context import on_grids
from napari_pathogan.tasks.idc.data import CLASSES
from napari_pathogan.tasks.idc.metrics import patient_aucs, prevalence_weights, table
from napari_pathogan.tasks.idc.score import score, score_slides

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from napari_pathogan.tasks.idc.data import PatchFolder
    from napari_pathogan.tasks.idc.model import IdcModel

ROUNDS = 1000


def evaluate(
    patches: PatchFolder,
    model: IdcModel,
    *,
    context: bool = False,
    prevalence: float | None = None,
    rounds: int = ROUNDS,
) -> Report:
    """Evaluate a model on labelled patches.

    Parameters
    ----------
    patches
        Unlabelled ones are left out (with ``context`` they still are neighbours).
    context
        Score as the heat map does: with the slide's own colours and the neighbouring patches.
    prevalence
        Share of IDC at which to report accuracy, precision, F1, Brier score and calibration
        error; None takes it as it is. Sensitivity, specificity and AUC don't depend on it.
    rounds
        Bootstrap resamples of the patients for the 95 % intervals.

    Raises
    ------
    DataFolderError
        If no patch has a label, or a prevalence is asked for and a class is missing.
    """
    logits = _logits(patches, model, context=context)
    calibration = model.context.calibration if context else model.calibration
    probability = calibration.probability(logits)[0].astype(np.float64)
    done = report(
        patches,
        probability,
        probability >= calibration.threshold,
        title=f"{model.card.title}, {'heat map' if context else 'patch by patch'}",
        prevalence=prevalence,
        rounds=rounds,
        trained_on=model.card.knows(patches.names),
    )
    if model.baseline is None:
        return done
    known = patches.labels >= 0
    simple = model.baseline.logits(patches.images)[:, None]
    simple = on_grids(patches, simple, model.context) if context else simple
    ranked = [simple[:, 0]]
    if model.fast is not None:
        ranked.append(_logits(patches, model.fast, context=context).mean(1))
    return beside(done, *(auc(patches.labels[known], one[known]) for one in ranked))


def _logits(patches: PatchFolder, model: IdcModel, *, context: bool) -> np.ndarray:
    """(N, V): of the patches by themselves, or as the heat map mixes them."""
    if not context:
        return score(model.network, patches.images, model.device, views=model.views)
    args = (model.device, model.reference, model.share)
    logits = score_slides(model.network, patches, *args, views=model.views)
    return on_grids(patches, logits, model.context)


def beside(done: Report, baseline: float | None, fast: float | None = None) -> Report:
    """A report with the AUC of colours and contrast alone, and of the small network alone."""
    metrics = {**done.metrics, "baseline_auc": Value(baseline)}
    notes = ["baseline: a logistic regression on 15 figures of colour and contrast, no network"]
    if fast is not None:
        metrics["fast_auc"] = Value(fast)
        notes.append("fast: the small network that the head taught, by itself")
    return replace(done, metrics=metrics, notes=(*done.notes, *notes))


def report(
    patches: PatchFolder,
    probability: np.ndarray,
    called: np.ndarray,
    *,
    title: str,
    ranking: np.ndarray | None = None,
    prevalence: float | None = None,
    rounds: int = ROUNDS,
    trained_on: Collection[str] = (),
) -> Report:
    """Report on probabilities (N,) and calls (N,), however they were made.

    AUCs are of ``ranking`` (N,), by default the probabilities: out of fold, where each fold has a
    calibration of its own, the logits, which one calibration for all would leave in their order.

    Raises
    ------
    DataFolderError
        As :func:`evaluate`.
    """
    known = patches.labels >= 0
    labels, patients = patches.labels[known].astype(float), patches.patients[known]
    ranking = (probability if ranking is None else ranking)[known]
    probability, called = probability[known], called[known]
    if not len(labels):
        msg = "none of these patches has a label; put them in folders 0 and 1 to evaluate"
        raise DataFolderError(msg)
    weights = _class_weights(labels, prevalence)
    scores = _Scores(probability, ranking, called)
    values = _figures(labels, scores, weights, patients)
    n_patients = len(np.unique(patients))
    drawn = _drawn(labels, scores, weights, patients, rounds) if n_patients > 1 else ()
    metrics = with_intervals(values, drawn)
    counts = {"n_patches": len(labels), "n_patients": n_patients}
    notes = _notes(labels, patients, prevalence, patches.skipped, set(trained_on))
    notes = (*notes, *class_notes(patches.classes, CLASSES), *patches.notes)
    return Report(title, metrics, counts, notes)


def _class_weights(labels: np.ndarray, prevalence: float | None) -> np.ndarray:
    if prevalence is None:
        return np.ones(len(labels))
    if not 0 < prevalence < 1:
        msg = f"the prevalence is {prevalence:g}; it must be between 0 and 1"
        raise DataFolderError(msg)
    if labels.min() == labels.max():
        msg = "a prevalence can't be set on patches of one class; give patches of both"
        raise DataFolderError(msg)
    return prevalence_weights(labels, prevalence)


class _Scores(NamedTuple):
    probability: np.ndarray
    ranking: np.ndarray
    called: np.ndarray


def _figures(
    labels: np.ndarray,
    scores: _Scores,
    weights: np.ndarray,
    patients: np.ndarray,
) -> dict[str, float | None]:
    each = list(patient_aucs(labels, scores.ranking, patients).values())
    figures = table(labels, scores.probability, scores.called, weights)
    brier, ece = figures.pop("brier"), figures.pop("ece")
    areas = {
        "auc": auc(labels, scores.ranking),
        "auc_patient_mean": float(np.mean(each)) if each else None,
    }
    return {**figures, **areas, "brier": brier, "ece": ece}


def _drawn(
    labels: np.ndarray, scores: _Scores, weights: np.ndarray, patients: np.ndarray, rounds: int
) -> Iterator[dict[str, float | None]]:
    """The figures in resamples of the patients."""
    each = patient_aucs(labels, scores.ranking, patients)
    first = {str(p): int(np.flatnonzero(patients == p)[0]) for p in each}
    for counts in patient_resamples(patients, rounds):
        figures = table(labels, scores.probability, scores.called, weights * counts)
        figures["auc"] = auc(labels, scores.ranking, counts)
        times = [counts[first[p]] for p in each]
        if sum(times):
            figures["auc_patient_mean"] = float(np.average(list(each.values()), weights=times))
        yield figures


def _notes(
    labels: np.ndarray,
    patients: np.ndarray,
    prevalence: float | None,
    skipped: tuple[str, ...],
    trained_on: set[str],
) -> tuple[str, ...]:
    notes = about_patients(patients, trained_on)
    if labels.min() == labels.max():
        only = "IDC" if labels[0] else "healthy"
        notes.append(f"all patches are {only}: AUC and balanced accuracy can't be given")
    if prevalence is not None:
        notes.append(f"at a prevalence of {prevalence:.1%} IDC (in the data {labels.mean():.1%})")
    return (*notes, *about_skipped(skipped))
