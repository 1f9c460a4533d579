"""Showing events on a terminal: a progress bar with ETA, or one JSON line an event."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from napari_pathogan.engine.events import (
    Event,
    Finished,
    Metrics,
    Preview,
    Progress,
    Pulse,
    Tile,
    Warn,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


def follow(events: Iterable[Event], *, as_json: bool = False) -> Finished:
    """Run a task to its end and show its events; returns the last one.

    With ``as_json`` every event but the tiles is one JSON line on stdout (flushed); else a rich
    progress bar, losses and warnings go to stderr.
    """
    return _as_lines(events) if as_json else _as_bar(events)


def _as_lines(events: Iterable[Event]) -> Finished:
    last: Event | None = None
    for last in events:
        if not isinstance(last, Tile | Pulse):
            sys.stdout.write(to_json(last) + "\n")
            sys.stdout.flush()
    assert isinstance(last, Finished), "a task ends with Finished"
    return last


def _as_bar(events: Iterable[Event]) -> Finished:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    last: Event | None = None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
    )
    console = Console(stderr=True)
    silent = not console.is_terminal  # a log file needs no bar, nor the empty line it leaves
    with Bar(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=silent
    ) as bar:
        task = bar.add_task("starting", total=None)
        for last in events:
            if isinstance(last, Progress):
                bar.update(task, completed=last.done, total=last.total, description=last.what)
            elif isinstance(last, Metrics):
                text = ", ".join(f"{k} {v:.4g}" for k, v in last.values.items())
                bar.console.print(f"{last.step}: {text}", highlight=False)
            elif isinstance(last, Warn):
                bar.console.print(f"note: {last.message}", highlight=False, markup=False)
            elif isinstance(last, Preview) and last.path:
                bar.console.print(f"picture: {last.path}", highlight=False, markup=False)
    assert isinstance(last, Finished), "a task ends with Finished"
    return last
