"""Pretrained trunks: any of timm's, from files, known by the hash of their weights."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

from napari_pathogan.engine import backbones
from napari_pathogan.engine.backbones import (
    DEFAULT,
    TASK,
    Trunk,
    _load,
    fingerprint,
    load_backbone,
    load_network,
)
from napari_pathogan.engine.models import ModelCard, load_model, read_card, save_model, zoo
from napari_pathogan.errors import ModelError, ModelNotFoundError


@pytest.fixture(autouse=True)
def _read_anew():
    _load.cache_clear()
    yield
    _load.cache_clear()


def kept(tmp_path, name="resnet10t", **changes):
    """The random weights of one of timm's networks in a file."""
    torch.manual_seed(0)
    network = timm.create_model(name)
    weights = {key: value.contiguous() for key, value in network.state_dict().items()} | changes
    save_file({k: v for k, v in weights.items() if v is not None}, tmp_path / "w.safetensors")
    return f"{name}={tmp_path / 'w.safetensors'}", network.eval()


def test_the_embedded_one_sees_what_timms_does():
    trunk = load_backbone()
    card, weights = load_model(DEFAULT, TASK)
    theirs = timm.create_model(card.architecture, num_classes=0)
    theirs.load_state_dict(weights, strict=False)
    images = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        whole, maps = trunk.seen(images)
        wanted = theirs.eval()(images * 2 - 1)
        found = trunk.features(images)
    torch.testing.assert_close(whole, wanted, rtol=1e-3, atol=1e-3)
    assert [m.shape[1:] for m in maps] == [(40, 12, 12), (112, 6, 6), (320, 3, 3)]
    assert found.shape == (2, sum(trunk.widths))
    torch.testing.assert_close(found[:, :40], maps[0].mean((2, 3)))
    assert "Apache-2.0" in card.licence
    assert (zoo() / DEFAULT / "weights.safetensors").stat().st_size < 25e6


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_any_of_timms_networks_does_from_a_file(tmp_path, name):
    asked, network = kept(tmp_path, name)
    trunk = load_backbone(asked)
    images = torch.rand(1, 3, 224, 224)
    mean, std = (torch.tensor(network.pretrained_cfg[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    with torch.inference_mode():
        whole, _ = trunk.seen(images)
        wanted = network.forward_head(
            network.forward_features((images - mean) / std), pre_logits=True
        )
        torch.testing.assert_close(whole, wanted, rtol=1e-3, atol=1e-3)
        assert trunk.features(images).shape == (1, sum(trunk.widths))


def test_a_trunk_that_learns_on_says_the_same_and_keeps_its_norms():
    trunk, images = Trunk(load_network()).train(), torch.rand(2, 3, 64, 64)
    before = {name: value.clone() for name, value in trunk.named_buffers()}
    with torch.no_grad():
        seen = trunk(images)
    torch.testing.assert_close(seen, load_backbone().seen(images)[0], rtol=1e-3, atol=1e-3)
    assert seen.shape == (2, trunk.outputs)
    assert all(torch.equal(value, before[name]) for name, value in trunk.named_buffers())
    earlier = {k.replace("trunk.", "network."): v + 0 for k, v in trunk.state_dict().items()}
    other = Trunk(load_network())
    torch.nn.init.zeros_(other.trunk.conv_stem.weight)
    other.load_state_dict(earlier)
    assert torch.equal(other.trunk.conv_stem.weight, trunk.trunk.conv_stem.weight)


def test_other_weights_than_a_model_was_trained_on_are_refused(tmp_path):
    asked, network = kept(tmp_path)
    sha = load_backbone(asked).sha256
    assert load_backbone(asked, sha).sha256 == sha
    _load.cache_clear()
    kept(tmp_path, **{"conv1.0.weight": network.state_dict()["conv1.0.weight"] + 1e-3})
    with pytest.raises(ModelError, match="not those that this model was trained on"):
        load_backbone(asked, sha)


def test_a_fingerprint_is_of_the_weights_not_of_their_file():
    weights = {"b": torch.ones(2), "a": torch.zeros(3).half()}
    other = {"a": torch.zeros(3), "b": torch.ones(2), "n": torch.tensor(3)}
    assert fingerprint(weights) == fingerprint(other)
    assert fingerprint(weights) != fingerprint(other | {"b": torch.tensor([1.0, 2.0])})


def test_one_of_the_users_own_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    card = ModelCard(name="mine", title="mine", task=TASK, architecture="resnet10t")
    folder = tmp_path / "napari-pathogan/models/mine"
    folder.parent.mkdir(parents=True)
    save_model(folder, card, timm.create_model("resnet10t").state_dict())
    assert load_backbone("mine").name == "mine"
    assert read_card(folder).architecture == "resnet10t"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nonsense", "no backbone model 'nonsense'"),
        ("resnet10t=NOWHERE/w.safetensors", "can't be read"),
        ("resnet10t=NOWHERE/w.pth", "no safetensors file"),
        ("resnett=HERE", "timm has no network 'resnett'"),
        ("resnet18=HERE", "don't fit that network"),
        ("hf-hub:someone/something", "name a revision"),
    ],
)
def test_what_can_not_be_had_is_said_in_one_sentence(tmp_path, name, why):
    here = kept(tmp_path)[0].split("=")[1]
    with pytest.raises((ModelError, ModelNotFoundError), match=why) as error:
        load_backbone(name.replace("NOWHERE", str(tmp_path / "no")).replace("HERE", here))
    assert "\n" not in str(error.value)


def test_weights_that_lack_one_are_refused_and_damaged_files_too(tmp_path):
    asked, _ = kept(tmp_path, **{"layer1.0.conv1.weight": None})
    with pytest.raises(ModelError, match=r"layer1\.0\.conv1\.weight is missing"):
        load_backbone(asked)
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="can't be read"):
        load_backbone(asked)


def test_the_hub_is_asked_for_a_pinned_revision_and_what_fails_is_said(monkeypatch):
    asked = []

    def fetch(name, **options):
        asked.append((name, options["pretrained"]))
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(timm, "create_model", fetch)
    with pytest.raises(ModelError, match=r"can't be fetched \(no network\)") as error:
        load_backbone("hf-hub:someone/something@abc123")
    assert asked == [("hf-hub:someone/something@abc123", True)]
    assert "\n" not in str(error.value)


def test_one_channel_and_other_sizes_are_refused(tmp_path):
    asked, _ = kept(tmp_path, "vit_tiny_patch16_224")
    trunk = load_backbone(asked)
    with pytest.raises(ModelError, match="can't look at 96 px"):
        trunk.features(torch.rand(1, 3, 96, 96))


def test_a_trunk_that_was_first_used_to_predict_lets_gradients_through():
    backbones._load.cache_clear()
    with torch.inference_mode():
        trunk = load_backbone()
        trunk.features(torch.rand(1, 3, 32, 32))
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    load_backbone().seen(images)[0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
