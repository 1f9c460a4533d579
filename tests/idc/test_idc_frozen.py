"""A head on a frozen trunk: fitted in one go, read back with the same trunk, beside its baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import ModelError
from napari_pathogan.tasks.idc import frozen
from napari_pathogan.tasks.idc.baseline import ColourBaseline, statistics
from napari_pathogan.tasks.idc.config import RECIPES
from napari_pathogan.tasks.idc.crossval import learn
from napari_pathogan.tasks.idc.evaluate import evaluate
from napari_pathogan.tasks.idc.model import IdcModel

CONFIG = replace(RECIPES["quick"], method="frozen", side=64)


@pytest.fixture(scope="module")
def run(tmp_path_factory, draw):
    patches = draw()
    folder = RunFolder(tmp_path_factory.mktemp("frozen") / "run")
    folder.start(CONFIG.to_json())
    *_, finished = learn(patches, CONFIG, folder, folds=4, name="head", device="cpu")
    return folder, finished.result


def test_patients_left_out_are_told_apart_and_the_model_comes_back(run, patches):
    folder, (patch, heat_map) = run
    assert patch.counts == {"n_patches": len(patches), "n_patients": 4}
    assert patch.metrics["auc"].value > 0.9
    assert 0 <= heat_map.metrics["baseline_auc"].value <= 1
    model = IdcModel.load(folder.path, device="cpu")
    assert model.card.arguments["backbone"] == "efficientnet-lite0"
    assert model.card.arguments["sha256"] == model.network.trunk.sha256
    assert "baseline_auc" in model.card.metrics
    assert "--method frozen" in model.card.measured_by
    assert (folder.model / "weights.safetensors").stat().st_size < 20_000, "the trunk is not copied"
    assert evaluate(patches, model, rounds=0).metrics["baseline_auc"].value > 0.5
    colours = model.colours(patches.images.reshape(-1, 3))
    assert not np.allclose(model.logits(patches.images, colours), model.logits(patches.images))


def test_with_another_trunk_it_is_refused(run, monkeypatch):
    folder, _ = run
    card = (folder.model / "model.json").read_text()
    sha = IdcModel.load(folder.path, device="cpu").network.trunk.sha256
    (folder.model / "model.json").write_text(card.replace(sha, "0" * 64))
    try:
        with pytest.raises(ModelError, match="not those that this model was trained on"):
            IdcModel.load(folder.path, device="cpu")
    finally:
        (folder.model / "model.json").write_text(card)


def test_patches_are_looked_at_once(run, patches, monkeypatch):
    folder, _ = run
    model = IdcModel.load(folder.path, device="cpu")
    first = model.logits(patches.images)
    looked = []
    whole = type(model.network.trunk).features
    monkeypatch.setattr(
        type(model.network.trunk), "features", lambda *a: looked.append(len(a[1])) or whole(*a)
    )
    np.testing.assert_array_equal(model.logits(patches.images), first)
    assert not looked
    monkeypatch.setattr(frozen, "_CACHED", 10)
    other = 255 - patches.images
    model.logits(other)
    assert sum(looked) == len(other)
    assert len(frozen._REMEMBERED._known) <= 10


def test_the_statistics_are_of_optical_density():
    image = np.full((1, 50, 50, 3), 127, np.uint8)
    image[:, :, :25, 0] = 255
    found = statistics(torch.from_numpy(image).permute(0, 3, 1, 2) / 127.5 - 1)[0].numpy()
    half = -np.log(0.5)
    np.testing.assert_allclose(found[:3], [half / 2, half, half], atol=1e-4)
    np.testing.assert_allclose(found[3:6], [half / 2, 0, 0], atol=1e-4)
    np.testing.assert_allclose(found[12:], [half / 49, 0, 0], atol=1e-4)


def test_a_baseline_comes_back(patches):
    made = ColourBaseline.fit(patches.images, patches.labels)
    again = ColourBaseline.from_json(made.to_json())
    np.testing.assert_allclose(again.logits(patches.images), made.logits(patches.images), atol=1e-3)
