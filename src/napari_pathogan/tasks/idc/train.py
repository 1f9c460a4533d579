"""Training: the paper's semi-supervised conditional GAN, or its discriminator alone (``cnn``).

A head on a pretrained trunk (``frozen``) is fitted and teaches its student in one go, without checkpoints.

An epoch seeds torch from (seed, epoch), so a run that is killed and resumed from its last
checkpoint ends with the same weights as one that was not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_pathogan.engine import trainer as base
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished
from napari_pathogan.engine.trainer import shuffled
from napari_pathogan.tasks.idc.augment import Palette, augment
from napari_pathogan.tasks.idc.config import TrainConfig
from napari_pathogan.tasks.idc.data import UNLABELLED, PatchFolder, hide_labels, need_both_classes
from napari_pathogan.tasks.idc.deep import DeepDiscriminator
from napari_pathogan.tasks.idc.frozen import fitted
from napari_pathogan.tasks.idc.losses import adversarial_loss, class_loss, gradient_penalty
from napari_pathogan.tasks.idc.metrics import mean_patient_auc
from napari_pathogan.tasks.idc.network import Discriminator, Generator, folded_state, to_bytes
from napari_pathogan.tasks.idc.score import score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.colour.slide_colours import SlideColours
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.idc.score import Network

_SAMPLES = 16  # generated patches of each class in a preview


@dataclass(frozen=True, eq=False)
class Trained:
    """What training ends with: both networks with folded weights, and reference colours.

    ``generator`` is None where no GAN was trained; ``reach`` is how far colours of patients were.
    """

    network: Network
    reference: SlideColours
    generator: Generator | None = None
    reach: float | None = None


class Trainer(base.Trainer[TrainConfig, torch.Tensor]):
    """The two networks, the patches, and one step of the game.

    With ``held_out`` patients their AUC is measured after each epoch.
    """

    def __init__(
        self,
        patches: PatchFolder,
        config: TrainConfig,
        device: Device,
        held_out: PatchFolder | None = None,
    ) -> None:
        super().__init__(config, device)
        self.held_out = held_out
        self.best_auc = -1.0
        self.best: dict[str, torch.Tensor] = {}
        self.stale = 0
        self.palette = Palette(patches, device.torch)
        self.images = torch.from_numpy(patches.images)
        self.labels = torch.from_numpy(patches.labels.astype(np.float32))
        self.patient = torch.from_numpy(np.unique(patches.patients, return_inverse=True)[1])
        self.steps = max(1, len(patches) // config.batch)
        self.d = self.add("d", self._discriminator())
        self.g = self.add("g", self._generator()) if config.method == "cgan" else None
        self.fixed_z = torch.randn(2 * _SAMPLES, self.g.latent if self.g else 0)
        self.optimisers |= {name: self._adam(one) for name, one in self.networks.items()}

    def _discriminator(self) -> Discriminator | DeepDiscriminator:
        c = self.config
        if c.backbone:
            return DeepDiscriminator.pretrained(c.backbone, c.side, c.dropout, c.fixed)
        return Discriminator(c.width, c.dropout)

    def _generator(self, *, spectral: bool = True) -> Generator:
        c = self.config
        options = {"local_noise": c.local_noise, "batch_norm": c.batch_norm}
        return Generator(c.width, **options, spectral=spectral)

    def _adam(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        c = self.config
        groups: list[dict[str, Any]] = [{"params": list(network.parameters()), "lr": c.lr}]
        if isinstance(network, DeepDiscriminator):
            of_trunk, of_heads = (
                [weight for trunk, weight in network.learning() if trunk is which]
                for which in (True, False)
            )
            groups = [
                {"params": of_heads, "lr": c.lr},
                {"params": of_trunk, "lr": c.lr * c.trunk_rate},
            ]
        return torch.optim.AdamW(groups, lr=c.lr, betas=c.betas, weight_decay=c.weight_decay)

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
        self.update("d", total)
        return {name: loss.detach() for name, loss in losses.items()}

    def _generate(self, batch: int) -> torch.Tensor:
        learning = [weight for weight in self.d.parameters() if weight.requires_grad]
        for weight in learning:
            weight.requires_grad = False
        with self.device.autocast:
            fake, asked = self._draw(max(1, round(self.config.generated * batch)))
            real, idc = self.d(fake)
            loss = adversarial_loss(real.float(), real=True) + class_loss(idc.float(), asked)
        self.update("g", loss)
        for weight in learning:
            weight.requires_grad = True
        return loss.detach()

    def _draw(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.g is not None
        z = torch.randn(n, self.g.latent, device=self.device.torch)
        asked = (torch.rand(n, device=self.device.torch) < 0.5).float()
        return self.g(z, asked), asked

    def folded(self) -> dict[str, torch.Tensor]:
        """The averaged discriminator with its spectral norms folded in."""
        if isinstance(self.d, DeepDiscriminator):
            return {name: value.detach().cpu().clone() for name, value in self.weights("d").items()}
        average = Discriminator(self.config.width)
        average.load_state_dict(self.weights("d"))
        return folded_state(average)

    def predicting(self, weights: dict[str, torch.Tensor]) -> Discriminator | DeepDiscriminator:
        """A discriminator with folded weights, on the CPU, that learns no more."""
        network: Discriminator | DeepDiscriminator
        if isinstance(self.d, DeepDiscriminator):
            network = DeepDiscriminator(**self.d.arguments)
        else:
            network = Discriminator(self.config.width, spectral=False)
        network.load_state_dict(weights)
        return network.eval()

    def generator(self) -> Generator:
        """The averaged generator with its spectral norms folded in, on the CPU."""
        average, folded = self._generator(), self._generator(spectral=False)
        average.load_state_dict(self.weights("g"))
        folded.load_state_dict(folded_state(average))
        return folded.eval()

    @torch.no_grad()
    def samples(self) -> np.ndarray:
        """Generated patches as one picture, healthy in the upper half: uint8 (Y, X, 3)."""
        asked = torch.arange(2 * _SAMPLES) >= _SAMPLES
        tiles = to_bytes(self.generator()(self.fixed_z, asked.float()))
        rows = tiles.reshape(4, -1, *tiles.shape[1:]).transpose(0, 2, 1, 3, 4)
        return np.ascontiguousarray(rows.reshape(4 * tiles.shape[1], -1, 3))

    def preview(self) -> tuple[str, np.ndarray] | None:
        """Generated patches, now and then."""
        if self.g is None or self.epoch % self.config.preview_every:
            return None
        return "generated patches: healthy above, IDC below", self.samples()

    def measure(self) -> dict[str, float]:
        """The mean AUC of the held-out patients; the best epoch's weights are kept."""
        if self.held_out is None:
            return {}
        weights = self.folded()
        seen = self.predicting(weights)
        logits = score(seen, self.held_out.images, self.device)[:, 0]
        auc = mean_patient_auc(self.held_out.labels, logits, self.held_out.patients)
        if auc is None:
            return {}
        if auc > self.best_auc:
            self.best_auc, self.best, self.stale = auc, weights, 0
        else:
            self.stale += 1
        return {"held_out_auc": auc}

    def enough(self) -> str:
        """Whether the held-out patients have seen nothing better for long."""
        patience = self.config.patience
        if not patience or self.stale < patience:
            return ""
        return f"stopped: no better AUC on held-out patients for {patience} epochs"

    def own_state(self) -> dict[str, Any]:
        """The best epoch so far."""
        return {"best_auc": self.best_auc, "best": self.best, "stale": self.stale}

    def restore_own(self, state: dict[str, Any]) -> None:
        """Go on from it."""
        self.best_auc, self.best, self.stale = state["best_auc"], state["best"], state["stale"]


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
    if config.method == "frozen":
        where = choose_device(device)
        palette = Palette(patches, where.torch)
        head = yield from fitted(patches, palette, config, where)
        yield Finished(Trained(head, palette.reference, reach=palette.reach), {})
        return
    trainer = Trainer(patches, config, choose_device(device), held_out)
    yield from trainer.go_on(run)
    weights = trainer.best if config.patience and trainer.best else trainer.folded()
    generator = trainer.generator() if trainer.g is not None else None
    palette = trainer.palette
    trained = Trained(trainer.predicting(weights), palette.reference, generator, palette.reach)
    yield Finished(trained, {"epochs": trainer.epoch})
