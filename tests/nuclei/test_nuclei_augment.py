"""Augmentation: crops keep their labels, off means unchanged, stains move as they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_pathogan.tasks.nuclei.augment import Augment, Palette, crop, degrade, recolour

STILL = Augment(turns=False)


@pytest.fixture
def picture(folder):
    pixels, labels = folder.images[0].learnt
    return torch.tensor(pixels).permute(2, 0, 1).contiguous(), torch.tensor(labels)


@pytest.fixture
def palette(folder):
    return Palette([image.pixels.reshape(-1, 3) for image in folder.images[::2]])


def test_a_crop_that_is_not_varied_is_a_cut_or_its_mirror_image(picture):
    image, labels = picture
    for seed in range(4):
        torch.manual_seed(seed)
        x, y = crop(image, labels, torch.tensor([40, 50]), 32, STILL)
        cut, truth = image[:, 24:56, 34:66] / 255, labels[24:56, 34:66].long()
        same = torch.allclose(x, cut, atol=1e-3) and torch.equal(y, truth)
        flipped = torch.allclose(x, cut.flip(2), atol=1e-3) and torch.equal(y, truth.flip(1))
        assert same or flipped


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_labels_stay_on_their_nuclei(picture, scale):
    """However turned and scaled, pixels of nuclei are dark and others are not."""
    image, labels = picture
    for seed in range(6):
        torch.manual_seed(seed)
        x, y = crop(image, labels, torch.tensor([48, 48]), 64, Augment(scale=scale))
        red = x[0]
        assert red[y == 1].mean() < 0.55
        assert red[y == 0].mean() > 0.8
        assert set(y.unique().tolist()) <= {0, 1, 2}


def test_past_the_edge_the_image_is_mirrored(picture):
    image, labels = picture
    torch.manual_seed(0)
    x, y = crop(image, labels, torch.tensor([0, 0]), 32, STILL)
    assert torch.equal(y[:16], y[16:].flip(0))
    assert torch.allclose(x[:, :, :16], x[:, :, 16:].flip(2), atol=1e-3)


def test_nothing_asked_for_changes_nothing(palette):
    x = torch.rand(3, 3, 16, 16)
    patient = torch.tensor([0, 1, 2])
    assert torch.equal(recolour(x, patient, palette, STILL), x)
    assert torch.equal(degrade(x, 0.0), x)


def test_mixing_carries_one_patients_colours_to_anothers(folder, palette):
    pixels = folder.images[0].pixels.reshape(-1, 3) / 255
    carried = (
        pixels @ palette.matrix[0, 2].double().numpy().T + palette.offset[0, 2].double().numpy()
    )
    back = carried @ palette.matrix[2, 0].double().numpy().T + palette.offset[2, 0].double().numpy()
    assert np.allclose(back, pixels, atol=1e-3)
    target = folder.images[4].pixels.reshape(-1, 3) / 255
    assert np.abs(carried.mean(0) - target.mean(0)).max() < 0.02
    assert np.abs(pixels.mean(0) - target.mean(0)).max() > 0.03


def test_stains_change_and_white_stays_white(palette):
    torch.manual_seed(0)
    x = torch.ones(16, 3, 8, 8)
    x[:, :, 4:] = torch.tensor([0.5, 0.3, 0.6])[:, None, None]
    out = recolour(x, torch.zeros(16, dtype=torch.long), palette, Augment(stain=0.2))
    assert (out[:, :, :4] - 1).abs().max() < 0.15
    assert out[:, :, 5, 5].std(0).min() > 0.03
    assert out.min() >= 0
    assert out.max() <= 1


def test_a_share_of_the_crops_is_degraded_and_keeps_its_colours(picture):
    image, _ = picture
    x = (image.float() / 255).expand(40, 3, 96, 96).clone()
    torch.manual_seed(0)
    out = degrade(x, 0.5)
    changed = (out != x).flatten(1).any(1)
    assert 10 <= changed.sum() <= 30
    assert (out.mean((2, 3)) - x.mean((2, 3))).abs().max() < 0.03
    assert out.shape == x.shape


def test_a_patient_without_tissue_keeps_their_colours():
    white = np.full((200, 3), 255, np.uint8)
    pink = np.random.default_rng(0).integers(80, 200, (200, 3), np.uint8)
    palette = Palette([white, pink])
    assert torch.equal(palette.matrix[0, 1], torch.eye(3))
    assert (palette.offset[1, 0] == 0).all()
