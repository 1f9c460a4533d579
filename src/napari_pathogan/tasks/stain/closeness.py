"""How close a method brings one slide to a style, and at what price: what the default is chosen by.

Measured on tiles of the slide's tissue before and after. The paper's distance between colour
histograms (:mod:`~napari_pathogan.colour.histograms`) looks at red, green and blue one by one; a picture that is close by
that and wrong to look at is not close, so four things count on top of it: structure that is lost;
colours that the style's pool does not have; haematoxylin and eosin that come out alike, since the
colours of one lightness are narrower than the pool's (a network that sees lightness alone does
that); and smudges, the colours that a network gives to some pixels and not to others of their kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_pathogan.colour.histograms import (
    correlation,
    euclidean,
    hellinger,
    histogram,
    structure,
)
from napari_pathogan.colour.lab import STAINED, optical_density, to_lab
from napari_pathogan.tasks.stain.finish import Tint

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAR = 3.0  # standard deviations from the pool's colours of the same lightness
# what each adds to the distance: of SSIM, of two shares, and of a Lab unit
_LOST, _FOREIGN, _FLAT, _SMUDGED = 1.0, 1.0, 0.3, 0.05
_PIXELS = 100_000  # more say nothing new


@dataclass(frozen=True, eq=False)
class Goal:
    """What a style looks like: mean colour histogram (3, 64) of its tissue, colours by lightness."""

    histogram: np.ndarray
    tint: Tint

    @classmethod
    def of(cls, images: Sequence[np.ndarray]) -> Self:
        """Measure images, uint8 (H, W, 3) each."""
        return cls(histogram(images), Tint.of(images))


@dataclass(frozen=True)
class Closeness:
    """How close tiles come to a style.

    Attributes
    ----------
    euclidean, correlation, hellinger
        Of the colour histograms of the tissue, as in :mod:`~napari_pathogan.colour.histograms`.
    ssim
        Of lightness, before and after.
    foreign
        Share of the tissue whose colour lies over 3 standard deviations from the pool's colours of
        that lightness.
    flat
        How much narrower than the pool's the colours of one lightness are: 0 not at all, 1 grey.
    smudges
        Lab units: mean distance from the method's own map of single pixels; 0 where it is one.
    """

    euclidean: float
    correlation: float
    hellinger: float
    ssim: float
    foreign: float
    flat: float
    smudges: float = 0.0

    @property
    def distance(self) -> float:
        """The one figure that methods are ranked by: the less, the better."""
        lost = _LOST * (1 - self.ssim) + _SMUDGED * self.smudges
        return self.euclidean + lost + _FOREIGN * self.foreign + _FLAT * self.flat


def closeness(
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
    goal: Goal,
    *,
    smudges: float = 0.0,
) -> Closeness:
    """Measure tiles of tissue, uint8 (H, W, 3), as they are and as a method makes them."""
    own = histogram(after)
    pairs = list(zip(before, after, strict=True))
    lab = to_lab(_tissue(after, before))
    made = Tint.measure(lab[:, 0], lab[:, 1:])
    return Closeness(
        euclidean(own, goal.histogram),
        correlation(own, goal.histogram),
        hellinger(own, goal.histogram),
        float(np.mean([structure(one, other) for one, other in pairs])),
        float((goal.tint.away(lab) > _FAR).mean()),
        goal.tint.narrower(made, lab[:, 0]),
        smudges,
    )


def _tissue(images: Sequence[np.ndarray], by: Sequence[np.ndarray]) -> np.ndarray:
    """Pixels (N, 3) of images where ``by`` has tissue, thinned out."""
    parts = [
        image[optical_density(other).max(-1) >= STAINED]
        for image, other in zip(images, by, strict=True)
    ]
    whole = np.concatenate(parts)
    return whole[:: max(1, len(whole) // _PIXELS)]
