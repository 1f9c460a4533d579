"""Splits and resamples by patient: images of one patient never stand on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.errors import DataFolderError

if TYPE_CHECKING:
    from collections.abc import Iterator


def patient_folds(patients: np.ndarray, folds: int) -> np.ndarray:
    """Give every patch a fold so that no patient is in two, of about equal size.

    Patients go, largest first, to the fold with the fewest patches so far; the same patients
    always give the same folds, whatever the seed, so that methods are compared on equal terms.

    Returns
    -------
    int (N,), the fold in which a patch is tested.

    Raises
    ------
    DataFolderError
        If there are fewer patients than folds, or fewer than two folds.
    """
    names, index, counts = np.unique(patients, return_inverse=True, return_counts=True)
    if not 2 <= folds <= len(names):
        msg = (
            f"{folds} folds of {len(names)} patient{'s' * (len(names) != 1)}: splits are by "
            "patient, so folds must be at least 2 and at most the number of patients"
        )
        raise DataFolderError(msg)
    fold_of = np.zeros(len(names), int)
    filled = np.zeros(folds, int)
    for patient in np.argsort(-counts, kind="stable"):
        fold_of[patient] = filled.argmin()
        filled[fold_of[patient]] += counts[patient]
    return fold_of[index]


def folds_of(patients: np.ndarray, fold: np.ndarray) -> dict[str, int]:
    """Each patient's fold, for a run's file: patients by their pseudonyms."""
    return {pseudonym(name): int(k) for name, k in zip(patients, fold, strict=True)}


def same_folds(had: dict[str, int], patients: np.ndarray, fold: np.ndarray) -> bool:
    """Whether a run had these :func:`folds_of`; files of older runs have the patients' names."""
    named = {str(name): int(k) for name, k in zip(patients, fold, strict=True)}
    return had in (folds_of(patients, fold), named)


def patient_resamples(patients: np.ndarray, rounds: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Bootstrap over patients: how often each patch counts (N,), ``rounds`` times."""
    names, index = np.unique(patients, return_inverse=True)
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        drawn = rng.integers(len(names), size=len(names))
        yield np.bincount(drawn, minlength=len(names))[index].astype(float)
