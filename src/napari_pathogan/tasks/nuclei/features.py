"""Size, shape and stain of nuclei, all of an image at once.

Haematoxylin is separated from eosin by colour deconvolution (Ruifrok and Johnston 2001) with
their vectors for haematoxylin, eosin and DAB. The figure is an optical density to base 10 against
white (255): 0 for no stain, 1 where haematoxylin alone lets a tenth of the light through.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from skimage.color import hed_from_rgb

MEASURES = ("area_um2", "eccentricity", "solidity", "haematoxylin_mean")
BOX = ("top", "left", "bottom", "right")
_DENSITY = -np.log10(np.arange(1, 257, dtype=np.float32) / 256)  # of each grey level


def measure(labels: np.ndarray, image: np.ndarray, pixel_um2: float) -> pd.DataFrame:
    """Measure all nuclei of an image.

    Parameters
    ----------
    labels
        (H, W) int: 0 where there is no nucleus.
    image
        uint8 (H, W, 3), RGB, the same pixels.
    pixel_um2
        Area of a pixel.

    Returns
    -------
    pd.DataFrame
        One row a nucleus, by rising ``id``: ``y``, ``x`` (centroid, 0 in the middle of the first
        pixel), ``top``, ``left``, ``bottom``, ``right`` (its rectangle, the last two exclusive),
        ``area_um2``, ``eccentricity`` (of the ellipse with the same second moments: 0 for a
        circle, towards 1 for a line), ``solidity`` (pixels over those in its convex hull) and
        ``haematoxylin_mean``.
    """
    rows, cols = np.nonzero(labels)
    ids, owner = np.unique(labels[rows, cols], return_inverse=True)
    count = np.bincount(owner, minlength=len(ids))

    def mean(values: np.ndarray) -> np.ndarray:
        total: np.ndarray = np.bincount(owner, values, len(ids)) / count
        return total

    y, x = mean(rows), mean(cols)
    dy, dx = rows - y[owner], cols - x[owner]
    found = {"id": ids, "y": y, "x": x}
    order = np.argsort(owner, kind="stable")
    starts = np.r_[0, np.cumsum(count)[:-1]].astype(int)
    for name, extreme, values, one in (
        ("top", np.minimum, rows, 0),
        ("left", np.minimum, cols, 0),
        ("bottom", np.maximum, rows, 1),
        ("right", np.maximum, cols, 1),
    ):
        found[name] = extreme.reduceat(values[order], starts) + one if len(ids) else values
    found["area_um2"] = count * pixel_um2
    found["eccentricity"] = _eccentricity(mean(dy * dy), mean(dx * dx), mean(dy * dx))
    found["solidity"] = count / hull_pixels(rows[order], cols[order], owner[order], len(ids))
    found["haematoxylin_mean"] = mean(haematoxylin(image[rows, cols]))
    return pd.DataFrame(found)


def moved(table: pd.DataFrame, top: int, left: int) -> pd.DataFrame:
    """The same in pixels of an image in which this one lies at [top:, left:]."""
    down, across = ("y", "top", "bottom"), ("x", "left", "right")
    return table.assign(
        **{name: table[name] + top for name in down},
        **{name: table[name] + left for name in across},
    )


def placed(
    table: pd.DataFrame,
    origin: tuple[float, float],
    step: tuple[float, float],
    mpp: tuple[float, float],
) -> pd.DataFrame:
    """With the centroids on the slide: ``y_px``, ``x_px`` and ``y_um``, ``x_um``.

    Parameters
    ----------
    origin, step
        Of the image's :class:`Overlay`.
    mpp
        um per level-0 pixel (y, x).
    """
    edges = {
        name: o + (table[name] + 0.5) * s for name, o, s in zip("yx", origin, step, strict=True)
    }
    pixels = {f"{name}_px": edge - 0.5 for name, edge in edges.items()}
    lengths = {f"{name}_um": edges[name] * m for name, m in zip("yx", mpp, strict=True)}
    return table.assign(**pixels, **lengths)


def haematoxylin(pixels: np.ndarray) -> np.ndarray:
    """Optical density of haematoxylin alone: uint8 (..., 3) -> float32 (...), at least 0."""
    unmix = hed_from_rgb[:, 0].astype(np.float32)
    density: np.ndarray = np.maximum(_DENSITY[pixels] @ unmix, 0)
    return density


def _eccentricity(yy: np.ndarray, xx: np.ndarray, yx: np.ndarray) -> np.ndarray:
    """From second moments: ``sqrt(1 - minor / major)`` of the eigenvalues; 0 for a single pixel."""
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    major = middle + spread
    ratio = np.divide(middle - spread, major, out=np.ones_like(major), where=major > 0)
    eccentricity: np.ndarray = np.sqrt(np.clip(1 - ratio, 0, 1))
    return eccentricity


def hull_pixels(rows: np.ndarray, cols: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """Pixels whose centres lie in the convex hull of each nucleus's pixel centres, exactly.

    The ends of each row of pixels make two chains, left and right. A point that lies inside the
    line between its neighbours of the chain is not on the hull; all such points go at once, until
    there are none. Pick's theorem counts the lattice points of what is left.

    Parameters
    ----------
    rows, cols, owner
        (N,) pixels, sorted by owner and then by row and column.
    count
        Owners: 0 to ``count - 1``.

    Returns
    -------
    np.ndarray
        (count,) int.
    """
    first = np.ones(len(rows), bool)
    first[1:] = (np.diff(rows) != 0) | (np.diff(owner) != 0)
    last = np.r_[first[1:], True][: len(rows)]
    twice = np.zeros(count, np.int64)  # the area between the chains, times 2
    border = np.zeros(count, np.int64)
    for ends, sign in ((first, -1), (last, 1)):
        y, x, whose = _hull_chain(rows[ends], sign * cols[ends], owner[ends])
        joined = np.diff(whose) == 0
        dy, dx = np.diff(y)[joined], np.diff(x)[joined]
        pair = (x[:-1] + x[1:])[joined]
        twice += np.bincount(whose[:-1][joined], pair * dy, count).astype(np.int64)
        border += np.bincount(whose[:-1][joined], np.gcd(dy, dx), count).astype(np.int64)
    for edge in (np.minimum, np.maximum):  # along the first and the last row
        border += _row_width(rows, cols, owner, count, edge)
    return (twice + border) // 2 + 1


def _hull_chain(
    y: np.ndarray, x: np.ndarray, owner: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points of chains that bulge towards large x; y rises within each owner."""
    while True:
        inner = np.zeros(len(y), bool)
        before, after = slice(None, -2), slice(2, None)
        cross = (y[1:-1] - y[before]) * (x[after] - x[before]) - (x[1:-1] - x[before]) * (
            y[after] - y[before]
        )
        inner[1:-1] = (owner[before] == owner[after]) & (cross >= 0)
        if not inner.any():
            return y, x, owner
        y, x, owner = y[~inner], x[~inner], owner[~inner]


def _row_width(
    rows: np.ndarray, cols: np.ndarray, owner: np.ndarray, count: int, edge: np.ufunc
) -> np.ndarray:
    """Steps from the first to the last pixel of each owner's top (minimum) or bottom row."""
    if not count:
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.r_[True, np.diff(owner) != 0])
    own = rows == edge.reduceat(rows, starts)[owner]
    inside = np.flatnonzero(np.r_[True, np.diff(owner[own]) != 0])
    low, high = (f.reduceat(cols[own], inside) for f in (np.minimum, np.maximum))
    width: np.ndarray = high - low
    return width
