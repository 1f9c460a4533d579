"""Training: generator and patch discriminator against each other, with the prior losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from napari_pathogan.engine import trainer as base
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished
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


class Trainer(base.Trainer["TrainConfig", Batch]):
    """The two networks, and one step of the game; the generator is averaged."""

    def __init__(self, material: Material, config: TrainConfig, device: Device) -> None:
        super().__init__(config, device)
        self.material, self.steps = material, config.steps
        self.g = self.add("g", Generator(config.width, membrane=config.membrane))
        self.d = self.add("d", Discriminator(config.judge), averaged=False)
        self.optimisers |= {
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
        # one odd crop must not throw a network off that does not normalise: gradients are cut
        self.update("d", d, clip=self.config.clip)
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
        self.update("g", total, clip=self.config.clip)
        return {name: loss.detach() for name, loss in {"d": d, **losses}.items()}

    def trained(self) -> Generator:
        """The (averaged) generator, on the CPU, ready to apply."""
        network = Generator(self.config.width, membrane=self.config.membrane)
        network.load_state_dict(self.weights("g"))
        return network.eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def preview(self) -> tuple[str, np.ndarray]:
        """Some stages, side by side: pasted above, Poisson, and what the network makes below."""
        x, _, pasted, w = stacked(self.shown).unbind(1)
        made = self.trained()(x, pasted, w).numpy()[:, 0]
        columns = [
            np.concatenate([stage.pasted, poisson(stage.x, stage.e, stage.w), blended])
            for stage, blended in zip(self.shown, made, strict=True)
        ]
        grey = np.concatenate(columns, 1).clip(0, 1)
        picture = np.repeat(np.round(255 * grey).astype(np.uint8)[..., None], 3, 2)
        return "pasted above, Poisson in the middle, generated below", picture


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
    yield from trainer.go_on(run)
    yield Finished(trainer.trained(), {"epochs": trainer.epoch})
