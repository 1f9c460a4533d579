"""Pyramid levels: tiles in one colour rule, cached; what one lacks is made from the others."""

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

from napari_pathogan.errors import SlideClosedError, SlideReadError
from napari_pathogan.slides import resample
from napari_pathogan.slides.colours import without_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_pathogan.slides.cache import TileCache
    from napari_pathogan.slides.colours import Colours
    from napari_pathogan.slides.plane import Plane

_MADE_TILE = 512
_BLOCK = 1024  # source pixels that one thread resamples at a time
_QUICK = 1 << 26  # pixels of a level that may be looked at when a slide opens
_FEWEST = 16  # pixels a side of a tile, in the level where it is looked for
_COLOURED, _DARK, _BLACK, _SOME = 16, 180, 8, 1 / 8  # between channels; brightest; share of pixels
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
        Of each level, the tiles (row, column) that another was taken for, how many it has, and whether
        that is a finer one.
    valueless_share
        Of the pixels of floats that were looked at when it was opened: how many are no number, or infinite.
    closed
        Whether the slide was closed; its tiles are then gone.
    """

    def __init__(self, name: str, cache: TileCache) -> None:
        self.name = name
        self.key = next(_keys)
        self.cache = cache
        self.damaged: list[str] = []
        self.choices: tuple[str, ...] = ()
        self.filled: dict[tuple[int, bool], tuple[set[tuple[int, int]], int]] = {}
        self.valueless_share = 0.0
        self._valueless: dict[tuple[int, int, int], int] = {}
        self.closed = False
        self._lock = threading.Lock()
        # a slide that nobody closed must not keep its tiles in the shared cache for ever
        weakref.finalize(self, cache.forget, self.key)

    def note(self, sentence: str) -> None:
        """Record a damaged tile once (a tile that left the cache may fail again)."""
        with self._lock:
            if sentence not in self.damaged:
                self.damaged.append(sentence)

    def fill(
        self, level: int, tiles: Iterable[tuple[int, int]], total: int, *, finer: bool
    ) -> None:
        """Record tiles (row, column) of a level whose pixels come from a finer one, or a coarser."""
        with self._lock:
            self.filled.setdefault((level, finer), (set(), total))[0].update(tiles)

    def no_value(self, level: int, tile: tuple[int, int], pixels: int) -> None:
        """Record how many pixels of a tile (row, column) of a level are no number, or infinite."""
        with self._lock:
            self._valueless[level, *tile] = pixels

    @property
    def valueless(self) -> list[str]:
        """A sentence on pixels without a value, where there are some."""
        with self._lock:
            finest = min((level for level, _, _ in self._valueless), default=0)
            read = sum(px for (level, *_), px in self._valueless.items() if level == finest)
        if not (read or self.valueless_share):
            return []
        how_many = f"{read:,} px of level {finest}, of what was read of it,"
        if not read:
            how_many = f"about {max(1, round(100 * self.valueless_share))} % of its pixels"
        return [
            f"{self.name}: {how_many} have no value (NaN or infinite) and are shown as if nothing were there"
        ]

    @property
    def fillings(self) -> list[str]:
        """A sentence for each level that another one helps out."""
        with self._lock:
            counts = {of: (len(tiles), total) for of, (tiles, total) in self.filled.items()}
        how = {
            True: "the next finer level",
            False: "a coarser level, with less detail than there was",
        }
        return [
            f"{self.name}: {count} of {total} tiles of level {level} are empty or damaged; their "
            f"pixels are made from {how[finer]}"
            for (level, finer), (count, total) in sorted(counts.items())
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

    def held_at(self, row: int, col: int) -> np.ndarray | None:
        """A tile, if it is in memory; None where it has to be read."""
        return self.ledger.cache.held((self.ledger.key, self.key, row, col))

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
    """A level that the file holds; what it lacks is made from the next finer one, or from coarser ones.

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
        self.coarser: Callable[[], FileLevel | None] = lambda: None
        self.step = step
        self.alone = _Alone(self)
        self._shown: dict[tuple[int, int], bool] = {}
        if finer is not None:
            finer.coarser = weakref.ref(self)

    def count_lost(self) -> None:
        """Record the tiles that are not in the file, where another level has something of them.

        What only a coarse level shows is looked for in one that is read quickly; where there is none, tiles
        are counted when they are met.
        """
        if self._plane.stored is None:
            return
        lost = [(int(row), int(col)) for row, col in np.argwhere(~self._plane.stored)]
        below = [tile for tile in lost if self._finer_holds(tile)]
        others = sorted({*lost}.difference(below))
        above = [tile for tile in others if self._coarser_shows(tile)] if self._look(others) else []
        for tiles, finer in ((below, True), (above, False)):
            if tiles:
                self.ledger.fill(self._number, tiles, self._plane.stored.size, finer=finer)

    def _look(self, tiles: list[tuple[int, int]]) -> bool:
        """Look for many tiles in a coarser level at once, if there is one that is read quickly."""
        for level, step in self._looked_at() if tiles else ():
            enough = all(t >= _FEWEST * s for t, s in zip(self.tile, step, strict=True))
            if not enough or math.prod(level.shape) > _QUICK:
                return False
            count = [
                math.ceil(side / tile) for side, tile in zip(self.shape, self.tile, strict=True)
            ]
            edges = [
                (np.arange(n) * t / s).astype(int)
                for n, t, s in zip(count, self.tile, step, strict=True)
            ]
            sums = [np.add.reduceat(one, edges[0], 0) for one in level.alone.seen(edges[1])]
            sides = [np.diff(e, append=n) for e, n in zip(edges, level.shape, strict=True)]
            area = np.outer(*sides)
            shown, whole = sums[0] >= _SOME * area, sums[1] == area
            self._shown |= {tile: bool(shown[tile]) for tile in tiles if whole[tile]}
            return True
        return False

    def holds(self, y: float, x: float, height: float, width: float) -> bool:
        """Whether something may be stored in a rectangle of this level, or others show something."""
        if self.within(y, x, height, width):
            return True
        rows, cols = self.tiles_in(y, x, height, width)
        grid = itertools.product(range(rows.start, rows.stop), range(cols.start, cols.stop))
        return any(self._coarser_shows(tile) for tile in grid)

    def within(self, y: float, x: float, height: float, width: float) -> bool:
        """Whether something may be stored in a rectangle of this level, or finer ones."""
        stored = self._plane.stored
        if stored is None or stored[self.tiles_in(y, x, height, width)].any():
            return True
        step = self.step
        return self._finer is not None and self._finer.within(
            y * step[0], x * step[1], height * step[0], width * step[1]
        )

    def tiles_in(self, y: float, x: float, height: float, width: float) -> tuple[slice, slice]:
        """Rows and columns of the tiles that a rectangle reaches into."""
        count = [math.ceil(side / tile) for side, tile in zip(self.shape, self.tile, strict=True)]
        rows = slice(int(y // self.tile[0]), min(count[0], math.ceil((y + height) / self.tile[0])))
        cols = slice(int(x // self.tile[1]), min(count[1], math.ceil((x + width) / self.tile[1])))
        return rows, cols

    def size_of(self, row: int, col: int) -> tuple[int, int]:
        """Rows and columns of a tile, which may be cut at the edges of the level."""
        height, width = self.tile
        return min(height, self.shape[0] - row * height), min(width, self.shape[1] - col * width)

    def _finer_holds(self, tile: tuple[int, int]) -> bool:
        corner = (tile[0] * self.tile[0] * self.step[0], tile[1] * self.tile[1] * self.step[1])
        size = (self.tile[0] * self.step[0], self.tile[1] * self.step[1])
        return self._finer is not None and self._finer.within(*corner, *size)

    def _coarser_levels(self) -> Iterator[tuple[FileLevel, tuple[float, float]]]:
        """The coarser levels, the next one first, and how many pixels of this one are one of theirs."""
        level, step = self.coarser(), (1.0, 1.0)
        while level is not None:
            step = step[0] * level.step[0], step[1] * level.step[1]
            yield level, step
            level = level.coarser()

    def _looked_at(self) -> Iterator[tuple[FileLevel, tuple[float, float]]]:
        """The same, those first that are read quickly and still have some pixels of each tile of this one."""
        fine: list[tuple[FileLevel, tuple[float, float]]] = []
        few: list[tuple[FileLevel, tuple[float, float]]] = []
        for level, step in self._coarser_levels():
            enough = all(t >= _FEWEST * s for t, s in zip(self.tile, step, strict=True))
            (fine if enough else few).append((level, step))
        yield from (*reversed(fine), *few)

    def _coarser_shows(self, tile: tuple[int, int]) -> bool:
        """Whether a coarser level shows more than glass where this one lacks a tile."""
        if tile not in self._shown:
            shown = False
            for level, step in self._looked_at():
                y, x, height, width = self._place(tile, step)
                if level.alone.has(y, x, height, width):
                    top, left = int(y), int(x)
                    size = math.ceil(y + height) - top, math.ceil(x + width) - left
                    seen = _seen(level.alone.window(top, left, *size))
                    shown = bool(seen.mean() >= _SOME)
                    break
            self._shown[tile] = shown
        return self._shown[tile]

    def _place(
        self, tile: tuple[int, int], step: tuple[float, float]
    ) -> tuple[float, float, float, float]:
        """Top, left, height and width of a tile on a level of so much larger pixels."""
        corner = (at * side / s for at, side, s in zip(tile, self.tile, step, strict=True))
        size = (side / s for side, s in zip(self.size_of(*tile), step, strict=True))
        y, x, height, width = *corner, *size
        return y, x, height, width

    def own(self, row: int, col: int) -> np.ndarray | None:
        """A tile as the file has it; None where that is nothing.

        Raises
        ------
        Exception
            Of any kind, if it can't be read: codecs have none in common.
        """
        height, width = self.size_of(row, col)
        raw = self._plane.decode(row, col)
        if raw is None:
            return None
        if raw.dtype.kind == "f" and (without := without_value(raw[:height, :width])):
            self.ledger.no_value(self._number, (row, col), without)
        pixels = self._colours.apply(raw[:height, :width])
        if pixels.shape != (height, width, *self.fill.shape):
            raise ValueError(f"it has {pixels.shape[1]} x {pixels.shape[0]} px")
        return pixels

    def converted(self, pixels: np.ndarray) -> np.ndarray:
        """In the colours of the slide's profile."""
        return pixels if self._convert is None else self._convert(pixels)

    def _make(self, row: int, col: int) -> np.ndarray:
        try:
            pixels = self.own(row, col)
        except SlideReadError:  # the network, not the tile
            raise
        except Exception as error:  # noqa: BLE001 - codecs have no common error; all are recorded
            return self._instead(row, col, str(error))
        if pixels is None:
            return self._instead(row, col)
        black = self._colours.is_rgb and not pixels.any()
        if black and (other := self._from_others(row, col)) is not None and other.any():
            return other  # black, where the slide is not
        return self.converted(pixels)

    def _instead(self, row: int, col: int, reason: str = "") -> np.ndarray:
        """A tile that can't be had from this level, for some reason or as it is empty."""
        self.ledger.check_open()  # what fails because the slide was closed is no damage
        found = self._from_others(row, col)
        if found is not None:
            return found
        if reason:
            self.ledger.note(
                f"{self.ledger.name}: tile at row {row}, column {col} of level {self._number} "
                f"can't be read ({reason}) and is left blank"
            )
        return self._blank(*self.size_of(row, col), filled=True)

    def _from_others(self, row: int, col: int) -> np.ndarray | None:
        """A tile made from the finer level, or else a coarser one; None where they have nothing."""
        size, pixels = self.size_of(row, col), None
        finer = self._finer if self._finer_holds((row, col)) else None
        if finer is not None:
            (dy, dx), (th, tw) = self.step, self.tile
            rows = resample.axis(row * th * dy, dy, size[0])
            cols = resample.axis(col * tw * dx, dx, size[1])
            pixels = render(finer, rows, cols)
        elif self._coarser_shows((row, col)):
            for level, step in self._coarser_levels():
                y, x, *far = self._place((row, col), step)
                if level.alone.has(y, x, *far):
                    rows, cols = (
                        resample.axis(at, 1 / s, count)
                        for at, s, count in zip((y, x), step, size, strict=True)
                    )
                    pixels = render(level.alone, rows, cols)
                    break
        if pixels is not None and (pixels.any() or not self._colours.is_rgb):
            grid = [math.ceil(s / tile) for s, tile in zip(self.shape, self.tile, strict=True)]
            self.ledger.fill(self._number, [(row, col)], math.prod(grid), finer=finer is not None)
        return pixels


class _Alone(Level):
    """What a file holds of a level by itself: blank where that is nothing."""

    def __init__(self, level: FileLevel) -> None:
        super().__init__(level.ledger, level.shape, level.tile, level.fill)
        self._level = weakref.proxy(level)
        self._lost: dict[tuple[int, int], bool] = {}

    def has(self, y: float, x: float, height: float, width: float) -> bool:
        """Whether all tiles in a rectangle are there and can be read, and some are not black."""
        rows, cols = self._level.tiles_in(y, x, height, width)
        grid = [*itertools.product(range(rows.start, rows.stop), range(cols.start, cols.stop))]
        for tile in grid:
            if tile not in self._lost:
                self.tile_at(*tile)
        return bool(grid) and not any(self._lost[tile] for tile in grid)

    def seen(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many pixels show more than glass, and are in the file: of each row, from edge to edge (Y, N)."""
        bands, (height, width) = [], self.tile
        rows, cols = self._level.tiles_in(0, 0, *self.shape)
        for row in range(rows.stop):
            tall = min(height, self.shape[0] - row * height)
            seen, there = np.zeros((2, tall, self.shape[1]), bool)
            for col in range(cols.stop):
                across = slice(col * width, (col + 1) * width)
                seen[:, across] = _seen(self.tile_at(row, col))
                there[:, across] = not self._lost[row, col]
            bands.append([np.add.reduceat(one, edges, 1, np.int32) for one in (seen, there)])
        seen, there = (np.concatenate(several) for several in zip(*bands, strict=True))
        return seen, there

    def _make(self, row: int, col: int) -> np.ndarray:
        try:
            pixels = self._level.own(row, col)
        except SlideReadError:  # the network, not the tile
            raise
        except Exception:  # noqa: BLE001 - told when it is read for itself
            pixels = None
        self._lost[row, col] = pixels is None or (bool(self.fill.shape) and not pixels.any())
        if pixels is None:
            return self._blank(*self._level.size_of(row, col), filled=True)
        return self._level.converted(pixels)


def _seen(pixels: np.ndarray) -> np.ndarray:
    """Where a coarse level (Y, X, 3) or (Y, X) shows more than glass or black."""
    if pixels.ndim == 2:
        return pixels > 0
    red, green, blue = np.moveaxis(pixels, -1, 0)  # much faster than over the last axis
    light = np.maximum(np.maximum(red, green), blue)
    dark = np.minimum(np.minimum(red, green), blue)
    seen: np.ndarray = (light - dark >= _COLOURED) | ((light < _DARK) & (light >= _BLACK))
    return seen


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
