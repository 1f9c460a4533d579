"""How long tests wait on a machine that has other work too."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 120.0  # for something that comes
MOST_S = 10.0  # that a rest is made longer by
POLL_S = 0.02  # between two looks whether something has come: who polls is patient anyway


def queued_s() -> dict[Path, float]:
    """For how long each thread of this process has been ready to run and had no core (Linux)."""
    seconds = {}
    for thread in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # it has just ended
            seconds[thread] = _queued(thread)
    return seconds


def queued_by(process: int | str = "self") -> float:
    """The same of the first thread of a process, also of one that has ended and is not yet waited for."""
    return _queued(Path(f"/proc/{process}/schedstat"))


def _queued(schedstat: Path) -> float:
    return int(schedstat.read_text().split()[1]) / 1e9


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
        longest = max((s - before.get(thread, 0) for thread, s in queued_s().items()), default=0)
        later = begun + seconds + min(longest, MOST_S)
        if later <= time.monotonic():
            return
        end = later
