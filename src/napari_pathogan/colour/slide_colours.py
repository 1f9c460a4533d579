"""The colours of a slide, and how patches are carried from one slide's colours to another's.

A slide's colours are the mean and covariance of its tissue pixels in RGB. The linear map that
carries one such Gaussian to another with the least change (Monge-Kantorovich; Pitie and Kokaram
2007) is one 3 x 3 matrix and an offset: cheap, exact to invert, and never off by a colour space.
It serves twice: to normalise a slide to the reference colours of the model, and to train on
patches in the colours of other patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_pathogan.errors import NoTissueError

# Brightness, red against blue, green against both: about independent in H&E.
AXES = np.array(
    [[3**-0.5, 3**-0.5, 3**-0.5], [2**-0.5, 0, -(2**-0.5)], [6**-0.5, -2 * 6**-0.5, 6**-0.5]]
)
_ENOUGH = 100  # pixels: fewer say nothing about a slide
_RIDGE = 1e-5  # keeps the covariance of a slide of one colour invertible (2.5e-3 of 0 to 1)


@dataclass(frozen=True, eq=False)
class SlideColours:
    """Mean (3,) and covariance (3, 3) of tissue pixels, RGB in [0, 1]."""

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def measure(cls, pixels: np.ndarray) -> SlideColours:
        """Measure uint8 RGB pixels (..., 3); background among them is left out.

        Raises
        ------
        NoTissueError
            If under 100 pixels are coloured or dark enough to be tissue.
        """
        flat = np.asarray(pixels, np.uint8).reshape(-1, 3)
        flat = flat[:: max(1, len(flat) // 500_000)]
        low, high = flat.min(1), flat.max(1)
        tissue = flat[(high - low > 12) & (low < 220)] / 255.0
        if len(tissue) < _ENOUGH:
            msg = "no tissue among these pixels, so the slide's colours can't be measured"
            raise NoTissueError(msg)
        return cls(tissue.mean(0), np.cov(tissue.T) + _RIDGE * np.eye(3))

    @classmethod
    def average(cls, several: list[SlideColours]) -> SlideColours:
        """The colours in the middle of several slides, each counting the same."""
        return cls(
            np.mean([c.mean for c in several], 0), np.mean([c.covariance for c in several], 0)
        )

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> SlideColours:
        """From :meth:`to_json`."""
        return cls(np.array(record["mean"]), np.array(record["covariance"]))

    def to_json(self) -> dict[str, Any]:
        """As plain lists, for a model card."""
        return {
            "mean": self.mean.round(6).tolist(),
            "covariance": self.covariance.round(8).tolist(),
        }

    def distance(self, other: SlideColours) -> float:
        """How far other colours are, in grey levels (0 to 255): the way that :meth:`map_to` carries a pixel.

        The root of its mean square (2-Wasserstein distance of the two Gaussians).
        """
        root = _power(self.covariance, 0.5)
        cross = _power(root @ other.covariance @ root, 0.5)
        spread = np.trace(self.covariance + other.covariance - 2 * cross)
        square = ((self.mean - other.mean) ** 2).sum() + max(0.0, spread)
        return float(255 * np.sqrt(square))

    def map_to(self, other: SlideColours, share: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Matrix (3, 3) and offset (3,) that carry these colours to ``other``'s.

        Apply as ``rgb @ matrix.T + offset`` to RGB in [0, 1]. ``share`` goes part of the way:
        0 changes nothing, 1 arrives.
        """
        root, inverse = _power(self.covariance, 0.5), _power(self.covariance, -0.5)
        full = inverse @ _power(root @ other.covariance @ root, 0.5) @ inverse
        matrix = (1 - share) * np.eye(3) + share * full
        mean = (1 - share) * self.mean + share * other.mean
        return matrix, mean - matrix @ self.mean


def _power(symmetric: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(symmetric)
    power: np.ndarray = (vectors * np.maximum(values, 1e-12) ** exponent) @ vectors.T
    return power
