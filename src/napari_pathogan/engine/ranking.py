"""How well scores rank two classes."""

from __future__ import annotations

import numpy as np


def auc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """Area under the ROC curve: the chance that class 1 scores above class 0, ties counting half.

    Parameters
    ----------
    labels
        (N,) of 0 and 1.
    scores, weights
        (N,).

    Returns
    -------
    None if a class is missing.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    _, group = np.unique(scores, return_inverse=True)
    above = np.bincount(group, weights * (labels == 1))
    below = np.bincount(group, weights * (labels == 0))
    pairs = above.sum() * below.sum()
    if not pairs:
        return None
    beneath = np.cumsum(below) - below
    return float((above * (beneath + below / 2)).sum() / pairs)
