"""The drawn tiles by which is seen what a nucleus model has forgotten."""

from __future__ import annotations

import numpy as np

from napari_pathogan.tasks.nuclei import reference
from napari_pathogan.tasks.nuclei.model import NucleiModel


def test_drawn_nuclei_are_where_they_are_dark():
    tiles = reference.drawn_tiles()
    assert len(tiles) == 8
    assert tiles.instances
    for image in tiles.images:
        assert image.pixels.shape == (256, 256, 3)
        inside, outside = image.pixels[image.mask > 0].mean(), image.pixels[image.mask == 0].mean()
        assert inside < outside - 10
        assert len(np.unique(image.mask)) > 10


def test_a_model_finds_them_and_one_that_has_forgotten_does_not():
    model = NucleiModel.load("nuclei-unet", "cpu")
    blind = NucleiModel.load("nuclei-unet", "cpu")
    for weight in blind.network.parameters():
        weight.detach().zero_()
    found = reference.forgotten(model, blind)
    assert found["reference_dice_before"].value > 0.9
    assert found["reference_pq_before"].value > 0.8
    assert found["reference_dice_gain"].high < -0.2, "that is said to be worse"
