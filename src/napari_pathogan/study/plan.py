"""How many images and readers a study needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from napari_pathogan.study.statistics import clopper_pearson


class Power(NamedTuple):
    """What ``n`` answers (images times readers, taken as independent) would show.

    Attributes
    ----------
    width
        Expected width of the exact 95 % interval of the accuracy.
    significant
        Chance that the accuracy is found different from guessing (5 %).
    equivalent
        Chance that it is shown equivalent to guessing within the margin (5 %).
    """

    n: int
    width: float
    significant: float
    equivalent: float


def plan(n: int, accuracy: float, margin: float) -> Power:
    """Work out exactly, over all numbers of right answers, what ``n`` answers would show.

    Parameters
    ----------
    accuracy
        The true one that is supposed.
    margin
        Of the equivalence test.
    """
    k = np.arange(n + 1)
    chance = stats.binom.pmf(k, n, accuracy)
    likely = np.flatnonzero(chance > 1e-9)
    ends = np.array([clopper_pearson(int(i), n) for i in likely])
    width = float(((ends[:, 1] - ends[:, 0]) * chance[likely]).sum())
    guess = stats.binom.pmf(k, n, 0.5)
    # the exact two-sided p-value: all that is as unlikely, as scipy's binomtest
    p = np.array([guess[guess <= guess[i] * (1 + 1e-7)].sum() for i in likely])
    shown = np.maximum(stats.binom.sf(k - 1, n, 0.5 - margin), stats.binom.cdf(k, n, 0.5 + margin))
    return Power(
        n,
        width,
        float(chance[likely][p < 0.05].sum()),
        float(chance[shown < 0.05].sum()),
    )


def answers_for_width(width: float, accuracy: float) -> int:
    """Fewest answers whose exact 95 % interval is no wider than ``width`` at that accuracy."""

    def wide(n: int) -> bool:
        low, high = clopper_pearson(round(accuracy * n), n)
        return high - low > width

    enough = 2
    while wide(enough):
        enough *= 2
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        enough, too_few = (enough, middle) if wide(middle) else (middle, too_few)
    return enough
