"""A pair of stains, loaded and applied."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from virtual_pairs import NDF, NGF, save_pair

from napari_pathogan.engine.models import read_card
from napari_pathogan.errors import ModelError
from napari_pathogan.files import sha256
from napari_pathogan.tasks.virtual_stain.model import ImageSizeError, VirtualStainModel
from napari_pathogan.tasks.virtual_stain.stains import SourceStainError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_pair(tmp_path_factory.mktemp("models") / "pas-masson")
    return VirtualStainModel.load(folder, "cpu")


def picture(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_the_card_says_both_stains_and_the_width(model):
    assert (model.source_stain, model.target_stain) == ("pas", "masson")
    assert model.card.arguments == {"ngf": NGF, "blocks": 2, "ndf": NDF, "residual": False}
    assert model.card.input_range == (-1, 1)


@pytest.mark.parametrize("shape", [(1, 32, 32), (9, 16, 20), (2, 33, 35), (40, 47)])
def test_images_keep_their_shape_both_ways(model, shape):
    images = picture(*shape)
    there, back = model.stain(images), model.back(images)
    assert there.shape == back.shape == images.shape
    assert there.dtype == np.uint8
    assert (there != back).any()


def test_an_image_is_made_the_same_alone_and_among_others(model):
    images = picture(3, 32, 32)
    alone = np.stack([model.stain(image) for image in images])
    assert np.abs(alone.astype(int) - model.stain(images)).max() <= 1


def test_the_stain_says_the_direction(model):
    images = picture(1, 32, 32)
    assert model.target_of("masson") == "pas"
    np.testing.assert_array_equal(model.paint(images, "pas"), model.stain(images))
    np.testing.assert_array_equal(model.paint(images, "masson"), model.back(images))


@pytest.mark.parametrize("stain", ["he", "", "PAS"])
def test_a_stain_that_the_pair_lacks_is_one_sentence(model, stain):
    for ask in (model.paint, model.inspect) if stain else (model.paint,):
        with pytest.raises(SourceStainError, match=r"pas \(PAS\) or masson \(Masson trichrome\)"):
            ask(picture(1, 80, 80), stain)


@pytest.mark.parametrize(("least", "ask"), [(16, "stain"), (16, "back"), (70, "inspect")])
def test_what_is_too_small_is_one_sentence(model, least, ask):
    assert getattr(model, ask)(picture(least, least)) is not None
    with pytest.raises(ImageSizeError, match=f"{least} x {least}"):
        getattr(model, ask)(picture(least, least - 1))


def test_each_patch_is_judged(model):
    images = picture(2, 96, 128)
    scores = model.inspect(images)
    assert scores.shape == (2, 10, 14)
    np.testing.assert_allclose(model.inspect(images[1]), scores[1], atol=0.05)
    assert (model.inspect(images, "pas") != scores).any()


def test_weights_are_half_and_all_four_are_there(model, tmp_path):
    folder = save_pair(tmp_path / "pair")
    weights = load_file(folder / "weights.safetensors")
    assert {str(value.dtype) for value in weights.values()} == {"torch.float16"}
    parts = {name.partition(".")[0] for name in weights}
    assert parts == {"forth", "reverse", "source_judge", "target_judge"}


@pytest.mark.parametrize("lost", ["reverse.", "target_judge."])
def test_a_missing_network_is_one_sentence(tmp_path, lost):
    folder = save_pair(tmp_path / "pair")
    path = folder / "weights.safetensors"
    save_file({k: v for k, v in load_file(path).items() if not k.startswith(lost)}, path)
    card = read_card(folder).model_copy(update={"sha256": sha256(path)})
    (folder / "model.json").write_text(card.model_dump_json())
    with pytest.raises(ModelError, match="'pair' does not fit this version"):
        VirtualStainModel.load(folder, "cpu")


def test_glass_stays_glass(model):
    image = picture(64, 64)
    image[:32] = 242
    assert (model.stain(image)[:32] == 242).all()
    assert (model.stain(image)[32:] != image[32:]).any()
