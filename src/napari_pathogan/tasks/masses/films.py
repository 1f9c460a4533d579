"""Mammograms as scans of films show them, to measure what a detector is worth on other archives.

Simulated: a film's curve of density, its base and fog, blur and grain of film and scanner, uneven
light, a bright margin, and a label. A simulation is no film: what holds on it may fail on one, what
fails on it will.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.special import expit

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOG = (0.02, 0.15)  # what air scans to
_EXPOSED, _SLOPE = 0.25, (1.5, 4.0)  # how far off a film is exposed, and its slope, in spreads
_LIGHT = 0.08  # by how much it falls from side to side
_BLUR, _GRAIN, _GRAIN_SIZE = (0.3, 1.3), (0.01, 0.03), (0.5, 1.2)  # px of 1,024; of greys
_NORMAL_SIDE = 1024
_AIR = 0.02  # greys up to which nothing is seen
_MARGIN, _LABEL = 0.015, (0.04, 0.12)  # of the sides


def film(image: np.ndarray, seed: int | Sequence[int]) -> np.ndarray:
    """Show a mammogram, float32 (H, W) in [0, 1], as a scan of a film; the same for the same seed."""
    rng = np.random.default_rng(seed)
    scale = max(image.shape) / _NORMAL_SIDE
    breast = image[image > _AIR]
    low, middle, high = np.quantile(breast, (0.05, 0.5, 0.95)) if breast.size else (0.0, 0.5, 1.0)
    spread = max(float(high - low), _AIR)
    middle += spread * rng.uniform(-_EXPOSED, _EXPOSED)
    grey = expit(rng.uniform(*_SLOPE) * (image - middle) / spread)
    fog, top = rng.uniform(*_FOG), rng.uniform(0.75, 1)
    grey = fog + (top - fog) * grey
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in image.shape)
    grey[image <= _AIR] = fog
    grey *= 1 + _LIGHT * (rng.uniform(-1, 1) * y[:, None] + rng.uniform(-1, 1) * x)
    grey = ndimage.gaussian_filter(grey, rng.uniform(*_BLUR) * scale)
    grain = rng.standard_normal(image.shape, np.float32)
    grain = ndimage.gaussian_filter(grain, rng.uniform(*_GRAIN_SIZE) * scale)
    grey += grain * (rng.uniform(*_GRAIN) / grain.std())
    _mount(grey, rng)
    scan: np.ndarray = grey.clip(0, 1).astype(np.float32)
    return scan


def _mount(grey: np.ndarray, rng: np.random.Generator) -> None:
    """Lay a label in the air's darkest corner and a bright margin along the upper edge."""
    height, width = grey.shape
    high, wide = (max(2, round(rng.uniform(*_LABEL) * side)) for side in grey.shape)
    corners = [(y, x) for y in (0, height - high) for x in (0, width - wide)]
    y, x = min(corners, key=lambda at: grey[at[0] :, at[1] :][:high, :wide].mean())
    label = np.full((high, wide), rng.uniform(0.5, 0.95))
    label[high // 3 : high // 2, wide // 8 : -wide // 8] = rng.uniform(0, 0.4)
    grey[y : y + high, x : x + wide] = label
    grey[: round(_MARGIN * height * rng.uniform(0, 1))] = rng.uniform(0.8, 1)
