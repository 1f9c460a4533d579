"""Tables of figures: rows of the same name averaged, and written as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def averaged(several: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Row -> column -> the mean over all tables that have the row."""
    rows: dict[str, list[Mapping[str, float]]] = {}
    for found in several:
        for name, row in found.items():
            rows.setdefault(name, []).append(row)
    return {
        name: {key: float(np.mean([row[key] for row in same])) for key in same[0]}
        for name, same in rows.items()
    }


def markdown(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Three digits a figure, as in the rest of the docs: ``.912``; NaN stays empty."""
    columns = list(next(iter(rows.values())))
    lines = ["| | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        lines.append(f"| {name} | {' | '.join(_cell(row[key]) for key in columns)} |")
    return "\n".join(lines)


def _cell(value: float) -> str:
    text = f"{value:.3f}"
    return "" if np.isnan(value) else text.removeprefix("0") if text.startswith("0.") else text
