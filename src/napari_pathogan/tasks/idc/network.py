"""The paper's two networks: a class-conditional generator and a discriminator with two heads.

Layers count their filters linearly, ``64 * layer * width`` (section 3.2: 64, 128, 192, 256, 320 at
width 1), and halve a 50 px patch by strides alone: 50, 25, 13, 7, 4, 2. Spectral normalisation is
on every convolution but the first and the last of each network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

if TYPE_CHECKING:
    import numpy as np

PATCH_PX = 50
SIZES = (50, 25, 13, 7, 4, 2)


def filters(width: float) -> list[int]:
    """Filters of the five layers, ``64 * layer * width``."""
    return [max(1, int(64 * layer * width)) for layer in range(1, 6)]


class Discriminator(nn.Module):
    """Tells IDC from healthy, and real from generated (section 3.2); it never sees the class.

    Parameters
    ----------
    width
        The paper's width multiplier: 1, 2 or 4 (1.5, 5.9 and 23.6 million parameters).
    dropout
        Share of the features dropped before the two linear heads while training.
    spectral
        Normalise the weights while training; false for a network with folded weights.
    """

    def __init__(self, width: float = 1.0, dropout: float = 0.0, *, spectral: bool = True) -> None:
        super().__init__()
        channels = [3, *filters(width)]
        layers: list[nn.Module] = []
        for i in range(5):
            convolution: nn.Module = nn.Conv2d(channels[i], channels[i + 1], 3, 2, 1)
            if spectral and 0 < i < 4:
                convolution = spectral_norm(convolution)
            # in place where nothing learns: a fifth faster
            layers += [convolution, nn.LeakyReLU(0.2, inplace=not spectral)]
        self.trunk = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.n_features = channels[5] * SIZES[5] ** 2
        self.real = nn.Linear(self.n_features, 1)
        self.idc = nn.Linear(self.n_features, 1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 50, 50) in [-1, 1] -> (N, ``n_features``), what both heads look at."""
        features: torch.Tensor = self.trunk(x).flatten(1)
        return features

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 3, 50, 50) in [-1, 1] -> logits of being real (N,) and of being IDC (N,)."""
        h = self.dropout(self.features(x))
        return self.real(h)[:, 0], self.idc(h)[:, 0]


class Generator(nn.Module):
    """Draws a patch of the class asked for from noise (section 3.2, mirrored).

    A linear layer lays noise and class out as 2 x 2 features; five transposed convolutions
    lead to 50 x 50. Strides alone would end at 33, so two layers pad their output by one.

    Parameters
    ----------
    width
        Width multiplier, as for the discriminator.
    seeds
        Length of the noise vector that the linear layer sees.
    local_noise
        Whether each hidden layer adds noise of its own, pixel by pixel (Karras et al. 2019), so
        that fine texture need not be spun out of ``seeds`` alone; not in the paper.
    batch_norm
        Whether hidden layers normalise over the batch; the paper names no such layer.
    spectral
        Normalise the weights while training; false for a network with folded weights.
    """

    def __init__(
        self,
        width: float = 1.0,
        seeds: int = 100,
        *,
        local_noise: bool = False,
        batch_norm: bool = False,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        self.seeds = seeds
        channels = [*filters(width)[::-1], 3]
        self.start = channels[0]
        self.project = nn.Linear(seeds + 2, self.start * SIZES[5] ** 2)
        layers: list[nn.Module] = [nn.BatchNorm2d(self.start), nn.ReLU()]
        layers = layers if batch_norm else layers[1:]
        for i in range(5):
            padding = SIZES[4 - i] - (2 * SIZES[5 - i] - 1)
            layer: nn.Module = nn.ConvTranspose2d(
                channels[i], channels[i + 1], 3, 2, 1, output_padding=padding
            )
            layers += [spectral_norm(layer) if spectral and 0 < i < 4 else layer]
            layers += [LocalNoise(channels[i + 1], SIZES[4 - i])] if local_noise and i < 4 else []
            layers += [nn.BatchNorm2d(channels[i + 1])] if batch_norm and i < 4 else []
            layers += [nn.ReLU() if i < 4 else nn.Tanh()]
        self.trunk = nn.Sequential(*layers)

    @property
    def latent(self) -> int:
        """Length of the noise that :meth:`forward` takes, all layers together."""
        return self.seeds + sum(m.size**2 for m in self.trunk if isinstance(m, LocalNoise))

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Noise (N, latent) and class (N,) of 0 or 1 -> patches (N, 3, 50, 50) in [-1, 1]."""
        z, local = z[:, : self.seeds], z[:, self.seeds :]
        condition = torch.stack([1 - y, y], 1).to(z)
        h = self.project(torch.cat([z, condition], 1)).view(-1, self.start, SIZES[5], SIZES[5])
        for module in self.trunk:
            if isinstance(module, LocalNoise):
                h, local = module(h, local)
            else:
                h = module(h)
        drawn: torch.Tensor = h
        return drawn


class LocalNoise(nn.Module):
    """Adds one map of noise to all channels, each by a strength that it learns.

    Parameters
    ----------
    channels, size
        Of the features: (N, channels, size, size).
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.strength = nn.Parameter(torch.full((channels, 1, 1), 0.1))

    def forward(self, h: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features and noise (N, at least size**2) -> features, and the noise that is left."""
        own = z[:, : self.size**2].view(-1, 1, self.size, self.size)
        return h + self.strength * own, z[:, self.size**2 :]


def to_bytes(drawn: torch.Tensor) -> np.ndarray:
    """Turn what a generator drew, (N, 3, H, W) in [-1, 1], into uint8 RGB (N, H, W, 3)."""
    scaled = (drawn.detach().float().cpu().permute(0, 2, 3, 1) + 1) * 127.5
    pixels: np.ndarray = scaled.round().to(torch.uint8).numpy()
    return pixels


@torch.no_grad()
def folded_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Weights of ``module`` with spectral norms folded in: the state of ``spectral=False``."""
    module.eval()
    state = {k: v for k, v in module.state_dict().items() if ".parametrizations." not in k}
    for name, part in module.named_modules():
        if parametrize.is_parametrized(part, "weight"):
            state[f"{name}.weight"] = part.weight
    return {k: v.detach().cpu().clone() for k, v in state.items()}
