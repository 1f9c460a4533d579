"""What two windows say of one image, in one: nothing that either has drawn or decided is lost.

An object is known by its outline, to hundredths of a pixel. What is said of it is its class, its
decision and by whom. Between what a window knew of the file, what it says now and what the file holds
by then, every change of either counts; where both have changed one object otherwise, they clash.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import shapely

from napari_pathogan.annotations import geojson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.annotations.geojson import Annotation

_AT_ONCE = 4096  # objects whose outlines are looked at together
_PER_PX = 100  # steps of a coordinate
_UNDECIDED = ("", "open")
_READER = "reader"
LATER = "What is the other's shows when the image is opened again."


@dataclass
class Known:
    """What a window knows of a file of annotations, since it read or wrote it last.

    Attributes
    ----------
    stamp
        Of the file as it was then; None where others have said something that the window does not show.
    said
        Object -> what was said of it.
    annotations, written
        All that the file holds since it was written, where others have changed it before, and its stamp
        then; else None.
    note
        What the user has to know of that, in words.
    hidden
        What the file holds and the window does not show, such as points: it stays in the file.
    """

    stamp: tuple[int, ...] | None = None
    said: dict[bytes, str] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] | None = None
    written: tuple[int, ...] | None = None
    note: str = ""
    hidden: tuple[Annotation, ...] = ()

    @classmethod
    def read(
        cls,
        path: Path,
        origin: tuple[float, float] = (0.0, 0.0),
        shows: Callable[[Annotation], bool] = lambda _: True,
    ) -> Known:
        """Of a file that is read now, if there is one; errors as of :func:`.geojson.read`.

        Parameters
        ----------
        shows
            Whether the window shows an object.
        """
        before = stamp(path)  # of no later file than what is read
        known = cls()
        if before is not None:
            known.took(geojson.read(path, origin)[0], before, shows)
        return known

    def took(
        self,
        annotations: Sequence[Annotation],
        stamp: tuple[int, ...] | None,
        shows: Callable[[Annotation], bool],
    ) -> None:
        """The window shows what the file held when it had a stamp, others' with its own."""
        self.stamp, self.said, self.annotations = stamp, said(annotations), None
        self.hidden = tuple(one for one in annotations if not shows(one))


def stamp(path: Path) -> tuple[int, ...] | None:
    """What tells a file from the one that was there before; None if there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns


def said(annotations: Iterable[Annotation]) -> dict[bytes, str]:
    """Object -> what is said of it."""
    return {key: words(one) for key, one in keyed(annotations)}


def keyed(annotations: Iterable[Annotation]) -> Iterator[tuple[bytes, Annotation]]:
    """Each with what it is known by."""
    some: list[Annotation] = []
    for one in annotations:
        some.append(one)
        if len(some) == _AT_ONCE:
            yield from zip(_keys(some), some, strict=True)
            some = []
    yield from zip(_keys(some), some, strict=True)


def merge(
    own: Sequence[Annotation], theirs: Sequence[Annotation], before: dict[bytes, str]
) -> tuple[list[Annotation], list[Annotation]]:
    """What a window says and what the file holds by now, in one.

    Parameters
    ----------
    before
        What the window knew of the file, as of :func:`said`.

    Returns
    -------
    merged
        In the window's order, and then what others have added.
    clashing
        Objects of others that the window says something else of; not in ``merged``.
    """
    there = dict(keyed(theirs))
    merged: list[Annotation] = []
    clashing: list[Annotation] = []
    mine = set()
    for key, one in keyed(own):
        mine.add(key)
        other, known = there.get(key), before.get(key)
        touched = words(one) != known if known is not None else _decided(one)
        if other is None:
            if touched or known is None:  # else others have taken it away
                merged.append(one)
        elif words(other) in {known, words(one)} or (known is None and not _decided(other)):
            merged.append(one)
        elif not touched:
            merged.append(other)
        else:
            merged.append(one)
            clashing.append(other)
    merged += [
        other for key, other in there.items() if key not in mine and words(other) != before.get(key)
    ]
    return merged, clashing


def _decided(one: Annotation) -> bool:
    return one.by == _READER or one.decision not in _UNDECIDED


def words(one: Annotation) -> str:
    """What is said of an object."""
    return f"{one.class_name}\n{one.decision}\n{one.by}\n{one.kind}\n{one.part}"


def _keys(annotations: Sequence[Annotation]) -> Iterator[bytes]:
    if not annotations:
        return
    geometries = np.array([one.geometry for one in annotations], object)
    corners, whose = shapely.get_coordinates(geometries, return_index=True)
    whole = np.rint(corners * _PER_PX).astype(np.int64)
    ends = np.searchsorted(whose, np.arange(len(annotations) + 1))
    for one, (start, end) in zip(annotations, pairwise(ends.tolist()), strict=True):
        digest = hashlib.blake2b(whole[start:end].tobytes(), digest_size=16)
        digest.update(f"{one.geometry.geom_type} {one.part}".encode())
        yield digest.digest()
