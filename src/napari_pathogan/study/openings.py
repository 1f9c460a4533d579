"""When the answer key was opened, and on which computer: reading there is not blinded from then on.

Each computer keeps a chain (:mod:`.chain`) for each study, with a line for every time that results
were worked out there. It is kept with the user, and so holds for every copy of the study on that
computer; a copy lies in the study's folder, as ``openings/<computer>.jsonl``, and comes along when
copies of the study are put together. A session that is opened later says so in its own record.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pathogan.files import output_error, written
from napari_pathogan.kinds import OURS
from napari_pathogan.study.chain import ChainWriter, read_chain
from napari_pathogan.study.computer import machine, now, user_folder
from napari_pathogan.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "openings"


@dataclass(frozen=True, slots=True)
class Opening:
    """The first time that the answer key was opened on a computer.

    Attributes
    ----------
    machine
        The computer; see :func:`~.computer.machine`.
    at
        ISO 8601, UTC.
    """

    machine: str
    at: str


def note_opening(folder: Path, start: str) -> None:
    """Note that the answer key is opened here and now; later sessions on this computer know it.

    Parameters
    ----------
    folder, start
        Of the study, and the hash of its manifest.

    Raises
    ------
    OutputError
        If it can't be noted with the user, or in the study's folder.
    """
    own = _own(start)
    try:
        own.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(own, error) from error
    writer = ChainWriter(own, read_chain(own, start))
    writer.append({"what": "key opened", "version": __version__, "at": now()})
    with written(folder / FOLDER / f"{machine()}.jsonl", OURS) as beside:
        shutil.copyfile(own, beside)


def opened_here(folder: Path, start: str) -> str | None:
    """When the answer key was first opened on this computer, from whichever copy of the study.

    Raises
    ------
    StudyError
        If what was noted can't be read.
    """
    noted = (_own(start), folder / FOLDER / f"{machine()}.jsonl")
    times = [time for path in noted if (time := _first(path, start)) is not None]
    return min(times, default=None)


def openings(folder: Path, start: str) -> tuple[Opening, ...]:
    """The first opening on each computer that the study's folder knows of.

    Raises
    ------
    StudyError
        If what was noted can't be read.
    """
    files = sorted((folder / FOLDER).glob("*.jsonl"))
    found = ((path.name.split(".")[0], _first(path, start)) for path in files)
    return tuple(Opening(name, at) for name, at in found if at is not None)


def opening_problems(folder: Path, start: str) -> tuple[str, ...]:
    """What was tampered with, one sentence each.

    Raises
    ------
    StudyError
        If what was noted can't be read.
    """
    files = sorted((folder / FOLDER).glob("*.jsonl"))
    found = ((path, read_chain(path, start).problem) for path in files)
    return tuple(
        f"what was noted of the answer key was tampered with: {FOLDER}/{path.name}: {problem}"
        for path, problem in found
        if problem
    )


def _own(start: str) -> Path:
    return user_folder() / FOLDER / f"{start[:16]}.jsonl"


def _first(path: Path, start: str) -> str | None:
    entries = read_chain(path, start).entries
    return str(entries[0]["at"]) if entries else None
