"""What a reader is told between images: a title and a text (rich text)."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_pathogan.study.record import Session, Trial

_HOW = {
    "yes-no": "Images appear one after the other. Say whether each is <b>real (R)</b> or "
    "<b>generated (G)</b>, how sure you are (<b>1</b> guessing to <b>5</b> certain), and confirm "
    "with <b>Enter</b>.",
    "pairs": "Two images appear side by side, one real and one generated. Say whether the <b>left "
    "(←)</b> or the <b>right (→)</b> one is real, how sure you are (<b>1</b> guessing to <b>5</b> "
    "certain), and confirm with <b>Enter</b>.",
}
_FREEDOM = (
    "You may zoom with the wheel and move by dragging. Take the time you need; <b>Esc</b> pauses. "
    "Whether you were right is not shown."
)


def intro_text(session: Session) -> tuple[str, str]:
    """How it works, and where it starts."""
    parts = [_HOW[session.study.manifest.mode], _FREEDOM]
    practice = practice_of(session)
    if session.answered >= practice:
        place = session.answered - practice + 1
        where = f"{_things(session)[:-1]} {place} of {session.total - practice}"
        if session.answered:
            return f"Welcome back, {escape(session.reader)}", _text(
                *parts, f"You go on at {where}."
            )
        return "How it works", _text(*parts)
    left = practice - session.answered
    parts.append(f"The first {left} are for practice and do not count.")
    return "How it works", _text(*parts)


def break_text(session: Session, after: Trial) -> tuple[str, str]:
    """After a block, and after the practice."""
    if after.kind == "practice":
        total = session.total - practice_of(session)
        return "That was the practice", _text(
            f"Now the study starts: {total} {_things(session)} that count."
        )
    done, total = (n - practice_of(session) for n in (session.answered, session.total))
    return "Time for a break", _text(
        f"{done} of {total} {_things(session)} are done. The break does not count; you may also leave and "
        "go on another day."
    )


def pause_text(session: Session) -> tuple[str, str]:
    """While the image is hidden."""
    return "Paused", _text(
        "All answers so far are on the disk, and the time does not count. If you leave, you go on "
        f"at this {_things(session)[:-1]} the next time."
    )


def end_text(session: Session) -> tuple[str, str]:
    """All is answered."""
    return "Thank you, all is done", _text(
        f"All {session.total} answers of {escape(session.reader)} are on the disk.",
        f"Your receipt is <b>{session.receipt}</b>. The report shows it too: if they are alike, your "
        "answers are as you gave them.",
    )


def practice_of(session: Session) -> int:
    """How many images are for practice."""
    return sum(item.kind == "practice" for item in session.study.manifest.items)


def _things(session: Session) -> str:
    return "pairs" if session.study.manifest.mode == "pairs" else "images"


def _text(*paragraphs: str) -> str:
    return "<br><br>".join(paragraphs)
