"""From pixels to nuclei: watershed on the predicted boundary and the distance to the outside.

All steps run over the whole image at once, so that their time goes with its pixels, not with its
nuclei; nothing is random, and a nucleus depends on nothing but its surroundings.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

COARSE_UM = 0.5  # touching nuclei are told apart on pixels of this size: a quarter of the work
SMALLEST_UM2 = 4.0  # area of the smallest nucleus, cut or thin: a disc of 2.3 um
HOLE_UM2 = 12.0  # larger gaps between touching nuclei are no holes
APART_UM = 1.5  # peaks are at least so far from each other
SMOOTH_UM = 0.5  # how far heights are smoothed before peaks are looked for
BOUNDARY_UM = 2.0  # how much lower a sure boundary lies than a sure inside
NECK, NECK_UM = 0.1, 0.25  # a saddle less than this below the lower peak parts no nuclei


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
        int32 (H, W): 0 where there is no nucleus, else 1 to n.
    """
    pixel, step = mpp * mpp, max(1, int(COARSE_UM / mpp + 1e-6))
    foreground = _filled(probability[0] <= 1 - threshold, HOLE_UM2 / pixel)
    inside = _blocks(foreground.astype(np.float32), step) >= 0.5
    coarse_um = mpp * step
    height = ndimage.distance_transform_edt(inside).astype(np.float32) * np.float32(coarse_um)
    height -= BOUNDARY_UM * np.where(inside, _blocks(probability[2], step), 0)
    height = ndimage.gaussian_filter(height, SMOOTH_UM / coarse_um)
    peaks = _peaks(height, inside, APART_UM / coarse_um)
    basins = watershed(-height, peaks, mask=inside)
    found = _fine(_merged(basins, height, peaks), foreground, step)
    return _numbered(found, smallest_um2 / pixel)


def _blocks(image: np.ndarray, step: int) -> np.ndarray:
    """Means of blocks of ``step`` x ``step`` pixels; at the lower edges, of what there is, repeated."""
    if step == 1:
        return image
    padded = np.pad(image, [(0, -length % step) for length in image.shape], mode="edge")
    total = sum(padded[row::step, col::step] for row in range(step) for col in range(step))
    means: np.ndarray = np.asarray(total) / np.float32(step * step)
    return means


def _fine(labels: np.ndarray, foreground: np.ndarray, step: int) -> np.ndarray:
    """Labels of blocks for each pixel of the foreground.

    A pixel whose block is mostly background goes to a neighbour that has a label.
    """
    height, width = foreground.shape
    fine = labels.repeat(step, 0).repeat(step, 1)[:height, :width]
    fine[~foreground] = 0
    for _ in range(step - 1):
        around = np.pad(fine, 1)
        rows, cols = np.nonzero(foreground & (fine == 0))
        for row, col in ((0, 1), (1, 0), (1, 2), (2, 1)):
            fine[rows, cols] = np.maximum(fine[rows, cols], around[rows + row, cols + col])
    return fine


def _filled(mask: np.ndarray, most: float) -> np.ndarray:
    """Holes of at most so many pixels filled."""
    holes, _ = ndimage.label(~mask)
    small = np.bincount(holes.ravel()) <= most
    small[0] = False
    filled: np.ndarray = mask | small[holes]
    return filled


def _peaks(height: np.ndarray, foreground: np.ndarray, apart: float) -> np.ndarray:
    """int32 (H, W): a number for each place that is the highest within ``apart`` pixels.

    A piece of the foreground in the shade of a higher one is a peak as a whole.
    """
    size = 2 * round(apart) + 1
    peak = (height == ndimage.maximum_filter(height, size)) & foreground
    pieces, count = ndimage.label(foreground)
    bare = np.bincount(pieces[peak], minlength=count + 1) == 0
    bare[0] = False
    peaks = np.zeros(height.shape, np.int32)
    ndimage.label(peak | bare[pieces], np.ones((3, 3)), output=peaks)
    return peaks


def _merged(basins: np.ndarray, height: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Basins that no neck parts are one: those that meet highest first."""
    top = np.zeros(int(peaks.max()) + 1, height.dtype)
    np.maximum.at(top, peaks[peaks > 0], height[peaks > 0])
    owner = np.arange(len(top))

    def root(basin: int) -> int:
        while owner[basin] != basin:
            basin = owner[basin]
        return basin

    for a, b, saddle in _saddles(basins, height):
        low, high = sorted((root(a), root(b)), key=lambda basin: (top[basin], -basin))
        if low != high and top[low] - saddle < max(NECK * top[low], NECK_UM):
            owner[low] = high
    merged: np.ndarray = np.array([root(basin) for basin in range(len(top))])[basins]
    return merged


def _saddles(basins: np.ndarray, height: np.ndarray) -> list[tuple[int, int, float]]:
    """Pairs of basins that touch and the height where they meet highest; the highest first."""
    firsts, seconds, meets = [], [], []
    for here, there in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        a, b = basins[here], basins[there]
        touch = (a != b) & (a > 0) & (b > 0)
        firsts.append(np.minimum(a[touch], b[touch]))
        seconds.append(np.maximum(a[touch], b[touch]))
        meets.append(np.minimum(height[here][touch], height[there][touch]))
    first, second, meet = (np.concatenate(parts) for parts in (firsts, seconds, meets))
    order = np.lexsort((-meet, second, first))
    first, second, meet = first[order], second[order], meet[order]
    new = np.ones(len(first), bool)
    new[1:] = (np.diff(first) != 0) | (np.diff(second) != 0)
    first, second, meet = first[new], second[new], meet[new]
    order = np.argsort(-meet, kind="stable")
    return list(
        zip(first[order].tolist(), second[order].tolist(), meet[order].tolist(), strict=True)
    )


def _numbered(labels: np.ndarray, smallest: float) -> np.ndarray:
    """Without small ones, numbered without gaps."""
    count = np.bincount(labels.ravel())
    kept = count >= smallest
    kept[0] = False
    number = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    numbered: np.ndarray = number[labels]
    return numbered
