"""Losses: gradients in float64, worked examples, unknown pixels, crops without nuclei."""

from __future__ import annotations

import math

import pytest
import torch

from napari_pathogan.tasks.nuclei.losses import dice_loss, label_loss


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def labels():
    torch.manual_seed(1)
    return torch.randint(-1, 3, (2, 3, 4))


def test_gradients(logits, labels):
    assert torch.autograd.gradcheck(lambda x: label_loss(x, labels, 2.5), (logits,))
    assert torch.autograd.gradcheck(lambda x: dice_loss(x, labels), (logits,))


def test_even_logits_cost_log_3_whatever_the_weight(labels):
    for weight in (0.5, 1.0, 4.0):
        loss = label_loss(torch.zeros(2, 3, 3, 4), labels, weight)
        assert loss.item() == pytest.approx(math.log(3))


def test_boundary_pixels_weigh_as_much_as_asked():
    logits = torch.zeros(1, 3, 1, 2)
    logits[0, 2, 0, 1] = 3.0  # sure of the boundary pixel, undecided on the other
    labels = torch.tensor([[[0, 2]]])
    one, two = math.log(3), math.log(2 + math.exp(3)) - 3
    for weight in (1.0, 3.0):
        expected = (one + weight * two) / (1 + weight)
        assert label_loss(logits, labels, weight).item() == pytest.approx(expected, rel=1e-5)


def test_dice_of_a_perfect_and_of_a_wrong_answer():
    labels = torch.tensor([[[0, 1], [2, 1]]])
    sure = 40 * torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).double()
    assert dice_loss(sure, labels).item() == pytest.approx(0, abs=1e-6)
    swapped = torch.where(labels == 2, 1, labels)  # nucleus or boundary: both are foreground
    assert dice_loss(sure, swapped).item() == pytest.approx(0, abs=1e-6)
    nothing = 40 * torch.tensor([1.0, 0, 0]).double()[None, :, None, None].expand(1, 3, 2, 2)
    assert dice_loss(nothing, labels).item() == pytest.approx(1 - 1 / 4, abs=1e-6)


def test_unknown_pixels_count_for_nothing(logits, labels):
    loss = label_loss(logits, labels) + dice_loss(logits, labels)
    loss.backward()
    unknown = (labels < 0)[:, None].expand_as(logits)
    assert (logits.grad[unknown] == 0).all()
    assert (logits.grad[~unknown] != 0).any()


def test_a_batch_without_nuclei_or_labels_is_still_defined():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    for value in (0, -1):
        labels = torch.full((1, 4, 4), value)
        total = label_loss(logits, labels) + dice_loss(logits, labels)
        (gradient,) = torch.autograd.grad(total, logits)
        assert torch.isfinite(total)
        assert torch.isfinite(gradient).all()
