"""A head on a frozen trunk: fitted in one go, read back with the same trunk, beside its baseline."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.features import Features
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import ModelError
from napari_pathogan.tasks.idc import frozen
from napari_pathogan.tasks.idc.augment import Palette
from napari_pathogan.tasks.idc.baseline import ColourBaseline, statistics
from napari_pathogan.tasks.idc.config import RECIPES
from napari_pathogan.tasks.idc.contract import evaluated
from napari_pathogan.tasks.idc.crossval import learn
from napari_pathogan.tasks.idc.evaluate import evaluate
from napari_pathogan.tasks.idc.frozen import FrozenHead
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.score import score
from napari_pathogan.tasks.idc.student import distil


def until_it_returns(generator):
    """Events of a generator, and what it returns."""
    while True:
        try:
            yield next(generator)
        except StopIteration as stop:
            yield stop.value
            return


CONFIG = replace(RECIPES["quick"], method="frozen", side=64, student=2)


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
    assert any(
        re.search(r"in its 95 % interval in \d of 4 patients", note) for note in heat_map.notes
    )
    assert 0 <= heat_map.metrics["baseline_auc"].value <= 1
    model = IdcModel.load(folder.path, device="cpu")
    assert model.card.arguments["backbone"] == "efficientnet-lite0"
    assert model.card.arguments["sha256"] == model.network.trunk.sha256
    assert "baseline_auc" in model.card.metrics
    assert "--method frozen" in model.card.measured_by
    assert (folder.model / "weights.safetensors").stat().st_size < 220_000, (
        "the trunk is not copied"
    )
    assert evaluate(patches, model, rounds=0).metrics["baseline_auc"].value > 0.5
    colours = model.colours(patches.images.reshape(-1, 3))
    assert not np.allclose(model.logits(patches.images, colours), model.logits(patches.images))


def test_the_student_is_asked_too_and_alone_where_speed_counts(run, patches):
    folder, (patch, _) = run
    model = IdcModel.load(folder.path, device="cpu")
    assert patch.metrics["fast_auc"].value > 0.9
    head = replace(model, network=FrozenHead("efficientnet-lite0", 64))
    head.network.idc_head.load_state_dict(model.network.idc_head.state_dict())
    head.network.eval()
    alone = [one.logits(patches.images) for one in (head, model.fast)]
    np.testing.assert_allclose(model.logits(patches.images), np.mean(alone, 0), atol=1e-4)
    assert model.fast.fast is None
    assert model.fast.calibration != model.calibration
    assert evaluate(patches, model, rounds=0).metrics["fast_auc"].value > 0.5


def test_unlabelled_patches_teach_the_student_and_never_the_head(patches, monkeypatch):
    shown = []
    monkeypatch.setattr(FrozenHead, "fit", lambda _, seen, labels, c: shown.append(labels))
    taught = []
    monkeypatch.setattr(frozen, "distil", lambda p, *_, **__: iter(taught.append(len(p)) or ()))
    patches.labels[::2] = -1
    device = choose_device("cpu")
    list(frozen.fitted(patches, Palette(patches, device.torch), CONFIG, device))
    assert len(shown[0]) == len(patches)  # the half that is labelled, in both colours
    assert set(shown[0].tolist()) == {0, 1}
    assert taught == [len(patches)]


def test_a_head_may_have_no_student(tmp_path, patches):
    run = RunFolder(tmp_path)
    run.start(CONFIG.to_json())
    *_, finished = learn(patches, replace(CONFIG, student=0), run, folds=2, device="cpu")
    assert "fast_auc" not in finished.result[0].metrics
    model = IdcModel.load(tmp_path, device="cpu")
    assert model.fast is None
    with pytest.raises(ModelError, match="leave out --fast"):
        evaluated(tmp_path, model, fast=True)


def test_a_student_says_what_it_was_taught(patches):
    rng = np.random.default_rng(0)
    dark = 255 - patches.images.reshape(len(patches), -1).mean(1)
    said = dark + rng.normal(0, 1, len(patches))
    device = choose_device("cpu", "float32")
    palette = Palette(patches, device.torch)
    *events, last = until_it_returns(distil(patches, palette, said, device, epochs=60))
    assert len(events) == 60
    found = score(last, patches.images, device)[:, 0]
    assert np.corrcoef(found, dark)[0, 1] > 0.9
    assert np.abs(found.mean() - dark.mean()) < dark.std()


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


def test_patches_are_looked_at_once_also_by_another_process(run, patches, monkeypatch, tmp_path):
    folder, _ = run
    model = IdcModel.load(folder.path, device="cpu")
    monkeypatch.setattr(frozen, "user_features", lambda: Features(tmp_path))
    first = model.logits(patches.images)
    looked = []
    whole = type(model.network.trunk).features
    monkeypatch.setattr(
        type(model.network.trunk), "features", lambda *a: looked.append(len(a[1])) or whole(*a)
    )
    np.testing.assert_array_equal(model.logits(patches.images), first)
    assert not looked
    other = 255 - patches.images
    model.logits(other)
    assert sum(looked) == len(other)
    model.device = choose_device(
        "cpu", "float32" if model.device.dtype != torch.float32 else "bfloat16"
    )
    model.logits(other[:5])  # in another precision
    assert sum(looked) == len(other) + 5


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
