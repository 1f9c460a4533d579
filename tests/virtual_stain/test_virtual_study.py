"""Virtual stains in reader studies: painted over a folder of images of the other stain."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from virtual_pairs import save_pair

from napari_pathogan.engine.events import Finished
from napari_pathogan.study.config import Source
from napari_pathogan.study.design import make_config, new_study
from napari_pathogan.study.sources import Picture, pictures
from napari_pathogan.synthetic import GeneratorError, generate, generators
from napari_pathogan.tasks.virtual_stain.model import VirtualStainModel
from tiny_data import save, tissue


@pytest.fixture
def models(tmp_path):
    return save_pair(tmp_path / "models" / "pair").parent


def test_a_pair_is_listed_with_its_stains_and_paints(models):
    info = generators(models)["pair"]
    assert info.paints
    assert info.labels == ("masson", "pas")
    assert not generators()["idc-generator"].paints


@pytest.mark.parametrize(("label", "stain"), [("masson", "pas"), ("pas", "masson"), (None, "pas")])
def test_images_are_painted_in_the_stain_that_is_asked_for(models, label, stain):
    images = np.stack([tissue(k) for k in range(3)])
    made = generate("pair", 3, label=label, of=images, device="cpu", folders=(models,))
    model = VirtualStainModel.load(models / "pair", "cpu")
    np.testing.assert_array_equal(made, model.paint(images, stain))


def test_images_to_paint_over_are_needed_where_they_are_and_refused_where_not(models):
    with pytest.raises(GeneratorError, match="name a folder of them"):
        generate("pair", 1, folders=(models,), device="cpu")
    with pytest.raises(GeneratorError, match="paints over none"):
        generate("idc-generator", 1, of=tissue(0)[None], device="cpu")


def test_a_study_shows_each_image_of_the_folder_painted(models, tmp_path):
    for number in range(3):
        save(tissue(number), tmp_path / "pas" / f"{number}.png")

    def draw(name, n, **asked):
        return generate(name, n, device="cpu", folders=(models,), **asked)

    source = Source(generator="pair", label="masson", of=tmp_path / "pas")
    found = [x for x in pictures(source, 3, None, draw, 0) if isinstance(x, Picture)]
    model = VirtualStainModel.load(models / "pair", "cpu")
    assert {x.origin for x in found} == {
        f"pair, masson, of {tmp_path / 'pas' / f'{k}.png'}" for k in range(3)
    }
    for one in found:
        path = one.origin.partition(", of ")[2]
        np.testing.assert_array_equal(one.image, model.stain(np.asarray(Image.open(path))))


def test_a_whole_study_pas_real_against_virtual(models, tmp_path):
    for number in range(4):
        save(tissue(number), tmp_path / "he" / f"{number}.png")
        save(tissue(number + 4), tmp_path / "pas" / f"{number}.png")
    settings = {
        "name": "PAS real against virtual",
        "n_real": 4,
        "n_generated": 4,
        "real": [{"folder": tmp_path / "pas"}],
        "generated": [{"generator": "pair", "label": "pas", "of": tmp_path / "he"}],
        "session": {"practice": 0, "repeats": 0, "controls": 0},
    }

    def draw(name, n, **asked):
        return generate(name, n, device="cpu", folders=(models,), **asked)

    *_, last = new_study(make_config(settings), tmp_path / "study", draw)
    assert isinstance(last, Finished)


def test_of_is_for_generators_alone(tmp_path):
    with pytest.raises(ValueError, match="'of' is for generators"):
        Source(folder=tmp_path, of=tmp_path)
