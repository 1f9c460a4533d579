"""FROC: how many masses are found at how many false positives an image (the paper's Figure 4).

A mass is found if a box overlaps it with IoU > 0.5 (paper, section 3). Boxes are taken by falling
score; each takes the mass not found yet that it overlaps most, and a box that finds none is a false
positive, also where its mass had been found by a better one. Images without a mass count in the
denominator of the false positives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

IOU = 0.5


@dataclass(frozen=True, eq=False)
class Froc:
    """The curve: a point a threshold.

    Attributes
    ----------
    fppi, tpr
        float (K,), rising: false positives an image, and the share of the masses found, among
        boxes that score at least the threshold. The share is NaN where there is no mass.
    thresholds
        float (K,), falling: every score that occurs, the lowest too.
    """

    fppi: np.ndarray
    tpr: np.ndarray
    thresholds: np.ndarray

    def tpr_at(self, fppi: float) -> float:
        """The share found with no more than so many false positives an image.

        The curve is a staircase: between two points the lower holds, beyond the last one the last.
        """
        return self._point(np.searchsorted(self.fppi, fppi, "right"))[0]

    def threshold_at(self, fppi: float) -> float:
        """The lowest threshold with no more than so many false positives; infinite if none has."""
        allowed = int(np.searchsorted(self.fppi, fppi, "right"))
        return float(self.thresholds[allowed - 1]) if allowed else np.inf

    def at(self, threshold: float) -> tuple[float, float]:
        """(tpr, fppi) of the boxes that score at least so much."""
        return self._point(np.searchsorted(-self.thresholds, -threshold, "right"))

    def _point(self, points: np.intp) -> tuple[float, float]:
        """The last of the first so many points; where there is none, nothing is found."""
        if points:
            return float(self.tpr[points - 1]), float(self.fppi[points - 1])
        return 0.0, 0.0

    def thinned(self, points: int = 100) -> Froc:
        """The curve for a model card: all points where the share rises, and some between them."""
        count = len(self.tpr)
        rises = np.flatnonzero(np.diff(self.tpr, prepend=0.0) > 0)
        spread = np.linspace(0, count - 1, min(points, count)).round().astype(int)
        kept = np.union1d(rises, spread)
        return Froc(self.fppi[kept], self.tpr[kept], self.thresholds[kept])

    def to_json(self) -> dict[str, list[float]]:
        """Plain JSON, for a model card."""
        parts = {"fppi": self.fppi, "tpr": self.tpr, "thresholds": self.thresholds}
        return {name: values.tolist() for name, values in parts.items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Froc:
        """Read back what :meth:`to_json` gave; KeyError or ValueError if it is something else."""
        parts = [np.array(record[name], float) for name in ("fppi", "tpr", "thresholds")]
        return cls(*parts)


@dataclass(frozen=True, eq=False)
class Hits:
    """Every box of every image, judged.

    Attributes
    ----------
    scores, found, image
        (M,) by falling score: the score, whether it found a mass, and in which image it is.
    masses
        int (N,): masses of each image.
    """

    scores: np.ndarray
    found: np.ndarray
    image: np.ndarray
    masses: np.ndarray

    def curve(self, weights: np.ndarray | None = None) -> Froc:
        """The curve; ``weights`` (N,) say how often each image counts (once, if left out)."""
        if weights is None:
            weights = np.ones(len(self.masses))
        counts = weights[self.image]
        # boxes of one score are above or below a threshold together: the last of them has the sum
        last = np.flatnonzero(np.diff(self.scores, append=-np.inf))
        found = np.cumsum(counts * self.found)[last]
        wrong = np.cumsum(counts * ~self.found)[last]
        masses = float(weights @ self.masses)
        tpr = found / masses if masses else np.full(len(last), np.nan)
        return Froc(wrong / weights.sum(), tpr, self.scores[last])


def judge(
    found: Sequence[tuple[np.ndarray, np.ndarray]],
    truth: Sequence[np.ndarray],
    *,
    iou: float = IOU,
) -> Hits:
    """Judge every box, once for all thresholds: those above one don't depend on those below.

    Parameters
    ----------
    found
        Of each image boxes (n, 4), x0, y0, x1, y1, and scores (n,), in any order.
    truth
        Of each image the boxes (m, 4) of its masses; none on a normal image.
    iou
        A box finds a mass if their intersection over union is larger than this.

    Raises
    ------
    ValueError
        If a score is not a finite number, or the two do not belong together.
    """
    scores, hits, image = [], [], []
    for index, ((boxes, own), masses) in enumerate(zip(found, truth, strict=True)):
        own_scores = np.asarray(own, float)
        if not np.isfinite(own_scores).all():
            msg = "a score is no finite number, so boxes can't be put in order"
            raise ValueError(msg)
        order = np.argsort(-own_scores, kind="stable")
        hits.append(_greedy(overlaps(np.asarray(boxes)[order], masses), iou) >= 0)
        scores.append(own_scores[order])
        image.append(np.full(len(order), index))
    all_scores = np.concatenate([*scores, np.zeros(0)])
    order = np.argsort(-all_scores, kind="stable")
    return Hits(
        all_scores[order],
        np.concatenate([*hits, np.zeros(0, bool)])[order],
        np.concatenate([*image, np.zeros(0, int)])[order],
        np.array([len(masses) for masses in truth], int),
    )


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of each two boxes: (n, 4), (m, 4) -> float64 (n, m)."""
    first = np.asarray(boxes, np.float64).reshape(-1, 4)[:, None]
    second = np.asarray(others, np.float64).reshape(-1, 4)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    common = np.clip(sides, 0, None).prod(-1)
    areas = [(part[..., 2:] - part[..., :2]).prod(-1) for part in (first, second)]
    union = areas[0] + areas[1] - common
    ratio: np.ndarray = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return ratio


def masses_found(
    found: Sequence[tuple[np.ndarray, np.ndarray]],
    truth: Sequence[np.ndarray],
    threshold: float,
    *,
    iou: float = IOU,
) -> list[np.ndarray]:
    """Which masses of each image, bool (m,), boxes find that score at least so much; as :func:`judge`."""
    all_found = []
    for (boxes, scores), masses in zip(found, truth, strict=True):
        order = np.argsort(-np.asarray(scores, float), kind="stable")
        own = order[np.asarray(scores, float)[order] >= threshold]
        taken = _greedy(overlaps(np.asarray(boxes).reshape(-1, 4)[own], masses), iou)
        all_found.append(np.isin(np.arange(len(masses)), taken))
    return all_found


def _greedy(overlap: np.ndarray, iou: float) -> np.ndarray:
    """The mass that each box (n,), best first, finds for itself, or -1; ``overlap`` is (n, m)."""
    free = np.ones(overlap.shape[1], bool)
    hits = np.full(len(overlap), -1)
    for row in np.flatnonzero((overlap > iou).any(1)):
        own = np.where(free, overlap[row], 0)
        best = own.argmax()
        if own[best] > iou:
            free[best], hits[row] = False, best
    return hits
