"""Training an InfoGAN on nuclei, without labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from napari_pathogan.engine import parallel
from napari_pathogan.engine import trainer as base
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished, Metrics, Progress
from napari_pathogan.engine.penalty import gradient_penalty
from napari_pathogan.engine.trainer import shuffled
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.nuclei_classes import anchor
from napari_pathogan.tasks.nuclei_classes.augment import Palette, middle, restain, vary
from napari_pathogan.tasks.nuclei_classes.config import TrainConfig
from napari_pathogan.tasks.nuclei_classes.data import ROOM_PX
from napari_pathogan.tasks.nuclei_classes.describe import describe, suggest
from napari_pathogan.tasks.nuclei_classes.gallery import grid_picture
from napari_pathogan.tasks.nuclei_classes.losses import critic_loss, information_loss, noise_loss
from napari_pathogan.tasks.nuclei_classes.model import as_bytes
from napari_pathogan.tasks.nuclei_classes.naming import group_colours
from napari_pathogan.tasks.nuclei_classes.network import FITTED, Critic, Generator, settle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.nuclei_classes.data import Nuclei
    from napari_pathogan.tasks.nuclei_classes.stain import Stain

_ROWS = 8  # of the preview
_VIEWS = 3  # restained ones, for the class head
_NEAREST = 4  # neighbours in the tissue
_SCORED = 512  # nuclei in one pass of the class head
_JUDGING = ("trunk", "real", "of_class")  # parts of the critic that say how real
_FEWEST = 8  # nuclei a class: fewer can't be learnt


@dataclass(frozen=True, eq=False)
class Trained:
    """What training ends with."""

    critic: Critic
    generator: Generator
    reference: Stain


class Trainer(base.Trainer[TrainConfig, torch.Tensor]):
    """Generator and critic, the nuclei, and one step of the game."""

    def __init__(self, nuclei: Nuclei, config: TrainConfig, device: Device) -> None:
        super().__init__(config, device)
        self.palette = Palette(nuclei, normalise=config.normalise, density=config.density)
        self.pictures = torch.from_numpy(nuclei.cropped(ROOM_PX))
        self.image = torch.from_numpy(np.unique(nuclei.images, return_inverse=True)[1])
        self.steps = max(1, len(nuclei) // (config.batch * config.critic_steps))
        c = config
        self.generator = self.add("generator", Generator(c.classes, c.width, c.latent))
        critic = Critic(c.classes, c.width, c.latent, c.head, told=c.told)
        self.critic = self.add("critic", critic)
        self.prior = torch.full((c.classes,), 1 / c.classes)
        self.fixed_z = torch.randn(_ROWS, c.latent)
        named = dict(self.critic.named_parameters())
        trunk = [own for name, own in named.items() if name.startswith(_JUDGING)]
        heads = [own for name, own in named.items() if not name.startswith(_JUDGING)]
        self.anchored = c.rounds > 0
        self.optimisers["generator"] = torch.optim.Adam(
            self.generator.parameters(), c.lr_g, c.betas
        )
        self.optimisers["critic"] = torch.optim.Adam(
            [{"params": trunk, "lr": c.lr_d}, {"params": heads, "lr": c.lr_q}], betas=c.betas
        )

    def anchor(self, nuclei: Nuclei) -> Iterator[anchor.Round]:
        """Fit the class head to the real nuclei (see :mod:`.anchor`); the game leaves it alone."""
        c = self.config
        torch.manual_seed(c.seed)
        figures = self.critic.figures.cpu()
        views = [
            torch.cat([figures(x) for x in self._real(restained=view > 0)])
            for view in range(1 + _VIEWS * (c.jitter > 0))
        ]
        if c.head == "figures":
            wide = self.palette.recolour(torch.from_numpy(nuclei.wide), self.image)
            described = describe(as_bytes(wide * 2 - 1))
        else:
            described = views[0].double().numpy()
        target = torch.from_numpy(suggest(described, c.classes, c.seed))
        self.prior = target.mean(0)
        self.critic.cpu().standardise(views[0])
        for layer in self.critic.fitted:
            if isinstance(layer, nn.Linear):  # the same whatever the size of the other networks
                layer.reset_parameters()
        near = torch.from_numpy(nuclei.neighbours(_NEAREST))
        yield from anchor.fit(
            self.critic,
            torch.stack(views),
            target,
            near,
            rounds=c.rounds,
            neighbours=c.neighbours,
        )
        self.critic.to(self.device.torch)
        self.average("critic")

    def _real(self, *, restained: bool = False) -> Iterator[torch.Tensor]:
        """All real nuclei as they are, or restained: some at a time, (n, 3, 40, 40) in [-1, 1]."""
        for start in range(0, len(self.pictures), _SCORED):
            some = slice(start, start + _SCORED)
            x = self.palette.recolour(self.pictures[some], self.image[some])
            yield vary(x, self.config.jitter) if restained else middle(x) * 2 - 1

    def batches(self) -> torch.Tensor:
        """Draw the nuclei of an epoch: int64 (steps, critic steps, batch)."""
        c = self.config
        index = shuffled(torch.arange(len(self.pictures)), self.steps * c.critic_steps * c.batch)
        return index.view(self.steps, c.critic_steps, c.batch)

    def part(self, batch: torch.Tensor) -> torch.Tensor:
        """Of each critic step's nuclei."""
        return parallel.part(batch, 1)

    def step(self, batch: torch.Tensor, number: int) -> dict[str, torch.Tensor]:
        """Some critic steps, the generator's one; returns its losses."""
        losses: dict[str, torch.Tensor] = {}
        for i, index in enumerate(batch):
            losses |= self._criticise(index, number * self.config.critic_steps + i)
        return losses | self._generate(batch.shape[1])

    def _criticise(self, index: torch.Tensor, number: int) -> dict[str, torch.Tensor]:
        c, n, to = self.config, len(index), self.device.torch
        real = self._view(index)
        with torch.no_grad():
            asked = self.critic.classes(real).argmax(1) if c.told else self._ask(n)
            fake, z = self._draw(asked)
        value, logits, noise = self.critic(torch.cat([real, fake]), asked.repeat(2))
        losses = {"d": critic_loss(value[:n], value[n:])}
        total = losses["d"]
        if not self.anchored:
            losses["information"] = information_loss(logits[n:], asked)
            total = total + c.information * losses["information"]
        if c.noise:
            losses["noise"] = noise_loss(noise[n:], z)
            total = total + c.noise * losses["noise"]
        if number % c.penalty_every == 0:
            mix = torch.rand(n, device=to)
            value_of = partial(self.critic.value, c=asked)
            losses["penalty"] = gradient_penalty(value_of, real, fake, mix)
            total = total + c.penalty * c.penalty_every * losses["penalty"]
        self.update("critic", total)
        return {name: loss.detach() for name, loss in losses.items()}

    def _generate(self, n: int) -> dict[str, torch.Tensor]:
        c = self.config
        self.critic.requires_grad_(requires_grad=False)
        asked = self._ask(n)
        fake, z = self._draw(asked)
        value, logits, noise = self.critic(fake, asked)
        if c.jitter:  # in one colour alone a class could be feigned by a tint that no nucleus has
            logits = self.critic.classes(restain((fake + 1) / 2, c.jitter) * 2 - 1)
        information = information_loss(logits, asked)
        loss = -value.mean() + c.information * information
        if c.noise:
            loss = loss + c.noise * noise_loss(noise, z)
        self.update("generator", loss)
        self.critic.requires_grad_(requires_grad=True)
        return {"g": loss.detach(), "information": information.detach()}

    def _view(self, index: torch.Tensor) -> torch.Tensor:
        """Real nuclei, turned and moved: (N, 3, 40, 40) in [-1, 1]."""
        x = self.palette.recolour(self.pictures[index], self.image[index])
        return vary(x, jitter=0).to(self.device.torch)

    def _ask(self, n: int) -> torch.Tensor:
        """Classes as common as they are among the real nuclei: int64 (n,)."""
        return torch.multinomial(self.prior, n, replacement=True).to(self.device.torch)

    def _draw(self, asked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Nuclei of the classes asked for (N,), and their z (N, latent)."""
        z = torch.randn(len(asked), self.config.latent).to(self.device.torch)
        fake = self.generator(z, asked)
        return fake.contiguous(memory_format=torch.channels_last), z

    def drawing(self) -> Generator:
        """The averaged generator, on the CPU and ready for use."""
        c = self.config
        network = Generator(c.classes, c.width, c.latent)
        network.load_state_dict(self.weights("generator"))
        settle(network.eval().requires_grad_(requires_grad=False), self.prior)
        return network

    def judging(self) -> Critic:
        """The averaged critic, on the CPU and ready for use."""
        c = self.config
        network = Critic(c.classes, c.width, c.latent, c.head, told=c.told)
        network.load_state_dict(self.weights("critic"))
        return network.eval().requires_grad_(requires_grad=False)

    def samples(self) -> np.ndarray:
        """The paper's Figure 7 as it is now: uint8 (Y, X, 3)."""
        classes = self.config.classes
        z = self.fixed_z.repeat_interleave(classes, 0)
        drawn = as_bytes(self.drawing()(z, torch.arange(classes).repeat(_ROWS)))
        crops = drawn.reshape(_ROWS, classes, *drawn.shape[1:])
        return grid_picture(crops, group_colours(classes))

    def preview(self) -> tuple[str, np.ndarray] | None:
        """Generated nuclei, now and then and at the end."""
        if self.epoch % self.config.preview_every and self.epoch != self.config.epochs:
            return None
        return "generated nuclei: classes across, z down", self.samples()

    def own_state(self) -> dict[str, Any]:
        """How common the classes are."""
        return {"prior": self.prior}

    def restore_own(self, state: dict[str, Any]) -> None:
        """Go on from it."""
        self.prior = state["prior"]


def need_nuclei(nuclei: Nuclei, classes: int) -> None:
    """Make sure that there are enough nuclei to find classes among them.

    Raises
    ------
    DataFolderError
        If there are under 8 a class.
    """
    if len(nuclei) < _FEWEST * classes:
        msg = (
            f"{len(nuclei)} nuclei are too few to find {classes} classes among them; "
            f"give {_FEWEST * classes} at least"
        )
        raise DataFolderError(msg)


def train(
    nuclei: Nuclei, config: TrainConfig, run: RunFolder, *, device: str = "auto"
) -> Iterator[Event]:
    """Train one InfoGAN. A checkpoint in ``run`` is gone on from.

    Yields
    ------
    Progress, Metrics, Preview (the paper's Figure 7), Checkpoint, and Finished with a
    :class:`Trained`.

    Raises
    ------
    DataFolderError
        If there are too few nuclei.
    SettingError
        If a class head that does not see figures shall be fitted to real nuclei, or the critic
        told classes by one that is not fitted to them.
    TrainingDivergedError
        If a loss becomes NaN or infinite; the checkpoint before it stays.
    """
    need_nuclei(nuclei, config.classes)
    if config.rounds and config.head not in FITTED:
        msg = (
            f"rounds={config.rounds} needs head=figures or head=rings; "
            f"set rounds=0 for head={config.head}"
        )
        raise SettingError(msg)
    if config.told and not config.rounds:
        msg = "told=true needs a class head that knows real nuclei; set rounds=5, or told=false"
        raise SettingError(msg)
    trainer = Trainer(nuclei, config, choose_device(device, "float32"))
    yield from trainer.resume(run)
    if config.rounds and not run.checkpoint.exists():
        for number, done in enumerate(trainer.anchor(nuclei), 1):
            yield Progress(number, config.rounds, f"class head, round {number} of {config.rounds}")
            yield Metrics(0, {"head_loss": done.loss, "head_changed": done.changed})
        yield trainer.save(run)
    yield from trainer.train(run)
    trained = Trained(trainer.judging(), trainer.drawing(), trainer.palette.reference)
    yield Finished(trained, {"epochs": trainer.epoch})
