"""Area-true resampling: every output pixel is the mean of exactly the area it covers.

Nothing is rounded on the way: positions are floats, and the pixels at the edges of the area count
by the share that lies inside. Half-pixel exact, so results from different levels coincide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True, slots=True)
class Axis:
    """How one axis is resampled: output pixel i takes ``weights[i, t]`` of pixel ``first[i] + t``.

    Attributes
    ----------
    first
        (N,) int64, first source pixel of each output pixel.
    weights
        (N, T) float32, rows sum to 1.
    """

    first: np.ndarray
    weights: np.ndarray

    @property
    def start(self) -> int:
        """First source pixel that is needed."""
        return int(self.first[0])

    @property
    def stop(self) -> int:
        """One past the last source pixel that is needed."""
        return int(self.first[-1]) + self.weights.shape[1]

    def part(self, a: int, b: int) -> Axis:
        """Output pixels a to b only."""
        return Axis(self.first[a:b], self.weights[a:b])

    def whole(self) -> int:
        """The integer n of a plain n-to-1 reduction on whole pixels; 0 where it is none."""
        n = self.weights.shape[1]
        plain = np.ptp(self.weights) < 1e-6 and np.all(np.diff(self.first) == n)
        return n if plain else 0


def axis(start: float, step: float, count: int) -> Axis:
    """Plan ``count`` output pixels of ``step`` source pixels each, from the edge ``start`` on.

    Where ``step`` is below 1 (more pixels than the source has) it interpolates linearly.
    """
    edges = start + np.arange(count + 1) * step
    if step < 0.99:
        return _linear(edges, step)
    nearest = np.rint(edges)
    if np.abs(edges - nearest).max() < 0.01:
        edges = nearest  # a hundredth of a pixel is float noise, not a position
    low, high = edges[:-1], edges[1:]
    first = np.floor(low + 1e-9).astype(np.int64)
    taps = int((np.ceil(high - 1e-9).astype(np.int64) - first).max())
    left = first[:, None] + np.arange(taps)
    share = np.minimum(left + 1, high[:, None]) - np.maximum(left, low[:, None])
    share = np.maximum(share, 0)
    return Axis(first, (share / share.sum(1, keepdims=True)).astype(np.float32))


def _linear(edges: np.ndarray, step: float) -> Axis:
    centre = edges[:-1] + step / 2 - 0.5
    first = np.floor(centre).astype(np.int64)
    right = (centre - first).astype(np.float32)
    return Axis(first, np.stack([1 - right, right], 1))


def apply(source: np.ndarray, rows: Axis, cols: Axis) -> np.ndarray:
    """Resample ``source``, which starts at pixel (rows.start, cols.start).

    Parameters
    ----------
    source
        (Y, X) or (Y, X, 3), uint8 or uint16.

    Returns
    -------
    np.ndarray
        (len(rows.first), len(cols.first)[, 3]) of the same dtype.
    """
    ny, nx = rows.whole(), cols.whole()
    if ny == nx == 1:
        return source
    if ny and nx and source.dtype == np.uint8:
        return np.asarray(Image.fromarray(source).reduce((nx, ny)))
    tall = _along_rows(source, rows)
    wide = _along_cols(tall, cols)
    wide += np.float32(0.5)
    return wide.astype(source.dtype)


def _along_rows(source: np.ndarray, rows: Axis) -> np.ndarray:
    first = rows.first - rows.start
    shape = (-1,) + (1,) * (source.ndim - 1)
    total = source[first] * rows.weights[:, 0].reshape(shape)
    for tap in range(1, rows.weights.shape[1]):
        total += source[first + tap] * rows.weights[:, tap].reshape(shape)
    return total


def _along_cols(source: np.ndarray, cols: Axis) -> np.ndarray:
    first = cols.first - cols.start
    shape = (1, -1) + (1,) * (source.ndim - 2)
    total = np.take(source, first, 1) * cols.weights[:, 0].reshape(shape)
    for tap in range(1, cols.weights.shape[1]):
        total += np.take(source, first + tap, 1) * cols.weights[:, tap].reshape(shape)
    return total


def halve(source: np.ndarray) -> np.ndarray:
    """Mean of 2 x 2 pixels; at an odd edge, of those that exist. (Y, X[, 3]), same dtype."""
    if source.dtype == np.uint8:
        return np.asarray(Image.fromarray(source).reduce(2))
    height, width = source.shape[:2]
    rows = np.add.reduceat(source.astype(np.uint32), np.arange(0, height, 2), 0)
    total = np.add.reduceat(rows, np.arange(0, width, 2), 1)
    tall = np.full(math.ceil(height / 2), 2)
    wide = np.full(math.ceil(width / 2), 2)
    tall[-1], wide[-1] = 2 - height % 2, 2 - width % 2
    count = np.multiply.outer(tall, wide)
    return ((total + count // 2) // count).astype(source.dtype)
