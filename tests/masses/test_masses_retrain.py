"""Reviewed masses become a detector of one's own, as it is typed: import, list, check, export, retrain."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from mass_folders import IMAGES, box, draw, write
from PIL import Image

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Finished
from napari_pathogan.engine.models import read_card
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError, PathoganError
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.tasks.masses import annotated, retrain
from napari_pathogan.tasks.masses.config import RECIPES
from napari_pathogan.tasks.masses.crossval import learn
from napari_pathogan.tasks.masses.data import read_mass_folder
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.review import Decision, Review
from napari_pathogan.tasks.masses.train import Trainer

TINY = replace(
    RECIPES["quick"],
    arm="real", procedural_epochs=0, width=8, long_side=96, crop=(64, 64), epochs=1, batch=2, steps=2,
)  # fmt: skip
WORDS = ("--task", "masses")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The smallest detector."""
    folder = read_mass_folder(write(tmp_path_factory.mktemp("known") / "drawn"))
    run = RunFolder(tmp_path_factory.mktemp("runs") / "small")
    run.start(TINY.to_json())
    assert isinstance([*learn(folder, TINY, run, device="cpu")][-1], Finished)
    return run.model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Mammograms of three patients, in folders of theirs; what is learnt from them takes a second."""
    quick = replace(RECIPES["quick"], arm="real", batch=2, steps=2)
    monkeypatch.setattr(retrain, "RECIPES", {"quick": quick})
    for name, (patient, masses, others) in IMAGES.items():
        path = tmp_path / "reviewed" / f"x{patient}" / "study" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw([*masses, *others])).save(path)
    return tmp_path / "reviewed"


def outline(disc, name="Mass"):
    x0, y0, x1, y1 = box(*disc)
    corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": {"objectType": "annotation", "classification": {"name": name}},
    }


def drawn(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def reviewed(folder, tmp_path, typed):
    """All that is to be seen is marked, by files as QuPath exports them."""
    for image in sorted(folder.rglob("*.png")):
        _, masses, others = IMAGES[image.name]
        features = [outline(one) for one in masses] + [outline(one, "Ignore*") for one in others]
        if features:
            file = drawn(tmp_path / f"{image.stem}.geojson", *features)
            typed("annotations", "import", file, image, *WORDS)


def test_outlines_become_a_detector_with_before_and_after(typed, folder, base, tmp_path):
    reviewed(folder, tmp_path, typed)
    told = json.loads(typed("annotations", "list", folder, *WORDS, "--json").stdout)
    learnt = {row["slide"]: row["learnt"] for row in told["slides"]}
    assert learnt == {
        "a1.png": {"mammograms": 1, "masses": 2},
        "b1.png": {"mammograms": 1, "masses": 1},
        "b2.png": {"mammograms": 1, "masses": 0},
        "c1.png": {"mammograms": 1, "masses": 1},
    }
    assert "nothing is wrong" in typed("annotations", "check", folder, *WORDS).stdout
    image, out = folder / "xb" / "study" / "b1.png", tmp_path / "out.geojson"
    typed("annotations", "export", image, "-o", out, *WORDS)
    again = typed("annotations", "import", out, image, *WORDS)
    assert "0 outlines added to 2" in again.stdout, "what went out comes in as what it was"
    run = tmp_path / "run"
    words = ("retrain", "masses", "--slides", folder, "--base", base, "--device", "cpu")
    said = typed(*words, "-o", run).stdout
    assert "Share of the" in said
    assert any(words in said for words in ("no clear", "better", "worse"))
    assert "tpr_at" not in said
    card = read_card(run / "model")
    assert card.recipe["parent"] == read_card(base).name
    assert len(card.training_data[-1].patients) == 3, "folders of studies are of one patient"
    plain = json.loads(typed(*words, "-o", tmp_path / "two", "--json").stdout)
    assert set(plain["before_and_after"]) >= {"tpr_at_0.5_before", "tpr_at_0.5_gain"}
    assert plain["annotated"][0]["learnt"] == learnt["a1.png"]


def test_what_is_not_decided_is_said_and_left_out(typed, folder, base, tmp_path):
    image = next(folder.rglob("a1.png"))
    mammogram = open_mammogram(image)
    found = Detections.on(mammogram, np.array([[14, 24, 26, 36]]), np.array([0.9]))
    annotated.write(image, Review.of(found))
    assert (
        "neither accepted nor rejected: 1"
        in typed("annotations", "check", image, *WORDS, code=1).stdout
    )
    failed = typed(
        "retrain", "masses", "--slides", image, "--base", base, "-o", tmp_path / "r", code=2
    )
    assert "no mammograms and no masses are annotated" in failed.stderr
    assert "neither accepted nor rejected: 1" in failed.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        (outline((500, 500, 9)), "no outline lies on a1"),
        (outline((20, 30, 6), "Calcification"), "outlines of other classes: Calcification"),
        (outline((20, 30, 2)), "4.0 px across, too small for a mass"),
    ],
)  # fmt: skip
def test_outlines_that_are_no_masses_are_left_out_in_words(typed, folder, tmp_path, feature, said):
    image = next(folder.rglob("a1.png"))
    file = drawn(tmp_path / "drawn.geojson", feature)
    left = typed("annotations", "import", file, image, *WORDS, code=2)
    assert said in " ".join(left.stderr.split())
    assert not annotated.store(image).path.exists()
    if "lies on" not in said:
        good = drawn(tmp_path / "both.geojson", feature, outline((40, 60, 8)))
        come = typed("annotations", "import", good, image, *WORDS)
        assert "1 outlines added to 0" in come.stdout
        assert said in " ".join(come.stderr.split())


def test_an_outline_over_the_border_ends_there(typed, folder, tmp_path):
    image = next(folder.rglob("a1.png"))
    typed(
        "annotations", "import", drawn(tmp_path / "d.geojson", outline((0, 30, 9))), image, *WORDS
    )
    review = annotated.read(annotated.store(image).path, open_mammogram(image))
    assert review.decisions == (Decision.DRAWN,)
    assert review.found.boxes.tolist() == [[0, 21, 9, 39]]


def test_reviews_of_an_image_that_was_changed_are_refused(typed, folder, base, tmp_path):
    reviewed(folder, tmp_path, typed)
    image = next(folder.rglob("a1.png"))
    kept = annotated.store(image).path.read_bytes()
    Image.fromarray(255 - draw(IMAGES["a1.png"][1])).save(image)
    assert (
        "its own image has other pixels"
        in typed("annotations", "check", image, *WORDS, code=1).stdout
    )
    failed = typed(
        "retrain", "masses", "--slides", folder, "--base", base, "-o", tmp_path / "r", code=2
    )
    assert "its own image has other pixels" in " ".join(failed.stderr.split())
    assert not (tmp_path / "r" / "model").exists()
    assert annotated.store(image).path.read_bytes() == kept
    changed = annotated.read_annotated([folder])
    with pytest.raises(DataFolderError, match="is not the image that was reviewed"):
        changed.image(list(changed.files).index(image))


def test_classes_count_for_nothing(typed, folder, base, tmp_path):
    reviewed(folder, tmp_path, typed)
    with pytest.raises(SettingError, match="would count for nothing"):
        list(retrain.retrain([folder], str(base), RunFolder(tmp_path / "r"), classes={"a": "b"}))


def test_readers_who_disagree_are_shown(typed, folder, tmp_path):
    image = next(folder.rglob("a1.png"))
    both = outline((20, 30, 6)), outline((20, 31, 6), "Ignore*"), outline((40, 60, 8), "Ignore*")
    typed("annotations", "import", drawn(tmp_path / "d.geojson", *both), image, *WORDS)
    said = " ".join(typed("annotations", "check", image, *WORDS, code=1).stdout.split())
    assert "1 pairs of outlines say both mass and none of the same place" in said
    assert "y 30, x 20 px" in said


def test_an_outline_that_crosses_itself_is_left_out_in_words(typed, folder, tmp_path):
    image = next(folder.rglob("a1.png"))
    crossed = outline((20, 30, 6))
    crossed["geometry"]["coordinates"] = [[[10, 10], [40, 40], [40, 10], [10, 40], [10, 10]]]
    left = typed(
        "annotations", "import", drawn(tmp_path / "d.geojson", crossed), image, *WORDS, code=2
    )
    assert "in several parts" in left.stderr


@pytest.mark.parametrize("gone", ["image", "findings"])
def test_what_is_deleted_while_it_learns_leaves_all_else(folder, typed, base, tmp_path, gone):
    reviewed(folder, tmp_path, typed)
    image = next(folder.rglob("c1.png"))
    others = [
        p.read_bytes()
        for p in sorted(folder.rglob("*.geojson"))
        if p != annotated.store(image).path
    ]
    run = RunFolder(tmp_path / "r")
    learning = retrain.retrain([folder], str(base), run, device="cpu")
    next(learning)
    if gone == "image":
        image.unlink()
        with pytest.raises(PathoganError, match=r"c1\.png"):
            list(learning)
        assert not run.model.exists()
    else:  # they were read before
        annotated.store(image).path.unlink()
        assert isinstance([*learning][-1], Finished)
    left = [
        p.read_bytes()
        for p in sorted(folder.rglob("*.geojson"))
        if p != annotated.store(image).path
    ]
    assert left == others
    assert (base / "model.json").is_file()


def test_a_loss_that_is_no_number_is_one_sentence(typed, folder, base, tmp_path, monkeypatch):
    reviewed(folder, tmp_path, typed)
    old = {file.name: file.read_bytes() for file in base.iterdir()}
    kept = [p.read_bytes() for p in sorted(folder.rglob("*.geojson"))]
    step = Trainer.step
    monkeypatch.setattr(
        Trainer, "step", lambda *a: {name: loss * np.nan for name, loss in step(*a).items()}
    )
    words = ("retrain", "masses", "--slides", folder, "--base", base, "-o", tmp_path / "r")
    assert "training diverged in epoch 1" in typed(*words, code=2).stderr
    assert not (tmp_path / "r" / "model").exists()
    assert {file.name: file.read_bytes() for file in base.iterdir()} == old
    assert [p.read_bytes() for p in sorted(folder.rglob("*.geojson"))] == kept


def test_no_memory_and_no_room_are_one_sentence(typed, folder, base, tmp_path, monkeypatch):
    reviewed(folder, tmp_path, typed)
    old = {file.name: file.read_bytes() for file in base.iterdir()}
    kept = [p.read_bytes() for p in sorted(folder.rglob("*.geojson"))]
    words = ("retrain", "masses", "--slides", folder, "--base", base, "-o", tmp_path / "r")

    def no_memory(*_args, **_more):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("napari_pathogan.tasks.masses.crossval.framed", no_memory)
        assert "out of memory" in typed(*words, code=2).stderr

    def full(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("napari_pathogan.files.os.fsync", full)
        failed = typed(*words[:-1], tmp_path / "other", code=2)
    assert "disk is full" in failed.stderr
    for run in ("r", "other"):
        assert not (tmp_path / run / "model").exists()
    assert {file.name: file.read_bytes() for file in base.iterdir()} == old
    assert [p.read_bytes() for p in sorted(folder.rglob("*.geojson"))] == kept
