"""A map of colours as a table: 33 x 33 x 33 colours and the straight lines between them.

Any map that looks at one pixel at a time (Macenko, Reinhard, the student of a network) becomes
one table, and all are shown at the same speed: Pillow looks up some 20 megapixels a second a core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 33


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
