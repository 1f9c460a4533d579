"""What is done to the network's colours: each slide's, at each lightness, towards the pool's.

A network that has learned for some hundred steps paints paler than its pool, and does so on one
slide more than on another. At each lightness, the mean and the spread of a slide's colours are
brought towards those of the pool's: by curves, one set for the whole slide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_pathogan.colour.lab import STAINED, lightness, optical_density, to_lab
from napari_pathogan.tasks.stain.light import BLUR_PX, LightCurve

if TYPE_CHECKING:
    from collections.abc import Sequence

KNOTS = np.linspace(15, 95, 17)  # lightness
_SPAN = 5.0  # standard deviation of lightness that a knot sees
_PRIOR = 200.0  # pixels of the overall mean and spread at each knot, where hardly any are
_MOST_GAIN = 1.5  # more would amplify noise
_SHARE = 0.6  # how far the curves go
_MOST = 100_000  # pixels: more say nothing new


@dataclass(frozen=True, eq=False)
class Tint:
    """Mean and spread of a and b of Lab at each of 17 lightnesses, (17, 2) each, of tissue."""

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def measure(cls, light: np.ndarray, colour: np.ndarray) -> Self:
        """Measure pixels: lightness (N,), 0 to 100, and their a and b (N, 2)."""
        thin = slice(None, None, max(1, len(light) // _MOST))
        light, colour = light[thin], colour[thin]
        overall, varying = colour.mean(0), colour.var(0)
        means, spreads = [], []
        for knot in KNOTS:
            weight = np.exp(-0.5 * ((light - knot) / _SPAN) ** 2)
            count = weight.sum() + _PRIOR
            mean = (weight @ colour + _PRIOR * overall) / count
            variance = (weight @ (colour - mean) ** 2 + _PRIOR * varying) / count
            means.append(mean)
            spreads.append(np.sqrt(variance))
        return cls(np.array(means), np.maximum(spreads, 1e-3))

    @classmethod
    def of(cls, images: Sequence[np.ndarray]) -> Self:
        """Measure the tissue of images, uint8 (..., 3) each."""
        lab = to_lab(np.concatenate([_stained(image, image) for image in images]))
        return cls.measure(lab[:, 0], lab[:, 1:])

    def away(self, lab: np.ndarray) -> np.ndarray:
        """How far colours, Lab (N, 3), lie from these at their lightness: (N,), in spreads."""
        parts = [
            (lab[:, c + 1] - np.interp(lab[:, 0], KNOTS, self.mean[:, c]))
            / np.interp(lab[:, 0], KNOTS, self.spread[:, c])
            for c in range(2)
        ]
        return np.asarray(np.hypot(*parts))

    def typical(self, light: np.ndarray) -> np.ndarray:
        """The mean a and b at lightnesses (...): float64 (..., 2)."""
        return np.stack([np.interp(light, KNOTS, self.mean[:, c]) for c in range(2)], -1)

    def narrower(self, other: Tint, light: np.ndarray) -> float:
        """How much narrower another's colours are, at lightnesses (N,): 0 not at all, 1 all grey."""
        share = [
            np.interp(light, KNOTS, np.minimum(other.spread[:, c] / self.spread[:, c], 1))
            for c in range(2)
        ]
        return float(1 - np.mean(share))

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """From :meth:`to_json`."""
        return cls(np.array(record["mean"]), np.array(record["spread"]))

    def to_json(self) -> dict[str, Any]:
        """As plain lists, for a model card."""
        return {"mean": self.mean.round(3).tolist(), "spread": self.spread.round(3).tolist()}


@dataclass(frozen=True, eq=False)
class Finish:
    """The last touch for one slide: lightness and colours towards a pool's.

    Attributes
    ----------
    light
        The curve of lightness, blurred.
    own, target
        Colours at each lightness: the slide's as the network made them, and the pool's.
    """

    light: LightCurve
    own: Tint
    target: Tint

    @classmethod
    def fit(
        cls,
        tiles: Sequence[np.ndarray],
        colours: Sequence[np.ndarray],
        light: np.ndarray,
        target: Tint,
    ) -> Self:
        """Fit a slide's on tiles of its tissue.

        Parameters
        ----------
        tiles, colours
            uint8 (H, W, 3), and what the network made of each: a and b, float32 (H, W, 2).
        light, target
            The pool's quantiles of lightness (51,), and its colours.
        """
        curve = LightCurve.fit(tiles, light, blur=BLUR_PX)
        seen = np.concatenate([_stained(curve(tile), tile) for tile in tiles])
        made = np.concatenate([_stained(c, t) for c, t in zip(colours, tiles, strict=True)])
        return cls(curve, Tint.measure(seen, made), target)

    def __call__(self, image: np.ndarray, colour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Finish an image.

        Parameters
        ----------
        image, colour
            uint8 (H, W, 3), and what the network made of it: a and b, float32 (H, W, 2).

        Returns
        -------
        change, colour
            What is added to its lightness, float32 (H, W), and its a and b. They depend on the
            surroundings of 12 pixels, by the blur of the lightness.
        """
        change = self.light.change(image)
        light = lightness(image) + change
        made = np.empty_like(colour)
        for c in range(2):
            own, target = (
                np.interp(light, KNOTS, tint.mean[:, c]) for tint in (self.own, self.target)
            )
            gains = np.minimum(self.target.spread[:, c] / self.own.spread[:, c], _MOST_GAIN)
            moved = target + np.interp(light, KNOTS, gains) * (colour[..., c] - own)
            made[..., c] = colour[..., c] + _SHARE * (moved - colour[..., c])
        return change, made


def _stained(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Of values of each pixel (H, W, ...), those of tissue."""
    found: np.ndarray = values[optical_density(image).max(-1) >= STAINED]
    return found
