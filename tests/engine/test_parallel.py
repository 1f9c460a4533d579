"""Trainings of two processes, as torchrun starts them: the same as one with the whole batch."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_data
from napari_pathogan.engine import parallel
from napari_pathogan.engine.devices import Device
from napari_pathogan.engine.events import Metrics
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.tasks import registered
from napari_pathogan.tasks.idc import config as idc_config
from napari_pathogan.tasks.idc import train as idc
from napari_pathogan.tasks.nuclei import config as nuclei_config
from napari_pathogan.tasks.nuclei import train as nuclei
from run_logs import logged

CPU = Device("cpu", torch.float32)
SETTINGS = {
    "idc": replace(
        idc_config.RECIPES["quick"], method="cnn", width=1 / 8, epochs=2, batch=8, dropout=0.0
    ),
    "nuclei": replace(nuclei_config.RECIPES["quick"], width=4, crop=32, epochs=2, batch=4),
}
# a bias before a batch norm has no gradient but rounding, of which Adam makes whole steps
_CANCELLED = re.compile(r"conv\w*\.bias|running_mean|num_batches")
_DATA = {"idc": tiny_data.patches, "nuclei": tiny_data.masks}


def trainer_of(name, folder):
    images = registered()[name].get(registered()[name].training.read)(folder)
    return (idc if name == "idc" else nuclei).Trainer(images, SETTINGS[name], CPU)


def weights_of(trainer):
    return {
        name: value.double().numpy()
        for network in trainer.networks.values()
        for name, value in network.state_dict().items()
    }


class Streams:
    """Varies a batch in two parts, each from the random numbers that its process has."""

    def __init__(self, trainer, vary):
        self.trainer, self.vary, self.epoch, self.states = trainer, vary, -1, []

    def __call__(self, index, *more):
        if self.trainer.epoch != self.epoch:
            self.epoch = self.trainer.epoch
            seed = self.trainer.config.seed * 1_000_003 + self.epoch
            self.states = [
                torch.Generator().manual_seed(seed + (rank + 1) * parallel.STREAM).get_state()
                for rank in range(2)
            ]
        parts = []
        for rank in range(2):
            torch.set_rng_state(self.states[rank])
            own = [one[rank::2] if isinstance(one, torch.Tensor) else one for one in more]
            parts.append(self.vary(index[rank::2], *own))
            self.states[rank] = torch.get_rng_state()
        if isinstance(parts[0], torch.Tensor):
            return self.interleaved(parts)
        return tuple(self.interleaved(pair) for pair in zip(*parts, strict=True))

    @staticmethod
    def interleaved(parts):
        return torch.stack(parts, 1).flatten(0, 1)


def torchrun(*words, **more):
    """Two processes; what they print is in the answer."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", "0", "--standalone", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        **more,
    )


@pytest.mark.parametrize("name", ["idc", "nuclei"])
def test_losses_and_weights_are_those_of_one_process_with_the_whole_batch(
    name, tmp_path, monkeypatch
):
    _DATA[name](tmp_path / "data")
    working = torchrun(__file__, name, tmp_path / "data", tmp_path / "two")
    alone = trainer_of(name, tmp_path / "data")
    if name == "idc":
        monkeypatch.setattr(idc, "augment", Streams(alone, idc.augment))
    else:
        alone.draw = Streams(alone, alone.draw)
    run = RunFolder(tmp_path / "one")
    run.start(SETTINGS[name])
    wanted = [event.values for event in alone.train(run) if isinstance(event, Metrics)]
    said = working.communicate(timeout=200)[0]
    assert working.returncode == 0, said
    got = [logged(RunFolder(tmp_path / "two" / str(rank))) for rank in range(2)]
    for epochs in got:
        for epoch, one in zip(epochs, wanted, strict=True):
            assert {k: epoch[k] for k in one} == pytest.approx(one, rel=2e-4)
    both = [dict(np.load(tmp_path / "two" / f"{rank}.npz")) for rank in range(2)]
    begun = weights_of(trainer_of(name, tmp_path / "data"))
    learnt = weights_of(alone)
    moved, apart = 0.0, 0.0
    for key, value in learnt.items():
        np.testing.assert_array_equal(both[0][key], both[1][key])  # to the bit
        if key.endswith("running_var"):
            np.testing.assert_allclose(both[0][key], value, rtol=1e-3)
        elif _CANCELLED.search(key) is None:
            moved += np.square(value - begun[key]).sum()
            apart += np.square(value - both[0][key]).sum()
    assert apart < 0.03**2 * moved


def test_processes_vary_their_parts_differently(tmp_path):
    """Two that drew the same would show as one image varied in one way twice."""
    working = torchrun(__file__, "streams", tmp_path, tmp_path)
    said = working.communicate(timeout=100)[0]
    assert working.returncode == 0, said
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert one["batches"] == [[0, 2], [4, 6]]
    assert other["batches"] == [[1, 3], [5, 7]]
    assert one["alike"] == other["alike"]
    assert not set(one["own"]) & set(other["own"])
    assert "a batch of 3 can't be divided among 2 processes equally" in one["refused"]
    assert (one["means"], one["first"]) == ({"x": 0.5}, other["first"])


@pytest.fixture
def asked(tmp_path):
    """A training of the command line, of 4 epochs."""
    tiny_data.patches(tmp_path / "data")
    words = ["idc", "train", tmp_path / "data", "--recipe", "quick", "--method", "cnn", "--set"]
    words += ["width=0.0625", "--set", "batch=8", "--epochs", "4", "--device", "cpu"]
    return ["-m", "napari_pathogan.cli", *words, "-o"]


def test_a_run_that_is_killed_goes_on_and_is_the_same(asked, tmp_path):
    whole = torchrun(*asked, tmp_path / "whole")
    said = whole.communicate(timeout=200)[0]
    assert whole.returncode == 0, said
    assert said.count("4: class") == 1  # the first process alone tells how it goes
    run = RunFolder(tmp_path / "whole")
    assert (run.model / "model.json").is_file()
    assert [line["step"] for line in logged(run)] == [1, 2, 3, 4]

    killed, parts = torchrun(*asked, tmp_path / "parts"), RunFolder(tmp_path / "parts")
    until = time.monotonic() + 100
    while not parts.checkpoint.is_file() and killed.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    children_end(parts)
    again = torchrun(*asked, parts.path, "--resume")
    said = again.communicate(timeout=200)[0]
    assert again.returncode == 0, said
    assert logged(parts) == logged(run)
    name = "model/weights.safetensors"
    assert (parts.path / name).read_bytes() == (run.path / name).read_bytes()


def children_end(run):
    """Processes that torchrun put into a session of their own see that it is gone; wait for that."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with run.locked():
                return
        except OSError:
            time.sleep(0.1)


def test_other_commands_are_refused(tmp_path):
    working = torchrun("-m", "napari_pathogan.cli", "info", tmp_path)
    said = working.communicate(timeout=100)[0]
    assert working.returncode != 0
    assert "several processes (torchrun) train a model: pathogan TASK train" in said


def _work(name, data, out):
    """What each of the two processes does in these tests."""
    torch.set_num_threads(1)
    with parallel.joined(out / "run", "cpu"):
        rank = parallel.rank()
        if name == "streams":
            torch.manual_seed(1)
            drawn = list(parallel.parts(torch.arange(8).view(2, 4), parallel.part, 1))
            found = {"batches": [one.tolist() for one in drawn]}
            shared = []

            def batches():
                for _ in range(3):
                    shared.append(float(torch.rand(())))
                    yield torch.arange(2)

            torch.manual_seed(5)
            parts = parallel.parts(batches(), parallel.part, 5)
            own = [float(torch.rand(())) for _ in parts]
            try:
                parallel.part(torch.arange(3))
            except ValueError as error:
                found["refused"] = str(error)
            found |= {"alike": shared, "own": own, "means": parallel.means({"x": float(rank)})}
            found["first"] = parallel.of_first(rank)
            (out / f"{rank}.json").write_text(json.dumps(found))
            return
        trainer = trainer_of(name, data)
        if rank:  # the first one's weights count
            for network in trainer.networks.values():
                for weight in network.parameters():
                    weight.data.add_(1.0)
        run = RunFolder(out / str(rank))
        run.start(SETTINGS[name])
        for _ in trainer.train(run):
            pass
        np.savez(out / f"{rank}.npz", **weights_of(trainer))


if __name__ == "__main__":
    _work(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
