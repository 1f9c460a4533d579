"""What a patch's neighbours say about it: the heat map's logits, smoothed on the slide's grid.

Annotations are drawn as regions at 2x and tumour grows in regions, so a weighted mean of the
neighbourhood's logits tells IDC apart better than a patch alone does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_pathogan.tasks.idc.calibrate import Calibration

if TYPE_CHECKING:
    from napari_pathogan.tasks.idc.data import PatchFolder

_TRUNCATE = 2.0  # kernels end at two sigma: regions need less around them


@dataclass(frozen=True)
class Context:
    """Neighbourhood averages, and the calibration of what comes of them.

    Attributes
    ----------
    sigmas
        Widths of the Gaussian neighbourhoods in patches (200 um); 0 is the patch itself.
    weights
        Their shares, summing to 1.
    calibration
        From the weighted mean to a probability.
    """

    sigmas: tuple[float, ...]
    weights: tuple[float, ...]
    calibration: Calibration

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for a model card."""
        return {
            "sigmas": list(self.sigmas),
            "weights": list(self.weights),
            "calibration": self.calibration.to_json(),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Context:
        """From :meth:`to_json`."""
        calibration = Calibration.from_json(record["calibration"])
        return cls(tuple(record["sigmas"]), tuple(record["weights"]), calibration)

    @property
    def reach(self) -> int:
        """How many cells to each side count."""
        return max(int(_TRUNCATE * sigma + 0.5) for sigma in self.sigmas)

    def mix(self, grid: np.ndarray) -> np.ndarray:
        """(H, W) or (H, W, V) logits of one slide, NaN off the tissue -> the same, smoothed."""
        parts = zip(self.sigmas, self.weights, strict=True)
        mixed: np.ndarray = np.sum([weight * smooth(grid, sigma) for sigma, weight in parts], 0)
        return mixed


def smooth(grid: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean over the cells that hold a number; those that don't stay NaN.

    Parameters
    ----------
    grid
        (H, W) or (H, W, V), one cell a patch.
    sigma
        In cells; 0 changes nothing.
    """
    if sigma == 0:
        return np.asarray(grid, np.float64)
    there = ~np.isnan(grid)
    widths = (sigma, sigma, *[0.0] * (grid.ndim - 2))
    values = np.where(there, grid, 0).astype(np.float64)
    total = gaussian_filter(values, widths, mode="constant", truncate=_TRUNCATE)
    share = gaussian_filter(there.astype(np.float64), widths, mode="constant", truncate=_TRUNCATE)
    return np.where(there, total / np.where(there, share, 1), np.nan)


def on_grids(patches: PatchFolder, logits: np.ndarray, context: Context) -> np.ndarray:
    """Smooth the logits (N, V) of a folder, slide by slide, on the grids they were cut from."""
    mixed = np.empty(logits.shape, np.float64)
    for name in patches.names:
        index, (rows, columns) = patches.grid(name)
        grid = np.full((rows.max() + 1, columns.max() + 1, logits.shape[1]), np.nan)
        grid[rows, columns] = logits[index]
        mixed[index] = context.mix(grid)[rows, columns]
    return mixed
