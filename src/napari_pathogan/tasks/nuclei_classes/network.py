"""The InfoGAN's networks (section 3.3): a generator, and a critic with a class head.

A crop of 40 px is halved three times by strides: 40, 20, 10, 5. No layer of the critic mixes the
nuclei of a batch, as the gradient penalty asks.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_pathogan.tasks.nuclei_classes.crops import CROP_PX
from napari_pathogan.tasks.nuclei_classes.figures import (
    N_DENSITIES,
    N_FIGURES,
    Densities,
    Figures,
)

if TYPE_CHECKING:
    from napari_pathogan.tasks.nuclei_classes.config import Head

LATENT = 16
_SMALLEST = CROP_PX // 8
_HIDDEN = 32  # of the class head that sees figures
FITTED = ("figures", "rings")  # heads that can be fitted to real nuclei
_CLIP = 4.0  # standard deviations: a blot of ink says no more than a dark nucleus


class Generator(nn.Module):
    """Draws a nucleus of the class asked for from noise.

    Parameters
    ----------
    classes
        Classes of the categorical variable c: the paper's 3, or 5.
    width
        Filters of the two finest layers; the layers before have twice and four times as many.
    latent
        Length of the noise z.
    """

    def __init__(self, classes: int = 3, width: int = 32, latent: int = LATENT) -> None:
        super().__init__()
        self.classes, self.latent, self.start = classes, latent, 4 * width
        self.project = nn.Linear(latent + classes, self.start * _SMALLEST**2)
        channels = [4 * width, 2 * width, width, width]
        layers: list[nn.Module] = [nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for inputs, outputs in itertools.pairwise(channels):
            layers += [  # transposed convolutions would leave a checkerboard
                nn.Upsample(scale_factor=2, mode="bilinear"),
                nn.Conv2d(inputs, outputs, 3, 1, 1),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        layers += [nn.Conv2d(width, 3, 3, 1, 1), nn.Tanh()]
        self.trunk = nn.Sequential(*layers)

    def forward(self, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """Noise (N, latent) and classes (N,) int64 -> nuclei (N, 3, 40, 40) in [-1, 1]."""
        asked = nn.functional.one_hot(c, self.classes).to(z)
        h = self.project(torch.cat([z, asked], 1)).view(-1, self.start, _SMALLEST, _SMALLEST)
        drawn: torch.Tensor = self.trunk(h)
        return drawn


@torch.no_grad()
def settle(generator: Generator, prior: torch.Tensor, batches: int = 10, batch: int = 128) -> None:
    """Measure a generator's batch statistics anew, in place.

    Those that it gathered while learning fit weights that it no longer has, the less so where the
    weights are averages. ``prior`` (classes,) says how often each class is drawn.
    """
    rng = torch.Generator().manual_seed(0)
    norms = [part for part in generator.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches to come
    generator.train()
    for _ in range(batches):
        z = torch.randn(batch, generator.latent, generator=rng)
        generator(z, torch.multinomial(prior, batch, replacement=True, generator=rng))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    generator.eval()


class Critic(nn.Module):
    """The trunk D with its heads: D_D (how real), D_Q (which class), and one that estimates z.

    Parameters
    ----------
    classes, latent
        As for the generator.
    width
        Filters of the first layer; the next have twice and four times as many.
    head
        What the class head looks at. ``flat``: every feature of the trunk at every place, as in
        the paper. ``pooled``: features averaged over the picture. ``figures``: the 40 of
        :class:`.figures.Figures` and nothing else. ``rings``: the 30 of
        :class:`.figures.Densities`, which one linear layer looks at. The last three are the
        weaker, higher-level class heads of the paper's outlook.
    told
        Whether D_D is told what a nucleus is said to be, and so judges it among its like
        (the projection of Miyato and Koyama 2018).
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self,
        classes: int = 3,
        width: int = 32,
        latent: int = LATENT,
        head: Head = "flat",
        *,
        told: bool = False,
    ) -> None:
        super().__init__()
        channels = [3, width, 2 * width, 4 * width]
        layers: list[nn.Module] = []
        for i in range(3):
            layers += [nn.Conv2d(channels[i], channels[i + 1], 4, 2, 1), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.head = head
        flat = channels[3] * _SMALLEST**2
        self.real = nn.Linear(flat, 1)
        self.noise = nn.Linear(flat, latent)
        sizes = {"flat": flat, "pooled": channels[3], "figures": _HIDDEN, "rings": N_DENSITIES}
        self.n_features = sizes[head]
        if head in FITTED:
            self.figures = Figures() if head == "figures" else Densities()
            if head == "figures":
                self.hidden = nn.Linear(N_FIGURES, _HIDDEN)
            figures = N_FIGURES if head == "figures" else N_DENSITIES
            self.register_buffer("shift", torch.zeros(figures))
            self.register_buffer("scale", torch.ones(figures))
        self.classify = nn.Linear(self.n_features, classes)
        self.of_class = nn.Linear(flat, classes, bias=False) if told else None

    @property
    def fitted(self) -> nn.Sequential:
        """The layers that are fitted to real nuclei: scaled figures (N, F) -> class logits."""
        before = [self.hidden, nn.ReLU()] if self.head == "figures" else []
        return nn.Sequential(*before, self.classify)

    def standardise(self, figures: torch.Tensor) -> None:
        """Measure the mean and spread of real nuclei's figures (N, F), to divide by."""
        self.shift.copy_(figures.mean(0))
        self.scale.copy_(figures.std(0, correction=0).clamp(min=1e-3))

    def scaled(self, figures: torch.Tensor) -> torch.Tensor:
        """Figures (..., F) in spreads from the mean, at most 4."""
        return ((figures - self.shift) / self.scale).clamp(-_CLIP, _CLIP)

    def value(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """How real: (N, 3, 40, 40) in [-1, 1], said to be of classes (N,) int64 -> (N,)."""
        return self._judged(self.trunk(x).flatten(1), c)

    def _judged(self, flat: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = self.real(flat)
        if self.of_class is not None:
            value = value + self.of_class(flat).gather(1, c[:, None])
        return value[:, 0]

    def features(self, x: torch.Tensor, h: torch.Tensor | None = None) -> torch.Tensor:
        """What the class head looks at: (N, 3, 40, 40) -> (N, ``n_features``).

        ``h`` is the trunk's output, where it is known already.
        """
        if self.head in FITTED:
            scaled = self.scaled(self.figures(x))
            return self.hidden(scaled).relu() if self.head == "figures" else scaled
        h = self.trunk(x) if h is None else h
        return h.mean((2, 3)) if self.head == "pooled" else h.flatten(1)

    def classes(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits: (N, 3, 40, 40) in [-1, 1] -> (N, classes)."""
        return self.classify(self.features(x))

    def forward(
        self, x: torch.Tensor, c: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Judge nuclei (N, 3, 40, 40) in [-1, 1], said to be of classes (N,) int64.

        Returns
        -------
        value (N,), class logits (N, classes), noise (N, latent).
        """
        h = self.trunk(x)
        flat = h.flatten(1)
        return self._judged(flat, c), self.classify(self.features(x, h)), self.noise(flat)
