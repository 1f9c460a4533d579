"""Training: the paper's semi-supervised conditional GAN, or its discriminator alone (``cnn``).

An epoch seeds torch from (seed, epoch), so a run that is killed and resumed from its last
checkpoint ends with the same weights as one that was not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from PIL import Image

from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished, Metrics, Preview, Warn
from napari_pathogan.engine.runs import EMA
from napari_pathogan.engine.training import Pace, kept, one_epoch, resumed, shuffled
from napari_pathogan.files import written
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.idc.augment import Palette, augment
from napari_pathogan.tasks.idc.config import TrainConfig, learning_rate
from napari_pathogan.tasks.idc.data import UNLABELLED, PatchFolder, hide_labels, need_both_classes
from napari_pathogan.tasks.idc.losses import adversarial_loss, class_loss, gradient_penalty
from napari_pathogan.tasks.idc.metrics import mean_patient_auc
from napari_pathogan.tasks.idc.network import Discriminator, Generator, folded_state, to_bytes
from napari_pathogan.tasks.idc.score import score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.colour.slide_colours import SlideColours
    from napari_pathogan.engine.runs import RunFolder

Network = TypeVar("Network", Discriminator, Generator)
_SAMPLES = 16  # generated patches of each class in a preview


@dataclass(frozen=True, eq=False)
class Trained:
    """What training ends with: both networks with folded weights, and reference colours.

    ``generator`` is None where the plain CNN was trained.
    """

    network: Discriminator
    reference: SlideColours
    generator: Generator | None = None


class Trainer:
    """The two networks, their optimisers and averages, and one step of the game."""

    def __init__(self, patches: PatchFolder, config: TrainConfig, device: Device) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        self.epoch = 0
        self.best_auc = -1.0
        self.best: dict[str, torch.Tensor] = {}
        self.stale = 0
        self.palette = Palette(patches, device.torch)
        self.images = torch.from_numpy(patches.images)
        self.labels = torch.from_numpy(patches.labels.astype(np.float32))
        self.patient = torch.from_numpy(np.unique(patches.patients, return_inverse=True)[1])
        self.steps = max(1, len(patches) // config.batch)
        self.d = _placed(Discriminator(config.width, config.dropout), device)
        self.g = _placed(self._generator(), device) if config.method == "cgan" else None
        self.fixed_z = torch.randn(2 * _SAMPLES, self.g.latent if self.g else 0)
        self.ema = EMA(self.d, config.ema)
        self.optimisers = {"d": self._adam(self.d)}
        self.g_ema: EMA | None = None
        if self.g is not None:
            self.g_ema = EMA(self.g, config.ema)
            self.optimisers["g"] = self._adam(self.g)

    def _generator(self, *, spectral: bool = True) -> Generator:
        c = self.config
        options = {"local_noise": c.local_noise, "batch_norm": c.batch_norm}
        return Generator(c.width, **options, spectral=spectral)

    def _adam(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        c = self.config
        return torch.optim.AdamW(
            network.parameters(), lr=c.lr, betas=c.betas, weight_decay=c.weight_decay
        )

    def batches(self) -> torch.Tensor:
        """Draw the patches of an epoch: int64 (steps, batch).

        The plain CNN sees labelled patches only, as often as needed to take as many steps. Where
        most labels are hidden, half of the GAN's batch is labelled.
        """
        labelled = torch.nonzero(self.labels != UNLABELLED)[:, 0]
        rest = torch.nonzero(self.labels == UNLABELLED)[:, 0]
        size = min(self.config.batch, len(self.labels))
        known = size
        if self.g is not None and len(rest):
            known = max(size // 2, size * len(labelled) // len(self.labels))
        parts = [shuffled(labelled, self.steps * known).view(self.steps, known)]
        if known < size:
            parts.append(shuffled(rest, self.steps * (size - known)).view(self.steps, -1))
        return torch.cat(parts, 1)

    def step(self, index: torch.Tensor, number: int) -> dict[str, torch.Tensor]:
        """One discriminator step, and a generator step where it is its turn; returns losses."""
        to = self.device.torch
        x = augment(
            self.images[index].to(to, non_blocking=True),
            self.patient[index].to(to),
            self.palette,
            self.config.augment,
        )
        losses = self._discriminate(x, self.labels[index].to(to), number)
        if self.g is not None and number % self.config.generator_every == 0:
            losses["g"] = self._generate(len(x))
        return losses

    def _discriminate(
        self, x: torch.Tensor, target: torch.Tensor, number: int
    ) -> dict[str, torch.Tensor]:
        c, losses = self.config, {}
        self.d.train()
        with self.device.autocast:
            real, idc = self.d(x)
            losses["class"] = class_loss(idc.float(), target, c.smoothing)
            total = losses["class"]
            if self.g is not None:
                with torch.no_grad():
                    fake, asked = self._draw(max(1, round(c.generated * len(x))))
                fake_real, fake_idc = self.d(fake)
                losses["d"] = adversarial_loss(real.float(), real=True) + adversarial_loss(
                    fake_real.float(), real=False
                )
                losses["fake_class"] = class_loss(fake_idc.float(), asked)
                total = total + c.adversarial * losses["d"] + c.fake_class * losses["fake_class"]
        if self.g is not None and number % c.penalty_every == 0:
            n = len(fake)
            mix = torch.rand(n, device=x.device)
            losses["penalty"] = gradient_penalty(
                lambda p: self.d(p)[0], x[:n], fake, mix, c.penalty_norm
            )
            total = total + c.penalty * c.penalty_every * losses["penalty"]
        self._update("d", total)
        self.ema.update(self.d)
        return {name: loss.detach() for name, loss in losses.items()}

    def _generate(self, batch: int) -> torch.Tensor:
        self.d.requires_grad_(requires_grad=False)
        with self.device.autocast:
            fake, asked = self._draw(max(1, round(self.config.generated * batch)))
            real, idc = self.d(fake)
            loss = adversarial_loss(real.float(), real=True) + class_loss(idc.float(), asked)
        self._update("g", loss)
        if self.g is not None and self.g_ema is not None:
            self.g_ema.update(self.g)
        self.d.requires_grad_(requires_grad=True)
        return loss.detach()

    def _draw(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.g is not None
        z = torch.randn(n, self.g.latent, device=self.device.torch)
        asked = (torch.rand(n, device=self.device.torch) < 0.5).float()
        return self.g(z, asked), asked

    def _update(self, which: str, loss: torch.Tensor) -> None:
        optimiser = self.optimisers[which]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def set_lr(self, progress: float) -> float:
        """Set both learning rates to where the schedule is; returns it."""
        lr = learning_rate(self.config, progress)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = lr
        return lr

    def weights(self) -> dict[str, torch.Tensor]:
        """The averaged discriminator with its spectral norms folded in."""
        average = Discriminator(self.config.width)
        average.load_state_dict(self.ema.shadow if self.config.ema else self.d.state_dict())
        return folded_state(average)

    def generator(self) -> Generator:
        """The averaged generator with its spectral norms folded in, on the CPU."""
        assert self.g is not None
        assert self.g_ema is not None
        average, folded = self._generator(), self._generator(spectral=False)
        average.load_state_dict(self.g_ema.shadow if self.config.ema else self.g.state_dict())
        folded.load_state_dict(folded_state(average))
        return folded.eval()

    @torch.no_grad()
    def samples(self) -> np.ndarray:
        """Generated patches as one picture, healthy in the upper half: uint8 (Y, X, 3)."""
        asked = torch.arange(2 * _SAMPLES) >= _SAMPLES
        tiles = to_bytes(self.generator()(self.fixed_z, asked.float()))
        rows = tiles.reshape(4, -1, *tiles.shape[1:]).transpose(0, 2, 1, 3, 4)
        return np.ascontiguousarray(rows.reshape(4 * tiles.shape[1], -1, 3))

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        networks = {"d": self.d, **({"g": self.g} if self.g else {})}
        return {
            "epoch": self.epoch,
            "best_auc": self.best_auc,
            "best": self.best,
            "stale": self.stale,
            "ema": self.ema.state_dict(),
            "g_ema": self.g_ema.state_dict() if self.g_ema else None,
            "networks": {name: dict(n.state_dict()) for name, n in networks.items()},
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.epoch, self.stale = state["epoch"], state["stale"]
        self.best_auc, self.best = state["best_auc"], state["best"]
        self.ema.load_state_dict(state["ema"])
        self.d.load_state_dict(state["networks"]["d"])
        if self.g is not None and self.g_ema is not None:
            self.g.load_state_dict(state["networks"]["g"])
            self.g_ema.load_state_dict(state["g_ema"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])


def _placed(network: Network, device: Device) -> Network:
    """On the device, channels last: a fifth faster on a CPU."""
    network.to(device.torch)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def train(
    patches: PatchFolder,
    config: TrainConfig,
    run: RunFolder,
    *,
    held_out: PatchFolder | None = None,
    device: str = "auto",
) -> Iterator[Event]:
    """Train one network on patches.

    A checkpoint in ``run`` is gone on from. With ``held_out`` patients their AUC is measured
    every epoch; with ``config.patience`` the best epoch is kept, else the last.

    Parameters
    ----------
    patches
        All training patches; of their labels, ``config.labelled`` is shown.

    Yields
    ------
    Progress, Metrics, Preview, Checkpoint, and Finished with a :class:`Trained`.

    Raises
    ------
    DataFolderError
        If a class is missing.
    TrainingDivergedError
        If a loss becomes NaN or infinite; the checkpoint before it stays.
    """
    need_both_classes(patches)
    patches = hide_labels(patches, config.labelled, config.seed)
    trainer = Trainer(patches, config, choose_device(device))
    yield from resumed(trainer, run)
    pace = Pace(trainer)
    while trainer.epoch < config.epochs:
        if config.patience and trainer.stale >= config.patience:
            yield Warn(f"stopped: no better AUC on held-out patients for {config.patience} epochs")
            break
        values = yield from one_epoch(trainer, pace)
        if held_out is not None:
            values |= _validate(trainer, held_out)
        metrics = Metrics(trainer.epoch, values)
        run.log(metrics)
        yield metrics
        if trainer.g is not None and trainer.epoch % config.preview_every == 0:
            path = run.previews / f"epoch_{trainer.epoch:04d}.png"
            picture = trainer.samples()
            with written(path, OURS) as beside:
                Image.fromarray(picture).save(beside)
            yield Preview("generated patches: healthy above, IDC below", picture, path)
        yield kept(trainer, run)
    weights = trainer.best if config.patience and trainer.best else trainer.weights()
    generator = trainer.generator() if trainer.g is not None else None
    trained = Trained(_network(config, weights), trainer.palette.reference, generator)
    yield Finished(trained, {"epochs": trainer.epoch})


def _network(config: TrainConfig, weights: dict[str, torch.Tensor]) -> Discriminator:
    network = Discriminator(config.width, spectral=False)
    network.load_state_dict(weights)
    return network.eval()


def _validate(trainer: Trainer, held_out: PatchFolder) -> dict[str, float]:
    weights = trainer.weights()
    logits = score(_network(trainer.config, weights), held_out.images, trainer.device)[:, 0]
    auc = mean_patient_auc(held_out.labels, logits, held_out.patients)
    if auc is None:
        return {}
    if auc > trainer.best_auc:
        trainer.best_auc, trainer.best, trainer.stale = auc, weights, 0
    else:
        trainer.stale += 1
    return {"held_out_auc": auc}
