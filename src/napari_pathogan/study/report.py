"""What a study found: per reader and over all, with intervals, tests, and whether it is untouched."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.engine.report import Report, Value, with_interval
from napari_pathogan.errors import StudyError
from napari_pathogan.study import compare
from napari_pathogan.study import statistics as st
from napari_pathogan.study.computer import machine_of
from napari_pathogan.study.detection import auc, auc_interval, detection
from napari_pathogan.study.judgements import ImageRating, Reader, judge, rated_images
from napari_pathogan.study.layout import read_key, reader_code
from napari_pathogan.study.mrmc import Holds, single
from napari_pathogan.study.openings import opening_problems, openings
from napari_pathogan.study.resampling import ROUNDS, pooled_figures
from napari_pathogan.study.verdicts import Verdict, verdict, verdict_elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.table import Table

    from napari_pathogan.study.answers import Record
    from napari_pathogan.study.layout import Key
    from napari_pathogan.study.mrmc import Comparison
    from napari_pathogan.study.openings import Opening
    from napari_pathogan.study.record import Study


@dataclass(frozen=True, slots=True)
class SourceRow:
    """How the images of one generator or folder were judged, over all readers.

    Attributes
    ----------
    right, answers
        Right answers of all to its images (pairs: to trials with its generated image).
    """

    source: str
    real: bool
    right: int
    answers: int

    @property
    def accuracy(self) -> Value:
        """With its Wilson interval, answers taken as independent."""
        return Value(self.right / self.answers, *st.wilson(self.right, self.answers))


@dataclass(frozen=True, slots=True)
class Receipt:
    """The last hash, short, of a reader's record on one machine; the reader was shown it."""

    reader: str
    file: str
    receipt: str
    answers: int


@dataclass(frozen=True, slots=True)
class TooFew:
    """A reader who has not judged enough images to count.

    Attributes
    ----------
    judged, images
        Judged so many of so many images (pairs: trials) that count.
    """

    reader: str
    judged: int
    images: int

    def __str__(self) -> str:
        """``Anna: too few answers to count (1 of the 100 images that count)``."""
        return f"{self.reader}: too few answers to count ({self.judged} of the {self.images} images that count)"


@dataclass(frozen=True, slots=True)
class Unblinded:
    """A reader on whose computer the answer key was opened before all was answered.

    Attributes
    ----------
    at
        When it was first opened there, ISO 8601, UTC.
    after, answered, total
        Answers that were given there after that, of all that the reader has given, of all there are
        to give.
    """

    reader: str
    at: str
    after: int
    answered: int
    total: int

    def __str__(self) -> str:
        """``the answer key was opened on this computer on ... before Anna had finished: ...``."""
        given = f"{self.after} of {self.answered} answers were given after that"
        left = self.total - self.answered
        rest = (
            f", {left} are still to come, repeats and attention checks among them" if left else ""
        )
        return (
            f"the answer key was opened on the computer of {self.reader} on {minute(self.at)}, before "
            f"{self.reader} had finished: {given}{rest}"
        )


@dataclass(frozen=True)
class StudyReport:
    """Everything that a study found.

    Attributes
    ----------
    study
        The study, without its key.
    readers
        Name -> metrics of that reader.
    pooled
        Metrics over all readers.
    verdict, elsewhere
        What all readers together show, in words: of these readers and images, and of others.
    verdicts
        Name -> what that reader shows.
    not_counted
        Readers with too few answers, who are in none of the figures.
    sources
        By generator and folder.
    looked
        Images, most real-looking first.
    judged
        The answers behind all this, one :class:`~.judgements.Reader` each.
    openings
        Where and when the answer key was first opened, as far as this copy of the study knows.
    unblinded
        Readers on whose computer that was before they had finished.
    problems
        What was tampered with or damaged, one sentence each; empty if nothing.
    receipts
        Of every record.
    generators, conditions
        Generators compared, and this study with another of the same images; None where there is
        nothing to compare.
    """

    study: Study
    readers: Mapping[str, Report]
    pooled: Report
    verdict: Verdict
    elsewhere: Verdict
    verdicts: Mapping[str, Verdict]
    not_counted: tuple[TooFew, ...]
    sources: tuple[SourceRow, ...]
    looked: tuple[ImageRating, ...]
    judged: tuple[Reader, ...]
    openings: tuple[Opening, ...]
    unblinded: tuple[Unblinded, ...]
    problems: tuple[str, ...]
    receipts: tuple[Receipt, ...]
    generators: Comparison | None = None
    conditions: Comparison | None = None

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Those that there are."""
        return tuple(x for x in (self.conditions, self.generators) if x is not None)

    @property
    def intact(self) -> bool:
        """Whether images, key and all records are as they were written."""
        return not self.problems

    def convincing(self, most: int = 8) -> list[ImageRating]:
        """The generated images that fooled readers, most convincing first."""
        return [x for x in self.looked if not x.truth.real and x.fooled][:most]

    def doubted(self, most: int = 8) -> list[ImageRating]:
        """The real images that readers took for generated, most doubted first."""
        return [x for x in reversed(self.looked) if x.truth.real and x.fooled][:most]

    def compared(self) -> list[str]:
        """How conditions differ, a line for each two and what it holds for."""
        return [f"{one.figure}: {x}" for one in self.comparisons for x in one.differences]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "study": self.study.name,
            "mode": self.study.manifest.mode,
            "margin": self.study.manifest.margin,
            "intact": self.intact,
            "problems": list(self.problems),
            "pooled": self.pooled.to_dict()
            | {"verdict": _said(self.verdict), "verdict_elsewhere": _said(self.elsewhere)},
            "readers": {
                name: report.to_dict() | {"verdict": _said(self.verdicts[name])}
                for name, report in self.readers.items()
            },
            "min_answers": self.study.manifest.min_answers,
            "not_counted": [
                {"reader": x.reader, "judged": x.judged, "images": x.images}
                for x in self.not_counted
            ],
            "generators": self.generators and self.generators.to_dict(),
            "conditions": self.conditions and self.conditions.to_dict(),
            "sources": [
                {"source": x.source, "real": x.real, "right": x.right, "answers": x.answers}
                | {"accuracy": x.accuracy._asdict()}
                for x in self.sources
            ],
            "convincing": [_seen(x) for x in self.convincing()],
            "doubted": [_seen(x) for x in self.doubted()],
            "key_openings": [{"computer": x.machine, "at": x.at} for x in self.openings],
            "unblinded": [
                {"reader": x.reader, "key_opened": x.at, "answers_after": x.after}
                for x in self.unblinded
            ],
            "receipts": [
                {"reader": x.reader, "file": x.file, "receipt": x.receipt, "answers": x.answers}
                for x in self.receipts
            ],
        }

    def to_json(self) -> str:
        """Render :meth:`to_dict` as one JSON object."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def tables(self) -> list[Table]:
        """Rich tables: over all readers, then each; with the verdict, and who does not count."""
        apart = tuple(map(str, (*self.unblinded, *self.not_counted)))
        everyone = replace(
            self.pooled,
            notes=(
                f"{self.verdict} {self.elsewhere}",
                *apart,
                *self.compared(),
                *self.pooled.notes,
            ),
        )
        each = [
            replace(report, notes=(str(self.verdicts[name]), *report.notes))
            for name, report in self.readers.items()
        ]
        return [report.table() for report in (everyone, *each)]


def _said(verdict: Verdict) -> dict[str, str]:
    """``{"outcome": "undecided", "text": ...}``."""
    return {"outcome": verdict.outcome.name.lower(), "text": str(verdict)}


def _seen(one: ImageRating) -> dict[str, Any]:
    return {
        "image": one.image,
        "source": one.truth.source,
        "origin": one.truth.origin,
        "realness": one.realness,
        "fooled": one.fooled,
        "readers": one.readers,
    }


def tampering(study: Study) -> tuple[str, ...]:
    """Check all images against the manifest and all records against their hash chains.

    Returns
    -------
    One sentence for each image or record that is not as it was written.

    Raises
    ------
    StudyError
        If a record can't be read.
    """
    problems = []
    for name in study.manifest.images:
        try:
            study.image(name)
        except StudyError as error:
            problems.append(str(error))
    problems += [record.problem for record in study.records() if record.problem]
    problems += opening_problems(study.folder, study.start)
    return tuple(problems)


def report(
    study: Study,
    key: Path | None = None,
    *,
    against: tuple[Study, Path | None] | None = None,
    rounds: int = ROUNDS,
) -> StudyReport:
    """Work out all figures of a study.

    Parameters
    ----------
    key
        The answer key; None looks beside the study's folder.
    against
        Another study of the same images, read by the same readers under another condition, and its
        key: compared with this one.
    rounds
        Bootstrap resamples for the intervals over all readers.

    Raises
    ------
    StudyError
        If a key is missing or not its study's, nobody has answered yet, or the studies have too
        little in common to be compared.
    """
    opened = read_key(study.folder, key, study.manifest)
    everyone, notes, readers = _counted(study, opened)
    images = sum(item.kind == "study" for item in study.manifest.items)
    counted = {x.name for x in readers}
    short = tuple(
        TooFew(x.name, len(x.judgements), images) for x in everyone if x.name not in counted
    )
    problems = tampering(study)
    if not readers:
        why = "; ".join([*problems, *map(str, short)])
        msg = f"there are no answers to report of {study.name}{f': {why}' if why else ' yet'}"
        raise StudyError(msg)
    margin, pairs = study.manifest.margin, study.manifest.mode == "pairs"
    records = study.records()
    opened_at = openings(study.folder, study.start)
    unblinded = tuple(_unblinded(study, records, opened_at))
    pooled, elsewhere = _of_all(readers, margin, pairs=pairs, rounds=rounds)
    pooled = replace(pooled, notes=(*pooled.notes, *notes))
    conditions = None if against is None else _conditions(study, readers, *against)
    return StudyReport(
        study=study,
        readers={x.name: _of_reader(x, margin, pairs=pairs) for x in readers},
        pooled=pooled,
        verdict=_verdict(readers, margin, pairs=pairs),
        elsewhere=elsewhere,
        verdicts={x.name: _verdict([x], margin, pairs=pairs) for x in readers},
        not_counted=short,
        sources=_by_source(readers, opened),
        looked=tuple(rated_images(readers, opened)),
        judged=readers,
        openings=opened_at,
        unblinded=unblinded,
        problems=problems,
        receipts=tuple(
            Receipt(x.reader, x.path.name, x.chain.receipt, len(x.answers)) for x in records
        ),
        generators=compare.generators(readers, pairs=pairs),
        conditions=conditions,
    )


def _counted(
    study: Study, key: Key
) -> tuple[tuple[Reader, ...], tuple[str, ...], tuple[Reader, ...]]:
    """All readers, what is said of them, and those who have judged enough to count."""
    everyone, notes = judge(study, key)
    return everyone, notes, tuple(x for x in everyone if _enough(x, study, key))


def _conditions(
    study: Study, readers: Sequence[Reader], other: Study, other_key: Path | None
) -> Comparison:
    """Compare with another study."""
    modes = study.manifest.mode, other.manifest.mode
    if modes[0] != modes[1]:
        msg = f"{study.folder} shows {modes[0]}, {other.folder} {modes[1]}: they can't be compared"
        raise StudyError(msg)
    *_, theirs = _counted(other, read_key(other.folder, other_key, other.manifest))
    names = study.name, other.name
    if names[0] == names[1]:
        names = study.folder.name, other.folder.name
    if names[0] == names[1]:
        names = str(study.folder), str(other.folder)
    return compare.studies(names, (readers, theirs), pairs=modes[0] == "pairs")


def _unblinded(
    study: Study, records: Sequence[Record], opened: Sequence[Opening]
) -> Iterator[Unblinded]:
    """Readers who had not finished when the key was opened on their computer."""
    since = {opening.machine: opening.at for opening in opened}
    for standing in study.standings():
        code = reader_code(standing.reader)
        own = [x for x in records if x.reader and reader_code(x.reader) == code]
        times, after = [], 0
        for record in own:
            known = (since.get(machine_of(record.path)), record.key_opened)
            if (first := min((at for at in known if at), default=None)) is not None:
                times.append(first)
                after += sum(answer.at > first for answer in record.answers)
        if times and (after or not standing.finished):
            answered = sum(len(record.answers) for record in own)
            yield Unblinded(standing.reader, min(times), after, answered, study.trials)


def minute(at: str) -> str:
    """``2026-03-01T09:30:12.123+00:00`` as ``2026-03-01 at 09:30 UTC``."""
    return f"{at[:10]} at {at[11:16]} UTC"


def _enough(reader: Reader, study: Study, key: Key) -> bool:
    """Whether a reader has judged enough images to count."""
    items = [item for item in study.manifest.items if item.kind == "study"]
    least, judged = study.manifest.min_answers, len(reader.judgements)
    if study.manifest.mode == "pairs":  # a pair shows both kinds
        return judged >= max(1, min(2 * least, math.ceil(len(items) / 2)))
    n_real = sum(key.truth[item.images[0]].real for item in items)
    n_judged = judged - int(reader.signal.sum())
    kinds = (n_judged, n_real), (judged - n_judged, len(items) - n_real)
    return judged > 0 and all(n >= min(least, math.ceil(of / 2)) for n, of in kinds)


def _verdict(readers: Sequence[Reader], margin: float, *, pairs: bool) -> Verdict:
    right = sum(int(reader.right.sum()) for reader in readers)
    n = sum(len(reader.judgements) for reader in readers)
    tables = np.sum([reader.confusion for reader in readers], axis=0).tolist()
    return verdict(right, n, margin, None if pairs else tables)


def _of_reader(reader: Reader, margin: float, *, pairs: bool) -> Report:
    right, n = int(reader.right.sum()), len(reader.judgements)
    (hits, misses), (false, passed) = reader.confusion
    metrics = _against_chance(right, n, margin)
    metrics["fisher_p"] = Value(st.fisher_p(reader.confusion))
    names = ("right_if_left", "right_if_right") if pairs else ("sensitivity", "specificity")
    for name, k, of in zip(names, (hits, passed), (hits + misses, false + passed), strict=True):
        metrics[name] = Value(k / of, *st.wilson(k, of)) if of else Value(None)
    found = detection(hits, hits + misses, false, false + passed, pairs=pairs)
    metrics["d_prime"] = Value(*found[:3]) if found else Value(None)
    metrics["criterion"] = Value(*found[3:]) if found else Value(None)
    area = auc(reader.ratings, reader.signal)
    ends = () if area is None else auc_interval(area, hits + misses, false + passed)
    metrics["auc"] = Value(area, *ends)
    metrics |= _with_oneself([reader])
    metrics["time_median_s"] = _median(reader.times)
    failed = sum(not x.right for x in reader.controls)
    counts = {
        "n_images": n,
        "n_right": right,
        "n_missing": reader.missing,
        "n_repeats": len(reader.again),
        "n_controls": len(reader.controls),
        "n_controls_failed": failed,
        "n_zoomed": sum(x.zoomed for x in reader.judgements),
    }
    notes = []
    if reader.missing:
        notes.append(
            f"not finished: {reader.missing} answers are missing, those to repeats and attention checks among them"
        )
    if failed:
        notes.append(f"{failed} of {len(reader.controls)} attention checks failed")
    if not pairs and hits + misses != false + passed:
        notes.append(
            "unlike numbers of real and generated images: one answer throughout would beat 50 %, "
            "so read fisher_p instead of binomial_p"
        )
    return Report(reader.name, metrics, counts, tuple(notes))


def _against_chance(right: int, n: int, margin: float) -> dict[str, Value]:
    same = st.equivalence(right, n, margin)
    accuracy = right / n
    return {
        "accuracy": Value(accuracy, *st.wilson(right, n)),
        "accuracy_exact": Value(accuracy, *st.clopper_pearson(right, n)),
        "binomial_p": Value(st.binomial_p(right, n)),
        "accuracy_90": Value(accuracy, same.low, same.high),
        "equivalence_p": Value(same.p),
    }


def _with_oneself(readers: Sequence[Reader]) -> dict[str, Value]:
    """Agreement of first and second showings."""
    again = [pair for reader in readers for pair in reader.again]
    if not again:
        return {}
    # in a pair the sides are swapped the second time, so right answers are compared, not sides
    compared = [tuple(x.right if len(x.images) == 2 else x.said for x in pair) for pair in again]
    first, second = np.array(compared, bool).T
    same = int((first == second).sum())
    return {
        "repeat_agreement": Value(same / len(again), *st.clopper_pearson(same, len(again))),
        "repeat_kappa": Value(st.cohen_kappa(first, second)),
    }


def _median(times: np.ndarray) -> Value:
    return Value(float(np.median(times)), *(st.median_interval(times) or ()))


def _of_all(
    readers: Sequence[Reader], margin: float, *, pairs: bool, rounds: int
) -> tuple[Report, Verdict]:
    right = sum(int(reader.right.sum()) for reader in readers)
    n = sum(len(reader.judgements) for reader in readers)
    figures = pooled_figures(readers, pairs=pairs, rounds=rounds)
    spans = {name: with_interval(value, drawn) for name, (value, drawn) in figures.items()}
    alone = _against_chance(right, n, margin)
    metrics = {"accuracy": spans.pop("accuracy"), "accuracy_wilson": alone.pop("accuracy")}
    metrics |= alone
    low, high = np.quantile(figures["accuracy"][1], (0.05, 0.95))
    metrics["accuracy_90_readers"] = Value(figures["accuracy"][0], float(low), float(high))
    tables = np.sum([reader.confusion for reader in readers], axis=0)
    metrics["fisher_p"] = Value(st.fisher_p(tables.tolist()))
    if pairs:
        renamed = {"sensitivity": "right_if_left", "specificity": "right_if_right"}
        spans = {renamed.get(name, name): value for name, value in spans.items()}
    metrics |= spans
    whole = compare.everything(readers, pairs=pairs)
    if whole is not None and len(readers) > 1:
        found = single(whole, Holds.BOTH)
        metrics["accuracy_anova" if pairs else "auc_anova"] = found
    metrics |= _between(readers)
    metrics |= _with_oneself(readers)
    metrics["time_median_s"] = _median(np.concatenate([reader.times for reader in readers]))
    counts = {"n_readers": len(readers), "n_answers": n, "n_right": right}
    elsewhere = verdict_elsewhere(metrics["accuracy"], (float(low), float(high)), margin)
    return Report("All readers", metrics, counts, _cautions(readers)), elsewhere


def _between(readers: Sequence[Reader]) -> dict[str, Value]:
    """Fleiss' kappa over the images that all readers answered."""
    said = [
        {x.item.id: x.right if len(x.images) == 2 else x.said for x in reader.judgements}
        for reader in readers
    ]
    shared = sorted(set.intersection(*(set(own) for own in said)))
    votes = np.array([sum(own[item] for own in said) for item in shared], int)
    kappa = st.fleiss_kappa(np.stack([votes, len(readers) - votes], axis=1))
    if kappa is None:
        return {}
    return {"fleiss_kappa": Value(*kappa[:3]), "fleiss_p": Value(kappa.p)}


def _cautions(readers: Sequence[Reader]) -> tuple[str, ...]:
    """What must be known to read the figures of all readers together."""
    lines = [
        (
            "exact tests, and the intervals named Wilson, exact and 90, take all answers as "
            "independent; the others hold for other readers and images (bootstrap over both)"
        )
    ]
    if len(readers) < 5:
        people = "one reader" if len(readers) == 1 else f"{len(readers)} readers"
        lines.append(
            f"{people}: how readers differ is hardly known, so intervals may be too narrow"
        )
    return tuple(lines)


def _by_source(readers: Sequence[Reader], key: Key) -> tuple[SourceRow, ...]:
    right: dict[tuple[bool, str], list[bool]] = {}
    for reader in readers:
        for x in reader.judgements:
            for truth in {key.truth[name].source: key.truth[name] for name in x.images}.values():
                right.setdefault((truth.real, truth.source), []).append(x.right)
    return tuple(
        SourceRow(source, real, sum(answers), len(answers))
        for (real, source), answers in sorted(right.items())
    )
