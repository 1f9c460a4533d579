"""The embedded class models: their cards, and real nuclei."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from kinds import NAMES

from napari_pathogan.engine.models import read_card, zoo
from napari_pathogan.tasks.nuclei_classes.data import read_nuclei
from napari_pathogan.tasks.nuclei_classes.evaluate import evaluate
from napari_pathogan.tasks.nuclei_classes.model import ClassModel

MODELS = {"nuclei-classes-crc": 0.55, "nuclei-classes-tnbc": 0.25}
TAUGHT = "nuclei-classes-crc-labels"
CHECKED = ("nuclei-classes-crc", TAUGHT)


@pytest.mark.parametrize(("name", "mpp"), [*MODELS.items(), (TAUGHT, 0.55)])
def test_the_card_says_what_a_user_must_know(name, mpp):
    card = read_card(zoo() / name)
    assert card.mpp == mpp
    named = sorted(NAMES) if card.validated_on else ["group A", "group B", "group C"]
    assert sorted(card.classes) == named
    assert "2016" in card.training_data[0].citation or "2018" in card.training_data[0].citation
    assert card.training_data[0].terms
    assert card.not_for
    assert ("taught by" if name == TAUGHT else "without labels") in card.intended_use
    assert (zoo() / name / "weights.safetensors").stat().st_size < 5e6


@pytest.mark.parametrize("name", CHECKED)
def test_a_checked_model_beats_its_baseline_on_images_left_out(name):
    card = read_card(zoo() / name)
    accuracy = card.metrics["accuracy"]
    assert accuracy.low < accuracy.value < accuracy.high
    for figure in ("accuracy", "balanced_accuracy"):
        assert card.metrics[figure].value > card.metrics[f"baseline_{figure}"].value + 0.02
    assert accuracy.value > card.metrics["kmeans_rings_accuracy"].value
    assert card.metrics["ece"].value < 0.08
    assert ("--labels" if name == TAUGHT else "--seeds 5") in card.measured_by
    (checked,) = card.validated_on
    assert (checked.organ, checked.mpp) == ("colon", (0.46, 0.66))
    assert {"kind", "weights"} <= set(card.settings["baseline"])


@pytest.mark.learning
@pytest.mark.parametrize("name", MODELS)
def test_it_draws_and_doubts(name):
    model = ClassModel.load(name, device="cpu")
    drawn = model.generate(12, 0, seed=1)
    assert drawn.std() > 10  # not one grey
    assert np.abs(drawn[0].astype(int) - drawn[1]).mean() > 2  # nor always the same
    asked = np.repeat(np.arange(3), 50)
    crops = np.concatenate([model.generate(50, label, seed=2) for label in range(3)])
    probability = model.probability(crops, model.reference)
    assert (probability.argmax(1) == asked).mean() > 0.9  # what is drawn shows its class
    red, green, blue = crops.astype(int).reshape(-1, 3).T
    assert (green > np.maximum(red, blue) + 10).mean() < 0.01  # no stain is green,
    assert (red + 10 < green).mean() < 0.02  # and hardly any is cyan
    noise = np.random.default_rng(0).integers(0, 255, (20, 40, 40, 3), np.uint8)
    assert model.probability(noise).max() < 1


@pytest.mark.parametrize(("name", "images"), [*zip(CHECKED, (10, 4), strict=True)])
def test_real_nuclei_are_told_apart_better_than_by_kmeans(data, tmp_path, name, images):
    """Some of the images: a pretrained trunk takes its time."""
    source = data / "crc_nuclei"
    if not source.is_dir():
        pytest.skip("no colon nuclei here (set PATHOGAN_DATA)")
    for sub, ending in (("images", "png"), ("points", "csv")):
        (tmp_path / sub).mkdir()
        for number in range(1, images + 1):
            shutil.copy(source / sub / f"img{number}.{ending}", tmp_path / sub)
    model = ClassModel.load(name, device="cpu")
    report = evaluate(read_nuclei(tmp_path, model.mpp), model, seeds=3, rounds=0)
    accuracy = report.metrics["accuracy"].value
    assert accuracy >= report.metrics["baseline_accuracy"].value
    assert accuracy >= report.metrics["kmeans_pixels_accuracy"].value + 0.1
