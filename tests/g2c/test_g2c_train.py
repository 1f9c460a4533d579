"""Frozen parts stay as they are to the bit, the quick way learns what the slow one does, runs resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from g2c_stand_ins import SMALL

from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.tasks.virtual_stain.g2c.config import TrainConfig
from napari_pathogan.tasks.virtual_stain.g2c.crossval import _seen
from napari_pathogan.tasks.virtual_stain.g2c.generators import load_stainers
from napari_pathogan.tasks.virtual_stain.g2c.train import Trainer, augmented

STILL = {"flips": False, "brightness": 0.0, "saturation": 0.0}


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def learnt(trainer, folder):
    run = RunFolder(folder)
    run.start({})
    list(trainer.train(run))
    return trainer


def result(work):
    """What a generator of events returns."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value


@pytest.fixture
def networks(pairs):
    return [one.network for one in load_stainers(pairs, "he")]


def test_frozen_generators_are_the_same_to_the_bit_and_then_learn(
    folder, networks, exactly, tmp_path
):
    config = TrainConfig(**{**SMALL, "epochs": 3, "freeze": 2, "lr": 0.1})
    trainer = Trainer(folder, config, exactly, networks)
    moved = {
        id(weight) for group in trainer.optimisers["g2c"].param_groups for weight in group["params"]
    }
    assert {id(weight) for weight in trainer.g2c.generators.parameters()} <= moved
    began, seen = weights(trainer.g2c.generators), []
    run = RunFolder(tmp_path / "run")
    run.start({})
    for event in trainer.train(run):
        if hasattr(event, "path"):  # a checkpoint, an epoch's end
            learning = {weight.requires_grad for weight in trainer.g2c.generators.parameters()}
            seen.append((same(weights(trainer.g2c.generators), began), learning))
    assert seen == [(True, {False}), (True, {False}), (False, {True})]


@pytest.mark.parametrize("freeze", [0, 5])
def test_generators_that_are_not_joint_never_learn(folder, networks, exactly, tmp_path, freeze):
    config = TrainConfig(**{**SMALL, "freeze": freeze, "joint": False, "lr": 0.1})
    trainer = Trainer(folder, config, exactly, networks)
    began, front = weights(trainer.g2c.generators), weights(trainer.g2c.front)
    learnt(trainer, tmp_path / "run")
    assert same(weights(trainer.g2c.generators), began)
    assert not same(weights(trainer.g2c.front), front)


def test_arms_begin_alike(folder, networks, exactly):
    config = TrainConfig(**SMALL)
    alone, whole = (Trainer(folder, config, exactly, some).g2c for some in ([], networks))
    assert same(weights(alone.backend), weights(whole.backend))


def test_looking_once_is_looking_in_every_step(folder, pairs, networks, exactly, tmp_path):
    config = TrainConfig(
        **{**SMALL, **STILL, "backend": "efficientnet-lite0", "frozen_trunk": True, "joint": False}
    )
    assert config.still
    once = result(_seen(folder, config, exactly, load_stainers(pairs, "he")))
    quick, slow = (
        learnt(Trainer(folder, config, exactly, networks, seen), tmp_path / name).g2c
        for name, seen in (("quick", once), ("slow", None))
    )
    assert not torch.equal(
        quick.front.weight, Trainer(folder, config, exactly, networks).g2c.front.weight
    )
    torch.testing.assert_close(quick.front.weight, slow.front.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(quick.front.bias, slow.front.bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("balanced", [False, True])
def test_classes_are_drawn_as_asked(folder, exactly, balanced):
    rare = folder.take((folder.labels == 0) | (np.arange(24) % 8 == 4))
    config = TrainConfig(**{**SMALL, "arm": "source", "balanced": balanced})
    trainer = Trainer(rare, config, exactly)
    drawn = rare.labels[torch.cat(list(trainer.batches())).numpy()]
    share = (drawn == 1).mean()
    assert share == pytest.approx(0.5, abs=0.05) if balanced else share < 0.3


def test_an_epoch_shows_each_image_once(folder, exactly):
    trainer = Trainer(folder, TrainConfig(**{**SMALL, "arm": "source"}), exactly)
    assert sorted(torch.cat(list(trainer.batches())).tolist()) == list(range(24))


def test_a_resumed_training_ends_alike_to_the_bit(folder, networks, exactly, tmp_path):
    config = TrainConfig(**{**SMALL, "epochs": 3})
    whole = learnt(Trainer(folder, config, exactly, networks), tmp_path / "whole")
    run = RunFolder(tmp_path / "stopped")
    run.start({})
    first = Trainer(folder, config, exactly, networks)
    work = first.train(run)
    next(event for event in work if hasattr(event, "path"))
    work.close()
    again = Trainer(folder, config, exactly, networks)
    list(again.resume(run))
    assert again.epoch == 1
    list(again.train(run))
    assert same(weights(again.g2c), weights(whole.g2c))


# augmentation


@pytest.fixture
def x():
    return torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_without_augmentation_nothing_changes_nor_is_drawn(x):
    before = torch.get_rng_state()
    assert torch.equal(augmented(x, TrainConfig(**STILL)), x)
    assert torch.equal(torch.get_rng_state(), before)


def test_flips_keep_pixels(x):
    torch.manual_seed(0)
    made = augmented(x, TrainConfig(brightness=0.0, saturation=0.0))
    ways = torch.stack([x, x.flip(2), x.flip(3), x.flip(2, 3)])
    is_one = (ways == made).flatten(2).all(2)
    assert is_one.any(0).all()
    assert is_one.any(1).all()


def test_brightness_is_a_factor_within_its_limits(x):
    torch.manual_seed(0)
    dark = x * 0.5
    factor = augmented(dark, TrainConfig(flips=False, brightness=0.3, saturation=0.0)) / dark
    each = factor.flatten(1)
    torch.testing.assert_close(each.amin(1), each.amax(1), rtol=1e-4, atol=1e-4)
    assert 0.699 < each.min() < 0.8
    assert 1.2 < each.max() < 1.301


def test_saturation_keeps_grey_as_it_is(x):
    torch.manual_seed(0)
    config = TrainConfig(flips=False, brightness=0.0, saturation=0.5)
    grey = x[:, :1].repeat(1, 3, 1, 1)
    torch.testing.assert_close(augmented(grey, config), grey)
    inner = 0.4 + 0.2 * x
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    made = augmented(inner, config)
    torch.testing.assert_close((made * weights).sum(1), (inner * weights).sum(1))
    assert not torch.equal(made, inner)
