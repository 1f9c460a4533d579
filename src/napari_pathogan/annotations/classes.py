"""What the classes of annotations count as: by an explicit table, never by a part of a name.

Names are compared without regard to case, and to blanks, hyphens and underscores between words. A
class whose name ends in ``*`` is one that QuPath ignores (``Ignore*``).
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

IGNORED, UNKNOWN = "ignored", "unknown"
UNCLASSIFIED = "unclassified"  # what an object without a class is called
_BETWEEN = re.compile(r"(?<=\w)[\s_\-\u2010-\u2015]+(?=\w)")
_SHADE = re.compile(r"positive|negative|[0-3]\+|(grade|g) ?[1-3]")  # of a class, not another one


@dataclass(frozen=True)
class ClassTable:
    """What classes count as.

    Attributes
    ----------
    known
        Name -> what it counts as.
    changes
        The user's own, which come first.
    """

    known: Mapping[str, str]
    changes: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, name: str) -> str:
        """What a class counts as: one of the table's values, `IGNORED` or `UNKNOWN`.

        Of a derived class (``Tumor: Positive``, of ``names`` in QuPath) all parts that are no mere
        shade must count as the same.
        """
        changes = {plain(own): kind for own, kind in self.changes.items()}
        table = {plain(own): kind for own, kind in self.known.items()} | changes
        whole = plain(name or UNCLASSIFIED)
        if whole in table:
            return table[whole]
        if whole.endswith("*"):
            return IGNORED
        first, *others = (plain(part) for part in name.split(":"))
        parts = {table.get(p, UNKNOWN) for p in (first, *(p for p in others if not shade(p)))}
        return parts.pop() if len(parts) == 1 else UNKNOWN


def plain(name: str) -> str:
    """A name as it is compared: ``Non-tumor`` -> ``non tumor``."""
    return _BETWEEN.sub(" ", normalize("NFKC", name).casefold()).strip()


def shade(name: str) -> bool:
    """Whether a part of a derived class, as it is compared, leaves the class what it is."""
    return _SHADE.fullmatch(name) is not None


def changes(text: str, kinds: Sequence[str]) -> dict[str, str]:
    """Read what a user says that classes count as: ``Krebs=IDC, Fat=healthy``.

    Parameters
    ----------
    kinds
        What classes can count as, beside `IGNORED`.

    Raises
    ------
    ValueError
        If it says something else.
    """
    every = {kind.casefold(): kind for kind in (*kinds, IGNORED)}
    found = {}
    for one in next(csv.reader([text], skipinitialspace=True), []):
        name, _, kind = one.rpartition("=")
        if not name.strip() or kind.strip().casefold() not in every:
            msg = f"{one!r} is no CLASS=KIND; the kinds are {', '.join(every.values())}"
            raise ValueError(msg)
        found[name.strip()] = every[kind.strip().casefold()]
    return found


def class_notes(counted: Mapping[str, str], kinds: Iterable[str]) -> list[str]:
    """Say what classes count as, a line a kind; nothing of kinds that no class is of.

    Parameters
    ----------
    counted
        Class -> what it counts as.
    """
    words = {kind: f"counted as {kind}" for kind in kinds}
    words |= {
        IGNORED: "not used",
        UNKNOWN: "unknown and left out (--classes 'NAME=KIND' says more)",
    }
    lines = []
    for kind, what in words.items():
        names = sorted(name or UNCLASSIFIED for name, own in counted.items() if own == kind)
        if names:
            lines.append(f"classes {what}: {', '.join(names)}")
    return lines
