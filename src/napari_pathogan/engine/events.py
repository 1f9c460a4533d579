"""What long work yields: events, plain frozen dataclasses that also travel as JSON lines.

Every long task is a generator of events. The command line draws them as a progress bar, the
plugin reads them in a worker (each yield is a place to cancel or pause), tests use ``list``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """``done`` of ``total`` units, and one line that says what is being done."""

    done: int
    total: int
    what: str = ""
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pulse(Event):
    """Nothing new, but a place to cancel: work that waits for another process yields it."""


@dataclass(frozen=True, slots=True)
class Item(Event):
    """One of many: it ``waits``, ``runs`` (``done`` of ``total`` units), is ``done``, or ``failed``."""

    name: str
    state: str
    done: int = 0
    total: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Metrics(Event):
    """Numbers of one step of work (an epoch): losses, scores, learning rates."""

    step: int
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Preview(Event):
    """A picture of the state of the work: uint8 (Y, X, 3), or the file that it was saved to."""

    name: str
    image: np.ndarray | None = None
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint(Event):
    """The work up to ``step`` is safe on disk at ``path`` and can be resumed."""

    step: int
    path: Path


@dataclass(frozen=True, slots=True, eq=False)
class Tile(Event):
    """A finished part of a map: ``data`` belongs at ``[row:, col:]`` of layer ``layer``."""

    layer: str
    row: int
    col: int
    data: np.ndarray


@dataclass(frozen=True, slots=True)
class Warn(Event):
    """Something the user should know that does not stop the work (an unreadable tile)."""

    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Finished(Event):
    """The last event: ``result`` is what the work was for; ``summary`` is plain JSON."""

    result: Any = None
    summary: Mapping[str, Any] = field(default_factory=dict)


_KINDS = {
    kind.__name__.lower(): kind
    for kind in (Progress, Item, Metrics, Preview, Checkpoint, Tile, Warn, Finished)
}


def to_json(event: Event) -> str:
    """One line of JSON: ``{"event": "progress", "done": 3, ...}``.

    Arrays and in-process results don't travel: a preview keeps its path, a tile its place and
    shape, ``Finished`` its summary.
    """
    record: dict[str, Any] = {"event": type(event).__name__.lower()}
    if isinstance(event, Preview):
        record |= {"name": event.name, "path": event.path}
    elif isinstance(event, Tile):
        record |= {"layer": event.layer, "row": event.row, "col": event.col}
        record["shape"] = list(event.data.shape)
    elif isinstance(event, Finished):
        record["summary"] = dict(event.summary)
    else:
        record |= asdict(event)
    return json.dumps(record, default=_plain)


def from_json(line: str) -> Event:
    """Read back what :func:`to_json` wrote.

    Raises
    ------
    ValueError
        If the line is not the JSON of an event.
    """
    record = json.loads(line)
    if not isinstance(record, dict) or record.get("event") not in _KINDS:
        msg = f"not an event: {line[:200]!r}"
        raise ValueError(msg)
    kind = _KINDS[record.pop("event")]
    if kind is Tile:
        record["data"] = np.full(record.pop("shape"), np.nan, np.float32)
    if record.get("path") is not None:
        record["path"] = Path(record["path"])
    return kind(**record)


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    msg = f"{type(value).__name__} does not travel in an event"
    raise TypeError(msg)
