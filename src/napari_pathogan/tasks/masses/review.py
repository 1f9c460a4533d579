"""Findings under review: which are masses and which are not, and what a reader has drawn besides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.tasks.masses.froc import IOU, overlaps

if TYPE_CHECKING:
    from napari_pathogan.tasks.masses.detections import Detections

LEAST_MM, LEAST_PX = 2.0, 8.0  # across; less was drawn by a slip of the hand


class Decision(StrEnum):
    """What a reader says of a finding."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DRAWN = "drawn"


@dataclass(frozen=True, eq=False)
class Review:
    """What was found in a mammogram, and what a reader says of it; a change makes a new one.

    Attributes
    ----------
    found
        All findings, those drawn by hand too (their score is 1).
    decisions
        Of each finding.
    ids
        Of each finding a number that it keeps, whatever else is drawn or taken away.
    """

    found: Detections
    decisions: tuple[Decision, ...]
    ids: tuple[int, ...]

    @classmethod
    def of(cls, found: Detections) -> Review:
        """Begin with what a model has found: nothing is decided."""
        return cls(found, (Decision.OPEN,) * len(found), tuple(range(len(found))))

    def __len__(self) -> int:
        return len(self.found)

    def index(self, number: int) -> int | None:
        """Where the finding of a number is; None if it is gone."""
        return self.ids.index(number) if number in self.ids else None

    def decided(self, number: int, decision: Decision) -> Review:
        """Say of a finding that it is a mass or is none; what was drawn stays so unless rejected."""
        at = self.index(number)
        if at is None:
            return self
        if self.decisions[at] is Decision.DRAWN:
            return self.without(number) if decision is Decision.REJECTED else self
        decisions = list(self.decisions)
        decisions[at] = decision
        return replace(self, decisions=tuple(decisions))

    def with_drawn(self, contour: np.ndarray) -> Review:
        """Add a mass that a reader has outlined.

        Parameters
        ----------
        contour
            (K, 2) y, x in pixels, from the upper left corner of the image. It is cut at the
            image's border.
        """
        return _drawn(self, contour, max(self.ids, default=-1) + 1)

    def redrawn(self, number: int, contour: np.ndarray) -> Review:
        """Give a finding another outline; it counts as drawn from now on."""
        if self.index(number) is None:
            return self
        return _drawn(self.without(number), contour, number)

    def without(self, number: int) -> Review:
        """Take a finding away."""
        return self._take(np.array([own != number for own in self.ids], bool))

    def renewed(self, found: Detections) -> Review:
        """Take what another run has found; what the reader has decided stays.

        A new finding that overlaps a decided one (IoU > 0.5) is that one.
        """
        decided = self._take(np.array([d is not Decision.OPEN for d in self.decisions], bool))
        same = (overlaps(found.boxes, decided.found.boxes) > IOU).any(1)
        fresh = found.take(np.flatnonzero(~same))
        first = max(self.ids, default=-1) + 1
        return _joined(
            replace(
                found,
                boxes=np.concatenate([decided.found.boxes, fresh.boxes]),
                scores=np.concatenate([decided.found.scores, fresh.scores]),
                contours=decided.found.contours + fresh.contours,
            ),
            (*decided.decisions, *((Decision.OPEN,) * len(fresh))),
            (*decided.ids, *range(first, first + len(fresh))),
        )

    def at(self, threshold: float) -> Review:
        """What is decided, and what else scores at least so much."""
        shown = self._take(
            np.array(
                [
                    decision is not Decision.OPEN or score >= threshold
                    for decision, score in zip(self.decisions, self.found.scores, strict=True)
                ],
                bool,
            )
        )
        return replace(shown, found=replace(shown.found, threshold=threshold))

    def masses(self) -> Detections:
        """All that has not been rejected."""
        kept = np.array([d is not Decision.REJECTED for d in self.decisions], bool)
        return self.found.take(kept)

    def _take(self, which: np.ndarray) -> Review:
        chosen = np.flatnonzero(which)
        return Review(
            self.found.take(chosen),
            tuple(self.decisions[i] for i in chosen),
            tuple(self.ids[i] for i in chosen),
        )


def too_small(outline: np.ndarray, mm_per_px: tuple[float, float] | None) -> str:
    """Why an outline (K, 2), y, x in pixels, can't be meant as a mass, as half a sentence; or empty.

    Parameters
    ----------
    mm_per_px
        Size of a pixel (y, x); None where nobody knows.
    """
    across = float(np.max(np.ptp(outline, axis=0) * (1.0 if mm_per_px is None else mm_per_px)))
    limit, unit = (LEAST_PX, "px") if mm_per_px is None else (LEAST_MM, "mm")
    return f"{across:.1f} {unit} across, too small for a mass" if across < limit else ""


def least(mm_per_px: tuple[float, float] | None) -> str:
    """How large a mass has to be drawn: ``2 mm``."""
    return f"{LEAST_PX:g} px" if mm_per_px is None else f"{LEAST_MM:g} mm"


def _drawn(old: Review, contour: np.ndarray, number: int) -> Review:
    """Put an outline before all others, cut at the image's border."""
    inside = np.clip(contour, 0, old.found.shape).astype(np.float32)
    box = np.concatenate([inside.min(0)[::-1], inside.max(0)[::-1]])
    found = replace(
        old.found,
        boxes=np.concatenate([box[None], old.found.boxes]).astype(np.float32),
        scores=np.concatenate([np.ones(1, np.float32), old.found.scores]),
        contours=(inside, *old.found.contours),
    )
    return Review(found, (Decision.DRAWN, *old.decisions), (number, *old.ids))


def _joined(found: Detections, decisions: tuple[Decision, ...], ids: tuple[int, ...]) -> Review:
    """Put findings in order of their scores."""
    order = np.argsort(-found.scores, kind="stable")
    return Review(
        found.take(order), tuple(decisions[i] for i in order), tuple(ids[i] for i in order)
    )
