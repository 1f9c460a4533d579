"""Learning a style: the network of paper 3 sees lightness and learns the pool's colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from PIL import Image

from napari_pathogan.colour.lab import AB_SCALE, lightness, to_lab, to_rgb
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished, Metrics, Preview
from napari_pathogan.engine.runs import EMA
from napari_pathogan.engine.training import Pace, kept, one_epoch, resumed
from napari_pathogan.files import written
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.stain.network import Colouriser, colours, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.stain.config import TrainConfig
    from napari_pathogan.tasks.stain.data import StylePool

_PREVIEWS, _PREVIEW_PX = 4, 256


class Trainer:
    """The network, its optimiser and average, and one step."""

    def __init__(self, pool: StylePool, config: TrainConfig, device: Device) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        self.epoch, self.steps = 0, config.steps
        self.lab = [torch.from_numpy(to_lab(image)).permute(2, 0, 1) for image in pool.images]
        self.labels = torch.tensor(pool.labels)
        self.classes = len(pool.classes) if config.class_loss > 0 and len(pool.classes) > 1 else 0
        self.network = Colouriser(config.width, self.classes).to(device.torch)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = EMA(self.network, config.ema)
        self.optimiser = torch.optim.Adadelta(
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
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.ema.update(self.network)
        return {name: loss.detach() for name, loss in losses.items()}

    def set_lr(self, progress: float) -> float:
        """Set the learning rate to where the schedule is; returns it."""
        share = min(1.0, (1 - progress) / self.config.anneal) if self.config.anneal else 1.0
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.lr * share
        return self.config.lr * share

    def trained(self) -> Colouriser:
        """The (averaged) network, ready to apply."""
        network = Colouriser(self.config.width, self.classes)
        network.load_state_dict(self.ema.shadow if self.config.ema else self.network.state_dict())
        return network.eval().requires_grad_(requires_grad=False)

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {
            "epoch": self.epoch,
            "network": dict(self.network.state_dict()),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.epoch = state["epoch"]
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])


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
    yield from resumed(trainer, run)
    pace = Pace(trainer)
    while trainer.epoch < config.epochs:
        metrics = Metrics(trainer.epoch + 1, (yield from one_epoch(trainer, pace)))
        run.log(metrics)
        yield metrics
        yield _preview(trainer, pool, run)
        yield kept(trainer, run)
    yield Finished(trainer.trained(), {"epochs": trainer.epoch})


def _preview(trainer: Trainer, pool: StylePool, run: RunFolder) -> Preview:
    """Images of the pool above, the same coloured from their lightness below."""
    network, pairs = trainer.trained(), []
    for image in pool.images[:: max(1, len(pool) // _PREVIEWS)][:_PREVIEWS]:
        part = whole(image[:_PREVIEW_PX, :_PREVIEW_PX])
        light = lightness(part)
        rest = (*((0, _PREVIEW_PX - n) for n in part.shape[:2]), (0, 0))
        both = (part, to_rgb(np.dstack([light, colours(network, light)])))
        pairs.append(np.concatenate([np.pad(x, rest, constant_values=255) for x in both]))
    picture = np.concatenate(pairs, 1)
    path = run.previews / f"epoch_{trainer.epoch:04d}.png"
    with written(path, OURS) as beside:
        Image.fromarray(picture).save(beside)
    return Preview("above as they are, below coloured from lightness alone", picture, path)


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
