"""Working through the tiles of a slide on all cores, in order, with an answer at any moment."""

from __future__ import annotations

import ctypes
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import torch

from napari_pathogan.engine.events import Event, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")

TICK_S = 0.05
_TRIM_S = 0.5  # how often memory is given back, which takes some 10 ms
_LARGE = 8 * 2**20  # bytes: pieces of memory that go back to the system as soon as they are free
_LARGE_PIECES = -3  # M_MMAP_THRESHOLD of glibc


def work_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, ahead: int = 2
) -> Generator[tuple[Item, Result] | None, None, None]:
    """Work on items in several threads and give the results in order.

    Each thread reads its tile and computes on it with one core: reading overlaps with computing,
    and no core waits for another. (Cores that share one call of a small network wait for the
    slowest at every layer; on a busy machine that takes two to three times as long.)

    Closing the generator drops what has not begun; what is under way ends by itself.

    Parameters
    ----------
    work
        Called with one item; must be thread-safe.
    items
        In the order of need.
    threads
        Items worked on at the same time.
    ahead
        Items finished or waiting beyond those, at most: what memory has to hold.

    Yields
    ------
    (item, result), or None
        In the order of ``items``; None every 50 ms while there is nothing, so that the caller
        can be cancelled. An error in ``work`` is raised where its item would come.
    """
    left, trimmed = iter(items), 0.0
    _keep_no_large_pieces()
    queue: deque[tuple[Item, Future[Result]]] = deque()
    with _single_core_threads(threads) as pool:
        queue.extend((item, pool.submit(work, item)) for item in islice(left, threads + ahead))
        while queue:
            while not wait([queue[0][1]], TICK_S).done:
                yield None
            item, future = queue.popleft()
            result = future.result()
            queue.extend((new, pool.submit(work, new)) for new in islice(left, 1))
            if time.monotonic() > trimmed + _TRIM_S:
                _give_back()
                trimmed = time.monotonic()
            yield item, result


@cache
def _keep_no_large_pieces() -> None:
    """Let glibc keep no large freed pieces: it learns to from a network's maps, in every thread."""
    with suppress(AttributeError, OSError, TypeError):  # macOS, Windows, musl: need it not
        ctypes.CDLL(None).mallopt(_LARGE_PIECES, _LARGE)


def _give_back() -> None:
    """Give freed memory back to the system: glibc keeps it in pieces, more with each tile."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS, Windows, musl: have none, need none
        return None


@contextmanager
def _single_core_threads(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads in which torch computes on one core; the number elsewhere stays as it is."""
    cores = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "pathogan-tiles", torch.set_num_threads, (1,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        torch.set_num_threads(cores)  # threads made later take the number that was set last


def waiting_for(function: Callable[[], Result], what: str) -> Generator[Event, None, Result]:
    """Call something that takes a while; ``Progress`` in between, so that it can be cancelled."""
    results: list[Result] = []
    with closing(work_ahead(lambda _: function(), [None], threads=1)) as work:
        for done in work:
            yield Progress(0, 0, what)
            results += [] if done is None else [done[1]]
    return results[0]
