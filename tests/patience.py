"""How long tests wait on a machine that has other work too."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 120.0  # for something that comes
MOST_S = 10.0  # that a rest is made longer by
POLL_S = 0.02  # between two looks whether something has come: who polls is patient anyway


def queued_s() -> float:
    """For how long the threads of this process have been ready to run and had no core (Linux)."""
    seconds = 0.0
    for thread in Path("/proc/self/task").glob("*/schedstat"):
        try:
            seconds += int(thread.read_text().split()[1]) / 1e9
        except OSError:  # it has just ended
            continue
    return seconds


def rest(seconds: float, work: Callable[[], None]) -> None:
    """Work for a while, longer by what our threads queued for a core in the meantime."""
    begun = time.monotonic()
    end = begun + seconds
    if seconds <= POLL_S:  # asking every thread for its queue takes milliseconds
        work()
        while time.monotonic() < end:
            work()
        return
    queued = queued_s()
    while True:
        while time.monotonic() < end:
            work()
        later = begun + seconds + min(queued_s() - queued, MOST_S)
        if later <= time.monotonic():
            return
        end = later
