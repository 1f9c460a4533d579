"""Answers beside the truth: what each reader got right, and how sure they were."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.study.layout import Key, reader_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_pathogan.study.answers import Answer
    from napari_pathogan.study.layout import Item, Truth
    from napari_pathogan.study.record import Study


@dataclass(frozen=True, slots=True)
class Judgement:
    """One answer and whether it was right.

    Attributes
    ----------
    item, time
        Which trial; 2 is its second showing.
    generated
        Truth of its generated image; of the real one where there is no other.
    signal
        What is to be detected: the image is generated; of pairs, the left one is real.
    said
        Whether the reader said so.
    zoomed
        Whether the reader changed the view.
    """

    item: Item
    time: int
    images: tuple[str, ...]
    truth: Truth
    signal: bool
    said: bool
    confidence: int
    time_s: float
    zoomed: bool

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.said == self.signal

    @property
    def rating(self) -> int:
        """From -5, certain that it is not the signal, to 5, certain that it is."""
        return self.confidence if self.said else -self.confidence


@dataclass(frozen=True)
class Reader:
    """All that one reader answered.

    Attributes
    ----------
    name
        As first given.
    judgements
        Of trials that count, first showings only.
    again
        (first, second) showings of repeated trials.
    controls
        Images that say what to answer.
    missing
        Trials not answered yet.
    """

    name: str
    judgements: tuple[Judgement, ...]
    again: tuple[tuple[Judgement, Judgement], ...]
    controls: tuple[Judgement, ...]
    missing: int

    @cached_property
    def signal(self) -> np.ndarray:
        """Bool (N,) of the judgements."""
        return np.array([x.signal for x in self.judgements], bool)

    @cached_property
    def said(self) -> np.ndarray:
        """Bool (N,)."""
        return np.array([x.said for x in self.judgements], bool)

    @cached_property
    def right(self) -> np.ndarray:
        """Bool (N,)."""
        return self.said == self.signal

    @cached_property
    def ratings(self) -> np.ndarray:
        """Int (N,), -5 to 5."""
        return np.array([x.rating for x in self.judgements], int)

    @cached_property
    def times(self) -> np.ndarray:
        """Seconds (N,)."""
        return np.array([x.time_s for x in self.judgements], float)

    @property
    def confusion(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """((hits, misses), (false alarms, correct rejections))."""
        hits, false = self.said & self.signal, self.said & ~self.signal
        misses, passed = ~self.said & self.signal, ~self.said & ~self.signal
        return (int(hits.sum()), int(misses.sum())), (int(false.sum()), int(passed.sum()))


def judge(study: Study, key: Key) -> tuple[tuple[Reader, ...], tuple[str, ...]]:
    """Put all answers beside the truth.

    Returns
    -------
    readers
        Sorted by name.
    notes
        What was left out: an image that a reader answered in two copies of the study counts once,
        as answered first.

    Raises
    ------
    StudyError
        If a record can't be read.
    """
    answers: dict[str, list[Answer]] = {}
    names: dict[str, str] = {}
    for record in sorted(study.records(), key=lambda one: one.begun):
        if record.reader:
            code = reader_code(record.reader)
            names.setdefault(code, record.reader)
            answers.setdefault(code, []).extend(record.answers)
    items = {item.id: item for item in study.manifest.items}
    trials = len(items) + sum(item.repeated for item in items.values())
    readers, notes = [], []
    for code in sorted(answers):
        given = sorted(answers[code], key=lambda answer: answer.at)
        first = {answer.trial: answer for answer in reversed(given)}
        twice = len(given) - len(first)
        if twice:
            notes.append(
                f"{names[code]} answered {twice} images in two copies of the study; the earlier answers count"
            )
        readers.append(_reader(names[code], first, items, key, trials))
    return tuple(readers), tuple(notes)


def _reader(
    name: str, answers: dict[str, Answer], items: dict[str, Item], key: Key, trials: int
) -> Reader:
    made = [_judgement(answer, items, key) for answer in answers.values()]
    study = [x for x in made if x.item.kind == "study"]
    first = {x.item.id: x for x in study if x.time == 1}
    again = [(first[x.item.id], x) for x in study if x.time == 2 and x.item.id in first]
    return Reader(
        name,
        tuple(first[item] for item in sorted(first)),
        tuple(again),
        tuple(x for x in made if x.item.kind == "control"),
        trials - len(made),
    )


def _judgement(answer: Answer, items: dict[str, Item], key: Key) -> Judgement:
    item, _, time = answer.trial.rpartition(".")
    truths = [key.truth[name] for name in answer.images]
    pair = len(truths) == 2
    generated = next((truth for truth in truths if not truth.real), truths[0])
    return Judgement(
        item=items[item],
        time=int(time),
        images=answer.images,
        truth=generated,
        signal=truths[0].real if pair else not truths[0].real,
        said=answer.choice in ("left", "generated"),
        confidence=answer.confidence,
        time_s=answer.time_s,
        zoomed=len(answer.zooms) > 1,
    )


@dataclass(frozen=True, slots=True)
class ImageRating:
    """How real an image looked to the readers who saw it.

    Attributes
    ----------
    realness
        Mean confidence: 5 all were certain that it is real, -5 that it is generated.
    fooled, readers
        How many were wrong about it, of how many.
    """

    image: str
    truth: Truth
    realness: float
    fooled: int
    readers: int


def rated_images(readers: Iterable[Reader], key: Key) -> list[ImageRating]:
    """How real each image looked, most real first; first showings only."""
    votes: dict[str, list[int]] = {}
    for reader in readers:
        for x in reader.judgements:
            shares = (1, -1) if len(x.images) == 2 else (-1,)
            for image, sign in zip(x.images, shares, strict=True):
                votes.setdefault(image, []).append(sign * x.rating)
    seen = [_seen(image, ratings, key.truth[image]) for image, ratings in votes.items()]
    return sorted(seen, key=lambda one: (-one.realness, one.image))


def _seen(image: str, ratings: Sequence[int], truth: Truth) -> ImageRating:
    fooled = sum((rating > 0) != truth.real for rating in ratings)
    return ImageRating(image, truth, float(np.mean(ratings)), fooled, len(ratings))
