"""The U-Net on a pretrained encoder: shapes, weights of its own, other laboratories beside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from napari_pathogan.engine import backbones
from napari_pathogan.engine.backbones import DEFAULT, load_network
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import Device
from napari_pathogan.engine.events import Finished, Progress
from napari_pathogan.engine.models import read_card
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError, ModelError, ModelNotFoundError
from napari_pathogan.tasks.nuclei import crossval, starts
from napari_pathogan.tasks.nuclei.augment import Augment
from napari_pathogan.tasks.nuclei.config import PRETRAINED, RECIPES, TrainConfig
from napari_pathogan.tasks.nuclei.crossval import learn
from napari_pathogan.tasks.nuclei.data import NucleiFolder, read_others
from napari_pathogan.tasks.nuclei.encoder import EncoderUNet
from napari_pathogan.tasks.nuclei.model import NucleiModel, probability, quick
from napari_pathogan.tasks.nuclei.train import Trainer, train

CPU = Device("cpu", torch.float32)
TINY = replace(PRETRAINED, width=4, crop=32, epochs=2, batch=8, views=1)


def start(folder, config=TINY):
    run = RunFolder(folder)
    run.start(config.to_json(), resume=True)
    return run


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


@pytest.mark.parametrize(
    ("network", "strides"),
    [
        ("tf_efficientnet_lite0", [2, 4, 8, 16]),
        ("resnet10t", [2, 4, 8, 16]),
        ("convnext_atto", [4, 8, 16]),
    ],
)
def test_labels_are_as_large_as_the_image_on_any_network_of_stages(network, strides):
    unet = EncoderUNet(network, 4).eval()
    assert unet.strides == strides
    with torch.inference_mode():
        assert unet(torch.zeros(2, 3, 48, 80)).shape == (2, 3, 48, 80)
    same = EncoderUNet(**unet.arguments)
    same.load_state_dict(unet.state_dict())


@pytest.mark.parametrize(
    ("name", "error", "why"),
    [
        ("nothing", ModelNotFoundError, "no backbone model 'nothing'"),
        ("vit_tiny_patch16_224", ModelError, "choose a convolutional network"),
    ],
)
def test_what_can_be_no_encoder_is_refused_before_anything_is_written(
    tmp_path, folder, name, error, why
):
    if error is ModelError:
        weights = timm.create_model(name, num_classes=0).state_dict()
        save_file(weights, tmp_path / "w.safetensors")
        name = f"{name}={tmp_path / 'w.safetensors'}"
    with pytest.raises(error, match=why):
        crossval.check(folder, replace(TINY, backbone=name), folds=0)


def test_it_begins_with_what_is_pretrained_and_that_moves_slower(folder):
    trainer = Trainer(folder, TINY, CPU)
    pretrained = load_network(DEFAULT).state_dict()
    for name, value in trainer.network.encoder.state_dict().items():
        assert torch.equal(value, pretrained[name]), name
    trainer.set_rates(0.2)  # the highest of one cycle
    rates = [group["lr"] for group in trainer.optimisers["network"].param_groups]
    assert rates == pytest.approx([1.5e-3, 3e-4])
    moved = sum(len(group["params"]) for group in trainer.optimisers["network"].param_groups)
    assert moved == len(list(trainer.network.parameters()))


@pytest.mark.learning
def test_one_batch_is_learnt_by_heart(draw):
    still = {"on_nuclei": 0, "augment": Augment(turns=False)}
    config = replace(TINY, width=16, crop=64, batch=2, lr=5e-3, **still)
    trainer = Trainer(draw(1, 1), config, CPU)
    fixed = trainer.draw(torch.tensor([0, 0]))
    trainer.draw = lambda _: fixed
    trainer.set_rates(0.2)
    losses = [float(trainer.step(torch.tensor([0, 0]), n)["label"]) for n in range(50)]
    assert losses[-1] < losses[0] / 3  # a fifth (.19 to .22 over seeds)


@pytest.mark.learning
def test_stopped_and_resumed_is_the_same_as_never_stopped(tmp_path, folder, draw):
    others = draw(2, 1)
    whole = list(train(folder, TINY, start(tmp_path / "whole"), others=others))[-1].result
    run = start(tmp_path / "halves")
    for event in train(folder, TINY, run, others=others):
        if isinstance(event, Progress) and event.done == event.total - 1:  # amid the last epoch
            break
    torch.rand(100)  # whatever else happens to draw
    again = list(train(folder, TINY, run, others=others))[-1].result
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_model_needs_no_weights_but_its_own(tmp_path, folder, monkeypatch):
    run = start(tmp_path / "run")
    *_, last = learn(folder, replace(TINY, epochs=1), run, name="own")
    assert last.result is None
    card = read_card(run.model)
    assert card.arguments == {"network": "tf_efficientnet_lite0", "width": 4}
    assert card.recipe["backbone"] == DEFAULT
    assert DEFAULT in card.title
    assert "ImageNet" in " ".join(data.name for data in card.training_data)
    monkeypatch.setattr(backbones, "load_model", None)  # nothing else is read
    model = NucleiModel.load(run.path, device="cpu")
    seen = model.probability(images(1, 64, 96))
    assert seen.shape == (1, 3, 64, 96)
    np.testing.assert_allclose(seen.sum(1), 1, atol=1e-5)


def test_folding_norms_and_halves_of_floats_change_next_to_nothing(tmp_path, folder):
    run = start(tmp_path / "run")
    network = list(train(folder, TINY, run))[-1].result
    x = torch.from_numpy(images(1, 64, 64)).permute(0, 3, 1, 2) / 127.5 - 1
    fast = quick(network)
    assert fast is not network
    assert not any(isinstance(one, torch.nn.BatchNorm2d) for one in fast.modules())
    with torch.inference_mode():
        torch.testing.assert_close(fast(x), network(x), rtol=1e-3, atol=1e-3)
    list(learn(folder, TINY, start(tmp_path / "saved")))
    saved = NucleiModel.load(tmp_path / "saved", device="cpu")
    with torch.inference_mode():
        exact = network(x).softmax(1)
        assert (saved.network(x).softmax(1) - exact).abs().max() < 0.02


def test_who_asks_for_a_backbone_has_its_recipe():
    for recipe in RECIPES.values():
        assert recipe.adjusted(backbone=DEFAULT) == PRETRAINED
        assert recipe.adjusted(["backbone=" + DEFAULT, "batch=2"]) == replace(PRETRAINED, batch=2)
    assert PRETRAINED.adjusted(width=8).width == 8
    assert "squares" in PRETRAINED.ignored()
    assert "encoder_lr" in TrainConfig().ignored()
    with pytest.raises(SettingError, match="backbon"):
        TrainConfig().adjusted(["backbon=x"])


def test_a_model_on_a_backbone_is_gone_on_from(tmp_path, folder):
    first = start(tmp_path / "first")
    list(learn(folder.take(folder.patients != "p2"), replace(TINY, epochs=1), first))
    config = starts.shaped(RECIPES["quick"], str(first.model))
    assert (config.backbone, config.width, config.lr) == (DEFAULT, 4, PRETRAINED.lr)
    assert config == starts.shaped(config, str(first.path))  # as the run itself says
    still = replace(TINY, lr=0.0, weight_decay=0.0, epochs=1, ema=0.0)
    new = folder.take(folder.patients == "p2")
    list(learn(new, still, start(tmp_path / "still", still), start=str(first.model)))
    before, after = (
        NucleiModel.load(path, device="cpu") for path in (first.path, tmp_path / "still")
    )
    assert torch.allclose(before.network.head.weight, after.network.head.weight)
    with pytest.raises(
        SettingError, match=r"width 4, backbone efficientnet-lite0; ask for the same"
    ):
        list(learn(new, RECIPES["quick"], start(tmp_path / "other"), start=str(first.model)))


def groups(draw, names=("a", "b", "c")):
    """Images of other laboratories: a group a name."""
    drawn = draw(len(names), 2).images
    return NucleiFolder(
        tuple(
            replace(i, name=f"{names[n // 2]}_{n}", patient=names[n // 2])
            for n, i in enumerate(drawn)
        )
    )


def test_each_image_of_other_laboratories_has_the_scale_of_its_nuclei(tmp_path, draw, write):
    folder = draw(2, 1)
    twice = replace(
        folder.images[1],
        pixels=folder.images[1].pixels.repeat(2, 0).repeat(2, 1),
        mask=folder.images[1].mask.repeat(2, 0).repeat(2, 1),
    )
    alone = read_others(write(tmp_path / "a", folder)).images[1]
    large = read_others(write(tmp_path / "b", NucleiFolder((twice,)))).images[0]
    assert large.mpp == pytest.approx(alone.mpp / 2)
    area = np.median(np.bincount(alone.mask.ravel())[1:])
    assert area * alone.mpp**2 == pytest.approx(22)


def test_others_have_their_share_of_the_crops(folder, draw):
    config = replace(TINY, others_share=0.5)
    trainer = Trainer(folder, config, CPU, others=draw(2, 2))
    drawn = torch.cat([torch.cat(list(trainer.batches())) for _ in range(20)])
    assert (drawn >= len(folder)).float().mean() == pytest.approx(0.5, abs=0.08)
    assert drawn.max() == len(folder) + 3
    alone = Trainer(folder, config, CPU)
    assert trainer.steps == pytest.approx(2 * alone.steps, abs=1)  # as many of the main images


def test_no_fold_learns_from_the_group_that_it_is_tested_on(
    tmp_path, folder, draw, write, monkeypatch
):
    others = write(tmp_path / "others", groups(draw))
    learnt, tested = [], []

    def spy(part, config, run, *, device, start=None, others=None):
        learnt.append((run.path, set(others.names)))
        run.checkpoint.touch()
        yield Finished(Trainer(part, config, CPU).trained())

    def test(part, _, file):
        tested.append((file, set(part.names)))
        real(part, _, file)

    real = crossval._test
    monkeypatch.setattr(crossval, "_test", test)
    for module in (crossval, starts):
        monkeypatch.setattr(module, "train", spy)
    config = replace(TINY, common_epochs=1, normalise=0.0)
    *_, last = learn(folder, config, start(tmp_path / "run"), folds=3, others=others)
    knows = dict(learnt)
    of_folds = [knows[tmp_path / "run" / "folds" / str(k)] for k in range(3)]
    assert of_folds == [{"b"}, {"a", "c"}, {"b"}]
    assert [knows[tmp_path / "run" / "common" / str(h)] for h in (0, 1)] == of_folds[:2]
    assert [names for file, names in tested if file.parent.name == "others"] == [{"a", "c"}, {"b"}]
    assert learnt[-1][1] == {"a", "b", "c"}
    own, elsewhere = last.result
    assert (own.counts["n_images"], elsewhere.counts["n_images"]) == (6, 6)
    assert elsewhere.metrics["pq"].value is not None
    card = read_card(tmp_path / "run" / "model")
    assert card.metrics["others_dice"].value == elsewhere.metrics["dice"].value
    assert [data.n_images for data in card.training_data][:2] == [6, 6]
    assert "--others" in card.measured_by


def test_others_that_mark_no_nucleus_are_refused(tmp_path, folder, draw, write):
    blank = NucleiFolder(tuple(replace(i, mask=0 * i.mask) for i in groups(draw).images))
    with pytest.raises(DataFolderError, match="no nucleus is marked"):
        crossval.check(folder, TINY, folds=0, others=write(tmp_path, blank))


def test_what_lies_further_than_it_sees_hardly_counts(draw):
    torch.manual_seed(0)
    network = quick(EncoderUNet.on(DEFAULT, 16))
    pixels = np.tile(draw(1, 1).images[0].pixels, (4, 4, 1))  # 384 px
    m = network.seen_px
    part = pixels[160 - m : 224 + m, 160 - m : 224 + m]
    whole, cut = (probability(network, one[None], CPU)[0] for one in (pixels, part))
    inner = cut[:, m:-m, m:-m]
    assert np.abs(inner - whole[:, 160:224, 160:224]).max() < 1e-3
