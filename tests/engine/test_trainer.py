"""The trainer that all trainings share, with a network of one weight."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_pathogan.engine.config import TrainConfig, checked
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Checkpoint, Metrics, Preview, Progress, Warn
from napari_pathogan.engine.jobs import Rests
from napari_pathogan.engine.runs import RunFolder, load_state, save_state
from napari_pathogan.engine.trainer import Trainer, averaged, weights_in
from napari_pathogan.errors import DataFolderError, TrainingDivergedError
from run_logs import logged


@checked
class Config(TrainConfig):
    """Of the toy."""

    lr: float = 0.1

    def rate(self, progress):
        return 1 - progress


class Toy(Trainer[Config, torch.Tensor]):
    """Learns to say 0."""

    steps = 3

    def __init__(self, config):
        super().__init__(config, choose_device("cpu"))
        self.network = self.add("network", torch.nn.Linear(1, 1, bias=False))
        torch.nn.init.ones_(self.network.weight)
        self.optimisers["network"] = torch.optim.AdamW(self.network.parameters(), lr=config.lr)
        self.seen = 0.0

    def batches(self):
        return torch.rand(self.steps, 1, 1)

    def step(self, batch, number):
        loss = self.network(batch).square().mean()
        self.update("network", loss, clip=1.0)
        return {"square": loss.detach()}

    def preview(self):
        return "nothing", np.zeros((2, 2, 3), np.uint8)

    def measure(self):
        self.seen += 1
        return {"seen": self.seen}

    def own_state(self):
        return {"seen": self.seen}

    def restore_own(self, state):
        self.seen = state["seen"]


CONFIG = Config(epochs=4, ema=0.9)


def start(path):
    run = RunFolder(path)
    run.start(CONFIG.to_json())
    return run


def learnt(config, run, stop=0):
    toy = Toy(config)
    events = list(toy.resume(run))
    for event in toy.train(run):
        events.append(event)
        if isinstance(event, Checkpoint) and event.step == stop:
            break
    return toy, events


def test_an_epoch_gives_figures_a_picture_and_a_checkpoint(tmp_path):
    toy, events = learnt(CONFIG, start(tmp_path))
    metrics = [event for event in events if isinstance(event, Metrics)]
    assert [event.step for event in metrics] == [1, 2, 3, 4]
    assert metrics[-1].values["seen"] == 4
    assert metrics[-1].values["lr"] == pytest.approx(0.1 / 12)
    pictures = [event.path for event in events if isinstance(event, Preview)]
    assert all(path.is_file() for path in pictures)
    assert len(pictures) == 4
    assert toy.network.weight.item() < 1
    assert toy.weights("network")["weight"] != toy.network.weight


def test_stopped_and_resumed_is_the_same_as_never_stopped(tmp_path):
    whole, _ = learnt(CONFIG, start(tmp_path / "whole"))
    run = start(tmp_path / "parts")
    learnt(CONFIG, run, stop=2)
    parts, events = learnt(CONFIG, run)
    assert isinstance(events[0], Warn)
    assert torch.equal(parts.network.weight, whole.network.weight)
    assert torch.equal(parts.weights("network")["weight"], whole.weights("network")["weight"])
    assert parts.seen == whole.seen == 4
    assert torch.equal(weights_in(load_state(run.checkpoint), "network")["weight"],
                       whole.weights("network")["weight"])  # fmt: skip


def test_the_rate_of_a_resumed_run_is_the_configurations(tmp_path):
    run = start(tmp_path)
    learnt(CONFIG, run, stop=2)
    _, events = learnt(replace(CONFIG, lr=0.2), run)
    last = [event for event in events if isinstance(event, Metrics)][-1]
    assert last.values["lr"] == pytest.approx(0.2 / 12)


def test_averages_follow_the_weights_and_buffers_are_copied():
    network = torch.nn.BatchNorm1d(2)
    average = averaged(network, decay=0.5)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(8.0)
    average.update_parameters(network)  # keeps min(0.5, 2 / 11) of the first
    assert average.module.weight[0].item() == pytest.approx(1 * 2 / 11 + 3 * 9 / 11)
    assert average.module.running_mean[0] == 8


def test_checkpoints_keep_averages_as_they_always_did(tmp_path):
    run = start(tmp_path)
    toy, _ = learnt(CONFIG, run, stop=2)
    kept = load_state(run.checkpoint)["averages"]["network"]
    assert kept["updates"] == 2 * toy.steps
    assert torch.equal(kept["shadow"]["weight"], toy.weights("network")["weight"])


def test_without_averages_the_last_weights_are_the_model(tmp_path):
    toy, _ = learnt(replace(CONFIG, ema=0), start(tmp_path))
    assert torch.equal(toy.weights("network")["weight"], toy.network.weight)


def test_a_loss_that_is_no_number_stops_it(tmp_path):
    run = start(tmp_path)
    learnt(CONFIG, run, stop=1)
    with pytest.raises(TrainingDivergedError, match="epoch 2: the square loss"):
        learnt(replace(CONFIG, lr=1e38), run)
    assert Toy(CONFIG).epoch == 0
    assert load_state(run.checkpoint)["epoch"] == 1


def test_checkpoints_of_older_versions(tmp_path):
    """Their weights can be begun with; gone on from they can't be."""
    weights = {"weight": torch.ones(1, 1)}
    run = start(tmp_path)
    for old in ({"average": weights}, {"ema": {"shadow": weights}, "network": {}}):
        save_state(run.checkpoint, {"epoch": 1, **old})
        assert torch.equal(
            weights_in(load_state(run.checkpoint), "network")["weight"], torch.ones(1, 1)
        )
        with pytest.raises(DataFolderError, match="older version"):
            learnt(CONFIG, run)


def test_a_run_that_was_killed_before_its_first_checkpoint_logs_each_epoch_once(tmp_path):
    run = start(tmp_path / "run")
    run.log(Metrics(1, {"square": 1.0}))
    learnt(CONFIG, run)
    assert [line["step"] for line in logged(run)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "damage",
    [
        {"epoch": "x"},
        {"epoch": None},
        {"epoch": -1},
        {"networks": None},
        {"networks": {"network": {"weight": torch.zeros(3, 3)}}},
        {"averages": {}},
        {"optimisers": {"network": {}}},
        {"seen": None},
        {"seen": "often"},
        {"seen": [1]},
        {"optimisers": None},
        {"averages": [1]},
    ],
)
def test_a_checkpoint_of_something_else_is_said(tmp_path, damage):
    run = start(tmp_path / "run")
    toy, _ = learnt(CONFIG, run, stop=1)
    state = toy.state() | damage
    if damage == {"seen": None}:
        del state["seen"]
    save_state(run.checkpoint, state)
    with pytest.raises(
        DataFolderError, match=r"checkpoint .* can't be read .*; start the run anew"
    ):
        list(Toy(CONFIG).resume(run))


@pytest.mark.skipif(not hasattr(signal, "SIGCONT"), reason="this system says nothing of rests")
def test_a_rest_counts_for_no_pace(tmp_path, monkeypatch):
    monkeypatch.setattr(signal, "SIGCONT", signal.SIGUSR1)  # one that pytest can do without
    before = signal.getsignal(signal.SIGUSR1)
    Rests.note()
    now = [0.0]
    monkeypatch.setattr("napari_pathogan.engine.trainer.time.monotonic", lambda: now[0])
    try:
        left = []
        for event in Toy(Config(epochs=4)).train(start(tmp_path / "run")):
            if isinstance(event, Progress):
                left.append(event.eta_s)
                now[0] += 1.0
                if len(left) == 3:
                    now[0] += 1000.0
                    signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert left[3] is None
    assert left[2] == pytest.approx(2 / 3 * 9)
    assert left[4:6] == pytest.approx([7, 6])
