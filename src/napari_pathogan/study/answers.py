"""What readers answered: the records of a study, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, NonNegativeFloat, ValidationError

from napari_pathogan.study.chain import Chain, read_chain
from napari_pathogan.study.layout import CHOICES, Manifest, Showing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

CONFIDENCES = (1, 2, 3, 4, 5)
"""From guessing to certain."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it was recorded.

    Attributes
    ----------
    reader
        Name or code, as first given.
    trial
        ``<item>.<1 or 2>``; the second showing of an item ends in 2.
    images
        Ids as shown (left, right).
    choice
        ``real`` or ``generated``, of pairs ``left`` or ``right``: the side that is real.
    confidence
        1 guessing to 5 certain.
    time_s
        From the image's appearing to the answer.
    zooms
        How the image was shown first, then each time the reader zoomed or moved: ``t`` seconds
        since it appeared, ``zoom`` screen px per image px, ``y``, ``x`` image px in the middle.
    at
        When it was written, ISO 8601, UTC.
    """

    reader: str
    trial: str
    images: tuple[str, ...]
    choice: str
    confidence: int
    time_s: float
    zooms: tuple[Mapping[str, float], ...]
    at: str


@dataclass(frozen=True, slots=True)
class Record:
    """The file of one reader on one machine, as far as it is as it was written.

    Attributes
    ----------
    reader
        Name or code as given.
    answers
        In order.
    problem
        What was tampered with, one sentence that names the file; None if nothing.
    """

    path: Path
    reader: str
    answers: tuple[Answer, ...]
    chain: Chain
    problem: str | None

    @property
    def begun(self) -> str:
        """When its first session was opened, ISO 8601, UTC; empty if there was none."""
        return str(self.chain.entries[0].get("at", "")) if self.chain.entries else ""

    @property
    def key_opened(self) -> str | None:
        """When the answer key had been opened on that computer, as far as a session found it so."""
        times = [x["key_opened"] for x in self.chain.entries if x.get("key_opened")]
        return min(times, default=None)


class _Given(BaseModel, allow_inf_nan=False):
    """What an answer holds beside its trial and images."""

    choice: str
    confidence: Annotated[int, Field(ge=CONFIDENCES[0], le=CONFIDENCES[-1])]
    time_s: NonNegativeFloat
    zooms: list[dict[str, float]]


def read_record(
    path: Path, manifest: Manifest, start: str, order: Callable[[str], Sequence[Showing]]
) -> Record:
    """Read and check the record of one reader on one machine.

    Parameters
    ----------
    start
        Hash of the manifest.
    order
        Gives all trials of a reader.

    Raises
    ------
    StudyError
        If the file can't be read.
    """
    chain = read_chain(path, start)
    problem = chain.problem
    reader = str(chain.entries[0].get("reader", "")) if chain.entries else ""
    answers: list[Answer] = []
    shown = {x.id: x for x in order(reader)} if reader else {}
    for entry in chain.entries:
        if entry.get("what") != "answer":
            continue
        wrong = _wrong(entry, shown, answers, CHOICES[manifest.mode])
        if wrong:
            problem = problem or f"line {entry['n'] + 1} {wrong}"
            break
        answers.append(_answer(reader, entry))
    if problem:
        who = f"the record of {reader}" if reader else "a record"
        problem = f"{who} was tampered with: {path.name}: {problem}"
    return Record(path, reader, tuple(answers), chain, problem)


def _wrong(
    entry: Mapping[str, Any],
    shown: Mapping[str, Showing],
    before: Sequence[Answer],
    choices: Sequence[str],
) -> str | None:
    """What no session writes, though the hashes fit."""
    showing, images = shown.get(str(entry.get("trial"))), entry.get("images")
    if showing is None or not isinstance(images, list) or tuple(images) != showing.images:
        return "answers an image that this reader was not shown"
    if any(answer.trial == showing.id for answer in before):
        return "answers the same image a second time"
    try:
        given = _Given.model_validate(entry, strict=True)
    except ValidationError:
        return "holds no possible answer"
    return None if given.choice in choices else "holds no possible answer"


def _answer(reader: str, entry: Mapping[str, Any]) -> Answer:
    return Answer(
        reader,
        entry["trial"],
        tuple(entry["images"]),
        entry["choice"],
        int(entry["confidence"]),
        float(entry["time_s"]),
        tuple(entry["zooms"]),
        str(entry["at"]),
    )
