"""Signal detection: how well a reader tells generated from real, and which way they lean.

The signal is *generated*: a hit calls a generated image generated, a false alarm calls a real one
so. In pairs it is that the real image lies left. Rates are taken log-linear, (count + 0.5) / (n + 1),
so that none is 0 or 1 (Hautus 1995, Behavior Research Methods 27, 46-51).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

_NORMAL = NormalDist()
Z = _NORMAL.inv_cdf(0.975)


class Detection(NamedTuple):
    """d' with its 95 % interval, and the criterion.

    Attributes
    ----------
    d_prime
        0 is guessing; 1 is 69 % right without bias (yes-no), 76 % (pairs).
    low, high
        From the variance of Gourevitch and Galanter (1967, Psychometrika 32, 25-33).
    criterion, criterion_low, criterion_high
        Above 0 the reader leans to 'real' (pairs: to right).
    """

    d_prime: float
    low: float
    high: float
    criterion: float
    criterion_low: float
    criterion_high: float


def detection(
    hits: float, signals: float, false_alarms: float, noises: float, *, pairs: bool = False
) -> Detection | None:
    """Sensitivity (d-prime) and criterion from counts (Macmillan and Creelman 2005, chapters 1, 2 and 7).

    Parameters
    ----------
    hits, false_alarms
        Of so many ``signals`` and ``noises``.
    pairs
        Two-alternative forced choice: d' is smaller by the root of 2 at the same rates.

    Returns
    -------
    None if there are no signals or no noises.
    """
    if not signals or not noises:
        return None
    hit, false = (hits + 0.5) / (signals + 1), (false_alarms + 0.5) / (noises + 1)
    z_hit, z_false = _NORMAL.inv_cdf(hit), _NORMAL.inv_cdf(false)
    variance = _z_variance(hit, signals) + _z_variance(false, noises)
    root = math.sqrt(2) if pairs else 1.0
    d_prime, half = (z_hit - z_false) / root, Z * math.sqrt(variance) / root
    criterion, off = -(z_hit + z_false) / 2, Z * math.sqrt(variance) / 2
    return Detection(
        d_prime, d_prime - half, d_prime + half, criterion, criterion - off, criterion + off
    )


def _z_variance(rate: float, n: float) -> float:
    return rate * (1 - rate) / ((n + 1) * _NORMAL.pdf(_NORMAL.inv_cdf(rate)) ** 2)


def roc(ratings: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """The ROC curve of ratings: (points, 2) of false alarm and hit rate, from (0, 0) to (1, 1).

    Parameters
    ----------
    ratings
        (N,) higher for surer of the signal.
    signal
        bool (N,).
    """
    levels = np.unique(ratings)[::-1]
    rates = [[(ratings[~signal] >= x).mean(), (ratings[signal] >= x).mean()] for x in levels]
    return np.array([[0.0, 0.0], *rates])


def auc(ratings: np.ndarray, signal: np.ndarray) -> float | None:
    """Area under the ROC curve: chance that a signal is rated above a noise, ties counting half.

    None if there are no signals or no noises.
    """
    ones, zeros = ratings[signal], ratings[~signal]
    if not len(ones) or not len(zeros):
        return None
    ranks = stats.rankdata(np.concatenate([ones, zeros]))
    u = ranks[: len(ones)].sum() - len(ones) * (len(ones) + 1) / 2
    return float(u / (len(ones) * len(zeros)))


def auc_interval(area: float, signals: int, noises: int) -> tuple[float, float]:
    """95 % interval of an AUC: all areas from which ``area`` is less than 1.96 errors away.

    Standard errors after Hanley and McNeil (1982) at the area that is tried, with the mean of both
    sizes (Newcombe 2006, Statistics in Medicine 25, 559-573, method 5): holds at 0 and 1 too.
    """
    size = (signals + noises) / 2 - 1

    def off(t: float) -> float:
        spread = 1 + size * (1 - t) / (2 - t) + size * t / (1 + t)
        error = math.sqrt(max(t * (1 - t) * spread / (signals * noises), 0.0))
        return abs(area - t) - Z * error

    # at 0 and 1 the estimate itself is a root, but not the one that is meant
    low = 0.0 if area <= 0 else float(optimize.brentq(off, 0.0, min(area, 1 - 1e-9)))
    high = 1.0 if area >= 1 else float(optimize.brentq(off, max(area, 1e-9), 1.0))
    return low, high
