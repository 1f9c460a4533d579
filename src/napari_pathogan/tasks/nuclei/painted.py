"""What a stroke of a brush, a fill or a polygon comes to: nuclei that are each in one piece.

A brush carries the number of a nucleus, and whoever paints rarely looks at it. What was painted
apart from the nucleus of that number is therefore a nucleus of its own; what hangs together with it
is its new outline. A nucleus that was cut keeps its number in its largest piece.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from skimage.measure import label

from napari_pathogan.errors import PathoganError
from napari_pathogan.tasks.nuclei.instances import SMALLEST_UM2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LARGEST_UM2 = 2_500.0  # 56 um across: three times what a model may find

Window = tuple[slice, slice]


class PaintingError(PathoganError, ValueError):
    """What was painted can be no nucleus."""


@dataclass(frozen=True, eq=False)
class Stroke:
    """The labels after a stroke.

    Attributes
    ----------
    window
        Rows and columns that hold all that has changed.
    labels
        int32: what the labels are to be in it.
    new
        Nuclei that are new, each with the number that the brush had.
    cut
        Nuclei that were cut off another, each with the number of that.
    crumbs
        Pieces too small to be a nucleus: what was painted is not, what was left over is taken away.
    """

    window: Window
    labels: np.ndarray
    new: dict[int, int] = field(default_factory=dict)
    cut: dict[int, int] = field(default_factory=dict)
    crumbs: int = 0


def settle(
    before: np.ndarray,
    painted: np.ndarray,
    boxes: Mapping[int, np.ndarray],
    *,
    unused: int,
    pixel_um2: float,
) -> Stroke | None:
    """Make whole nuclei of what was painted.

    Parameters
    ----------
    before, painted
        int32 (H, W): the labels before and after; neither is changed.
    boxes
        The rectangle around each nucleus before: top, left, bottom, right (the last two exclusive).
    unused
        The first number that no nucleus has ever had.
    pixel_um2
        Area of a pixel.

    Returns
    -------
    Painting or None
        None if nothing was painted.

    Raises
    ------
    PaintingError
        If a nucleus would be too large to be one, as when the background is filled.
    """
    changed = before != painted
    if not changed.any():
        return None
    touched = around(changed)
    pixels = changed[touched]
    ids = np.union1d(before[touched][pixels], painted[touched][pixels]).tolist()
    beside = {i for i in ids if i in boxes and _near(boxes[i], touched)}
    window = _covering([touched, *(_window(boxes[i]) for i in beside)])
    labels, changed = painted[window], changed[window]
    pieces = _Pieces(labels, changed, pixel_um2)
    specks = pieces.specks
    if specks.any():  # what was there before is there again
        lost = specks[pieces.pixels]
        labels, changed = np.where(lost, before[window], labels), changed & ~lost
        pieces = _Pieces(labels, changed, pixel_um2)
    number, free = pieces.value.copy(), unused + (unused in ids)
    new: dict[int, int] = {}
    cut: dict[int, int] = {}
    crumbs = int(specks.sum())
    for i in ids:
        own = pieces.of(i)
        if i in boxes and i not in beside:
            own = own[~pieces.old[own]]  # its own pixels lie elsewhere, as they were
        keeps_number = len(own) and (pieces.old[own[0]] if i in boxes else 0 < i <= unused)
        for rank, piece in enumerate(own.tolist()):
            if pieces.um2[piece] < SMALLEST_UM2:
                number[piece], crumbs = 0, crumbs + 1
                continue
            if rank or not keeps_number:
                number[piece], free = free, free + 1
            if pieces.old[piece] and rank:
                cut[int(number[piece])] = i
            elif not pieces.old[piece]:
                new[int(number[piece])] = i
    return Stroke(window, number[pieces.pixels], new, cut, crumbs)


class _Pieces:
    """Connected pixels of the same number; piece 0 is the background.

    Attributes
    ----------
    pixels
        (h, w) int: the piece of each pixel.
    value
        The number of each piece.
    um2
        Its area.
    old
        Whether any of it belonged to the same nucleus before.
    specks
        Whether it was painted by itself and is too small to be a nucleus.

    Raises
    ------
    PaintingError
        If one that has grown is too large.
    """

    def __init__(self, labels: np.ndarray, changed: np.ndarray, pixel_um2: float) -> None:
        self.pixels = label(labels, background=0, connectivity=2)
        count = int(self.pixels.max()) + 1
        self.value = np.zeros(count, labels.dtype)
        self.value[self.pixels] = labels
        piece = self.pixels.ravel()
        self.um2 = np.bincount(piece, minlength=count) * pixel_um2
        self.old = np.bincount(piece, ~changed.ravel(), count) > 0
        grown = (np.bincount(piece, changed.ravel(), count) > 0) & (self.value != 0)
        self.specks = grown & ~self.old & (self.um2 < SMALLEST_UM2)
        largest = float(self.um2[grown].max(initial=0))
        if largest > LARGEST_UM2:
            msg = (
                f"a nucleus of {largest:,.0f} um\N{SUPERSCRIPT TWO} is too large to be one, so "
                "nothing was painted; to add a nucleus, paint it with the brush"
            )
            raise PaintingError(msg)

    def of(self, number: int) -> np.ndarray:
        """The pieces of a number: first those of the nucleus as it was, the largest first."""
        own = np.flatnonzero(self.value == number) if number else np.zeros(0, int)
        order: np.ndarray = own[np.lexsort((-self.um2[own], ~self.old[own]))]
        return order


def around(changed: np.ndarray) -> Window:
    """The smallest window around what is True."""
    spans = []
    for axis in (1, 0):
        where = np.flatnonzero(changed.any(axis))
        spans.append(slice(int(where[0]), int(where[-1]) + 1))
    return spans[0], spans[1]


def _window(box: np.ndarray) -> Window:
    top, left, bottom, right = (int(edge) for edge in box)
    return slice(top, bottom), slice(left, right)


def _near(box: np.ndarray, window: Window) -> bool:
    """Whether a nucleus's rectangle overlaps a window, or touches it at a corner."""
    pairs = zip(_window(box), window, strict=True)
    return all(a.start <= b.stop and b.start <= a.stop for a, b in pairs)


def _covering(windows: Sequence[Window]) -> Window:
    rows, cols = zip(*windows, strict=True)
    return tuple(  # type: ignore[return-value]
        slice(min(s.start for s in spans), max(s.stop for s in spans)) for spans in (rows, cols)
    )
