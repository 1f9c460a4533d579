"""The CycleGAN's networks are the paper's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from napari_pathogan.tasks.virtual_stain.network import (
    MARGIN,
    PATCH_PX,
    Discriminator,
    Generator,
    instance_norm,
    moments,
    signed,
    standardised,
    to_uint8,
    unit,
)


def count(network):
    return sum(one.numel() for one in network.parameters())


def test_parameters_are_those_of_the_reference_implementation():
    # pytorch-CycleGAN-and-pix2pix prints 11.378 M for resnet_9blocks and 2.765 M for basic
    assert count(Generator()) == 11_378_179
    assert count(Discriminator()) == 2_764_737


@pytest.mark.parametrize("sides", [(8, 8), (32, 64), (64, 20)])
def test_a_generator_keeps_the_size_and_the_range(sides):
    made = Generator(4, 2)(torch.rand(2, 3, *sides) * 2 - 1)
    assert made.shape == (2, 3, *sides)
    assert made.abs().max() <= 1


@pytest.mark.parametrize("norm", [instance_norm])
def test_instance_norm_is_torchs(norm):
    x = torch.randn(2, 5, 7, 9) * 3 + 1
    torch.testing.assert_close(norm(x, 0), F.instance_norm(x), rtol=1e-4, atol=1e-5)


def test_every_normalisation_has_a_number_of_its_own():
    network, seen = Generator(4, 3), []

    def norm(x, layer):
        seen.append(layer)
        return instance_norm(x)

    network(torch.rand(1, 3, 16, 16), norm)
    assert seen == list(range(11))


def field(network, side):
    """How far from the middle a pixel still counts, statistics aside: (before, after)."""
    image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    made = network(image)
    made[0, :, made.shape[2] // 2, made.shape[3] // 2].sum().backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero()[:, 0]
    return int(rows.min()), int(rows.max())


def test_a_discriminator_judges_patches_of_70_px(monkeypatch):
    module = "napari_pathogan.tasks.virtual_stain.network.instance_norm"
    monkeypatch.setattr(module, lambda x, layer=0: x)
    low, high = field(Discriminator(4).double(), 256)
    assert high - low + 1 == PATCH_PX
    made = Discriminator(4)(torch.rand(1, 3, 256, 256))
    assert made.shape == (1, 1, 30, 30)


def test_beyond_the_margin_a_pixel_counts_by_statistics_alone():
    network = Generator(4).double()

    def fixed(x, layer):
        return standardised(x, torch.zeros(()), torch.ones(()))

    side = 256
    image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    network(image, fixed)[0, :, side // 2, side // 2].sum().backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero()[:, 0]
    assert side // 2 - MARGIN <= int(rows.min())
    assert int(rows.max()) <= side // 2 + MARGIN


def test_levels_go_there_and_back():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    image = signed(pixels)
    assert (image.min(), image.max()) == (-1, 1)
    assert (unit(image).min(), unit(image).max()) == (0, 1)
    np.testing.assert_array_equal(to_uint8(image), pixels)


def test_moments_are_of_each_map():
    mean, variance = moments(torch.tensor([[[[1.0, 3.0]], [[2.0, 2.0]]]]))
    assert mean.flatten().tolist() == [2, 2]
    assert variance.flatten().tolist() == [1, 0]


def test_a_residual_generator_begins_with_the_image_in_grey():
    image = torch.rand(1, 3, 32, 32) * 1.96 - 0.98
    grey = image.mean(1, keepdim=True).expand_as(image)
    torch.testing.assert_close(Generator(4, 2, residual=True)(image), grey, rtol=0, atol=1e-5)
