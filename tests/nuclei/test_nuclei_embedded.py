"""The embedded nucleus model as a user meets it: its card, real images, the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.engine.models import read_card, zoo
from napari_pathogan.tasks.nuclei.data import NucleiImage, read_folder
from napari_pathogan.tasks.nuclei.evaluate import evaluate, foretell
from napari_pathogan.tasks.nuclei.model import NucleiModel


@pytest.fixture(scope="module")
def model():
    return NucleiModel.load("nuclei-unet", device="cpu")


def test_the_card_says_what_a_user_must_know():
    card = read_card(zoo() / "nuclei-unet")
    (data,) = card.training_data
    assert len(data.patients) == 8
    assert data.n_images == 39
    assert "Naylor" in data.terms
    assert "1175282" in data.terms
    assert card.not_for
    assert card.measured_by.startswith("pathogan nuclei train")
    assert {"dice", "dice_mean", "sensitivity", "specificity"} <= set(card.metrics)
    assert card.classes == ("background", "nucleus", "boundary")
    assert card.mpp == 0.25
    assert (zoo() / "nuclei-unet" / "weights.safetensors").stat().st_size < 10e6


@pytest.mark.learning
def test_white_has_no_nuclei(model):
    found = model.probability(np.full((1, 128, 128, 3), 255, np.uint8))
    assert (found[:, 0] > 0.9).all()


@pytest.mark.learning
def test_finds_the_nuclei_of_patients_it_knows(data, model):
    folder = read_folder(data / "tnbc")
    few = folder.take(np.isin([i.name for i in folder.images], ["01_1", "05_2", "09_1"]))
    report = evaluate(few, model, rounds=0)
    assert report.metrics["dice"].value > 0.8
    assert report.metrics["specificity"].value > 0.93
    assert any("trained on 3 of these 3" in note for note in report.notes)


@pytest.mark.learning
def test_holds_up_on_colon_of_another_laboratory(data, model):
    """Most annotated middles of nuclei, at 0.55 um/px, lie in what is found; most else does not."""
    hit, area = [], []
    for name in ("img10", "img11"):
        pixels = np.asarray(Image.open(data / f"crc_nuclei/images/{name}.png").convert("RGB"))
        points = np.genfromtxt(
            data / f"crc_nuclei/points/{name}.csv", delimiter=",", skip_header=1, usecols=(0, 1)
        )
        nothing = np.zeros(pixels.shape[:2], np.int32)
        image = NucleiImage(name, name, pixels, nothing, mpp=0.55)
        planes = foretell(image, model.in_colours_of(pixels).probability)
        found = 1 - planes[0] >= model.threshold
        x, y = points.astype(int).clip(0, np.array(found.shape[::-1]) - 1).T
        hit += found[y, x].tolist()
        area.append(found.mean())
    assert np.mean(hit) > 0.85
    assert 0.05 < np.mean(area) < 0.5


@pytest.mark.learning
def test_views_agree_mostly(data, model):
    folder = read_folder(data / "tnbc")
    (image,) = folder.take(np.array([i.name == "04_1" for i in folder.images])).images
    assert model.views == 4
    once = NucleiModel.load("nuclei-unet", device="cpu", views=1)
    plain = 1 - foretell(image, once.probability)[0] >= model.threshold
    turned = 1 - foretell(image, model.probability)[0] >= model.threshold
    assert 0.9 < 2 * (plain & turned).sum() / (plain.sum() + turned.sum()) < 1


def test_evaluate_prints_one_object_and_says_that_patients_are_known(data, tmp_path, pathogan):
    for sub in ("images", "masks"):
        (tmp_path / sub).mkdir()
        for name in ("02_1.png", "06_1.png"):
            (tmp_path / sub / name).write_bytes((data / "tnbc" / sub / name).read_bytes())
    code, out, _ = pathogan("nuclei", "evaluate", tmp_path, "--json")
    assert code == 0
    report = json.loads(out)
    assert (report["n_images"], report["n_patients"]) == (2, 2)
    for name in ("sensitivity", "specificity", "dice", "jaccard", "dice_mean", "jaccard_mean"):
        assert 0 < report[name]["low"] <= report[name]["value"] <= report[name]["high"] <= 1
    assert any("trained on 2 of these 2" in note for note in report["notes"])
