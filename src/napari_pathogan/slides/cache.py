"""Decoded tiles that stay in memory: the least recently used go first, within a byte budget."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    import numpy as np

_DEFAULT_MB = 512
_MB = 1024 * 1024


class TileCache:
    """A thread-safe LRU cache of arrays with a budget in bytes.

    Two threads that ask for the same tile at once decode it once: the second waits for the first.

    Parameters
    ----------
    budget
        Bytes of pixels kept at most; 0 keeps nothing.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._size = 0
        self._tiles: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._coming: dict[Hashable, Future[np.ndarray]] = {}
        self._gone: deque[object] = deque()  # owners whose tiles are to be dropped
        self._lock = threading.Lock()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            self._sweep()
            yield

    @property
    def size(self) -> int:
        """Bytes of pixels held now."""
        return self._size

    @property
    def budget(self) -> int:
        """Bytes of pixels kept at most; setting a smaller one frees memory at once."""
        return self._budget

    @budget.setter
    def budget(self, budget: int) -> None:
        with self._alone():
            self._budget = budget
            self._trim()

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The tile of ``key``; made by ``make`` where it is not held. It must not be changed.

        What ``make`` raises is raised in every thread that waited for it; nothing is kept.
        """
        with self._alone():
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
                return tile
            coming = self._coming.get(key)
            if coming is None:
                mine = self._coming[key] = Future()
        if coming is not None:
            return coming.result()
        try:
            tile = make()
        except BaseException as error:
            with self._alone():
                del self._coming[key]
            mine.set_exception(error)
            raise
        tile.setflags(write=False)
        with self._alone():
            del self._coming[key]
            self._tiles[key] = tile
            self._size += tile.nbytes
            self._trim()
        mine.set_result(tile)
        return tile

    def held(self, key: Hashable) -> np.ndarray | None:
        """The tile of ``key``, if it is held; it then counts as used. It must not be changed."""
        with self._alone():
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def forget(self, owner: object) -> None:
        """Drop all tiles whose key is a tuple that starts with ``owner``.

        Never waits, for it is also called as objects are collected, which may be while this very
        thread uses the cache: tiles then go when the cache is used next.
        """
        self._gone.append(owner)
        if self._lock.acquire(blocking=False):
            try:
                self._sweep()
            finally:
                self._lock.release()

    def _sweep(self) -> None:
        while self._gone:
            owner = self._gone.popleft()
            for key in [k for k in self._tiles if isinstance(k, tuple) and k[0] == owner]:
                self._size -= self._tiles.pop(key).nbytes

    def _trim(self) -> None:
        while self._size > self._budget and self._tiles:
            _, tile = self._tiles.popitem(last=False)
            self._size -= tile.nbytes


def _default_mb() -> int:
    text = os.environ.get("PATHOGAN_CACHE_MB", "")
    return int(text) if text.isdecimal() else _DEFAULT_MB


shared = TileCache(_default_mb() * _MB)
"""The cache that all open slides of the process share."""


def set_cache_mb(megabytes: int) -> None:
    """Set how much memory decoded tiles may take in this process (the plugin's setting)."""
    shared.budget = max(0, megabytes) * _MB
