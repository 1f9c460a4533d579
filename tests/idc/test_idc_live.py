"""Annotating a slide and refitting the embedded model to it: what comes of it, and what is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from safetensors.numpy import load_file, save_file
from shapely.geometry import Polygon

from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Finished, Warn
from napari_pathogan.engine.models import CARD, PAST, read_card, zoo
from napari_pathogan.engine.verbs import retrain
from napari_pathogan.errors import DataFolderError, ModelError, OutputError, SlideFormatError
from napari_pathogan.plugin.idc.words import place_text
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks import task_of
from napari_pathogan.tasks.idc import live
from napari_pathogan.tasks.idc.contract import predicted
from napari_pathogan.tasks.idc.heatmap import AFTER_ANNOTATIONS, AFTER_FIT, KEPT
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.predict import predict
from napari_pathogan.tasks.idc.telling import most_telling

SIDE = 800  # px at 2 um: 8 x 8 patches


def tissue(seed=0):
    """The left half is dark and speckled, the right half pale."""
    rng = np.random.default_rng(seed)
    image = np.empty((SIDE, SIDE, 3))
    image[:, : SIDE // 2] = (150, 90, 160)
    image[:, SIDE // 2 :] = (225, 170, 200)
    image += rng.normal(0, 12, (SIDE, SIDE, 1))
    return image.clip(0, 250).astype(np.uint8)


def write_slide(path, mpp=2.0, seed=0):
    pixels = 1e4 / mpp
    tifffile.imwrite(
        path,
        tissue(seed),
        photometric="rgb",
        tile=(128, 128),
        resolution=(pixels, pixels),
        resolutionunit="CENTIMETER",
    )
    return path


def square(name, x, y, side=200, by=""):
    corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
    return Annotation(Polygon(corners), class_name=name, by=by)


# the wrong way round, so that what comes of it can't be what the model said before
BOTH = [
    square("healthy", 0, 0), square("healthy", 0, 600), square("healthy", 200, 300),
    square("IDC", 600, 0), square("IDC", 600, 600), square("IDC", 400, 300),
]  # fmt: skip


@pytest.fixture
def path(tmp_path):
    """A slide of 800 px at 2 um."""
    return write_slide(tmp_path / "case.tif")


@pytest.fixture
def slide(path):
    """The same, open."""
    with Slide.open(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def model():
    """The embedded model."""
    return IdcModel.load("idc-lite0", device="cpu")


def seen_by(model, slide):
    looking = live.Looking(live.look(slide, model))
    list(looking)
    return looking.seen


def test_outlines_say_what_lies_in_them_and_nothing_of_the_rest(slide):
    drawn = live.annotated(slide, [square("IDC", 0, 0), square("Tumor", 600, 600)])
    assert drawn.labels.shape == (8, 8)
    assert drawn.count(1) == 8
    assert drawn.count(0) == 0, "what nobody drew around is not healthy"
    assert sorted(np.unique(drawn.owners)) == [-1, 0, 1]
    assert (drawn.owners >= 0).sum() == 8


def test_what_is_seen_gives_the_map_that_the_prediction_gives(slide, model):
    seen = seen_by(model, slide)
    *_, finished = predict(slide, model)
    np.testing.assert_allclose(
        seen.map(slide, model).probability.data, finished.result.probability.data, atol=5e-3
    )


def test_a_refitted_model_says_what_was_drawn_and_its_map_names_it(slide, model):
    seen = seen_by(model, slide)
    drawn = live.annotated(slide, BOTH)
    before = seen.map(slide, model)
    changed = live.refitted(model, [live.part_of(seen, drawn)], "mine")
    after = seen.map(slide, changed)
    idc, healthy = (after.probability.data[drawn.labels == label].mean() for label in (1, 0))
    was = [before.probability.data[drawn.labels == label].mean() for label in (1, 0)]
    assert idc - healthy > was[0] - was[1] + 0.3
    assert (before.refitted, after.model) == ("", "mine")
    assert after.refitted == AFTER_ANNOTATIONS
    assert AFTER_ANNOTATIONS in after.model_line
    assert after.model_sha256 != before.model_sha256
    assert changed.fast is None, "the small network knows nothing of the annotations"
    assert np.array_equal(seen.map(slide, model).probability.data, before.probability.data)
    again = live.refitted(model, [live.part_of(seen, drawn)], "mine")
    assert again.card.sha256 == changed.card.sha256, "the same every time"


def test_annotations_are_kept_with_the_slide_and_known_from_another_image(slide, path):
    live.write(slide, BOTH)
    kept, notes = live.read(slide)
    assert notes == []
    assert [one.class_name for one in kept] == [one.class_name for one in BOTH]
    assert all(a.geometry.equals(b.geometry) for a, b in zip(kept, BOTH, strict=True))
    write_slide(path, seed=0)
    with Slide.open(path) as same:
        assert len(live.read(same)[0]) == len(BOTH)
    other = tissue()[:, ::-1]
    tifffile.imwrite(path, other, photometric="rgb", tile=(128, 128))
    with Slide.open(path) as changed, pytest.raises(DataFolderError, match="not drawn on this"):
        live.read(changed)


def test_what_is_doubtful_is_said(slide, path):
    outlines = [
        square("IDC", 0, 0), square("healthy", 100, 100, by="A"), square("IDC", 5000, 0),
        square("IDC", 300, 300, side=20), square("Quirk", 600, 600),
    ]  # fmt: skip
    text = " ".join(live.annotated(slide, outlines).notes)
    assert "1 of 5 outlines of the annotations lie beyond" in text
    assert "both healthy and IDC of the same place" in text
    assert "cover half of no patch" in text
    assert "unknown and left out" in text
    eight = [[0, 0], [200, 200], [200, 0], [0, 200], [0, 0]]
    crossed = path.with_name("crossed.geojson")
    crossed.write_text(json.dumps({"type": "Polygon", "coordinates": [eight]}))
    assert "1 of its outlines cross themselves" in live.read(slide, crossed)[1][-1]


def predict_whole(slide, model, **more):
    *_, finished = predict(slide, model, **more)
    return finished.result


def retrained(slides, output, **more):
    *_, finished = retrain(task_of("idc"), slides, output, device="cpu", **more)
    assert isinstance(finished, Finished)
    return finished


def test_retraining_shows_before_and_after_and_leaves_the_old_model(slide, path, tmp_path):
    live.write(slide, BOTH)
    old = {file.name: file.read_bytes() for file in (zoo() / "idc-lite0").iterdir()}
    report = retrained([path], tmp_path / "run", name="mine").result
    assert report.metrics["held_back_auc_gain"].value > 0
    assert report.metrics["held_back_auc_gain"].low is not None
    assert report.metrics["reference_auc_after"].value > 0.8
    card = read_card(tmp_path / "run" / "model")
    assert card.name == "mine"
    assert card.recipe["parent"] == "idc-lite0"
    assert len(card.recipe["annotations_sha256"]) == 64
    assert card.metrics["held_back_auc_gain"].value == report.metrics["held_back_auc_gain"].value
    assert "case" not in (tmp_path / "run" / "model" / CARD).read_text()
    assert {file.name: file.read_bytes() for file in (zoo() / "idc-lite0").iterdir()} == old
    mine = IdcModel.load(tmp_path / "run", device="cpu")
    assert mine.fast is None
    assert report.notes[-1].startswith("choice: ")
    again = retrained([path], tmp_path / "again", name="mine").result
    assert again == report, "the same every time"
    further = retrained([path], tmp_path / "further", base=str(tmp_path / "run"))
    assert read_card(tmp_path / "further" / "model").recipe["parent"] == "mine"
    assert further.result.counts == report.counts


def test_a_kept_model_gives_no_interval_since_it_is_calibrated_as_the_one_before(
    slide, path, tmp_path
):
    live.write(slide, BOTH)
    retrained([path], tmp_path / "run", name="mine")
    *_, finished = predicted(slide, IdcModel.load(tmp_path / "run", "cpu"))
    heat, said = finished.result, finished.summary
    assert heat.refitted == KEPT
    assert heat.area().share.value is not None
    for one in (heat.area().share, heat.area().idc_mm2):
        assert (one.low, one.high) == (None, None)
    assert said["share"]["low"] is None
    assert f"No interval is given, since the model was {KEPT}" in said["text"]
    y, x = 50.0, 50.0
    assert place_text(heat, y, x).startswith("IDC 0.")
    assert "±" not in place_text(heat, y, x)
    shipped = replace(heat, refitted="")
    assert "±" in place_text(shipped, y, x)
    assert not shipped.without_interval


def test_slides_of_other_scales_are_read_at_the_models(slide, path, tmp_path):
    live.write(slide, BOTH[:3])
    other = write_slide(tmp_path / "coarse.tif", mpp=4.0, seed=1)
    with Slide.open(other) as opened:
        live.write(opened, [square("IDC", 400, 100), square("IDC", 400, 500)])
    report = retrained([path, other], tmp_path / "run").result
    assert report.counts == {"n_healthy": 12, "n_IDC": 32}


@pytest.mark.parametrize("missing", ["IDC", "healthy"])
def test_one_class_alone_is_refused_and_nothing_is_made(slide, path, tmp_path, missing):
    live.write(slide, [one for one in BOTH if one.class_name != missing])
    kept = live.store(path).path.read_bytes()
    with pytest.raises(DataFolderError, match=f"no patch is annotated as {missing}"):
        retrained([path], tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert live.store(path).path.read_bytes() == kept


def test_models_that_keep_nothing_of_their_training_are_refused(slide, path, model, tmp_path):
    live.write(slide, BOTH)
    with pytest.raises(ModelError, match="idc-cgan can't be refitted"):
        retrained([path], tmp_path / "run", base="idc-cgan")
    bare = replace(model, network=copy.copy(model.network))
    bare.network.past = None
    with pytest.raises(ModelError, match="choose idc-lite0"):
        live.past_of(bare)


def test_a_past_of_other_weights_is_refused(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (zoo() / "idc-lite0").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    save_file(load_file(folder / PAST), folder / PAST, {"weights": "others"})
    with pytest.raises(ModelError, match="belongs to other weights"):
        IdcModel.load(folder, device="cpu")
    (folder / PAST).write_bytes(b"nothing")
    with pytest.raises(ModelError, match="is damaged"):
        IdcModel.load(folder, device="cpu")


@pytest.mark.parametrize("gone", ["slide", "annotations"])
def test_what_is_deleted_while_it_learns_leaves_all_else(slide, path, tmp_path, gone):
    live.write(slide, BOTH)
    other = write_slide(tmp_path / "other.tif", seed=1)
    with Slide.open(other) as opened:
        live.write(opened, BOTH)
    learning = retrain(task_of("idc"), [path, other], tmp_path / "run", device="cpu")
    next(learning)
    kept = live.store(path).path.read_bytes()
    if gone == "slide":
        other.unlink()
        with pytest.raises(SlideFormatError, match=r"other\.tif"):
            list(learning)
        assert not (tmp_path / "run").exists()
    else:
        live.store(other).path.unlink()
        events = list(learning)
        assert any("nothing to learn from is annotated" in str(event) for event in events)
        assert events[-1].result.counts == {"n_healthy": 12, "n_IDC": 12}
    assert live.store(path).path.read_bytes() == kept


def test_readers_who_disagree_are_named(slide):
    two = square("IDC", 0, 0, by="Dr A"), square("healthy", 100, 100, by="Dr B")
    (said,) = (note for note in live.annotated(slide, two).notes if "same place" in note)
    assert "(by Dr A and Dr B)" in said


def test_a_full_disk_leaves_no_half_of_a_model(slide, path, tmp_path, monkeypatch):
    live.write(slide, BOTH)
    kept = live.store(path).path.read_bytes()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_pathogan.files.os.fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        retrained([path], tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert live.store(path).path.read_bytes() == kept


def test_a_head_is_fitted_to_a_slide_without_annotations(slide, model):
    seen = seen_by(model, slide)
    changed = live.fitted(model, seen, "fitted")
    before, after = seen.map(slide, model), seen.map(slide, changed)
    assert (after.model, changed.fast) == ("fitted", None)
    assert after.model_sha256 != before.model_sha256
    single = [live.logits(one, seen.figures) for one in (model, changed)]
    assert np.abs(single[0] - single[1]).max() > 0.05
    moved = after.probability.data - before.probability.data
    assert abs(np.nanmean(moved)) < 0.05, "probabilities stay on their scale"
    assert live.fitted(model, seen, "fitted").card.sha256 == changed.card.sha256
    *_, finished = predicted(slide, model, fit=True)
    assert finished.result.model == "idc-lite0, fitted to the slide"
    assert finished.result.refitted == AFTER_FIT
    assert (
        f"% of the tissue. No interval is given, since the model was {AFTER_FIT}"
        in finished.summary["text"]
    )
    np.testing.assert_allclose(finished.result.probability.data, after.probability.data, atol=1e-5)
    for more in ({"fast": True}, {"step": 100.0}):
        with pytest.raises(SettingError, match="leave --fast and --step out"):
            next(predicted(slide, model, fit=True, **more))
    with pytest.raises(ModelError, match="idc-cgan can't be refitted"):
        next(predicted(slide, IdcModel.load("idc-cgan", device="cpu"), fit=True))


def test_a_plain_map_names_the_same_places_to_go_to_as_the_live_loop(slide, model):
    assert predict_whole(slide, model).telling == ()
    seen = seen_by(model, slide)
    rows = live.most_telling(model, seen, np.zeros(0, int), 6)
    found = predict_whole(slide, model, places=6).telling
    assert len(set(found)) == 6
    same = set(found) & {tuple(cell) for cell in seen.where[rows].tolist()}
    assert len(same) >= 5, "but for how precisely what was seen is kept"
    assert seen.map(slide, model, places=6).telling == tuple(
        tuple(cell) for cell in seen.where[rows].tolist()
    )


def test_places_to_go_to_are_uncertain_and_unlike_each_other(slide):
    """Of a network without a head that could be refitted, too."""
    model = IdcModel.load("idc-cgan", device="cpu")
    rng = np.random.default_rng(0)
    kinds = rng.normal(0, 1, (3, 40))
    figures = np.repeat(kinds, [30, 5, 5], 0) + rng.normal(0, 0.05, (40, 40))
    logits = np.where(np.arange(40) < 35, 0.0, 9.0)  # of the third kind it is sure
    first, second = most_telling(model, figures, logits, np.zeros(0, int), 2)
    assert first < 30, "the commonest"
    assert 30 <= second < 35, "one that is unlike it"
    assert 30 <= most_telling(model, figures, logits, np.array([0]), 1)[0] < 35
    assert len(predict_whole(slide, model, places=6).telling) == 6


@pytest.mark.parametrize("name", ["idc-lite0", "idc-cgan"])
def test_a_slide_in_foreign_colours_is_told_of_with_figures(tmp_path, slide, name):
    model = IdcModel.load(name, device="cpu")
    *_, finished = predict(slide, model)
    assert not any("unlike" in note for note in finished.result.notes)
    blue = tmp_path / "blue.tif"
    tifffile.imwrite(
        blue, tissue()[..., ::-1] // np.array([3, 2, 1], np.uint8), photometric="rgb",
        tile=(128, 128), resolution=(5000, 5000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    with Slide.open(blue) as foreign:
        *events, finished = predict(foreign, model)
        (said,) = (note for note in finished.result.notes if "unlike" in note)
        assert said.startswith(f"blue.tif: its colours are unlike those {name} learnt from (")
        assert "where those slides reach 40)" in said
        assert any(isinstance(event, Warn) and event.message == said for event in events)
        assert said in seen_by(model, foreign).notes


def test_what_is_to_be_annotated_next_is_new_and_spread(slide, model):
    seen = seen_by(model, slide)
    known = np.arange(3)
    rows = live.most_telling(model, seen, known, 6)
    assert len(set(rows.tolist())) == 6
    assert not set(rows.tolist()) & set(known.tolist())
    pale = seen.where[rows, 1] >= 4
    assert pale.any()
    assert (~pale).any(), "both halves of the slide are asked for"
    assert len(live.most_telling(model, seen, np.arange(len(seen.where)), 6)) == 0


def test_out_of_memory_leaves_all_as_it_was(slide, path, tmp_path, monkeypatch):
    live.write(slide, BOTH)
    kept = live.store(path).path.read_bytes()

    def full(*_args, **_more):
        raise MemoryError

    monkeypatch.setattr("napari_pathogan.tasks.idc.live.refit", full)
    with pytest.raises(MemoryError):
        retrained([path], tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert live.store(path).path.read_bytes() == kept
