"""What a share of right answers shows, in words that need no statistics.

Two questions are asked, each at 5 %. Is the share different from guessing? Does it lie within the
margin around guessing that was fixed beforehand (two one-sided tests, Schuirmann 1987: the 90 %
interval lies inside the margin if and only if both are significant)? Either may be answered
without the other, so there are five outcomes and not two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from napari_pathogan.study import statistics as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.engine.report import Value

LEVEL = 0.05
_NOT_THE_SAME = "\N{LEFT DOUBLE QUOTATION MARK}Not shown\N{RIGHT DOUBLE QUOTATION MARK} is not \N{LEFT DOUBLE QUOTATION MARK}the same\N{RIGHT DOUBLE QUOTATION MARK}: more answers could show either"


class Outcome(StrEnum):
    """What was found; its words stand before all others."""

    BETTER = "Real and generated images could be told apart"
    WORSE = "Real and generated images were told apart, but the wrong way round"
    EQUIVALENT = "Real and generated images could not be told apart better than by guessing"
    SLIGHT = "Real and generated images could hardly be told apart"
    UNDECIDED = "Not decided"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome, and a sentence or two that say why."""

    outcome: Outcome
    reason: str

    def __str__(self) -> str:
        """``Not decided. 52 of 100 answers were right: ...``."""
        return f"{self.outcome}. {self.reason}"


def verdict(
    right: int, n: int, margin: float, confusion: Sequence[Sequence[int]] | None = None
) -> Verdict:
    """Say what a number of right answers shows; exact tests, answers taken as independent.

    Parameters
    ----------
    margin
        Shares within 0.5 +- margin count as equivalent to guessing.
    confusion
        ((hits, misses), (false alarms, correct rejections)) where there may be more images of one
        kind: then the same answer throughout may be right more often than every other time.
    """
    kinds = [sum(row) for row in confusion] if confusion is not None else [1, 1]
    if confusion is not None and max(kinds) / n > 0.5 + margin:
        return _of_unlike_numbers(right, n, confusion)
    p, same = st.binomial_p(right, n), st.equivalence(right, n, margin)
    low, high = _percents(same.low, same.high, margin)
    lead = (
        f"{right} of {n} answers were right: {100 * right / n:.0f} % "
        f"(90 % interval {low} to {high} %)"
    )
    place = _Place((same.low, same.high), margin, "That interval")
    return _verdict(lead, place, p < LEVEL, right > n / 2, p_words(p))


def verdict_elsewhere(accuracy: Value, narrow: tuple[float, float], margin: float) -> Verdict:
    """Say what the share of right answers would be of other readers with other images.

    Parameters
    ----------
    accuracy
        With its 95 % interval over readers and images.
    narrow
        Its 90 % interval.
    """
    low, high = accuracy.low or 0.0, accuracy.high or 1.0
    shown = _percents(*narrow, margin)
    lead = f"Other readers, with other images, would be right in {shown[0]} to {shown[1]} % (90 % interval)"
    differs, better = low > 0.5 or high < 0.5, (accuracy.value or 0.0) > 0.5
    wide = f"95 % interval {100 * low:.0f} to {100 * high:.0f} %"
    return _verdict(lead, _Place(narrow, margin, "That interval"), differs, better, wide)


def p_words(p: float) -> str:
    """``p = 0.031``, ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


class _Place:
    """Where an interval lies beside the margin, in words."""

    def __init__(self, interval: tuple[float, float], margin: float, what: str) -> None:
        low, high = 0.5 - margin, 0.5 + margin
        self.inside = low < interval[0] and interval[1] < high
        self.outside = interval[1] <= low or high <= interval[0]
        self.points = f"{100 * margin:g}"
        where = "inside" if self.inside else "outside" if self.outside else ""
        lies = f"lies {where}" if where else "reaches beyond"
        self.words = f"{what} {lies} the margin of {100 * low:g} to {100 * high:g} % that was fixed beforehand"


def _verdict(lead: str, place: _Place, differs: bool, better: bool, test: str) -> Verdict:  # noqa: FBT001
    """Put the two answers together."""
    if place.inside and not differs:
        why = f"{place.words}: if there is a difference from guessing, it is less than {place.points} points"
        return Verdict(Outcome.EQUIVALENT, f"{lead}. {why}.")
    if place.inside:
        why = (
            f"{place.words}: the difference from guessing is less than {place.points} points, but "
            f"there is one ({test})"
        )
        return Verdict(Outcome.SLIGHT, f"{lead}. {why}.")
    if differs and better:
        more = "" if place.outside else ", so how much better is left open"
        return Verdict(
            Outcome.BETTER, f"{lead}. That is better than guessing ({test}). {place.words}{more}."
        )
    if differs:
        return Verdict(
            Outcome.WORSE,
            f"{lead}. That is worse than guessing ({test}): was the question misread, or were "
            "answers mixed up?",
        )
    by_chance = (
        f", but guessing could give as much ({test})"
        if place.outside
        else f", and the difference from guessing may be chance ({test})"
    )
    return Verdict(
        Outcome.UNDECIDED,
        f"{lead}. {place.words}{by_chance}: neither a difference nor its absence is shown. "
        f"{_NOT_THE_SAME}.",
    )


def _of_unlike_numbers(right: int, n: int, confusion: Sequence[Sequence[int]]) -> Verdict:
    """Where the same answer throughout would be right too often: only whether answers follow the truth."""
    (hits, misses), (false, passed) = confusion
    p = st.fisher_p(confusion)
    most = max(hits + misses, false + passed)
    lead = (
        f"{right} of {n} answers were right, but the images were of unlike numbers: the same answer "
        f"throughout would have been right in {most}"
    )
    if p >= LEVEL:
        return Verdict(
            Outcome.UNDECIDED,
            f"{lead}. That answers follow what the images are is not shown (Fisher's test, "
            f"{p_words(p)}). {_NOT_THE_SAME}.",
        )
    better = hits * (false + passed) > false * (hits + misses)
    return Verdict(
        Outcome.BETTER if better else Outcome.WORSE,
        f"{lead}. Answers {'follow' if better else 'go against'} what the images are (Fisher's test, "
        f"{p_words(p)}).",
    )


def _percents(low: float, high: float, margin: float) -> tuple[str, str]:
    """Ends of an interval in per cent, as finely as it takes to see where they lie beside the margin."""
    edges = 0.5 - margin, 0.5 + margin
    for digits in (0, 1, 2):
        rounded = tuple(round(100 * end, digits) for end in (low, high))
        true = [end < edge for end in (low, high) for edge in edges]
        seen = [end < round(100 * edge, 6) for end in rounded for edge in edges]
        if true == seen and not set(rounded) & {round(100 * edge, 6) for edge in edges}:
            break
    return f"{rounded[0]:.{digits}f}", f"{rounded[1]:.{digits}f}"
