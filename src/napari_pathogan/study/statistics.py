"""Proportions against chance, equivalence, agreement, times: pure functions with their sources."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.95


class Interval(NamedTuple):
    """Lower and upper end."""

    low: float
    high: float


def wilson(k: int, n: int, level: float = LEVEL) -> Interval:
    """Score interval of a proportion ``k`` of ``n`` (Wilson 1927); its mean coverage is ``level``."""
    z = float(stats.norm.ppf((1 + level) / 2))
    p = k / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # at the ends rounding would leave 1e-17
    return Interval(0.0 if k == 0 else middle - half, 1.0 if k == n else middle + half)


def clopper_pearson(k: int, n: int, level: float = LEVEL) -> Interval:
    """Exact interval of a proportion (Clopper and Pearson 1934); coverage is at least ``level``."""
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(stats.beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(stats.beta.ppf(1 - tail, k + 1, n - k))
    return Interval(low, high)


def binomial_p(k: int, n: int, chance: float = 0.5) -> float:
    """Two-sided exact p-value of ``k`` right answers of ``n`` against guessing."""
    return float(stats.binomtest(k, n, chance).pvalue)


def fisher_p(table: Sequence[Sequence[int]]) -> float:
    """Two-sided exact p-value that answers don't depend on the truth (2 x 2, Fisher 1934).

    Holds for any bias of the reader and any share of real images.
    """
    return float(stats.fisher_exact(table).pvalue)


class Equivalence(NamedTuple):
    """Two one-sided exact tests (Schuirmann 1987) of a proportion against chance +- margin.

    Attributes
    ----------
    p
        The larger of the two p-values; equivalent where it is below 0.05.
    low, high
        Exact 90 % interval: within the margins if and only if p is below 0.05.
    """

    p: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether the proportion is shown to be as good as chance, at 5 %."""
        return self.p < 0.05


def equivalence(k: int, n: int, margin: float, chance: float = 0.5) -> Equivalence:
    """Test whether a proportion lies within ``chance`` +- ``margin``.

    That a difference from chance is not significant does not show that there is none; this does.
    """
    above = float(stats.binom.sf(k - 1, n, chance - margin))  # against being as low as that
    below = float(stats.binom.cdf(k, n, chance + margin))
    return Equivalence(max(above, below), *clopper_pearson(k, n, 0.9))


def cohen_kappa(first: np.ndarray, second: np.ndarray) -> float | None:
    """Agreement beyond chance of two series of answers (Cohen 1960).

    Parameters
    ----------
    first, second
        (N,) of bool or int.

    Returns
    -------
    None if there are none, or all are the same answer (chance agreement is then complete).
    """
    if not len(first):
        return None
    both = np.unique(np.concatenate([first, second]))
    expected = sum(float((first == x).mean() * (second == x).mean()) for x in both)
    return None if expected == 1 else (float((first == second).mean()) - expected) / (1 - expected)


class Kappa(NamedTuple):
    """Fleiss' kappa with its interval, and p-value against no agreement beyond chance."""

    value: float
    low: float
    high: float
    p: float


def fleiss_kappa(counts: np.ndarray) -> Kappa | None:
    """Agreement of many readers beyond chance (Fleiss 1971).

    Parameters
    ----------
    counts
        (N, K): how many readers gave each of N images each of K answers; all rows sum alike.

    Returns
    -------
    None if there are fewer than 2 images or readers, or all answers are the same. The p-value is
    from the standard error under no agreement (Fleiss, Nee and Landis 1979, eq. 12). The interval
    is by jackknife over images, Student's t with N - 1 degrees of freedom.
    """
    n_images, raters = len(counts), int(counts[0].sum()) if len(counts) else 0
    if n_images < 2 or raters < 2:
        return None
    share = counts.sum(0) / counts.sum()
    value = _kappa(counts, raters)
    if value is None:
        return None
    q = share * (1 - share)
    variance = 2 * (q.sum() ** 2 - (q * (1 - 2 * share)).sum())
    error = math.sqrt(variance / (n_images * raters * (raters - 1))) / q.sum()
    p = 2 * float(stats.norm.sf(abs(value) / error))
    without = [_kappa(np.delete(counts, i, axis=0), raters) for i in range(n_images)]
    pseudo = np.array(
        [n_images * value - (n_images - 1) * (value if x is None else x) for x in without]
    )
    half = float(stats.t.ppf(0.975, n_images - 1)) * float(pseudo.std(ddof=1)) / math.sqrt(n_images)
    return Kappa(value, value - half, min(value + half, 1.0), p)


def _kappa(counts: np.ndarray, raters: int) -> float | None:
    share = counts.sum(0) / counts.sum()
    expected = float((share**2).sum())
    if expected == 1:
        return None
    observed = float(((counts**2).sum(1) - raters).mean()) / (raters * (raters - 1))
    return (observed - expected) / (1 - expected)


def median_interval(values: np.ndarray, level: float = LEVEL) -> Interval | None:
    """Exact interval of a median by order statistics; None below 6 values (at 95 %).

    From value number j to n + 1 - j, j as large as the sign test allows (Conover 1999, 3.2).
    """
    n = len(values)
    j = int(stats.binom.ppf((1 - level) / 2, n, 0.5))
    while j > 0 and stats.binom.cdf(j - 1, n, 0.5) > (1 - level) / 2:
        j -= 1
    if j < 1:
        return None
    ordered = np.sort(values)
    return Interval(float(ordered[j - 1]), float(ordered[n - j]))
