"""How far the stain of an image is from that of a pool of images, by optical density.

A stain is described by six figures of its tissue: the logarithm of the mean optical density summed
over red, green and blue, which share of it is red's and green's, and how much each share varies
between pixels. Distances are in spreads (root mean square of Mahalanobis' distance): a pool's own
images lie about 1 away.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.errors import NoTissueError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TISSUE, _LEAST_PX = 0.1, 100  # optical density that is tissue, and pixels of it that say something
_SHRINKAGE = 0.1  # of the covariance towards its diagonal: pools have some twenty images
_LEAST_IMAGES = 4
_OWN = 95  # percent of a pool's images that lie within its reach


def described(rgb: np.ndarray) -> np.ndarray | None:
    """The six figures of an image uint8 (H, W, 3): float64 (6,); None where it has no tissue."""
    density = -np.log10((rgb.reshape(-1, 3).astype(float) + 1) / 256)
    density = density[density.max(1) > _TISSUE]
    if len(density) < _LEAST_PX:
        return None
    shares = density / np.maximum(density.sum(1, keepdims=True), 1e-3)
    total = np.log(density.mean(0).sum())
    return np.r_[total, shares.mean(0)[:2], shares.std(0)]


@dataclass(frozen=True)
class StainPool:
    """The stain of a pool of images.

    Attributes
    ----------
    mean, precision
        Of the six figures over its images: (6,), and the inverse of their covariance (6, 6).
    reach
        Spreads within which 95 % of its images lie, each measured against all others.
    n_images
        How many have tissue.
    """

    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    reach: float
    n_images: int

    @classmethod
    def of(cls, images: Sequence[np.ndarray]) -> StainPool:
        """Describe a pool of images, uint8 (H, W, 3) each.

        Raises
        ------
        NoTissueError
            If fewer than four of them have tissue.
        """
        figures = [f for image in images if (f := described(image)) is not None]
        if len(figures) < _LEAST_IMAGES:
            msg = (
                f"{len(figures)} of {len(images)} images have tissue; a stain is described by "
                f"{_LEAST_IMAGES} at least"
            )
            raise NoTissueError(msg)
        return cls.fit(np.stack(figures))

    @classmethod
    def fit(cls, stack: np.ndarray) -> StainPool:
        """Describe a pool by the figures of its images, (N, 6)."""
        apart = [_distance(f, *_fit(np.delete(stack, i, 0))) for i, f in enumerate(stack)]
        mean, precision = _fit(stack)
        rows = tuple(tuple(map(float, row)) for row in precision)
        reach = float(np.percentile(apart, _OWN))
        return cls(tuple(map(float, mean)), rows, reach, len(stack))

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> StainPool:
        """Take one from a model's card."""
        rows = tuple(tuple(map(float, row)) for row in said["precision"])
        mean = tuple(map(float, said["mean"]))
        return cls(mean, rows, float(said["reach"]), int(said["n_images"]))

    def written(self) -> dict[str, Any]:
        """Plain JSON for a card."""
        return asdict(self)

    def distance(self, images: Sequence[np.ndarray]) -> float | None:
        """Median distance of images in spreads; None where none has tissue."""
        figures = [f for image in images if (f := described(image)) is not None]
        if not figures:
            return None
        return float(np.median([self.apart(f) for f in figures]))

    def apart(self, figures: np.ndarray) -> float:
        """Distance of one image, by its figures (6,)."""
        return _distance(figures, np.asarray(self.mean), np.asarray(self.precision))


def _fit(figures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    covariance = np.cov(figures.T)
    own = np.diag(np.diag(covariance) + 1e-8)  # images may be all alike in one
    return figures.mean(0), np.linalg.inv((1 - _SHRINKAGE) * covariance + _SHRINKAGE * own)


def _distance(figures: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> float:
    off = figures - mean
    return float(np.sqrt(max(off @ precision @ off, 0) / len(off)))
