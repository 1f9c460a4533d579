"""Lightness: kept as the paper does, or brought towards the style as far as structure allows.

The network sets colours and passes lightness through. Where one laboratory stains darker than the
other, that alone keeps their pictures apart, however well the colours fit. A curve that carries
the quantiles of a slide's lightness (of its tissue) to those of the pool mends it; it changes
contrasts, so it goes only so far that the structural similarity of lightness stays at .992.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skimage.metrics import structural_similarity

from napari_pathogan.stain.colour import STAINED, lightness, optical_density

if TYPE_CHECKING:
    from collections.abc import Sequence

QUANTILES = np.linspace(0, 1, 51)
LEAST_SSIM = 0.992
_SHARES = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True, eq=False)
class LightCurve:
    """A curve of lightness for one slide.

    Attributes
    ----------
    own, target
        (51,) quantiles of the lightness of the slide's tissue, and of the pool's; 0 to 100.
    share
        How far the curve goes: 0 keeps lightness, 1 arrives at the pool's.
    """

    own: np.ndarray
    target: np.ndarray
    share: float

    @classmethod
    def fit(cls, tiles: Sequence[np.ndarray], target: np.ndarray) -> LightCurve:
        """Fit a slide's curve on tiles of its tissue, uint8 (H, W, 3)."""
        own = tissue_quantiles(tiles)
        for share in _SHARES:
            curve = cls(own, target, share)
            if all(_kept(curve, tile) >= LEAST_SSIM for tile in tiles):
                return curve
        return cls(own, target, 0.0)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Lightness of uint8 RGB (..., 3) after the curve: float32 (...). Glass keeps its own."""
        light = lightness(image)
        if not self.share:
            return light
        weight = self.share * np.clip(optical_density(image).max(-1) / STAINED, 0, 1)
        moved = np.interp(light, self.own, self.target)
        # beyond the darkest and the brightest tissue the curve goes on in parallel
        moved += np.minimum(light - self.own[0], 0) + np.maximum(light - self.own[-1], 0)
        return np.asarray(np.clip(light + weight * (moved - light), 0, 100), np.float32)


def tissue_quantiles(images: Sequence[np.ndarray]) -> np.ndarray:
    """Quantiles (51,) of the lightness of tissue on some images."""
    parts = []
    for image in images:
        flat = image.reshape(-1, 3)
        parts.append(lightness(flat[optical_density(flat).max(1) >= STAINED]))
    return np.asarray(np.quantile(np.concatenate(parts), QUANTILES))


def _kept(curve: LightCurve, tile: np.ndarray) -> float:
    similar: float = structural_similarity(  # type: ignore[no-untyped-call]
        lightness(tile), curve(tile), data_range=100
    )
    return similar
