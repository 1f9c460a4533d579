"""How close transferred images come to a pool of the target style (the paper's table), and SSIM.

The paper names an Euclidean distance, a colour-histogram correlation and a Hellinger distance, and
does not say of what. Its figures fit one reading: all three compare colour histograms. For
histograms of unit length the Euclidean distance is sqrt(2 - 2 cos), so the table's 1.25 and 0.98
mean cosines of .22 and .52, beside correlations of .18 and .48. That reading is used here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.metrics import structural_similarity

from napari_pathogan.colour.lab import STAINED, lightness, optical_density

if TYPE_CHECKING:
    from collections.abc import Iterable

BINS = 64


def histogram(images: Iterable[np.ndarray], *, tissue: bool = True) -> np.ndarray:
    """Mean colour histogram of uint8 RGB images, each counting the same: (3, 64), rows sum to 1.

    Of their ``tissue`` alone, since how much glass there is says nothing about a stain; or of all
    their pixels.
    """
    each = []
    for image in images:
        flat = image.reshape(-1, 3)
        stained = optical_density(flat).max(1) >= STAINED
        flat = flat[stained] if tissue and stained.any() else flat
        each.append([np.bincount(flat[:, c] >> 2, minlength=BINS) / len(flat) for c in range(3)])
    return np.asarray(np.mean(each, 0))


def euclidean(a: np.ndarray, b: np.ndarray) -> float:
    """Distance of two histograms (3, B) scaled to unit length, mean of the channels; 0 is ideal."""
    a, b = (h / np.linalg.norm(h, axis=1, keepdims=True) for h in (a, b))
    return float(np.linalg.norm(a - b, axis=1).mean())


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two histograms (3, B), mean of the channels; 1 is ideal."""
    return float(np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]))


def hellinger(a: np.ndarray, b: np.ndarray) -> float:
    """Hellinger distance of two histograms (3, B), mean of the channels; 0 is ideal, 1 the most."""
    overlap = np.sqrt(a * b).sum(1)
    return float(np.sqrt(np.clip(1 - overlap, 0, 1)).mean())


def structure(before: np.ndarray, after: np.ndarray) -> float:
    """SSIM of the lightness of two uint8 RGB images of one shape; 1 where no structure is lost."""
    similar: float = structural_similarity(lightness(before), lightness(after), data_range=100)
    return float(similar)
