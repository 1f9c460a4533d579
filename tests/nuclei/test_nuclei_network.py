"""The U-Net: the paper's shapes, folding, one batch learnt by heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.devices import Device
from napari_pathogan.engine.models import ModelCard
from napari_pathogan.tasks.nuclei import model
from napari_pathogan.tasks.nuclei.augment import Augment
from napari_pathogan.tasks.nuclei.config import TrainConfig
from napari_pathogan.tasks.nuclei.model import NucleiModel, probability
from napari_pathogan.tasks.nuclei.network import UNet, folded_state
from napari_pathogan.tasks.nuclei.train import Trainer

CPU = Device("cpu", torch.float32)


def test_the_papers_shapes():
    network = UNet().eval()
    with torch.inference_mode():
        stages = network.features(torch.zeros(1, 3, 144, 144))
        logits = network(torch.zeros(1, 3, 144, 144))
    assert [tuple(s.shape[1:]) for s in stages] == [
        (32, 144, 144), (64, 72, 72), (128, 36, 36), (256, 18, 18), (512, 9, 9),
    ]  # fmt: skip
    assert logits.shape == (1, 3, 144, 144)


@pytest.mark.parametrize(("width", "millions"), [(32, 7.8), (24, 4.4), (16, 1.9)])
def test_as_many_parameters_as_documented(width, millions):
    assert sum(p.numel() for p in UNet(width).parameters()) / 1e6 == pytest.approx(millions, 0.03)


def test_folded_norms_change_nothing():
    torch.manual_seed(0)
    network = UNet(4)
    for _ in range(3):  # running statistics that are not 0 and 1
        network(torch.randn(2, 3, 32, 48) * 2 + 1)
    folded = UNet(4, normalised=False)
    folded.load_state_dict(folded_state(network))
    x = torch.randn(2, 3, 32, 48)
    with torch.inference_mode():
        assert torch.allclose(network.eval()(x), folded.eval()(x), atol=1e-5)


def test_squares_work_at_half_the_resolution():
    network = UNet(4, 2).eval()
    with torch.inference_mode():
        stages = network.features(torch.zeros(1, 3, 64, 96))
        assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 3, 64, 96)
    assert [tuple(s.shape[2:]) for s in stages] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    images = np.random.default_rng(0).integers(0, 256, (1, 48, 80, 3), np.uint8)
    found = probability(UNet(4, 2, normalised=False), images, CPU)  # sides no multiples of 32
    assert found.shape == (1, 3, 48, 80)
    assert np.allclose(found.sum(1), 1, atol=1e-5)


def test_every_pixel_sees_its_surroundings():
    torch.manual_seed(0)
    network = UNet(4).eval()
    x = torch.randn(1, 3, 160, 160, requires_grad=True)
    network(x)[0, 1, 80, 80].backward()
    seen = x.grad.abs().sum(1)[0].nonzero()
    assert (seen.amin(0) < 40).all()  # through the 9 x 9 stage
    assert (seen.amax(0) > 120).all()
    assert x.grad[0, :, 80, 80].abs().max() > 0  # and straight across


def test_probabilities_sum_to_one_and_views_agree_with_turned_images():
    network = UNet(2, normalised=False)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8)
    found = probability(network, images, CPU)
    assert found.shape == (2, 3, 32, 48)
    assert found.dtype == np.float32
    assert np.allclose(found.sum(1), 1, atol=1e-5)
    every = probability(network, images, CPU, views=8)
    turned = probability(network, np.ascontiguousarray(np.rot90(images, 1, (1, 2))), CPU, views=8)
    assert np.allclose(np.rot90(every, 1, (2, 3)), turned, atol=1e-5)
    assert not np.allclose(np.rot90(found, 1, (2, 3)), turned, atol=1e-3)


def test_many_images_are_the_same_as_one_by_one(monkeypatch):
    network = UNet(2, normalised=False)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    whole = probability(network, images, CPU)
    monkeypatch.setitem(model._MOST_PX, "cpu", 1)
    assert np.allclose(probability(network, images, CPU), whole, atol=1e-6)


def test_a_slides_colours_are_carried_to_the_reference():
    """A model in a pale slide's colours sees that slide as it would see the reference itself."""
    rng = np.random.default_rng(0)
    strong = rng.integers(60, 200, (1, 32, 32, 3), np.uint8)
    pale = (strong * 0.5 + 120).astype(np.uint8)
    card = ModelCard(name="x", title="x", task="nuclei", architecture="unet")
    torch.manual_seed(0)
    plain = NucleiModel(
        card, UNet(2, normalised=False), CPU, 0.5, reference=SlideColours.measure(strong), share=1.0
    )
    expected = plain.probability(strong)
    own = plain.in_colours_of(pale)
    off, without = (np.abs(m.probability(pale) - expected).max() for m in (own, plain))
    assert off < without / 5
    white = np.full((1, 32, 32, 3), 255, np.uint8)
    bare = plain.in_colours_of(white)  # no tissue: taken as it is
    assert np.array_equal(bare.probability(pale), plain.probability(pale))


@pytest.mark.parametrize("shape", [(32, 32, 3), (1, 30, 32, 3), (1, 32, 32, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="multiples of 16"):
        probability(UNet(2, normalised=False), np.zeros(shape, np.uint8), CPU)


@pytest.mark.learning
def test_one_batch_can_be_learnt_by_heart(folder, seed, measured):
    config = replace(
        TrainConfig(), width=4, crop=64, batch=2, lr=1e-2, dice=1.0, augment=Augment(turns=False)
    )
    trainer = Trainer(folder, replace(config, seed=seed), CPU)
    x, labels = trainer.draw(torch.arange(2))
    trainer.draw = lambda _: (x, labels)  # the same crops in every step
    losses = [trainer.step(torch.arange(2), n) for n in range(60)]
    # .92 to 1.26, .04 to .26, .03 to .05: benchmarks/learning_spread.py, 5 seeds, AVX2 and AVX-512
    assert measured("first", losses[0]["label"]) > 0.5
    assert measured("label", losses[-1]["label"]) < 0.4
    assert measured("dice", losses[-1]["dice"]) < 0.15
