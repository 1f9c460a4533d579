"""Many readers, many cases: conditions compared so that it holds for other readers and other cases.

Obuchowski and Rockette (1995, Communications in Statistics 24, 285-308): an analysis of variance of the
readers' figures whose errors hang together, as all readers saw the same cases; with the degrees of
freedom of Hillis (2007, Statistics in Medicine 26, 596-619). Covariances are by jackknife over cases.
A condition is a generator, or one of two studies of the same images.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

from napari_pathogan.engine.report import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.95


class Holds(StrEnum):
    """What a comparison holds for: what is taken as a sample, and what as all there is."""

    BOTH = "other readers and other images"
    CASES = "these readers, other images"
    READERS = "other readers, these images"


class Part(NamedTuple):
    """What the cases of one kind add to a figure: the figure is the mean of each kind's values.

    Attributes
    ----------
    cases
        Their names; one name in several conditions is one case.
    values
        (readers, cases).
    """

    cases: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Condition:
    """One condition, read by all readers."""

    name: str
    parts: tuple[Part, ...]

    @property
    def figures(self) -> np.ndarray:
        """Of each reader, (readers,)."""
        return np.asarray(self.parts[0].values.mean(1))

    @property
    def n_cases(self) -> int:
        """Of all kinds."""
        return sum(len(part.cases) for part in self.parts)


def by_auc(name: str, ratings: np.ndarray, signal: np.ndarray, cases: Sequence[str]) -> Condition:
    """A condition whose figure is the area under the empirical ROC curve.

    Parameters
    ----------
    ratings
        (readers, N), higher for surer of the signal.
    signal
        bool (N,); at least two of each kind.
    cases
        Their names.
    """
    ones, zeros = ratings[:, signal, None], ratings[:, None, ~signal]
    above = (ones > zeros) + 0.5 * (ones == zeros)  # (readers, signals, noises)
    names = np.array(cases)
    return Condition(
        name,
        (
            Part(tuple(names[signal].tolist()), above.mean(2)),
            Part(tuple(names[~signal].tolist()), above.mean(1)),
        ),
    )


def by_share(name: str, right: np.ndarray, cases: Sequence[str]) -> Condition:
    """A condition whose figure is the share of right answers; ``right`` is (readers, N)."""
    return Condition(name, (Part(tuple(cases), right.astype(float)),))


def covariance(conditions: Sequence[Condition]) -> np.ndarray:
    """Covariance of all figures by jackknife over cases, (conditions * readers) squared.

    Without a case of a kind of ``m`` cases a figure moves by its value's distance from the figure,
    over m - 1; a case that a condition lacks does not move it.
    """
    every = {case for one in conditions for part in one.parts for case in part.cases}
    place = {case: i for i, case in enumerate(sorted(every))}
    rows = []
    for one in conditions:
        moved = np.zeros((len(one.figures), len(place)))
        for part in one.parts:
            own = [place[case] for case in part.cases]
            moved[:, own] = (part.values - one.figures[:, None]) / (len(own) - 1)
        rows.append(moved * math.sqrt((one.n_cases - 1) / one.n_cases))
    stacked = np.concatenate(rows)
    return np.asarray(stacked @ stacked.T)


@dataclass(frozen=True)
class Components:
    """Mean squares, error variance and covariances of Obuchowski and Rockette.

    Attributes
    ----------
    readers, conditions, cases
        How many; cases are the mean over conditions.
    ms_t, ms_r, ms_tr
        Of conditions, readers, and both; 0 where there is one alone.
    var, cov1, cov2, cov3
        Of one figure; of one reader in two conditions; of two readers in one; of both differing.
    """

    readers: int
    conditions: int
    cases: float
    ms_t: float
    ms_r: float
    ms_tr: float
    var: float
    cov1: float
    cov2: float
    cov3: float

    @property
    def var_tr(self) -> float:
        """How much conditions differ among readers, beyond chance; may be estimated below 0."""
        return self.ms_tr - self.var + self.cov1 + self.cov2 - self.cov3

    @property
    def var_r(self) -> float:
        """How much readers differ, beyond chance; may be estimated below 0."""
        if self.conditions == 1:
            return self.ms_r - self.var + self.cov2
        return (self.ms_r - self.ms_tr) / self.conditions - self.cov1 + self.cov3

    @property
    def between(self) -> float:
        """What covariances of readers add to a difference; never below 0."""
        return max(self.cov2 - self.cov3, 0.0)


def components(conditions: Sequence[Condition]) -> Components:
    """Estimate the components; all conditions are read by the same readers."""
    figures = np.stack([one.figures for one in conditions])  # (t, r)
    t, r = figures.shape
    errors = covariance(conditions).reshape(t, r, t, r)
    condition = np.arange(t)[:, None, None, None] == np.arange(t)[None, None, :, None]
    reader = np.arange(r)[None, :, None, None] == np.arange(r)[None, None, None, :]

    def mean(which: np.ndarray) -> float:
        return float(errors[which].mean()) if which.any() else 0.0

    whole = figures.mean()
    of_t, of_r = figures.mean(1), figures.mean(0)
    rest = figures - of_t[:, None] - of_r[None, :] + whole
    return Components(
        readers=r,
        conditions=t,
        cases=float(np.mean([one.n_cases for one in conditions])),
        ms_t=r * float(((of_t - whole) ** 2).sum()) / max(t - 1, 1),
        ms_r=t * float(((of_r - whole) ** 2).sum()) / max(r - 1, 1),
        ms_tr=float((rest**2).sum()) / max((t - 1) * (r - 1), 1),
        var=mean(condition & reader),
        cov1=mean(~condition & reader),
        cov2=mean(condition & ~reader),
        cov3=mean(~condition & ~reader),
    )


def single(condition: Condition, holds: Holds = Holds.BOTH) -> Value:
    """The readers' mean figure in one condition, with its 95 % interval.

    No interval where it is to hold for other readers and there is one reader alone.
    """
    found = components([condition])
    r, mean = found.readers, float(condition.figures.mean())
    shared = max(found.cov2, 0.0)
    if holds == Holds.CASES:
        return _value(mean, (found.var + (r - 1) * shared) / r, math.inf)
    if r < 2:
        return Value(mean)
    spread = found.ms_r + (r * shared if holds == Holds.BOTH else 0.0)
    return _value(mean, spread / r, _df(spread, found.ms_r, r - 1))


class Difference(NamedTuple):
    """How the mean figures of two conditions differ.

    Attributes
    ----------
    first, second
        Names of the conditions.
    value
        First less second, with its 95 % interval.
    p
        Two-sided, of no difference; None where nothing varies.
    """

    first: str
    second: str
    holds: Holds
    value: Value
    p: float | None

    def __str__(self) -> str:
        """``A less B: -0.044 (-0.088 to 0.000), p = 0.052 (other readers and other images)``."""
        low, high = (f"{x:+.3f}" for x in (self.value.low or 0.0, self.value.high or 0.0))
        p = "p < 0.001" if self.p is not None and self.p < 0.001 else f"p = {self.p or 1.0:.3f}"
        return (
            f"{self.first} less {self.second}: {self.value.value:+.3f} ({low} to {high}), {p} "
            f"({self.holds})"
        )


@dataclass(frozen=True)
class Comparison:
    """Conditions compared.

    Attributes
    ----------
    figure
        ``AUC`` or ``right answers``.
    means
        Name of a condition -> mean over readers; the interval holds for other readers and images.
    differences
        Of each two conditions, for each thing that it may hold for.
    components
        What a later study is planned with.
    p_any
        That no two differ, for other readers and images, where there are more than two.
    n_cases
        In each condition.
    """

    figure: str
    means: dict[str, Value]
    differences: tuple[Difference, ...]
    components: Components
    p_any: float | None
    n_cases: dict[str, int]

    def to_dict(self) -> dict[str, object]:
        """As plain JSON."""
        return {
            "figure": self.figure,
            "means": {name: value._asdict() for name, value in self.means.items()},
            "differences": [
                {"first": x.first, "second": x.second, "holds_for": str(x.holds)}
                | {"difference": x.value._asdict(), "p": x.p}
                for x in self.differences
            ],
            "p_any": self.p_any,
            "n_readers": self.components.readers,
            "n_cases": self.n_cases,
        }


def compare(conditions: Sequence[Condition], figure: str) -> Comparison:
    """Compare at least two conditions, read by the same two or more readers."""
    found = components(conditions)
    r, t = found.readers, found.conditions
    both = found.ms_tr + r * found.between
    cases = max(found.var - found.cov1 + (r - 1) * found.between, 0.0)
    spreads = {
        Holds.BOTH: (both, _df(both, found.ms_tr, (t - 1) * (r - 1))),
        Holds.CASES: (cases, math.inf),
        Holds.READERS: (found.ms_tr, float((t - 1) * (r - 1))),
    }
    means = {one.name: float(one.figures.mean()) for one in conditions}
    differences = tuple(
        Difference(a, b, holds, *_test(means[a] - means[b], 2 * spread / r, df))
        for a, b in itertools.combinations(means, 2)
        for holds, (spread, df) in spreads.items()
    )
    p_any = None
    if t > 2 and both > 0:
        p_any = float(stats.f.sf(found.ms_t / both, t - 1, min(spreads[Holds.BOTH][1], 1e9)))
    return Comparison(
        figure,
        {one.name: single(one) for one in conditions},
        differences,
        found,
        p_any,
        {one.name: one.n_cases for one in conditions},
    )


def _df(spread: float, mean_square: float, df: int) -> float:
    """Hillis' degrees of freedom of a mean square to which covariances were added."""
    return spread**2 / (mean_square**2 / df) if mean_square > 0 else math.inf


def _value(mean: float, variance: float, df: float) -> Value:
    half = float(stats.t.ppf((1 + LEVEL) / 2, df)) * math.sqrt(max(variance, 0.0))
    return Value(mean, max(mean - half, 0.0), min(mean + half, 1.0))


def _test(difference: float, variance: float, df: float) -> tuple[Value, float | None]:
    error = math.sqrt(max(variance, 0.0))
    half = float(stats.t.ppf((1 + LEVEL) / 2, df)) * error
    p = 2 * float(stats.t.sf(abs(difference) / error, df)) if error > 0 else None
    return Value(difference, difference - half, difference + half), p
