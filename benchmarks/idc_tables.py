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
    """Three digits a figure, as in the rest of the docs: ``.912``."""
    columns = list(next(iter(rows.values())))
    lines = ["| | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = " | ".join(f"{row[key]:.3f}".replace("0.", ".", 1) for key in columns)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)
