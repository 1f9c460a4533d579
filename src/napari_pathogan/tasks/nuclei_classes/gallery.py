"""A picture of nuclei of each class, in a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP_PX = 2
STRIP_PX = 4


def grid_picture(crops: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """Lay nuclei out as the paper's Figure 7: classes across, z down.

    Parameters
    ----------
    crops
        uint8 (rows, classes, S, S, 3).
    colours
        ``#rrggbb`` of each class, for the strip above its column.

    Returns
    -------
    uint8 (Y, X, 3): a white gap of 2 px around each nucleus, strips of 4 px.
    """
    rows, classes, size = crops.shape[:3]
    step = size + GAP_PX
    picture = np.full((STRIP_PX + GAP_PX + rows * step, GAP_PX + classes * step, 3), 255, np.uint8)
    for column in range(classes):
        left = GAP_PX + column * step
        strip = [int(colours[column][i : i + 2], 16) for i in (1, 3, 5)]
        picture[:STRIP_PX, left : left + size] = strip
        for row in range(rows):
            top = STRIP_PX + GAP_PX + row * step
            picture[top : top + size, left : left + size] = crops[row, column]
    return picture
