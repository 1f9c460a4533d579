"""The three labels of the paper from masks: background, nucleus, and a band for the boundary.

The band lies inside the outline, so nucleus and boundary together are exactly the mask. Where a
mask says only where nuclei are, and not which, touching ones are first told apart by their shape.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries, watershed

_APART = 10  # pixels of 0.25 um between the middles of two touching nuclei, at the least
_BAND = 2.0  # pixels of 0.25 um that the boundary is wide
_SMOOTH = 1.5  # of the distance to the edge, so that a ragged outline makes no extra middles


def is_binary(mask: np.ndarray) -> bool:
    """Whether a mask only tells nuclei from background: at most one value beside 0."""
    return len(np.unique(mask[mask != 0])) <= 1


def split(mask: np.ndarray) -> np.ndarray:
    """Tell touching nuclei of a binary mask apart: watershed on the distance to the edge.

    Parameters
    ----------
    mask
        (H, W), not 0 in nuclei, at 0.25 um/px.

    Returns
    -------
    int32 (H, W), a number a nucleus; 0 is background.
    """
    inside = mask != 0
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), _SMOOTH)
    middles = (distance == ndimage.maximum_filter(distance, 2 * _APART + 1)) & inside
    seeds, n = ndimage.label(middles, np.ones((3, 3)))
    # a small nucleus near a large one has no middle of its own
    pieces, _ = ndimage.label(inside)
    bare = ~np.isin(pieces, pieces[middles]) & inside
    seeds[bare] = pieces[bare] + n
    parts = watershed(-distance, seeds, mask=inside)
    return np.asarray(parts, np.int32)


def three_labels(mask: np.ndarray) -> np.ndarray:
    """Background 0, nucleus 1, boundary 2.

    Parameters
    ----------
    mask
        int (H, W) at 0.25 um/px: a number a nucleus, or one value for all; 0 is background and
        -1 not known.

    Returns
    -------
    int8 (H, W); -1 where it is not known. The boundary is two pixels wide; a nucleus so small
    that nothing would be left inside keeps its innermost pixels.
    """
    nuclei = np.where(mask > 0, mask, 0)
    nuclei = split(nuclei) if is_binary(nuclei) else nuclei
    inner = find_boundaries(nuclei, mode="inner")
    outline = inner | (nuclei == 0)
    depth = ndimage.distance_transform_edt(~outline)
    numbers, index = np.unique(nuclei, return_inverse=True)
    deepest = ndimage.maximum(depth, index, np.arange(len(numbers)))[index].reshape(mask.shape)
    inside = depth >= np.minimum(_BAND, deepest)
    out = np.where(nuclei > 0, np.where(inside, 1, 2), 0).astype(np.int8)
    out[mask < 0] = -1
    return out
