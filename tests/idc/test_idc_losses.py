"""The losses against what can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from napari_pathogan.tasks.idc.losses import adversarial_loss, class_loss, gradient_penalty
from napari_pathogan.tasks.idc.network import Discriminator


def test_adversarial_loss_at_zero_is_log_two():
    for real in (True, False):
        assert adversarial_loss(torch.zeros(7), real=real).item() == pytest.approx(math.log(2))


def test_adversarial_loss_falls_as_the_logits_agree():
    assert adversarial_loss(torch.full((3,), 5.0), real=True) < 0.01
    assert adversarial_loss(torch.full((3,), 5.0), real=False) > 4.9


def test_class_loss_ignores_what_has_no_label():
    logits = torch.tensor([2.0, -1.0, 100.0], requires_grad=True)
    loss = class_loss(logits, torch.tensor([1.0, 0.0, -1.0]))
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert logits.grad[2] == 0


def test_class_loss_of_nothing_labelled_is_zero():
    logits = torch.randn(4, requires_grad=True)
    loss = class_loss(logits, -torch.ones(4))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(4))


def test_smoothing_moves_the_optimum_off_certainty():
    logits = torch.zeros(1, requires_grad=True)
    for _ in range(400):
        (grad,) = torch.autograd.grad(class_loss(logits, torch.ones(1), 0.1), logits)
        logits = (logits - 5 * grad).detach().requires_grad_()
    assert torch.sigmoid(logits).item() == pytest.approx(0.95, abs=1e-3)


def test_gradient_penalty_of_a_linear_critic_is_known():
    weight = torch.randn(3, 50, 50)
    weight *= 3 / weight.norm()  # a gradient of norm 3 everywhere
    penalty = gradient_penalty(
        lambda x: (x * weight).sum((1, 2, 3)),
        torch.rand(6, 3, 50, 50),
        torch.rand(6, 3, 50, 50),
        torch.rand(6),
    )
    assert penalty.item() == pytest.approx((3 - 1) ** 2, rel=1e-4)


def test_gradient_penalty_has_a_finite_gradient_where_the_critic_is_flat():
    scale = torch.zeros(1, requires_grad=True)
    x = torch.rand(2, 3, 50, 50)
    gradient_penalty(lambda p: (p * scale).sum((1, 2, 3)), x, x, torch.rand(2)).backward()
    assert torch.isfinite(scale.grad).all()


def test_gradient_penalty_against_differences_by_hand():
    """The norm over a whole patch, from central differences in float64."""
    torch.manual_seed(0)
    network = Discriminator(1 / 32, spectral=False).double().eval()
    real, fake, mix = torch.rand(2, 3, 50, 50), torch.rand(2, 3, 50, 50), torch.tensor([0.3, 0.8])

    def critic(x):
        return network(x.double())[0]

    between = (mix[:, None, None, None] * real + (1 - mix)[:, None, None, None] * fake).double()
    direction = torch.randn(2, 3, 50, 50, dtype=torch.float64)
    x = between.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x)
    step = 1e-6
    slope = (critic(between + step * direction) - critic(between - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum((1, 2, 3)), slope, rtol=1e-4, atol=1e-7)
    by_hand = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    penalty = gradient_penalty(critic, real, fake, mix)
    torch.testing.assert_close(penalty.double(), by_hand, rtol=1e-4, atol=1e-6)


def test_gradient_penalty_trains_the_critic():
    torch.manual_seed(0)
    network = Discriminator(1 / 32, spectral=False)
    penalty = gradient_penalty(
        lambda x: network(x)[0], torch.rand(2, 3, 50, 50), torch.rand(2, 3, 50, 50), torch.rand(2)
    )
    penalty.backward()
    assert network.trunk[0].weight.grad.abs().sum() > 0
