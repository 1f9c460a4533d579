"""Networks and losses of the InfoGAN: shapes, invariances, gradients, known values."""

from __future__ import annotations

import pytest
import torch

from napari_pathogan.engine.penalty import gradient_penalty
from napari_pathogan.tasks.nuclei_classes.figures import N_FIGURES, Figures
from napari_pathogan.tasks.nuclei_classes.losses import (
    agreed,
    anchor_loss,
    critic_loss,
    information_loss,
    noise_loss,
)
from napari_pathogan.tasks.nuclei_classes.network import Critic, Generator, settle

HEADS = ["flat", "pooled", "figures"]


@pytest.mark.parametrize("classes", [3, 5])
@pytest.mark.parametrize("head", HEADS)
def test_shapes(classes, head):
    generator, critic = Generator(classes, 4), Critic(classes, 4, head=head)
    c = torch.arange(6) % classes
    x = generator(torch.randn(6, 16), c)
    assert x.shape == (6, 3, 40, 40)
    assert x.abs().max() <= 1
    value, logits, noise = critic(x, c)
    assert (value.shape, logits.shape, noise.shape) == ((6,), (6, classes), (6, 16))
    assert critic.features(x).shape == (6, critic.n_features)
    assert torch.allclose(critic.value(x, c), value, atol=1e-6)
    assert torch.allclose(critic.classes(x), logits, atol=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_the_critic_judges_each_nucleus_alone(head):
    torch.manual_seed(0)
    critic = Critic(3, 4, head=head, told=True)
    x, c = torch.rand(5, 3, 40, 40) * 2 - 1, torch.tensor([0, 1, 2, 0, 1])
    for together, alone in zip(critic(x, c), critic(x[2:3], c[2:3]), strict=True):
        assert torch.allclose(together[2], alone[0], atol=1e-5)


@pytest.mark.parametrize("told", [False, True])
def test_what_a_nucleus_is_said_to_be_counts_only_if_the_critic_is_told(told):
    torch.manual_seed(0)
    critic = Critic(3, 4, told=told)
    x = torch.rand(5, 3, 40, 40) * 2 - 1
    one, other = (critic.value(x, torch.full((5,), c)) for c in (0, 1))
    assert torch.equal(one, other) != told


def test_the_class_asked_for_changes_what_is_drawn():
    generator = Generator(3, 4).eval()
    z = torch.randn(1, 16)
    one, other = generator(z, torch.tensor([0])), generator(z, torch.tensor([1]))
    assert not torch.allclose(one, other)


def test_settled_statistics_are_those_of_what_is_drawn():
    torch.manual_seed(0)
    generator = Generator(3, 4)
    for norm in (generator.trunk[0], generator.trunk[4]):
        norm.running_mean += 3
    prior = torch.tensor([0.5, 0.25, 0.25])
    settle(generator, prior)
    assert not generator.training
    z, c = torch.randn(2000, 16), torch.multinomial(prior, 2000, replacement=True)
    alone = generator(z, c)
    together = generator.train()(z, c)
    assert (alone - together).abs().mean() < 0.02


def test_figures_do_not_change_when_a_nucleus_is_turned():
    x = torch.rand(4, 3, 40, 40, dtype=torch.float64) * 2 - 1
    figures = Figures().double()
    before = figures(x)
    assert before.shape == (4, N_FIGURES)
    for turned in (x.rot90(1, (2, 3)), x.flip(2), x.transpose(2, 3)):
        # gradients are differences to one side, so a turn moves them by a pixel
        assert torch.allclose(figures(turned)[:, :36], before[:, :36], atol=1e-9)
        assert torch.allclose(figures(turned)[:, 36:], before[:, 36:], atol=0.15)


def test_figures_see_grain():
    wave = torch.sin(torch.arange(40) * 1.0)
    stripes = wave.expand(1, 3, 40, 40) * 0.5
    speckle = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0)) - 0.5
    assert Figures()(stripes)[0, 36:38].min() > 0.9
    # differences that share a pixel agree a little: noise has 0.5
    assert Figures()(speckle)[0, 36:38].max() < 0.65


def test_figures_of_a_blank_picture_have_a_finite_gradient():
    x = torch.ones(2, 3, 40, 40, requires_grad=True)
    Figures()(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_the_gradient_penalty_passes_gradcheck():
    torch.manual_seed(0)
    critic = torch.nn.Sequential(
        torch.nn.Conv2d(3, 2, 3, 2), torch.nn.Softplus(), torch.nn.Flatten(), torch.nn.LazyLinear(1)
    ).double()
    real, fake, mix = (
        torch.rand(2, 3, 5, 5).double(),
        torch.rand(2, 3, 5, 5).double(),
        torch.rand(2),
    )
    critic(real)
    names = [name for name, _ in critic.named_parameters()]

    def penalty(*weights):
        own = dict(zip(names, weights, strict=True))
        return gradient_penalty(
            lambda p: torch.func.functional_call(critic, own, (p,))[:, 0], real, fake, mix
        )

    weights = [p.detach().clone().requires_grad_() for p in critic.parameters()]
    assert penalty(*weights).dtype == torch.float64
    assert torch.autograd.gradcheck(penalty, weights)


def test_a_critic_of_slope_one_has_no_penalty():
    real, fake = torch.rand(4, 3, 40, 40), torch.rand(4, 3, 40, 40)
    pixels = real[0].numel()
    flat = gradient_penalty(lambda p: p.sum((1, 2, 3)) / pixels**0.5, real, fake, torch.rand(4))
    steep = gradient_penalty(
        lambda p: 3 * p.sum((1, 2, 3)) / pixels**0.5, real, fake, torch.rand(4)
    )
    assert flat.item() == pytest.approx(0, abs=1e-8)
    assert steep.item() == pytest.approx(4, rel=1e-4)


def test_losses_of_known_values():
    assert critic_loss(torch.tensor([3.0, 1.0]), torch.tensor([0.5, 0.5])).item() == -1.5
    sure = torch.tensor([[20.0, 0, 0], [0, 0, 20.0]])
    assert information_loss(sure, torch.tensor([0, 2])).item() == pytest.approx(0, abs=1e-6)
    even = information_loss(torch.zeros(4, 3), torch.arange(4) % 3).item()
    assert even == pytest.approx(torch.log(torch.tensor(3.0)).item())
    assert noise_loss(torch.ones(2, 16), torch.zeros(2, 16)).item() == 1
    target = torch.tensor([[0.5, 0.5, 0.0]])
    assert anchor_loss(torch.zeros(1, 3), target).item() == pytest.approx(even)


def test_neighbours_sway_the_doubtful_and_no_class_dies_out():
    own = torch.tensor([[0.5, 0.5], [0.99, 0.01], [0.01, 0.99], [0.5, 0.5]])
    near = torch.tensor([[[0.9, 0.1]] * 2, [[0.1, 0.9]] * 2, [[0.9, 0.1]] * 2, [[0.1, 0.9]] * 2])
    prior = torch.tensor([0.5, 0.5])
    target = agreed(own, near, 1.0, prior)
    assert target.argmax(1).tolist() == [0, 0, 1, 1]
    assert torch.allclose(target.sum(1), torch.ones(4))
    alone = agreed(own, near, 0.0, prior)
    assert alone[0].tolist() == pytest.approx([0.5, 0.5], abs=1e-3)
    vanishing = torch.tensor([[0.95, 0.05], [0.9, 0.1], [0.9, 0.1], [0.85, 0.15]])
    kept = agreed(vanishing, vanishing[:, None], 0.8, torch.tensor([0.6, 0.4]))
    assert kept.mean(0).tolist() == pytest.approx([0.6, 0.4], abs=0.01)
