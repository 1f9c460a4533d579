"""The paper's two heads on a pretrained trunk: what learns, what stays, and what comes back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import ModelError
from napari_pathogan.tasks.idc.config import RECIPES
from napari_pathogan.tasks.idc.crossval import PRETRAINED_SHARE, learn
from napari_pathogan.tasks.idc.deep import DeepDiscriminator
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.score import score
from napari_pathogan.tasks.idc.train import Trainer, train

DEEP = replace(
    RECIPES["quick"], backbone="efficientnet-lite0", side=32, width=1 / 16, epochs=2, batch=16
)
CPU = choose_device("cpu", "float32")


def start(folder):
    run = RunFolder(folder)
    run.start(DEEP.to_json())
    return run


@pytest.mark.parametrize("method", ["cgan", "cnn"])
@pytest.mark.parametrize("fixed", [0.0, 0.5, 1.0])
def test_the_first_stages_stay_and_the_others_learn_with_the_heads(patches, method, fixed):
    trainer = Trainer(patches, replace(DEEP, method=method, fixed=fixed), CPU)
    before = {name: value.clone() for name, value in trainer.d.state_dict().items()}
    for number, batch in enumerate(trainer.batches()):
        trainer.set_rates(0.2)
        trainer.step(batch, number)
    after = trainer.d.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert "idc.weight" in moved
    assert ("real.weight" in moved) is (method == "cgan")
    assert not [name for name in moved if "running" in name or name in ("mean", "std")]
    assert ("trunk.conv_stem.weight" in moved) is (fixed == 0)
    assert ("trunk.conv_head.weight" in moved) is (fixed < 1)
    groups = trainer.optimisers["d"].param_groups
    assert groups[1]["initial_lr"] == pytest.approx(0.1 * groups[0]["initial_lr"])


def test_a_killed_training_goes_on_to_the_same_weights_and_the_model_comes_back(tmp_path, patches):
    whole = start(tmp_path / "whole")
    *_, finished = train(patches, DEEP, whole, device="cpu")
    run = start(tmp_path / "killed")
    for event in train(patches, DEEP, run, device="cpu"):
        if type(event).__name__ == "Checkpoint":
            break
    *_, again = train(patches, DEEP, run, device="cpu")
    for name, value in finished.result.network.state_dict().items():
        assert torch.equal(value, again.result.network.state_dict()[name]), name
    assert again.result.generator is not None

    folder = start(tmp_path / "model")
    list(learn(patches, replace(DEEP, epochs=1), folder, folds=2, name="deep", device="cpu"))
    model = IdcModel.load(folder.path, device="cpu")
    assert isinstance(model.network, DeepDiscriminator)
    assert model.share == PRETRAINED_SHARE
    assert model.card.arguments == {"architecture": "tf_efficientnet_lite0", "side": 32}
    assert "--method cgan --backbone efficientnet-lite0" in model.card.measured_by
    assert "on efficientnet-lite0" in model.card.title
    assert np.isfinite(model.logits(patches.images)).all()
    assert (folder.model / "weights.safetensors").stat().st_size < 9e6  # float16


def test_float16_weights_say_what_the_trained_ones_say(tmp_path, patches):
    *_, finished = train(patches, replace(DEEP, method="cnn"), start(tmp_path), device="cpu")
    network = finished.result.network
    half = DeepDiscriminator(**network.arguments)
    half.load_state_dict(
        {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    )
    logits = [score(one, patches.images, CPU) for one in (network, half.eval())]
    np.testing.assert_allclose(*logits, atol=0.02)


def test_networks_that_take_one_size_alone_are_refused(tmp_path, patches):
    torch.manual_seed(0)
    weights = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    save_file({k: v.contiguous() for k, v in weights.items()}, tmp_path / "w.safetensors")
    asked = replace(DEEP, backbone=f"vit_tiny_patch16_224={tmp_path / 'w.safetensors'}")
    with pytest.raises(ModelError, match="can't look at 32 px"):
        Trainer(patches, asked, CPU)
    Trainer(patches, replace(asked, side=224), CPU)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["method=cnn", "backbone=efficientnet-lite0", "width=2"], "how wide"),
        (["fixed=0.2"], "no backbone"),
        (["method=frozen", "fixed=0.2"], "frozen trunk"),
    ],
)
def test_settings_that_count_for_nothing_are_named(settings, why):
    config = RECIPES["quick"].adjusted(settings)
    name = settings[-1].partition("=")[0]
    assert why in config.ignored()[name]
    with pytest.raises(SettingError):
        RECIPES["quick"].adjusted(["fixed=2"])
