"""What a model gains by learning on: figures of the old and the new one on what was held back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.report import Report, Value, with_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Figure = Callable[[np.ndarray], tuple[float, float] | None]

FILE = "before_and_after.json"
RULE = "A new model is chosen unless it did worse on what was held back, by however little"
HALVES = 2
_ROUNDS = 1000
_BEFORE, _AFTER, _GAIN = "_before", "_after", "_gain"


def halves(groups: np.ndarray) -> np.ndarray | None:
    """In which of two halves each of N images is tested; None where all belong together.

    Parameters
    ----------
    groups
        (N,): which belong together, and stay so.
    """
    if len(np.unique(groups)) < HALVES:
        return None
    return patient_folds(groups.astype(str), HALVES)


def compared(
    name: str, figure: Figure, groups: np.ndarray, *, less_is_better: bool = False
) -> dict[str, Value]:
    """A figure before, after and the gain, with 95 % intervals over groups (bootstrap).

    Parameters
    ----------
    name
        Of the figure; what is returned is called ``<name>_before``, ``<name>_after``, ``<name>_gain``.
    figure
        ``(indices)`` -> the figure of the old and of the new model on these of N images, each as
        often as it is named; None where it is not defined.
    groups
        (N,): which images belong together.
    less_is_better
        Of the figure: an error. What it falls by is the gain then.

    Returns
    -------
    Nothing where the figure is not defined; no intervals where there is one group.
    """
    index = [np.flatnonzero(groups == one) for one in np.unique(groups)]
    rng = np.random.default_rng(0)
    found = figure(np.arange(len(groups)))
    draws = rng.integers(len(index), size=(_ROUNDS if len(index) > 1 else 0, len(index)))
    drawn = [figure(np.concatenate([index[i] for i in draw])) for draw in draws]
    if found is None:
        return {}
    sign = -1 if less_is_better else 1
    rounds = [(*pair, sign * (pair[1] - pair[0])) for pair in drawn if pair is not None]
    columns = zip(*rounds, strict=True) if rounds else ((), (), ())
    values = *found, sign * (found[1] - found[0])
    return {
        name + part: with_interval(value, column)
        for part, value, column in zip((_BEFORE, _AFTER, _GAIN), values, columns, strict=True)
    }


def too_good(known: Collection[str]) -> tuple[str, ...]:
    """A note where the old model has learnt from some of the patients itself."""
    if not known:
        return ()
    return (f"the old model learnt from {len(known)} of these patients: its figures are too good",)


def verdict(report: Mapping[str, Any], name: str) -> int | None:
    """Whether a figure rose (1) or fell (-1) by more than chance, or neither (0); None: not measured.

    Parameters
    ----------
    report
        Of :meth:`~napari_pathogan.engine.report.Report.to_dict`.
    name
        Of the figure there.
    """
    if name + _GAIN not in report:
        return None
    gain = report[name + _GAIN]
    if gain["low"] is None or gain["high"] is None:
        return 0
    return int(gain["low"] > 0) - int(gain["high"] < 0)


def fell(report: Mapping[str, Any], name: str) -> bool:
    """Whether a figure was measured and is less good than before: then docks keep the old model chosen.

    Be it by chance or not: of two models that can't be told apart the old one is known.
    Parameters as of :func:`verdict`.
    """
    return name + _GAIN in report and report[name + _GAIN]["value"] < 0


def judged(report: Report, name: str) -> Report:
    """A report whose notes say by which rule the new model is chosen or not, and whether it is.

    Parameters
    ----------
    name
        Of the figure that decides.
    """
    if name + _GAIN not in report.metrics:
        found = "that could not be measured here"
    else:
        found = f"this one did{' not' * (not fell(report.to_dict(), name))}"
    return replace(report, notes=(*report.notes, f"choice: {RULE[:1].lower()}{RULE[1:]}; {found}"))


WORDS = {1: "Better", 0: "No clear difference", -1: "Worse"}


class Gain(NamedTuple):
    """A figure before and after, for a reader.

    Attributes
    ----------
    words
        What the figure is called.
    before, after, gain
        With their intervals.
    verdict
        As of :func:`verdict`.
    """

    words: str
    before: Value
    after: Value
    gain: Value
    verdict: int

    @property
    def said(self) -> str:
        """The gain with its interval: ``+0.045 (+0.023 to +0.068)``."""
        value, low, high = self.gain
        if low is None or high is None:
            return f"{value:+.3f}"
        return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def gains(report: Report, words: Mapping[str, str]) -> list[Gain]:
    """The figures of a report that were compared, in its order.

    Parameters
    ----------
    words
        What they are called, by their names; others by these.
    """
    plain, found = report.to_dict(), []
    for metric in report.metrics:
        name = metric.removesuffix(_GAIN)
        if name == metric:
            continue
        before, after, gain = (report.metrics[name + part] for part in (_BEFORE, _AFTER, _GAIN))
        known = words.get(name, name.replace("_", " "))
        found.append(Gain(known, before, after, gain, verdict(plain, name) or 0))
    return found


def said(report: Mapping[str, Any], name: str, words: str) -> str:
    """What a figure was before and after, for a reader; empty where it was not measured.

    Parameters
    ----------
    report, name
        As for :func:`verdict`.
    words
        What the figure is called.
    """
    found = verdict(report, name)
    if found is None:
        return ""
    before, after, gain = (report[name + part] for part in (_BEFORE, _AFTER, _GAIN))
    limits = ""
    if gain["low"] is not None and gain["high"] is not None:
        limits = f" (95 % interval of the difference {gain['low']:+.3f} to {gain['high']:+.3f})"
    return (
        f"{WORDS[found]} on what was held back: {words} {before['value']:.3f} before, "
        f"{after['value']:.3f} after{limits}"
    )
