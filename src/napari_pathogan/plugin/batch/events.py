"""What the dock of batches has done in the background: looking for models, and the batch itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished, Item, Progress, Warn
from napari_pathogan.engine.jobs import Job
from napari_pathogan.plugin.shell.dock import models_found
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def find_models_of(tasks: Sequence[str], folders: tuple[Path, ...]) -> Iterator[Event]:
    """Look for the models of some tasks: ModelsFound of each."""
    yield Progress(0, 0, "looking for models")
    ready_for_torch()
    yield from models_found(tasks, folders)
    yield Finished()


def batch(command: Sequence[str]) -> Iterator[Event]:
    """Run ``pathogan batch ...`` in a child process.

    What failed comes as an Item, without the warning that says the same on the command line.

    Raises
    ------
    JobError
        If it can't be begun.
    """
    said: Warn | None = None
    with Job.start(["batch", *command]) as job:
        for event in job.events():
            if said is not None and not _same(said, event):
                yield said
            said = event if isinstance(event, Warn) else None
            if said is None:
                yield event


def _same(said: Warn, event: Event) -> bool:
    return isinstance(event, Item) and said.message == f"{event.name}: {event.message}"
