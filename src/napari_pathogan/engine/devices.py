"""Which device computes, in which precision, and whether torch and torchvision fit together."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from napari_pathogan.errors import DeviceError, EnvironmentMismatchError, out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from torch.nn import Module

Result = TypeVar("Result")

log = logging.getLogger(__name__)
_moving = threading.Lock()
_RELEASES_AHEAD = 15  # torchvision's minor version is that of torch and this


@dataclass(frozen=True, slots=True)
class Device:
    """A device and the precision it computes in.

    ``dtype`` is what autocast uses: float32 means no autocast.
    """

    name: str
    dtype: torch.dtype

    @property
    def torch(self) -> torch.device:
        """The torch device."""
        return torch.device(self.name)

    @property
    def autocast(self) -> AbstractContextManager[Any]:
        """A context manager that computes in ``dtype`` (a no-op for float32)."""
        return torch.autocast(
            self.torch.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        )

    def __str__(self) -> str:
        """``cpu (float32)``."""
        return f"{self.name} ({str(self.dtype).removeprefix('torch.')})"


def choose_device(device: str = "auto", precision: str = "auto") -> Device:
    """Choose where and how precisely to compute.

    Parameters
    ----------
    device
        ``auto`` (CUDA, then Apple's MPS, then the CPU), or a torch device name.
    precision
        ``auto``, ``float32``, ``bfloat16`` or ``float16``. ``auto`` is bfloat16 where the
        hardware has it and float32 elsewhere: where a CPU's bfloat16 instructions are missing, or
        oneDNN may not use them (``ONEDNN_MAX_CPU_ISA``), autocast is up to 40 times slower.

    Raises
    ------
    DeviceError
        If the device is not there, or the precision has no such name.
    """
    check_torchvision()
    if device == "auto":
        if torch.cuda.is_available():
            device = "cuda"
        else:
            device = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        msg = f"device {device!r} can't be used here: {str(error).splitlines()[0]}"
        raise DeviceError(msg) from error
    if precision == "auto":
        dtype = torch.bfloat16 if _has_bfloat16(torch.device(device).type) else torch.float32
    else:
        dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        if precision not in dtypes:
            msg = f"precision {precision!r} is none of auto, {', '.join(dtypes)}"
            raise DeviceError(msg)
        dtype = dtypes[precision]
    return Device(device, dtype)


def _has_bfloat16(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":
        flags = torch.cpu.get_capabilities()
        has = any(flags.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
        return has and _onednn_has_bfloat16()
    return False


def _onednn_has_bfloat16() -> bool:
    """Whether oneDNN, which computes convolutions on a CPU, uses bfloat16 instructions."""
    there = torch.backends.mkldnn.is_available()
    return there and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001


@lru_cache(maxsize=1)
def check_torchvision() -> None:
    """Make sure torch and torchvision are of the same release and build.

    Raises
    ------
    EnvironmentMismatchError
        If torchvision's operators can't be loaded with this torch; says how to repair it.
    """
    if _of_one_release(_version("torch"), _version("torchvision")):
        return  # importing torchvision takes seconds
    try:
        import torchvision  # noqa: F401, PLC0415  (may fail: that is the check)
    except (ImportError, RuntimeError, AttributeError) as error:
        versions = ", ".join(f"{p} {_version(p)}" for p in ("torch", "torchvision"))
        msg = (
            f"{versions} do not fit together ({str(error).splitlines()[0]}). Install both from "
            "the same index in one command, for example: uv pip install --reinstall torch torchvision"
        )
        raise EnvironmentMismatchError(msg) from error


def _of_one_release(torch_version: str, torchvision_version: str) -> bool:
    """Whether the versions are a pair: torch 2.13 came with torchvision 0.28, of the same build."""
    (release, _, build), (vision, _, vision_build) = (
        version.partition("+") for version in (torch_version, torchvision_version)
    )
    numbers, vision_numbers = release.split("."), vision.split(".")
    if numbers[0] != "2" or vision_numbers[0] != "0" or build != vision_build:
        return False
    return int(vision_numbers[1]) - int(numbers[1]) == _RELEASES_AHEAD


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def in_batches(
    total: int, size: int, run: Callable[[slice], Result]
) -> Iterator[tuple[slice, Result]]:
    """Run something on ``total`` images, ``size`` at once: each part and what came of it.

    Where memory does not suffice, half as many go on from there, which is logged; if one alone is
    too much, the error comes out.
    """
    start = 0
    while start < total:
        part = slice(start, min(start + size, total))
        try:
            done = run(part)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or size == 1:
                raise
            log.warning("out of memory: %d images at once from here on, not %d", size // 2, size)
            size //= 2
            continue
        yield part, done
        start = part.stop


def moved(network: Module, to: torch.device) -> Module:
    """Put a network on a device, channels last, ready to predict; from any thread.

    Moving one that is in place already is not harmless: it swaps the weights' memory for itself,
    under the hands of the threads that compute with them.
    """
    with _moving, torch.inference_mode(mode=False):  # it may learn, or let gradients through, later
        weights = next(network.parameters())
        own = torch.channels_last
        spread = (w for w in network.parameters() if w.ndim == 4)
        if weights.device != to or not all(w.is_contiguous(memory_format=own) for w in spread):
            network.to(to).to(memory_format=own)  # type: ignore[call-overload]
        if network.training:
            network.eval()
    return network
