"""Drawn mammograms: a breast with texture, a muscle in MLO views, and soft discs for masses."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SHAPE = (320, 240)


def texture(shape, seed, sigma=3.0):
    """Smooth noise with mean 0 and standard deviation 1: float32."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def mammogram(seed=0, *, shape=SHAPE, muscle=False, masses=(), level=0.4, side="left"):
    """A breast with its chest wall on a side: float32 (H, W) in 0..1.

    ``masses`` are (y, x, radius), in px from the chest wall.
    """
    height, width = shape
    y, x = np.mgrid[:height, :width]
    inside = ((y - height / 2) / (0.46 * height)) ** 2 + (x / (0.8 * width)) ** 2 < 1
    inside |= (y < height / 2) & (x < 0.55 * width)  # towards the armpit
    image = level + 0.03 * texture(shape, seed) + 0.01 * texture(shape, seed + 1, 0.7)
    if muscle:
        image = image + 0.25 * above_the_edge(shape)
    for my, mx, radius in masses:
        image = image + 0.2 / (1 + np.exp((np.hypot(y - my, x - mx) - radius) / 1.5))
    image = np.clip(np.where(inside, image, 0.0), 0, 1).astype(np.float32)
    return image if side == "left" else np.ascontiguousarray(image[:, ::-1])


def above_the_edge(shape=SHAPE):
    """The muscle: from 45 % of the width at the top to 50 % of the height at the wall."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return x / (0.45 * shape[1]) + y / (0.5 * shape[0]) < 1


def disc(shape, centre, radius):
    """Bool (H, W)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(y - centre[0], x - centre[1]) <= radius
