"""Training the classifier together with its generators (section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pathogan.engine import trainer as base
from napari_pathogan.engine.devices import in_batches
from napari_pathogan.engine.trainer import shuffled
from napari_pathogan.tasks.virtual_stain.g2c.config import TrainConfig
from napari_pathogan.tasks.virtual_stain.g2c.losses import focal_loss
from napari_pathogan.tasks.virtual_stain.g2c.network import G2C, new_backend

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from napari_pathogan.engine.devices import Device
    from napari_pathogan.tasks.virtual_stain.g2c.data import ClassFolder

_BATCH = 64
_GREY = (0.299, 0.587, 0.114)


class Trainer(base.Trainer[TrainConfig, torch.Tensor]):
    """The network, its images, and one step of learning.

    Parameters
    ----------
    generators
        Of this arm; they are copied, so that arms don't share what they learn.
    seen
        float32 (N, M + 1, F): what the back end sees of the images, where nothing before the front
        end ever changes (``config.still``). Without it that is computed in every step.
    """

    def __init__(
        self,
        images: ClassFolder,
        config: TrainConfig,
        device: Device,
        generators: Sequence[nn.Module] = (),
        seen: torch.Tensor | None = None,
    ) -> None:
        super().__init__(config, device)
        self.images, self.seen = images, seen
        self.labels = torch.from_numpy(images.labels)
        self.steps = max(1, len(images) // config.batch)
        # the back end first: it begins alike in all arms
        network = G2C(new_backend(config), generators, len(images.classes))
        self.g2c = self.add("g2c", network, averaged=False)
        self.optimisers["g2c"] = torch.optim.SGD(
            self.g2c.parameters(), config.lr, momentum=config.momentum
        )

    def batches(self) -> Iterator[torch.Tensor]:
        """Draw the images of an epoch, and let the generators learn from their epoch on."""
        c = self.config
        self.g2c.freeze(frozen=not c.joint or self.epoch < c.freeze)
        drawn = self.steps * min(c.batch, len(self.labels))
        if c.balanced:
            kinds = shuffled(torch.arange(len(self.images.classes)), drawn)
            index = torch.empty_like(kinds)
            for kind in range(len(self.images.classes)):
                own, which = torch.nonzero(self.labels == kind)[:, 0], kinds == kind
                index[which] = shuffled(own, int(which.sum()))
        else:
            index = shuffled(torch.arange(len(self.labels)), drawn)
        yield from index.view(self.steps, -1)

    def step(self, batch: torch.Tensor, number: int) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Learn from some images."""
        to = self.device.torch
        if self.seen is not None:
            logits = self.g2c.decide(self.seen[batch].to(to))
        else:
            x = augmented(self.images.batch(batch, self.config.side).to(to), self.config)
            with self.device.autocast:
                logits = self.g2c(x)
        loss = focal_loss(logits, self.labels[batch].to(to), self.config.gamma)
        self.update("g2c", loss)
        return {"loss": loss.detach()}


def augmented(x: torch.Tensor, config: TrainConfig) -> torch.Tensor:
    """Flips, brightness and saturation, drawn image by image: (N, 3, H, W) in [0, 1]."""

    def drawn(within: float) -> torch.Tensor:
        return 1 + within * (2 * torch.rand(len(x), 1, 1, 1) - 1).to(x.device)

    if config.flips:
        for dim in (2, 3):
            turned = (torch.rand(len(x)) < 0.5).to(x.device)[:, None, None, None]
            x = torch.where(turned, x.flip(dim), x)
    if config.brightness:
        x = (x * drawn(config.brightness)).clamp(0, 1)
    if config.saturation:
        grey = (x * x.new_tensor(_GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
        x = torch.lerp(grey, x, drawn(config.saturation)).clamp(0, 1)
    return x


def look(
    network: G2C, images: ClassFolder, side: int, device: Device
) -> Iterator[tuple[slice, torch.Tensor]]:
    """What the back end sees of images, a part after another: float32 (n, M + 1, F), on the CPU."""
    network.eval()

    def seen(part: slice) -> torch.Tensor:
        x = images.batch(np.arange(len(images))[part], side).to(device.torch)
        with torch.inference_mode(), device.autocast:
            return network.look(network.stains(x)).cpu()

    yield from in_batches(len(images), _BATCH, seen)
