"""Where the breast is in a mammogram: its outline, its box, the side of the chest wall; films."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import block_reduce

from napari_pathogan.errors import PathoganError

_SIDE_PX = 256  # the longer side of the copy in which the breast is looked for
_SMALLEST = 0.02  # of the image; a smaller bright spot is a marker, not a breast
_DARKEST = 0.01  # contrast of breast to air in a [0, 1] image
_RECTANGLE, _ONE_GREY = 0.93, 0.08  # of its hull that tape fills, and how much its grey varies
_ASKEW, _CORNERS = 3.0, 5  # px by which its sides may bend; corners, one of them cut off
_FRAME, _LINE = 1.3, 4  # filled over piece where a line runs around the film; half its width
_BRIGHT, _ALONG = 0.3, 0.9  # of strips: of the range of values, of their edge
_WIDEST = 0.45
_SHARP, _ENDS = 0.15, 0.2  # a step, and on how much of a strip's length it is
_CHEST, _MOST = 0.25, 0.6  # of negatives: of the height, of what is dark
_AIR, _FLAT, _FEW, _TAPES = (
    0.6,
    0.1,
    8,
    4,
)  # greys of air; pixels of a side that say something; tapes
_MARGIN = 0.01  # of the longer side, around the breast's box


class NoBreastError(PathoganError, ValueError):
    """The image shows no breast."""


@dataclass(frozen=True, eq=False)
class Breast:
    """The breast in a mammogram.

    Attributes
    ----------
    box
        (y0, x0, y1, x1) in image pixels, with a small margin, inside the image.
    mask
        bool (H, W), the breast; holes are filled, markers and labels left out.
    side
        The side of the image where the chest wall is.
    """

    box: tuple[int, int, int, int]
    mask: np.ndarray
    side: Literal["left", "right"]


def breast(image: np.ndarray) -> Breast:
    """Find the breast: the largest bright piece after Otsu's threshold.

    Parameters
    ----------
    image
        float32 (H, W) in [0, 1], dense tissue bright, air dark.

    Raises
    ------
    NoBreastError
        If the image is flat, or its largest bright piece is under 2 % of it.
    """
    if image.ndim != 2 or min(image.shape) < 2:
        msg = f"a mammogram is one grey image, got an array of shape {image.shape}"
        raise NoBreastError(msg)
    factor = max(1, round(max(image.shape) / _SIDE_PX))
    coarse = block_reduce(image, factor, np.mean)
    within = _inside_strips(coarse / _covered(image.shape, factor))
    small = ndimage.gaussian_filter(np.sqrt(np.clip(coarse[within], 0, 1)), 1)
    filled = np.zeros(coarse.shape, bool)
    filled[within] = _largest(small, coarse[within], _SMALLEST * coarse.size)
    mask = filled.repeat(factor, 0).repeat(factor, 1)[: image.shape[0], : image.shape[1]]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    margin = round(_MARGIN * max(image.shape))
    box = (
        max(0, int(rows[0]) - margin),
        max(0, int(columns[0]) - margin),
        min(image.shape[0], int(rows[-1]) + 1 + margin),
        min(image.shape[1], int(columns[-1]) + 1 + margin),
    )
    edge = max(1, mask.shape[1] // 50)
    first, last = int(columns[0]), int(columns[-1]) + 1  # of the breast: film has margins
    left, right = mask[:, first : first + edge].sum(), mask[:, last - edge : last].sum()
    return Breast(box, mask, "left" if left >= right else "right")


def _largest(small: np.ndarray, grey: np.ndarray, least: float) -> np.ndarray:
    """The largest bright piece of a square-rooted, blurred image: bool, its holes filled.

    Tape and labels, which are rectangles of one ``grey``, are left out, and so are thin lines around
    the film.
    """
    kept = np.ones(small.shape, bool)
    while True:
        known = small[kept]
        if np.ptp(known) < _DARKEST:
            msg = "the image shows no breast: it is of one grey"
            raise NoBreastError(msg)
        # the skin line is far darker than what lies behind it, so half of Otsu's threshold
        air = float(np.percentile(known, 1))
        between = float(threshold_otsu(known))
        pieces, _ = ndimage.label(kept & (small > air + (between - air) / 2))
        sizes = np.bincount(pieces.ravel())[1:]
        if not len(sizes) or sizes.max() < least:
            msg = "the image shows no breast: nothing bright in it is large enough"
            raise NoBreastError(msg)
        piece = pieces == 1 + sizes.argmax()
        if not _is_tape(piece, grey):
            break
        kept &= ~ndimage.binary_dilation(piece, iterations=3)
        if not kept.any():
            msg = "the image shows no breast: nothing bright in it is large enough"
            raise NoBreastError(msg)
    filled: np.ndarray = ndimage.binary_fill_holes(piece)
    if filled.sum() > _FRAME * piece.sum():
        opened, _ = ndimage.label(ndimage.binary_opening(piece, iterations=_LINE))
        sizes = np.bincount(opened.ravel())[1:]
        if len(sizes) and sizes.max() >= least:
            filled = ndimage.binary_fill_holes(opened == 1 + sizes.argmax())
    return filled


def _is_tape(piece: np.ndarray, grey: np.ndarray) -> bool:
    """Whether a piece is a rectangle of one grey, also where it lies askew, with writing on it."""
    inner = grey[ndimage.binary_erosion(piece, iterations=2)]
    if not inner.size or _spread(inner) >= _ONE_GREY:
        return False
    filled = ndimage.binary_fill_holes(piece)
    if filled.sum() > _FRAME * piece.sum():
        return False
    at = np.argwhere(filled & ~ndimage.binary_erosion(filled))
    hull = shapely.MultiPoint(at).convex_hull.buffer(0.5, join_style="mitre")
    corners = len(hull.simplify(_ASKEW).exterior.coords) - 1
    return bool(filled.sum() > _RECTANGLE * hull.area and corners <= _CORNERS)


def _inside_strips(image: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of an image inside the bright strips at its edges: tape, a scanner's lid.

    A strip is of one grey all along the edge, and ends sharply; a breast does neither.
    """
    kept = [slice(0, side) for side in image.shape]
    bright = image.min() + _BRIGHT * np.ptp(image)
    for _ in range(2):  # those of the other sides are shorter by the first
        for axis in (0, 1):
            for end in (1, -1):
                lines = np.moveaxis(image[tuple(kept)], axis, 0)[::end]
                if (width := _strip(lines, bright)) > 0:
                    start, stop = kept[axis].start, kept[axis].stop
                    kept[axis] = (
                        slice(start + width, stop) if end > 0 else slice(start, stop - width)
                    )
    return kept[0], kept[1]


def _strip(lines: np.ndarray, bright: float) -> int:
    """How many lines from the edge are a strip: 0 where there is none."""
    width = 0
    most = round(_WIDEST * len(lines))
    for line in lines[:most]:
        middle = float(np.median(line))
        if middle < bright or (np.abs(line - middle) < _ONE_GREY).mean() < _ALONG:
            break
        width += 1
    if not 0 < width < most:
        return 0
    step = np.abs(lines[width - 1] - lines[min(width + 1, len(lines) - 1)])
    return width + 1 if (step > _SHARP).mean() > _ENDS else 0


def looks_negative(image: np.ndarray) -> bool:
    """Whether an image as it is shown has a dark breast before bright air, as film negatives have.

    Air is flat, but for tape, and there is nothing else at the edge away from the chest wall; the breast is one
    piece, high at one side and not at the other.

    Parameters
    ----------
    image
        float32 (H, W) in [0, 1].
    """
    factor = max(1, round(max(image.shape) / _SIDE_PX))
    coarse = block_reduce(image, factor, np.mean)
    coarse = coarse / _covered(image.shape, factor)
    coarse = coarse[_inside_strips(1 - coarse)][1:-1, 1:-1]  # strips on a negative are dark
    if min(coarse.shape) < _FEW:
        return False
    kept = np.ones(coarse.shape, bool)
    for _ in range(_TAPES):
        if not kept.any() or np.ptp(coarse[kept]) < 2 * _SHARP:
            return False
        air = coarse > float(threshold_otsu(coarse[kept]))
        pieces, _ = ndimage.label(kept & ~air)
        sizes = np.bincount(pieces.ravel())[1:]
        piece = pieces == 1 + sizes.argmax()
        if not _is_tape(piece, coarse):
            break
        kept &= ~ndimage.binary_dilation(piece, iterations=3)
    columns = np.flatnonzero(piece.any(0))
    if len(columns) < _FEW:
        return False
    left, right, top, bottom = (
        1 - side.mean() for side in (piece[:, 0], piece[:, -1], piece[0], piece[-1])
    )
    ends = [piece[:, at].mean() for at in columns[[1, -2]]]
    bright, dark = coarse[kept & air], coarse[piece]
    return bool(
        max(left, right) > _ALONG
        and top + bottom > 1
        and max(ends) > _CHEST > min(ends)
        and piece.sum() > _MOST * (kept & ~air).sum()
        and np.median(bright) > _AIR
        and _is_flat(bright, min(_FLAT, _spread(dark)))
    )


def _is_flat(air: np.ndarray, most: float) -> bool:
    """Whether air is of one grey, or of two where faint tape lies on some of it."""
    if _spread(air) < most:
        return True
    between = float(threshold_otsu(air))
    parts = air[air <= between], air[air > between]
    return all(part.size > 0 and _spread(part) < most / 2 for part in parts)


def _covered(shape: tuple[int, ...], factor: int) -> np.ndarray:
    """The share of each block of pixels that lies in an image: less than 1 in the last."""
    parts = [np.diff(np.append(np.arange(0, side, factor), side)) / factor for side in shape]
    return np.outer(*parts)


def _spread(values: np.ndarray) -> float:
    """Between the quarters of what values there are."""
    low, high = np.percentile(values, (25, 75))
    return float(high - low)
