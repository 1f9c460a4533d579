"""A first look: what a generator makes of each colour of a slide on average, as a table.

The generator looks at a hundred pixels around each, the table at one: which structure a pixel is
of is beyond it. It shows a view at once, until the generator's tiles are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.colour.lab import to_lab
from napari_pathogan.colour.lut import Lut, look_up, means_by_colour

if TYPE_CHECKING:
    from collections.abc import Sequence


def distil(before: Sequence[np.ndarray], painted: Sequence[np.ndarray]) -> tuple[Lut, float]:
    """Teach a student what a generator made of some tiles; a fraction of a second.

    Parameters
    ----------
    before, painted
        Tiles as they are and as the generator painted them: uint8 (H, W, 3).

    Returns
    -------
    lut, error
        The student as a table, and its mean distance from the generator (Lab units) on every
        fourth tile, by a student that was not taught on those (on all tiles, where there are under
        four).
    """
    held = [i for i in range(len(before)) if i % 4 == 3] or list(range(len(before)))
    taught = [i for i in range(len(before)) if i not in held] or held
    tried = means_by_colour([before[i] for i in taught], [painted[i] for i in taught])
    apart = [
        np.linalg.norm(
            to_lab(_byte(look_up(tried, before[i]))) - to_lab(painted[i]), axis=-1
        ).mean()
        for i in held
    ]
    return Lut(_byte(means_by_colour(before, painted))), float(np.mean(apart))


def _byte(colours: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(colours), 0, 255), np.uint8)
