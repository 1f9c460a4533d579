"""How good a classifier is on patients, and whether one is better than another: Tables 2 to 5."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from napari_pathogan.engine.folds import patient_resamples
from napari_pathogan.engine.ranking import auc
from napari_pathogan.engine.report import Report, Value, with_interval, with_intervals
from napari_pathogan.errors import DataFolderError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_pathogan.tasks.virtual_stain.g2c.data import ClassFolder

ROUNDS = 1000
Figures = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class Scored:
    """What a model says of labelled images.

    Attributes
    ----------
    labels, patients
        int (N,), and str (N,).
    logits
        (N, C).
    classes
        Their names; F1 and AUC of two are of the last one.
    training
        (C,): share of its training images of each class that it is right of; None if not known.
    rounds
        Resamples of the patients for the intervals.
    """

    labels: np.ndarray
    patients: np.ndarray
    logits: np.ndarray
    classes: tuple[str, ...]
    training: np.ndarray | None = None
    rounds: int = ROUNDS

    @classmethod
    def of(
        cls, images: ClassFolder, logits: np.ndarray, training: np.ndarray | None = None
    ) -> Scored:
        """Of a folder's images."""
        return cls(images.labels, images.patients, logits, images.classes, training)

    @property
    def called(self) -> np.ndarray:
        """(N,): the class that each is called, the likeliest."""
        called: np.ndarray = self.logits.argmax(1)
        return called

    def take(self, which: np.ndarray) -> Scored:
        """The images that a mask (N,) picks."""
        return replace(
            self,
            labels=self.labels[which],
            patients=self.patients[which],
            logits=self.logits[which],
        )

    def figures(self, weights: np.ndarray | None = None) -> Figures:
        """Accuracies, F1 and AUC, each image counting as often as ``weights`` (N,) say."""
        weights = np.ones(len(self.labels)) if weights is None else weights
        n = len(self.classes)
        counts = np.bincount(self.labels * n + self.called, weights, n * n).reshape(n, n)
        right, true, called = counts.diagonal(), counts.sum(1), counts.sum(0)
        recall = [_ratio(a, b) for a, b in zip(right, true, strict=True)]
        f1 = [_ratio(2 * a, b + c) for a, b, c in zip(right, true, called, strict=True)]
        return {
            **{f"accuracy_{name}": one for name, one in zip(self.classes, recall, strict=True)},
            "balanced_accuracy": _mean(recall),
            "accuracy": _ratio(right.sum(), counts.sum()),
            "f1": f1[-1] if n == 2 else _mean(f1),
            "auc": _auc(self.labels, self.logits, weights),
        }

    @cached_property
    def drawn(self) -> list[Figures]:
        """Figures in resamples of the patients; none of one patient."""
        if len(np.unique(self.patients)) < 2:
            return []
        return [self.figures(one) for one in patient_resamples(self.patients, self.rounds)]

    def by_patient(self) -> np.ndarray:
        """Each patient's accuracy, patients sorted."""
        _, who = np.unique(self.patients, return_inverse=True)
        right = (self.called == self.labels).astype(float)
        shares: np.ndarray = np.bincount(who, right) / np.bincount(who)
        return shares


def report(scored: Scored, *, title: str, notes: Sequence[str] = ()) -> Report:
    """The figures with 95 % intervals over patients, and the gap between training and testing.

    Raises
    ------
    DataFolderError
        If there are no images.
    """
    if not len(scored.labels):
        msg = f"{title}: there is no image to measure on"
        raise DataFolderError(msg)
    metrics = with_intervals(scored.figures(), scored.drawn)
    if scored.training is not None:
        training, tested = float(scored.training.mean()), metrics["balanced_accuracy"].value
        metrics["training_balanced_accuracy"] = Value(training)
        metrics["gap"] = Value(None if tested is None else training - tested)
    each = scored.by_patient()
    metrics["accuracy_patient_mean"] = Value(float(each.mean()))
    counts = {"n_images": len(scored.labels), "n_patients": len(each)}
    named = zip(
        scored.classes, np.bincount(scored.labels, minlength=len(scored.classes)), strict=True
    )
    counts |= {f"n_{name}": int(count) for name, count in named}
    more = () if len(each) > 1 else ("one patient: no intervals over patients can be given",)
    return Report(title, metrics, counts, (*notes, *more))


def gain(one: Scored, other: Scored) -> dict[str, Value]:
    """How much better one is than another on the same images.

    Both are resampled with the same patients for the intervals. ``patient_p`` is of Student's
    paired t-test on the patients' accuracies, as in section 4.2.

    Raises
    ------
    DataFolderError
        If they are not of the same images.
    """
    same = len(one.labels) == len(other.labels) and one.classes == other.classes
    if not (same and (one.labels == other.labels).all() and (one.patients == other.patients).all()):
        msg = "the two are not of the same images and classes, so they can't be compared"
        raise DataFolderError(msg)
    whole, pairs = (one.figures(), other.figures()), (one.drawn, other.drawn)
    metrics = {}
    for name in ("balanced_accuracy", "f1", "auc"):
        drawn = [_less(a[name], b[name]) for a, b in zip(*pairs, strict=True)]
        value = _less(whole[0][name], whole[1][name])
        metrics[f"{name}_gain"] = with_interval(value, drawn)
    each = one.by_patient() - other.by_patient()
    metrics["accuracy_patient_mean_gain"] = Value(float(each.mean()))
    tested = len(each) > 1 and each.std() > 0
    metrics["patient_p"] = Value(float(stats.ttest_1samp(each, 0).pvalue) if tested else None)
    return metrics


def after_first_level(scored: Scored, right: np.ndarray) -> dict[str, Value]:
    """The second level's figures on what the first level had right, and with its errors as errors.

    Parameters
    ----------
    right
        bool (N,): whether the first level was right of each image. The paper counts only those
        (``given_...``); ``through_...`` counts the others as wrong. What :func:`report` gives is
        neither: the second level by itself, on all.
    """
    metrics: dict[str, Value] = {}
    names = [*(f"accuracy_{name}" for name in scored.classes), "balanced_accuracy"]
    if right.any():
        conditional = report(scored.take(right), title="").metrics
        metrics |= {f"given_{name}": conditional[name] for name in (*names, "f1", "auc")}
    n = len(scored.classes)
    missed = np.pad(scored.logits, ((0, 0), (0, 1)), constant_values=-np.inf)
    missed[~right] = [*[-np.inf] * n, 0.0]  # called none of them
    through = _Through(scored.labels, scored.patients, missed, (*scored.classes, "missed"))
    every = with_intervals(through.figures(), through.drawn)
    metrics |= {f"through_{name}": value for name, value in every.items() if name in names}
    return metrics


class _Through(Scored):
    """Scored with a last class that no image is of: missed at the first level."""

    def figures(self, weights: np.ndarray | None = None) -> Figures:
        """Accuracies of the true classes alone."""
        weights = np.ones(len(self.labels)) if weights is None else weights
        right = (self.called == self.labels) * weights
        recall = {
            f"accuracy_{name}": _ratio(
                right[self.labels == k].sum(), weights[self.labels == k].sum()
            )
            for k, name in enumerate(self.classes[:-1])
        }
        return {**recall, "balanced_accuracy": _mean(list(recall.values()))}


def table(arms: Mapping[str, Report], classes: Sequence[str], source: str) -> str:
    """The arms as Markdown, in the form of Tables 2 to 5, percentages with 95 % intervals."""
    rows = {f"{source}_{name}".upper(): one for name, one in arms.items()}
    accuracies = [f"accuracy_{name}" for name in classes]
    parts = (
        ((*classes, "Avg"), (*accuracies, "balanced_accuracy")),
        (
            ("Training", "Testing", "Gap"),
            ("training_balanced_accuracy", "balanced_accuracy", "gap"),
        ),
        (("F1", "Acc", "AUC"), ("f1", "balanced_accuracy", "auc")),
    )
    lines: list[str] = []
    for head, names in parts:
        lines += [f"| arm | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
        for name, one in rows.items():
            cells = (percent(one.metrics.get(metric, Value(None))) for metric in names)
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def gains(compared: Mapping[str, Mapping[str, Value]], source: str) -> str:
    """Each arm less the source alone, as Markdown, in percentage points; p as it is."""
    names = ("balanced_accuracy_gain", "f1_gain", "auc_gain", "patient_p")
    lines = [
        f"| less {source.upper()}_SOURCE | Acc | F1 | AUC | p, patients |",
        "|---" * 5 + "|",
    ]
    for arm, metrics in compared.items():
        cells = [percent(metrics[name], sign="+") for name in names[:-1]]
        p = metrics["patient_p"].value
        cells.append("not defined" if p is None else f"{p:.3f}")
        lines.append(f"| {f'{source}_{arm}'.upper()} | {' | '.join(cells)} |")
    return "\n".join((*lines, ""))


def percent(value: Value, sign: str = "") -> str:
    """``87.5 (81.2 to 92.0)``."""
    if value.value is None:
        return "not defined"
    text = f"{100 * value.value:{sign}.1f}"
    if value.low is not None and value.high is not None:
        text += f" ({100 * value.low:{sign}.1f} to {100 * value.high:{sign}.1f})"
    return text


def _auc(labels: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> float | None:
    """Of the last of two classes; of more, the mean of each against the likeliest other."""
    last = logits.shape[1] - 1
    kinds = range(last if last == 1 else 0, last + 1)
    margins = (logits[:, kind] - np.delete(logits, kind, 1).max(1) for kind in kinds)
    return _mean(
        [auc(labels == kind, one, weights) for kind, one in zip(kinds, margins, strict=True)]
    )


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
