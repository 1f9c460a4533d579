"""Sentences of the mass docks: what a threshold means, how large a mass is."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from napari_pathogan.mammograms.mammogram import said_of
from napari_pathogan.tasks.masses.froc import Froc
from napari_pathogan.tasks.masses.review import Decision
from napari_pathogan.tasks.masses.together import together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.tasks.masses.detections import Detections
    from napari_pathogan.tasks.masses.review import Review

DEFAULT_THRESHOLD = 0.5
POSITIONS = 400  # of the threshold's slider
_LOGIT = 6.9  # of 0.999: where the slider ends, and of 0.001, where it begins


def from_slider(position: int) -> float:
    """The threshold of a slider's position: even steps of its logit, finer where scores are low."""
    return 1 / (1 + math.exp(-_LOGIT * (2 * position / POSITIONS - 1)))


def to_slider(threshold: float) -> int:
    """The position nearest to a threshold."""
    inside = min(max(threshold, from_slider(0)), from_slider(POSITIONS))
    return round(POSITIONS * (math.log(inside / (1 - inside)) / _LOGIT + 1) / 2)


def percent(share: float) -> str:
    """``87 %``, ``5.8 %``, ``0.35 %``."""
    digits = 0 if share >= 0.0995 else 1 if share >= 0.00995 else 2
    return f"{100 * share:.{digits}f} %"


def usual_threshold(card: ModelCard) -> float:
    """The operating point of a model."""
    return DEFAULT_THRESHOLD if card.operating_point is None else card.operating_point


def meaning(card: ModelCard, threshold: float) -> str:
    """What a threshold means on patients that the model had not seen, by its card's FROC curve."""
    try:
        curve = Froc.from_json(card.settings["froc"])
    except (KeyError, TypeError, ValueError):
        curve = None
    if curve is None or not len(curve.thresholds):  # it was not measured
        return "The card of this model does not say what its thresholds mean."
    found, false = curve.at(threshold)
    return f"Finds {100 * found:.0f} % of masses, with {false:.2f} false marks per image"


def size_text(found: Detections, index: int) -> str:
    """Longest diameter and the width across: ``14 x 11 mm``; px where nobody knows their size."""
    longest, across, unit = _size(found, index)
    return f"{longest:.0f} x {across:.0f} {unit}"


def _size(found: Detections, index: int) -> tuple[float, float, str]:
    sizes = found.sizes_mm()
    if sizes is not None:
        return float(sizes[index, 0]), float(sizes[index, 1]), "mm"
    x0, y0, x1, y1 = found.boxes[index].tolist()
    return max(x1 - x0, y1 - y0), min(x1 - x0, y1 - y0), "px"


def score_text(review: Review, index: int) -> str:
    """``87 %``; ``drawn`` where a reader has outlined it."""
    if review.decisions[index] is Decision.DRAWN:
        return "drawn"
    return percent(float(review.found.scores[index]))


def label_text(review: Review, index: int) -> str:
    """What stands above a mass in the image: ``87 %, 14 mm``."""
    if review.decisions[index] is Decision.REJECTED:
        return ""
    longest, _, unit = _size(review.found, index)
    return f"{score_text(review, index)}, {longest:.0f} {unit}"


def count_text(count: int) -> str:
    """``2 masses``."""
    return f"{count or 'No'} {'mass' if count == 1 else 'masses'}"


def meanings(
    reviews: Iterable[Review], colours: Mapping[Decision, str]
) -> Iterator[tuple[str, str, int]]:
    """Colour, decision and count of findings; decisions that nobody has made are left out."""
    counts = Counter(decision for review in reviews for decision in review.decisions)
    for decision, colour in colours.items():
        if counts[decision]:
            yield colour, str(decision), counts[decision]


def summary(examinations: Mapping[int, list[Review]], card: ModelCard | None = None) -> str:
    """How many masses there are in the views that were looked at, and what sizes mean.

    With the model's card also what the views of each breast say together, and what a model that
    finds nothing has missed elsewhere.

    Parameters
    ----------
    examinations
        By their numbers, each for itself: what is of several is never counted as one.
    """
    lines, silent = [], []
    for number, reviews in examinations.items():
        masses = [review.masses() for review in reviews]
        count = sum(len(found) for found in masses)
        views = "1 view" if len(reviews) == 1 else f"{len(reviews)} views"
        whose = f"Examination {number}: " if len(examinations) > 1 else ""
        lines.append(f"<b>{whose}{count_text(count)} in {views}</b>")
        if card is not None and (chances := together(masses, card.settings)) is not None:
            said = str(chances)
            lines.append(f"{said[0].upper()}{said[1:]}")
        silent += masses if not count else []
    every = [review for reviews in examinations.values() for review in reviews]
    if silent:
        lines += ["Other findings were not looked for", *_missed(silent)]
    of_sizes = [found for review in every if len(found := review.masses())]
    meanings = sorted({found.spacing for found in of_sizes if found.spacing})
    left = sum(review.decisions.count(Decision.OPEN) for review in every)
    sizes = f"Sizes in mm {' and '.join(map(said_of, meanings))}" if meanings else ""
    last = [sizes, f"{left} not decided yet" if left else ""]
    return "<br>".join(filter(None, [*lines, "; ".join(filter(None, last))]))


def _missed(silent: list[Detections]) -> Iterator[str]:
    """What a model that finds nothing in some views has missed elsewhere; of which view where that differs."""
    names: dict[str, list[str]] = {}
    for found in silent:
        names.setdefault(found.missed, []).append(found.name)
    for line, views in names.items():
        if line:
            yield line if len(names) == 1 else f"{', '.join(views)}: {line}"
    if len(names) > 1:
        yield (
            "Sizes were measured as shares of an image's longer side, which spans other mm in "
            "each of these images"
        )
