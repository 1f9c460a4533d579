"""Outlines drawn on a slide: what lies in them.

A polygon is (N, 2) corners (y, x) in level-0 centre coordinates, as napari's Shapes hold them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.slides.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


def inside(
    points: np.ndarray, region: Region | None, polygons: Sequence[np.ndarray] | None
) -> npt.NDArray[np.bool_]:
    """(N,) bool: which points (N, 2), level-0 centre coordinates, lie in the region and a polygon."""
    held = np.ones(len(points), bool)
    if region is not None:
        y, x = points.T + 0.5
        held &= (y >= region.y) & (y < region.bottom) & (x >= region.x) & (x < region.right)
    if polygons is not None:
        from matplotlib.path import Path as Outline  # noqa: PLC0415  (slow to import)

        drawn = [Outline(np.asarray(polygon)).contains_points(points) for polygon in polygons]
        held &= np.logical_or.reduce(drawn)
    return held


def rectangle_around(polygons: Sequence[np.ndarray]) -> Region:
    """The smallest rectangle of whole level-0 pixels around polygons."""
    corners = np.concatenate([np.asarray(polygon) for polygon in polygons]) + 0.5
    (y, x), (bottom, right) = np.floor(corners.min(0)), np.ceil(corners.max(0))
    return Region(int(y), int(x), int(bottom - y), int(right - x))


def asked_for(region: Region | None, polygons: Sequence[np.ndarray] | None) -> Region | None:
    """The rectangle that is asked for; None for the whole slide."""
    return rectangle_around(polygons) if region is None and polygons is not None else region
