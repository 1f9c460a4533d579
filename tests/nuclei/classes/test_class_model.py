"""A class model: on disk, renamed, drawing; its pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kinds import NAMES

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.models import read_card, save_model
from napari_pathogan.errors import ModelError, ModelNotFoundError
from napari_pathogan.tasks.nuclei_classes.crossval import best_temperature
from napari_pathogan.tasks.nuclei_classes.gallery import grid_picture
from napari_pathogan.tasks.nuclei_classes.model import ClassModel, ClassNameError


def some_crops(n=7):
    return np.random.default_rng(0).integers(0, 255, (n, 40, 40, 3), np.uint8)


def test_saved_and_loaded_it_is_the_same(tmp_path, raw_model):
    raw_model.save(tmp_path / "m")
    loaded = ClassModel.load(tmp_path / "m", device="cpu")
    crops = some_crops()
    assert np.allclose(loaded.probability(crops), raw_model.probability(crops), atol=1e-2)
    assert loaded.names == NAMES
    assert (loaded.mpp, loaded.crop_px) == (0.55, 40)
    assert np.array_equal(loaded.generate(3, 1, seed=5), loaded.generate(3, 1, seed=5))
    again = ClassModel.load(tmp_path / "m", device="cpu")
    again.save(tmp_path / "n")  # float16 is rounded once, not again and again
    assert read_card(tmp_path / "n").sha256 == read_card(tmp_path / "m").sha256


def test_probabilities(raw_model):
    crops = some_crops()
    probability = raw_model.probability(crops)
    assert probability.shape == (7, 3)
    assert probability.dtype == np.float32
    assert probability.sum(1) == pytest.approx(np.ones(7))
    turned = raw_model.probability(np.rot90(crops, 1, (1, 2)))
    assert turned == pytest.approx(probability, abs=1e-5)
    assert raw_model.probability(crops[:0]).shape == (0, 3)
    assert raw_model.features(crops).shape == (7, raw_model.critic.n_features)
    with pytest.raises(ValueError, match="the class model reads"):
        raw_model.probability(np.zeros((2, 32, 32, 3), np.uint8))


def test_a_slides_colours_are_carried_to_the_models(raw_model):
    crops = some_crops()
    settings = {**raw_model.card.settings, "normalise": True}
    raw_model.card = raw_model.card.model_copy(update={"settings": settings})
    own = raw_model.reference
    assert raw_model.probability(crops, own) == pytest.approx(
        raw_model.probability(crops), abs=1e-4
    )
    pale = SlideColours(own.mean + 0.2, own.covariance / 4)
    assert not np.allclose(raw_model.probability(crops, pale), raw_model.probability(crops))
    settings["normalise"] = False
    assert np.allclose(raw_model.probability(crops, pale), raw_model.probability(crops))


def test_a_hotter_model_doubts_more(raw_model):
    crops = some_crops()
    cold = raw_model.probability(crops).max(1)
    raw_model.temperature = 5.0
    hot = raw_model.probability(crops).max(1)
    assert (hot < cold).all()


def test_the_temperature_makes_confidence_honest():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, (4000, 3))
    share = np.exp(true) / np.exp(true).sum(1, keepdims=True)
    classes = (share.cumsum(1) > rng.random((4000, 1))).argmax(1)
    assert best_temperature(3 * true, classes) == pytest.approx(3, rel=0.1)


def test_names_and_colours_stay_with_the_model(tmp_path, raw_model):
    renamed = raw_model.renamed(["a", "b", "c"], ["#000000", "#ffffff", "#12ab9F"])
    renamed.save(tmp_path / "m")
    loaded = ClassModel.load(tmp_path / "m", device="cpu")
    assert loaded.names == ("a", "b", "c")
    assert loaded.colours == ("#000000", "#ffffff", "#12ab9F")
    assert raw_model.names == NAMES
    for names, colours in (
        (["a", "b"], None),
        (["a", "a", "b"], None),
        (["a", " ", "b"], None),
        (["a", "b", "c"], ["red", "#000000", "#111111"]),
    ):
        with pytest.raises(ClassNameError):
            raw_model.renamed(names, colours)


def test_models_that_can_not_be_loaded(tmp_path, raw_model):
    card = raw_model.save(tmp_path / "m")
    weights = {"critic.real.bias": torch.zeros(1)}
    for number, (change, message) in enumerate(
        (
            ({"task": "idc"}, "is a model for 'idc'"),
            ({"architecture": "unet"}, "is a 'unet', unknown"),
            ({"settings": {}}, "does not fit this version"),
            ({}, "does not fit this version"),
        )
    ):
        save_model(tmp_path / str(number), card.model_copy(update=change), weights)
        with pytest.raises(ModelError, match=message):
            ClassModel.load(tmp_path / str(number), device="cpu")
    with pytest.raises(ModelNotFoundError, match="no nuclei-classes model 'nothing'"):
        ClassModel.load("nothing")


def test_drawn_nuclei(raw_model):
    drawn = raw_model.generate(5, 2, seed=1)
    assert drawn.shape == (5, 40, 40, 3)
    assert drawn.dtype == np.uint8
    assert not np.array_equal(drawn, raw_model.generate(5, 2, seed=2))
    assert not np.array_equal(drawn, raw_model.generate(5, 1, seed=1))
    assert raw_model.generate(300, None).shape[0] == 300
    assert raw_model.generate(0, 1).shape == (0, 40, 40, 3)
    with pytest.raises(ClassNameError, match="there is no class 3; this model has 3"):
        raw_model.generate(1, 3)


def test_the_grid_has_classes_across_and_z_down(raw_model):
    rows = 4
    picture = raw_model.grid(rows, seed=3)
    assert picture.shape == (6 + 42 * rows, 2 + 42 * 3, 3)
    for column in range(3):
        left = 2 + 42 * column
        strip = bytes.fromhex(raw_model.colours[column][1:])
        assert (picture[:4, left : left + 40] == list(strip)).all()
    z = torch.randn(rows, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        drawn = raw_model.generator(z[2:3], torch.tensor([1]))
    cell = picture[6 + 84 : 46 + 84, 44:84].astype(float)
    assert np.abs(cell - (drawn[0].permute(1, 2, 0).numpy() + 1) * 127.5).max() <= 0.51
    assert (picture[:, :2] == 255).all()


def test_a_grid_of_given_nuclei():
    crops = np.arange(2 * 3, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * np.ones(
        (1, 1, 5, 5, 3), np.uint8
    )
    picture = grid_picture(crops, ["#000000"] * 3)
    assert [int(picture[8 + 7 * r, 4 + 7 * c, 0]) for r in (0, 1) for c in (0, 1, 2)] == list(
        range(6)
    )
