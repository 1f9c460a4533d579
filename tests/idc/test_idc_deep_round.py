"""A deep round on annotated slides: what learns, what is measured, how it stops and goes on."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from shapely.geometry import Polygon

from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Finished, Metrics, Preview
from napari_pathogan.engine.models import read_card
from napari_pathogan.engine.verbs import retrain
from napari_pathogan.errors import (
    DataFolderError,
    OutputError,
    SlideFormatError,
    TrainingDivergedError,
)
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks import task_of
from napari_pathogan.tasks.idc import learn_on, live
from napari_pathogan.tasks.idc.heatmap import KEPT
from napari_pathogan.tasks.idc.model import IdcModel

SIDE, MPP = 800, 2.0  # px: 8 x 8 patches
FEW = ("epochs=2", "steps=2", "batch=16")


def square(name, x, y, side=200):
    corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
    return Annotation(Polygon(corners), class_name=name)


BOTH = [
    square("healthy", 0, 0), square("healthy", 0, 600),
    square("IDC", 600, 0), square("IDC", 600, 600),
]  # fmt: skip


@pytest.fixture
def path(tmp_path):
    """An annotated slide whose left half is dark and whose right half is pale."""
    rng = np.random.default_rng(0)
    image = np.empty((SIDE, SIDE, 3))
    image[:, : SIDE // 2], image[:, SIDE // 2 :] = (150, 90, 160), (225, 170, 200)
    image += rng.normal(0, 12, (SIDE, SIDE, 1))
    made = tmp_path / "case.tif"
    tifffile.imwrite(
        made, image.clip(0, 250).astype(np.uint8), photometric="rgb", tile=(128, 128),
        resolution=(1e4 / MPP, 1e4 / MPP), resolutionunit="CENTIMETER",
    )  # fmt: skip
    with Slide.open(made) as slide:
        live.write(slide, BOTH)
    return made


def deep(path, output, settings=FEW, **more):
    return retrain(
        task_of("idc"), [path], output, device="cpu", deep=True, settings=settings, **more
    )


def weights(folder):
    return (folder / "model" / "weights.safetensors").read_bytes()


def test_all_layers_learn_and_what_is_gained_and_forgotten_is_measured(path, tmp_path):
    *events, finished = deep(path, tmp_path / "run", name="mine")
    assert isinstance(finished, Finished)
    metrics = finished.result.metrics
    assert {"held_back_auc_before", "held_back_auc_after", "generated_auc_gain"} <= metrics.keys()
    assert finished.summary["before_and_after"]["held_back_auc_gain"]["value"] is not None
    held = [
        one.values for one in events if isinstance(one, Metrics) and "held_out_auc" in one.values
    ]
    assert len(held) == 4, "an epoch of each half"
    assert all({"annotated", "other", "generated"} <= one.keys() for one in held)
    pictures = [one for one in events if isinstance(one, Preview)]
    assert len(pictures) == 6
    assert pictures[0].image.shape == (100, 400, 3)
    old, new = IdcModel.load("idc-lite0", "cpu"), IdcModel.load(tmp_path / "run", "cpu")
    card = read_card(tmp_path / "run" / "model")
    assert (card.name, card.recipe["parent"], card.recipe["method"]) == (
        "mine",
        "idc-lite0",
        "deep round",
    )
    before, after = (dict(one.network.student.named_parameters()) for one in (old, new))
    for name, weight in before.items():
        if not name.startswith("real."):
            assert not torch.equal(weight, after[name]), f"{name} has not learnt"
    assert new.network.past is not None, "it can be refitted again"
    assert new.fast is not None, "the small network knows of the annotations"
    assert (old.refitted, new.refitted, new.fast.refitted) == ("", KEPT, KEPT)
    assert (IdcModel.load("idc-lite0", "cpu").card.sha256) == old.card.sha256


def test_what_was_cancelled_goes_on_to_the_same_weights(path, tmp_path):
    list(deep(path, tmp_path / "whole"))
    events = deep(path, tmp_path / "part")
    seen = 0
    for event in events:
        seen += isinstance(event, Metrics)
        if seen == 3:  # in the second half
            break
    events.close()
    assert not (tmp_path / "part" / "model").exists()
    with pytest.raises(OutputError, match="--resume"):
        list(deep(path, tmp_path / "part"))
    *_, finished = deep(path, tmp_path / "part", resume=True)
    assert weights(tmp_path / "part") == weights(tmp_path / "whole")
    assert finished.result.metrics.keys()


@pytest.mark.parametrize(
    "fault",
    [
        "nan",
        "one class",
        "bare head",
        "setting",
        "shallow setting",
        "disk",
        "memory",
        "deleted",
    ],
)
def test_what_can_not_be_learnt_is_said_and_the_old_model_stays(path, tmp_path, fault, monkeypatch):
    before, kept = read_card(_zoo()).sha256, path.with_name("case.tif.idc.geojson").read_bytes()  # fmt: skip
    run, more, error, words = tmp_path / "run", {}, SettingError, "epochs"
    if fault == "nan":
        error, words = TrainingDivergedError, "diverged"
        step = learn_on.Trainer.step
        monkeypatch.setattr(
            learn_on.Trainer, "step", lambda *a: {k: v * np.nan for k, v in step(*a).items()}
        )
    elif fault == "one class":
        error, words = DataFolderError, "no patch is annotated as healthy"
        with Slide.open(path) as slide:
            live.write(slide, BOTH[2:])
        kept = path.with_name("case.tif.idc.geojson").read_bytes()
    elif fault == "bare head":
        load = IdcModel.load
        monkeypatch.setattr(IdcModel, "load", lambda *a: _bare(load(*a)))
        error, words = ValueError, "no network that could learn on"
    elif fault == "disk":
        error, words = OutputError, "the disk is full"
        monkeypatch.setattr("napari_pathogan.files.os.fsync", _full)
    elif fault == "memory":
        error, words = MemoryError, None
        monkeypatch.setattr(learn_on.Trainer, "step", _out_of_memory)
    elif fault == "setting":
        more = {"settings": ("epochs=0",)}
    else:
        more, words = {"settings": ("epochs=2",)}, "--deep"
    events = deep(path, run, **more)
    if fault == "shallow setting":
        events = retrain(task_of("idc"), [path], run, device="cpu", **more)
    if fault == "deleted":
        error, words = SlideFormatError, r"case\.tif"
        next(events)
        path.unlink()
    with pytest.raises(error, match=words):
        list(events)
    assert not (run / "model").exists()
    assert read_card(_zoo()).sha256 == before
    assert path.with_name("case.tif.idc.geojson").read_bytes() == kept


def _zoo():
    from napari_pathogan.engine.models import locate

    return locate("idc-lite0", "idc")


def _full(*_args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _out_of_memory(*_args):
    raise MemoryError


def _bare(model):
    network = model.network
    network.student = None
    return replace(model, network=network, by_student=None)


def test_a_single_outline_of_a_class_is_learnt_from_though_nothing_is_measured(path, tmp_path):
    with Slide.open(path) as slide:
        live.write(slide, BOTH[1:3])
    *_, finished = deep(path, tmp_path / "run")
    assert "held_back_auc_gain" not in finished.result.metrics
    assert any("two outlines of each class" in note for note in finished.result.notes)
    assert (tmp_path / "run" / "model").is_dir()


def test_probabilities_stay_on_their_scale(path, tmp_path):
    *_, _ = deep(path, tmp_path / "run")
    model = IdcModel.load("idc-lite0", "cpu")
    with Slide.open(path) as slide:
        looking = live.Looking(live.look(slide, model))
        list(looking)
        head = live.refitted(model, [live.part_of(looking.seen, live.annotated(slide, BOTH))])
        new = IdcModel.load(tmp_path / "run", "cpu")
        again = live.Looking(live.look(slide, new))
        list(again)
        one, two = (
            x.map(slide, m).probability.data for x, m in ((looking.seen, head), (again.seen, new))
        )
        small = live.Looking(live.look(slide, new.fast))
        list(small)
        three = small.seen.map(slide, new.fast).probability.data
    assert abs(np.nanmean(one) - np.nanmean(two)) < 0.1
    assert abs(np.nanmean(one) - np.nanmean(three)) < 0.15
    assert json.loads((tmp_path / "run" / "before_and_after.json").read_text())


def test_a_network_without_a_frozen_trunk_learns_on(path, tmp_path):
    *_, finished = deep(path, tmp_path / "run", base="idc-cgan")
    assert finished.result.metrics["held_back_auc_after"].value is not None
    old, new = IdcModel.load("idc-cgan", "cpu"), IdcModel.load(tmp_path / "run", "cpu")
    assert not torch.equal(old.network.trunk[0].weight, new.network.trunk[0].weight)
    assert new.calibration == old.calibration


def test_two_slides_of_different_scales_teach_one_network(path, tmp_path):
    other = tmp_path / "coarse.tif"
    pixels = tifffile.imread(path)[::2, ::2]
    tifffile.imwrite(
        other, pixels, photometric="rgb", tile=(128, 128),
        resolution=(2500, 2500), resolutionunit="CENTIMETER",
    )  # fmt: skip
    with Slide.open(other) as slide:
        live.write(slide, [square("healthy", 0, 0, 100), square("IDC", 300, 300, 100)])
    events = retrain(
        task_of("idc"), [path, other], tmp_path / "run", device="cpu", deep=True, settings=FEW
    )
    *_, finished = events
    assert finished.result.counts == {"n_healthy": 12, "n_IDC": 12}
