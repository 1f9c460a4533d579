"""Learning a style: the network of paper 3 sees lightness and learns the pool's colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

from napari_pathogan.colour.lab import AB_SCALE, lightness, to_lab, to_rgb
from napari_pathogan.engine import trainer as base
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished
from napari_pathogan.tasks.stain.network import Colouriser, colours, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.stain.config import TrainConfig
    from napari_pathogan.tasks.stain.data import StylePool

_PREVIEWS, _PREVIEW_PX = 4, 256


class Trainer(base.Trainer["TrainConfig", torch.Tensor]):
    """The network, the pool, and one step."""

    def __init__(self, pool: StylePool, config: TrainConfig, device: Device) -> None:
        super().__init__(config, device)
        self.pool, self.steps = pool, config.steps
        self.lab = [torch.from_numpy(to_lab(image)).permute(2, 0, 1) for image in pool.images]
        self.labels = torch.tensor(pool.labels)
        self.classes = len(pool.classes) if config.class_loss > 0 and len(pool.classes) > 1 else 0
        self.network = self.add("network", Colouriser(config.width, self.classes))
        self.optimisers["network"] = torch.optim.Adadelta(
            self.network.parameters(), lr=config.lr, rho=config.rho, eps=config.eps
        )

    def batches(self) -> torch.Tensor:
        """Draw the pictures of an epoch: int64 (steps, batch), each picture as often as any."""
        return torch.randint(len(self.lab), (self.steps, self.config.batch))

    def step(self, index: torch.Tensor, number: int) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """One step on random crops, flipped and turned; returns the losses."""
        c, to = self.config, self.device.torch
        lab = torch.stack([_crop(self.lab[i], c.crop) for i in index]).to(to)
        seen = _vary(lab[:, :1] / 100, c.lightness).contiguous(memory_format=torch.channels_last)
        self.network.train()
        with self.device.autocast:
            colour, logits = self.network(seen)
            losses = {"colour": F.mse_loss(colour.float(), lab[:, 1:] / AB_SCALE)}
            total = losses["colour"]
            if logits is not None:
                losses["class"] = F.cross_entropy(logits.float(), self.labels[index].to(to))
                total = total + c.class_loss * losses["class"]
        self.update("network", total)
        return {name: loss.detach() for name, loss in losses.items()}

    def trained(self) -> Colouriser:
        """The (averaged) network, ready to apply."""
        network = Colouriser(self.config.width, self.classes)
        network.load_state_dict(self.weights("network"))
        return network.eval().requires_grad_(requires_grad=False)

    def preview(self) -> tuple[str, np.ndarray]:
        """Images of the pool above, the same coloured from their lightness below."""
        network, pairs = self.trained(), []
        for image in self.pool.images[:: max(1, len(self.pool) // _PREVIEWS)][:_PREVIEWS]:
            part = whole(image[:_PREVIEW_PX, :_PREVIEW_PX])
            light = lightness(part)
            rest = (*((0, _PREVIEW_PX - n) for n in part.shape[:2]), (0, 0))
            both = (part, to_rgb(np.dstack([light, colours(network, light)])))
            pairs.append(np.concatenate([np.pad(x, rest, constant_values=255) for x in both]))
        text = "above as they are, below coloured from lightness alone"
        return text, np.concatenate(pairs, 1)


def train(
    pool: StylePool, config: TrainConfig, run: RunFolder, *, device: str = "auto"
) -> Iterator[Event]:
    """Learn a pool's style.

    A checkpoint in ``run`` is gone on from.

    Yields
    ------
    Progress, Metrics, Preview, Checkpoint, and Finished with the :class:`Colouriser`.

    Raises
    ------
    TrainingDivergedError
        If a loss becomes NaN or infinite; the checkpoint before it stays.
    """
    trainer = Trainer(pool, config, choose_device(device))
    yield from trainer.go_on(run)
    yield Finished(trainer.trained(), {"epochs": trainer.epoch})


def _crop(lab: torch.Tensor, side: int) -> torch.Tensor:
    """A random square, flipped and turned at random; mirrored where the picture is too small."""
    y, x = (int(torch.randint(max(1, n - side + 1), ())) for n in lab.shape[1:])
    part = lab[:, y : y + side, x : x + side]
    while min(part.shape[1:]) < side:  # a picture can be mirrored no further than its other side
        below, right = (min(side - n, n - 1) for n in part.shape[1:])
        part = F.pad(part[None], (0, right, 0, below), mode="reflect")[0]
    turns, flip = int(torch.randint(4, ())), bool(torch.rand(()) < 0.5)
    part = torch.rot90(part, turns, (1, 2))
    return part.flip(2) if flip else part


def _vary(light: torch.Tensor, strength: float) -> torch.Tensor:
    """Vary contrast and density of each picture, (N, 1, H, W) in [0, 1]; white stays white."""
    if not strength:
        return light
    contrast, gain = (torch.rand(2, len(light), 1, 1, 1).to(light.device) * 2 - 1) * strength
    middle = light.mean((1, 2, 3), keepdim=True)
    varied = middle + (light - middle) * (1 + contrast)
    dark = 1 - (1 - varied) * (1 + gain / 2)
    return torch.where(light > 0.97, light, dark).clamp(0, 1)
