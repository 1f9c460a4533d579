"""Where things are on a slide: regions, tile grids, and overlays that land exactly.

Coordinates are level-0 pixels, y before x. An *edge* coordinate counts from the upper left corner
of the slide (pixel 0 spans 0 to 1); a *centre* coordinate, which napari and OME-NGFF use, puts 0 at
the middle of the first pixel: centre = edge - 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in level-0 pixels: upper left corner (edges) and size."""

    y: int
    x: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """The row just below the region."""
        return self.y + self.height

    @property
    def right(self) -> int:
        """The column just right of the region."""
        return self.x + self.width

    @property
    def empty(self) -> bool:
        """Whether the region holds no pixel."""
        return self.height <= 0 or self.width <= 0

    def clip(self, shape: tuple[int, int]) -> Region:
        """The part of the region inside a slide of ``shape`` (Y, X)."""
        y, x = max(self.y, 0), max(self.x, 0)
        bottom, right = min(self.bottom, shape[0]), min(self.right, shape[1])
        return Region(y, x, max(bottom - y, 0), max(right - x, 0))


def region_of(text: str) -> Region:
    """Read ``y,x,height,width`` in pixels.

    Raises
    ------
    ValueError
        If it is anything else, or empty.
    """
    try:
        region = Region(*(int(number) for number in text.split(",")))
    except (TypeError, ValueError):
        region = Region(0, 0, 0, 0)
    if region.empty:
        msg = f"{text!r} is not y,x,height,width in whole pixels, such as 0,0,5000,4000"
        raise ValueError(msg)
    return region


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """A coarse array and the exact affine that lays it on level 0.

    Cell [r, c] covers the level-0 edge span ``origin + [r, c] * step`` to ``+ step``, so its centre
    lies at ``origin + ([r, c] + 0.5) * step - 0.5`` in centre coordinates (the half-pixel rule).

    Attributes
    ----------
    data
        (Y, X) or (Y, X, 3).
    origin
        Level-0 edge coordinates (y, x) of the array's upper left corner.
    step
        Level-0 pixels per cell (y, x), floats.
    """

    data: np.ndarray
    origin: tuple[float, float]
    step: tuple[float, float]

    def affine(
        self, mpp: tuple[float, float] | None = None
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """``scale`` and ``translate`` (y, x) for a napari layer or an OME-NGFF transformation.

        In micrometres where ``mpp`` is given, else in level-0 pixels. A level-0 layer itself has
        scale ``mpp`` and translate 0.
        """
        my, mx = mpp or (1.0, 1.0)
        scale = (self.step[0] * my, self.step[1] * mx)
        translate = (
            (self.origin[0] + self.step[0] / 2 - 0.5) * my,
            (self.origin[1] + self.step[1] / 2 - 0.5) * mx,
        )
        return scale, translate

    @classmethod
    def from_affine(
        cls,
        data: Any,  # noqa: ANN401 - any array library
        scale: tuple[float, float],
        translate: tuple[float, float],
        mpp: tuple[float, float] | None = None,
    ) -> Overlay:
        """The overlay whose :meth:`affine` this is."""
        my, mx = mpp or (1.0, 1.0)
        step = scale[0] / my, scale[1] / mx
        origin = translate[0] / my - step[0] / 2 + 0.5, translate[1] / mx - step[1] / 2 + 0.5
        return cls(data, origin, step)

    def cell(self, y: float, x: float) -> tuple[int, int] | None:
        """Row and column of the cell at a level-0 centre coordinate; None outside."""
        row = math.floor((y + 0.5 - self.origin[0]) / self.step[0])
        col = math.floor((x + 0.5 - self.origin[1]) / self.step[1])
        inside = 0 <= row < self.data.shape[0] and 0 <= col < self.data.shape[1]
        return (row, col) if inside else None
