"""What stain alone tells: a logistic regression on optical density around a pixel.

Fitted to the same patients as a model and shown beside it: a network that does not beat it has
learnt nothing that a threshold on darkness does not say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from napari_pathogan.colour.lab import optical_density
from napari_pathogan.engine.linear import fit_logistic
from napari_pathogan.tasks.nuclei.metrics import pixel_counts, pixel_table

if TYPE_CHECKING:
    from collections.abc import Sequence

ABOUT = "a logistic regression on optical density around a pixel (0, 0.5 and 2 um), no network"
C = 1.0
_SIGMAS = (0, 2, 8)  # pixels of 0.25 um
_SAMPLE = 4000  # pixels of an image that are learnt from
_THRESHOLDS = np.linspace(0.2, 0.9, 29)


@dataclass(frozen=True, eq=False)
class PixelBaseline:
    """Weights (9,) of the figures of :func:`figures`, an offset, and the operating point."""

    weights: np.ndarray
    offset: float
    threshold: float

    @classmethod
    def fit(cls, samples: Sequence[tuple[np.ndarray, np.ndarray]]) -> PixelBaseline | None:
        """Fit to the samples of images (:func:`sample`); None where they hold but one label.

        The operating point has the highest Dice on them.
        """
        x, y = (np.concatenate(part) for part in zip(*samples, strict=True))
        if len(np.unique(y)) < 2:
            return None
        mean, spread = x.mean(0), x.std(0) + 1e-6
        scaled, offset = fit_logistic((x - mean) / spread, y.astype(int), C)
        weights = scaled[:, 1] / spread
        fitted = cls(weights, float(offset[1] - weights @ mean), 0.0)
        said, known = fitted.foreground(x), np.ones(len(y), bool)
        counts = [pixel_counts(y, said >= t, known) for t in _THRESHOLDS]
        dice = [pixel_table(one[None], np.ones(1))["dice"] or 0.0 for one in counts]
        return cls(fitted.weights, fitted.offset, float(_THRESHOLDS[int(np.argmax(dice))]))

    def foreground(self, x: np.ndarray) -> np.ndarray:
        """Figures (..., 9) -> probability of a nucleus (...), float32."""
        said: np.ndarray = expit(x @ self.weights + self.offset).astype(np.float32)
        return said

    def probability(self, images: np.ndarray) -> np.ndarray:
        """As :meth:`.NucleiModel.probability`; no pixel is called boundary."""
        inside = np.stack([self.foreground(figures(image)) for image in images])
        return np.stack([1 - inside, inside, np.zeros_like(inside)], 1)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for a model card."""
        return {
            "weights": self.weights.round(6).tolist(),
            "offset": round(self.offset, 6),
            "threshold": round(self.threshold, 6),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> PixelBaseline:
        """From :meth:`to_json`."""
        return cls(np.array(record["weights"]), record["offset"], record["threshold"])


def figures(image: np.ndarray) -> np.ndarray:
    """Optical density of each channel, as it is and blurred: uint8 (H, W, 3) -> float32 (H, W, 9)."""
    density = optical_density(image)
    blurred = [gaussian_filter(density, (sigma, sigma, 0)) for sigma in _SIGMAS]
    return np.concatenate(blurred, -1)


def sample(pixels: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw pixels from what is known of an image: their figures (N, 9) and labels (N,), bool.

    Parameters
    ----------
    pixels, mask
        uint8 (H, W, 3) at 0.25 um/px, and int (H, W): 0 background, -1 unknown.
    """
    known = np.flatnonzero(mask >= 0)
    drawn = np.random.default_rng(0).permutation(known)[:_SAMPLE]
    return figures(pixels).reshape(-1, 3 * len(_SIGMAS))[drawn], mask.reshape(-1)[drawn] > 0
