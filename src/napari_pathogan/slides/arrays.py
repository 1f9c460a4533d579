"""Planes over arrays: numpy, zarr, dask, and whatever else is sliced like them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_TILE = 512


class ArrayPlane:
    """One level of an array pyramid; only what is asked for is read.

    Parameters
    ----------
    array
        Anything with shape, dtype and slicing.
    axes
        A letter an axis: y and x, c or s for colour; the middle z and the first
        of all others is taken.
    channel
        Take this one alone.
    """

    stored: np.ndarray | None = None

    def __init__(self, array: Any, axes: str, channel: int | None = None) -> None:  # noqa: ANN401 - any array library
        self._array = array
        self._axes = axes
        self._channel = channel
        colour = next((i for i, a in enumerate(axes) if a in "cs"), None)
        self._colour = colour if channel is None else None
        y, x = axes.index("y"), axes.index("x")
        self.shape: tuple[int, int] = (int(array.shape[y]), int(array.shape[x]))
        self.tile = _tile(array, y, x)
        self.samples = 1 if self._colour is None else int(array.shape[self._colour])
        self.dtype = np.dtype(array.dtype)
        self._focus = int(array.shape[axes.index("z")]) // 2 if "z" in axes else 0

    def choices(self, name: str) -> tuple[str, ...]:
        """Which plane is read where there are several, in a sentence."""
        sizes = {a: int(n) for a, n in zip(self._axes, self._array.shape, strict=True)}
        shown = [
            f"{1 + self._focus if a == 'z' else 1} of {n} ({a.upper()})"
            for a, n in sizes.items()
            if a not in "yxcs" and n > 1
        ]
        said = f"{name} holds several planes; plane {', '.join(shown)} is read"
        return (said,) if shown else ()

    def only(self, channel: int) -> ArrayPlane:
        """One channel of it, as a plane by itself."""
        return ArrayPlane(self._array, self._axes, channel)

    def decode(self, row: int, col: int) -> np.ndarray:
        """A tile (Y, X, samples)."""
        height, width = self.tile
        spans = {
            "y": slice(row * height, min((row + 1) * height, self.shape[0])),
            "x": slice(col * width, min((col + 1) * width, self.shape[1])),
            **dict.fromkeys("cs", slice(None) if self._channel is None else self._channel),
        }
        place = (spans.get(a, self._focus if a == "z" else 0) for a in self._axes)
        part = np.asarray(self._array[tuple(place)])
        colour = "" if self._colour is None else self._axes[self._colour]
        kept = [a for a in self._axes if a in f"yx{colour}"]
        pixels = part.transpose([kept.index(a) for a in f"yx{colour}"])
        return pixels if colour else pixels[..., None]


def axes_of(shape: Sequence[int]) -> str | None:
    """Axes of a plain image array: (Y, X) or (Y, X, 1/3/4); None for any other shape."""
    if len(shape) == 2:
        return "yx"
    return "yxs" if len(shape) == 3 and shape[2] in (1, 3, 4) else None


def _tile(array: Any, y: int, x: int) -> tuple[int, int]:  # noqa: ANN401
    chunks = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
    if chunks is None:
        return _TILE, _TILE
    sides = int(chunks[y]), int(chunks[x])
    fits = all(128 <= side <= 1024 for side in sides)
    return sides if fits else (_TILE, _TILE)
