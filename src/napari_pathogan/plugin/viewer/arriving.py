"""Slides at an address in the viewer: what has not come yet is shown coarsely, and drawn when it is there.

napari reads what it shows in the thread that draws the window, which must not wait for a network.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
from napari import current_viewer
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_pathogan.errors import (
    FluorescenceError,
    PathoganError,
    SlideClosedError,
    SlideReadError,
)
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from napari_pathogan.slides.levels import Level

_AT_ONCE = 6  # tiles that are asked for at once
_KEPT = 64 * 1024 * 1024  # bytes of tiles that stay for the view, whatever the cache holds
_LOOK = 512  # pixels of a side that are looked at before a slide is opened
_REDRAW_MS = 80
_AGAIN_S = 60.0  # before the same sentence is said again
_Tile = tuple[int, int, int]  # level, row, column


class Arriving(QObject):
    """The tiles of one slide, on their way from a network.

    Parameters
    ----------
    slide
        At an address.
    """

    _came = Signal()
    _failed = Signal(str)

    def __init__(self, slide: Slide) -> None:
        super().__init__()
        store = slide.levels[0].store
        self.levels: list[Level] = list(store.levels)  # type: ignore[attr-defined]
        self._wanted: dict[int, list[_Tile]] = {}
        self._coming: set[_Tile] = set()
        self._kept: OrderedDict[_Tile, np.ndarray] = OrderedDict()
        self._threads = 0
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(_REDRAW_MS)
        self._redraw.timeout.connect(self._draw)
        self._came.connect(self._start_redraw)
        self._failed.connect(self._say)

    def shown(self) -> list[ArrivingLevel]:
        """All levels as napari takes them, finest first."""
        return [ArrivingLevel(self, number) for number in range(len(self.levels))]

    def window(self, number: int, y: int, x: int, height: int, width: int) -> np.ndarray:
        """A rectangle of a level: what is there of it, and something coarser for the rest."""
        level = self.levels[number]
        th, tw = level.tile
        out: np.ndarray | None = None
        missing = []
        for row, col in _tiles(level, y, x, height, width):
            tile = self._held((number, row, col))
            if tile is None:
                missing.append((number, row, col))
                continue
            if out is None:
                out = self._coarsely(number, y, x, height, width)
            top, left = max(row * th, y), max(col * tw, x)
            bottom = min(row * th + tile.shape[0], y + height)
            right = min(col * tw + tile.shape[1], x + width)
            out[top - y : bottom - y, left - x : right - x] = tile[
                top - row * th : bottom - row * th, left - col * tw : right - col * tw
            ]
        self._want(number, missing)
        return self._coarsely(number, y, x, height, width) if out is None else out

    def _coarsely(self, number: int, y: int, x: int, height: int, width: int) -> np.ndarray:
        """A rectangle of a level, of the finest coarser one that is there; blank where none is."""
        level = self.levels[number]
        for other, coarse in enumerate(self.levels[number + 1 :], number + 1):
            step = [a / b for a, b in zip(coarse.shape, level.shape, strict=True)]
            rows, cols = (
                np.minimum(((np.arange(at, at + count) + 0.5) * s).astype(int), side - 1)
                for at, count, s, side in zip(
                    (y, x), (height, width), step, coarse.shape, strict=True
                )
            )
            if not (rows.size and cols.size):
                break
            top, left = int(rows[0]), int(cols[0])
            size = int(rows[-1]) + 1 - top, int(cols[-1]) + 1 - left
            there = _tiles(coarse, top, left, *size)
            if all(self._held((other, row, col)) is not None for row, col in there):
                return coarse.window(top, left, *size)[np.ix_(rows - top, cols - left)]
        blank = np.empty((height, width, *level.fill.shape), level.fill.dtype)
        blank[:] = level.fill
        return blank

    def _held(self, tile: _Tile) -> np.ndarray | None:
        with self._lock:
            kept = self._kept.get(tile)
        return self.levels[tile[0]].held_at(*tile[1:]) if kept is None else kept

    def _want(self, number: int, tiles: list[_Tile]) -> None:
        """Ask for tiles of a level, and no longer for those that are out of view."""
        with self._lock:
            self._wanted[number] = [tile for tile in tiles if tile not in self._coming]
            more = min(_AT_ONCE, sum(map(len, self._wanted.values()))) - self._threads
            self._threads += max(0, more)
        for _ in range(more):
            threading.Thread(target=self._fetch, name="pathogan-arriving", daemon=True).start()

    def _next(self) -> _Tile | None:
        with self._lock:
            for number in sorted(self._wanted, reverse=True):  # coarse ones are soon there
                if self._wanted[number]:
                    tile = self._wanted[number].pop(0)
                    self._coming.add(tile)
                    return tile
            self._threads -= 1
        return None

    def _fetch(self) -> None:
        while (tile := self._next()) is not None:
            try:
                pixels = self.levels[tile[0]].tile_at(*tile[1:])
                with self._lock:
                    self._kept[tile] = pixels
                    while sum(one.nbytes for one in self._kept.values()) > _KEPT:
                        self._kept.popitem(last=False)
                self._tell(self._came)
            except SlideClosedError:
                continue
            except SlideReadError as error:
                self._tell(self._failed, str(error))
            finally:
                with self._lock:
                    self._coming.discard(tile)

    def _tell(self, signal: Any, *said: str) -> None:  # noqa: ANN401 - of Qt
        try:
            signal.emit(*said)
        except RuntimeError:  # the window is gone, and this object with it
            with self._lock:
                self._wanted.clear()

    def _start_redraw(self) -> None:
        if not self._redraw.isActive():
            self._redraw.start()

    def _draw(self) -> None:
        viewer = current_viewer()
        for layer in [] if viewer is None else list(viewer.layers):
            levels = layer.data if getattr(layer, "multiscale", False) else ()
            if any(isinstance(one, ArrivingLevel) and one.source is self for one in levels):
                layer.refresh()

    def _say(self, sentence: str) -> None:
        now = time.monotonic()
        if now - self._said.get(sentence, -math.inf) > _AGAIN_S:
            self._said[sentence] = now
            show_error(sentence)


class ArrivingLevel:
    """A level as an array: at once what is there in the window's thread, all of it in any other.

    Attributes
    ----------
    source
        The slide's tiles.
    """

    def __init__(self, source: Arriving, number: int) -> None:
        self.source = source
        self._number = number
        self._level = source.levels[number]
        self.shape = self._level.full_shape
        self.dtype = self._level.fill.dtype
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)

    def __getitem__(self, key: Any) -> np.ndarray:  # noqa: ANN401 - as numpy takes them
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            free = self.ndim - len(keys) + 1
            keys = (*keys[:at], *[slice(None)] * free, *keys[at + 1 :])
        keys = (*keys, *[slice(None)] * (self.ndim - len(keys)))
        (y, height, down), (x, width, across) = (
            _span(one, side) for one, side in zip(keys[:2], self.shape, strict=False)
        )
        if threading.current_thread() is threading.main_thread():
            pixels = self.source.window(self._number, y, x, height, width)
        else:
            pixels = self._level.window(y, x, height, width)
        return pixels[(down, across, *keys[2:])]

    def whole(self) -> np.ndarray:
        """All of it, waited for in any thread."""
        return self._level.window(0, 0, *self._level.shape)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001
        return np.array(self[:], dtype, copy=copy)


def come_nearer(place: Path, then: Callable[[], None]) -> None:
    """Fetch the beginning of a slide and a look at it in the background, and go on; or say why not."""

    def came(why: str) -> None:
        if why:
            show_error(why)
        else:
            then()

    create_worker(
        _look,
        place,
        _connect={"returned": came},
        _progress={"total": 0, "desc": f"opening {place.name}"},
    )


def _look(place: Path) -> str:
    """Why a slide can't be opened; empty if it can, and its overview is on the disk."""
    try:
        with Slide.open(place) as slide:
            size = min(slide.shape[0], _LOOK), min(slide.shape[1], _LOOK)
            slide.read(Region(0, 0, *slide.shape), size=size)
    except FluorescenceError:
        return ""  # it is shown as its channels
    except PathoganError as error:
        return str(error)
    return ""


def _span(key: slice | int, side: int) -> tuple[int, int, slice | int]:
    """First pixel and count of what an index reaches along a side, and the index within that."""
    chosen = range(side)[key]
    if isinstance(chosen, int):
        return chosen, 1, 0
    if not chosen:
        return 0, 0, slice(None)
    low = min(chosen[0], chosen[-1])
    return low, abs(chosen[-1] - chosen[0]) + 1, slice(None, None, chosen.step)


def _tiles(level: Level, y: int, x: int, height: int, width: int) -> Iterator[tuple[int, int]]:
    """Rows and columns of the tiles of a rectangle."""
    (th, tw), rows, cols = level.tile, range(0), range(0)
    if height > 0 and width > 0:
        rows = range(y // th, -(-(y + height) // th))
        cols = range(x // tw, -(-(x + width) // tw))
    return itertools.product(rows, cols)
