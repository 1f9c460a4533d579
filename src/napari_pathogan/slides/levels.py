"""Pyramid levels: tiles in one colour rule, cached; coarser levels made from finer ones."""

from __future__ import annotations

import itertools
import math
import threading
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.errors import SlideClosedError
from napari_pathogan.slides import resample

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_pathogan.slides.cache import TileCache
    from napari_pathogan.slides.colours import Colours
    from napari_pathogan.slides.source import Plane

_MADE_TILE = 512
_keys = itertools.count()


class Ledger:
    """What the levels of one slide share: its name, cache, and what went wrong so far.

    Attributes
    ----------
    name
        Of the slide.
    damaged
        One sentence for each tile that could not be read.
    closed
        Whether the slide was closed; its tiles are then gone.
    """

    def __init__(self, name: str, cache: TileCache) -> None:
        self.name = name
        self.key = next(_keys)
        self.cache = cache
        self.damaged: list[str] = []
        self.closed = False
        self._lock = threading.Lock()
        # a slide that nobody closed must not keep its tiles in the shared cache for ever
        weakref.finalize(self, cache.forget, self.key)

    def note(self, sentence: str) -> None:
        """Record a damaged tile once (a tile that left the cache may fail again)."""
        with self._lock:
            if sentence not in self.damaged:
                self.damaged.append(sentence)

    def close(self) -> None:
        """Refuse further reading, and free the tiles."""
        self.closed = True
        self.cache.forget(self.key)

    def check_open(self) -> None:
        """Raise SlideClosedError after the slide was closed."""
        if self.closed:
            raise SlideClosedError(f"{self.name} was closed; open it again to read from it")


class Level(ABC):
    """A pyramid level of RGB (Y, X, 3) or grey (Y, X) tiles."""

    def __init__(
        self, ledger: Ledger, shape: tuple[int, int], tile: tuple[int, int], fill: np.ndarray
    ) -> None:
        self.ledger = ledger
        self.key = next(_keys)
        self.shape = shape
        self.tile = tile
        self.fill = fill

    @property
    def full_shape(self) -> tuple[int, ...]:
        """(Y, X, 3) or (Y, X)."""
        return (*self.shape, *self.fill.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all its pixels, uncompressed."""
        return math.prod(self.full_shape) * self.fill.dtype.itemsize

    @property
    def chunk(self) -> tuple[int, int]:
        """Side of the chunks shown to the outside: whole tiles of 256 to 512, else 512."""
        th, tw = (side * math.ceil(256 / side) for side in self.tile)
        return (th, tw) if max(th, tw) <= 512 else (512, 512)

    @abstractmethod
    def _make(self, row: int, col: int) -> np.ndarray:
        """Read or compute a tile, cut at the edges of the level."""

    def tile_at(self, row: int, col: int) -> np.ndarray:
        """A tile, cut at the edges of the level; read-only."""
        self.ledger.check_open()
        key = (self.ledger.key, self.key, row, col)
        return self.ledger.cache.get(key, lambda: self._make(row, col))

    def window(self, y: int, x: int, height: int, width: int) -> np.ndarray:
        """The pixels of a rectangle, which may reach beyond the level (filled there)."""
        th, tw = self.tile
        top, left = max(y, 0), max(x, 0)
        bottom, right = min(y + height, self.shape[0]), min(x + width, self.shape[1])
        inside = (top, left, bottom, right) == (y, x, y + height, x + width)
        if inside and y % th == 0 and x % tw == 0 and height <= th and width <= tw:
            return self.tile_at(y // th, x // tw)[:height, :width]
        out = self._blank(height, width, filled=not inside)
        if bottom <= top or right <= left:
            return out
        if top >= bottom or left >= right:
            return out  # wholly beyond the level
        for row in range(top // th, -(-bottom // th)):
            for col in range(left // tw, -(-right // tw)):
                a, b = max(row * th, top), min((row + 1) * th, bottom)
                c, d = max(col * tw, left), min((col + 1) * tw, right)
                tile = self.tile_at(row, col)[
                    a - row * th : b - row * th, c - col * tw : d - col * tw
                ]
                out[a - y : b - y, c - x : d - x] = tile
        return out

    def _blank(self, height: int, width: int, *, filled: bool) -> np.ndarray:
        out = np.empty((height, width, *self.fill.shape), self.fill.dtype)
        if filled:
            out[...] = self.fill
        return out


class FileLevel(Level):
    """A level that the file holds."""

    def __init__(
        self,
        ledger: Ledger,
        plane: Plane,
        colours: Colours,
        convert: Callable[[np.ndarray], np.ndarray] | None,
        number: int,
    ) -> None:
        rgb = colours.is_rgb
        fill = np.full((3,), 255, np.uint8) if rgb else np.zeros((), colours.out_dtype)
        super().__init__(ledger, plane.shape, plane.tile, fill)
        self._plane = plane
        self._colours = colours
        self._convert = convert
        self._number = number

    def _make(self, row: int, col: int) -> np.ndarray:
        height = min(self.tile[0], self.shape[0] - row * self.tile[0])
        width = min(self.tile[1], self.shape[1] - col * self.tile[1])
        try:
            raw = self._plane.decode(row, col)
            pixels = None if raw is None else self._colours.apply(raw[:height, :width])
        except Exception as error:  # noqa: BLE001 - codecs have no common error; all are recorded
            return self._damaged(row, col, str(error))
        if pixels is None:
            return self._blank(height, width, filled=True)
        if pixels.shape[:2] != (height, width):
            return self._damaged(row, col, f"it has {pixels.shape[1]} x {pixels.shape[0]} px")
        return pixels if self._convert is None else self._convert(pixels)

    def _damaged(self, row: int, col: int, reason: str) -> np.ndarray:
        self.ledger.check_open()  # what fails because the slide was closed is no damage
        self.ledger.note(
            f"{self.ledger.name}: tile at row {row}, column {col} of level {self._number} "
            f"can't be read ({reason}) and is left blank"
        )
        height = min(self.tile[0], self.shape[0] - row * self.tile[0])
        width = min(self.tile[1], self.shape[1] - col * self.tile[1])
        return self._blank(height, width, filled=True)


class MadeLevel(Level):
    """A level that the file lacks: half the size of the next finer one, made tile by tile."""

    def __init__(self, finer: Level) -> None:
        shape = (math.ceil(finer.shape[0] / 2), math.ceil(finer.shape[1] / 2))
        super().__init__(finer.ledger, shape, (_MADE_TILE, _MADE_TILE), finer.fill)
        self._finer = finer

    def _make(self, row: int, col: int) -> np.ndarray:
        y, x = 2 * row * _MADE_TILE, 2 * col * _MADE_TILE
        height = min(2 * _MADE_TILE, self._finer.shape[0] - y)
        width = min(2 * _MADE_TILE, self._finer.shape[1] - x)
        return resample.halve(self._finer.window(y, x, height, width))
