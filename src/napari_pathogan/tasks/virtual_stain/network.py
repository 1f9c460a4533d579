"""The networks of a CycleGAN (Zhu et al. 2017), as paper 4 (section 3.2) uses them.

A generator with 9 residual blocks and instance normalisation, and a discriminator of 70 px patches.
Images are (N, 3, H, W) in [-1, 1] for both: :func:`signed` and :func:`to_uint8` convert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

STRIDE = 4  # sides of what a generator sees are multiples of it
MARGIN = 92  # what lies further off changes a pixel by statistics alone; a multiple of 4
PATCH_PX = 70  # receptive field of the discriminator
EPSILON = 1e-5
_SPREAD = 0.02  # of the first weights
_FULL = 0.99  # of the range: where tanh still has a slope to learn by


class Norm(Protocol):
    """How features are normalised; what takes a slide's statistics in place of a tile's is one too."""

    def __call__(self, features: torch.Tensor, layer: int, /) -> torch.Tensor:
        """Normalise (N, C, H, W); ``layer`` counts the generator's normalisations from 0."""


def moments(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of each feature map: float32 (N, C, 1, 1) each."""
    wide = features.float()
    mean = wide.mean((2, 3), keepdim=True)
    return mean, (wide - mean).square().mean((2, 3), keepdim=True)


def standardised(
    features: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor
) -> torch.Tensor:
    """Features with a mean taken off and divided by the root of a variance, which broadcast."""
    wide = (features.float() - mean) * torch.rsqrt(variance + EPSILON)
    return wide.to(features.dtype)


def instance_norm(features: torch.Tensor, layer: int = 0, /) -> torch.Tensor:  # noqa: ARG001
    """Instance normalisation, image by image: torch's own leaves channels-last, which is slow."""
    made = [F.batch_norm(one[None], None, None, training=True, eps=EPSILON) for one in features]
    return torch.cat(made)


class Generator(nn.Module):
    """c7s1, two layers down, residual blocks, two up, c7s1: an image in another stain.

    Parameters
    ----------
    ngf
        Channels at full size; 64 in the paper.
    blocks
        Residual blocks; 9 in the paper.
    residual
        Whether what it makes is added to the image in grey, before the last tanh: structure need not be
        learnt first, colours must. (Added to the image itself, it stays the identity: no change of
        colour pays for its cycle loss.) Not in the paper.
    """

    def __init__(self, ngf: int = 64, blocks: int = 9, *, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.first = nn.Conv2d(3, ngf, 7)
        self.down = nn.ModuleList(
            nn.Conv2d(ngf * n, 2 * ngf * n, 3, stride=2, padding=1) for n in (1, 2)
        )
        self.blocks = nn.ModuleList(_Block(4 * ngf) for _ in range(blocks))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * ngf * n, ngf * n, 3, stride=2, padding=1, output_padding=1)
            for n in (2, 1)
        )
        self.last = nn.Conv2d(ngf, 3, 7)
        self.apply(_begin)
        if residual:
            nn.init.zeros_(self.last.weight)

    def forward(self, image: torch.Tensor, norm: Norm = instance_norm) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] -> the same; H and W multiples of 4, at least 8."""
        layer = 0

        def normalised(x: torch.Tensor) -> torch.Tensor:
            nonlocal layer
            layer += 1
            return norm(x, layer - 1)

        x = F.relu(normalised(self.first(_mirrored(image, 3))))
        for conv in self.down:
            x = F.relu(normalised(conv(x)))
        for block in self.blocks:
            assert isinstance(block, _Block)
            inner = F.relu(normalised(block.first(_mirrored(x, 1))))
            x = x + normalised(block.second(_mirrored(inner, 1)))
        for conv in self.up:
            x = F.relu(normalised(conv(x)))
        made = self.last(_mirrored(x, 3))
        if self.residual:
            grey = image.mean(1, keepdim=True)
            made = made + torch.atanh(grey.clamp(-_FULL, _FULL))
        return torch.tanh(made)


class _Block(nn.Module):
    """The two convolutions of a residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3)
        self.second = nn.Conv2d(channels, channels, 3)


class Discriminator(nn.Module):
    """Judges every patch of 70 x 70 px: five convolutions of 4 x 4, three of stride 2.

    Parameters
    ----------
    ndf
        Filters of the first layer; 64 in the paper.
    """

    def __init__(self, ndf: int = 64) -> None:
        super().__init__()
        widths = [3, ndf, 2 * ndf, 4 * ndf, 8 * ndf, 1]
        strides = (2, 2, 2, 1, 1)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride, padding=1)
            for before, after, stride in zip(widths, widths[1:], strides, strict=False)
        )
        self.apply(_begin)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] -> how real each patch is, (N, 1, H / 8 - 2, W / 8 - 2)."""
        x = F.leaky_relu(self.layers[0](image), 0.2)
        for conv in self.layers[1:-1]:
            x = F.leaky_relu(instance_norm(conv(x)), 0.2)
        judged: torch.Tensor = self.layers[-1](x)
        return judged


def signed(images: np.ndarray | Sequence[np.ndarray]) -> torch.Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [-1, 1], channels last."""
    pixels = torch.tensor(np.asarray(images))
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def unit(images: torch.Tensor) -> torch.Tensor:
    """What a generator gives, in [-1, 1], as a classifier takes it, in [0, 1]."""
    return (images + 1) / 2


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """(N, 3, H, W) in [-1, 1] -> uint8 (N, H, W, 3)."""
    levels = (unit(images.detach().float()) * 255).round().clamp(0, 255)
    pixels: np.ndarray = levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels


def _mirrored(x: torch.Tensor, edge: int) -> torch.Tensor:
    return F.pad(x, (edge,) * 4, mode="reflect")


def _begin(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, _SPREAD)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
