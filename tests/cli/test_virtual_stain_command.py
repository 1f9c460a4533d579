"""``pathogan virtual-stain apply``: a slide painted for good, or one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_pathogan.engine.models import ModelCard
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.virtual_stain.model import TASK
from napari_pathogan.tasks.virtual_stain.model import save as save_model
from napari_pathogan.tasks.virtual_stain.network import Discriminator, Generator
from tiny_data import save, tissue


@pytest.fixture
def slide(tmp_path):
    save(tissue(0, 128), tmp_path / "slide.png")
    return tmp_path / "slide.png"


@pytest.fixture
def pair(tmp_path):
    torch.manual_seed(0)
    networks = {
        "forth": Generator(4, 2),
        "reverse": Generator(4, 2),
        "source_judge": Discriminator(4),
        "target_judge": Discriminator(4),
    }
    card = ModelCard(name="pair", title="A pair", task=TASK, architecture="", mpp=1.0)
    stains = {"source_stain": "pas", "target_stain": "masson"}
    weights = {name: one.state_dict() for name, one in networks.items()}
    save_model(tmp_path / "pair", card, weights, **stains, ngf=4, blocks=2, ndf=4)
    return tmp_path / "pair"


def test_a_painted_slide_opens_again_and_says_that_it_is_synthetic(pathogan, slide, pair, tmp_path):
    out = tmp_path / "out.ome.zarr"
    asked = ("--model", pair, "--source-stain", "pas", "--mpp", 1, "-o", out)
    code, _, said = pathogan("virtual-stain", "apply", slide, *asked, "--device", "cpu")
    assert code == 0, said
    about = json.loads((out / "zarr.json").read_text())["attributes"]["pathogan"]
    assert about["synthetic"] is True
    assert about["virtual_stain"] == "masson"
    with Slide.open(out) as made:
        assert made.shape == (128, 128)
        assert made.mpp == (1.0, 1.0)
        assert np.asarray(made.levels[0]).std() > 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"--source-stain": "he"}, "pas (PAS) or masson"),
        ({"--source-stain": None}, "say its stain"),
        ({"--model": "virtual-nonsense"}, "virtual-nonsense"),
        ({"--mpp": None}, "does not say how large its pixels are"),
        ({"--mpp": 8}, "too coarse"),
        ({"--mpp": 0.25}, "smaller than a patch"),
    ],
)
def test_what_will_not_do_is_one_sentence(pathogan, slide, pair, changes, why):
    out = slide.parent / "out.ome.zarr"
    asked = {"--model": pair, "--source-stain": "pas", "--mpp": 1, "-o": out} | changes
    words = [x for name, value in asked.items() if value is not None for x in (name, value)]
    code, _, said = pathogan("virtual-stain", "apply", slide, *words, "--device", "cpu")
    assert code == 2
    assert why in said
    assert "Traceback" not in said
    assert not out.exists()


@pytest.mark.parametrize("kind", ["grey", "two folders"])
def test_pools_that_will_not_do_are_one_sentence(pathogan, tmp_path, kind):
    for number in range(2):
        pixels = tissue(number, 64)
        save(pixels[..., 0] if kind == "grey" else pixels, tmp_path / "a" / f"{number}_1.png")
    asked = ("--source-stain", "pas", "--target-stain", "he", "-o", tmp_path / "run")
    code, _, said = pathogan("virtual-stain", "train", tmp_path / "a", tmp_path / "a", *asked)
    assert code == 2
    assert ("it is grey" if kind == "grey" else "2 of the 2 images") in said
    assert not (tmp_path / "run").exists()
