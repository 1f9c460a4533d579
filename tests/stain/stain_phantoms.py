"""Small H&E-like pictures, mixed from two known stains."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_pathogan.tasks.stain.config import TrainConfig
from napari_pathogan.tasks.stain.data import StylePool

TINY = TrainConfig(width=0.05, epochs=2, steps=2, batch=2, crop=64, ema=0.9, lightness=0.2)
HAEMATOXYLIN, EOSIN = (0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)


def two_stains(
    side: int = 256, seed: int = 0, vectors=(HAEMATOXYLIN, EOSIN), amount=(1.8, 1.0)
) -> np.ndarray:
    """Nuclei on stroma with some glass, mixed from two stains: uint8 (side, side, 3)."""
    rng = np.random.default_rng(seed)
    nuclei = ndimage.gaussian_filter(rng.random((side, side)), 3)
    nuclei = np.clip((nuclei - np.quantile(nuclei, 0.75)) / nuclei.std(), 0, 1)
    stroma = ndimage.gaussian_filter(rng.random((side, side)), 6)
    stroma = np.clip(0.6 + (stroma - stroma.mean()) / stroma.std() * 0.15, 0, 1)
    stroma[:, : side // 8] = 0
    nuclei[:, : side // 8] = 0
    unit = np.array(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)
    stroma *= 1 - nuclei
    density = nuclei[..., None] * amount[0] * unit[0] + stroma[..., None] * amount[1] * unit[1]
    return np.clip(240 * np.exp(-density), 0, 255).astype(np.uint8)


def make_pool() -> StylePool:
    """Six pictures of three patients and two classes."""
    names = tuple(f"{p}_{k}.png" for p in "abc" for k in range(2))
    images = tuple(two_stains(96, seed) for seed in range(6))
    return StylePool(images, names, tuple(n[0] for n in names), (0, 1) * 3, ("one", "two"))
