"""The frame in which masses are looked for: the breast alone, chest wall left, at one scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from scipy.special import ndtri

from napari_pathogan.mammograms.breast import breast

LONG_SIDE_PX = 384  # of the whole mammogram: 0.6 to 0.8 mm per px on usual detectors
Grey = Literal["shown", "ranks"]
MIDDLE, _SPREAD, _DARKEST, _BRIGHTEST = 0.45, 0.15, 0.05, 0.95  # of a breast's greys as ranks
_QUANTILES = 257


@dataclass(frozen=True, eq=False)
class Frame:
    """A breast as the detector sees it, and the way back to the mammogram.

    Attributes
    ----------
    pixels
        float32 (h, w) in [0, 1]; the chest wall is on the left.
    box
        (y0, x0, y1, x1), what it shows, in pixels of the mammogram.
    mirrored
        Whether left and right are swapped.
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    mirrored: bool

    @classmethod
    def of(cls, image: np.ndarray, long_side: int = LONG_SIDE_PX, grey: Grey = "shown") -> Frame:
        """Cut the breast out of a mammogram, float32 (H, W) in [0, 1].

        Parameters
        ----------
        grey
            ``shown``: as it is. ``ranks``: by :func:`ranked`, and nothing beside the breast.

        Raises
        ------
        NoBreastError
            If there is none.
        """
        found = breast(image)
        y0, x0, y1, x1 = found.box
        frame = cls(image[:0, :0], found.box, found.side == "right")
        scale = long_side / max(image.shape)
        shape = (max(1, round((y1 - y0) * scale)), max(1, round((x1 - x0) * scale)))
        pixels = frame.shown(image, shape)
        if grey == "ranks":
            pixels = ranked(pixels, frame.shown(found.mask, shape) > 0.5)
        return cls(pixels, frame.box, frame.mirrored)

    def shown(self, image: np.ndarray, shape: tuple[int, int] | None = None) -> np.ndarray:
        """Another image or mask (..., H, W) of the same mammogram in this frame, float32."""
        y0, x0, y1, x1 = self.box
        part = torch.from_numpy(np.ascontiguousarray(image[..., y0:y1, x0:x1], np.float32))
        planes = part.reshape(1, -1, *part.shape[-2:])
        size = shape or self.pixels.shape
        small = F.interpolate(planes, size, mode="bilinear", antialias=True).clamp(0, 1)
        small = small.flip(-1) if self.mirrored else small
        return small.reshape(*part.shape[:-2], *size).numpy()

    @property
    def _scale(self) -> tuple[float, float]:
        y0, x0, y1, x1 = self.box
        return (y1 - y0) / self.pixels.shape[0], (x1 - x0) / self.pixels.shape[1]

    def boxes_back(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (N, 4) x0, y0, x1, y1 of this frame in pixels of the mammogram."""
        ends = boxes.reshape(-1, 2, 2)[..., ::-1]  # (N, first or second corner, y or x)
        first, second = self.points_back(ends[:, 0]), self.points_back(ends[:, 1])
        low, high = np.minimum(first, second), np.maximum(first, second)
        return np.concatenate([low[:, ::-1], high[:, ::-1]], 1).astype(np.float32)

    def points_back(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) y, x of this frame in pixels of the mammogram; corners count from 0."""
        y, x = points[:, 0], points[:, 1]
        x = self.pixels.shape[1] - x if self.mirrored else x
        sy, sx = self._scale
        return np.stack([self.box[0] + y * sy, self.box[1] + x * sx], 1)


def ranked(pixels: np.ndarray, breast: np.ndarray) -> np.ndarray:
    """Give the greys of a breast a normal distribution, whatever detector or film they are of.

    No rising curve of greys (LUT, gamma, film) changes the result.

    Parameters
    ----------
    pixels, breast
        float32 (h, w), and bool (h, w), where the breast is; elsewhere the result is 0.
    """
    if not breast.any():
        return np.zeros_like(pixels)
    shares = np.linspace(0, 1, _QUANTILES)
    greys, first = np.unique(np.quantile(pixels[breast], shares), return_index=True)
    # of a grey that many pixels have, the middle one's rank
    last = np.append(first[1:], _QUANTILES) - 1
    ranks = np.clip((shares[first] + shares[last]) / 2, 0.5 / _QUANTILES, 1 - 0.5 / _QUANTILES)
    levels = np.clip(MIDDLE + _SPREAD * ndtri(ranks), _DARKEST, _BRIGHTEST)
    return np.where(breast, np.interp(pixels, greys, levels), 0).astype(np.float32)
