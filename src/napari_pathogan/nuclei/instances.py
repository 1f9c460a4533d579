"""From pixels to nuclei: watershed on the predicted boundary and the distance to the outside.

All steps run over the whole image at once, so that their time goes with its pixels, not with its
nuclei; nothing is random, and a nucleus depends on nothing but its surroundings.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

SMALLEST_UM2 = 10.0  # area of the smallest nucleus: a disc of 3.6 um
HOLE_UM2 = 6.0  # larger gaps between touching nuclei are no holes
APART_UM = 3.0  # centres of two nuclei are at least so far from each other
SMOOTH_UM = 0.75  # how far heights are smoothed before peaks are looked for
BOUNDARY_UM = 1.0  # how much lower a sure boundary lies than a sure inside


def instances(
    probability: np.ndarray,
    *,
    mpp: float,
    threshold: float = 0.5,
    smallest_um2: float = SMALLEST_UM2,
) -> np.ndarray:
    """Tell touching nuclei apart.

    A pixel is foreground where nucleus and boundary together reach the threshold. Its height is
    its distance to the outside, less where a boundary is predicted. Each peak of the smoothed
    heights is a nucleus, and the foreground goes to the peak that it leads up to.

    Parameters
    ----------
    probability
        float32 (3, H, W): background, nucleus (its inside), boundary.
    mpp
        um per pixel.
    threshold
        Foreground from this probability on.
    smallest_um2
        Smaller ones are dropped.

    Returns
    -------
    np.ndarray
        int32 (H, W): 0 where there is no nucleus, else 1 to n, in the order of their first
        pixels. Each is one piece, without holes.
    """
    pixel = mpp * mpp
    foreground = _filled(probability[0] <= 1 - threshold, HOLE_UM2 / pixel)
    distance = ndimage.distance_transform_edt(foreground) * mpp
    height = distance - BOUNDARY_UM * np.where(foreground, probability[2], 0)
    height = ndimage.gaussian_filter(height.astype(np.float32), SMOOTH_UM / mpp)
    peaks = _peaks(height, foreground, APART_UM / mpp)
    found = watershed(-height, peaks, mask=foreground)  # type: ignore[no-untyped-call]
    return _numbered(found, smallest_um2 / pixel)


def _filled(mask: np.ndarray, most: float) -> np.ndarray:
    """Holes of at most so many pixels filled."""
    holes, _ = ndimage.label(~mask)
    small = np.bincount(holes.ravel()) <= most
    small[0] = False
    filled: np.ndarray = mask | small[holes]
    return filled


def _peaks(height: np.ndarray, foreground: np.ndarray, apart: float) -> np.ndarray:
    """int32 (H, W): a number for each place that is the highest within ``apart`` pixels."""
    size = 2 * round(apart / 2) + 1
    peak = (height == ndimage.maximum_filter(height, size)) & foreground
    peaks = np.zeros(height.shape, np.int32)
    ndimage.label(peak, np.ones((3, 3)), output=peaks)
    return peaks


def _numbered(labels: np.ndarray, smallest: float) -> np.ndarray:
    """Without small ones, without holes, numbered in the order of their first pixels."""
    count = np.bincount(labels.ravel())
    kept = count >= smallest
    kept[0] = False
    number = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    numbered: np.ndarray = number[labels]
    return numbered
