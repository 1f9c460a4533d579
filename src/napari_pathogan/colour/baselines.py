"""What the paper is compared with: Macenko's stain vectors, Reinhard's Lab statistics.

Both are fitted on the tissue of a slide or of a pool of images, once; a fitted slide and a fitted
target make one map of colours that is then the same for every tile. (Fitted tile by tile they
fail on white tiles and leave seams.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_pathogan.colour.lab import GLASS, STAINED, optical_density, to_lab, to_rgb
from napari_pathogan.errors import NoTissueError, PathoganError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST_GAIN = 1.5  # of a spread, of lightness or colour
LIMIT, _KNEE = 2.0, 1.25  # spreads from the target's mean: no colour beyond; drawn in from there
_EXTREME = 1.0  # percentile of the angles that counts as pure stain
_FULL = 99.0  # percentile of a concentration that counts as full
_ENOUGH = 100  # pixels of tissue: fewer say nothing
_MOST = 500_000  # pixels: more say nothing new
_APART = 0.12  # radians between two stains: less, and it is one stain (grey, or a single dye)


class StainFitError(PathoganError, ValueError):
    """A slide has no two stains that could be told apart."""


@dataclass(frozen=True, eq=False)
class Macenko:
    """The two stains of an H&E slide and how much of them there is (Macenko et al. 2009).

    Attributes
    ----------
    vectors
        (2, 3) unit optical densities: haematoxylin, eosin.
    full
        (2,) the 99th percentile of each concentration.
    """

    vectors: np.ndarray
    full: np.ndarray

    @classmethod
    def fit(cls, pixels: np.ndarray) -> Self:
        """Find the stains of uint8 RGB pixels (..., 3); glass among them is left out.

        Raises
        ------
        NoTissueError
            If under 100 pixels are stained.
        StainFitError
            If they hold no two stains: a grey image, or one dye alone.
        """
        density = optical_density(_sample(pixels))
        stained = density[(density >= STAINED).all(1)]
        if len(stained) < _ENOUGH:
            raise NoTissueError(_NO_TISSUE)
        _, axes = np.linalg.eigh(np.cov(stained.T))
        plane = axes[:, :0:-1]  # the two axes of most variance
        plane = plane * np.where(plane[0] < 0, -1, 1)
        angle = np.arctan2(*(stained @ plane).T[::-1])
        low, high = np.percentile(angle, [_EXTREME, 100 - _EXTREME])
        if high - low < _APART:
            raise StainFitError(
                "only one stain was found (a grey image, or a single dye): Macenko needs two; "
                "choose Reinhard, or a region with haematoxylin and eosin"
            )
        ends = np.stack([plane @ (np.cos(a), np.sin(a)) for a in (low, high)])
        ends = ends * np.sign(ends.sum(1, keepdims=True))
        vectors = ends[np.argsort(-ends[:, 0])]  # haematoxylin absorbs more red
        found = cls(vectors, np.ones(2))
        amount = found.concentrations_of(density)
        full = np.percentile(amount[(density >= STAINED).all(1)], _FULL, axis=0)
        return cls(vectors, np.maximum(full, 1e-3))

    @classmethod
    def middle(cls, parts: Iterable[np.ndarray]) -> Self:
        """The stains in the middle of several slides, whose pixels are uint8 (..., 3) each.

        Fitted to all pixels at once, one slide with pigment or of another hue tilts both stains.

        Raises
        ------
        NoTissueError, StainFitError
            If none of them has two stains.
        """
        found, why = [], None
        for pixels in parts:
            try:
                found.append(cls.fit(pixels))
            except (NoTissueError, StainFitError) as error:
                why = error
        if not found:
            raise why or NoTissueError(_NO_TISSUE)
        vectors = np.median([one.vectors for one in found], 0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return cls(vectors, np.median([one.full for one in found], 0))

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """From :meth:`to_json`."""
        return cls(np.array(record["vectors"]), np.array(record["full"]))

    def to_json(self) -> dict[str, Any]:
        """As plain lists, for a model card."""
        return {"vectors": self.vectors.round(6).tolist(), "full": self.full.round(6).tolist()}

    def concentrations(self, image: np.ndarray) -> np.ndarray:
        """Haematoxylin and eosin of uint8 RGB (..., 3) -> float32 (..., 2), 1 where it is full."""
        amount = self.concentrations_of(optical_density(image)) / self.full
        return np.asarray(amount, np.float32)

    def concentrations_of(self, density: np.ndarray) -> np.ndarray:
        """Least-squares amounts (..., 2) of the two stains in optical densities (..., 3)."""
        return np.asarray(density @ np.linalg.pinv(self.vectors))

    def map_to(self, target: Macenko) -> Callable[[np.ndarray], np.ndarray]:
        """The map of colours to a target's stains: uint8 (..., 3) -> uint8 (..., 3)."""
        gain = np.linalg.pinv(self.vectors) * (target.full / self.full) @ target.vectors
        matrix = gain.astype(np.float32)

        def recolour(image: np.ndarray) -> np.ndarray:
            light = GLASS * np.exp(-(optical_density(image) @ matrix))
            return np.asarray(np.clip(light, 0, 255), np.uint8)

        return recolour


@dataclass(frozen=True, eq=False)
class Reinhard:
    """Mean (3,) and standard deviation (3,) of the tissue in CIE Lab (Reinhard et al. 2001)."""

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(cls, pixels: np.ndarray) -> Self:
        """Measure uint8 RGB pixels (..., 3); glass among them is left out.

        Raises
        ------
        NoTissueError
            If under 100 pixels are stained.
        """
        flat = _sample(pixels)
        stained = flat[optical_density(flat).max(1) >= STAINED]
        if len(stained) < _ENOUGH:
            raise NoTissueError(_NO_TISSUE)
        lab = to_lab(stained)
        return cls(lab.mean(0), np.maximum(lab.std(0), 1e-3))

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """From :meth:`to_json`."""
        return cls(np.array(record["mean"]), np.array(record["spread"]))

    def to_json(self) -> dict[str, Any]:
        """As plain lists, for a model card."""
        return {"mean": self.mean.round(4).tolist(), "spread": self.spread.round(4).tolist()}

    def distance(self, other: Reinhard) -> float:
        """How far two slides' colours lie apart: Euclidean, of means and spreads, in Lab units."""
        return float(np.linalg.norm([self.mean - other.mean, self.spread - other.spread]))

    def map_to(self, target: Reinhard) -> Callable[[np.ndarray], np.ndarray]:
        """The map of colours to a target's statistics: uint8 (..., 3) -> uint8 (..., 3).

        Spreads grow at most :data:`MOST_GAIN` times: on pale slides more would turn noise and the
        faint hues of collagen into glaring colours. Colours stay within the target's: what would
        lie over 1.25 spreads from its mean is drawn in, to two at most, so that no pixel gets a
        hue (teal, orange) that the target's laboratory does not have. Glass stays glass: the map
        fades out towards white, where no tissue was measured.
        """
        gain = np.minimum(target.spread / self.spread, MOST_GAIN).astype(np.float32)

        def recolour(image: np.ndarray) -> np.ndarray:
            lab = to_lab(image)
            moved = (lab - self.mean) * gain
            moved[..., 1:] = _drawn_in(moved[..., 1:], target.spread[1:])
            moved += target.mean
            stained = np.clip(optical_density(image).max(-1, keepdims=True) / STAINED, 0, 1)
            return to_rgb(lab + stained * (moved - lab))

        return recolour


def _drawn_in(values: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Values about 0 as they are up to a knee, in spreads, and smoothly below a limit beyond."""
    room = LIMIT - _KNEE
    size = np.abs(values) / spread
    bent = _KNEE + room * (1 - np.exp(-np.maximum(size - _KNEE, 0) / room))
    return np.asarray(np.sign(values) * spread * np.where(size > _KNEE, bent, size))


def _sample(pixels: np.ndarray) -> np.ndarray:
    flat = np.asarray(pixels, np.uint8).reshape(-1, 3)
    return flat[:: max(1, len(flat) // _MOST)]


_NO_TISSUE = "no tissue there, so its stains can't be measured; choose a region with tissue"
