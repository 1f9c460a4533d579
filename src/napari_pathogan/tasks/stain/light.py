"""Lightness: kept as the paper does, or brought towards the style as far as structure allows.

The network sets colours and passes lightness through. Where one laboratory stains darker than the
other, that alone keeps their pictures apart, however well the colours fit. A curve that carries
the quantiles of a slide's lightness (of its tissue) to those of the pool mends it; it changes
contrasts, so it goes only so far that the structural similarity of lightness stays above .99.
Blurred, the change takes less structure with it: fine detail moves along as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import ndimage
from skimage.metrics import structural_similarity

from napari_pathogan.colour.lab import STAINED, lightness, optical_density

if TYPE_CHECKING:
    from collections.abc import Sequence

QUANTILES = np.linspace(0, 1, 51)
LEAST_SSIM = 0.9905  # on a slide's tiles, on average; they are not all of the slide, so not .99
BLUR_PX = 3.0
_HALVINGS = 6


@dataclass(frozen=True, eq=False)
class LightCurve:
    """A curve of lightness for one slide.

    Attributes
    ----------
    own, target
        (51,) quantiles of the lightness of the slide's tissue, and of the pool's; 0 to 100.
    share
        How far the curve goes: 0 keeps lightness, 1 arrives at the pool's.
    blur
        Standard deviation of the Gaussian that blurs the change, in pixels; 0 looks at single
        pixels. A pixel's change depends on its surroundings of four times that.
    """

    own: np.ndarray
    target: np.ndarray
    share: float
    blur: float = 0.0

    @classmethod
    def fit(cls, tiles: Sequence[np.ndarray], target: np.ndarray, *, blur: float = 0.0) -> Self:
        """Fit a slide's curve on tiles of its tissue, uint8 (H, W, 3)."""
        own = tissue_quantiles(tiles)
        whole = cls(own, target, 1.0, blur)
        pairs = [(lightness(tile), whole.change(tile)) for tile in tiles]
        share, step = 1.0, 1.0
        for _ in range(_HALVINGS):
            step /= 2
            share += step if _kept(pairs, share) else -step
            if share > 1:
                return whole
        return cls(own, target, share if _kept(pairs, share) else share - step, blur)

    def change(self, image: np.ndarray) -> np.ndarray:
        """What is added to the lightness of uint8 RGB (..., 3): float32 (...). Glass keeps its own.

        The image is (H, W, 3) if the curve is blurred.
        """
        light = lightness(image)
        weight = np.clip(optical_density(image).max(-1) / STAINED, 0, 1)
        moved = np.interp(light, self.own, self.target)
        # beyond the darkest and the brightest tissue the curve goes on in parallel
        moved += np.minimum(light - self.own[0], 0) + np.maximum(light - self.own[-1], 0)
        change = self.share * weight * (moved - light)
        if self.blur:
            # a mean of the tissue around: glass has no change to add to it
            around = ndimage.gaussian_filter(weight, self.blur)
            change = weight * ndimage.gaussian_filter(change, self.blur) / np.maximum(around, 1e-3)
        return np.asarray(np.clip(light + change, 0, 100) - light, np.float32)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Lightness of uint8 RGB (..., 3) after the curve: float32 (...)."""
        return np.asarray(lightness(image) + self.change(image))


def tissue_quantiles(images: Sequence[np.ndarray]) -> np.ndarray:
    """Quantiles (51,) of the lightness of tissue on some images."""
    parts = []
    for image in images:
        flat = image.reshape(-1, 3)
        parts.append(lightness(flat[optical_density(flat).max(1) >= STAINED]))
    return np.asarray(np.quantile(np.concatenate(parts), QUANTILES))


def _kept(pairs: Sequence[tuple[np.ndarray, np.ndarray]], share: float) -> bool:
    """Whether a share of the whole change leaves enough structure."""
    similar = [
        structural_similarity(light, light + share * change, data_range=100)
        for light, change in pairs
    ]
    return float(np.mean(similar)) >= LEAST_SSIM
