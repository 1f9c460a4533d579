"""A fast student of a style's network: what it makes of each colour on average, as a table.

The network looks at 100 pixels around each; the student at one pixel's red, green and blue. What
the surroundings told the network, the colour mostly tells the student: haematoxylin is blue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.colour.lab import joined, lightness
from napari_pathogan.colour.lut import SIDE, Lut, grid, look_up, means_by_colour

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def distil(
    before: Sequence[np.ndarray],
    colour: Sequence[np.ndarray],
    light: Callable[[np.ndarray], np.ndarray] = lightness,
) -> tuple[Lut, float]:
    """Teach a student what the network did to some tiles; a fraction of a second.

    Parameters
    ----------
    before
        Tiles as they are: uint8 (H, W, 3).
    colour
        What the network made of each: a and b of Lab, float32 (H, W, 2), in Lab units.
    light
        The lightness that pixels get, uint8 (..., 3) -> (...): their own, or a curve's.

    Returns
    -------
    lut, error
        The student as a table, and its mean distance from the network in a and b (Lab units) on
        every fourth tile, by a student that was not taught on those (on all tiles, where there
        are under four).
    """
    held = [i for i in range(len(before)) if i % 4 == 3] or list(range(len(before)))
    taught = [i for i in range(len(before)) if i not in held] or held
    tried = means_by_colour([before[i] for i in taught], [colour[i] for i in taught])
    apart = [np.linalg.norm(look_up(tried, before[i]) - colour[i], axis=-1).mean() for i in held]
    means = means_by_colour(before, colour)

    def recolour(rgb: np.ndarray) -> np.ndarray:
        return joined(light(rgb), means.reshape(-1, 2), rgb)

    return Lut(recolour(grid()).reshape(SIDE, SIDE, SIDE, 3)), float(np.mean(apart))
