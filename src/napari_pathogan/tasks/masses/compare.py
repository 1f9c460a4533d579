"""Arms beside each other, and beside the published figures: the paper's Table 1."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_pathogan.engine.folds import patient_resamples
from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.engine.report import Value, with_interval
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.masses.scored import SCORED, Scored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

ROUNDS = 1000
POINTS = (0.5, 0.8, 1.0)  # false positives an image that the table gives


class Published(NamedTuple):
    """A row of the paper's Table 1: (TPR, its +-, FPPI) each, and seconds an image."""

    method: str
    points: tuple[tuple[float, float | None, float], ...]
    seconds: float


PUBLISHED = (
    Published("Kozegar et al. 2013", ((0.65, None, 1.1), (0.87, None, 3.67)), 108),
    Published("Dhungel et al. 2015", ((0.87, 0.14, 0.8), (0.96, 0.03, 1.2)), 20),
    Published("Dhungel et al. 2017", ((0.90, 0.02, 1.3), (0.95, 0.02, 5.0)), 39),
    Published("Jung et al. 2018", ((0.88, 0.07, 0.5), (0.91, 0.07, 1.3)), 1.8),
    Published("The paper, blending", ((0.91, 0.07, 0.5), (0.94, 0.07, 0.8)), 0.5),
)


@dataclass(frozen=True, eq=False)
class Arm:
    """What one way of training has found, out of fold.

    Attributes
    ----------
    name
        As it is shown.
    scored
        All images, each by a detector that did not know its patient.
    folds
        The same, fold by fold; none where they were not kept.
    """

    name: str
    scored: Scored
    folds: tuple[Scored, ...] = ()

    @classmethod
    def read(cls, run: Path, name: str = "") -> Arm:
        """Read a run's folder, or a file of scored masses; named as its arm or its folder.

        Raises
        ------
        DataFolderError
            If there is nothing scored in it, or no mass.
        """
        scored = Scored.read(run)
        if not scored.hits.masses.any():
            msg = f"{run} has no image with a mass: there is no curve to draw"
            raise DataFolderError(msg)
        parts = sorted(run.glob(f"folds/*/{SCORED}")) if run.is_dir() else []
        return cls(name or _arm_of(run), scored, tuple(Scored.read(part) for part in parts))

    def tpr_at(self, fppi: float, weights: np.ndarray | None = None) -> float:
        """Share of masses found at so many false positives an image; ``weights`` as of a curve."""
        return self.scored.hits.curve(weights).tpr_at(fppi)

    def tpr(self, fppi: float, rounds: int = ROUNDS) -> Value:
        """The same with its 95 % interval over patients."""
        return _interval(lambda weights: self.tpr_at(fppi, weights), self.resamples(rounds))

    def fold_tpr(self, fppi: float) -> tuple[float, float] | None:
        """Mean and standard deviation over the folds, as the paper gives them; None without."""
        each = [part.hits.curve().tpr_at(fppi) for part in self.folds if part.hits.masses.any()]
        return (float(np.mean(each)), float(np.std(each, ddof=1))) if len(each) > 1 else None

    def resamples(self, rounds: int) -> Iterator[np.ndarray]:
        """How often each image counts, in resamples of the patients that have a mass."""
        masses = self.scored.hits.masses
        draws = patient_resamples(self.scored.patients, rounds)
        return (weights for weights in draws if weights @ masses)


def difference(arm: Arm, other: Arm, fppi: float, rounds: int = ROUNDS) -> Value:
    """How much larger the share found is than another arm's, with its 95 % interval.

    Both are resampled with the same patients, so that what is hard for both does not blur it.

    Raises
    ------
    DataFolderError
        If the arms are not of the same images.
    """
    if not _same(arm.scored.files.tolist(), other.scored.files.tolist()):
        msg = f"{arm.name} and {other.name} are not of the same images, so they can't be compared"
        raise DataFolderError(msg)

    return _interval(
        lambda weights: arm.tpr_at(fppi, weights) - other.tpr_at(fppi, weights),
        arm.resamples(rounds),
    )


def _same(files: list[str], others: list[str]) -> bool:
    """Whether these are the same images; those of older runs have names, not pseudonyms."""
    return len(files) == len(others) and all(
        others[i] in {name, pseudonym(name)} or name == pseudonym(others[i])
        for i, name in enumerate(files)
    )


def table(arms: Sequence[Arm], rounds: int = ROUNDS) -> str:
    """Table 1 as Markdown: the arms with intervals, and their folds as the paper has them."""
    head = "".join(f" TPR at {fppi:g} FPPI |" for fppi in POINTS)
    lines = [f"| arm, out of fold |{head} mean of the folds |", "|---" * (len(POINTS) + 2) + "|"]
    for arm in arms:
        values = "".join(f" {_short(arm.tpr(fppi, rounds))} |" for fppi in POINTS)
        each = [
            f"{mean:.2f} +- {spread:.2f} @ {fppi:g}"
            for fppi in POINTS[:2]
            if (folds := arm.fold_tpr(fppi)) is not None
            for mean, spread in [folds]
        ]
        lines.append(f"| {arm.name} |{values} {', '.join(each) or 'not kept'} |")
    lines += ["", "| published (Table 1 of the paper) | TPR @ FPPI | an image |", "|---|---|---|"]
    for row in PUBLISHED:
        points = ", ".join(
            f"{tpr:.2f}{'' if spread is None else f' +- {spread:.2f}'} @ {fppi:g}"
            for tpr, spread, fppi in row.points
        )
        lines.append(f"| {row.method} | {points} | {row.seconds:g} s |")
    return "\n".join(lines)


def differences(arms: Sequence[Arm], rounds: int = ROUNDS) -> str:
    """Each arm against the first, as Markdown."""
    first, *others = arms
    head = "".join(f" at {fppi:g} FPPI |" for fppi in POINTS)
    lines = [f"| TPR less that of {first.name} |{head}", "|---" * (len(POINTS) + 1) + "|"]
    for arm in others:
        each = (difference(arm, first, fppi, rounds) for fppi in POINTS)
        values = "".join(
            f" {value.value:+.3f} ({value.low:+.3f} to {value.high:+.3f}) |" for value in each
        )
        lines.append(f"| {arm.name} |{values}")
    return "\n".join(lines)


def _interval(
    figure: Callable[[np.ndarray | None], float], resamples: Iterable[np.ndarray]
) -> Value:
    """A figure with its 95 % percentile interval."""
    return with_interval(figure(None), (figure(weights) for weights in resamples))


def _short(value: Value) -> str:
    return str(value).replace("0.", ".")


def _arm_of(run: Path) -> str:
    """The arm that a run's settings name, else what the run is called."""
    config = run / "config.json"
    if config.is_file():
        arm = json.loads(config.read_text(encoding="utf-8")).get("arm")
        if arm:
            return str(arm)
    return run.resolve().name if run.is_dir() else run.stem
