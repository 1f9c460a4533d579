"""What a study found: per reader and over all, with intervals, tests, and whether it is untouched."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.engine.report import Report, Value
from napari_pathogan.errors import StudyError
from napari_pathogan.study import statistics as st
from napari_pathogan.study.detection import auc, auc_interval, detection
from napari_pathogan.study.judgements import Reader, Seen, judge, looks
from napari_pathogan.study.layout import read_key
from napari_pathogan.study.resampling import ROUNDS, pooled_figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.table import Table

    from napari_pathogan.study.layout import Key
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
    sources
        By generator and folder.
    looked
        Images, most real-looking first.
    judged
        The answers behind all this, one :class:`~.judgements.Reader` each.
    problems
        What was tampered with or damaged, one sentence each; empty if nothing.
    receipts
        Of every record.
    """

    study: Study
    readers: Mapping[str, Report]
    pooled: Report
    sources: tuple[SourceRow, ...]
    looked: tuple[Seen, ...]
    judged: tuple[Reader, ...]
    problems: tuple[str, ...]
    receipts: tuple[Receipt, ...]

    @property
    def intact(self) -> bool:
        """Whether images, key and all records are as they were written."""
        return not self.problems

    def convincing(self, most: int = 8) -> list[Seen]:
        """The generated images that fooled readers, most convincing first."""
        return [x for x in self.looked if not x.truth.real and x.fooled][:most]

    def doubted(self, most: int = 8) -> list[Seen]:
        """The real images that readers took for generated, most doubted first."""
        return [x for x in reversed(self.looked) if x.truth.real and x.fooled][:most]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "study": self.study.name,
            "mode": self.study.manifest.mode,
            "margin": self.study.manifest.margin,
            "intact": self.intact,
            "problems": list(self.problems),
            "pooled": self.pooled.to_dict(),
            "readers": {name: report.to_dict() for name, report in self.readers.items()},
            "sources": [
                {"source": x.source, "real": x.real, "right": x.right, "answers": x.answers}
                | {"accuracy": x.accuracy._asdict()}
                for x in self.sources
            ],
            "convincing": [_seen(x) for x in self.convincing()],
            "doubted": [_seen(x) for x in self.doubted()],
            "receipts": [
                {"reader": x.reader, "file": x.file, "receipt": x.receipt, "answers": x.answers}
                for x in self.receipts
            ],
        }

    def to_json(self) -> str:
        """Render :meth:`to_dict` as one JSON object."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def tables(self) -> list[Table]:
        """Rich tables: over all readers, then each."""
        return [self.pooled.table(), *(report.table() for report in self.readers.values())]


def _seen(one: Seen) -> dict[str, Any]:
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
    return tuple(problems)


def report(study: Study, key: Path | None = None, *, rounds: int = ROUNDS) -> StudyReport:
    """Work out all figures of a study.

    Parameters
    ----------
    key
        The answer key; None looks beside the study's folder.
    rounds
        Bootstrap resamples for the intervals over all readers.

    Raises
    ------
    StudyError
        If the key is missing or not this study's, or nobody has answered yet.
    """
    opened = read_key(study.folder, key, study.manifest)
    everyone, notes = judge(study, opened)
    readers = tuple(reader for reader in everyone if reader.judgements)
    problems = tampering(study)
    if not readers:
        why = f": {'; '.join(problems)}" if problems else " yet"
        msg = f"there are no answers to report of {study.name}{why}"
        raise StudyError(msg)
    margin, pairs = study.manifest.margin, study.manifest.mode == "pairs"
    records = study.records()
    return StudyReport(
        study=study,
        readers={x.name: _of_reader(x, margin, pairs=pairs) for x in readers},
        pooled=_of_all(readers, margin, notes, pairs=pairs, rounds=rounds),
        sources=_by_source(readers, opened),
        looked=tuple(looks(readers, opened)),
        judged=readers,
        problems=problems,
        receipts=tuple(
            Receipt(x.reader, x.path.name, x.chain.receipt, len(x.answers)) for x in records
        ),
    )


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
    notes = [verdict(right, n, margin)]
    if reader.missing:
        notes.append(f"not finished: {reader.missing} trials are not answered yet")
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


def verdict(right: int, n: int, margin: float) -> str:
    """What a number of right answers shows, in plain words; exact tests at 5 %."""
    p, same = st.binomial_p(right, n), st.equivalence(right, n, margin)
    if same.shown:
        how = "shown to be as good as guessing" + (", though not exactly" if p < 0.05 else "")
    elif p < 0.05:
        how = "better than guessing" if right > n / 2 else "worse than guessing: answers mixed up?"
    else:
        how = "not shown to differ from guessing, nor to equal it: too few answers to tell"
    tests = f"p {_p(p)}; equivalent within {_percent(0.5 - margin)} to {_percent(0.5 + margin)}: p {_p(same.p)}"
    return f"{right} of {n} right ({_percent(right / n)}): {how} ({tests})"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


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
    readers: Sequence[Reader], margin: float, notes: Sequence[str], *, pairs: bool, rounds: int
) -> Report:
    right = sum(int(reader.right.sum()) for reader in readers)
    n = sum(len(reader.judgements) for reader in readers)
    figures = pooled_figures(readers, pairs=pairs, rounds=rounds)
    spans = {name: _span(value, drawn) for name, (value, drawn) in figures.items()}
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
    metrics |= _between(readers)
    metrics |= _with_oneself(readers)
    metrics["time_median_s"] = _median(np.concatenate([reader.times for reader in readers]))
    counts = {"n_readers": len(readers), "n_answers": n, "n_right": right}
    said = [
        verdict(right, n, margin),
        *_cautions(readers, metrics["accuracy"], (float(low), float(high)), margin),
    ]
    return Report("All readers", metrics, counts, (*said, *notes))


def _span(value: float, drawn: np.ndarray) -> Value:
    return Value(value, *(float(x) for x in np.quantile(drawn, (0.025, 0.975))))


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


def _cautions(
    readers: Sequence[Reader], accuracy: Value, narrow: tuple[float, float], margin: float
) -> list[str]:
    """What must be known to read the figures of all readers together."""
    low, high = accuracy.low or 0.0, accuracy.high or 1.0
    differs = (
        "different from guessing" if low > 0.5 or high < 0.5 else "not shown to differ from it"
    )
    inside = 0.5 - margin < narrow[0] and narrow[1] < 0.5 + margin
    alike = "equivalent within the margin" if inside else "not shown equivalent within the margin"
    lines = [
        (
            f"for other readers and images: {_percent(low)} to {_percent(high)} right (95 %), "
            f"{differs}, {alike} (90 %: {_percent(narrow[0])} to {_percent(narrow[1])})"
        ),
        (
            "exact tests, and the intervals named Wilson, exact and 90, take all answers as "
            "independent; the others hold for other readers and images (bootstrap over both)"
        ),
    ]
    if len(readers) < 5:
        people = "one reader" if len(readers) == 1 else f"{len(readers)} readers"
        lines.append(
            f"{people}: how readers differ is hardly known, so intervals may be too narrow"
        )
    return lines


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
