"""Corrected classes make a class model the reader's own; what is not known to it is said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from kinds import NAMES, draw_image

from napari_pathogan.engine.models import read_card
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.tasks.nuclei_classes import model as models
from napari_pathogan.tasks.nuclei_classes.config import RECIPES
from napari_pathogan.tasks.nuclei_classes.labels import learn_labels
from napari_pathogan.tasks.nuclei_classes.model import ClassModel
from napari_pathogan.tasks.nuclei_classes.naming import naming

WORDS = ("--task", "nuclei-classes")
OTHER = {"epithelial": "inflammatory", "inflammatory": "fibroblast", "fibroblast": "epithelial"}


@pytest.fixture(scope="module")
def base(nuclei, tmp_path_factory):
    """A head that was taught the made-up classes."""
    run = RunFolder(tmp_path_factory.mktemp("taught"))
    config = replace(RECIPES["quick"], labels=True)
    run.start(config.to_json())
    list(learn_labels(nuclei, config, run, device="cpu"))
    return run.model


@pytest.fixture
def slides(tmp_path):
    """Two slides, and their nuclei as outlines of QuPath's: all called what they are not."""
    for seed in (11, 12):
        image, centres, classes = draw_image(seed)
        path = tmp_path / "slides" / f"case{seed}.tif"
        path.parent.mkdir(exist_ok=True)
        per_cm = 1e4 / 0.55
        tifffile.imwrite(
            path, image, photometric="rgb", tile=(64, 64), resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
        )  # fmt: skip
        outlines = [outline(OTHER[name], *at) for name, at in zip(classes, centres, strict=True)]
        file = tmp_path / f"{path.stem}.geojson"
        file.write_text(json.dumps({"type": "FeatureCollection", "features": outlines}))
    return tmp_path / "slides"


def outline(name, y, x, r=4):
    ring = [[x - r, y - r], [x + r, y - r], [x + r, y + r], [x - r, y + r], [x - r, y - r]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": name}},
    }


def test_a_head_learns_what_a_reader_calls_nuclei(typed, slides, base, tmp_path):
    for image in sorted(slides.glob("*.tif")):
        typed("annotations", "import", tmp_path / f"{image.stem}.geojson", image, *WORDS)
    told = json.loads(typed("annotations", "list", slides, *WORDS, "--json").stdout)
    n = sum(row["learnt"]["nuclei with a class"] for row in told["slides"])
    assert n == 60
    run = tmp_path / "run"
    words = ("retrain", "nuclei-classes", "--slides", slides, "--base", base, "--device", "cpu")
    plain = json.loads(typed(*words, "-o", run, "--json").stdout)
    assert plain["right_before"]["value"] < 0.1
    assert plain["right_gain"]["value"] > 0.5
    card = read_card(run / "model")
    assert card.recipe["parent"] == read_card(base).name
    assert not card.validated_on
    assert naming(card).names == read_card(base).classes, "the names are the reader's"
    old, new = ClassModel.load(base, "cpu"), ClassModel.load(run / "model", "cpu")
    assert new.card.architecture == models.SUPERVISED
    assert not np.allclose(old.critic.classify.weight, new.critic.classify.weight)
    said = typed(*words, "-o", tmp_path / "again").stdout
    assert "Nuclei called right" in said


def test_classes_that_are_not_known_and_models_without_labels_are_said(
    typed, slides, base, tmp_path
):
    image = slides / "case11.tif"
    features = [outline("Mitosis", 40, 40), *(outline(NAMES[0], y, 100) for y in (40, 80))]
    file = tmp_path / "own.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    typed("annotations", "import", file, image, *WORDS)
    words = ("retrain", "nuclei-classes", "--slides", image, "-o", tmp_path / "run")
    failed = typed(*words, "--base", base, code=2)
    assert "does not know the class Mitosis" in failed.stderr
    assert "all 2 nuclei are of the class epithelial" in failed.stderr
    failed = typed(*words, "--base", "nuclei-classes-crc", code=2)
    assert "found its classes by itself" in failed.stderr
    assert not (tmp_path / "run").exists()
