"""How good a detector is: the share of masses found at given false positives an image."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.folds import patient_resamples
from napari_pathogan.engine.report import (
    Report,
    Value,
    about_patients,
    about_skipped,
    with_interval,
    with_intervals,
)
from napari_pathogan.mammograms.breast import NoBreastError
from napari_pathogan.tasks.masses.baseline import ABOUT, spots
from napari_pathogan.tasks.masses.data import need_masses
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.films import film
from napari_pathogan.tasks.masses.model import NOTHING
from napari_pathogan.tasks.masses.scored import Scored
from napari_pathogan.tasks.masses.together import of_breasts, of_cases, view_logits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.tasks.masses.data import MassFolder
    from napari_pathogan.tasks.masses.froc import Froc
    from napari_pathogan.tasks.masses.model import MassModel

FPPI = (0.25, 0.5, 0.8, 1.0, 2.0, 4.0)
ROUNDS = 1000
_NOTED = (0.5, 1.0)  # operating points whose Wilson interval is noted, and of the baseline


def evaluate(
    folder: MassFolder,
    model: MassModel,
    *,
    rounds: int = ROUNDS,
    keep: Path | None = None,
    films: bool = False,
) -> Iterator[Event]:
    """Detect in every image of a folder and report; an event an image.

    Parameters
    ----------
    rounds
        Bootstrap resamples of the patients for the 95 % intervals.
    keep
        Where to write what was found (:class:`Scored`), if anywhere.
    films
        Look at each image as a simulated scan of a film (:mod:`~.films`).

    Yields
    ------
    Event
        Progress; Warn for an image without a breast, in which nothing counts as found; the last is
        Finished with the :class:`Report` as its result and its JSON form as its summary.

    Raises
    ------
    DataFolderError
        If no image has a mass.
    SlideFormatError, OutputError
        If an image can't be read, or the file not written.
    """
    need_masses(folder)
    found, plain, seconds = [], [], []
    for index, file in enumerate(folder.files):
        yield Progress(index, len(folder), f"detecting in {file.name}")
        mammogram = folder.mammogram(index)
        image = film(mammogram.shown(), index) if films else mammogram.shown()
        start = time.perf_counter()
        try:
            own = model.detect(image)
            seconds.append(time.perf_counter() - start)
            simple = spots(image)
        except NoBreastError as error:
            yield Warn(f"{file.name}: {error}")
            own = simple = NOTHING
        found.append(Detections.on(mammogram, *own))
        plain.append(Detections.on(mammogram, *simple))
    yield Progress(len(folder), len(folder), "working out intervals")
    if keep is not None:
        Scored.of(folder, found).write(keep)
    done = report(
        folder,
        found,
        title=model.card.title,
        rounds=rounds,
        trained_on=model.card.knows(folder.patients),
        threshold=model.threshold,
        seconds=seconds,
        baseline=plain,
    )
    if films:
        done = replace(
            done, notes=(*done.notes, "every image was seen as a simulated scan of a film")
        )
    yield Finished(done, done.to_dict())


def report(
    folder: MassFolder,
    found: Sequence[Detections],
    *,
    title: str = "Masses",
    rounds: int = ROUNDS,
    trained_on: Collection[str] = (),
    threshold: float | None = None,
    seconds: Sequence[float] = (),
    baseline: Sequence[Detections] = (),
) -> Report:
    """Report on what was found in each image of a folder, however it was found.

    Parameters
    ----------
    trained_on
        Patients that the detector learnt from.
    threshold
        Of the detector: sensitivity and false positives are given there too.
    seconds
        What each image took.
    baseline
        What :mod:`~.baseline` found in each image.

    Raises
    ------
    DataFolderError
        If no image has a mass.
    """
    need_masses(folder)
    scored = Scored.of(folder, found)
    curve = scored.hits.curve()
    n_patients = len(np.unique(scored.patients))
    drawn = _drawn(scored, threshold, rounds if n_patients > 1 else 0)
    metrics = with_intervals(_figures(curve, threshold), drawn)
    for name, (logits, sick, patients) in grouped(folder, scored.scores).items():
        if 0 < sick.sum() < len(sick):
            metrics[f"{name}_auc"] = _auc(logits, sick, patients, rounds)
    if baseline:
        metrics |= _baseline(Scored.of(folder, baseline), rounds if n_patients > 1 else 0)
    if seconds:
        metrics["seconds_per_image"] = Value(median(seconds))
    masses = folder.n_masses
    counts = {
        "n_images": len(folder),
        "n_normal": int((masses == 0).sum()),
        "n_masses": int(masses.sum()),
        "n_patients": n_patients,
    }
    notes = _notes(folder, curve, set(trained_on))
    return Report(title, metrics, counts, (*notes, *([f"baseline: {ABOUT}"] if baseline else [])))


def grouped(
    folder: MassFolder, scores: Sequence[np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What views say together, of breasts and of cases (:mod:`~.together`).

    Returns
    -------
    ``breast`` and ``case`` -> logits, whether there is a mass, and whose it is.
    """
    breasts, patients, index = of_breasts(
        view_logits(scores), folder.patients.tolist(), folder.laterality.tolist()
    )
    sick = np.bincount(index, folder.n_masses) > 0
    cases, case = of_cases(breasts, patients)
    sick_case = np.bincount(case, sick) > 0
    return {
        "breast": (breasts, sick, patients),
        "case": (cases, sick_case, np.unique(patients)),
    }


def _auc(logits: np.ndarray, sick: np.ndarray, patients: np.ndarray, rounds: int) -> Value:
    """The area under the ROC curve, with its interval over resamples of the patients."""
    drawn = [
        float(roc_auc_score(sick, logits, sample_weight=weights))
        for weights in patient_resamples(patients, rounds)
        if 0 < weights @ sick < weights.sum()
    ]
    area = float(roc_auc_score(sick, logits))
    return Value(area, 0.0, 1.0) if rounds and not drawn else with_interval(area, drawn)


def _figures(curve: Froc, threshold: float | None) -> dict[str, float]:
    figures = {f"tpr_at_{fppi:g}": curve.tpr_at(fppi) for fppi in FPPI}
    if threshold is not None:
        figures["tpr_at_threshold"], figures["fppi_at_threshold"] = curve.at(threshold)
    return figures


def _drawn(scored: Scored, threshold: float | None, rounds: int) -> Iterator[dict[str, float]]:
    """The figures in resamples of the patients; those without a mass are no help."""
    hits = scored.hits
    for weights in patient_resamples(scored.patients, rounds):
        if weights @ hits.masses:
            yield _figures(hits.curve(weights), threshold)


def _baseline(scored: Scored, rounds: int) -> dict[str, Value]:
    every = with_intervals(_figures(scored.hits.curve(), None), _drawn(scored, None, rounds))
    return {f"baseline_{name}": every[name] for name in (f"tpr_at_{fppi:g}" for fppi in _NOTED)}


def _notes(folder: MassFolder, curve: Froc, trained_on: set[str]) -> tuple[str, ...]:
    notes = about_patients(folder.patients, trained_on, named=False)
    masses = int(folder.n_masses.sum())
    wilson = [_wilson(curve.tpr_at(fppi), masses) for fppi in _NOTED]
    each = ", ".join(
        f"{low:.3f} to {high:.3f} at {fppi:g}"
        for fppi, (low, high) in zip(_NOTED, wilson, strict=True)
    )
    notes.append(f"Wilson intervals, as if each mass were of another patient: {each}")
    if folder.synthetic.any():
        notes.append(f"{folder.synthetic.sum()} of the images are synthetic")
    return (*notes, *about_skipped(folder.skipped, "lines or files"))


def _wilson(share: float, masses: int) -> tuple[float, float]:
    """95 % interval of a share of independent masses (Wilson 1927)."""
    interval = binomtest(round(share * masses), masses).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
