"""The colours of an image as optical density: what its nuclei are normalised by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.pixels import optical_density

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

_LEAST = 1e-2  # spread of a channel of a blank image


@dataclass(frozen=True, eq=False)
class Stain(SlideColours):
    """A slide's colours, and how dense it is.

    Attributes
    ----------
    density
        (2, 3): mean and spread of the natural optical density of all pixels, by channel.
    """

    density: np.ndarray

    @classmethod
    def measure(cls, pixels: np.ndarray) -> Self:
        """Measure uint8 RGB pixels (..., 3), as :meth:`SlideColours.measure`."""
        colours = SlideColours.measure(pixels)
        counts = [np.bincount(pixels[..., i].ravel(), minlength=256) for i in range(3)]
        mean = np.array([np.average(_DENSITY, weights=n) for n in counts])
        square = np.array([np.average(_DENSITY**2, weights=n) for n in counts])
        spread = np.sqrt(np.maximum(square - mean**2, _LEAST**2))
        return cls(colours.mean, colours.covariance, np.stack([mean, spread]))

    @classmethod
    def average(cls, several: Sequence[Stain]) -> Self:  # type: ignore[override]
        """The colours in the middle of several slides, each counting the same."""
        colours = SlideColours.average(list(several))
        return cls(colours.mean, colours.covariance, np.mean([one.density for one in several], 0))

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """From :meth:`to_json`; cards of older models have no density."""
        density = np.array(record.get("density", [[0.0] * 3, [1.0] * 3]))
        return cls(np.array(record["mean"]), np.array(record["covariance"]), density)

    def to_json(self) -> dict[str, Any]:
        """As plain lists, for a model card."""
        return {**super().to_json(), "density": self.density.round(6).tolist()}

    def density_to(self, other: Stain) -> tuple[np.ndarray, np.ndarray]:
        """Matrix (3, 3) and offset (3,) that carry optical densities to ``other``'s."""
        gain = other.density[1] / self.density[1]
        return np.diag(gain), other.density[0] - gain * self.density[0]


def in_density(x: torch.Tensor, matrix: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Carry pictures to other optical densities; what would be lighter than white is white.

    Parameters
    ----------
    x
        (N, 3, H, W), RGB in [0, 1].
    matrix, offset
        (N or 1, 3, 3) and (N or 1, 3), as :meth:`Stain.density_to` gives them.

    Returns
    -------
    As ``x``.
    """
    gain = matrix.diagonal(dim1=1, dim2=2)[:, :, None, None]
    density = gain * optical_density(x * 255) + offset[:, :, None, None]
    return ((256 * (-density).exp() - 1) / 255).clamp(0, 1)


_DENSITY = -np.log((np.arange(256) + 1) / 256)
