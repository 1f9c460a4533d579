"""Nuclei as the networks see them: in reference colours, turned, moved a little, restained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pathogan.colour.slide_colours import AXES
from napari_pathogan.errors import NoTissueError
from napari_pathogan.tasks.nuclei_classes.crops import CROP_PX
from napari_pathogan.tasks.nuclei_classes.stain import Stain, in_density

if TYPE_CHECKING:
    from napari_pathogan.tasks.nuclei_classes.data import Nuclei

# Spread of the colour jitter at strength 1: shifts along AXES (of 0 to 1), and log of contrast.
_SHIFT = (0.07, 0.03, 0.03)
_CONTRAST = 0.12


class Palette:
    """The colours of the images, and the maps to their average as tensors.

    ``matrix`` (I, 3, 3) and ``offset`` (I, 3) carry image ``[i]`` to the reference; they change
    nothing where ``normalise`` is false, or the image has no tissue to measure. They are of RGB
    in [0, 1] or, with ``density``, of optical densities.
    """

    def __init__(self, nuclei: Nuclei, *, normalise: bool, density: bool = False) -> None:
        known = [stain for stain in nuclei.stains.values() if stain is not None]
        if not known:
            msg = "no tissue around any nucleus: the images are white or grey"
            raise NoTissueError(msg)
        self.reference = Stain.average(known)
        self.density = density
        stains = [nuclei.stains[name] if normalise else None for name in nuclei.names]
        maps = [
            (s.density_to if density else s.map_to)(self.reference)
            if s
            else (np.eye(3), np.zeros(3))
            for s in stains
        ]
        self.matrix = torch.tensor(np.stack([m for m, _ in maps]), dtype=torch.float32)
        self.offset = torch.tensor(np.stack([o for _, o in maps]), dtype=torch.float32)

    def recolour(self, pictures: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """uint8 (N, S, S, 3) of images (N,) -> float32 (N, 3, S, S) in [0, 1]."""
        x = pictures.permute(0, 3, 1, 2).float() / 255
        if self.density:
            return in_density(x, self.matrix[image], self.offset[image])
        x = torch.einsum("nij,njhw->nihw", self.matrix[image], x)
        return (x + self.offset[image][:, :, None, None]).clamp(0, 1)


def middle(pictures: torch.Tensor) -> torch.Tensor:
    """The 40 px crop in the middle of pictures (N, C, S, S)."""
    edge = (pictures.shape[2] - CROP_PX) // 2
    return pictures[:, :, edge : edge + CROP_PX, edge : edge + CROP_PX]


def vary(x: torch.Tensor, jitter: float) -> torch.Tensor:
    """Another view of the same nuclei: turned, flipped, moved by up to 2 px, restained.

    Parameters
    ----------
    x
        float32 (N, 3, S, S) in [0, 1], S at least 40.

    Returns
    -------
    float32 (N, 3, 40, 40) in [-1, 1], channels last.
    """
    n, room = len(x), x.shape[2] - CROP_PX
    corner = torch.randint(room + 1, (2, n))
    rows, cols = (corner[axis, :, None] + torch.arange(CROP_PX) for axis in (0, 1))
    x = x.permute(0, 2, 3, 1)[torch.arange(n)[:, None, None], rows[:, :, None], cols[:, None]]
    x = x.permute(0, 3, 1, 2)
    chance = torch.rand(3, n, 1, 1, 1) < 0.5
    x = torch.where(chance[0], x.flip(2), x)
    x = torch.where(chance[1], x.flip(3), x)
    x = torch.where(chance[2], x.transpose(2, 3), x)
    if jitter:
        x = restain(x, jitter)
    return (x * 2 - 1).contiguous(memory_format=torch.channels_last)


def restain(x: torch.Tensor, strength: float) -> torch.Tensor:
    """The same nuclei, float32 (N, 3, S, S) in [0, 1], each in colours of its own."""
    n = len(x)
    axes = torch.tensor(AXES, dtype=torch.float32)
    contrast = torch.exp(_CONTRAST * strength * torch.randn(n, 3))
    shift = strength * torch.tensor(_SHIFT) * torch.randn(n, 3)
    matrix = axes.T @ (contrast[:, :, None] * axes)
    mean = x.mean((2, 3))
    offset = mean - torch.einsum("nij,nj->ni", matrix, mean) + shift @ axes
    x = torch.einsum("nij,njhw->nihw", matrix, x) + offset[:, :, None, None]
    return x.clamp(0, 1)
