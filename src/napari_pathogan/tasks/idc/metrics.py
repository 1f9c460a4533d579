"""The figures of the paper's Table 1 and those beside it, with weights.

Weights do two jobs: a bootstrap over patients counts each patch as often as its patient was
drawn, and a prevalence asked for weighs the classes. Every figure is None where it is undefined.
"""

from __future__ import annotations

import numpy as np

from napari_pathogan.engine.ranking import auc

BINS = 10  # of the calibration error, equally wide


def patient_aucs(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> dict[str, float]:
    """The AUC within each patient who has both classes."""
    each = {str(p): auc(labels[patients == p], scores[patients == p]) for p in np.unique(patients)}
    return {name: value for name, value in each.items() if value is not None}


def mean_patient_auc(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> float | None:
    """The mean of :func:`patient_aucs`; None if no patient has both classes."""
    each = patient_aucs(labels, scores, patients)
    return float(np.mean(list(each.values()))) if each else None


def table(
    labels: np.ndarray, probability: np.ndarray, called: np.ndarray, weights: np.ndarray
) -> dict[str, float | None]:
    """The paper's Table 1, and how good the probabilities are.

    Parameters
    ----------
    labels, probability, weights
        (N,).
    called
        bool (N,): which patches are called IDC at the operating point.

    Returns
    -------
    accuracy, balanced_accuracy, precision, recall, specificity, f1, brier and ece.
    """
    tp, fn = (weights[called & (labels == 1)].sum(), weights[~called & (labels == 1)].sum())
    fp, tn = (weights[called & (labels == 0)].sum(), weights[~called & (labels == 0)].sum())
    recall, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    both = None if recall is None or specificity is None else (recall + specificity) / 2
    return {
        "accuracy": _ratio(tp + tn, weights.sum()),
        "balanced_accuracy": both,
        "precision": _ratio(tp, tp + fp),
        "recall": recall,
        "specificity": specificity,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "brier": _ratio((weights * (probability - labels) ** 2).sum(), weights.sum()),
        "ece": _calibration_error(labels, probability, weights),
    }


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None


def _calibration_error(
    labels: np.ndarray, probability: np.ndarray, weights: np.ndarray
) -> float | None:
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    gap = np.bincount(bins, weights * (labels - probability), BINS)
    return _ratio(np.abs(gap).sum(), weights.sum())


def prevalence_weights(labels: np.ndarray, prevalence: float) -> np.ndarray:
    """Weights (N,) that make IDC this common; both classes must be there."""
    share = labels.mean()
    weights: np.ndarray = np.where(labels == 1, prevalence / share, (1 - prevalence) / (1 - share))
    return weights
