"""How often masses of which size are missed: what "nothing found" is worth."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_pathogan.tasks.masses.froc import masses_found

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.tasks.masses.data import MassFolder
    from napari_pathogan.tasks.masses.scored import Scored

EDGES = (0.03, 0.05)  # longer sides of boxes, as shares of the image's: about 7 and 12 mm


class BySize(NamedTuple):
    """Masses from a size on, to another: how many were found, of how many."""

    low: float
    high: float | None
    found: int
    masses: int


def by_size(folder: MassFolder, scored: Scored, threshold: float) -> list[BySize]:
    """Count the masses that are found at a threshold, by their size."""
    found = masses_found(
        list(zip(scored.boxes, scored.scores, strict=True)), scored.truth, threshold
    )
    sides = [
        (boxes[:, 2:] - boxes[:, :2]).max(1) / max(folder.shape(i))
        for i, boxes in enumerate(scored.truth)
    ]
    hit, side = np.concatenate(found), np.concatenate(sides)
    ends = (0.0, *EDGES, np.inf)
    return [
        BySize(low, None if np.isinf(high) else high, int(hit[own].sum()), int(own.sum()))
        for low, high in pairwise(ends)
        for own in [(side >= low) & (side < high)]
    ]


def missed(settings: Mapping[str, Any], mammogram: Mammogram) -> str:
    """How often a model missed masses of which size, in words; "" if its card does not say.

    Sizes are in mm where the mammogram says how large its pixels are.
    """
    rows = [BySize(*row) for row in settings.get("by_size", ()) if row[3]]
    if not rows:
        return ""
    each = [f"{row.masses - row.found} of {row.masses}" for row in rows]
    each[0] += " masses"
    said = [count + _range(row, mammogram) for count, row in zip(each, rows, strict=True)]
    return f"In patients that it had not seen it missed {', '.join(said)}."


def _range(row: BySize, mammogram: Mammogram) -> str:
    low = _length(row.low, mammogram)
    if row.high is None:
        return f" of {low} or more" if row.low else ""
    high = _length(row.high, mammogram)
    return f" of {low} to {high}" if row.low else f" under {high}"


def _length(share: float, mammogram: Mammogram) -> str:
    if mammogram.mm_per_px is None:
        return f"{100 * share:.0f} % of the image's length"
    return f"{share * max(mammogram.shape) * float(np.mean(mammogram.mm_per_px)):.0f} mm"
