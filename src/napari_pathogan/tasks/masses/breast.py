"""Where the breast is in a mammogram: its outline, its box, and the side of the chest wall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import block_reduce

from napari_pathogan.errors import PathoganError

_SIDE_PX = 256  # the longer side of the copy in which the breast is looked for
_SMALLEST = 0.02  # of the image; a smaller bright spot is a marker, not a breast
_DARKEST = 0.01  # contrast of breast to air in a [0, 1] image
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
    coarse = block_reduce(image, factor, np.mean)  # type: ignore[no-untyped-call]
    small = np.sqrt(np.clip(coarse, 0, 1))
    small = ndimage.gaussian_filter(small, 1)
    if np.ptp(small) < _DARKEST:
        msg = "the image shows no breast: it is of one grey"
        raise NoBreastError(msg)
    # the skin line is far darker than what lies behind it, so half of Otsu's threshold
    air = float(np.percentile(small, 1))
    between = float(threshold_otsu(small))  # type: ignore[no-untyped-call]
    pieces, _ = ndimage.label(small > air + (between - air) / 2)
    sizes = np.bincount(pieces.ravel())[1:]
    if not len(sizes) or sizes.max() < _SMALLEST * small.size:
        msg = "the image shows no breast: nothing bright in it is large enough"
        raise NoBreastError(msg)
    filled = ndimage.binary_fill_holes(pieces == 1 + sizes.argmax())
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
    left, right = mask[:, :edge].sum(), mask[:, -edge:].sum()
    return Breast(box, mask, "left" if left >= right else "right")
