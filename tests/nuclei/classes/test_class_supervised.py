"""A class head that is taught labels: fitted, resumed, saved, asked; what it can't be taught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from kinds import NAMES

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Finished, Warn
from napari_pathogan.engine.models import read_card
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError, ModelError
from napari_pathogan.synthetic import generators
from napari_pathogan.tasks.nuclei_classes import supervised
from napari_pathogan.tasks.nuclei_classes.config import RECIPES
from napari_pathogan.tasks.nuclei_classes.contract import check, learn
from napari_pathogan.tasks.nuclei_classes.data import image_groups
from napari_pathogan.tasks.nuclei_classes.evaluate import evaluate
from napari_pathogan.tasks.nuclei_classes.model import CantDrawError, ClassModel

TAUGHT = replace(RECIPES["quick"], labels=True)


def taught(nuclei, folder, config=TAUGHT, tissue="", **more):
    run = RunFolder(folder)
    run.start(config.to_json(), resume=True)
    asked = {"seeds": 0, "resnet": "none", "resnet_weights": None, "device": "cpu"}
    asked |= {"tissue": tissue, "name": "", "data": None} | more
    return list(learn(nuclei, config, run, **asked))


@pytest.fixture(scope="module")
def done(nuclei, tmp_path_factory):
    folder = tmp_path_factory.mktemp("taught")
    return folder, taught(nuclei, folder, tissue="colon", name="mine")


def with_classes(nuclei, classes):
    return type(nuclei)(**{**vars(nuclei), "classes": np.asarray(classes)})


def test_groups_of_images_are_left_out_beside_both_baselines(done, nuclei):
    folder, events = done
    assert isinstance(events[-1], Finished)
    report = events[-1].result
    assert report.metrics["accuracy"].value > 0.95
    assert {"balanced_accuracy", "ece", "baseline_accuracy", "kmeans_rings_accuracy"} <= set(
        report.metrics
    )
    assert any("logistic regression on 30 ring" in note for note in report.notes)
    assert report.counts["n_nuclei"] == len(nuclei)
    card = read_card(folder / "model")
    assert card.metrics["accuracy"].value == report.metrics["accuracy"].value
    assert "--labels" in card.measured_by
    assert card.validated_on[0].organ == "colon"
    assert (card.patch_px, card.settings["draws"]) == (64, False)


def test_it_is_used_as_any_class_model(done, nuclei, tmp_path):
    model = ClassModel.load(done[0], device="cpu")
    assert sorted(model.names) == sorted(NAMES)
    own = evaluate(nuclei, model, seeds=1, rounds=0)
    assert own.metrics["accuracy"].value > 0.95
    assert own.metrics["baseline_accuracy"].value > 0.9
    renamed = model.renamed(["a", "b", "c"])
    renamed.save(tmp_path / "renamed")
    again = ClassModel.load(tmp_path / "renamed", device="cpu")
    crops = nuclei.pictures[:5]
    assert np.array_equal(again.probability(crops), model.probability(crops))
    assert model.features(crops).shape == (5, model.critic.n_features)
    naming = model.naming("colon", (0.5, 0.5))
    assert (naming.validated, naming.names) == (True, model.names)
    assert naming.note.startswith("Groups learnt from labels, named on colon")
    elsewhere = model.naming("breast", (0.5, 0.5))
    assert elsewhere.names == ("group A", "group B", "group C")
    assert "learnt from labels" in elsewhere.note


def test_colours_of_another_scanner_change_little(done, nuclei):
    """A darker and bluer image, normalised by its own density, is called the same."""
    model = ClassModel.load(done[0], device="cpu")
    own = nuclei.of(["im1"])
    stain, crops = own.stains["im1"], own.pictures
    density = -np.log((crops + 1.0) / 256) * (1.3, 1.2, 0.9) + 0.05
    other = (256 * np.exp(-density) - 1).clip(0, 255).round().astype(np.uint8)
    gain = np.array([1.3, 1.2, 0.9])
    moved = type(stain)(
        stain.mean,
        stain.covariance,
        np.stack([stain.density[0] * gain + 0.05, stain.density[1] * gain]),
    )
    same = model.probability(crops, stain).argmax(1) == model.probability(other, moved).argmax(1)
    assert same.mean() > 0.95


def test_it_draws_nothing(done):
    model = ClassModel.load(done[0], device="cpu")
    for draw in (lambda: model.generate(1), model.grid):
        with pytest.raises(CantDrawError, match="was taught by labels and draws no nuclei"):
            draw()
    assert "mine" not in generators(done[0].parent, done[0])


def test_stopped_and_resumed_is_the_same(done, nuclei, tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    run.start(TAUGHT.to_json(), resume=True)
    asked = {"seeds": 0, "resnet": "none", "resnet_weights": None, "device": "cpu"}
    asked |= {"tissue": "", "name": "", "data": None}
    learning = learn(nuclei, TAUGHT, run, **asked)
    for _ in range(4):
        next(learning)
    learning.close()
    seen = len(list((tmp_path / "seen").iterdir()))
    assert seen == 3
    calls = []
    views = supervised._views
    monkeypatch.setattr(supervised, "_views", lambda *a: calls.append(1) or views(*a))
    taught(nuclei, tmp_path)
    assert len(calls) == 6 - seen  # what was seen is not looked at again
    one, other = (ClassModel.load(folder, device="cpu") for folder in (done[0], tmp_path))
    assert torch.equal(one.critic.classify.weight, other.critic.classify.weight)


def test_two_classes(nuclei, tmp_path):
    part = nuclei.take(nuclei.classes != "fibroblast")
    taught(part, tmp_path, replace(TAUGHT, classes=2))
    model = ClassModel.load(tmp_path, device="cpu")
    assert evaluate(part, model, seeds=1, rounds=0).metrics["accuracy"].value > 0.95


def test_few_images_are_taught_but_not_measured(nuclei, tmp_path):
    events = taught(nuclei.of(["im0", "im1"]), tmp_path, tissue="colon")
    assert events[-1].result is None
    assert any("names hold nowhere" in e.message for e in events if isinstance(e, Warn))
    assert ClassModel.load(tmp_path, device="cpu").card.validated_on == ()


def test_groups_are_of_images_and_of_like_colours(nuclei):
    group = image_groups(nuclei, 3)
    for name in nuclei.names:
        assert len(set(group[nuclei.images == name])) == 1
    assert np.bincount(group).tolist() == [60, 60, 60]
    with pytest.raises(DataFolderError, match=r"7 groups of images are held out .* 6 images"):
        image_groups(nuclei, 7)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([""] * 180, r"the nuclei have 0 \(none\)"),
        (["tumour"] * 180, r"the nuclei have 1 \(tumour\)"),
        (["a", "b"] * 90, r"have 2 \(a, b\).* --classes 2"),
        (["a", "b"] * 88 + ["c"] * 4, "4 nuclei of the class 'c' are too few"),
    ],
)
def test_labels_that_will_not_do(nuclei, classes, message):
    with pytest.raises(DataFolderError, match=message):
        check(with_classes(nuclei, classes), TAUGHT, seeds=0)


def test_a_class_of_one_group_of_images_can_not_be_measured(nuclei, tmp_path):
    classes = np.where(nuclei.classes == "fibroblast", "inflammatory", nuclei.classes)
    classes = np.where((nuclei.images == "im0") & (nuclei.classes == "fibroblast"), "rare", classes)
    with pytest.raises(
        DataFolderError, match="all nuclei of the class 'rare' are in images of like"
    ):
        taught(with_classes(nuclei, classes), tmp_path)


def test_settings_that_would_count_for_nothing(nuclei):
    with pytest.raises(SettingError, match="seeds would count for nothing"):
        check(nuclei, TAUGHT, seeds=3)
    assert {"rounds", "epochs", "head"} <= set(TAUGHT.ignored())
    assert {"backbone", "views", "c"} <= set(RECIPES["quick"].ignored())


def test_another_trunk_than_it_was_taught_on(done, tmp_path):
    model = ClassModel.load(done[0], device="cpu")
    arguments = {"head": {**model.card.arguments["head"], "sha256": "0" * 64}}
    model.card = model.card.model_copy(update={"arguments": arguments})
    model.save(tmp_path / "other")
    with pytest.raises(ModelError, match="are not those that this model was trained on"):
        ClassModel.load(tmp_path / "other", device="cpu")
