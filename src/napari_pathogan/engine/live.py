"""A computed slide to look at: a student's colours at once, the network's as they come.

A network takes a quarter of a second for a tile, its student some milliseconds. So a view shows
the student's tile until the network's is there, which is computed in the background. To save and
to measure, read the network's slide: what is shown may be the student's.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.slides.cache import TileCache
from napari_pathogan.slides.levels import Level
from napari_pathogan.slides.pyramid import level_behind
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_pathogan.slides.geometry import Region

Place = tuple[int, int, int]  # level, row and column of a tile

REST_S = 0.1  # a view that has not moved for this long is worth computing
_MOST = 256  # tiles that are computed for one view, those nearest to its middle
_KEPT = 384 * 3 * 512 * 512  # bytes of the network's tiles kept: all of a view and those before it


class LiveView:
    """A slide in a network's colours, fast at first and finer wherever one looks for a while.

    Any thread may read :attr:`slide` and call :meth:`look`; one thread at a time runs
    :meth:`refine`.

    Parameters
    ----------
    fine, fast
        A slide in the network's colours, and the same in its student's.
    networked
        Which levels of ``fine`` are the network's; the others are shown as they are.

    Attributes
    ----------
    slide
        What to show: tiles of ``fine`` that are there, the student's until then.
    """

    def __init__(self, fine: Slide, fast: Slide, networked: Sequence[bool]) -> None:
        self._ready = TileCache(_KEPT)
        self._fine, self._fast = _levels(fine), _levels(fast)
        self._lock = threading.Lock()
        self._window: tuple[int, Region] | None = None
        self._in_view: list[Place] = []
        self._moved = 0.0
        pairs = zip(self._fine, self._fast, networked, strict=True)
        levels = [
            _LiveLevel(number, finer, faster, self._ready) if by_network else finer
            for number, (finer, faster, by_network) in enumerate(pairs)
        ]
        self._live = [isinstance(level, _LiveLevel) for level in levels]
        self.slide = Slide(
            fine.name,
            levels,
            fine.downsamples,
            mpp=fine.mpp,
            mpp_source=fine.mpp_source,
            metadata=dict(fine.metadata),
        )

    def look(self, level: int, window: Region, near: tuple[float, float]) -> None:
        """Say what is in view: it alone is computed from now on, the nearest tiles first.

        Parameters
        ----------
        level, window
            The level that is shown, and the part of it, in its own pixels.
        near
            The middle of the view (y, x), in pixels of the level.
        """
        places: list[Place] = []
        if self._live[level] and not window.empty:
            high, wide = self._fine[level].tile
            cells = [
                (row, col)
                for row in range(window.y // high, -(-window.bottom // high))
                for col in range(window.x // wide, -(-window.right // wide))
            ]
            away = [
                np.hypot((r + 0.5) * high - near[0], (c + 0.5) * wide - near[1]) for r, c in cells
            ]
            places = [(level, *cells[i]) for i in np.argsort(away, kind="stable")[:_MOST]]
        with self._lock:
            if (level, window) != self._window:
                self._window, self._moved = (level, window), time.monotonic()
            self._in_view = places

    def look_away(self) -> None:
        """Nothing is in view: a tile that is being computed is the last one."""
        with self._lock:
            self._window, self._in_view = None, []

    @property
    def coming(self) -> tuple[int, int]:
        """Tiles in view that the network still has to colour, and that it colours in all."""
        with self._lock:
            places = self._in_view
        return sum(self._ready.held(place) is None for place in places), len(places)

    def refine(self) -> Iterator[Event]:
        """Compute the network's tiles of what is in view, until all are there.

        Yields
        ------
        Progress after each tile, and Finished. A view that moves is waited for, and what it left
        is dropped.
        """
        while (place := self._next()) is not None:
            level, row, col = place
            self._ready.get(place, partial(self._fine[level].tile_at, row, col))
            left, total = self.coming
            yield Progress(total - left, total, "the network's colours of what is in view")
        yield Finished()

    def close(self) -> None:
        """Compute no more, and free the tiles; what is read from now on is the student's."""
        self.look_away()
        self._ready.budget = 0

    def _next(self) -> Place | None:
        while (rest := self._moved + REST_S - time.monotonic()) > 0:
            time.sleep(rest)
        with self._lock:
            places = self._in_view
        return next((place for place in places if self._ready.held(place) is None), None)


class _LiveLevel(Level):
    """A level of the network's tiles where they are there, and of the student's elsewhere."""

    def __init__(self, number: int, fine: Level, fast: Level, ready: TileCache) -> None:
        super().__init__(fine.ledger, fine.shape, fine.tile, fine.fill)
        self._number, self._fast, self._ready = number, fast, ready

    def tile_at(self, row: int, col: int) -> np.ndarray:
        """A tile as good as it is by now. Not cached here: it may be better the next time."""
        return self._make(row, col)

    def _make(self, row: int, col: int) -> np.ndarray:
        fine = self._ready.held((self._number, row, col))
        return self._fast.tile_at(row, col) if fine is None else fine


def _levels(slide: Slide) -> list[Level]:
    own = [level_behind(array) for array in slide.levels]
    return [level for level in own if level is not None]
