"""The embedded detector: what its card says, and that it finds the phantom's masses."""

from importlib import resources

import numpy as np
import pytest

from napari_pathogan.engine.models import WEIGHTS, zoo
from napari_pathogan.tasks.masses.data import read_mass_folder
from napari_pathogan.tasks.masses.froc import judge
from napari_pathogan.tasks.masses.model import MassModel


@pytest.fixture(scope="module")
def model():
    return MassModel.load(device="cpu")


def test_the_card_says_on_what_terms_and_how_well(model):
    card = model.card
    (data,) = card.training_data
    assert "research use only" in data.terms
    assert "research use only" in card.licence
    assert (len(data.patients), data.n_images) == (62, 251)
    assert card.metrics["tpr_at_0.5"].value >= 0.70
    assert card.metrics["tpr_at_0.5"].low < card.metrics["tpr_at_0.5"].value
    assert "out of fold" in card.measured_by
    assert card.blind_to == ("masses under about 7 mm",)
    assert any("calcifications" in line for line in card.not_for)
    assert (zoo() / card.name / WEIGHTS).stat().st_size < 25e6


def test_its_curve_agrees_with_its_card(model):
    """What the dock's slider says at the threshold is what the card says."""
    tpr, fppi = model.froc.at(model.threshold)
    assert tpr == pytest.approx(model.card.metrics["tpr_at_threshold"].value, abs=0.02)
    assert fppi == pytest.approx(model.card.metrics["fppi_at_threshold"].value, abs=0.05)


@pytest.mark.learning
def test_it_finds_the_masses_of_the_phantom_study(model):
    sample = resources.files("napari_pathogan.plugin") / "sample_data" / "mammogram_phantom"
    folder = read_mass_folder(sample)

    found = [model.detect(folder.image(i))[:2] for i in range(len(folder))]

    curve = judge(found, folder.boxes).curve()
    assert len(np.concatenate(folder.boxes)) == 4
    assert curve.tpr_at(0) == 1  # all four before the first false mark
    tpr, fppi = curve.at(model.threshold)
    assert tpr == 1
    assert fppi <= 2  # drawn tissue, which it never saw: 1.00 and, without bfloat16, 1.25
    assert curve.at(0.3) == (1, 0)  # these score .05 to .2, the masses .45 and more
