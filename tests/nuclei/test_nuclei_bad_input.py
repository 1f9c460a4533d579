"""Retraining on corrected nuclei when something is wrong: a sentence; old model and annotations stay."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_pathogan.engine.events import Finished
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.engine.verbs import retrain
from napari_pathogan.errors import (
    DataFolderError,
    OutputError,
    SlideFormatError,
    TrainingDivergedError,
)
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks import task_of
from napari_pathogan.tasks.nuclei import retrain as retraining
from napari_pathogan.tasks.nuclei.config import RECIPES
from napari_pathogan.tasks.nuclei.crossval import learn
from napari_pathogan.tasks.nuclei.data import NucleiFolder, NucleiImage, read_training_folder
from napari_pathogan.tasks.nuclei.train import Trainer

SIDE = 200  # px
PLACES = [(20, 20), (20, 60), (60, 20), (120, 120), (120, 160), (160, 120)]  # y, x of nuclei


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The smallest nucleus model."""
    pixels = np.random.default_rng(0).integers(80, 250, (64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.int32)
    mask[20:40, 20:40] = 1
    config = replace(RECIPES["quick"], width=2, crop=32, epochs=1, batch=2)
    run = RunFolder(tmp_path_factory.mktemp("base") / "small")
    run.start(config.to_json())
    list(learn(NucleiFolder((NucleiImage("a_1", "a", pixels, mask),)), config, run, device="cpu"))
    return run.model


def outline(name, corners):
    ring = [[x, y] for y, x in (*corners, corners[0])]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": name}},
    }


def square(name, y, x, side):
    return outline(name, [(y, x), (y, x + side), (y + side, x + side), (y + side, x)])


def corrected(path, *more, mpp=0.25):
    """A slide with six nuclei, all marked, as QuPath's outlines."""
    image = np.full((SIDE, SIDE, 3), (222, 150, 190), np.uint8)
    for y, x in PLACES:
        image[y : y + 14, x : x + 14] = (120, 70, 150)
    per_cm = 1e4 / mpp
    tifffile.imwrite(
        path, image, photometric="rgb", tile=(64, 64), resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
    )  # fmt: skip
    features = [square("Region*", 0, 0, 100), square("Region*", 100, 100, 100), *more]
    features += [square("Tumor", y, x, 14) for y, x in PLACES]
    drawn = path.with_suffix(".json")
    drawn.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with Slide.open(path) as slide:
        outlines, _ = retraining.read(slide, drawn)
        retraining.write(slide, outlines)
    drawn.unlink()
    return kept(path)


def kept(path):
    return path.with_name(f"{path.name}.nuclei.geojson")


@pytest.fixture
def slides(tmp_path):
    """Two, the second half as fine."""
    folder = tmp_path / "slides"
    folder.mkdir()
    corrected(folder / "one.tif")
    corrected(folder / "two.tif", mpp=0.5)
    return [folder / "one.tif", folder / "two.tif"]


def learning(slides, base, run):
    return retrain(task_of("nuclei"), slides, run, base=str(base), device="cpu")


def full(*_args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_memory(*_args):
    raise MemoryError


@pytest.mark.parametrize("fault", ["nan", "memory", "disk"])
def test_what_can_not_be_learnt_leaves_model_and_annotations(
    slides, base, tmp_path, monkeypatch, fault
):
    before = {file.name: file.read_bytes() for file in base.iterdir()}
    drawn = [kept(path).read_bytes() for path in slides]
    error, words = {
        "nan": (TrainingDivergedError, "diverged"),
        "memory": (MemoryError, None),
        "disk": (OutputError, "the disk is full"),
    }[fault]
    step = Trainer.step
    with monkeypatch.context() as patch:
        if fault == "nan":
            patch.setattr(Trainer, "step", lambda *a: {k: v * np.nan for k, v in step(*a).items()})
        elif fault == "memory":
            patch.setattr(Trainer, "step", no_memory)
        else:
            patch.setattr("napari_pathogan.files.os.fsync", full)
        with pytest.raises(error, match=words):
            list(learning(slides, base, tmp_path / "run"))
    assert not (tmp_path / "run" / "model").exists()
    assert {file.name: file.read_bytes() for file in base.iterdir()} == before
    assert [kept(path).read_bytes() for path in slides] == drawn


@pytest.mark.parametrize("gone", ["slide", "annotations"])
def test_what_is_deleted_while_it_learns_was_read_before(slides, base, tmp_path, gone):
    drawn = kept(slides[0]).read_bytes()
    events = learning(slides, base, tmp_path / "run")
    next(events)
    (slides[1] if gone == "slide" else kept(slides[1])).unlink()
    *_, finished = events
    assert isinstance(finished, Finished)
    assert (tmp_path / "run" / "model" / "model.json").is_file()
    assert kept(slides[0]).read_bytes() == drawn


def test_what_was_deleted_before_is_said(slides, base, tmp_path):
    slides[1].unlink()
    with pytest.raises(SlideFormatError, match=r"there is no file .*two\.tif"):
        list(learning(slides, base, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_slides_of_different_scales_are_learnt_from_at_the_models(slides):
    sizes = {
        image.patient: image.learnt[0].shape[0]
        for image in read_training_folder(slides[0].parent).images
    }
    assert sizes == {"one": 100, "two": 200}


def test_outlines_that_cross_themselves_and_readers_who_disagree_are_said(tmp_path):
    path = tmp_path / "case.tif"
    bow = outline("Tumor", [(60, 60), (74, 74), (60, 74), (74, 60)])
    other = square("Stroma", *PLACES[0], 14)  # where another has drawn a nucleus of a tumour
    corrected(path, bow, other)
    with Slide.open(path) as slide:
        outlines, _ = retraining.read(slide)
        counts, notes = retraining.counted(slide, outlines)
    assert counts["regions"] == 2
    assert any("under others" in note for note in notes)
    assert counts["nuclei"] in {len(PLACES), len(PLACES) + 1}


def test_one_region_without_a_nucleus_teaches_nothing(slides, base, tmp_path):
    kept(slides[0]).write_text(
        json.dumps({"type": "FeatureCollection", "features": [square("Region*", 0, 0, 100)]})
    )
    with pytest.raises(DataFolderError, match="no nucleus"):
        list(learning(slides[:1], base, tmp_path / "run"))
    assert not (tmp_path / "run" / "model").exists()
