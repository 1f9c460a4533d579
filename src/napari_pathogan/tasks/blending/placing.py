"""Where a mass may grow: inside the breast, and off the pectoral muscle in MLO views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_pathogan.errors import PathoganError
from napari_pathogan.mammograms.breast import Breast, breast
from napari_pathogan.tasks.blending.lesions import reduce

_SIDE_PX = 256  # the longer side of the copy in which places are looked for
_TOP = np.linspace(0.15, 0.85, 29)  # where a muscle's edge may begin: shares of the breast's width
_WALL = np.linspace(0.15, 0.75, 31)  # and where it may end: shares of the breast's height
_ACROSS_PX = 6  # from the edge, to compare both sides
_LEAST_STEP = 0.02  # in brightness, for an edge to be the muscle's
_USUAL = (0.45, 0.55)  # the edge where none is seen


class PlacingError(PathoganError, ValueError):
    """There is no room for the lesion in any healthy image."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where in an image the centre of a lesion may be.

    Attributes
    ----------
    room
        float32 (h, w), of a smaller copy: distance to what must not be touched, in image px.
    factor
        Image px per px of the copy.
    """

    room: np.ndarray
    factor: int

    def draw(self, radius: float, rng: np.random.Generator) -> tuple[float, float] | None:
        """Draw a centre (y, x) around which ``radius`` px are free; None where there is none."""
        rows, columns = np.nonzero(self.room >= radius)
        if not len(rows):
            return None
        chosen = rng.integers(len(rows))
        within = rng.random(2) - 0.5
        y, x = (self.factor * (np.array([rows[chosen], columns[chosen]]) + 0.5 + within)) - 0.5
        return float(y), float(x)

    def check(self, centre: tuple[float, float], radius: float) -> None:
        """Make sure that ``radius`` px around a centre (y, x) are free.

        Raises
        ------
        PlacingError
            If they are not; says what is in the way.
        """
        row, column = (int((c + 0.5) // self.factor) for c in centre)
        inside = 0 <= row < self.room.shape[0] and 0 <= column < self.room.shape[1]
        free = float(self.room[row, column]) if inside else 0.0
        if free < radius:
            msg = (
                f"a mass with its surroundings, {2 * radius:.0f} px across, does not fit at row "
                f"{centre[0]:.0f}, column {centre[1]:.0f}: it would reach beyond the breast or onto "
                "the pectoral muscle; choose a place further inside, or a smaller mass"
            )
            raise PlacingError(msg)


def places(image: np.ndarray, view: str | None) -> Places:
    """Find where masses may be placed.

    Parameters
    ----------
    image
        float32 (H, W) in 0..1.
    view
        ``MLO`` keeps them off the pectoral muscle, ``CC`` has none; of any other view, the muscle
        is taken to be there.

    Raises
    ------
    NoBreastError
        If the image shows no breast.
    """
    found = breast(image)
    factor = max(1, round(max(image.shape) / _SIDE_PX))
    free = reduce(found.mask, factor) > 0.99
    if view != "CC":
        free &= ~_muscle(reduce(image, factor), free, found)
    room = ndimage.distance_transform_edt(np.pad(free, 1))[1:-1, 1:-1]
    return Places((room * factor).astype(np.float32), factor)


def _muscle(small: np.ndarray, mask: np.ndarray, found: Breast) -> np.ndarray:
    """The pectoral muscle of an MLO view, (h, w), in a small copy of the image and of the breast's mask.

    It lies above a straight line: the one across which the image darkens most on the way from the
    upper corner at the chest wall; a usual one where no line stands out.
    """
    flip = slice(None, None, -1 if found.side == "right" else 1)
    smooth = ndimage.gaussian_filter(small, 2)[:, flip]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask[:, flip].any(0))
    if not len(rows):
        return np.zeros(mask.shape, bool)
    first, height, width = rows[0], rows[-1] - rows[0] + 1, columns[-1] + 1
    top, wall = _edge(smooth, mask[:, flip], first, height, width)
    y, x = np.indices(mask.shape)
    above = x / (top * width) + (y - first) / (wall * height) < 1
    muscle: np.ndarray = (above & mask[:, flip])[:, flip]
    return muscle


def _edge(
    smooth: np.ndarray, mask: np.ndarray, first: int, height: int, width: int
) -> tuple[float, float]:
    """Where the muscle's edge meets the top and the chest wall: shares of width and height."""
    top, wall = (grid.ravel()[:, None] for grid in np.meshgrid(_TOP, _WALL))
    along = np.linspace(0.05, 0.9, 48)
    x, y = top * width * (1 - along), first + wall * height * along
    normal = np.stack([top * width, wall * height])  # (y, x): across the line, away from the corner
    normal = _ACROSS_PX * normal / np.linalg.norm(normal, axis=0)
    sides = [
        ndimage.map_coordinates(smooth, [y + s * normal[0], x + s * normal[1]], order=1)
        for s in (-1, 1)
    ]
    beyond = ndimage.map_coordinates(
        mask.astype(np.float32), [y + normal[0], x + normal[1]], order=1
    )
    step = np.clip(sides[0] - sides[1], -0.1, 0.1) * (beyond > 0.5)  # the skin line is no muscle's
    score = step.mean(1)
    best = int(score.argmax())
    if score[best] < _LEAST_STEP:
        return _USUAL
    return float(top[best, 0]), float(wall[best, 0])
