"""Training on several devices of one machine: a process each, as torchrun starts them.

Every process runs the same training, in a folder of its own; that of the first is the run's, so that
nobody else writes there. A batch is drawn alike in all, each learns from its part, and gradients are
averaged: with torch's collectives rather than its DistributedDataParallel, which knows neither two
networks that play against each other nor a gradient of a gradient.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from napari_pathogan.engine.config import SettingError
from napari_pathogan.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Batch = TypeVar("Batch")
Anything = TypeVar("Anything")

STREAM = 7_368_787  # from the seed of one process's random numbers to the next one's


def launched() -> bool:
    """Whether torchrun has started this process as one of several."""
    return dist.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1


def processes() -> int:
    """How many train together here; 1 outside of :func:`joined`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def speaks() -> bool:
    """Whether this process tells the user how it goes: of several, the first."""
    return not launched() or int(os.environ["RANK"]) == 0


@contextmanager
def joined(output: Path, device: str, *, resume: bool = False) -> Iterator[tuple[Path, str]]:
    """Train together with the other processes, if torchrun has started some.

    Yields
    ------
    The folder of this process's run, and its device. That of the first is what was asked for; others
    have a copy of what is gone on from, which is removed.

    Raises
    ------
    DeviceError
        If the processes are not all on this machine, or are more than its GPUs.
    """
    if not launched() or dist.is_initialized():  # within a training that has joined already
        yield output, device
        return
    first, n = int(os.environ["RANK"]) == 0, int(os.environ["WORLD_SIZE"])
    device = _device(device, n)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        if first:
            dist.barrier()  # until the others have their copies
            yield output, device
            return
        with TemporaryDirectory(prefix="pathogan-") as folder:
            own = Path(folder) / output.name
            if resume and output.is_dir():
                shutil.copytree(output, own, dirs_exist_ok=True)
            dist.barrier()
            yield own, device
    finally:
        dist.destroy_process_group()


def _device(device: str, n: int) -> str:
    """The device of this process."""
    if int(os.environ["LOCAL_WORLD_SIZE"]) != n:
        msg = "a training runs on the devices of one machine: start torchrun with one node"
        raise DeviceError(msg)
    if device not in {"auto", "cuda"} or not torch.cuda.is_available():
        return device
    if n > torch.cuda.device_count():
        msg = (
            f"{n} processes need {n} GPUs, and here are {torch.cuda.device_count()}: start as many as "
            "there are, or give --device cpu"
        )
        raise DeviceError(msg)
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return f"cuda:{os.environ['LOCAL_RANK']}"


def part(batch: Batch, dim: int = 0) -> Batch:
    """The part of this process of a batch: every n-th along ``dim`` of a tensor, or of each of some.

    Raises
    ------
    SettingError
        If it can't be divided equally.
    """
    if isinstance(batch, torch.Tensor):
        n = processes()
        if batch.shape[dim] % n:
            msg = f"a batch of {batch.shape[dim]} can't be divided among {n} processes equally"
            raise SettingError(f"{msg}; choose another size (--set batch=…) or number of them")
        index = torch.arange(rank(), batch.shape[dim], n, device=batch.device)
        return batch.index_select(dim, index)  # type: ignore[return-value]
    return type(batch)(part(one, dim) for one in batch)  # type: ignore[call-arg, attr-defined]


def parts(batches: Iterable[Batch], take: Callable[[Batch], Batch], seed: int) -> Iterator[Batch]:
    """The part of this process of each batch.

    Batches are drawn from random numbers that are the same in all processes; what is drawn while one is
    learnt from is not, or two images would be varied alike. One process alone has one kind.
    """
    if processes() == 1:
        yield from batches
        return
    drawn, alike = iter(batches), torch.get_rng_state()
    torch.manual_seed(seed + (rank() + 1) * STREAM)
    while True:
        own = torch.get_rng_state()
        torch.set_rng_state(alike)
        try:
            batch = next(drawn)
        except StopIteration:
            return
        finally:
            alike = torch.get_rng_state()
            torch.set_rng_state(own)
        yield take(batch)


def begin_alike(networks: Iterable[nn.Module]) -> None:
    """Give all processes the weights and buffers of the first."""
    if processes() > 1:
        for network in networks:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, 0)


def average_gradients(network: nn.Module) -> None:
    """Give all processes the mean of their gradients; 0 where one has none, none where none has."""
    if processes() == 1:
        return
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if not weights:
        return
    there = weights[0].new_tensor([weight.grad is not None for weight in weights])
    grads = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    flat = torch.cat([there, *(grad.flatten() for grad in grads)])
    dist.all_reduce(flat)
    some, *means = flat.split([len(weights), *(weight.numel() for weight in weights)])
    for weight, has, mean in zip(weights, some.tolist(), means, strict=True):
        weight.grad = (mean / processes()).view_as(weight) if has else None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - torch's context
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def total(x: torch.Tensor) -> torch.Tensor:
    """The sum over all processes, with its gradient: for what is no mean over images."""
    summed: torch.Tensor = x if processes() == 1 else _Sum.apply(x)  # type: ignore[no-untyped-call]
    return summed


def means(values: dict[str, float]) -> dict[str, float]:
    """The means over all processes."""
    if processes() == 1:
        return values
    here: list[dict[str, float]] = [{} for _ in range(processes())]
    dist.all_gather_object(here, values)
    return {name: sum(one[name] for one in here) / len(here) for name in values}


def of_first(value: Anything) -> Anything:
    """What the first process says."""
    said = [value]
    if processes() > 1:
        dist.broadcast_object_list(said, 0)
    return said[0]


class BatchNorm(nn.BatchNorm2d):
    """Normalises by the mean and variance of a batch of which every process has a part.

    As torch's SyncBatchNorm, which has no CPU.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same."""
        if not self.training or processes() == 1:
            return super().forward(x)
        wide = x.float()
        size = total(wide.new_tensor(x.numel() / x.shape[1]))
        mean = total(wide.sum((0, 2, 3))) / size
        centred = wide - mean[:, None, None]
        variance = total(centred.square().sum((0, 2, 3))) / size
        if self.track_running_stats:
            self._remember(mean.detach(), variance.detach() * size / (size - 1))
        y = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            y = y * self.weight[:, None, None] + self.bias[:, None, None]
        return y.to(x.dtype)

    def _remember(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def share_norms(network: nn.Module) -> None:
    """Let a network's batch norms see the whole batch, not this process's part."""
    if processes() > 1:
        for layer in network.modules():
            if type(layer) is nn.BatchNorm2d:
                layer.__class__ = BatchNorm
