"""Outlines of nuclei, exactly along the edges of their pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.slides.geometry import Overlay

# side of a pixel -> its neighbour there, where the edge starts, and which way it runs (clockwise)
_NEIGHBOUR = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
_START = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])
_WAY = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """The outline of one nucleus.

    Attributes
    ----------
    id
        Of the nucleus.
    exteriors
        One ring a part, mostly one: (N, 2) corners (y, x), clockwise on the screen, not closed.
        Pixels that only touch at a corner are different parts.
    holes
        The same of each hole, counter-clockwise.
    """

    id: int
    exteriors: tuple[np.ndarray, ...]
    holes: tuple[np.ndarray, ...] = ()

    def moved(self, by: tuple[float, float]) -> Outline:
        """The same outline moved by so many pixels (y, x)."""
        return self._mapped(np.asarray(by), np.ones(2))

    def placed(self, overlay: Overlay) -> Outline:
        """From corners of the overlay's pixels to level-0 centre coordinates."""
        return self._mapped(np.asarray(overlay.origin) - 0.5, np.asarray(overlay.step))

    def _mapped(self, shift: np.ndarray, scale: np.ndarray) -> Outline:
        exteriors, holes = (
            tuple(ring * scale + shift for ring in rings) for rings in (self.exteriors, self.holes)
        )
        return replace(self, exteriors=exteriors, holes=holes)


def trace(labels: np.ndarray, ids: np.ndarray | None = None) -> Iterator[Outline]:
    """Trace all nuclei of an image at once.

    Every side between a nucleus and what is not that nucleus is an edge that runs clockwise
    around it. At each corner an edge goes on with the one that turns right if there is one, so
    that pixels that only touch at a corner are not joined. Then each edge has one successor, and
    the edges fall into rings.

    Parameters
    ----------
    labels
        (H, W) int: 0 where there is no nucleus.
    ids
        Only these; all if left out.

    Yields
    ------
    Outline
        By rising id, in corners of pixels: pixel [r, c] spans (r, c) to (r + 1, c + 1).
    """
    if ids is not None:
        labels = np.where(np.isin(labels, ids), labels, 0)
    pixels, sides, owners = _edges(labels)
    if not len(owners):
        return
    ring, rank = _rings(_successors(labels.shape, pixels, sides, owners))
    order = np.lexsort((rank, ring, owners))
    corners = (pixels + _START[sides])[order]
    bend = sides[order] != sides[order][_before(ring[order])]
    corners, ring, owners = corners[bend], ring[order][bend], owners[order][bend]
    first = np.flatnonzero(np.r_[True, (np.diff(ring) != 0) | (np.diff(owners) != 0)])
    rings = np.split(corners.astype(float), first[1:])
    whose = owners[first]
    bounds = np.flatnonzero(np.r_[True, np.diff(whose) != 0, True])
    for start, stop in pairwise(bounds.tolist()):
        parts = rings[start:stop]
        outer = [signed_area(part) > 0 for part in parts]
        yield Outline(
            int(whose[start]),
            tuple(part for part, out in zip(parts, outer, strict=True) if out),
            tuple(part for part, out in zip(parts, outer, strict=True) if not out),
        )


def signed_area(ring: np.ndarray) -> float:
    """Shoelace area of (N, 2) corners (y, x): positive if clockwise on the screen."""
    y, x = ring.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _edges(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges: their pixel (N, 2), on which side of it they are (N,), and whose they are (N,)."""
    padded = np.pad(labels, 1)
    height, width = labels.shape
    pixels, sides = [], []
    for side, (dy, dx) in enumerate(_NEIGHBOUR):
        beyond = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        found = np.argwhere((labels != 0) & (labels != beyond))
        pixels.append(found)
        sides.append(np.full(len(found), side))
    places = np.concatenate(pixels)
    return places, np.concatenate(sides), labels[tuple(places.T)]


def _successors(
    shape: tuple[int, ...], pixels: np.ndarray, sides: np.ndarray, owners: np.ndarray
) -> np.ndarray:
    """(N,): which edge each edge goes on with."""
    number = np.full((4, shape[0] + 2, shape[1] + 2), -1, np.int32)
    whose = np.zeros((4, shape[0] + 2, shape[1] + 2), owners.dtype)
    at = (sides, *(pixels.T + 1))
    number[at], whose[at] = np.arange(len(sides)), owners
    following = np.full(len(sides), -1)
    way, right = _WAY[sides], _WAY[(sides + 1) % 4]
    # to the right: the next side of the same pixel; straight on: the same side of the pixel ahead;
    # to the left: the side before, of the pixel ahead and to the left
    turns = (
        (pixels, (sides + 1) % 4),
        (pixels + way, sides),
        (pixels + way - right, (sides - 1) % 4),
    )
    for place, side in turns:
        key = (side, *(place.T + 1))
        fits = (following < 0) & (number[key] >= 0) & (whose[key] == owners)
        following[fits] = number[key][fits]
    return following


def _rings(following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ring of each edge (its smallest edge), and how many steps it is from there.

    By pointer doubling: after k rounds every edge knows what lies 2**k edges ahead of it.
    """
    count = len(following)
    smallest, ahead = np.arange(count), following
    while True:
        lower = np.minimum(smallest, smallest[ahead])
        if np.array_equal(lower, smallest):
            break
        smallest, ahead = lower, ahead[ahead]
    # steps to the smallest edge, where the walk ends
    end = smallest == np.arange(count)
    left = np.where(end, 0, 1)
    ahead = np.where(end, np.arange(count), following)
    while not end[ahead].all():
        left, ahead = left + left[ahead], ahead[ahead]
    return smallest, -left


def _before(ring: np.ndarray) -> np.ndarray:
    """(N,): the place of the edge before each, where edges are sorted ring by ring."""
    first = np.r_[True, np.diff(ring) != 0]
    starts = np.flatnonzero(first)
    stops = np.r_[starts[1:], len(ring)]
    before = np.arange(len(ring)) - 1
    before[starts] = stops - 1
    return before
