"""The trainer that every training shares: epochs of steps, losses watched, resumed bit for bit.

A task's own trainer makes its networks, optimisers and batches, and takes a step. An epoch seeds torch
from (seed, epoch), so a run that is killed and resumed from its last checkpoint ends with the same
weights as one that was not. Several processes learn from a batch together (:mod:`.parallel`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from PIL import Image
from torch.optim.swa_utils import AveragedModel

from napari_pathogan.engine import parallel
from napari_pathogan.engine.events import (
    Checkpoint,
    Event,
    Finished,
    Metrics,
    Preview,
    Progress,
    Warn,
)
from napari_pathogan.engine.jobs import Rests
from napari_pathogan.engine.models import load_model
from napari_pathogan.engine.runs import RunFolder, load_state, no_checkpoint, save_state
from napari_pathogan.errors import DataFolderError, PathoganError, TrainingDivergedError
from napari_pathogan.files import written
from napari_pathogan.kinds import OURS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    import numpy as np

    from napari_pathogan.engine.config import TrainConfig
    from napari_pathogan.engine.devices import Device

Config = TypeVar("Config", bound="TrainConfig")
Batch = TypeVar("Batch")
Network = TypeVar("Network", bound=torch.nn.Module)

_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError)
_CHECK_EVERY = 20  # steps between looks at the losses: each look waits for the GPU


class Trainer(ABC, Generic[Config, Batch]):
    """Networks, their optimisers and averages, and one step of learning.

    A subclass adds networks (:meth:`add`) and optimisers, sets ``steps``, and says what an epoch's
    batches are and how one is learnt from.

    Attributes
    ----------
    networks, averages, optimisers
        By name; an optimiser has the name of the network that it moves.
    epoch, steps
        Epochs done; steps in an epoch.
    """

    steps: int

    def __init__(self, config: Config, device: Device) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        self.epoch = 0
        self.networks: dict[str, torch.nn.Module] = {}
        self.averages: dict[str, AveragedModel] = {}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}

    # what a task says

    @abstractmethod
    def batches(self) -> Iterable[Batch]:
        """Draw the batches of an epoch, from torch's global generator."""

    @abstractmethod
    def step(self, batch: Batch, number: int) -> dict[str, torch.Tensor]:
        """Learn from one batch, the ``number``-th of its epoch; returns detached losses."""

    def part(self, batch: Batch) -> Batch:
        """What this process learns from, of a batch that several learn from together."""
        return parallel.part(batch)

    def measure(self) -> dict[str, float]:
        """Figures after an epoch, beside its losses."""
        return {}

    def preview(self) -> tuple[str, np.ndarray] | None:
        """A picture after an epoch, uint8 (Y, X, 3), and what it shows; None where there is none."""
        return None

    def enough(self) -> str:
        """Why no further epoch is needed; empty if one is."""
        return ""

    def own_state(self) -> dict[str, Any]:
        """What a resumed run needs beside networks, averages and optimisers."""
        return {}

    def restore_own(self, state: dict[str, Any]) -> None:
        """Take it from a saved state."""

    # what all do

    def add(self, name: str, network: Network, *, averaged: bool = True) -> Network:
        """Add a network: on the device, channels last (a fifth faster on a CPU)."""
        network.to(self.device.torch)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        parallel.share_norms(network)
        self.networks[name] = network
        if averaged:
            self.average(name)
        return network

    def average(self, name: str) -> None:
        """Average a network's weights from what they are now."""
        self.averages[name] = averaged(self.networks[name], self.config.ema)

    def update(self, name: str, loss: torch.Tensor, *, clip: float = 0.0) -> None:
        """Move a network down a loss's gradient, no longer than ``clip`` if given; and its average."""
        network, optimiser = self.networks[name], self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parallel.average_gradients(network)
        if clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimiser.step()
        if name in self.averages:
            self.averages[name].update_parameters(network)

    def set_rates(self, progress: float) -> float:
        """Set the learning rates to where the schedule is; returns the first."""
        share, first = self.config.rate(progress), None
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group.setdefault("initial_lr", group["lr"])
                group["lr"] = group["initial_lr"] * share
                first = group["lr"] if first is None else first
        return float(first or 0.0)

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        """The averaged weights of a network; the last ones where none are averaged."""
        if self.config.ema:
            return dict(self.averages[name].module.state_dict())
        return dict(self.networks[name].state_dict())

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {
            "epoch": self.epoch,
            "networks": {name: dict(one.state_dict()) for name, one in self.networks.items()},
            "averages": {
                name: {"updates": int(one.n_averaged) - 1, "shadow": one.module.state_dict()}
                for name, one in self.averages.items()
            },
            "optimisers": {name: one.state_dict() for name, one in self.optimisers.items()},
            **self.own_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises
        ------
        DataFolderError
            If an older version saved it.
        """
        if "averages" not in state:
            msg = "this run's checkpoint is of an older version: start it anew in another folder"
            raise DataFolderError(msg)
        if not isinstance(state["epoch"], int) or state["epoch"] < 0:
            msg = f"epoch {state['epoch']!r}"
            raise ValueError(msg)
        self.epoch = state["epoch"]
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, average in self.averages.items():
            average.module.load_state_dict(state["averages"][name]["shadow"])
            average.n_averaged.fill_(state["averages"][name]["updates"] + 1)
        for name, optimiser in self.optimisers.items():
            rates = [group["lr"] for group in optimiser.param_groups]  # the configuration's
            optimiser.load_state_dict(state["optimisers"][name])
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["initial_lr"] = rate
        if strange := [k for k, own in self.own_state().items() if not _alike(own, state[k])]:
            msg = f"{', '.join(strange)} of another kind"
            raise ValueError(msg)
        self.restore_own(state)

    def save(self, run: RunFolder) -> Checkpoint:
        """Save the state as the run's checkpoint."""
        save_state(run.checkpoint, self.state())
        return Checkpoint(self.epoch, run.checkpoint)

    def go_on(self, run: RunFolder) -> Iterator[Event]:
        """Train from the run's checkpoint on, if there is one; errors as of :meth:`resume` and :meth:`train`."""
        yield from self.resume(run)
        yield from self.train(run)

    def resume(self, run: RunFolder) -> Iterator[Event]:
        """Go on from the run's checkpoint, if there is one, and say so; drop what was logged after it.

        Raises
        ------
        DataFolderError
            If it is damaged, or of something else.
        """
        state = load_state(run.checkpoint) if run.checkpoint.exists() else None
        if state is not None:
            try:
                self.restore(state)
            except PathoganError:
                raise
            except _DAMAGED as error:
                raise no_checkpoint(run.checkpoint, error) from error
        run.rewind(self.epoch)
        if state is not None:
            yield Warn(f"resumed after epoch {self.epoch} of {self.config.epochs}")

    def train(self, run: RunFolder) -> Iterator[Event]:
        """Train for all epochs that are left: Progress, Metrics, Preview and Checkpoint of each.

        Raises
        ------
        TrainingDivergedError
            If a loss becomes NaN or infinite; the checkpoint before it stays.
        """
        pace = _Pace(self)
        parallel.begin_alike((*self.networks.values(), *self.averages.values()))
        while self.epoch < self.config.epochs:
            if why := parallel.of_first(self.enough()):
                yield Warn(why)
                break
            values = yield from _one_epoch(self, pace)
            metrics = Metrics(self.epoch, values | self.measure())
            run.log(metrics)
            yield metrics
            seen = self.preview()
            if seen is not None:
                path = run.previews / f"epoch_{self.epoch:04d}.png"
                with written(path, OURS) as beside:
                    Image.fromarray(seen[1]).save(beside)
                yield Preview(seen[0], seen[1], path)
            yield self.save(run)


def averaged(network: torch.nn.Module, decay: float) -> AveragedModel:
    """Give an exponential moving average of a network's weights; buffers are copied.

    The decay warms up as ``min(decay, (1 + n) / (10 + n))``, so that early averages are not
    dominated by the first weights, which count as the first of those averaged.
    """

    def move(means: Iterable[torch.Tensor], now: Iterable[torch.Tensor], _: object) -> None:
        n = int(average.n_averaged)  # on the CPU, while what is passed waits for the GPU
        for mean, weight in zip(means, now, strict=True):
            mean.lerp_(weight, 1 - min(decay, (1 + n) / (10 + n)))

    average = AveragedModel(network, multi_avg_fn=move)
    average.n_averaged.fill_(1)
    return average


def weights_in(state: dict[str, Any], name: str) -> dict[str, torch.Tensor]:
    """The averaged weights of a network in a checkpoint, also in one of an older version."""
    try:
        if "averages" in state:
            found: dict[str, torch.Tensor] = state["averages"][name]["shadow"]
            return found
        average: dict[str, torch.Tensor] = state.get("average") or state["ema"]["shadow"]
    except (KeyError, TypeError) as error:
        msg = f"this run's checkpoint holds no {name} ({error}): start it anew in another folder"
        raise DataFolderError(msg) from error
    return average


def weights_of(start: Path, task: str, name: str) -> dict[str, torch.Tensor]:
    """The (averaged) weights of a network that another training begins with.

    Parameters
    ----------
    start
        A checkpoint, the folder of a run, or that of a model of ``task``.
    name
        Of the network in a checkpoint.

    Raises
    ------
    DataFolderError, ModelError
        If the checkpoint or the model is damaged.
    """
    checkpoint = start if start.is_file() else RunFolder(start).checkpoint
    if checkpoint.is_file():
        return weights_in(load_state(checkpoint), name)
    return load_model(start, task)[1]


def _alike(own: object, saved: object) -> bool:
    """Whether what was saved may take the place of what a trainer has: a number of a number's."""
    if isinstance(own, int | float):
        return isinstance(saved, int | float)
    if isinstance(own, torch.Tensor):
        return isinstance(saved, torch.Tensor) and saved.shape == own.shape
    return isinstance(saved, type(own))


class _Pace:
    """How fast a training goes, from where it was started or resumed, or went on after a rest."""

    def __init__(self, trainer: Trainer[Any, Any]) -> None:
        self._begin(trainer.epoch * trainer.steps)

    def _begin(self, first: int) -> None:
        self.began, self.first, self.rests = time.monotonic(), first, Rests.ended

    def eta_s(self, done: int, total: int) -> float | None:
        """Seconds left after ``done`` of ``total`` steps; None right after a rest."""
        if self.rests != Rests.ended:
            self._begin(done)
            return None
        return (time.monotonic() - self.began) / (done - self.first) * (total - done)


def _one_epoch(trainer: Trainer[Any, Any], pace: _Pace) -> Generator[Event, None, dict[str, float]]:
    """Learn for one epoch.

    Returns
    -------
    The mean of each loss over the steps that have it, and the last learning rate as ``lr``.

    Raises
    ------
    TrainingDivergedError
        If a loss becomes NaN or infinite.
    """
    c, steps = trainer.config, trainer.steps
    seed = c.seed * 1_000_003 + trainer.epoch
    torch.manual_seed(seed)
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}
    lr = 0.0
    total = c.epochs * steps
    for number, batch in enumerate(parallel.parts(trainer.batches(), trainer.part, seed)):
        done = trainer.epoch * steps + number
        lr = trainer.set_rates(done / total)
        for name, loss in trainer.step(batch, number).items():
            sums[name] = sums.get(name, 0) + loss
            counts[name] = counts.get(name, 0) + 1
        if number % _CHECK_EVERY == 0 or number == steps - 1:
            _check(sums, trainer.epoch + 1)
        what = f"epoch {trainer.epoch + 1} of {c.epochs}"
        yield Progress(done + 1, total, what, pace.eta_s(done + 1, total))
    trainer.epoch += 1
    return parallel.means({name: float(sums[name]) / counts[name] for name in sums}) | {"lr": lr}


def _check(sums: dict[str, torch.Tensor], epoch: int) -> None:
    for name, value in sums.items():
        if not torch.isfinite(value):
            msg = (
                f"training diverged in epoch {epoch}: the {name} loss is {float(value)}; the last "
                "checkpoint stays. Lower the learning rate or compute in float32"
            )
            raise TrainingDivergedError(msg)


def shuffled(index: torch.Tensor, n: int) -> torch.Tensor:
    """``n`` of the indices in random order, each as often as any other (give or take one)."""
    rounds = -(-n // len(index))
    return torch.cat([index[torch.randperm(len(index))] for _ in range(rounds)])[:n]


def one_part(
    events: Iterator[Event], part: int, parts: int, name: str = ""
) -> Generator[Event, None, Finished]:
    """Pass on a training's events as one of several parts, folds and then all; returns its end.

    Progress is counted in thousandths of a part, since parts may differ in length.
    """
    finished = Finished()
    name = name or ("all patients" if part == parts - 1 else f"fold {part + 1} of {parts - 1}")
    for event in events:
        if isinstance(event, Finished):
            finished = event
        elif isinstance(event, Progress):
            what = event.what if parts == 1 else f"{name}, {event.what}"
            eta = event.eta_s
            if eta is not None:  # the parts to come take as long as this one
                eta += (parts - part - 1) * eta * event.total / max(1, event.total - event.done)
            done = 1000 * part + 1000 * event.done // event.total
            yield Progress(done, 1000 * parts, what, eta)
        else:
            yield event
    return finished
