"""Generators: kept by training, loaded and drawn from again, refused where they don't fit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import Device
from napari_pathogan.engine.models import CARD, WEIGHTS, TrainingData, read_card
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import ModelError, ModelNotFoundError
from napari_pathogan.tasks.idc.config import RECIPES
from napari_pathogan.tasks.idc.crossval import learn
from napari_pathogan.tasks.idc.generate import IdcGenerator, save
from napari_pathogan.tasks.idc.metrics import auc
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.network import Generator, folded_state, to_bytes
from napari_pathogan.tasks.idc.train import Trainer

CPU = Device("cpu", torch.float32)
TINY = replace(RECIPES["quick"], width=1 / 16, epochs=2, batch=16, preview_every=2)
RECIPE = {"width": 1 / 16, "batch_norm": False, "local_noise": False}
DATA = TrainingData(name="drawn", terms="none", patients=("p0", "p1"))


@pytest.fixture
def generator(tmp_path):
    """A generator that has learned nothing, saved and loaded."""
    torch.manual_seed(0)
    network = Generator(1 / 16, spectral=False)
    save(tmp_path / "g", network, name="small", data=DATA, recipe=RECIPE)
    return IdcGenerator.load(tmp_path / "g", device="cpu")


def test_training_keeps_its_generator(tmp_path, patches):
    run = RunFolder(tmp_path / "run")
    run.start(TINY.to_json())
    list(learn(patches, TINY, run, holdout=0.5, name="tiny", data=DATA))
    kept = IdcGenerator.load(run.path, device="cpu")
    assert kept.card.name == "tiny-generator"
    assert kept.card.classes == ("healthy", "IDC")
    assert "synthetic" in kept.card.title
    assert kept.card.recipe["epochs"] == 2
    assert kept.card.training_data[0].terms == "none"
    # those it learned from: the others were held out
    assert len(kept.card.training_data[0].patients) == 2
    assert kept.generate(3).shape == (3, 50, 50, 3)


def test_local_noise_changes_texture_and_is_part_of_z():
    torch.manual_seed(2)
    network = Generator(1 / 8, local_noise=True, spectral=False).eval()
    assert network.latent == 100 + 4**2 + 7**2 + 13**2 + 25**2
    z, y = torch.randn(1, network.latent), torch.ones(1)
    other = z.clone()
    other[0, -1] += 5  # one pixel of the last map
    changed = (network(z, y) - network(other, y)).abs().sum(1)[0] > 1e-6
    rows, columns = torch.nonzero(changed, as_tuple=True)
    assert changed.any()
    assert rows.min() >= 46  # only around that pixel, in the lower right corner
    assert columns.min() >= 46


@pytest.mark.parametrize("name", ["batch_norm", "local_noise"])
def test_extras_reach_the_card(tmp_path, patches, name):
    config = replace(TINY, **{name: True})
    network = Trainer(patches, config, CPU).generator()
    card = save(tmp_path / "g", network, name="g", data=DATA, recipe=config.to_json())
    assert card.arguments[name] is True
    assert IdcGenerator.load(tmp_path / "g", "cpu").network.latent == network.latent


def test_batch_norm_is_kept_with_its_statistics(tmp_path, patches):
    config = replace(TINY, batch_norm=True, generator_every=1)
    trainer = Trainer(patches, config, CPU)
    for number in range(3):
        trainer.step(torch.arange(16), number)
    network = trainer.generator()
    save(tmp_path / "g", network, name="bn", data=DATA, recipe=config.to_json())
    again = IdcGenerator.load(tmp_path / "g", "cpu").network
    mean = next(k for k in network.state_dict() if k.endswith("running_mean"))
    assert network.state_dict()[mean].abs().sum() > 0
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-3, rtol=1e-3)


def test_the_plain_cnn_leaves_no_generator(tmp_path, patches):
    run = RunFolder(tmp_path / "run")
    config = replace(TINY, method="cnn", epochs=1)
    run.start(config.to_json())
    list(learn(patches, config, run, holdout=0))
    assert not (run.path / "generator").exists()


def test_what_is_kept_is_the_average_of_the_weights(patches):
    trainer = Trainer(patches, replace(TINY, generator_every=1, lr=0.01), CPU)
    before = trainer.generator().project.weight.clone()
    for number in range(3):
        trainer.step(torch.arange(16), number)
    after, last = trainer.generator().project.weight, trainer.g.project.weight
    assert not torch.equal(after, before)
    assert not torch.allclose(after, last, atol=1e-4)
    assert (after - before).norm() < (last - before).norm()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_folded_weights_draw_the_same(batch_norm):
    torch.manual_seed(1)
    network = Generator(1 / 16, batch_norm=batch_norm).eval()
    folded = Generator(1 / 16, batch_norm=batch_norm, spectral=False)
    folded.eval()
    folded.load_state_dict(folded_state(network))
    z, y = torch.randn(4, 100), torch.tensor([0.0, 1, 0, 1])
    torch.testing.assert_close(folded(z, y), network(z, y))


def test_bytes_span_the_range():
    x = torch.tensor([-1.0, 0, 1]).view(1, 3, 1, 1)
    assert to_bytes(x).tolist() == [[[[0, 128, 255]]]]


def test_a_seed_draws_the_same_again_and_a_prefix_of_more(generator):
    seven = generator.generate(7, "IDC", seed=3)
    assert seven.dtype == np.uint8
    np.testing.assert_array_equal(seven, generator.generate(7, "IDC", seed=3))
    np.testing.assert_array_equal(seven, generator.generate(70, "IDC", seed=3)[:7])
    assert not np.array_equal(seven, generator.generate(7, "IDC", seed=4))


def test_classes_differ_and_none_draws_them_by_turns(generator):
    healthy, idc = (generator.generate(6, label, seed=1) for label in ("healthy", "IDC"))
    assert not np.array_equal(healthy, idc)
    both = generator.generate(6, seed=1)
    np.testing.assert_array_equal(both[::2], healthy[::2])
    np.testing.assert_array_equal(both[1::2], idc[1::2])


def test_nothing_is_drawn_of_an_unknown_class(generator):
    with pytest.raises(SettingError, match=r"'tumour' is not a class .* healthy or IDC"):
        generator.generate(1, "tumour")


def test_what_is_no_generator_is_refused(tmp_path, generator):
    with pytest.raises(ModelNotFoundError, match="no idc-generator model 'nowhere'"):
        IdcGenerator.load("nowhere")
    with pytest.raises(ModelError, match="for 'idc', not for 'idc-generator'"):
        IdcGenerator.load(_zoo_model())
    weights = tmp_path / "g" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="sha256 differs"):
        IdcGenerator.load(tmp_path / "g")


def test_a_card_that_does_not_fit_its_weights_is_refused(tmp_path, generator):
    card = tmp_path / "g" / CARD
    record = json.loads(card.read_text())
    card.write_text(json.dumps({**record, "arguments": {"width": 1 / 8}}))
    with pytest.raises(ModelError, match="'small' does not fit this version"):
        IdcGenerator.load(tmp_path / "g")
    card.write_text(json.dumps({**record, "architecture": "diffusion"}))
    with pytest.raises(ModelError, match="'diffusion', unknown"):
        IdcGenerator.load(tmp_path / "g")


def _zoo_model():
    from napari_pathogan.engine.models import find_models

    return find_models("idc")["idc-cgan"]


def test_the_card_says_what_it_is_not_for(tmp_path, generator):
    card = read_card(tmp_path / "g")
    assert "synthetic" in card.intended_use
    assert any("real" in line for line in card.not_for)


@pytest.mark.learning
def test_the_embedded_generator_draws_both_classes():
    generator = IdcGenerator.load(device="cpu")
    judge = IdcModel.load("idc-cgan", device="cpu")
    healthy, idc = (generator.generate(32, label, seed=9) for label in ("healthy", "IDC"))
    scores = [judge.logits(images)[:, 0] for images in (healthy, idc)]
    assert auc(np.repeat([0, 1], 32), np.concatenate(scores)) > 0.95
    for images in (healthy, idc):
        pixels = images.reshape(32, -1).astype(float)
        apart = np.abs(pixels[:, None] - pixels).mean(2)[np.triu_indices(32, 1)]
        assert np.median(apart) > 8  # of 255: not one patch drawn over and over
    red, green, blue = np.concatenate([healthy, idc]).mean((0, 1, 2))
    assert green < min(red, blue)  # pink and purple
    assert {"frechet_distance", "auc_real_or_generated"} <= set(generator.card.metrics)
