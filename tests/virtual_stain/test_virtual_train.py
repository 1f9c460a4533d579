"""The CycleGAN's training: schedule, losses, history of generated images, and where it begins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from virtual_pairs import save_pair

from napari_pathogan.engine.devices import Device
from napari_pathogan.engine.models import read_card
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.tasks.virtual_stain.config import RECIPES, TrainConfig
from napari_pathogan.tasks.virtual_stain.data import Pair
from napari_pathogan.tasks.virtual_stain.learn import learn
from napari_pathogan.tasks.virtual_stain.model import PARTS, VirtualStainModel
from napari_pathogan.tasks.virtual_stain.start import begin, going_on
from napari_pathogan.tasks.virtual_stain.train import History, Trainer, _crop, _varied
from tiny_data import two_pools

FLOAT = Device("cpu", torch.float32)
TINY = TrainConfig(ngf=4, ndf=4, blocks=2, epochs=4, decay_epochs=2, steps=2, crop=32)


@pytest.fixture
def pair(tmp_path):
    two_pools(tmp_path / "source")
    return Pair.read(tmp_path / "source", target=tmp_path / "target")


def test_the_papers_settings():
    c = RECIPES["paper"]
    assert (c.lr, c.betas, c.cycle, c.identity, c.pool) == (2e-4, (0.5, 0.999), 10, 5, 50)
    assert (c.ngf, c.ndf, c.blocks, c.epochs, c.decay_epochs, c.batch) == (64, 64, 9, 200, 100, 1)
    assert (c.scale, c.stain, c.ema) == (1, 0, 0)


def test_rates_are_constant_then_fall_on_a_line_to_0():
    c = TrainConfig(epochs=4, decay_epochs=2)
    assert [c.rate(k / 8) for k in range(9)] == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]
    assert TrainConfig(decay_epochs=0).rate(0.99) == 1


def test_an_epoch_draws_each_image_as_often_as_any(pair):
    trainer = Trainer(pair, TINY.adjusted(steps=0), FLOAT)
    assert trainer.steps == 4
    source, target = next(iter(trainer.batches()))
    assert source.shape == target.shape == (1, 3, 32, 32)
    assert source.min() >= -1


def test_losses_are_those_of_least_squares_cycle_and_identity(pair, monkeypatch):
    trainer = Trainer(pair, TINY.adjusted(pool=0), FLOAT)
    a, b = torch.rand(1, 3, 32, 32) - 0.5, torch.rand(1, 3, 32, 32) - 0.5
    before = {k: v.clone() for k, v in trainer.generators.state_dict().items()}
    moved = {}
    monkeypatch.setattr(trainer, "update", lambda name, loss: moved.update({name: loss}))
    losses = trainer.step((a, b), 0)
    g, f = trainer.generators["forth"], trainer.generators["reverse"]
    ds, dt = trainer.judges["source_judge"], trainer.judges["target_judge"]
    with torch.no_grad():
        fake_b, fake_a = g(a), f(b)
        adversarial = (dt(fake_b) - 1).square().mean() + (ds(fake_a) - 1).square().mean()
        cycle = (f(fake_b) - a).abs().mean() + (g(fake_a) - b).abs().mean()
        identity = (g(b) - b).abs().mean() + (f(a) - a).abs().mean()
        judges = sum(
            ((d(real) - 1).square().mean() + d(fake).square().mean()) / 2
            for d, real, fake in ((ds, a, fake_a), (dt, b, fake_b))
        )
    expected = {"adversarial": adversarial, "cycle": cycle, "identity": identity, "judges": judges}
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-5)
    whole = adversarial + 10 * cycle + 5 * identity
    torch.testing.assert_close(moved["generators"].detach(), whole, rtol=1e-4, atol=1e-5)
    for name, value in trainer.generators.state_dict().items():
        assert torch.equal(value, before[name])


def test_generators_are_not_moved_by_the_discriminators_loss(pair):
    trainer = Trainer(pair, TINY, FLOAT)
    batch = next(iter(trainer.batches()))
    trainer.step(batch, 0)
    after = {k: v.clone() for k, v in trainer.generators.state_dict().items()}
    trainer.judges.requires_grad_(requires_grad=True)
    assert all(p.requires_grad for p in trainer.judges.parameters())
    trainer.optimisers["judges"].step()
    for name, value in trainer.generators.state_dict().items():
        assert torch.equal(value, after[name])


def test_history_holds_50_and_shows_an_earlier_image_half_the_time():
    torch.manual_seed(0)
    history = History(50)
    first = history.swapped(torch.arange(50.0).view(50, 1, 1, 1).expand(50, 3, 2, 2))
    assert first[:, 0, 0, 0].tolist() == list(range(50))
    shown = history.swapped(torch.arange(50.0, 450.0).view(400, 1, 1, 1).expand(400, 3, 2, 2))
    new = (shown[:, 0, 0, 0] == torch.arange(50.0, 450.0)).float().mean()
    assert 0.4 < new < 0.6
    assert len(history.images) == 50
    assert History(0).swapped(first) is first


def test_crops_are_turned_and_scaled_to_size():
    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, 60, 50), dtype=torch.uint8)
    for side in (32, 64):
        for _ in range(8):
            crop = _crop(image, side, 1.3)
            assert crop.shape == (3, side, side)
            assert crop.abs().max() <= 1.01


def test_varied_stain_leaves_glass_and_the_mean_alone():
    torch.manual_seed(0)
    glass = torch.full((64, 3, 1, 1), 240 / 127.5 - 1)
    torch.testing.assert_close(_varied(glass, 0.2), glass, atol=1e-4, rtol=0)
    image = torch.rand(4, 3, 8, 8) * 2 - 1
    assert _varied(image, 0) is image
    assert not torch.equal(_varied(image, 0.2), image)


def test_previews_show_the_same_patches_both_ways(pair, tmp_path):
    trainer = Trainer(pair, TINY, FLOAT)
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.previews.mkdir()
    list(trainer.train(run))
    files = sorted(run.previews.glob("*.png"))
    assert len(files) == TINY.epochs
    _, picture = trainer.preview()
    assert picture.shape == (6 * 32, 4 * 32, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize(
    ("source", "expected"),
    [("pas", PARTS), ("masson", ("reverse", "forth", "target_judge", "source_judge"))],
)
def test_a_training_begins_with_another_pair_the_right_way_round(pair, tmp_path, source, expected):
    folder = save_pair(tmp_path / "start", source="pas", target="masson")
    config = going_on(TINY.adjusted(ngf=8), start=str(folder))
    assert (config.ngf, config.ndf, config.blocks) == (4, 4, 2)
    trainer = Trainer(pair, config, FLOAT)
    begin(trainer, str(folder), source)
    model = VirtualStainModel.load(folder, "cpu")
    parts = trainer.parts()
    for mine, theirs in zip(PARTS, expected, strict=True):
        for name, value in getattr(model, theirs).state_dict().items():
            assert torch.equal(parts[mine][name], value)


def test_what_is_held_out_is_measured_and_said_on_the_card(pair, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.previews.mkdir()
    config = TINY.adjusted(epochs=1)
    stains = {"source_stain": "pas", "target_stain": "he"}
    *_, last = learn(pair, config, run, **stains, holdout=0.5, mpp=0.5, device="cpu")
    card = read_card(run.model)
    assert card.metrics["pas_to_he_ssim"].value == last.result.metrics["pas_to_he_ssim"].value
    assert "--source-stain pas --target-stain he" in card.measured_by
    assert "--holdout 0.5 --mpp 0.5" in card.measured_by
    assert (card.mpp, card.classes) == (0.5, ("he", "pas"))
    assert card.training_data[0].n_images == 4
