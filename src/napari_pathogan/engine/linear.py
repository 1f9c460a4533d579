"""Logistic regressions that tasks fit to figures: heads on frozen trunks, and simple baselines."""

from __future__ import annotations

import numpy as np

_STEPS = 1000


def fit_logistic(
    figures: np.ndarray, labels: np.ndarray, c: float, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a logistic regression, all classes counting the same.

    Parameters
    ----------
    figures, labels
        (N, F), scaled, and (N,), each class from 0 on at least once.
    c
        Inverse of the penalty on the weights.
    weight
        How much each row counts (N,); the same by default.

    Returns
    -------
    weights, offset
        (F, C) and (C,); of two classes the first has none.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  (slow)

    model = LogisticRegression(C=c, class_weight="balanced", max_iter=_STEPS)
    model.fit(figures, labels, sample_weight=weight)
    if len(model.classes_) == 2:
        return np.concatenate([0 * model.coef_, model.coef_]).T, np.array([0, model.intercept_[0]])
    return np.asarray(model.coef_.T), np.asarray(model.intercept_)
