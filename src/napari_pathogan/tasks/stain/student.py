"""A fast student of a style's network: what it makes of each colour on average, as a table.

The network looks at 100 pixels around each; the student at one pixel's red, green and blue. What
the surroundings told the network, the colour mostly tells the student: haematoxylin is blue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_pathogan.colour.lab import joined, lightness
from napari_pathogan.tasks.stain.lut import SIDE, Lut, grid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Each colour takes what the network said of pixels about as far away as these (cells of the
# table), near ones far more than distant ones: colours that no pixel has borrow from neighbours.
_REACH = (0.7, 1.5, 3.0, 6.0, 12.0)
_TRUST = 0.02  # weight of a reach against the one before it, per pixel that it sees


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
    tried = _means([before[i] for i in taught], [colour[i] for i in taught])
    apart = [np.linalg.norm(_look_up(tried, before[i]) - colour[i], axis=-1).mean() for i in held]
    means = _means(before, colour)

    def recolour(rgb: np.ndarray) -> np.ndarray:
        return joined(light(rgb), means.reshape(-1, 2), rgb)

    return Lut(recolour(grid()).reshape(SIDE, SIDE, SIDE, 3)), float(np.mean(apart))


def _means(before: Sequence[np.ndarray], colour: Sequence[np.ndarray]) -> np.ndarray:
    """Mean a and b of each cell of the table, near pixels weighing most: (33, 33, 33, 2)."""
    cells = np.concatenate([_cells(tile) for tile in before])
    values = np.concatenate([made.reshape(-1, 2) for made in colour])
    size = SIDE**3
    counts = np.bincount(cells, minlength=size).reshape(SIDE, SIDE, SIDE).astype(float)
    sums = [
        np.bincount(cells, values[:, c], minlength=size).reshape(SIDE, SIDE, SIDE) for c in (0, 1)
    ]
    weight, *total = (_spread(part) for part in (counts, *sums))
    overall = values.mean(0)
    return np.stack(
        [
            np.where(weight > 1e-12, out / np.maximum(weight, 1e-12), m)
            for out, m in zip(total, overall, strict=True)
        ],
        -1,
    ).astype(np.float32)


def _spread(part: np.ndarray) -> np.ndarray:
    """What each cell sees of its neighbours."""
    reaches = [ndimage.gaussian_filter(part, reach, truncate=3) for reach in _REACH]
    return np.asarray(np.tensordot(_TRUST ** np.arange(len(_REACH)), reaches, 1))


def _cells(tile: np.ndarray) -> np.ndarray:
    """The nearest cell of the table for each pixel."""
    red, green, blue = np.rint(tile.reshape(-1, 3).T / (255 / (SIDE - 1))).astype(np.intp)
    return np.asarray((red * SIDE + green) * SIDE + blue)


def _look_up(means: np.ndarray, tile: np.ndarray) -> np.ndarray:
    return np.asarray(means.reshape(-1, 2)[_cells(tile)].reshape(*tile.shape[:2], 2))
