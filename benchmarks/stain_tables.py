"""Figures of several methods with intervals over patients, as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.folds import patient_resamples
from napari_pathogan.engine.report import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROUNDS = 300
START = "as they are"  # the method that changes nothing

Key = tuple[str, ...]  # method, and colours of the test images
Figure = dict[str, float | None]
Resampled = tuple[np.ndarray, "Callable[[np.ndarray], Figure]"]  # patients; weights -> figures


def with_intervals(found: dict[Key, Resampled]) -> dict[str, dict[str, Value]]:
    """Figures of all patients, with 95 % intervals from resampling them.

    Returns
    -------
    ``method, colours`` -> figures; with ``change`` behind the name, less those of the same images
    as they are, patient by patient.
    """
    drawn: dict[Key, list[Figure]] = {}
    for key, (patients, figures) in found.items():
        whole = np.ones(len(patients))
        weights = [whole, *patient_resamples(patients, ROUNDS)]
        drawn[key] = [figures(w) for w in weights]
    out = {}
    for (method, where), rows in drawn.items():
        start = drawn[START, where]
        row = {}
        for name in rows[0]:
            each = np.array([r[name] for r in rows], float)
            change = each - np.array([r[name] for r in start], float)
            row[name], row[f"{name}, change"] = _value(each), _value(change)
        out[f"{method}, {where}"] = row
    return out


def _value(each: np.ndarray) -> Value:
    """The first is of all patients, the rest of resamples (NaN where a class was not drawn)."""
    low, high = np.nanquantile(each[1:], [0.025, 0.975])
    return Value(float(each[0]), float(low), float(high))


def table(found: Mapping[str, Mapping[str, Value]], figures: Sequence[str]) -> str:
    """Markdown: a row for each method, a column for each figure and colours."""
    methods, colours = (
        list(dict.fromkeys(parts))
        for parts in zip(*(key.split(", ") for key in found), strict=True)
    )
    columns = [(name, where) for where in colours for name in figures]
    heads = [f"{name}, {where} colours" for name, where in columns]
    lines = [f"| images | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    for method in methods:
        cells = [_cell(found[f"{method}, {where}"][name]) for name, where in columns]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: Sequence[float]) -> str:
    middle, low, high = (
        f"{v:.{d}f}".replace("0.", ".", 1) for v, d in zip(value, (3, 2, 2), strict=True)
    )
    return f"{middle} ({low} to {high})"
