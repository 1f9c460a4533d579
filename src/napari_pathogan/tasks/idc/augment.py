"""What a patch may look like and still be the same patch: other colours, turned, a bit nearer.

All of it runs on whole batches on the training device, and draws from torch's global generator,
which training seeds anew every epoch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

from napari_pathogan.colour.slide_colours import AXES, SlideColours
from napari_pathogan.engine.config import Share, Weight, checked
from napari_pathogan.errors import NoTissueError

if TYPE_CHECKING:
    from napari_pathogan.tasks.idc.data import PatchFolder

# Spread of the colour jitter at strength 1: shifts along AXES (of 0 to 1), and log of contrast.
_SHIFT = (0.07, 0.03, 0.03)
_CONTRAST = 0.12


@checked
class Augment:
    """How strongly patches are varied; flips (and quarter turns) always are.

    Attributes
    ----------
    normalise
        Share of the patches shown in the model's reference colours instead of their own.
    mix
        Patches go up to this share of the way to the colours of another training patient.
    jitter
        Strength of random shifts of brightness, hue and contrast; 1 is strong.
    geometry
        Strength of turns by any angle, zoom and shift; 1 is any angle, 20 % and 15 %.
    turns
        Whether flips come with quarter turns (the paper flips only).
    """

    normalise: Share = 0.0
    mix: Share = 0.0
    jitter: Weight = 0.0
    geometry: Weight = 0.0
    turns: bool = False


class Palette:
    """The colours of the training patients, and the maps between them as tensors.

    ``matrix`` (P, P + 1, 3, 3) and ``offset`` (P, P + 1, 3) carry patient ``[p]`` to the colours
    of patient ``[., q]``; the last ``q`` is the reference, the average of all. ``reach`` is how far the
    patient's is whose colours are farthest from it (:meth:`.SlideColours.distance`).
    """

    def __init__(self, patches: PatchFolder, device: torch.device) -> None:
        own = {name: _measure(patches, name) for name in patches.names}
        known = [colours for colours in own.values() if colours is not None]
        if not known:
            msg = "no tissue in any training patch: they are all white or grey"
            raise NoTissueError(msg)
        self.reference = SlideColours.average(known)
        self.reach = max(c.distance(self.reference) for c in known)
        colours = [c or self.reference for c in own.values()]
        maps = [[a.map_to(b) for b in (*colours, self.reference)] for a in colours]
        self.patients = len(colours)
        self.mean = torch.tensor(np.stack([c.mean for c in colours]), dtype=torch.float32).to(
            device
        )
        self.matrix = torch.tensor(
            np.array([[m for m, _ in row] for row in maps]), dtype=torch.float32
        ).to(device)
        self.offset = torch.tensor(
            np.array([[o for _, o in row] for row in maps]), dtype=torch.float32
        ).to(device)


def _measure(patches: PatchFolder, name: str) -> SlideColours | None:
    try:
        return SlideColours.measure(patches.images[patches.patients == name])
    except NoTissueError:
        return None


def augment(
    images: torch.Tensor, patient: torch.Tensor, palette: Palette, how: Augment
) -> torch.Tensor:
    """Vary a batch.

    Parameters
    ----------
    images
        uint8 (N, 50, 50, 3), RGB.
    patient
        int64 (N,): index of each patch's patient in the palette.

    Returns
    -------
    float32 (N, 3, 50, 50) in [-1, 1], channels last.
    """
    x = images.permute(0, 3, 1, 2).float() / 255
    if how.normalise or how.mix or how.jitter:
        matrix, offset = _recolour(patient, palette, how)
        x = torch.einsum("nij,njhw->nihw", matrix, x) + offset[:, :, None, None]
        x = x.clamp(0, 1)
    x = x * 2 - 1
    if how.geometry:
        x = _move(x, how.geometry)
    return _flip(x, turns=how.turns).contiguous(memory_format=torch.channels_last)


def _recolour(
    patient: torch.Tensor, palette: Palette, how: Augment
) -> tuple[torch.Tensor, torch.Tensor]:
    n, device = len(patient), patient.device
    other = torch.randint(palette.patients, (n,), device=device)
    normalised = torch.rand(n, device=device) < how.normalise
    other = torch.where(normalised, palette.patients, other)
    share = torch.where(normalised, 1.0, how.mix * torch.rand(n, device=device))[:, None]
    identity = torch.eye(3, device=device)
    matrix = torch.lerp(identity, palette.matrix[patient, other], share[:, :, None])
    offset = share * palette.offset[patient, other]
    if how.jitter:
        axes = torch.tensor(AXES, dtype=torch.float32, device=device)
        contrast = torch.exp(_CONTRAST * how.jitter * torch.randn(n, 3, device=device))
        shift = how.jitter * torch.tensor(_SHIFT, device=device) * torch.randn(n, 3, device=device)
        stretch = axes.T @ (contrast[:, :, None] * axes)
        mean = torch.einsum("nij,nj->ni", matrix, palette.mean[patient]) + offset
        offset = torch.einsum("nij,nj->ni", stretch, offset - mean) + mean + shift @ axes
        matrix = stretch @ matrix
    return matrix, offset


def _move(x: torch.Tensor, strength: float) -> torch.Tensor:
    n, device = len(x), x.device
    angle = (torch.rand(n, device=device) * 2 - 1) * math.pi * strength
    zoom = torch.exp((torch.rand(n, device=device) * 2 - 1) * 0.2 * strength)
    shift = (torch.rand(n, 2, device=device) * 2 - 1) * 0.15 * strength
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    rows = torch.stack([cos, -sin, shift[:, 0], sin, cos, shift[:, 1]], 1).view(n, 2, 3)
    grid = F.affine_grid(rows, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def _flip(x: torch.Tensor, *, turns: bool) -> torch.Tensor:
    chance = torch.rand(3, len(x), 1, 1, 1, device=x.device) < 0.5
    x = torch.where(chance[0], x.flip(2), x)
    x = torch.where(chance[1], x.flip(3), x)
    return torch.where(chance[2], x.transpose(2, 3), x) if turns else x
