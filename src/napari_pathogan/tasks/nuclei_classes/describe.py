"""Three figures of a nucleus, and the classes that they alone suggest.

Left to itself, information is found in whatever varies most, which in H&E is the stain. The class
head therefore begins with three figures that any pathologist would look at first, and that
neither turning nor restaining a picture changes much:

- how much stain surrounds the nucleus (epithelium is crowded, stroma is not),
- how far the nucleus stands out against that (lymphocytes are dark on pale),
- how strongly the picture runs in one direction (fibroblasts and their fibres do).

No label is used: three groups of nuclei are wherever k-means finds them.
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax
from sklearn.cluster import KMeans

from napari_pathogan.tasks.nuclei_classes.crops import CROP_PX

# pixels of 0.55 um
_NUCLEUS = 5
_AROUND = (8, 18)
_GRAIN = 14
_CLIP = 3.0  # standard deviations: a blot of ink says no more than a dark nucleus


def describe(crops: np.ndarray) -> np.ndarray:
    """Measure crowding, contrast and grain.

    Parameters
    ----------
    crops
        uint8 (N, 40, 40, 3) at 0.55 um/px, in reference colours.

    Returns
    -------
    float64 (N, 3): mean optical density (summed over RGB, to base 10) 4.4 to 9.9 um around the
    centre; that within 2.8 um less the first; coherence of the structure tensor within 7.7 um,
    0 to 1.
    """
    density = -np.log10((crops.astype(np.float32) + 1) / 256).sum(-1)
    axis = np.arange(CROP_PX) - (CROP_PX - 1) / 2
    radius = np.hypot(axis[:, None], axis)
    around = density[:, (radius >= _AROUND[0]) & (radius < _AROUND[1])].mean(1)
    middle = density[:, radius < _NUCLEUS].mean(1)
    dy = np.diff(density, axis=1)[:, :, :-1]
    dx = np.diff(density, axis=2)[:, :-1]
    inside = radius[:-1, :-1] < _GRAIN
    yy, xx, yx = (np.mean(p[:, inside], 1) for p in (dy * dy, dx * dx, dy * dx))
    grain = np.hypot(yy - xx, 2 * yx) / (yy + xx + 1e-6)
    return np.stack([around, middle - around, grain], 1).astype(float)


def suggest(figures: np.ndarray, classes: int, seed: int = 0) -> np.ndarray:
    """Group nuclei by their figures with k-means.

    Parameters
    ----------
    figures
        (N, F), of :func:`describe` or :class:`.figures.Densities`; N at least ``classes``.

    Returns
    -------
    float32 (N, classes): how much each nucleus belongs to each group; rows sum to 1. The groups
    are in the order of their first figure, the largest first.
    """
    scaled = (figures - figures.mean(0)) / (figures.std(0) + 1e-9)
    scaled = scaled.clip(-_CLIP, _CLIP)
    means = KMeans(classes, n_init=10, random_state=seed).fit(scaled)
    order = np.argsort(-means.cluster_centers_[:, 0], kind="stable")
    square = means.transform(scaled)[:, order] ** 2
    return np.asarray(softmax(-square * 3 / figures.shape[1], 1), np.float32)
