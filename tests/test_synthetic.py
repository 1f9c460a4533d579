"""One door to all generators: what is listed, what is drawn, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.models import ModelCard, TrainingData
from napari_pathogan.errors import ModelNotFoundError
from napari_pathogan.synthetic import GeneratorError, generate, generators
from napari_pathogan.tasks.idc import generate as idc
from napari_pathogan.tasks.idc.network import Generator
from napari_pathogan.tasks.nuclei_classes import model as nuclei
from napari_pathogan.tasks.nuclei_classes import network as infogan
from napari_pathogan.tasks.nuclei_classes.naming import PALETTE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A models folder with a small generator of each kind and a model that is none."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    data = TrainingData(name="drawn", terms="none")
    network = Generator(1 / 16, spectral=False)
    recipe = {"width": 1 / 16, "batch_norm": False, "local_noise": False}
    idc.save(folder / "a", network, name="patches", data=data, recipe=recipe)
    card = ModelCard(
        name="nuclei",
        title="Nuclei",
        task=nuclei.TASK,
        architecture=nuclei.ARCHITECTURE,
        arguments={"critic": {"width": 4}, "generator": {"width": 4}},
        mpp=0.25,
        patch_px=40,
        classes=("round", "long", "other"),
        settings={
            "colours": list(PALETTE[:3]),
            "reference": SlideColours(np.full(3, 0.7), np.eye(3) * 0.01).to_json(),
            "temperature": 1.0,
        },
    )
    parts = (infogan.Critic(width=4).eval(), infogan.Generator(width=4).eval())
    nuclei.save(folder / "b", nuclei.ClassModel(card, *parts, choose_device("cpu"), None))
    return folder


def test_every_generator_is_listed(folder):
    found = generators(folder)
    info = found["patches"]
    assert (info.labels, info.size_px, info.mpp) == (("healthy", "IDC"), 50, 4.0)
    assert info.folder == folder / "a"
    nucleus = found["nuclei"]
    assert (nucleus.labels, nucleus.size_px, nucleus.mpp) == (("round", "long", "other"), 40, 0.25)
    assert "idc-cgan" not in found  # it tells apart, it draws nothing


def test_patches_are_drawn(folder):
    drawn = generate("patches", 4, label="IDC", seed=2, device="cpu", folders=(folder,))
    expected = idc.IdcGenerator.load(folder / "a", "cpu").generate(4, "IDC", 2)
    np.testing.assert_array_equal(drawn, expected)


def test_nuclei_are_drawn_by_the_name_of_their_class(folder):
    drawn = generate("nuclei", 3, label="long", seed=2, device="cpu", folders=(folder,))
    assert drawn.shape == (3, 40, 40, 3)
    expected = nuclei.ClassModel.load(folder / "b", "cpu").generate(3, 1, 2)
    np.testing.assert_array_equal(drawn, expected)
    assert generate("nuclei", 2, device="cpu", folders=(folder,)).shape == (2, 40, 40, 3)


def test_what_is_not_there_is_refused(folder):
    with pytest.raises(
        ModelNotFoundError, match=r"no generator 'nothing'; choose one of .*patches"
    ):
        generate("nothing", 1, folders=(folder,))
    with pytest.raises(GeneratorError, match="can't draw 'tumour'; choose one of healthy, IDC"):
        generate("patches", 1, label="tumour", folders=(folder,))
