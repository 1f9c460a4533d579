"""A map of colours as a table: 33 x 33 x 33 colours and the straight lines between them.

Any map that looks at one pixel at a time (Macenko, Reinhard, the student of a network) becomes
one table, and all are shown at the same speed: Pillow looks up some 20 megapixels a second a core.
A network that looks at surroundings has a student: what it makes of each colour on average.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIDE = 33
# Each colour takes what the network said of pixels about as far away as these (cells of the
# table), near ones far more than distant ones: colours that no pixel has borrow from neighbours.
_REACH = (0.7, 1.5, 3.0, 6.0, 12.0)
_TRUST = 0.02  # weight of a reach against the one before it, per pixel that it sees


class Lut:
    """A colour table, applied with trilinear interpolation.

    Parameters
    ----------
    table
        (33, 33, 33, 3) uint8: what becomes of red, green, blue (in this order of the axes) at
        0, 8, 16, ... 255.
    """

    margin_px = 0

    def __init__(self, table: np.ndarray) -> None:
        self.table = np.ascontiguousarray(table, np.uint8)
        # Pillow wants red to vary fastest
        flat = self.table.transpose(2, 1, 0, 3).reshape(-1) / np.float32(255)
        self._filter = ImageFilter.Color3DLUT(SIDE, flat.tolist(), _copy_table=False)

    @classmethod
    def tabulate(cls, recolour: Callable[[np.ndarray], np.ndarray]) -> Lut:
        """Tabulate a map of single pixels, uint8 (N, 3) -> uint8 (N, 3)."""
        return cls(recolour(grid()).reshape(SIDE, SIDE, SIDE, 3))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Recolour uint8 (H, W, 3) -> uint8 (H, W, 3)."""
        if not image.size:
            return image
        picture = Image.fromarray(np.ascontiguousarray(image))
        return np.array(picture.filter(self._filter))


def grid() -> np.ndarray:
    """The colours that a table holds: uint8 (33**3, 3), red slowest."""
    steps = np.rint(np.linspace(0, 255, SIDE)).astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)


def means_by_colour(before: Sequence[np.ndarray], values: Sequence[np.ndarray]) -> np.ndarray:
    """What a network made of each colour on average, near colours weighing most.

    Parameters
    ----------
    before
        Tiles as they are: uint8 (H, W, 3).
    values
        What it made of each: (H, W, C).

    Returns
    -------
    means
        For each cell of a table, float32 (33, 33, 33, C).
    """
    cells = np.concatenate([_cells(tile) for tile in before])
    flat = np.concatenate([made.reshape(-1, made.shape[-1]) for made in values])
    size = SIDE**3
    weights = (None, *np.moveaxis(flat, -1, 0))
    counts = [np.bincount(cells, w, minlength=size).reshape(SIDE, SIDE, SIDE) for w in weights]
    weight, *total = (_spread(part.astype(float)) for part in counts)
    return np.stack(
        [
            np.where(weight > 1e-12, out / np.maximum(weight, 1e-12), m)
            for out, m in zip(total, flat.mean(0), strict=True)
        ],
        -1,
    ).astype(np.float32)


def look_up(means: np.ndarray, tile: np.ndarray) -> np.ndarray:
    """What a table of means says of each pixel, (H, W, C): that of its nearest cell."""
    return np.asarray(means.reshape(-1, means.shape[-1])[_cells(tile)].reshape(*tile.shape[:2], -1))


def _spread(part: np.ndarray) -> np.ndarray:
    """What each cell sees of its neighbours."""
    reaches = [ndimage.gaussian_filter(part, reach, truncate=3) for reach in _REACH]
    return np.asarray(np.tensordot(_TRUST ** np.arange(len(_REACH)), reaches, 1))


def _cells(tile: np.ndarray) -> np.ndarray:
    """The nearest cell of the table for each pixel."""
    red, green, blue = np.rint(tile.reshape(-1, 3).T / (255 / (SIDE - 1))).astype(np.intp)
    return np.asarray((red * SIDE + green) * SIDE + blue)
