"""The paper's schedule as an exact list, and settings that count for nothing."""

from __future__ import annotations

import pytest

from napari_pathogan.engine.config import SettingError
from napari_pathogan.tasks.virtual_stain.g2c.config import RECIPES, TrainConfig


@pytest.mark.parametrize("steps", [1, 3, 7, 603])
def test_the_rate_is_divided_by_ten_every_five_epochs(steps):
    config, total = TrainConfig(), 30 * steps
    rates = [config.lr * config.rate(number / total) for number in range(total)]
    expected = [0.01 * 0.1 ** (epoch // 5) for epoch in range(30) for _ in range(steps)]
    assert rates == expected
    by_epoch = [1e-2] * 5 + [1e-3] * 5 + [1e-4] * 5 + [1e-5] * 5 + [1e-6] * 5 + [1e-7] * 5
    assert rates[::steps] == pytest.approx(by_epoch, rel=1e-12)


@pytest.mark.parametrize("epochs", [1, 2, 11, 29])
def test_other_numbers_of_epochs_go_down_by_whole_epochs_too(epochs):
    config = TrainConfig(epochs=epochs)
    rates = [config.rate(number / (epochs * 7)) for number in range(epochs * 7)]
    assert rates == [config.decay ** (number // 35) for number in range(epochs * 7)]


def test_the_papers_recipe_is_the_papers():
    c = RECIPES["paper"]
    assert (c.epochs, c.lr, c.momentum, c.step, c.decay, c.freeze) == (30, 0.01, 0.5, 5, 0.1, 5)
    assert (c.backend, c.side, c.joint, c.arm) == ("resnet", 224, True, "all")
    assert c.flips
    assert c.brightness
    assert c.saturation
    assert not c.still
    assert RECIPES["quick"].still


@pytest.mark.parametrize(
    "wrong", ["side=30", "side=33", "side=512", "width=3", "lr=0", "momentum=1", "brightness=1"]
)
def test_impossible_values_are_refused(wrong):
    with pytest.raises(SettingError, match=wrong.partition("=")[0]):
        TrainConfig().adjusted([wrong])


def test_what_counts_for_nothing_is_known():
    assert "freeze" in TrainConfig(joint=False).ignored()
    assert "joint" in TrainConfig(arm="source").ignored()
    assert "width" in RECIPES["quick"].ignored()
    assert "frozen_trunk" in TrainConfig().ignored()
    assert not {"freeze", "width"} & set(TrainConfig().ignored())
