"""What bright round spots alone tell: the baseline that every detector stands beside.

Maxima of the scale-normalised Laplacian of Gaussian (Lindeberg 1998) of a breast's ranks of greys,
over places and the sizes that masses have. Nothing is learnt.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_laplace, maximum_filter

from napari_pathogan.tasks.masses.frame import MIDDLE, Frame
from napari_pathogan.tasks.masses.froc import overlaps
from napari_pathogan.tasks.masses.model import Findings

ABOUT = "bright round spots (Laplacian of Gaussian of the ranks of greys), nothing learnt"
_LONG_SIDE = 256
_SIGMAS = np.geomspace(0.01, 0.1, 10) / np.sqrt(2) * _LONG_SIDE  # of discs of 1 to 10 % in radius
_MOST, _SAME = 20, 0.3  # spots of an image; IoU from which two are one


def spots(image: np.ndarray) -> Findings:
    """Bright round spots of a mammogram, float32 (H, W) in [0, 1], without outlines.

    Raises
    ------
    NoBreastError
        If there is no breast in it.
    """
    frame = Frame.of(image, _LONG_SIDE, "ranks")
    inside = frame.pixels > 0
    filled = np.where(inside, frame.pixels, MIDDLE)
    space = np.stack([-(s**2) * gaussian_laplace(filled, s, mode="nearest") for s in _SIGMAS])
    peaks = (space == maximum_filter(space, 3, mode="nearest")) & (space > 0) & inside
    level, y, x = np.nonzero(peaks)
    order = np.argsort(-space[level, y, x], kind="stable")
    radius = (np.sqrt(2) * _SIGMAS[level])[:, None]
    middle = np.stack([x, y], 1) + 0.5
    height, width = frame.pixels.shape
    boxes = np.concatenate([middle - radius, middle + radius], 1).clip(0, [width, height] * 2)
    taken: list[int] = []
    for i in order.tolist():
        if len(taken) < _MOST and not (overlaps(boxes[[i]], boxes[taken]) > _SAME).any():
            taken.append(i)
    scores = space[level, y, x][taken].clip(0, 1).astype(np.float32)
    return Findings(frame.boxes_back(boxes[taken]), scores, [])
