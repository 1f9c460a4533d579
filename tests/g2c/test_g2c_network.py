"""One back end for all stains, one place where [0, 1] becomes [-1, 1], arms that differ in the front."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from napari_pathogan.tasks.virtual_stain.g2c.config import TrainConfig
from napari_pathogan.tasks.virtual_stain.g2c.network import (
    G2C,
    AlexNet,
    ResNet,
    arguments_of,
    empty_backend,
    new_backend,
)
from napari_pathogan.tasks.virtual_stain.network import Generator


class Spy(nn.Module):
    """A generator that notes what it is given and gives back extremes."""

    def __init__(self):
        super().__init__()
        self.given = None

    def forward(self, x):
        self.given = x
        return torch.where(x > 0, 1.0, -1.0)


@pytest.mark.parametrize("number", range(4))
def test_an_arm_has_as_many_inputs_as_stains(number):
    network = G2C(ResNet(4), [Generator(2, 1) for _ in range(number)], 3)
    assert network.front.in_features == (number + 1) * 32
    x = torch.rand(2, 3, 32, 32)
    assert network.stains(x).shape == (2, number + 1, 3, 32, 32)
    assert network(x).shape == (2, 3)


def test_all_stains_are_seen_by_the_same_weights():
    alone, with_three = (G2C(AlexNet(8), [Generator(2, 1)] * number, 2) for number in (0, 3))
    count = sum(weight.numel() for weight in alone.backend.parameters())
    assert count == sum(weight.numel() for weight in with_three.backend.parameters())
    x = torch.rand(2, 3, 32, 32)
    stains = torch.stack([x, x, x, x], 1)
    seen = with_three.eval().look(stains)
    for one in range(1, 4):
        torch.testing.assert_close(seen[:, one], seen[:, 0])
    with_three.train()(x).sum().backward()
    assert all(weight.grad is not None for weight in with_three.backend.parameters())


def test_pixels_are_converted_once_to_the_generator_and_once_back():
    spy = Spy()
    network = G2C(AlexNet(4), [spy], 2)
    x = torch.tensor([0.0, 0.25, 0.75, 1.0]).repeat(32, 8)[None, None].repeat(1, 3, 1, 1)
    stains = network.stains(x)
    given = network.generators[0].given
    torch.testing.assert_close(given.unique(), torch.tensor([-1.0, -0.5, 0.5, 1.0]))
    assert stains[:, 1].unique().tolist() == [0.0, 1.0]
    assert torch.equal(stains[:, 0], x)


def test_generators_are_copied():
    own = Generator(2, 1)
    network = G2C(AlexNet(4), [own], 2)
    with torch.no_grad():
        network.generators[0].first.weight.fill_(7)
    assert not (own.first.weight == 7).any()


def test_the_resnet_is_torchvisions_but_for_the_stem():
    stem, theirs = ResNet(64), resnet18(num_classes=2)
    assert stem.outputs == 512
    own = {tuple(one.shape) for one in stem.parameters()}
    of_stages = [one for name, one in theirs.named_parameters() if name.startswith("layer")]
    assert {tuple(one.shape) for one in of_stages} <= own
    count = sum(one.numel() for one in stem.parameters())
    convolutions = 3 * 9 * 64 + 2 * 9 * 64 * 64 + 3 * 2 * 64
    assert count == sum(one.numel() for one in of_stages) + convolutions
    before = torch.rand(1, 3, 224, 224)
    assert nn.Sequential(*list(stem)[:10])(before).shape == (1, 64, 56, 56)


def test_alexnet_sees_four_by_four_of_32_px():
    network = AlexNet(64)
    assert nn.Sequential(*list(network)[:9])(torch.rand(1, 3, 32, 32)).shape == (1, 64, 4, 4)
    assert sum(one.numel() for one in network.parameters()) == (
        (75 + 1) * 32 + (25 * 32 + 1) * 32 + (25 * 32 + 1) * 64 + (16 * 64 + 1) * 64
    )


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(width=4),
        TrainConfig(backend="alexnet", width=4),
        TrainConfig(backend="efficientnet-lite0"),
        TrainConfig(backend="efficientnet-lite0", frozen_trunk=True),
    ],
    ids=["resnet", "alexnet", "trunk", "frozen trunk"],
)
def test_a_saved_back_end_is_the_same_one(config):
    backend = new_backend(config)
    again = empty_backend(**arguments_of(backend, config))
    again.load_state_dict(backend.state_dict())
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(again.eval()(x), backend.eval()(x))
    frozen = config.frozen_trunk
    assert bool(list(backend.parameters())) != frozen


def test_a_frozen_trunk_lets_gradients_through_to_the_generator():
    config = TrainConfig(backend="efficientnet-lite0", frozen_trunk=True)
    network = G2C(new_backend(config), [Generator(2, 1)], 2)
    network(torch.rand(1, 3, 32, 32)).sum().backward()
    assert all(weight.grad is not None for weight in network.generators.parameters())
    assert [name for name, _ in network.named_parameters() if name.startswith("backend")] == []
