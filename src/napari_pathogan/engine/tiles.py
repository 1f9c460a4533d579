"""Reading ahead while the network computes."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

Item = TypeVar("Item")
Read = TypeVar("Read")


def read_ahead(
    read: Callable[[Item], Read], items: Iterable[Item], *, threads: int = 2, ahead: int = 6
) -> Generator[tuple[Item, Read], None, None]:
    """Read items in order on other threads; memory holds at most ``ahead`` of them.

    Closing the generator drops what has not begun and waits for the reads under way, so that no
    thread touches the slide afterwards. An error in ``read`` is raised where its item would come.

    Parameters
    ----------
    read
        Called with one item; must be thread-safe, and release the GIL to be of use.
    items
        What to read, in the order of need.
    threads, ahead
        Reads at the same time, and read or being read before they are asked for.

    Yields
    ------
    item, result
        In the order of ``items``.
    """
    left = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="pathogan-read") as pool:
        queue: deque[tuple[Item, Future[Read]]] = deque()
        try:
            queue.extend((item, pool.submit(read, item)) for item in islice(left, ahead))
            while queue:
                item, future = queue.popleft()
                result = future.result()
                queue.extend((new, pool.submit(read, new)) for new in islice(left, 1))
                yield item, result
        finally:
            for _, future in queue:
                future.cancel()
