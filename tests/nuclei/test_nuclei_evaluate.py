"""Evaluation: a perfect and a poor model, scales, unknown pixels, notes, intervals."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_pathogan.engine.devices import Device
from napari_pathogan.engine.models import ModelCard, TrainingData
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.nuclei.data import NucleiFolder
from napari_pathogan.tasks.nuclei.evaluate import evaluate, foretell, report, score
from napari_pathogan.tasks.nuclei.model import NucleiModel
from napari_pathogan.tasks.nuclei.network import UNet


class ByColour(NucleiModel):
    """Knows nuclei by their colour: what is drawn here is found to the pixel."""

    def probability(self, images):
        nucleus = (images[..., 0] < 165).astype(np.float32)
        return np.stack([1 - nucleus, nucleus, np.zeros_like(nucleus)], 1)


@pytest.fixture
def model():
    card = ModelCard(
        name="by-colour", title="By colour", task="nuclei", architecture="unet",
        training_data=(TrainingData(name="drawn", terms="none", patients=("p1",)),),
    )  # fmt: skip
    network = UNet(2, normalised=False)
    return ByColour(card, network, Device("cpu", torch.float32), threshold=0.5)


def test_a_model_that_is_right_has_ones_everywhere(folder, model):
    got = evaluate(folder, model, rounds=50)
    low = {name: v.value for name, v in got.metrics.items() if v.value < 0.97}
    assert not low
    assert got.counts["n_images"] == 6
    assert (
        got.counts["n_nuclei"] == got.counts["n_found"] == sum(i.mask.max() for i in folder.images)
    )
    assert any("trained on 1 of these 3 patients (p1)" in note for note in got.notes)
    for name in ("sensitivity", "specificity", "dice", "jaccard"):
        assert {name, f"{name}_mean"} <= set(got.metrics)
    assert {"aji", "pq", "dq", "sq", "f1"} <= set(got.metrics)


def test_binary_masks_have_no_figures_of_instances(draw, model):
    got = evaluate(draw(binary=True), model, rounds=0)
    assert got.metrics["dice"].value > 0.99
    assert "aji" not in got.metrics
    assert any("do not number the nuclei" in note for note in got.notes)


def test_intervals_hold_the_value_and_need_two_patients(folder, model):
    image = folder.images[0]
    image.mask[:48] = 0  # half of what is found is wrong in one patient
    got = evaluate(folder, model, rounds=200)
    dice = got.metrics["dice"]
    assert dice.low < dice.value < dice.high
    one = evaluate(folder.take(folder.patients == "p0"), model)
    assert one.metrics["dice"].low is None
    assert any("one patient" in note for note in one.notes)
    assert json.loads(got.to_json())["dice"]["value"] == dice.value


def test_images_of_another_scale_are_scored_on_their_own_pixels(folder, model):
    coarse = NucleiFolder(tuple(replace(image, mpp=0.5) for image in folder.images))
    seen = []
    foretell(coarse.images[0], lambda x: seen.append(x.shape) or model.probability(x))
    assert seen == [(1, 192, 192, 3)]
    got = evaluate(coarse, model, rounds=0)
    assert got.metrics["dice"].value > 0.95
    assert got.metrics["f1"].value > 0.95


def test_sides_that_are_no_multiple_of_16_are_padded(folder, model):
    image = folder.images[0]
    odd = replace(image, pixels=image.pixels[:90, :83], mask=image.mask[:90, :83])
    planes = foretell(odd, model.probability)
    assert planes.shape == (3, 90, 83)
    assert score(odd, planes, 0.5, instances_known=False).pixels.sum() == 90 * 83


def test_what_nobody_looked_at_counts_for_nothing(folder, model):
    image = folder.images[0]
    image.mask[:48] = np.where(image.mask[:48] > 0, -1, image.mask[:48])
    planes = foretell(image, model.probability)
    counted = score(image, planes, 0.5, instances_known=True)
    assert counted.pixels[1] == 0
    assert counted.pixels.sum() == (image.mask >= 0).sum()


def test_no_nucleus_at_all_can_not_be_evaluated(folder, model):
    for image in folder.images:
        image.mask[:] = 0
    with pytest.raises(DataFolderError, match="no nucleus is marked"):
        evaluate(folder, model)


def test_skipped_files_and_empty_images_are_noted(folder, model):
    folder.images[0].mask[:] = 0
    planes = [foretell(i, model.probability) for i in folder.images]
    scored = [
        score(i, p, 0.5, instances_known=True) for i, p in zip(folder.images, planes, strict=True)
    ]
    got = report(scored, title="x", rounds=0, skipped=("a.png: broken",))
    assert any("1 images have no nucleus" in note for note in got.notes)
    assert any("a.png: broken" in note for note in got.notes)
    assert got.metrics["dice_mean"].value == pytest.approx(5 / 6, abs=0.01)
