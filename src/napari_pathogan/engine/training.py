"""The loop that every training shares: epochs of steps, losses watched, resumed bit for bit.

An epoch seeds torch from (seed, epoch), so a run that is killed and resumed from its last
checkpoint ends with the same weights as one that was not.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import torch

from napari_pathogan.engine.events import Checkpoint, Event, Finished, Progress, Warn
from napari_pathogan.engine.runs import load_state, save_state
from napari_pathogan.errors import TrainingDivergedError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from napari_pathogan.engine.runs import RunFolder

_CHECK_EVERY = 20  # steps between looks at the losses: each look waits for the GPU


class Schedule(Protocol):
    """What the loop needs to know of a training's configuration."""

    @property
    def epochs(self) -> int:
        """How many epochs there are."""

    @property
    def seed(self) -> int:
        """Seed of everything random."""


class Learner(Protocol):
    """What learns: networks, optimisers and data of one training."""

    epoch: int  # epochs done
    steps: int  # in an epoch

    @property
    def config(self) -> Schedule:
        """How it is trained."""

    def batches(self) -> Iterable[Any]:
        """Draw the batches of an epoch, from torch's global generator."""

    def step(self, batch: Any, number: int) -> dict[str, torch.Tensor]:  # noqa: ANN401
        """Learn from one batch, the ``number``-th of its epoch; returns detached losses."""

    def set_lr(self, progress: float) -> float:
        """Set the learning rate after ``progress`` (0 to 1) of all steps; returns it."""

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


class Pace:
    """How fast a training goes, from where it was started or resumed."""

    def __init__(self, learner: Learner) -> None:
        self.began = time.monotonic()
        self.first = learner.epoch * learner.steps

    def eta_s(self, done: int, total: int) -> float:
        """Seconds left after ``done`` of ``total`` steps."""
        return (time.monotonic() - self.began) / (done - self.first) * (total - done)


def resumed(learner: Learner, run: RunFolder) -> Iterator[Event]:
    """Go on from the run's checkpoint, if there is one; says so."""
    if run.checkpoint.exists():
        learner.restore(load_state(run.checkpoint))
        run.rewind(learner.epoch)
        yield Warn(f"resumed after epoch {learner.epoch} of {learner.config.epochs}")


def one_epoch(learner: Learner, pace: Pace) -> Generator[Event, None, dict[str, float]]:
    """Learn for one epoch.

    Returns
    -------
    The mean of each loss over the steps that have it, and the last learning rate as ``lr``.

    Raises
    ------
    TrainingDivergedError
        If a loss becomes NaN or infinite.
    """
    c, steps = learner.config, learner.steps
    torch.manual_seed(c.seed * 1_000_003 + learner.epoch)
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}
    lr = 0.0
    total = c.epochs * steps
    for number, batch in enumerate(learner.batches()):
        done = learner.epoch * steps + number
        lr = learner.set_lr(done / total)
        for name, loss in learner.step(batch, number).items():
            sums[name] = sums.get(name, 0) + loss
            counts[name] = counts.get(name, 0) + 1
        if number % _CHECK_EVERY == 0 or number == steps - 1:
            _check(sums, learner.epoch + 1)
        what = f"epoch {learner.epoch + 1} of {c.epochs}"
        yield Progress(done + 1, total, what, pace.eta_s(done + 1, total))
    learner.epoch += 1
    return {**{name: float(sums[name]) / counts[name] for name in sums}, "lr": lr}


def _check(sums: dict[str, torch.Tensor], epoch: int) -> None:
    for name, value in sums.items():
        if not torch.isfinite(value):
            msg = (
                f"training diverged in epoch {epoch}: the {name} loss is {float(value)}; the last "
                "checkpoint stays. Lower the learning rate or compute in float32"
            )
            raise TrainingDivergedError(msg)


def kept(learner: Learner, run: RunFolder) -> Checkpoint:
    """Save the learner's state as the run's checkpoint."""
    save_state(run.checkpoint, learner.state())
    return Checkpoint(learner.epoch, run.checkpoint)


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
