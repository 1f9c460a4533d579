"""Training: the schedule, one batch overfitted, killed and resumed, what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_pathogan.engine.devices import Device
from napari_pathogan.engine.events import Checkpoint, Finished, Metrics, Preview, Progress, Warn
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError, TrainingDivergedError
from napari_pathogan.tasks.idc.augment import Augment
from napari_pathogan.tasks.idc.config import RECIPES, TrainConfig
from napari_pathogan.tasks.idc.crossval import learn
from napari_pathogan.tasks.idc.data import read_patches
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.train import Trainer, train

CPU = Device("cpu", torch.float32)
TINY = replace(
    RECIPES["quick"], width=1 / 32, epochs=3, batch=16, preview_every=2, generator_every=1
)


def start(folder, config=TINY):
    run = RunFolder(folder)
    run.start(config.to_json(), resume=True)
    return run


def test_the_papers_schedule_is_this_list():
    got = [2e-4 * TrainConfig().rate(epoch / 10) for epoch in range(11)]
    rates = [2, 2, 2, 2, 2, 2, 1.6, 1.2, 0.8, 0.4, 0]
    assert got == pytest.approx([r * 1e-4 for r in rates], abs=1e-18)
    assert got[-1] == 0


def test_one_cycle_goes_up_and_then_down_to_zero():
    config = TrainConfig(schedule="one-cycle", lr=1e-3)
    got = [config.lr * config.rate(p) for p in (0, 0.1, 0.2, 0.6, 1)]
    assert got == pytest.approx([4e-5, 5.2e-4, 1e-3, 5e-4, 0])


def test_the_defaults_are_the_papers():
    config = TrainConfig()
    assert (config.lr, config.betas, config.batch, config.epochs) == (2e-4, (0.5, 0.999), 128, 200)
    assert (config.method, config.width, config.penalty_every) == ("cgan", 1, 1)
    assert config.augment == Augment()


def test_single_settings_are_changed_by_name():
    config = TINY.adjusted(["lr=0.01", "augment.mix=1", "schedule=paper", "betas=[0.5, 0.9]"])
    assert (config.lr, config.augment.mix, config.schedule) == (0.01, 1.0, "paper")
    assert config.betas == (0.5, 0.9)
    assert config.augment.turns


@pytest.mark.learning
def test_one_batch_can_be_learnt_by_heart(patches, seed, measured):
    config = TrainConfig(method="cnn", width=1 / 16, lr=4e-3, betas=(0.9, 0.999), batch=8, ema=0)
    config = replace(config, seed=seed)
    rng = np.random.default_rng(seed)
    few = patches.take(np.arange(8))
    few.labels[:] = rng.permutation([0, 0, 0, 0, 1, 1, 1, 1])  # nothing to see: only by heart
    trainer = Trainer(few, config, CPU)
    losses = [trainer.step(torch.arange(8), n)["class"].item() for n in range(150)]
    assert measured("first", losses[0]) > 0.5
    assert measured("last", losses[-1]) < 0.1


@pytest.mark.parametrize("method", ["cgan", "cnn"])
def test_events_of_a_run(tmp_path, patches, method):
    run = start(tmp_path / "run")
    events = list(train(patches, replace(TINY, method=method), run))
    assert isinstance(events[-1], Finished)
    steps = [e for e in events if isinstance(e, Progress)]
    assert [e.done for e in steps] == list(range(1, 10))
    assert steps[-1].eta_s == 0
    assert [e.step for e in events if isinstance(e, Metrics)] == [1, 2, 3]
    assert sum(isinstance(e, Checkpoint) for e in events) == 3
    pictures = [e for e in events if isinstance(e, Preview)]
    assert len(pictures) == (method == "cgan")
    for picture in pictures:
        assert picture.path.is_file()
        assert picture.image.shape == (200, 400, 3)
    assert len(run.metrics.read_text().splitlines()) == 3


def test_unlabelled_patches_reach_the_adversarial_term_only(patches):
    config = replace(TINY, labelled=1.0)
    patches.labels[8:] = -1
    trainer = Trainer(patches, config, CPU)
    index = trainer.batches()
    assert index.shape == (3, 16)
    assert ((index < 8).sum(1) == 8).all()  # half of a batch is labelled
    plain = Trainer(patches, replace(config, method="cnn"), CPU)
    assert plain.batches().shape == (3, 16)
    assert (plain.batches() < 8).all()


def test_each_network_learns_only_in_its_own_step(patches):
    trainer = Trainer(patches, TINY, CPU)
    before = {k: v.clone() for k, v in trainer.g.state_dict().items() if "weight" in k}
    x = torch.rand(8, 3, 50, 50)
    trainer._discriminate(x, torch.ones(8), 0)
    assert all(
        torch.equal(v, before[k])
        for k, v in trainer.g.state_dict().items()
        if k in before and not k.endswith(("_u", "_v")) and ".0." not in k
    )
    d = [p.clone() for p in trainer.d.parameters()]
    trainer._generate(8)
    assert all(torch.equal(a, b) for a, b in zip(d, trainer.d.parameters(), strict=True))
    assert all(p.requires_grad for p in trainer.d.parameters())


@pytest.mark.learning
def test_stopped_and_resumed_is_the_same_as_never_stopped(tmp_path, patches):
    whole = list(train(patches, TINY, start(tmp_path / "whole")))[-1].result
    run = start(tmp_path / "halves")
    for event in train(patches, TINY, run):
        if isinstance(event, Progress) and event.done == 8:  # amid the last epoch
            break
    torch.rand(100)  # whatever else happens to draw
    events = list(train(patches, TINY, run))
    assert isinstance(events[0], Warn)
    again = events[-1].result
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
    assert len(run.metrics.read_text().splitlines()) == 3


def test_killed_in_the_middle_and_resumed(tmp_path, patches, write):
    """SIGKILL to the real command, then resumed: the same weights, nothing half written."""
    folder = write(tmp_path / "data", patches)
    run = tmp_path / "run"
    options = "--recipe quick --width 0.03125 --batch 16 --epochs 25 --events --holdout 0"
    arguments = ["idc", "train", str(folder), "-o", str(run), *options.split()]
    script = (
        "import torch; torch.set_num_threads(1); from napari_pathogan.cli.app import main; main()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True
    )
    for line in child.stdout:
        if json.loads(line)["event"] == "checkpoint":
            os.kill(child.pid, signal.SIGKILL)
            break
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    assert not (run / "model").exists()
    config = replace(RECIPES["quick"], width=1 / 32, batch=16, epochs=25)
    read = read_patches(folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        events = list(train(read, config, RunFolder(run)))
        whole = list(train(read, config, start(tmp_path / "whole", config)))[-1].result.network
    finally:
        torch.set_num_threads(threads)
    assert isinstance(events[0], Warn)
    killed = events[-1].result.network.state_dict()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, killed[name]), name


def test_early_stopping_keeps_the_best_epoch(tmp_path, patches):
    held_out = patches.of(["p3"])
    config = replace(TINY, epochs=30, lr=0.0, patience=2)
    events = list(train(patches.of(["p0", "p1"]), config, start(tmp_path), held_out=held_out))
    epochs = [e for e in events if isinstance(e, Metrics)]
    assert all("held_out_auc" in e.values for e in epochs)
    assert len(epochs) == 3  # the first is the best of three equal ones
    assert any(isinstance(e, Warn) and "stopped" in e.message for e in events)


def test_a_nan_loss_stops_and_the_checkpoint_stays(tmp_path, patches):
    run = start(tmp_path)
    config = replace(TINY, method="cnn", epochs=4)
    events = train(patches, config, run)
    for event in events:
        if isinstance(event, Checkpoint):
            break
    events.close()
    broken = replace(config, lr=1e38)
    with pytest.raises(TrainingDivergedError, match="epoch 2: the"):
        list(train(patches, broken, run))
    assert run.checkpoint.is_file()
    list(train(patches, config, run))


def test_one_class_can_not_be_learnt(tmp_path, patches):
    with pytest.raises(DataFolderError, match="no patch is labelled IDC"):
        list(train(patches.take(patches.labels == 0), TINY, start(tmp_path)))


@pytest.mark.learning
def test_cross_validation_ends_with_a_calibrated_model(tmp_path, patches, seed, measured):
    run = start(tmp_path / "run")
    config = replace(TINY, method="cnn", epochs=12, lr=4e-3, seed=seed)
    events = list(learn(patches, config, run, folds=2, name="tiny"))
    progress = [e for e in events if isinstance(e, Progress)]
    assert [e.done for e in progress] == sorted(e.done for e in progress)
    assert progress[-1].done == progress[-1].total
    patch, heat_map = events[-1].result
    assert patch.counts == {"n_patches": 48, "n_patients": 4}
    auc = patch.metrics["auc_patient_mean"].value
    # the classes are easy to tell apart: .90 to 1.00 (benchmarks/learning_spread.py, 5 seeds, AVX2
    # in float32 and AVX-512 in bfloat16)
    assert measured("auc", auc) > 0.8
    assert heat_map.metrics["auc"].low is not None
    model = IdcModel.load(run.path)
    assert model.card.name == "tiny"
    assert model.card.training_data[0].known([*patches.names, "x"]) == set(patches.names)
    assert model.card.metrics["auc"].value == pytest.approx(patch.metrics["auc"].value)
    tested = load_file(run.path / "out_of_fold.safetensors")
    assert set(tested["fold"].tolist()) == {0, 1}
    assert torch.isfinite(tested["raw"]).all()
    assert (run.model / "calibration.png").read_bytes()[:4] == b"\x89PNG"


def test_one_patient_can_not_be_cross_validated_but_learnt(tmp_path, patches):
    one = patches.of(["p0"])
    with pytest.raises(DataFolderError, match="by patient"):
        list(learn(one, TINY, start(tmp_path / "a"), folds=2))
    config = replace(TINY, method="cnn", epochs=1)
    list(learn(one, config, start(tmp_path / "b")))
    assert IdcModel.load(tmp_path / "b").card.metrics == {}


def test_held_out_patients_calibrate_a_single_training(tmp_path, patches):
    config = replace(TINY, method="cnn", epochs=6, lr=4e-3)
    patch, _ = list(learn(patches, config, start(tmp_path), holdout=0.5))[-1].result
    assert patch.counts["n_patients"] == 2
    assert any("same patients" in note for note in patch.notes)
