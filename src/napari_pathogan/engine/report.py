"""``Report``: metrics with intervals, as JSON, as a rich table, as the rows of a paper."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.table import Table


class Value(NamedTuple):
    """A figure with its interval; ``None`` where it can't be given (one patient, one class)."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """Three digits, with the interval where there is one: ``0.881 (0.842 to 0.913)``."""
        if self.value is None:
            return "not defined"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def with_interval(value: float | None, drawn: Iterable[float | None]) -> Value:
    """A figure with the 95 % percentile interval of what it is in resamples, where it is defined there."""
    known = [one for one in drawn if one is not None]
    if value is None or not known:
        return Value(value)
    low, high = np.quantile(known, (0.025, 0.975)).tolist()
    return Value(value, low, high)


def with_intervals(
    figures: Mapping[str, float | None], drawn: Iterable[Mapping[str, float | None]]
) -> dict[str, Value]:
    """Figures with their intervals (:func:`with_interval`) over resamples ``drawn``."""
    again = list(drawn)
    return {
        name: with_interval(value, (one.get(name) for one in again))
        for name, value in figures.items()
    }


def about_patients(
    patients: Iterable[object], trained_on: Iterable[str], *, named: bool = True
) -> list[str]:
    """Notes of a report on whose images these are: of patients learnt from, or of one alone.

    ``named`` says which of them the model knows, besides how many.
    """
    names = {str(name) for name in patients}
    seen = sorted(names.intersection(trained_on))
    notes = []
    if seen:
        which = f" ({', '.join(seen)})" if named else ""
        notes.append(
            f"the model was trained on {len(seen)} of these {len(names)} patients{which}: "
            "these figures are too good"
        )
    if len(names) == 1:
        notes.append("one patient: no intervals over patients can be given")
    return notes


def about_skipped(skipped: Sequence[str], what: str = "files") -> list[str]:
    """A note of a report on what was left out, if anything was."""
    return [f"{len(skipped)} {what} were left out, the first: {skipped[0]}"] if skipped else []


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes
    ----------
    title
        What was evaluated on what, one line.
    metrics
        snake_case name -> value and 95 % interval, in the order they are shown.
    counts
        Plain whole numbers: ``n_patches``, ``n_patients``, ...
    notes
        What the reader must know: training patients among the test patients, prevalence used,
        metrics that can't be given and why.
    """

    title: str
    metrics: Mapping[str, Value]
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """``{metric: {"value", "low", "high"}, ..., "n_patients": ..., "notes": [...]}``."""
        out: dict[str, Any] = {name: value._asdict() for name, value in self.metrics.items()}
        return {**out, **self.counts, "notes": list(self.notes)}

    def to_json(self) -> str:
        """Render :meth:`to_dict` as one JSON object."""
        return json.dumps(self.to_dict(), indent=1)

    def table(self) -> Table:
        """Render as a rich table, one metric a row."""
        from rich.table import Table  # noqa: PLC0415  (only the command line needs rich)

        table = Table(title=self.title, caption="\n".join(self.notes) or None)
        table.add_column("metric")
        table.add_column("value (95 % interval)")
        for name, value in self.metrics.items():
            table.add_row(name, str(value))
        for name, count in self.counts.items():
            table.add_row(name, str(count))
        return table
