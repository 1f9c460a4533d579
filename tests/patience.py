"""How long tests wait on a machine that has other work too."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 120.0  # for something that comes
MOST_S = 10.0  # that a rest is made longer by
POLL_S = 0.02  # between two looks whether something has come: who polls is patient anyway


def queued_s(process: int | str = "self") -> dict[int, float]:
    """For how long each thread of a process has been ready to run and had no core (Linux)."""
    seconds = {}
    for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with suppress(OSError, IndexError):  # it has just ended
            seconds[int(thread.parent.name)] = int(thread.read_text().split()[1]) / 1e9
    return seconds


def queued_with_children_s() -> dict[int, float]:
    """The same of this process and of all that it has started."""
    seconds = queued_s()
    for child in psutil.Process().children(recursive=True):
        seconds |= queued_s(child.pid)
    return seconds


def longest_s(before: dict[int, float], after: dict[int, float]) -> float:
    """For how long one of the threads has queued between two looks at them."""
    return max((s - before.get(thread, 0) for thread, s in after.items()), default=0.0)


def rest(seconds: float, work: Callable[[], None]) -> None:
    """Work for a while, longer by what any of our threads queued for a core in the meantime."""
    begun = time.monotonic()
    end = begun + seconds
    if seconds <= POLL_S:  # asking every thread takes a millisecond
        work()
        while time.monotonic() < end:
            work()
        return
    before = queued_s()
    while True:
        while time.monotonic() < end:
            work()
        later = begun + seconds + min(longest_s(before, queued_s()), MOST_S)
        if later <= time.monotonic():
            return
        end = later
