"""What colours and contrast alone tell: a logistic regression on 15 figures of a patch.

Fitted to the same patients as a model and shown beside it: a network that does not beat it has
learnt nothing that a stain does not say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from napari_pathogan.engine.linear import fit_logistic
from napari_pathogan.engine.pixels import as_input, optical_density

C = 0.1
N_STATISTICS = 15
_PERCENTILES = (0.1, 0.9)
_BATCH = 512


@dataclass(frozen=True, eq=False)
class ColourBaseline:
    """Weights (15,) of the figures of :func:`statistics`, and an offset."""

    weights: np.ndarray
    offset: float

    @classmethod
    def fit(cls, images: np.ndarray, labels: np.ndarray) -> ColourBaseline:
        """Fit to patches, uint8 (N, Y, X, 3), and labels (N,), 0 and 1."""
        return cls(*fit_linear(_of_patches(images), labels, C))

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Of patches, uint8 (N, Y, X, 3): float64 (N,)."""
        logits: np.ndarray = _of_patches(images) @ self.weights + self.offset
        return logits

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for a model card."""
        return {"weights": self.weights.round(6).tolist(), "offset": round(self.offset, 6)}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ColourBaseline:
        """From :meth:`to_json`."""
        return cls(np.array(record["weights"]), float(record["offset"]))


def statistics(x: torch.Tensor) -> torch.Tensor:
    """Mean, spread, 10th and 90th percentile and mean gradient of optical density, by channel.

    Parameters
    ----------
    x
        float32 (N, 3, Y, X), RGB in [-1, 1].

    Returns
    -------
    float32 (N, 15).
    """
    density = optical_density(x * 127.5 + 127.5)
    flat = density.flatten(2)
    low, high = torch.quantile(flat, torch.tensor(_PERCENTILES, device=x.device), dim=2)
    steps = density.diff(dim=2).abs().mean((2, 3)) + density.diff(dim=3).abs().mean((2, 3))
    return torch.cat([flat.mean(2), flat.std(2, correction=0), low, high, steps], 1)


def fit_linear(features: np.ndarray, labels: np.ndarray, c: float) -> tuple[np.ndarray, float]:
    """Fit a logistic regression to figures (N, F) as they are and labels (N,), 0 and 1.

    Parameters
    ----------
    c
        Inverse of the penalty on the weights of the standardised figures.

    Returns
    -------
    weights, offset
        float64 (F,), of the figures as they are, and what is added to their sum.
    """
    features = np.asarray(features, np.float64)
    mean, spread = features.mean(0), features.std(0)
    spread = np.where(spread > 0, spread, 1)
    scaled, offset = fit_logistic((features - mean) / spread, labels, c)
    weights = scaled[:, 1] / spread
    return weights, float(offset[1] - weights @ mean)


def _of_patches(images: np.ndarray) -> np.ndarray:
    parts = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
    figures = [statistics(as_input(torch.from_numpy(np.ascontiguousarray(x)), None)) for x in parts]
    return torch.cat(figures).double().numpy()
