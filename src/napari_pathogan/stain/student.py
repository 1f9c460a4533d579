"""A fast student of a style's network: a 1x1 network, taught on tiles and kept as a table.

The network looks at 100 pixels around each; the student at one pixel's red, green and blue. What
the surroundings told the network, the colour mostly tells the student: haematoxylin is blue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from napari_pathogan.stain.colour import AB_SCALE, lightness, to_rgb
from napari_pathogan.stain.lut import Lut

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS, _BATCH, _HIDDEN, _RATE = 300, 2048, 24, 1e-2
_MOST = 400_000


class Student(nn.Module):
    """Red, green, blue (N, 3) in [0, 1] -> a and b of Lab (N, 2), divided by 100."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, _HIDDEN), nn.GELU(),
            nn.Linear(_HIDDEN, 2),
        )  # fmt: skip

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        """Apply."""
        colour: torch.Tensor = self.layers(rgb - 0.5)
        return colour


def distil(
    before: Sequence[np.ndarray], colour: Sequence[np.ndarray], *, seed: int = 0
) -> tuple[Lut, float]:
    """Teach a student what the network did to some tiles; under a second.

    Parameters
    ----------
    before
        Tiles as they are: uint8 (H, W, 3).
    colour
        What the network made of each: a and b of Lab, float32 (H, W, 2), in Lab units.

    Returns
    -------
    lut, error
        The student as a table, and its mean distance from the network in a and b (Lab units) on
        every fourth tile, which it was not taught on (on all, where there are under four).
    """
    held = [i for i in range(len(before)) if i % 4 == 3] or list(range(len(before)))
    taught = [i for i in range(len(before)) if i not in held] or held
    rng = np.random.default_rng(seed)
    x, y = _pairs(before, colour, taught, rng)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = _taught(torch.from_numpy(x), torch.from_numpy(y))
    x, y = _pairs(before, colour, held, rng)
    with torch.no_grad():
        apart = student(torch.from_numpy(x)).numpy() - y
    error = float(np.linalg.norm(apart, axis=1).mean() * AB_SCALE)

    @torch.no_grad()
    def recolour(rgb: np.ndarray) -> np.ndarray:
        ab = student(torch.from_numpy(rgb.astype(np.float32) / 255)).numpy() * AB_SCALE
        return to_rgb(np.concatenate([lightness(rgb)[:, None], ab], 1))

    return Lut.tabulate(recolour), error


def _taught(x: torch.Tensor, y: torch.Tensor) -> Student:
    student = Student()
    optimiser = torch.optim.Adam(student.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, _STEPS)
    for _ in range(_STEPS):
        index = torch.randint(len(x), (_BATCH,))
        loss = (student(x[index]) - y[index]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return student.eval()


def _pairs(
    before: Sequence[np.ndarray],
    colour: Sequence[np.ndarray],
    chosen: list[int],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    x = np.concatenate([before[i].reshape(-1, 3) for i in chosen])
    y = np.concatenate([colour[i].reshape(-1, 2) for i in chosen])
    some = rng.permutation(len(x))[:_MOST]
    return x[some].astype(np.float32) / 255, y[some].astype(np.float32) / np.float32(AB_SCALE)
