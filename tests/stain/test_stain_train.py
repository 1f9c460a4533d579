from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from stain_phantoms import two_stains

from napari_pathogan.engine import verbs
from napari_pathogan.engine.events import Checkpoint, Finished, Preview
from napari_pathogan.engine.models import read_card, zoo
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError, ModelError, TrainingDivergedError
from napari_pathogan.slides.geometry import Region
from napari_pathogan.tasks import task_of
from napari_pathogan.tasks.stain import train as training
from napari_pathogan.tasks.stain.data import StylePool
from napari_pathogan.tasks.stain.learn import learn
from napari_pathogan.tasks.stain.model import StyleModel
from napari_pathogan.tasks.stain.student import distil
from napari_pathogan.tasks.stain.train import train
from run_logs import logged


def last(events):
    *_, end = events
    assert isinstance(end, Finished)
    return end.result


def new_run(path) -> RunFolder:
    run = RunFolder(path)
    run.start({})
    return run


@pytest.mark.learning
def test_one_picture_is_learned(pool, tiny, run, seed, measured):
    config = replace(tiny, width=0.1, epochs=1, steps=40, batch=4, lightness=0, ema=0, seed=seed)
    one, first = pool.select([True] + [False] * 5), new_run(run.path / "first")
    list(train(one, replace(config, steps=1), first))
    list(train(one, replace(config, epochs=2, steps=25), run))
    (start,), (_, losses) = logged(first), logged(run)
    # .02 to .06: benchmarks/learning_spread.py, 5 seeds, AVX2 and AVX-512
    assert measured("colour", losses["colour"] / start["colour"]) < 0.3


@pytest.mark.learning
def test_a_killed_run_goes_on_to_the_same_weights(pool, tiny, tmp_path):
    whole = last(train(pool, tiny, new_run(tmp_path / "whole")))
    run = new_run(tmp_path / "cut")
    for event in train(pool, tiny, run):
        if isinstance(event, Checkpoint):
            break
    again = last(train(pool, tiny, run))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_previews_come_with_each_epoch(pool, tiny, run):
    paths = [e.path for e in train(pool, tiny, run) if isinstance(e, Preview)]
    assert len(paths) == tiny.epochs
    with Image.open(paths[0]) as picture:
        assert picture.size == (4 * 256, 512)


def test_without_class_loss_there_is_no_class_head(pool, tiny, tmp_path):
    with_head = last(train(pool, tiny, new_run(tmp_path / "a")))
    without = last(train(pool, replace(tiny, class_loss=0.0), new_run(tmp_path / "b")))
    assert with_head.classify is not None
    assert without.classify is None


def test_the_papers_optimiser(pool, tiny):
    trainer = training.Trainer(pool, replace(tiny, anneal=0.5), training.choose_device("cpu"))
    assert isinstance(trainer.optimisers["network"], torch.optim.Adadelta)
    group = trainer.optimisers["network"].param_groups[0]
    assert (group["lr"], group["rho"], group["eps"], group["weight_decay"]) == (1.0, 0.9, 1e-6, 0)
    assert [trainer.set_rates(p) for p in (0, 0.5, 0.75, 1.0)] == [1.0, 1.0, 0.5, 0.0]


def test_a_nan_stops_the_run_and_keeps_the_checkpoint(pool, tiny, run, monkeypatch):
    events = train(pool, tiny, run)
    assert any(isinstance(event, Checkpoint) for event in events)
    monkeypatch.setattr(training.F, "mse_loss", lambda a, _: a.sum() * torch.nan)
    with pytest.raises(TrainingDivergedError, match="last checkpoint stays"):
        list(train(pool, replace(tiny, epochs=9), run))
    assert run.checkpoint.exists()


@pytest.mark.learning
def test_a_style_is_learned_measured_and_loaded(pool, tiny, run, seed, measured):
    config = replace(tiny, seed=seed)
    style = last(learn(pool, config, run, holdout=0.3, mpp=0.5, name="mine"))
    card = read_card(run.model)
    assert card.mpp == 0.5
    assert measured("ssim", card.metrics["ssim_lightness"].value) > 0.9
    assert card.metrics["colour_error_lab"].value > 0
    assert card.metrics["baseline_colour_error_lab"].value > 0
    assert card.training_data[0].known("abcd") == set("abc")
    held = read_card(RunFolder(run.path / "held_out").model)
    assert len(held.training_data[0].patients) == 2
    image = two_stains(83)  # of a size that is no multiple of 8
    made = StyleModel.load(run.model, "cpu")(image)
    assert made.shape == image.shape
    assert (made == style(image)).all()
    assert measured("student", card.settings["student_error_lab"]) < 20


def test_the_command_on_a_card_gives_its_figures_again(tmp_path, monkeypatch, typed):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(4):
        Image.fromarray(two_stains(64, number)).save(images / f"{'abcd'[number]}_1.png")
    monkeypatch.chdir(tmp_path)
    said = "pathogan stain train images -o first --recipe quick --epochs 1 --seed 4 --width 0.1 "
    said += "--set steps=2 --set batch=1 --set crop=48 --holdout 0.4 --mpp 0.5 --device cpu"
    for run in ("first", "second"):
        typed(*shlex.split(said)[1:])
        card = read_card(tmp_path / run / "model")
        said, _, _ = card.measured_by.partition(": ")
        said = said.replace("IMAGES", "images").replace("RUN", "second") + " --device cpu"
    assert card.metrics == read_card(tmp_path / "first" / "model").metrics != {}


def test_glass_stays_as_it_is(pool, tiny, run):
    style = last(learn(pool, tiny, run, holdout=0))
    white = np.full((64, 64, 3), 250, np.uint8)
    assert np.abs(style(white).astype(int) - white).max() <= 2


def test_a_card_for_another_task_is_refused():
    with pytest.raises(ModelError, match="choose another model"):
        StyleModel.load(zoo() / "idc-cgan")


def test_the_student_of_a_pixelwise_teacher_knows_it_all():
    tiles = [two_stains(64, seed) for seed in range(5)]
    teacher = [np.dstack([t[..., 0] / 10.0, -t[..., 2] / 8.0]).astype(np.float32) for t in tiles]
    lut, error = distil(tiles, teacher)
    assert error < 1.0
    again, same = distil(tiles, teacher)
    assert same == error
    assert (again.table == lut.table).all()


def test_pools_by_folder(tmp_path):
    for name in ("x/a_1.png", "x/b_1.png", "y/a_2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(two_stains(96)).save(tmp_path / name)
    Image.fromarray(np.full((96, 96, 3), 250, np.uint8)).save(tmp_path / "y/white_1.png")
    Image.fromarray(np.zeros((96, 96), np.uint8)).save(tmp_path / "y/grey_1.png")
    (tmp_path / "y/broken_1.png").write_bytes(b"no image")
    pool = StylePool.read(tmp_path)
    assert pool.classes == ("x", "y")
    assert pool.labels == (0, 0, 1)
    assert pool.patients == ("a", "b", "a")
    assert len(pool.skipped) == 3
    assert any("grey" in s for s in pool.skipped)
    rest, out = pool.split(0.5, 0)
    assert not set(rest.patients) & set(out.patients)


def test_pools_with_a_folder_for_each_patient(tmp_path):
    for name in ("8863/0/8863_idx5_1.png", "8863/1/8863_idx5_2.png", "9000/1/other.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(two_stains(50)).save(tmp_path / name)
    pool = StylePool.read(tmp_path)
    assert pool.classes == ("0", "1")
    assert pool.labels == (0, 1, 1)
    assert pool.patients == ("8863", "8863", "9000")
    assert [image.shape for image in pool.images] == [(50, 50, 3)] * 3


def test_small_pictures_are_mirrored_to_the_size_that_is_learned_from():
    small = torch.arange(3 * 50 * 52, dtype=torch.float32).reshape(3, 50, 52)
    part = training._crop(small, 224)
    assert part.shape == (3, 224, 224)
    assert set(part[0].unique().tolist()) <= set(small[0].unique().tolist())


def test_the_class_head_is_measured_on_patients_held_out(pool, tiny, tmp_path):
    style = last(learn(pool, tiny, new_run(tmp_path / "a"), holdout=0.3))
    assert 0 <= style.card.metrics["class_accuracy"].value <= 1
    assert style.tissue_class(pool.images[0]) in {0, 1}
    plain = last(learn(pool, replace(tiny, class_loss=0.0), new_run(tmp_path / "b"), holdout=0.3))
    assert "class_accuracy" not in plain.card.metrics
    with pytest.raises(ModelError, match="no class head"):
        plain.tissue_class(pool.images[0])


def test_a_style_is_learnt_from_a_part_of_a_slide_as_it_is_typed(tmp_path):
    slide = tmp_path / "case.tif"
    tifffile.imwrite(slide, two_stains(400), photometric="rgb", tile=(128, 128))
    few = ("epochs=1", "width=0.1", "steps=2", "batch=1", "crop=64")
    more = {"recipe": "quick", "settings": few, "holdout": 0.0, "mpp": 0.5, "device": "cpu"}
    part = Region(10, 20, 200, 300)
    end = list(verbs.train(task_of("stain"), slide, tmp_path / "run", region=part, **more))[-1]
    (learnt,) = end.result.card.training_data
    assert (learnt.n_images, len(learnt.patients), len(learnt.images)) == (1, 1, 1)
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert kept["region"] == {"y": 10, "x": 20, "height": 200, "width": 300}
    again = verbs.train(task_of("stain"), slide, tmp_path / "run", region=part, resume=True, **more)
    assert isinstance(list(again)[-1], Finished)
    with pytest.raises(DataFolderError, match="a region is of a slide"):
        list(verbs.train(task_of("stain"), tmp_path, tmp_path / "other", region=part, **more))
    assert not (tmp_path / "other").exists()


def test_a_pool_without_images(tmp_path):
    with pytest.raises(DataFolderError, match="no colour image"):
        StylePool.read(tmp_path)
    with pytest.raises(DataFolderError, match="not a folder"):
        StylePool.read(tmp_path / "nowhere")


def test_one_patient_can_not_be_held_out(pool, tiny, run):
    alone = pool.select([p == "a" for p in pool.patients])
    with pytest.raises(DataFolderError, match="holdout 0"):
        list(learn(alone, tiny, run, holdout=0.25))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_run_that_can_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="no permission"):
        RunFolder(tmp_path / "run").start({})
