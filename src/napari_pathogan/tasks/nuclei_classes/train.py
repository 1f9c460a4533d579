"""Training an InfoGAN on nuclei, without labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished, Metrics, Preview, Progress
from napari_pathogan.engine.penalty import gradient_penalty
from napari_pathogan.engine.runs import EMA
from napari_pathogan.engine.training import Pace, kept, one_epoch, resumed, shuffled
from napari_pathogan.errors import DataFolderError
from napari_pathogan.files import written
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.nuclei_classes import anchor
from napari_pathogan.tasks.nuclei_classes.augment import Palette, middle, restain, vary
from napari_pathogan.tasks.nuclei_classes.describe import describe, suggest
from napari_pathogan.tasks.nuclei_classes.gallery import grid_picture
from napari_pathogan.tasks.nuclei_classes.losses import critic_loss, information_loss, noise_loss
from napari_pathogan.tasks.nuclei_classes.model import as_bytes
from napari_pathogan.tasks.nuclei_classes.naming import group_colours
from napari_pathogan.tasks.nuclei_classes.network import Critic, Generator, settle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.colour.slide_colours import SlideColours
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.nuclei_classes.config import TrainConfig
    from napari_pathogan.tasks.nuclei_classes.data import Nuclei

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
    reference: SlideColours


class Trainer:
    """Generator and critic, their optimisers and averages, and one step of the game."""

    def __init__(self, nuclei: Nuclei, config: TrainConfig, device: Device) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        self.epoch = 0
        self.palette = Palette(nuclei, normalise=config.normalise)
        self.pictures = torch.from_numpy(nuclei.pictures)
        self.image = torch.from_numpy(np.unique(nuclei.images, return_inverse=True)[1])
        self.steps = max(1, len(nuclei) // (config.batch * config.critic_steps))
        c = config
        self.generator = Generator(c.classes, c.width, c.latent).to(device.torch)
        self.critic = Critic(c.classes, c.width, c.latent, c.head, told=c.told).to(device.torch)
        for network in (self.generator, self.critic):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.prior = torch.full((c.classes,), 1 / c.classes)
        self.fixed_z = torch.randn(_ROWS, c.latent)
        self.averages = [EMA(self.generator, c.ema), EMA(self.critic, c.ema)]
        named = dict(self.critic.named_parameters())
        trunk = [own for name, own in named.items() if name.startswith(_JUDGING)]
        heads = [own for name, own in named.items() if not name.startswith(_JUDGING)]
        self.anchored = c.rounds > 0
        self.optimiser_g = torch.optim.Adam(self.generator.parameters(), c.lr_g, c.betas)
        self.optimiser_d = torch.optim.Adam(
            [{"params": trunk, "lr": c.lr_d}, {"params": heads, "lr": c.lr_q}], betas=c.betas
        )
        for group in (*self.optimiser_g.param_groups, *self.optimiser_d.param_groups):
            group["initial_lr"] = group["lr"]

    def anchor(self, nuclei: Nuclei) -> Iterator[anchor.Round]:
        """Fit the class head to the real nuclei (see :mod:`.anchor`); the game leaves it alone."""
        c = self.config
        torch.manual_seed(c.seed)
        wide = self.palette.recolour(torch.from_numpy(nuclei.wide), self.image)
        suggested = suggest(describe(as_bytes(wide * 2 - 1)), c.classes, c.seed)
        target = torch.from_numpy(suggested)
        self.prior = target.mean(0)
        figures = self.critic.figures.cpu()
        views = [
            torch.cat([figures(x) for x in self._real(restained=view > 0)])
            for view in range(1 + _VIEWS * (c.jitter > 0))
        ]
        self.critic.cpu().standardise(views[0])
        for layer in (self.critic.hidden, self.critic.classify):
            layer.reset_parameters()  # the same head whatever the size of the other networks
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
        self.averages[1] = EMA(self.critic, c.ema)

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
        self._update(self.optimiser_d, total)
        self.averages[1].update(self.critic)
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
        self._update(self.optimiser_g, loss)
        self.averages[0].update(self.generator)
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

    def _update(self, optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def set_lr(self, progress: float) -> float:
        """Set the learning rates to where the schedule is; returns the generator's."""
        factor = min(1.0, 2 * (1 - progress)) if self.config.decay else 1.0
        for group in (*self.optimiser_g.param_groups, *self.optimiser_d.param_groups):
            group["lr"] = group["initial_lr"] * factor
        return self.config.lr_g * factor

    def network(self, which: int) -> Any:  # noqa: ANN401
        """The averaged generator (0) or critic (1), on the CPU and ready for use."""
        c = self.config
        network: Generator | Critic = Generator(c.classes, c.width, c.latent)
        if which:
            network = Critic(c.classes, c.width, c.latent, c.head, told=c.told)
        present = (self.generator, self.critic)[which]
        network.load_state_dict(self.averages[which].shadow if c.ema else present.state_dict())
        network.eval().requires_grad_(requires_grad=False)
        if isinstance(network, Generator):
            settle(network, self.prior)
        return network

    def samples(self) -> np.ndarray:
        """The paper's Figure 7 as it is now: uint8 (Y, X, 3)."""
        classes = self.config.classes
        z = self.fixed_z.repeat_interleave(classes, 0)
        drawn = as_bytes(self.network(0)(z, torch.arange(classes).repeat(_ROWS)))
        crops = drawn.reshape(_ROWS, classes, *drawn.shape[1:])
        return grid_picture(crops, group_colours(classes))

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {
            "epoch": self.epoch,
            "prior": self.prior,
            "averages": [average.state_dict() for average in self.averages],
            "generator": dict(self.generator.state_dict()),
            "critic": dict(self.critic.state_dict()),
            "optimisers": [self.optimiser_g.state_dict(), self.optimiser_d.state_dict()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.epoch, self.prior = state["epoch"], state["prior"]
        self.generator.load_state_dict(state["generator"])
        self.critic.load_state_dict(state["critic"])
        for average, saved in zip(self.averages, state["averages"], strict=True):
            average.load_state_dict(saved)
        for optimiser, saved in zip(
            (self.optimiser_g, self.optimiser_d), state["optimisers"], strict=True
        ):
            optimiser.load_state_dict(saved)


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
    if config.rounds and config.head != "figures":
        msg = f"rounds={config.rounds} needs head=figures; set rounds=0 for head={config.head}"
        raise SettingError(msg)
    if config.told and not config.rounds:
        msg = "told=true needs a class head that knows real nuclei; set rounds=5, or told=false"
        raise SettingError(msg)
    trainer = Trainer(nuclei, config, choose_device(device, "float32"))
    yield from resumed(trainer, run)
    if config.rounds and not run.checkpoint.exists():
        for number, done in enumerate(trainer.anchor(nuclei), 1):
            yield Progress(number, config.rounds, f"class head, round {number} of {config.rounds}")
            yield Metrics(0, {"head_loss": done.loss, "head_changed": done.changed})
        yield kept(trainer, run)
    pace = Pace(trainer)
    while trainer.epoch < config.epochs:
        values = yield from one_epoch(trainer, pace)
        metrics = Metrics(trainer.epoch, values)
        run.log(metrics)
        yield metrics
        if trainer.epoch % config.preview_every == 0 or trainer.epoch == config.epochs:
            path = run.previews / f"epoch_{trainer.epoch:04d}.png"
            picture = trainer.samples()
            with written(path, OURS) as beside:
                Image.fromarray(picture).save(beside)
            yield Preview("generated nuclei: classes across, z down", picture, path)
        yield kept(trainer, run)
    trained = Trained(trainer.network(1), trainer.network(0), trainer.palette.reference)
    yield Finished(trained, {"epochs": trainer.epoch})
