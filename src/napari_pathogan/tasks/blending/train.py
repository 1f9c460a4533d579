"""Training: generator and patch discriminator against each other, with the prior losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from PIL import Image

from napari_pathogan.engine.config import one_cycle
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished, Metrics, Preview
from napari_pathogan.engine.runs import EMA
from napari_pathogan.engine.training import Pace, kept, one_epoch, resumed
from napari_pathogan.files import written
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.blending.data import Material, noisy
from napari_pathogan.tasks.blending.losses import (
    adversarial_loss,
    background_loss,
    seamless_pyramid,
)
from napari_pathogan.tasks.blending.network import Discriminator, Generator
from napari_pathogan.tasks.blending.poisson import poisson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.blending.config import TrainConfig
    from napari_pathogan.tasks.blending.lesions import Stage
    from napari_pathogan.tasks.masses.data import MassFolder

_SHOWN = 6  # crops in a preview

Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor]


class Trainer:
    """The two networks, their optimisers, the average of the generator, and one step."""

    def __init__(self, material: Material, config: TrainConfig, device: Device) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device, self.material = config, device, material
        self.epoch, self.steps = 0, config.steps
        self.g = Generator(config.width, membrane=config.membrane).to(device.torch)
        self.d = Discriminator(config.judge).to(device.torch)
        for network in (self.g, self.d):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = EMA(self.g, config.ema)
        self.optimisers = {
            "g": torch.optim.Adam(self.g.parameters(), config.lr, config.betas),
            "d": torch.optim.Adam(self.d.parameters(), config.lr_judge, config.betas),
        }
        rng = np.random.default_rng(config.seed)
        self.shown = [self._stage(rng) for _ in range(_SHOWN)]

    def _stage(self, rng: np.random.Generator) -> Stage:
        c = self.config
        stage = self.material.stage(rng, c.crop, c.smallest, c.largest)
        return stage if c.method == "blending" else noisy(stage, rng)

    def batches(self) -> Iterator[Batch]:
        """Draw an epoch's stages, float32 (B, 4, 1, S, S), and real crops (B, 1, S, S)."""
        rng = np.random.default_rng(int(torch.randint(2**31, ())))
        for _ in range(self.steps):
            stages = [self._stage(rng) for _ in range(self.config.batch)]
            real = [self.material.real(rng, self.config.crop) for _ in stages]
            yield stacked(stages), torch.from_numpy(np.stack(real))[:, None]

    def step(self, batch: Batch, number: int) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """One step of the discriminator and one of the generator; returns the losses."""
        x, e, pasted, w = batch[0].to(self.device.torch).unbind(1)
        real = batch[1].to(self.device.torch)
        with self.device.autocast:
            made = self.g(x, pasted, w)
            seen = torch.cat([real, made.detach()])
            says = self.d(seen).float()
        d = adversarial_loss(says[: len(real)], real=True)
        d = d + adversarial_loss(says[len(real) :], real=False)
        self._update("d", d)
        self.d.requires_grad_(requires_grad=False)
        with self.device.autocast:
            doubted = self.d(made).float()
        self.d.requires_grad_(requires_grad=True)
        losses = {"adversarial": adversarial_loss(doubted, real=True)}
        total = losses["adversarial"]
        if self.config.method == "blending":
            made, x, e = (self.config.unit * part.float() for part in (made, x, e))
            losses["seamless"] = seamless_pyramid(made, x, e, w, self.config.levels)
            losses["background"] = background_loss(made, x, w)
            total = total + self.config.prior * (losses["seamless"] + losses["background"])
        self._update("g", total)
        self.ema.update(self.g)
        return {name: loss.detach() for name, loss in {"d": d, **losses}.items()}

    def _update(self, which: str, loss: torch.Tensor) -> None:
        network, optimiser = getattr(self, which), self.optimisers[which]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        # one odd crop must not throw a network off that does not normalise
        torch.nn.utils.clip_grad_norm_(network.parameters(), self.config.clip)
        optimiser.step()

    def set_lr(self, progress: float) -> float:
        """Set both learning rates to where the cycle is; returns the generator's."""
        share = one_cycle(progress)
        rates = {"g": self.config.lr, "d": self.config.lr_judge}
        for which, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = share * rates[which]
        return share * self.config.lr

    def trained(self) -> Generator:
        """The (averaged) generator, on the CPU, ready to apply."""
        network = Generator(self.config.width, membrane=self.config.membrane)
        network.load_state_dict(self.ema.shadow if self.config.ema else self.g.state_dict())
        return network.eval().requires_grad_(requires_grad=False)

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        networks = {"g": self.g, "d": self.d}
        return {
            "epoch": self.epoch,
            "ema": self.ema.state_dict(),
            "networks": {name: dict(n.state_dict()) for name, n in networks.items()},
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.epoch = state["epoch"]
        self.ema.load_state_dict(state["ema"])
        self.g.load_state_dict(state["networks"]["g"])
        self.d.load_state_dict(state["networks"]["d"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])


def stacked(stages: list[Stage]) -> torch.Tensor:
    """X, E, the pasted image and the region of stages: float32 (N, 4, 1, H, W)."""
    parts = [np.stack([s.x, s.e, s.pasted, s.w.astype(np.float32)]) for s in stages]
    return torch.from_numpy(np.stack(parts))[:, :, None]


def train(
    folder: MassFolder, config: TrainConfig, run: RunFolder, *, device: str = "auto"
) -> Iterator[Event]:
    """Train a blending network on a folder's real images: healthy ones, and those with masses.

    A checkpoint in ``run`` is gone on from. About 4 minutes of one processor.

    Yields
    ------
    Progress, Metrics, Preview, Checkpoint, and Finished with the :class:`.network.Generator`.

    Raises
    ------
    DataFolderError
        If there is no mass, or no healthy image with room for one.
    TrainingDivergedError
        If a loss becomes NaN or infinite; the checkpoint before it stays.
    """
    trainer = Trainer(Material.read(folder), config, choose_device(device))
    yield from resumed(trainer, run)
    pace = Pace(trainer)
    while trainer.epoch < config.epochs:
        metrics = Metrics(trainer.epoch + 1, (yield from one_epoch(trainer, pace)))
        run.log(metrics)
        yield metrics
        yield _preview(trainer, run)
        yield kept(trainer, run)
    yield Finished(trainer.trained(), {"epochs": trainer.epoch})


@torch.no_grad()
def _preview(trainer: Trainer, run: RunFolder) -> Preview:
    """Some stages, side by side: pasted above, Poisson, and what the network makes below."""
    x, _, pasted, w = stacked(trainer.shown).unbind(1)
    made = trainer.trained()(x, pasted, w).numpy()[:, 0]
    columns = [
        np.concatenate([stage.pasted, poisson(stage.x, stage.e, stage.w), blended])
        for stage, blended in zip(trainer.shown, made, strict=True)
    ]
    grey = np.concatenate(columns, 1).clip(0, 1)
    picture = np.repeat(np.round(255 * grey).astype(np.uint8)[..., None], 3, 2)
    path = run.previews / f"epoch_{trainer.epoch:04d}.png"
    with written(path, OURS) as beside:
        Image.fromarray(picture).save(beside)
    return Preview("pasted above, Poisson in the middle, generated below", picture, path)
