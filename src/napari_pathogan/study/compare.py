"""Which readings are compared: generators of one study, or two studies of the same images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.errors import StudyError
from napari_pathogan.study.layout import reader_code
from napari_pathogan.study.mrmc import Comparison, Condition, by_auc, by_share, compare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_pathogan.study.judgements import Judgement, Reader

_LEAST = 2  # cases of each kind, and readers: fewer say nothing of how they vary

_Given = dict[str, dict[str, "Judgement"]]  # reader -> case -> what was said


def everything(readers: Sequence[Reader], *, pairs: bool) -> Condition | None:
    """All that all readers judged, as one condition; None if that is too little."""
    given = {x.name: {one.item.id: one for one in x.judgements} for x in readers}
    return _condition("all", given, _shared(given), pairs=pairs)


def generators(readers: Sequence[Reader], *, pairs: bool) -> Comparison | None:
    """Compare the sources of generated images, each against the same real ones.

    Of images that all readers judged. None where there are fewer than two sources or readers.
    """
    given = {x.name: {one.item.id: one for one in x.judgements} for x in readers}
    shared = _shared(given)
    first = next(iter(given.values()), {})
    made = [case for case in shared if not first[case].truth.real]
    real = [case for case in shared if first[case].truth.real]
    sources = sorted({first[case].truth.source for case in made})
    if len(readers) < _LEAST or len(sources) < _LEAST:
        return None
    found = []
    for source in sources:
        own = [case for case in made if first[case].truth.source == source]
        found.append(_condition(source, given, [*own, *real], pairs=pairs))
    conditions = [one for one in found if one is not None]
    return compare(conditions, _figure(pairs=pairs)) if len(conditions) >= _LEAST else None


def studies(
    names: tuple[str, str], both: tuple[Sequence[Reader], Sequence[Reader]], *, pairs: bool
) -> Comparison:
    """Compare two studies that the same readers read, of the same images under two conditions.

    Parameters
    ----------
    names
        What the conditions are called.
    both
        Readers of each; images are the same if they came from the same place.

    Raises
    ------
    StudyError
        If they have too little in common.
    """
    given = [{reader_code(x.name): _by_origin(x) for x in readers} for readers in both]
    people = sorted(set(given[0]) & set(given[1]))
    kept = [{person: one[person] for person in people} for one in given]
    shared = sorted(set(_shared(kept[0])) & set(_shared(kept[1])))
    found = [
        _condition(name, one, shared, pairs=pairs) for name, one in zip(names, kept, strict=True)
    ]
    conditions = [one for one in found if one is not None]
    if len(people) < _LEAST or len(conditions) < _LEAST:
        msg = (
            f"{names[0]} and {names[1]} can't be compared: {len(people)} readers and "
            f"{len(shared)} images are in both; give two studies of the same images, read by the "
            "same two or more readers"
        )
        raise StudyError(msg)
    return compare(conditions, _figure(pairs=pairs))


def _figure(*, pairs: bool) -> str:
    return "right answers" if pairs else "AUC"


def _shared(given: Mapping[str, Mapping[str, Judgement]]) -> list[str]:
    """Cases that all readers judged, sorted."""
    return sorted(set.intersection(*(set(own) for own in given.values()))) if given else []


def _by_origin(reader: Reader) -> dict[str, Judgement]:
    """Judgements by where their images came from, which is the same in every study."""
    found: dict[str, Judgement] = {}
    for one in reader.judgements:
        truth = one.truth
        found.setdefault(f"{truth.real}:{truth.source}:{truth.origin}", one)
    return found


def _condition(
    name: str, given: Mapping[str, Mapping[str, Judgement]], cases: Sequence[str], *, pairs: bool
) -> Condition | None:
    """One condition of some cases; None if there are too few of a kind."""
    if pairs:
        right = np.array([[own[case].right for case in cases] for own in given.values()], bool)
        return by_share(name, right, cases) if len(cases) >= _LEAST else None
    signal = np.array([next(iter(given.values()))[case].signal for case in cases], bool)
    if min(int(signal.sum()), int((~signal).sum())) < _LEAST:
        return None
    ratings = np.array([[own[case].rating for case in cases] for own in given.values()])
    return by_auc(name, ratings, signal, cases)
