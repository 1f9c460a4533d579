"""Devices and precisions that are not there are refused in words."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_pathogan.engine import devices
from napari_pathogan.engine.devices import choose_device, in_batches
from napari_pathogan.errors import DeviceError, EnvironmentMismatchError, out_of_memory
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.masses.model import MassModel
from napari_pathogan.tasks.nuclei.model import NucleiModel
from napari_pathogan.tasks.nuclei_classes.model import ClassModel
from napari_pathogan.tasks.stain.model import StyleModel


def test_cpu_computes_in_float32_unless_it_has_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    device = choose_device("cpu")
    assert (device.name, device.dtype, str(device)) == ("cpu", torch.float32, "cpu (float32)")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(devices, "_onednn_has_bfloat16", lambda: True)
    assert choose_device("cpu").dtype == torch.bfloat16
    monkeypatch.setattr(devices, "_onednn_has_bfloat16", lambda: False)
    assert choose_device("cpu").dtype == torch.float32


def test_instructions_that_onednn_may_not_use_are_none():
    """With bfloat16 a convolution would take 40 times as long there."""
    code = "from napari_pathogan.engine.devices import choose_device; print(choose_device('cpu'))"
    asked = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=asked, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "cpu (float32)"


def test_autocast_follows_the_precision():
    a = torch.ones(4, 4)
    for precision in ("float32", "bfloat16"):
        device = choose_device("cpu", precision)
        with device.autocast:
            assert (a @ a).dtype == getattr(torch, precision)
    assert device.torch == torch.device("cpu")


def test_auto_takes_what_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device().name == "cpu"


@pytest.mark.parametrize("name", ["abacus", "cuda:77", "xpu"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(DeviceError, match=name):
        choose_device(name)


def test_a_precision_that_is_none():
    with pytest.raises(DeviceError, match="none of auto, float32"):
        choose_device("cpu", "int3")


@pytest.mark.parametrize(
    ("torch_version", "vision", "fits"),
    [
        ("2.13.0", "0.28.0", True),
        ("2.13.0+cpu", "0.28.1+cpu", True),
        ("2.13.0+cpu", "0.28.0+cu130", False),
        ("2.13.0", "0.27.0", False),
        ("2.13.0", "missing", False),
        ("3.0.0", "1.0.0", False),
    ],
)
def test_releases_that_belong_together(torch_version, vision, fits):
    assert devices._of_one_release(torch_version, vision) is fits


def test_packages_that_do_not_fit_are_named(monkeypatch):
    versions = {"torch": "2.13.0", "torchvision": "0.20.0"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    monkeypatch.setitem(__import__("sys").modules, "torchvision", None)  # as if it could not load
    devices.check_torchvision.cache_clear()
    with pytest.raises(
        EnvironmentMismatchError, match=r"torch 2\.13\.0, torchvision 0\.20\.0 do not"
    ):
        choose_device("cpu")
    devices.check_torchvision.cache_clear()


def half_disc():
    """What looks like a breast: float32 (240, 140)."""
    y, x = np.mgrid[-120:120, 0:140]
    return np.where(y**2 + x**2 < 100**2, 0.7 - x / 400, 0).astype(np.float32)


@pytest.mark.parametrize(
    ("model", "look"),
    [
        ("idc-cgan", lambda name: IdcModel.load(name, "cpu").logits),
        ("nuclei-unet", lambda name: NucleiModel.load(name, "cpu").probability),
        ("nuclei-classes-crc", lambda name: ClassModel.load(name, "cpu").probability),
        ("masses-inbreast", lambda name: MassModel.load(name, "cpu").detect),
        ("stain-crc", lambda name: StyleModel.load(name, "cpu")),
    ],
)
def test_networks_stay_where_they_are_while_threads_compute_with_them(model, look, monkeypatch):
    """Moving a network that is in place swaps the memory under the hands of other threads."""
    seen = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), np.uint8)
    given = {
        "idc-cgan": seen[:, :50, :50],
        "nuclei-classes-crc": seen[:, :40, :40],
        "masses-inbreast": half_disc(),
        "stain-crc": seen[0],
    }.get(model, seen)
    predict = look(model)
    predict(given)
    moves = []
    monkeypatch.setattr(torch.nn.Module, "_apply", lambda self, *_, **__: moves.append(self))
    predict(given)
    assert not moves


class OutOfMemoryError(RuntimeError):
    """Called as torch's."""


@pytest.mark.parametrize(
    "full",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"
        ),
    ],
)
def test_where_memory_is_full_half_as_many_go_on(full, caplog):
    asked = []

    def run(part):
        asked.append(part.stop - part.start)
        if asked[-1] > 3:
            raise full
        return list(range(part.start, part.stop))

    found = list(in_batches(10, 8, run))
    assert [one for _, done in found for one in done] == list(range(10))
    assert [(part.start, part.stop) for part, _ in found] == [
        (0, 2),
        (2, 4),
        (4, 6),
        (6, 8),
        (8, 10),
    ]
    assert asked == [8, 4, 2, 2, 2, 2, 2]
    assert "2 images at once from here on, not 4" in caplog.text
    assert out_of_memory(full)

    def never(part):
        raise full

    with pytest.raises(type(full)):
        list(in_batches(10, 8, never))


def test_other_errors_are_not_taken_for_full_memory():
    def broken(part):
        msg = "mat1 and mat2 shapes cannot be multiplied"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="shapes"):
        list(in_batches(10, 8, broken))
    assert not out_of_memory(RuntimeError("shapes"))
