"""Regions that a reader outlines become a style: imported, counted, learnt from, measured."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_pathogan.engine.models import read_card
from napari_pathogan.tasks.stain import retrain
from napari_pathogan.tasks.stain.config import RECIPES
from napari_pathogan.tasks.stain.model import StyleModel

WORDS = ("--task", "stain")
SIDE = 1024


@pytest.fixture
def slides(tmp_path):
    """Two slides of greenish tissue with purple in it, whose right quarter is orange."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        image = np.empty((SIDE, SIDE, 3))
        dots = rng.random((SIDE // 8, SIDE // 8, 1)).repeat(8, 0).repeat(8, 1) < 0.3
        image[:] = np.where(dots, (90, 60, 150), (130, 190, 140))
        image[:, 3 * SIDE // 4 :] = (230, 150, 60)
        image *= rng.uniform(0.7, 1.05, (SIDE // 8, SIDE // 8, 1)).repeat(8, 0).repeat(8, 1)
        path = tmp_path / "slides" / f"case{seed}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(
            path, image.clip(0, 250).astype(np.uint8), photometric="rgb", tile=(128, 128),
            resolution=(1e4, 1e4), resolutionunit="CENTIMETER",
        )  # fmt: skip
    return tmp_path / "slides"


def drawn(path, *boxes):
    """Outlines of (class, x, y, side)."""
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
                ],
            },
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }
        for name, x, y, side in boxes
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_regions_become_a_style_of_their_colours_alone(typed, slides, tmp_path, monkeypatch):
    tiny = replace(RECIPES["quick"], width=0.1, epochs=2, steps=10, batch=4, crop=64)
    monkeypatch.setattr(retrain, "RECIPES", {"quick": tiny})
    file = drawn(
        tmp_path / "d.geojson", ("Stroma", 0, 0, 512), ("Ignore*", 768, 0, 256), ("", 0, 512, 512)
    )
    for image in sorted(slides.glob("*.tif")):
        typed("annotations", "import", file, image, *WORDS)
    told = json.loads(typed("annotations", "list", slides, *WORDS, "--json").stdout)
    tiles = sum(row["learnt"]["tiles"] for row in told["slides"])
    assert tiles >= 8
    assert "nothing is wrong" in typed("annotations", "check", slides, *WORDS).stdout
    run = tmp_path / "run"
    words = ("retrain", "stain", "--slides", slides, "--device", "cpu", "-o", run)
    plain = json.loads(typed(*words, "--json").stdout)
    assert plain["n_tiles"] == tiles
    before, after, gain = (
        plain[f"colour_error_{what}"]["value"] for what in ("before", "after", "gain")
    )
    assert gain == pytest.approx(before - after)
    assert gain > 0, "the other style knows no green tissue"
    assert "pathogan retrain stain" in read_card(run / "model").measured_by
    tint = StyleModel.load(run / "model", "cpu").tint
    made = tint.typical(np.full((4, 4), 60.0, np.float32))
    assert made[..., 1].mean() < 40, "the orange part, of 55, was not outlined"


def test_what_there_is_nothing_of_is_said(typed, slides, tmp_path):
    image = slides / "case0.tif"
    outside = drawn(tmp_path / "o.geojson", ("", 5000, 5000, 100))
    failed = typed("annotations", "import", outside, image, *WORDS, code=2)
    assert "no outline lies on case0.tif" in failed.stderr
    ignored = drawn(tmp_path / "i.geojson", ("Ignore*", 0, 0, 512))
    typed("annotations", "import", ignored, image, *WORDS)
    failed = typed("retrain", "stain", "--slides", image, "-o", tmp_path / "run", code=2)
    assert "no tiles are annotated" in failed.stderr
    assert not (tmp_path / "run").exists()
