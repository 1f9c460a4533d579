"""Outlines of nuclei, exactly along the edges of their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

# side of a pixel (above, right, below, left) -> where its edge starts, which way it runs (clockwise)
_START = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])
_WAY = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])


@dataclass(frozen=True, slots=True, eq=False)
class NucleusOutline:
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
    simple
        Whether its rings are known to be those of valid polygons: none passes a corner twice, and holes
        meet nothing.
    """

    id: int
    exteriors: tuple[np.ndarray, ...]
    holes: tuple[np.ndarray, ...] = ()
    simple: bool = False


def trace(
    labels: np.ndarray,
    ids: np.ndarray | None = None,
    *,
    origin: tuple[float, float] = (0.0, 0.0),
    step: tuple[float, float] = (1.0, 1.0),
) -> Iterator[NucleusOutline]:
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
    origin, step
        (y, x) of the image's corner, and from pixel to pixel.

    Yields
    ------
    Outline
        By rising id: pixel [r, c] spans ``origin + [r, c] * step`` to ``+ step``.
    """
    pixels, sides, owners = _edges(labels)
    if ids is not None:
        asked = np.isin(owners, ids)
        pixels, sides, owners = pixels[asked], sides[asked], owners[asked]
    if not len(owners):
        return
    following, one, other = _successors(labels.shape, pixels, sides, owners)
    ring, rank = _rings(following)
    touches, meets = owners[one], owners[one[ring[one] == ring[other]]]
    sizes = np.bincount(ring, minlength=len(ring))
    order = np.empty(len(ring), int)
    order[np.cumsum(sizes)[ring] - 1 + rank] = np.arange(len(ring))
    corners = (pixels + _START[sides])[order]
    bend = sides[order] != sides[order][_before(ring[order])]
    corners, ring, owners = corners[bend], ring[order][bend], owners[order][bend]
    first = np.flatnonzero(np.r_[True, np.diff(ring) != 0])
    outer = _areas(corners, first) > 0
    placed, whose = corners * step + origin, owners[first]
    rising = np.argsort(whose, kind="stable")
    outer, whose = outer[rising], whose[rising]
    stops = np.r_[first[1:], len(corners)][rising].tolist()
    rings = [placed[i:j] for i, j in zip(first[rising].tolist(), stops, strict=True)]
    bounds = np.flatnonzero(np.r_[True, np.diff(whose) != 0, True])
    met = np.union1d(meets, np.intersect1d(touches, whose[~outer]))
    simple = (~np.isin(whose, met)).tolist()
    outer, whose = outer.tolist(), whose.tolist()
    for start, stop in pairwise(bounds.tolist()):
        if stop == start + 1:
            yield NucleusOutline(whose[start], (rings[start],), (), simple[start])
            continue
        held = range(start, stop)
        yield NucleusOutline(
            whose[start],
            tuple(rings[i] for i in held if outer[i]),
            tuple(rings[i] for i in held if not outer[i]),
            simple[start],
        )


def _areas(corners: np.ndarray, first: np.ndarray) -> np.ndarray:
    """(N,): signed areas of rings of corners (M, 2) that begin at ``first`` (N,)."""
    following = np.arange(1, len(corners) + 1)
    following[np.r_[first[1:], len(corners)] - 1] = first
    (y, x), (next_y, next_x) = corners.T, corners[following].T
    areas: np.ndarray = np.add.reduceat(x * next_y - next_x * y, first) / 2
    return areas


def _edges(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges: their pixel (N, 2), on which side of it they are (N,), and whose they are (N,)."""
    padded = np.pad(labels, 1)
    row = padded.shape[1]
    places: list[np.ndarray] = []
    for step in (row, 1):  # from a pixel to the one below, and to the one on its right
        flat = padded.ravel()
        before = np.flatnonzero(flat[:-step] != flat[step:])
        places += [
            before + step,
            before,
        ]  # whose upper or left, and whose lower or right side it is
    at, sides = np.concatenate([places[i] for i in (0, 3, 1, 2)]), np.arange(4)
    sides = sides.repeat([len(places[i]) for i in (0, 3, 1, 2)])
    owners = padded.ravel()[at]
    held = owners != 0
    at, sides, owners = at[held], sides[held], owners[held]
    return np.stack(np.divmod(at, row), 1) - 1, sides, owners


def _successors(
    shape: tuple[int, ...], pixels: np.ndarray, sides: np.ndarray, owners: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,): which edge each goes on with; and edges (M,) of which another (M,) of the nucleus starts there too."""
    row = shape[1] + 2  # all around lies one pixel that is nobody's
    plane = (shape[0] + 2) * row
    number = np.empty(4 * plane, np.int32)  # where no edge is, a number of another, or none
    key = sides * plane + (pixels + 1) @ (row, 1)
    number[key] = np.arange(len(sides))
    following = np.full(len(sides), -1)
    side = np.arange(4)
    way, right = _WAY @ (row, 1), np.roll(_WAY, -1, 0) @ (row, 1)
    # to the right: the next side of the same pixel; straight on: the same side of the pixel ahead;
    # to the left: the side before, of the pixel ahead and to the left
    turns = (
        ((side + 1) % 4 - side) * plane,
        way,
        ((side - 1) % 4 - side) * plane + way - right,
    )
    left = np.arange(len(sides))
    for turn in turns:
        wanted = key[left] + turn[sides[left]]
        onto = np.clip(number[wanted], 0, len(sides) - 1)
        fits = (key[onto] == wanted) & (owners[onto] == owners[left])
        following[left[fits]] = onto[fits]
        left = left[~fits]
    # where two edges of one nucleus start at a corner, their pixels touch by it alone: sides are opposite
    across = ((side + 2) % 4 - side) * plane + (2 * _START - 1) @ (row, 1)
    wanted = key + across[sides]
    onto = np.clip(number[wanted], 0, len(sides) - 1)
    one = np.flatnonzero((key[onto] == wanted) & (owners[onto] == owners))
    return following, one, onto[one]


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
