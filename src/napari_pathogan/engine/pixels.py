"""Images as networks see them: bytes made floats, in other colours, laid down in eight ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np


def as_input(images: torch.Tensor, recolour: tuple[np.ndarray, np.ndarray] | None) -> torch.Tensor:
    """Bytes as networks take them: uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [-1, 1].

    ``recolour`` is a matrix (3, 3) and an offset (3,) applied to RGB in [0, 1] first.
    """
    x = images.float()
    if recolour is None:
        x = x * (2 / 255) - 1
    else:  # both in one step
        matrix, offset = recolour
        scale = torch.tensor(matrix.T * (2 / 255), dtype=torch.float32, device=x.device)
        shift = torch.tensor(offset * 2 - 1, dtype=torch.float32, device=x.device)
        x = (x @ scale + shift).clamp_(-1, 1)
    return x.permute(0, 3, 1, 2)  # a view: bytes come channels last


def view(x: torch.Tensor, number: int) -> torch.Tensor:
    """One of the 8 ways to lay an image down; 0 is as it is. (N, C, H, W), sides may swap."""
    if number & 1:
        x = x.flip(2)
    if number & 2:
        x = x.flip(3)
    return x.transpose(2, 3) if number & 4 else x


def view_back(x: torch.Tensor, number: int) -> torch.Tensor:
    """Undo :func:`view`."""
    if number & 4:
        x = x.transpose(2, 3)
    if number & 2:
        x = x.flip(3)
    return x.flip(2) if number & 1 else x


def optical_density(values: torch.Tensor) -> torch.Tensor:
    """Natural optical density of bytes as floats, of any shape; 255 has 0."""
    return -((values + 1) / 256).log()
