"""The focal loss against the cross entropy, another implementation and its own numerical gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy
from torchvision.ops import sigmoid_focal_loss

from napari_pathogan.tasks.virtual_stain.g2c.losses import focal_loss


@pytest.fixture
def said():
    drawn = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(12, 3, generator=drawn, dtype=torch.float64)
    return logits, torch.randint(3, (12,), generator=drawn)


def test_without_focus_it_is_the_cross_entropy(said):
    torch.testing.assert_close(focal_loss(*said, gamma=0), cross_entropy(*said))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_of_two_classes_it_is_torchvisions(gamma):
    logit = torch.linspace(-6, 6, 13, dtype=torch.float64)
    for target in (0, 1):
        labels = torch.full((13,), target)
        both = torch.stack([torch.zeros_like(logit), logit], 1)
        expected = sigmoid_focal_loss(
            logit, labels.double(), alpha=-1, gamma=gamma, reduction="mean"
        )
        torch.testing.assert_close(focal_loss(both, labels, gamma), expected)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_its_gradient_is_right(said, gamma):
    logits, labels = said
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: focal_loss(x, labels, gamma), (logits,))


def test_what_is_certain_has_a_finite_gradient():
    logits = torch.tensor([[60.0, -60.0], [-60.0, 60.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0, 0]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_what_is_right_already_counts_little():
    logits = torch.tensor([[0.0, 4.0]])
    right, wrong = (
        focal_loss(logits, torch.tensor([k])) / cross_entropy(logits, torch.tensor([k]))
        for k in (1, 0)
    )
    assert right < 0.001
    assert wrong > 0.9
