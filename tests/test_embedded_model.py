"""The embedded IDC model as a user meets it: its card, the phantom, real slides, the command line."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from sklearn.metrics import roc_auc_score

from napari_pathogan.engine.events import Finished
from napari_pathogan.engine.models import read_card, zoo
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc.context import on_grids
from napari_pathogan.tasks.idc.data import read_patches
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.predict import predict

SAMPLES = Path(str(resources.files("napari_pathogan.plugin") / "sample_data"))


MODELS = ("idc-lite0", "idc-cgan")


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return IdcModel.load(request.param, device="cpu")


def heat_map(slide: Slide, model: IdcModel):
    *_, last = predict(slide, model)
    assert isinstance(last, Finished)
    return last.result


@pytest.mark.parametrize("name", MODELS)
def test_the_card_says_what_a_user_must_know(name):
    card = read_card(zoo() / name)
    assert len(card.training_data[0].patients) == 10
    assert "Cruz-Roa" in card.training_data[0].citation + card.training_data[0].terms
    assert card.not_for
    assert card.measured_by.startswith("pathogan idc train")
    assert {"auc", "auc_patient_mean", "balanced_accuracy", "f1"} <= {
        name.removeprefix("heat_map_") for name in card.metrics
    }
    assert (zoo() / name / "weights.safetensors").stat().st_size < 25e6


def test_the_default_beats_colours_and_contrast_on_patients_left_out():
    card = IdcModel.load().card
    assert card.metrics["heat_map_auc"].value > card.metrics["heat_map_baseline_auc"].value


def test_the_phantom_is_small():
    assert (SAMPLES / "he_phantom.ome.tif").stat().st_size < 3e6


@pytest.mark.learning
def test_ranks_the_phantom_right(model):
    regions = json.loads((SAMPLES / "he_phantom.geojson").read_text())["features"]
    rings = {
        f["properties"]["classification"]["name"]: np.array(f["geometry"]["coordinates"][0])
        for f in regions
    }
    with Slide.open(SAMPLES / "he_phantom.ome.tif") as slide:
        heat = heat_map(slide, model)
    rows, cols = np.nonzero(heat.scored)
    centres = (np.stack([cols, rows], 1) + 0.5) * heat.probability.step[::-1]
    p = heat.probability.data[rows, cols]
    tumour = Outline(rings["IDC-like"]).contains_points(centres)
    healthy = ~tumour & (
        Outline(rings["Stroma"]).contains_points(centres)
        | Outline(rings["Adipose"]).contains_points(centres)
    )
    assert tumour.sum() > 50
    assert healthy.sum() > 50
    either = tumour | healthy
    assert roc_auc_score(tumour[either], p[either]) > 0.95
    assert np.median(p[tumour]) > heat.threshold > np.median(p[healthy])


@pytest.mark.parametrize("patient", ["12933", "15514", "9260"])
def test_a_slide_is_ranked_as_its_patches_are(data, model, patient):
    """The way through the slide (tissue, grid, colours, context) and through a folder agree."""
    patches = read_patches(data / "idc/patches")
    own = patches.take(np.flatnonzero(patches.patients == patient))
    logits = model.logits(own.images, model.colours(own.images.reshape(-1, 3)))
    expected = roc_auc_score(own.labels, on_grids(own, logits, model.context)[:, 0])

    labels = np.load(data / f"idc/slides/{patient}_labels.npy")
    with Slide.open(data / f"idc/slides/{patient}.png", mpp=4.0) as slide:
        heat = heat_map(slide, model)
    rows, cols = np.nonzero(labels < 2)
    places = zip(rows, cols, strict=True)
    found = [heat.at(51 + 50 * r + 24.5, 51 + 50 * c + 24.5) for r, c in places]
    scored = np.array([f is not None for f in found])
    p = [f[0] for f in found if f is not None]
    assert scored.mean() > 0.95
    assert roc_auc_score(labels[rows, cols][scored], p) == pytest.approx(expected, abs=0.03)


def test_evaluate_prints_one_object_and_says_that_patients_are_known(data, tmp_path, pathogan):
    for patient in ("12871", "12933"):
        (tmp_path / patient).symlink_to(data / "idc/patches" / patient)
    code, out, _ = pathogan("idc", "evaluate", tmp_path, "--context", "--json")
    assert code == 0
    report = json.loads(out)
    assert report["n_patches"] == 180 + 152
    assert report["n_patients"] == 2
    for name in ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1",
                 "auc", "auc_patient_mean", "brier", "ece"):  # fmt: skip
        assert report[name]["low"] <= report[name]["value"] <= report[name]["high"]
    assert any("train" in note for note in report["notes"])
