"""Pyramid levels: tiles in one colour rule, cached; coarser levels made from finer ones."""

from __future__ import annotations

import itertools
import math
import os
import threading
import weakref
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.errors import SlideClosedError
from napari_pathogan.slides import resample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_pathogan.slides.cache import TileCache
    from napari_pathogan.slides.colours import Colours
    from napari_pathogan.slides.plane import Plane

_MADE_TILE = 512
_BLOCK = 1024  # source pixels that one thread resamples at a time
_keys = itertools.count()


class Ledger:
    """What the levels of one slide share: its name, cache, and what went wrong so far.

    Attributes
    ----------
    name
        Of the slide.
    choices
        What of a file is read, a sentence each.
    damaged
        One sentence for each tile that could not be read.
    filled
        Of each level, the tiles (row, column) that a finer level was taken for, and how many it has.
    closed
        Whether the slide was closed; its tiles are then gone.
    """

    def __init__(self, name: str, cache: TileCache) -> None:
        self.name = name
        self.key = next(_keys)
        self.cache = cache
        self.damaged: list[str] = []
        self.choices: tuple[str, ...] = ()
        self.filled: dict[int, tuple[set[tuple[int, int]], int]] = {}
        self.closed = False
        self._lock = threading.Lock()
        # a slide that nobody closed must not keep its tiles in the shared cache for ever
        weakref.finalize(self, cache.forget, self.key)

    def note(self, sentence: str) -> None:
        """Record a damaged tile once (a tile that left the cache may fail again)."""
        with self._lock:
            if sentence not in self.damaged:
                self.damaged.append(sentence)

    def fill(self, level: int, tiles: Iterable[tuple[int, int]], total: int) -> None:
        """Record tiles (row, column) of a level whose pixels come from a finer one."""
        with self._lock:
            self.filled.setdefault(level, (set(), total))[0].update(tiles)

    @property
    def fillings(self) -> list[str]:
        """A sentence for each level that a finer one helps out."""
        with self._lock:
            counts = {level: (len(tiles), total) for level, (tiles, total) in self.filled.items()}
        return [
            f"{self.name}: {count} of {total} tiles of level {level} are empty or damaged; their "
            "pixels are made from the next finer level"
            for level, (count, total) in sorted(counts.items())
        ]

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

    def holds(self, y: float, x: float, height: float, width: float) -> bool:  # noqa: ARG002
        """Whether something may be stored in a rectangle of this level, or finer ones."""
        return True

    def tile_at(self, row: int, col: int) -> np.ndarray:
        """A tile, cut at the edges of the level; read-only."""
        self.ledger.check_open()
        y, x = row * self.tile[0], col * self.tile[1]
        size = min(self.tile[0], self.shape[0] - y), min(self.tile[1], self.shape[1] - x)
        if not self.holds(y, x, *size):  # most of some slides: not worth a place in the cache
            return self._blank(*size, filled=True)
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


def render(
    level: Level, rows: resample.Axis, cols: resample.Axis, *, parallel: bool = False
) -> np.ndarray:
    """Resample block by block, so that memory stays small and, in parallel, all cores work."""
    # a made tile stands for many tiles of the file: let each thread make one of its own
    block_side = max(level.tile) if isinstance(level, MadeLevel) else _BLOCK
    high = max(1, block_side * len(rows.first) // (rows.stop - rows.start))
    wide = max(1, block_side * len(cols.first) // (cols.stop - cols.start))
    out = np.empty((len(rows.first), len(cols.first), *level.fill.shape), level.fill.dtype)

    def block(corner: tuple[int, int]) -> None:
        y, x = corner
        part, across = rows.part(y, y + high), cols.part(x, x + wide)
        size = part.stop - part.start, across.stop - across.start
        source = level.window(part.start, across.start, *size)
        out[y : y + high, x : x + wide] = resample.apply(source, part, across)

    corners = [(y, x) for y in range(0, out.shape[0], high) for x in range(0, out.shape[1], wide)]
    if parallel and len(corners) > 1:
        for _ in _pool().map(block, corners):
            pass
    else:
        for corner in corners:
            block(corner)
    return out


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers(), "pathogan-read")


def workers() -> int:
    """Threads that decode at once: one a core, at most 8 (a disc serves no more)."""
    return max(2, min(8, os.cpu_count() or 2))


class FileLevel(Level):
    """A level that the file holds; what it lacks of it is made from the next finer one.

    Parameters
    ----------
    finer
        The next finer level of the file; None for the finest.
    step
        Pixels of the finer level per pixel of this one (y, x).
    """

    def __init__(
        self,
        ledger: Ledger,
        plane: Plane,
        colours: Colours,
        convert: Callable[[np.ndarray], np.ndarray] | None,
        number: int,
        *,
        finer: FileLevel | None = None,
        step: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        rgb = colours.is_rgb
        fill = np.full((3,), 255, np.uint8) if rgb else np.zeros((), colours.out_dtype)
        super().__init__(ledger, plane.shape, plane.tile, fill)
        self._plane = plane
        self._colours = colours
        self._convert = convert
        self._number = number
        self._finer = finer
        self._step = step
        if plane.stored is not None and finer is not None:
            lost = [(int(row), int(col)) for row, col in np.argwhere(~plane.stored)]
            filled = [tile for tile in lost if self._finer_holds(tile)]
            if filled:
                ledger.fill(number, filled, plane.stored.size)

    def holds(self, y: float, x: float, height: float, width: float) -> bool:
        """Whether something may be stored in a rectangle of this level, or finer ones."""
        rows = slice(int(y // self.tile[0]), math.ceil((y + height) / self.tile[0]))
        cols = slice(int(x // self.tile[1]), math.ceil((x + width) / self.tile[1]))
        stored = self._plane.stored
        if stored is None or stored[rows, cols].any():
            return True
        step = self._step
        return self._finer is not None and self._finer.holds(
            y * step[0], x * step[1], height * step[0], width * step[1]
        )

    def _finer_holds(self, tile: tuple[int, int]) -> bool:
        corner = (tile[0] * self.tile[0] * self._step[0], tile[1] * self.tile[1] * self._step[1])
        size = (self.tile[0] * self._step[0], self.tile[1] * self._step[1])
        return self._finer is not None and self._finer.holds(*corner, *size)

    def _make(self, row: int, col: int) -> np.ndarray:
        height = min(self.tile[0], self.shape[0] - row * self.tile[0])
        width = min(self.tile[1], self.shape[1] - col * self.tile[1])
        try:
            raw = self._plane.decode(row, col)
            pixels = None if raw is None else self._colours.apply(raw[:height, :width])
        except Exception as error:  # noqa: BLE001 - codecs have no common error; all are recorded
            return self._damaged(row, col, str(error))
        if pixels is None:
            return self._instead(row, col, height, width)
        if pixels.shape != (height, width, *self.fill.shape):
            return self._damaged(row, col, f"it has {pixels.shape[1]} x {pixels.shape[0]} px")
        if self._finer is not None and self._colours.is_rgb and not pixels.any():
            finer = self._from_finer(self._finer, row, col, height, width)
            if finer.any():  # black, where the slide is not
                return self._filled(row, col, finer)
        return pixels if self._convert is None else self._convert(pixels)

    def _instead(self, row: int, col: int, height: int, width: int) -> np.ndarray:
        """A tile that can't be had from this level: from the finer one, or blank."""
        if self._finer is None or not self._finer_holds((row, col)):
            return self._blank(height, width, filled=True)
        return self._filled(row, col, self._from_finer(self._finer, row, col, height, width))

    def _filled(self, row: int, col: int, pixels: np.ndarray) -> np.ndarray:
        grid = [math.ceil(side / tile) for side, tile in zip(self.shape, self.tile, strict=True)]
        self.ledger.fill(self._number, [(row, col)], math.prod(grid))
        return pixels

    def _from_finer(
        self, finer: FileLevel, row: int, col: int, height: int, width: int
    ) -> np.ndarray:
        (dy, dx), (th, tw) = self._step, self.tile
        rows = resample.axis(row * th * dy, dy, height)
        cols = resample.axis(col * tw * dx, dx, width)
        return render(finer, rows, cols)

    def _damaged(self, row: int, col: int, reason: str) -> np.ndarray:
        self.ledger.check_open()  # what fails because the slide was closed is no damage
        height = min(self.tile[0], self.shape[0] - row * self.tile[0])
        width = min(self.tile[1], self.shape[1] - col * self.tile[1])
        if self._finer is not None and self._finer_holds((row, col)):
            return self._instead(row, col, height, width)
        self.ledger.note(
            f"{self.ledger.name}: tile at row {row}, column {col} of level {self._number} "
            f"can't be read ({reason}) and is left blank"
        )
        return self._blank(height, width, filled=True)


class MadeLevel(Level):
    """A level that the file lacks: half the size of the next finer one, made tile by tile."""

    def __init__(self, finer: Level) -> None:
        shape = (math.ceil(finer.shape[0] / 2), math.ceil(finer.shape[1] / 2))
        super().__init__(finer.ledger, shape, (_MADE_TILE, _MADE_TILE), finer.fill)
        self._finer = finer

    def holds(self, y: float, x: float, height: float, width: float) -> bool:
        """Whether something may be stored in a rectangle of this level, or finer ones."""
        return self._finer.holds(2 * y, 2 * x, 2 * height, 2 * width)

    def _make(self, row: int, col: int) -> np.ndarray:
        y, x = 2 * row * _MADE_TILE, 2 * col * _MADE_TILE
        height = min(2 * _MADE_TILE, self._finer.shape[0] - y)
        width = min(2 * _MADE_TILE, self._finer.shape[1] - x)
        return resample.halve(self._finer.window(y, x, height, width))
