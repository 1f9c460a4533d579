"""The InfoGAN's networks (section 3.3): a generator, and a critic with a class head.

A crop of 40 px is halved three times by strides: 40, 20, 10, 5. No layer of the critic mixes the
nuclei of a batch, as the gradient penalty asks.
"""

from __future__ import annotations

import torch
from torch import nn

from napari_pathogan.nuclei.classes.crops import CROP_PX

LATENT = 16
_SMALLEST = CROP_PX // 8


class Generator(nn.Module):
    """Draws a nucleus of the class asked for from noise.

    Parameters
    ----------
    classes
        Classes of the categorical variable c: the paper's 3, or 5.
    width
        Filters of the last hidden layer; the layers before have twice and four times as many.
    latent
        Length of the noise z.
    """

    def __init__(self, classes: int = 3, width: int = 32, latent: int = LATENT) -> None:
        super().__init__()
        self.classes, self.latent, self.start = classes, latent, 4 * width
        self.project = nn.Linear(latent + classes, self.start * _SMALLEST**2)
        channels = [4 * width, 2 * width, width, 3]
        layers: list[nn.Module] = [nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for i in range(3):
            layers.append(nn.ConvTranspose2d(channels[i], channels[i + 1], 4, 2, 1))
            layers += [nn.BatchNorm2d(channels[i + 1]), nn.ReLU()] if i < 2 else [nn.Tanh()]
        self.trunk = nn.Sequential(*layers)

    def forward(self, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """Noise (N, latent) and classes (N,) int64 -> nuclei (N, 3, 40, 40) in [-1, 1]."""
        asked = nn.functional.one_hot(c, self.classes).to(z)
        h = self.project(torch.cat([z, asked], 1)).view(-1, self.start, _SMALLEST, _SMALLEST)
        drawn: torch.Tensor = self.trunk(h)
        return drawn


class Critic(nn.Module):
    """The trunk D with its heads: D_D (how real), D_Q (which class), and one that estimates z.

    Parameters
    ----------
    classes, latent
        As for the generator.
    width
        Filters of the first layer; the next have twice and four times as many.
    pooled
        Whether the class head sees features averaged over the picture (the paper's outlook: a
        weaker, higher-level class head) instead of every feature at every place.
    """

    def __init__(
        self, classes: int = 3, width: int = 32, latent: int = LATENT, *, pooled: bool = False
    ) -> None:
        super().__init__()
        channels = [3, width, 2 * width, 4 * width]
        layers: list[nn.Module] = []
        for i in range(3):
            layers += [nn.Conv2d(channels[i], channels[i + 1], 4, 2, 1), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.pooled = pooled
        flat = channels[3] * _SMALLEST**2
        self.real = nn.Linear(flat, 1)
        self.noise = nn.Linear(flat, latent)
        self.classify = nn.Linear(channels[3] if pooled else flat, classes)

    def features(self, h: torch.Tensor) -> torch.Tensor:
        """What the class head looks at: trunk (N, C, 5, 5) -> (N, F)."""
        return h.mean((2, 3)) if self.pooled else h.flatten(1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(N, 3, 40, 40) in [-1, 1] -> critic (N,), class logits (N, classes), noise (N, latent)."""
        h = self.trunk(x)
        flat = h.flatten(1)
        return self.real(flat)[:, 0], self.classify(self.features(h)), self.noise(flat)
