"""Colours of slides and how they are carried over; flips, turns and views."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.errors import NoTissueError
from napari_pathogan.tasks.idc.augment import Augment, Palette, augment

CPU = torch.device("cpu")


def colours(seed):
    rng = np.random.default_rng(seed)
    spread = rng.normal(0, 0.08, (3, 3))
    return SlideColours(rng.uniform(0.4, 0.7, 3), spread @ spread.T + 1e-3 * np.eye(3))


def test_the_map_arrives_at_the_others_mean_and_covariance():
    a, b = colours(0), colours(1)
    matrix, offset = a.map_to(b)
    np.testing.assert_allclose(matrix @ a.mean + offset, b.mean, atol=1e-10)
    np.testing.assert_allclose(matrix @ a.covariance @ matrix.T, b.covariance, atol=1e-10)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-10)  # the least change


def test_the_map_back_undoes_it_and_none_of_it_changes_nothing():
    a, b = colours(0), colours(1)
    there, back = a.map_to(b), b.map_to(a)
    np.testing.assert_allclose(back[0] @ there[0], np.eye(3), atol=1e-8)
    np.testing.assert_allclose(a.map_to(b, 0)[0], np.eye(3))
    np.testing.assert_allclose(a.map_to(b, 0)[1], 0, atol=1e-12)
    np.testing.assert_allclose(a.map_to(a)[0], np.eye(3), atol=1e-8)


def test_colours_survive_a_card():
    a = colours(3)
    b = SlideColours.from_json(a.to_json())
    np.testing.assert_allclose(a.covariance, b.covariance, atol=1e-7)


def test_background_is_not_measured():
    tissue = np.random.default_rng(0).integers([120, 60, 130], [180, 110, 190], (5000, 3))
    white = np.full((20000, 3), 244)
    a = SlideColours.measure(tissue.astype(np.uint8))
    b = SlideColours.measure(np.concatenate([tissue, white]).astype(np.uint8))
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-6)
    with pytest.raises(NoTissueError):
        SlideColours.measure(white.astype(np.uint8))


def test_without_variation_a_batch_is_only_flipped(patches):
    palette = Palette(patches, CPU)
    x = augment(torch.from_numpy(patches.images), torch.zeros(48, dtype=int), palette, Augment())
    assert x.shape == (48, 3, 50, 50)
    plain = torch.from_numpy(patches.images).permute(0, 3, 1, 2) / 127.5 - 1
    for one, own in zip(x, plain, strict=True):
        flips = [own, own.flip(1), own.flip(2), own.flip(1, 2)]
        assert any(torch.allclose(one, f, atol=1e-6) for f in flips)


def test_every_variation_stays_in_range_and_changes_something(patches):
    palette = Palette(patches, CPU)
    index = torch.from_numpy(np.unique(patches.patients, return_inverse=True)[1])
    images = torch.from_numpy(patches.images)
    for how in (Augment(mix=1), Augment(normalise=1), Augment(jitter=1), Augment(geometry=1)):
        torch.manual_seed(0)
        plain = augment(images, index, palette, Augment())
        torch.manual_seed(0)
        varied = augment(images, index, palette, how)
        assert varied.abs().max() <= 1 + 1e-5
        assert not torch.allclose(plain, varied)


def test_normalised_patients_have_the_same_colours(patches):
    palette = Palette(patches, CPU)
    index = torch.from_numpy(np.unique(patches.patients, return_inverse=True)[1])
    x = augment(torch.from_numpy(patches.images), index, palette, Augment(normalise=1))
    means = torch.stack([(x[index == p] + 1).mean((0, 2, 3)) / 2 for p in range(4)])
    assert (means - torch.tensor(palette.reference.mean).float()).abs().max() < 0.01


def test_a_white_patient_does_not_stop_the_palette(patches):
    patches.images[patches.patients == "p2"] = 255
    assert torch.isfinite(Palette(patches, CPU).matrix).all()
    patches.images[:] = 255
    with pytest.raises(NoTissueError):
        Palette(patches, CPU)
