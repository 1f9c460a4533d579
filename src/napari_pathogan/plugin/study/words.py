"""What a reader is told before, between and after images: titles and texts (rich text)."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import TYPE_CHECKING

from napari_pathogan.study.asking import FREEDOM, HOW
from napari_pathogan.study.openings import opened_here

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.study.record import Session, Study, Trial

_UNBLINDING = (
    "The key says which images are real. Whoever sees the results can't read this study blinded "
    "any more: let all readers of this computer finish first. When the key was opened here is "
    "noted in the study, and the report says so of every reader who had not finished."
)


def begin_text(study: Study, reader: str) -> str:
    """What the button says that lets a reader begin, or go on where they stopped or crashed.

    Raises
    ------
    StudyError
        If the reader's record can't be read.
    """
    place = study.next_place(reader)
    if place == 0:
        return "Begin"
    if place is None:
        return "All is answered: show the receipt"
    practice = practice_of(study)
    if place < practice:
        return f"Go on with practice {place + 1} of {practice}"
    total = study.trials - practice
    return f"Go on at {_things(study)[:-1]} {place - practice + 1} of {total}"


def unblinding_text(study: Study) -> str:
    """What opening the answer key means here, and whom it concerns.

    Raises
    ------
    StudyError
        If a record can't be read.
    """
    parts = [_UNBLINDING]
    if left := study.unfinished_here():
        who = "; ".join(f"{x.reader} ({x.answered} of {x.total} answered)" for x in left)
        parts.append(f"Not finished here: {who}.")
    if since := opened_here(study.folder, study.start):
        parts.append(f"It was opened here before, first on {local_time(since)}.")
    return "\n\n".join(parts)


def being_read_text(readers: Sequence[str]) -> str:
    """Why results are not shown now."""
    has = "has a session" if len(readers) == 1 else "have sessions"
    return (
        f"{', '.join(readers)} {has} open: leave the session before the answer key is opened here"
    )


def not_blinded_text(study: Study) -> str:
    """What a reader is told who reads where the key was opened; empty where it was not.

    Raises
    ------
    StudyError
        If what was noted can't be read.
    """
    since = opened_here(study.folder, study.start)
    if since is None:
        return ""
    return (
        f"The answer key was opened on this computer on {local_time(since)}. You may go on, but the "
        "report will say that these answers came after that. If you have seen results, tell who runs "
        "the study."
    )


def local_time(at: str) -> str:
    """``1 March 2026, 10:30`` of a time in UTC, as the clock here shows it."""
    here = datetime.fromisoformat(at).astimezone()
    return f"{here.day} {here:%B %Y, %H:%M}"


def intro_text(session: Session) -> tuple[str, str]:
    """How it works, and where it starts."""
    study = session.study
    title, parts = "How it works", [HOW[study.manifest.mode], FREEDOM]
    if warning := not_blinded_text(study):
        parts.insert(0, f"<b>{warning}</b>")
    if session.answered:
        title = f"Welcome back, {escape(session.reader)}"
        where = begin_text(study, session.reader)
        parts.append(f"You {where[:1].lower()}{where[1:]}.")
    if (left := practice_of(study) - session.answered) > 0:
        first = "next" if session.answered else "first"
        these = f"{left} are for practice and do" if left > 1 else "one is for practice and does"
        parts.append(f"The {first} {these} not count.")
    return title, _text(*parts)


def break_text(session: Session, after: Trial) -> tuple[str, str]:
    """After a block, and after the practice."""
    if after.kind == "practice":
        total = session.total - practice_of(session.study)
        return "That was the practice", _text(
            f"Now the study starts: {total} {_things(session.study)} that count."
        )
    done, total = (n - practice_of(session.study) for n in (session.answered, session.total))
    return "Time for a break", _text(
        f"{done} of {total} {_things(session.study)} are done. The break does not count; you may also leave and "
        "go on another day."
    )


def pause_text(session: Session) -> tuple[str, str]:
    """While the image is hidden."""
    return "Paused", _text(
        "All answers so far are on the disk, and the time does not count. If you leave, you go on "
        f"at this {_things(session.study)[:-1]} the next time."
    )


def end_text(session: Session) -> tuple[str, str]:
    """All is answered."""
    return "Thank you, all is done", _text(
        f"All {session.total} answers of {escape(session.reader)} are on the disk.",
        f"Your receipt is <b>{session.receipt}</b>. The report shows it too: if they are alike, your "
        "answers are as you gave them.",
    )


def practice_of(study: Study) -> int:
    """How many trials are for practice."""
    return sum(item.kind == "practice" for item in study.manifest.items)


def _things(study: Study) -> str:
    return "pairs" if study.manifest.mode == "pairs" else "images"


def _text(*paragraphs: str) -> str:
    return "<br><br>".join(paragraphs)
