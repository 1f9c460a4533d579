"""From logits to probabilities that mean what they say on a patient never seen.

Everything here is fitted to out-of-fold logits: a network's logits of its own training patients
are far too sure.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit

# Gauss-Hermite nodes: the patient's shift is averaged over, not sampled
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True)
class Calibration:
    """Platt scaling, and how far it is off from patient to patient.

    Attributes
    ----------
    slope, intercept
        ``sigmoid(slope * logit + intercept)`` is the probability.
    patient_sd
        Standard deviation over patients of the intercept that would have fitted each best, on
        the calibrated logit scale: why a probability on a new patient is never certain.
    threshold
        Operating point: the probability from which a patch is called IDC.
    """

    slope: float
    intercept: float
    patient_sd: float
    threshold: float

    def logit(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated log odds, of the same shape; NaN stays NaN."""
        return self.slope * logits + self.intercept

    def probability(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probability and its standard deviation from the logits (..., V) of V views.

        The uncertainty joins what the views disagree about with how far patients shift.

        Returns
        -------
        probability, uncertainty
            float32 (...); NaN where the logits are NaN.
        """
        z = self.logit(np.asarray(logits, np.float64))
        mean = z.mean(-1)
        probability = expit(mean)
        shifted = expit(mean[..., None] + self.patient_sd * _NODES)
        between = (shifted**2 @ _WEIGHTS) - (shifted @ _WEIGHTS) ** 2
        within = expit(z).var(-1)
        uncertainty = np.sqrt(np.maximum(between, 0) + within)
        return probability.astype(np.float32), uncertainty.astype(np.float32)

    def to_json(self) -> dict[str, float]:
        """As plain JSON, for a model card."""
        return {name: round(float(value), 6) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Calibration:
        """From :meth:`to_json`."""
        return cls(**{name: float(record[name]) for name in cls.__dataclass_fields__})


UNFITTED = Calibration(1.0, 0.0, 0.0, 0.5)


def fit(logits: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> Calibration:
    """Fit slope, intercept, spread between patients and operating point to out-of-fold logits.

    Patients weigh as the square root of their patches: between counting patches, which lets the
    largest slides decide, and counting patients, which lets the smallest ones.

    Parameters
    ----------
    logits, labels, patients
        (N,); labels are 0 and 1. With one class alone there is nothing to fit.
    """
    if len(np.unique(labels)) < 2:
        return UNFITTED
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  (slow; prediction needs none)

    weights = patient_weights(patients)
    model = LogisticRegression(C=1e6).fit(logits[:, None], labels, weights)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    z = slope * logits + intercept
    spread = _patient_sd(z, labels, patients)
    threshold = best_threshold(expit(z), labels, weights)
    return Calibration(slope, intercept, spread, threshold)


def patient_weights(patients: np.ndarray) -> np.ndarray:
    """Weights (N,), mean 1, so that a patient weighs as the root of its patches."""
    _, index, counts = np.unique(patients, return_inverse=True, return_counts=True)
    weights: np.ndarray = 1 / np.sqrt(counts[index])
    weights /= weights.mean()
    return weights


def best_threshold(probability: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """The probability at which balanced accuracy is best, shrunk half way to 0.5 in log odds.

    A few patients place an optimum badly; halving the move keeps most of what it brings.
    """
    order = np.argsort(probability)
    sorted_p = probability[order]
    idc = np.cumsum((weights * labels)[order])
    healthy = np.cumsum((weights * (1 - labels))[order])
    balanced = healthy / healthy[-1] - idc / idc[-1]
    best = sorted_p[int(balanced.argmax())]
    return float(expit(0.5 * logit(np.clip(best, 0.02, 0.98))))


def _patient_sd(z: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> float:
    """Spread of the intercepts that fit each patient best, each shrunk by one pseudo-patch."""
    from scipy.optimize import brentq  # noqa: PLC0415  (slow; prediction needs none)

    shifts = []
    for name in np.unique(patients):
        own, y = z[patients == name], labels[patients == name]

        def gradient(shift: float, own: np.ndarray = own, y: np.ndarray = y) -> float:
            return float((y - expit(own + shift)).sum() - shift)  # with a unit normal prior

        shift = brentq(gradient, -len(y) - 1.0, len(y) + 1.0)
        shifts.append(shift)
    return float(np.std(shifts))
