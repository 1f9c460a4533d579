"""Breasts made of noise with masses in them: what can be learnt before a patient is seen.

They teach it what every patient has in common, textures of power-law noise with rounded densities
in them, and belong to nobody: the same start serves all folds of a cross-validation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import expit

if TYPE_CHECKING:
    from collections.abc import Sequence

_RADII = (0.011, 0.11)  # of masses, as shares of a mammogram's long side
_FALLOFF = (1.2, 2.0)  # exponents of the noise's amplitude: mammograms have about 1.5


def pictures(n: int, size: tuple[int, int], seed: int, long_side: int) -> list[Picture]:
    """Draw ``n`` of them.

    Parameters
    ----------
    size
        Height and width in pixels; the chest wall is on the left.
    long_side
        Of a whole mammogram at this scale, which says how large masses are.

    Returns
    -------
    Images float32 (h, w) in [0, 1] with masks bool (k, h, w), k from 0 to 2.
    """
    rng = np.random.default_rng(seed)
    return [_picture(rng, size, long_side) for _ in range(n)]


Picture = tuple[torch.Tensor, torch.Tensor]


def _picture(rng: np.random.Generator, size: tuple[int, int], long_side: int) -> Picture:
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    inside = _breast(rng, y, x, size)
    image = rng.uniform(0.3, 0.55) * np.sqrt(inside)
    dense = _noise(rng, size, rng.uniform(*_FALLOFF)) + rng.uniform(-1, 1)
    image += rng.uniform(0.05, 0.3) * expit(dense * rng.uniform(1, 3)) * np.sqrt(inside)
    strands = np.exp(-((_noise(rng, size, 1.0) / rng.uniform(0.1, 0.3)) ** 2))
    image += rng.uniform(0.0, 0.08) * strands * inside
    image += rng.uniform(0.01, 0.04) * _noise(rng, size, 1.0) * inside
    if rng.random() < 0.4:
        image += _muscle(rng, y, x, size) * (inside > 0)
    for _ in range(rng.integers(4)):  # densities without an edge are no masses
        vague, _ = _mass(rng, y, x, inside, long_side, edge=(0.7, 1.5))
        image += rng.uniform(0.03, 0.15) * vague
    masks: list[np.ndarray] = []
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        grown, mask = _mass(rng, y, x, inside, long_side, edge=(0.05, 0.4))
        if not any((mask & other).any() for other in masks):
            image += rng.uniform(0.05, 0.22) * grown
            masks.append(mask)
    _calcify(rng, image, inside)
    image = np.where(inside > 0, image, 0).clip(0, 1) ** rng.uniform(0.8, 1.25)
    shown = torch.from_numpy(np.stack(masks)) if masks else torch.zeros(0, *size, dtype=torch.bool)
    return torch.from_numpy(image.astype(np.float32)), shown


def _noise(rng: np.random.Generator, size: Sequence[int], falloff: float) -> np.ndarray:
    """Noise whose amplitude falls with frequency to the power ``falloff``; mean 0, deviation 1."""
    spectrum = np.fft.rfft2(rng.standard_normal(size))
    f = np.hypot(np.fft.fftfreq(size[0])[:, None] * size[0], np.fft.rfftfreq(size[1]) * size[1])
    f[0, 0] = np.inf
    noise = np.fft.irfft2(spectrum / f**falloff, size)
    normal: np.ndarray = (noise / noise.std()).astype(np.float32)
    return normal


def _breast(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """How thick the breast is, 0 (air) to 1: a bulge from the chest wall."""
    middle = size[0] * rng.uniform(0.3, 0.7), -size[1] * rng.uniform(0, 0.3)
    high, wide = size[0] * rng.uniform(0.5, 0.9), size[1] * rng.uniform(0.7, 1.6)
    power = rng.uniform(1.8, 3)
    out = np.abs((y - middle[0]) / high) ** power + np.abs((x - middle[1]) / wide) ** power
    return np.clip((1 - out) * rng.uniform(1.5, 6), 0, 1)


def _muscle(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """The pectoral muscle of an oblique view, in the upper corner at the chest wall."""
    down, across = size[0] * rng.uniform(0.3, 0.9), size[1] * rng.uniform(0.2, 0.7)
    depth = 1 - y / down - x / across
    muscle: np.ndarray = rng.uniform(0.08, 0.25) * expit(depth * rng.uniform(20, 60))
    return muscle


def _mass(  # noqa: PLR0917
    rng: np.random.Generator,
    y: np.ndarray,
    x: np.ndarray,
    inside: np.ndarray,
    long_side: int,
    edge: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """An irregular density with an edge, perhaps with spicules: its brightness 0 to 1, its mask."""
    radius = long_side * np.exp(rng.uniform(*np.log(_RADII)))
    row, column = divmod(int(rng.choice(np.flatnonzero(inside > 0.3))), inside.shape[1])
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1, 1.5)
    u = (y - row) * np.cos(turn) + (x - column) * np.sin(turn)
    v = ((x - column) * np.cos(turn) - (y - row) * np.sin(turn)) * stretch
    distance, angle = np.hypot(u, v), np.arctan2(u, v)
    outline = radius * (
        1
        + sum(
            rng.normal(0, 0.18 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
            for k in range(2, 9)
        )
    )
    grown = expit((outline - distance) / (rng.uniform(*edge) * radius / 2))
    if rng.random() < 0.5:
        rays = np.cos(rng.integers(5, 14) * angle + rng.uniform(0, 2 * np.pi)) ** 8
        reach = expit((radius * rng.uniform(1.3, 2.2) - distance) / (0.2 * radius))
        grown = np.maximum(grown, rng.uniform(0.2, 0.6) * rays * reach)
    texture = 1 + 0.15 * _noise(rng, inside.shape, 1.2)
    return grown * texture * (inside > 0), (distance < outline) & (inside > 0)


def _calcify(rng: np.random.Generator, image: np.ndarray, inside: np.ndarray) -> None:
    """Plant a few bright points, which are no masses either."""
    spots = rng.choice(np.flatnonzero(inside > 0.3), rng.integers(6))
    image.flat[spots] += rng.uniform(0.1, 0.4, len(spots))
