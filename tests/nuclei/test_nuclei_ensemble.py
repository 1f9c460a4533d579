"""Several networks that say together what a pixel is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.models import ModelCard, load_model
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.tasks.nuclei import model as models
from napari_pathogan.tasks.nuclei.config import RECIPES
from napari_pathogan.tasks.nuclei.crossval import learn
from napari_pathogan.tasks.nuclei.encoder import EncoderUNet
from napari_pathogan.tasks.nuclei.ensemble import Ensemble
from napari_pathogan.tasks.nuclei.model import NucleiModel, probability
from napari_pathogan.tasks.nuclei.network import UNet
from napari_pathogan.tasks.nuclei.segmenter import UNetSegmenter
from napari_pathogan.tasks.nuclei.starts import begun

CPU = choose_device("cpu", "float32")


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return [
        UNet(4, 2, normalised=False).eval(),
        EncoderUNet("tf_efficientnet_lite0", 8).eval(),
    ]


@pytest.mark.parametrize("views", [1, 2])
def test_it_says_the_mean_of_what_its_members_say(networks, views):
    images = np.random.default_rng(0).integers(0, 255, (2, 48, 80, 3), np.uint8)
    alone = [probability(one, images, CPU, views=views) for one in networks]
    # the members see images of one size: one that pads further would see other edges
    together = Ensemble.of(networks).eval()
    assert together.multiple == 32
    assert together.seen_px == max(one.seen_px for one in networks)
    padded = np.pad(images, [(0, 0), (0, 16), (0, 16), (0, 0)], "edge")
    alone = [probability(one, padded, CPU, views=views) for one in networks]
    found = probability(together, padded, CPU, views=views)
    np.testing.assert_allclose(found, np.mean(alone, 0), atol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert probability(together, images, CPU).shape == (2, 3, 48, 80)


def test_it_is_kept_with_all_its_weights_and_comes_back(networks, tmp_path):
    card = ModelCard(name="both", title="Both", task="nuclei", architecture="ensemble")
    models.save(tmp_path, card, Ensemble.of(networks), threshold=0.4, views=2)
    model = NucleiModel.load(tmp_path, device="cpu")
    assert [one["architecture"] for one in model.card.arguments["members"]] == [
        "unet",
        "unet-encoder",
    ]
    assert (model.threshold, model.views) == (0.4, 2)
    assert "flips and turns" not in UNetSegmenter(model).line
    images = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), np.uint8)
    expected = probability(Ensemble.of(networks).eval(), images, model.device, views=2)
    np.testing.assert_allclose(model.probability(images), expected, atol=0.02)
    assert UNetSegmenter(model).labels(images[0]).shape == (64, 64)


def test_its_u_net_goes_on_and_the_others_stay(networks, folder, tmp_path):
    card = ModelCard(name="both", title="Both", task="nuclei", architecture="ensemble")
    settings = {"threshold": 0.4, "share": 0.6, "views": 2, "views_float32": 1}
    models.save(
        tmp_path / "both",
        card,
        Ensemble.of(networks[::-1]),  # the U-Net is the second
        reference=folder.reference(),
        **settings,
    )
    before = load_model(tmp_path / "both", "nuclei")[1]
    config = begun(RECIPES["quick"], start=str(tmp_path / "both"))
    assert (config.width, config.squares, config.backbone) == (4, 2, "")
    config = replace(config, crop=32, batch=2, epochs=1, least_steps=2)
    run = RunFolder(tmp_path / "run")
    run.start(config.to_json())
    options = {"start": str(tmp_path / "both"), "compare": True, "device": "cpu"}
    *_, done = learn(folder, config, run, **options)
    assert done.result.title == "both, before and after"
    new, after = load_model(run.model, "nuclei")
    assert new.architecture == "ensemble"
    assert {name: new.settings[name] for name in settings} == settings
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("members.1.") for name in changed)
    assert new.recipe["parent"] == "both"
    assert new.title.startswith("Nuclei gone on from both, ")
    again = begun(RECIPES["quick"], start=str(run.model))
    assert again.width == 4, "what went on goes on again"


def test_an_ensemble_without_a_u_net_learns_no_further(networks, tmp_path):
    card = ModelCard(name="both", title="Both", task="nuclei", architecture="ensemble")
    models.save(tmp_path, card, Ensemble.of(networks[1:]), threshold=0.4)
    with pytest.raises(SettingError, match="without a U-Net that could learn on"):
        begun(RECIPES["quick"], start=str(tmp_path))


@pytest.mark.parametrize(
    ("dtype", "asked", "expected"),
    [
        (torch.bfloat16, None, 2),
        (torch.float32, None, 1),
        (torch.float32, 4, 4),
        (torch.bfloat16, 1, 1),
    ],
)
def test_where_a_cpu_lacks_bfloat16_it_looks_less_often_and_says_so(
    networks, tmp_path, monkeypatch, *, dtype, asked, expected
):
    card = ModelCard(name="both", title="Both", task="nuclei", architecture="ensemble")
    models.save(tmp_path, card, Ensemble.of(networks), threshold=0.4, views=2, views_float32=1)
    monkeypatch.setattr(models, "choose_device", lambda name: Device(name, dtype))
    model = NucleiModel.load(tmp_path, device="cpu", views=asked)
    assert model.views == expected
    said = f"seen in {expected} of 8 flips and turns; the card's figures are of 2"
    assert (said in UNetSegmenter(model).line) is (expected != 2)
