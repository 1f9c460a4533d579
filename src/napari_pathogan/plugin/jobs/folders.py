"""What else is worked on beside trainings: batches and reader studies, as their folders say how they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pathogan.batch.folder import BatchFolder
from napari_pathogan.engine.events import Event, Finished
from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.shell.recent import BATCHES, STUDIES
from napari_pathogan.study.record import Study
from napari_pathogan.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BATCH, STUDY = "Batch", "Reader study"  # the docks that they are of


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """A batch or a study.

    Attributes
    ----------
    folder
        Where it lies.
    dock
        The title of the dock that it is of.
    name
        As the list has it.
    state
        How it stands, short enough for the list.
    about
        The same in a sentence or two.
    runs
        Whether somebody, or something, works in it now.
    """

    folder: Path
    dock: str
    name: str
    state: str
    about: str
    runs: bool = False


def looked_at() -> Iterator[Event]:
    """Look how batches and studies of before stand; finishes with them, what runs first."""
    batches, studies = map(_batch, BATCHES.recall()), map(_study, STUDIES.recall())
    found = sorted((*batches, *studies), key=lambda one: not one.runs)
    yield Finished(tuple(found))


def forget(one: WorkFolder) -> None:
    """Take one off the list; its folder stays as it is.

    Raises
    ------
    OutputError
        If the user's data folder can't be written.
    """
    (BATCHES if one.dock == BATCH else STUDIES).forget(one.folder)


def _batch(folder: Path) -> WorkFolder:
    name = f"{folder.name} (batch)"
    try:
        batch = BatchFolder(folder).standing()
        what = task_of(batch.task).help.rstrip(".")
    except PathoganError as error:
        return WorkFolder(folder, BATCH, name, "unreadable", f"{name}.\n{error}")
    total, done, failed = len(batch.sources), len(batch.done), len(batch.failed)
    if batch.runs:
        state = f"{done + failed} of {total}"
    else:
        state = "done" if batch.ended else "interrupted"
    lost = f", {failed} failed" if failed else ""
    on = "" if batch.runs or batch.ended else " Open it: Run goes on with what is left."
    about = f"{name}. {what}, by {batch.model}.\n{done} of {total} are done{lost}.{on}"
    return WorkFolder(folder, BATCH, name, state, about, batch.runs)


def _study(folder: Path) -> WorkFolder:
    name = f"{folder.name} (study)"
    try:
        study = Study.open(folder)
        standings, reading = study.standings(), study.being_read()
    except PathoganError as error:
        return WorkFolder(folder, STUDY, name, "unreadable", f"{name}.\n{error}")
    name = f"{study.name} (study)"
    finished = sum(one.finished for one in standings)
    readers = f"{len(standings)} reader{'s' * (len(standings) != 1)}"
    state = (
        "being read" if reading else f"{finished} of {len(standings)} done" if standings else "new"
    )
    who = "\n".join(f"{one.reader}: {one.answered} of {one.total}" for one in standings)
    about = f"{name}. {study.question}\n{readers}, {finished} finished.\n{who}".strip()
    return WorkFolder(folder, STUDY, name, state, about, bool(reading))
