"""Outlines and a model that disagree: which outlines are probably of another class than they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_pathogan.slides.geometry import Region


@dataclass(frozen=True)
class Doubt:
    """What a model says of an outline.

    Attributes
    ----------
    number
        Which of the outlines.
    class_name, counts_as
        Its class, and what that counts as.
    suggested
        What the model makes of it.
    against
        How likely the model finds it that the outline is not what it counts as, in the mean of its patches.
    patches, otherwise
        How many it has, and how many of them the model calls another class.
    place
        Where it lies, in level-0 pixels.
    """

    number: int
    class_name: str
    counts_as: str
    suggested: str
    against: float
    patches: int
    otherwise: int
    place: Region

    @property
    def disagrees(self) -> bool:
        """Whether the model makes something else of it."""
        return self.suggested != self.counts_as


@dataclass(frozen=True)
class AnnotationReview:
    """What a model says of all outlines of a slide.

    Attributes
    ----------
    doubts
        The outlines, those first that the model speaks most against.
    confusion
        (what was drawn, what the model says) -> patches.
    held_back
        Whether each outline was judged by a model that knows the others alone; else by the model as it is.
    """

    doubts: tuple[Doubt, ...]
    confusion: Mapping[tuple[str, str], int]
    held_back: bool

    def of(self, drawn: str, model: str) -> tuple[Doubt, ...]:
        """The outlines with patches of a cell of the confusion matrix, in their order."""
        return tuple(
            one
            for one in self.doubts
            if one.counts_as == drawn
            and (one.otherwise < one.patches if model == drawn else one.otherwise > 0)
        )

    @property
    def mislabelled(self) -> int:
        """How many outlines the model makes something else of."""
        return sum(doubt.disagrees for doubt in self.doubts)
