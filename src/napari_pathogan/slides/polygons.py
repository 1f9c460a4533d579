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
    from shapely.geometry.base import BaseGeometry

    from napari_pathogan.slides.slide import Slide

_ASIDE = np.array([1.0, 1.618034]) * 1e-6  # of a pixel, down and right: off outlines of any slope


def inside(
    points: np.ndarray, region: Region | None, polygons: Sequence[np.ndarray] | None
) -> npt.NDArray[np.bool_]:
    """(N,) bool: which points (N, 2), level-0 centre coordinates, lie in the region and a polygon."""
    held = np.ones(len(points), bool)
    if region is not None:
        y, x = points.T + 0.5
        held &= (y >= region.y) & (y < region.bottom) & (x >= region.x) & (x < region.right)
    if polygons is not None:
        from shapely import Polygon  # noqa: PLC0415  (slow to import)

        held &= contains(points, [Polygon(np.asarray(one)[:, ::-1]) for one in polygons])
    return held


def contains(points: np.ndarray, geometries: Sequence[BaseGeometry]) -> npt.NDArray[np.bool_]:
    """(N,) bool: which points (N, 2), y, x, lie in any of some geometries, which have x, y.

    Inside is what an odd number of rings lies around. A point on an outline belongs to what lies
    right of it or below, so that outlines that share an edge share no point.
    """
    import shapely  # noqa: PLC0415  (slow to import)

    y, x = points.T + _ASIDE[:, None]
    held = np.zeros(len(points), bool)
    for geometry in geometries:
        shapely.prepare(geometry)
        held |= shapely.contains_xy(geometry, x, y)
    return held


def corner(slide: Slide | None) -> tuple[float, float]:
    """Where QuPath counts the pixels of a slide from (y, x): the corner of what was scanned."""
    if slide is None or slide.bounds is None:
        return 0.0, 0.0
    return float(slide.bounds.y), float(slide.bounds.x)


def keyhole(rings: Sequence[np.ndarray]) -> np.ndarray:
    """One outline of a polygon's rings, outer one first: into each hole and back by the same way."""
    from scipy.spatial import cKDTree  # noqa: PLC0415  (slow to import)

    outline = rings[0]
    for hole in rings[1:]:
        gap, nearest = cKDTree(outline).query(hole)
        into = int(gap.argmin())
        at = int(nearest[into])
        turned = np.roll(hole, -into, 0)
        if (signed_area(turned) > 0) == (signed_area(rings[0]) > 0):
            turned = np.roll(turned[::-1], 1, 0)  # holes run the other way round
        way = np.concatenate([outline[: at + 1], turned, turned[:1], outline[at : at + 1]])
        outline = np.concatenate([way, outline[at + 1 :]])
    return outline


def signed_area(ring: np.ndarray) -> float:
    """Shoelace area of (N, 2) corners (y, x): positive if clockwise on the screen."""
    y, x = ring.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def box_corners(box: np.ndarray) -> np.ndarray:
    """(4, 2) y, x of a box x0, y0, x1, y1."""
    x0, y0, x1, y1 = np.asarray(box, float)
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]])


def rectangle_around(polygons: Sequence[np.ndarray]) -> Region:
    """The smallest rectangle of whole level-0 pixels around polygons."""
    corners = np.concatenate([np.asarray(polygon) for polygon in polygons]) + 0.5
    (y, x), (bottom, right) = np.floor(corners.min(0)), np.ceil(corners.max(0))
    return Region(int(y), int(x), int(bottom - y), int(right - x))


def asked_for(region: Region | None, polygons: Sequence[np.ndarray] | None) -> Region | None:
    """The rectangle that is asked for; None for the whole slide."""
    return rectangle_around(polygons) if region is None and polygons is not None else region
