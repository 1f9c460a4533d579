"""Training: recipes, events, stopped and resumed, patient folds, what goes wrong."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import Device
from napari_pathogan.engine.events import Checkpoint, Finished, Metrics, Progress, Warn
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.models import CARD, read_card
from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.engine.pixels import as_input
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError, ModelError, TrainingDivergedError
from napari_pathogan.tasks.nuclei import before_after, crossval, reference, starts
from napari_pathogan.tasks.nuclei.augment import Augment
from napari_pathogan.tasks.nuclei.config import RECIPES, TrainConfig
from napari_pathogan.tasks.nuclei.crossval import THRESHOLDS, best_threshold, learn
from napari_pathogan.tasks.nuclei.evaluate import evaluate
from napari_pathogan.tasks.nuclei.model import NucleiModel
from napari_pathogan.tasks.nuclei.train import Trainer, train
from run_logs import logged

CPU = Device("cpu", torch.float32)
TINY = replace(RECIPES["quick"], width=2, crop=32, epochs=2, batch=8)


def start(folder, config=TINY):
    run = RunFolder(folder)
    run.start(config.to_json(), resume=True)
    return run


def test_the_defaults_are_the_papers():
    config = TrainConfig()
    assert (config.width, config.crop, config.lr, config.dice) == (32, 144, 1e-4, 0)
    assert config.augment == Augment()
    assert [config.lr * config.rate(p) for p in (0, 0.5, 1)] == [1e-4] * 3


def test_quick_goes_up_and_then_down_to_zero():
    config = replace(RECIPES["quick"], lr=1e-3)
    got = [config.lr * config.rate(p) for p in (0, 0.1, 0.2, 0.6, 1)]
    assert got == pytest.approx([4e-5, 5.2e-4, 1e-3, 5e-4, 0])


def test_an_epoch_shows_as_many_pixels_as_there_are(folder):
    trainer = Trainer(folder, TINY, CPU)
    assert trainer.steps == round(6 * 96**2 / (8 * 32**2))
    batches = torch.stack(list(trainer.batches()))
    assert batches.shape == (trainer.steps, 8)
    assert np.ptp(np.bincount(batches.flatten().numpy(), minlength=6)) <= 1


def test_crops_lie_on_nuclei_as_often_as_asked(folder):
    for share in (0.0, 1.0):
        trainer = Trainer(folder, replace(TINY, on_nuclei=share, augment=Augment()), CPU)
        torch.manual_seed(0)
        _, labels = trainer.draw(torch.zeros(60, dtype=torch.long))
        centred = (labels[:, 15:17, 15:17] > 0).flatten(1).any(1).float().mean()
        assert centred > 0.9 if share else centred < 0.6


def test_events_of_a_run(tmp_path, folder):
    run = start(tmp_path)
    events = list(train(folder, TINY, run))
    steps = [e for e in events if isinstance(e, Progress)]
    assert [e.done for e in steps] == list(range(1, 15))
    assert [e.step for e in events if isinstance(e, Metrics)] == [1, 2]
    assert sum(isinstance(e, Checkpoint) for e in events) == 2
    assert isinstance(events[-1], Finished)
    assert [set(epoch) for epoch in logged(run)] == [{"label", "dice", "lr", "step"}] * 2


@pytest.mark.learning
def test_stopped_and_resumed_is_the_same_as_never_stopped(tmp_path, folder):
    whole = list(train(folder, TINY, start(tmp_path / "whole")))[-1].result
    run = start(tmp_path / "halves")
    for event in train(folder, TINY, run):
        if isinstance(event, Progress) and event.done == 10:  # amid the last epoch
            break
    torch.rand(100)  # whatever else happens to draw
    events = list(train(folder, TINY, run))
    assert isinstance(events[0], Warn)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, events[-1].result.state_dict()[name]), name


def test_a_training_begins_with_anothers_weights(tmp_path, folder):
    run = start(tmp_path / "a")
    first = list(train(folder, TINY, run))[-1].result
    still = replace(TINY, lr=0.0, epochs=1, ema=0.0, weight_decay=0.0)
    again = list(train(folder, still, start(tmp_path / "b", still), start=run.checkpoint))[
        -1
    ].result
    assert torch.allclose(first.head.weight, again.head.weight)


def test_a_nan_loss_stops_and_the_checkpoint_stays(tmp_path, folder):
    run = start(tmp_path)
    events = train(folder, TINY, run)
    for event in events:
        if isinstance(event, Checkpoint):
            break
    events.close()
    with pytest.raises(TrainingDivergedError, match="epoch 2: the label loss is"):
        list(train(folder, replace(TINY, boundary=1e39), run))
    list(train(folder, TINY, run))


@pytest.mark.learning
def test_cross_validation_ends_with_a_model(tmp_path, folder, seed, measured):
    run = start(tmp_path / "run")
    config = replace(TINY, width=4, epochs=8, lr=1e-2, common_epochs=1, final_epochs=9, views=2)
    config = replace(config, seed=seed)
    events = list(learn(folder, config, run, folds=3, name="tiny"))
    progress = [e.done for e in events if isinstance(e, Progress)]
    assert progress[-1] == 4000
    report = events[-1].result
    assert report.counts["n_patients"] == 3
    assert measured("dice", report.metrics["dice"].value) > 0.8  # nuclei are easy to see here
    assert report.metrics["aji"].value is not None
    model = NucleiModel.load(run.path, device="cpu")
    assert model.card.name == "tiny"
    assert model.card.training_data[0].known([*folder.names, "p3"]) == set(folder.names)
    assert model.card.metrics["dice"].value == report.metrics["dice"].value
    assert 0.2 <= model.threshold <= 0.8
    assert model.views == 2
    assert NucleiModel.load(run.path, device="cpu", views=1).views == 1
    own = evaluate(folder, model, rounds=20)
    assert measured("own_dice", own.metrics["dice"].value) > 0.8
    assert any("trained on 3 of these 3" in note for note in own.notes)
    rows = list(csv.DictReader((run.path / "patients.csv").open()))
    assert [row["patient"] for row in rows] == [pseudonym(name) for name in folder.names]
    assert json.loads((run.path / "report.json").read_text())["n_images"] == 6


def test_no_fold_learns_from_its_own_patients(tmp_path, folder, monkeypatch):
    learnt = []

    def spy(part, config, run, **options):
        learnt.append((run.path.parent.name, run.path.name, set(part.names), options["start"]))
        run.checkpoint.touch()
        yield Finished(Trainer(part, config, CPU).trained())

    for module in (crossval, starts):
        monkeypatch.setattr(module, "train", lambda *a, start=None, **k: spy(*a, start=start, **k))
    config = replace(TINY, common_epochs=1)
    list(learn(folder, config, start(tmp_path / "run"), folds=3))
    common = {name: names for kind, name, names, _ in learnt if kind == "common"}
    folds = [(names, begin) for kind, _, names, begin in learnt if kind == "folds"]
    assert len(common) == 2
    assert len(folds) == 3
    everyone = set(folder.names)
    for names, begin in folds:
        (tested,) = everyone - names
        assert tested not in common[begin.parent.name]
    assert learnt[-1][2] == everyone


def test_an_earlier_run_is_gone_on_from_fold_by_fold(tmp_path, folder, monkeypatch):
    first = start(tmp_path / "first")
    list(learn(folder, replace(TINY, epochs=1), first, folds=3))
    begun = []
    real = crossval.train

    def spy(part, *arguments, start=None, **options):
        begun.append((set(part.names), start))
        return real(part, *arguments, start=start, **options)

    monkeypatch.setattr(crossval, "train", spy)
    second = start(tmp_path / "second")
    list(learn(folder, replace(TINY, epochs=1), second, folds=3, start=str(first.path)))
    tested = json.loads((first.path / "folds.json").read_text())
    for names, checkpoint in begun[:3]:
        (out,) = set(folder.names) - names
        assert (
            checkpoint
            == first.path / "folds" / str(tested[pseudonym(out)]) / "checkpoint.safetensors"
        )
    assert begun[3] == (set(folder.names), first.checkpoint)


def test_only_a_finished_run_of_the_same_folds_can_be_gone_on_from(tmp_path, folder):
    first = start(tmp_path / "first")
    run = start(tmp_path / "run")

    def learn_on(config=TINY, part=folder, folds=3):
        list(learn(part, config, run, folds=folds, start=str(first.path)))

    with pytest.raises(DataFolderError, match="other patient folds"):
        learn_on()  # it has none
    list(learn(folder, replace(TINY, epochs=1), first, folds=3))
    with pytest.raises(SettingError, match="U-Net of width 2, squares 2"):
        learn_on(replace(TINY, width=4))
    with pytest.raises(DataFolderError, match="other patient folds"):
        learn_on(part=folder.take(folder.patients != "p1"), folds=2)
    first.checkpoint.unlink()
    with pytest.raises(DataFolderError, match=r"checkpoint\.safetensors is missing"):
        learn_on()


def test_a_model_is_gone_on_from_with_new_images(tmp_path, folder):
    first = start(tmp_path / "first")
    old, new = folder.take(folder.patients != "p2"), folder.take(folder.patients == "p2")
    list(learn(old, replace(TINY, normalise=0.6, views=3), first))
    before = NucleiModel.load(first.model, device="cpu")
    still = replace(TINY, lr=0.0, weight_decay=0.0)
    list(learn(new, still, start(tmp_path / "still"), start=str(first.model)))
    same = NucleiModel.load(tmp_path / "still", device="cpu")
    assert torch.allclose(same.network.head.weight, before.network.head.weight)
    assert same.threshold == before.threshold
    assert same.share == before.share == 0.6
    assert same.views == before.views == 3
    assert np.allclose(same.reference.mean, old.reference().mean, atol=1e-5)
    assert [d.known(folder.names) for d in same.card.training_data] == [{"p0", "p1"}, {"p2"}]
    assert "3 patients" in same.card.title
    list(learn(new, TINY, start(tmp_path / "on"), start=str(first.model)))
    on = NucleiModel.load(tmp_path / "on", device="cpu")
    assert not torch.allclose(on.network.head.weight, before.network.head.weight)
    with pytest.raises(DataFolderError, match="may know patients of these folds"):
        list(learn(folder, TINY, start(tmp_path / "folds"), folds=3, start=str(first.model)))


def test_what_a_model_gains_is_measured_on_halves_it_did_not_learn_from(
    tmp_path, folder, monkeypatch
):
    first = start(tmp_path / "first")
    list(learn(folder.take(folder.patients == "p0"), TINY, first))
    rest = folder.take(folder.patients != "p0")
    learnt, tested = [], []
    real_train, real_predicted = before_after.train, before_after.predicted_images

    def train_spy(part, *arguments, **options):
        learnt.append(set(part.names))
        return real_train(part, *arguments, **options)

    def predicted_spy(part, tried):
        tested.append(set(part.names))
        return real_predicted(part, tried)

    monkeypatch.setattr(before_after, "train", train_spy)
    monkeypatch.setattr(before_after, "predicted_images", predicted_spy)
    run = start(tmp_path / "on")
    *_, done = learn(rest, TINY, run, start=str(first.model), compare=True, device="cpu")
    assert sorted(learnt, key=min) == [{"p1"}, {"p2"}]
    for half in range(2):
        log = (run.path / "held_back" / str(half) / "metrics.jsonl").read_text().splitlines()
        told = [json.loads(line)["values"]["held_out_dice"] for line in log]
        assert len(told) == TINY.epochs
        assert all(0 <= one <= 1 for one in told)
        pictures = sorted((run.path / "held_back" / str(half) / "previews").iterdir())
        assert len(pictures) == TINY.epochs
        assert Image.open(pictures[0]).width == 2 * Image.open(pictures[0]).height
    assert [tested[0], tested[2]] == [tested[1], tested[3]] == learnt[::-1]
    told = done.summary["before_and_after"]
    assert told["dice_gain"]["value"] == pytest.approx(
        told["dice_after"]["value"] - told["dice_before"]["value"]
    )
    own = evaluate(rest, NucleiModel.load(first.model, "cpu"), rounds=0).metrics
    assert told["dice_before"]["value"] == pytest.approx(own["dice"].value)
    assert json.loads((run.path / "before_and_after.json").read_text()) == told
    card = read_card(run.model)
    assert card.metrics["dice_after"].value == pytest.approx(told["dice_after"]["value"])
    assert "--compare" in card.measured_by
    old, new = (NucleiModel.load(one, "cpu") for one in (first.model, run.model))
    again = reference.forgotten(old, new)["reference_dice_after"].value
    assert told["reference_dice_after"]["value"] == pytest.approx(again, abs=0.01)
    assert card.recipe["parent"] == "first"
    assert card.recipe["parent_sha256"] == read_card(first.model).sha256
    assert card.recipe["annotations_sha256"] == rest.digest != folder.digest


def test_going_on_is_gentle_and_takes_enough_steps(tmp_path, folder):
    first = start(tmp_path / "first")
    list(learn(folder, TINY, first))
    config = starts.begun(RECIPES["quick"], start=str(first.model))
    assert config.width == 2
    assert (config.augment.mix, config.augment.degrade) == (0, 0)
    assert config.augment.scale < RECIPES["quick"].augment.scale
    assert config.augment.turns
    trainer = Trainer(folder.take(np.arange(1)), config, CPU)
    assert trainer.steps == config.least_steps > 96**2 / (config.crop**2 * config.batch)
    plain = starts.begun(RECIPES["quick"])
    assert plain == RECIPES["quick"]
    on = starts.begun(RECIPES["quick"], start=str(first.path))  # a run, fold by fold, as it was
    assert on.augment == RECIPES["quick"].augment


def test_a_model_learns_on_in_the_colours_that_it_sees(tmp_path, folder, monkeypatch):
    first = start(tmp_path / "first")
    list(learn(folder.take(folder.patients == "p0"), replace(TINY, normalise=0.6), first))
    rest = folder.take(folder.patients != "p0")
    learnt = []
    for module in (crossval, before_after):
        real = module.train

        def spy(part, *arguments, real=real, **options):
            learnt.append(part)
            return real(part, *arguments, **options)

        monkeypatch.setattr(module, "train", spy)
    config = replace(TINY, epochs=1, normalise=0.6)
    list(learn(rest, config, start(tmp_path / "on"), start=str(first.model), compare=True))
    seen = []
    monkeypatch.setattr(
        "napari_pathogan.tasks.nuclei.model.probability",
        lambda _, images, device, recolour, views: seen.append(
            as_input(torch.tensor(images), recolour)
        ),
    )
    model = NucleiModel.load(first.model, "cpu")
    for image in rest.images:
        own = [one.pixels for one in rest.images if one.patient == image.patient]
        model.in_colours_of(np.stack(own)).probability(image.pixels[None])
    expected = {image.name: x[0] for image, x in zip(rest.images, seen, strict=True)}
    assert len(learnt) == 3
    for part in learnt:
        for image in part.images:
            pixels = torch.tensor(image.pixels).permute(2, 0, 1) * (2 / 255) - 1
            torch.testing.assert_close(pixels, expected[image.name], atol=1 / 127, rtol=0)
    shift = np.abs(rest.images[0].pixels / 1.0 - learnt[-1].images[0].pixels).mean()
    assert shift > 1, "these colours are others"


def test_of_one_slide_regions_are_held_back_and_one_region_is_not_measured(tmp_path, folder):
    first = start(tmp_path / "first")
    list(learn(folder.take(folder.patients == "p0"), TINY, first))
    slide = folder.take(folder.patients == "p1")
    config = replace(TINY, epochs=1)
    *_, done = learn(slide, config, start(tmp_path / "a"), start=str(first.model), compare=True)
    assert "dice_gain" in done.result.metrics
    assert "regions of one patient" in done.result.notes[0]
    region = slide.take(np.arange(1))
    *_, done = learn(region, config, start(tmp_path / "b"), start=str(first.model), compare=True)
    forgotten = {f"reference_{what}" for what in ("dice", "pq")}
    assert {name.rpartition("_")[0] for name in done.result.metrics} == forgotten
    assert "two regions" in done.result.notes[0]
    assert "drawn tiles" in done.result.notes[-1]
    measured = read_card(tmp_path / "b" / "model").measured_by
    assert measured.endswith("before and after on drawn tiles")


def test_a_stopped_cross_validation_is_not_tested_again(tmp_path, folder, monkeypatch):
    run = start(tmp_path / "run")
    whole = list(learn(folder, TINY, run, folds=3))[-1].result
    monkeypatch.setattr(crossval, "_test", None)  # would fail if it were called
    again = list(learn(folder, TINY, run, folds=3))[-1].result
    assert again == whole


def test_one_patient_can_not_be_cross_validated_but_learnt(tmp_path, folder):
    one = folder.take(folder.patients == "p0")
    with pytest.raises(DataFolderError, match="by patient"):
        list(learn(one, TINY, start(tmp_path / "a"), folds=2))
    *_, last = learn(one, replace(TINY, epochs=1), start(tmp_path / "b"))
    assert last.result is None
    card = NucleiModel.load(tmp_path / "b").card
    assert (card.metrics, card.measured_by, card.operating_point) == ({}, "", 0.5)


def test_crops_must_halve_four_times(tmp_path, folder):
    with pytest.raises(SettingError, match="crop=100 is no multiple of 32"):
        list(learn(folder, replace(TINY, crop=100), start(tmp_path)))


def test_the_best_threshold_is_between_too_little_and_too_much():
    right, more, less = [40, 0, 0, 60], [40, 20, 0, 40], [10, 0, 30, 60]
    rows = [more] * 4 + [right] + [less] * (len(THRESHOLDS) - 5)
    assert best_threshold(np.array([rows, rows])) == THRESHOLDS[4]


def test_each_fold_is_cut_where_the_others_say(tmp_path, folder):
    """Patient p2 is found from .55 on at the best, the others from .35 on."""
    best = {"p0": 0.35, "p1": 0.35, "p2": 0.55}
    found = {}
    for image in folder.images:
        nucleus = ndimage.binary_dilation(image.mask > 0, iterations=3)  # too much below the best
        foreground = np.where(nucleus, best[image.patient] - 0.02, 0.0)
        foreground[image.mask > 0] = best[image.patient] + 0.02  # nothing above it
        planes = np.stack([1 - foreground, foreground, 0 * foreground])
        found[image.name] = (planes * 255).round().astype(np.uint8)
    fold = patient_folds(folder.patients, 3)
    threshold, report = crossval._calibrated(folder, fold, found, start(tmp_path))
    assert threshold == 0.35
    rows = {r["patient"]: r for r in csv.DictReader((tmp_path / "patients.csv").open())}
    assert float(rows[pseudonym("p0")]["dice"]) == 1  # cut at .35, by p1 and p2 together
    assert (
        float(rows[pseudonym("p2")]["dice"]) < 0.9
    )  # cut at .35 too: its own optimum is not looked at
    assert report.metrics["dice"].value < 1


@pytest.mark.parametrize(
    ("change", "why"),
    [({"task": "idc"}, "for 'idc'"), ({"architecture": "resnet"}, "'resnet', unknown"),
     ({"settings": {}}, "does not fit"), ({"arguments": {"width": 3}}, "does not fit")],
)  # fmt: skip
def test_cards_that_do_not_fit(tmp_path, folder, change, why):
    run = start(tmp_path / "run")
    list(learn(folder, replace(TINY, epochs=1), run))
    card = read_card(run.model).model_copy(update=change)
    (run.model / CARD).write_text(card.model_dump_json())
    with pytest.raises(ModelError, match=why):
        NucleiModel.load(run.path)
