"""The paper's networks: sizes, parameters, where spectral norm is, what evaluation leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from napari_pathogan.tasks.idc.network import SIZES, Discriminator, Generator, filters, folded_state


@pytest.mark.parametrize(("width", "millions"), [(1, 1.48), (2, 5.91), (4, 23.61)])
def test_discriminator_has_the_papers_parameters(width, millions):
    with torch.device("meta"):
        network = Discriminator(width, spectral=False)
    count = sum(p.numel() for p in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


def test_filters_grow_linearly():
    assert filters(1) == [64, 128, 192, 256, 320]
    assert filters(2) == [128, 256, 384, 512, 640]


def test_sizes_of_every_layer():
    network = Discriminator(1 / 16)
    sizes = [50]
    for layer in network.trunk:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _m, _i, out: sizes.append(out.shape[-1]))
    real, idc = network(torch.randn(3, 3, 50, 50))
    assert tuple(sizes) == SIZES
    assert real.shape == idc.shape == (3,)


def test_generator_draws_patches_between_minus_one_and_one():
    network = Generator(1 / 16)
    drawn = network(torch.randn(5, network.latent), torch.tensor([0, 1, 0, 1, 1.0]))
    assert drawn.shape == (5, 3, 50, 50)
    assert drawn.abs().max() <= 1


def test_generator_depends_on_the_class():
    network = Generator(1 / 16).eval()
    z = torch.randn(1, network.latent)
    assert not torch.equal(network(z, torch.tensor([0.0])), network(z, torch.tensor([1.0])))


@pytest.mark.parametrize(
    ("network", "kind"),
    [(Discriminator(1 / 16), nn.Conv2d), (Generator(1 / 16), nn.ConvTranspose2d)],
)
def test_spectral_norm_on_all_but_the_first_and_last_convolution(network, kind):
    layers = [m for m in network.modules() if isinstance(m, kind)]
    normed = [parametrize.is_parametrized(m, "weight") for m in layers]
    assert normed == [False, True, True, True, False]
    heads = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert not any(parametrize.is_parametrized(m) for m in heads)


def test_evaluation_leaves_the_power_iteration_alone():
    network = Discriminator(1 / 16).eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    for _ in range(3):
        network(torch.randn(2, 3, 50, 50))
    after = network.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    network.train()(torch.randn(2, 3, 50, 50))
    moved = [
        k
        for k, v in network.state_dict().items()
        if k.endswith("_u") and not torch.equal(v, before[k])
    ]
    assert len(moved) == 3


def test_folded_weights_give_the_same_logits():
    network = Discriminator(1 / 16).train()
    for _ in range(5):
        network(torch.randn(2, 3, 50, 50))
    plain = Discriminator(1 / 16, spectral=False).eval()
    plain.load_state_dict(folded_state(network))
    x = torch.randn(4, 3, 50, 50)
    torch.testing.assert_close(plain(x)[1], network.eval()(x)[1])
