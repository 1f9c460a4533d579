"""Cross-validation by patient: no detector is tested on whom it knows, and the model says so."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from mass_folders import IMAGES, draw, write
from PIL import Image
from safetensors.torch import save_file
from torchvision.models.detection import maskrcnn_resnet50_fpn

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Finished, Progress, Warn
from napari_pathogan.engine.models import read_card
from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError
from napari_pathogan.mammograms.breast import NoBreastError
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.tasks.masses import arms, crossval
from napari_pathogan.tasks.masses.compare import Arm, differences, table
from napari_pathogan.tasks.masses.config import RECIPES
from napari_pathogan.tasks.masses.crossval import check, learn
from napari_pathogan.tasks.masses.data import read_mass_folder
from napari_pathogan.tasks.masses.detections import ViewSearched
from napari_pathogan.tasks.masses.model import MassModel
from napari_pathogan.tasks.masses.predict import detect
from napari_pathogan.tasks.masses.scored import Scored

TINY = replace(
    RECIPES["quick"],
    arm="real", procedural_epochs=0, width=8, long_side=96, crop=(64, 64), epochs=1, batch=2, steps=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return read_mass_folder(write(tmp_path_factory.mktemp("masses") / "drawn"))


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    run = RunFolder(tmp_path_factory.mktemp("runs") / "tiny")
    run.start(TINY.to_json())
    *_, finished = learn(folder, TINY, run, folds=3, device="cpu")
    assert isinstance(finished, Finished)
    return run


def test_every_patient_is_tested_by_a_detector_that_never_saw_them(folder, tmp_path, monkeypatch):
    known = {}
    whole = crossval.train

    def watched(examples, config, run, **rest):
        known[run.path.name] = len(examples)
        return whole(examples, config, run, **rest)

    monkeypatch.setattr(crossval, "train", watched)
    run = RunFolder(tmp_path / "run")
    run.start(TINY.to_json())
    list(learn(folder, TINY, run, folds=3, device="cpu"))

    fold = json.loads((run.path / "folds.json").read_text())
    assert set(fold) == {pseudonym(name) for name in "abc"}
    assert sorted(fold.values()) == [0, 1, 2]
    for k in range(3):
        tested = Scored.read(run.path / "folds" / str(k))
        assert {fold[patient] for patient in tested.patients} == {k}
        assert known[str(k)] == len(folder) - len(tested)
    assert known["run"] == len(folder)


def test_the_model_knows_its_out_of_fold_figures(folder, run):
    report = json.loads((run.path / "report.json").read_text())
    assert 0 <= report["baseline_tpr_at_0.5"]["value"] <= report["baseline_tpr_at_1"]["value"]
    model = MassModel.load(run.path, device="cpu")

    assert report["n_patients"] == 3
    assert report["n_images"] == len(folder)
    assert model.card.metrics["tpr_at_1"].value == report["tpr_at_1"]["value"]
    assert model.card.training_data[0].known("abcd") == set("abc")
    assert model.card.name == "tiny"
    assert (np.diff(model.froc.thresholds) <= 0).all()
    assert 0 <= model.threshold <= 1
    scored = Scored.read(run.path)
    assert scored.files.tolist() == [pseudonym(file.name) for file in folder.files]
    curve = scored.hits.curve()
    assert curve.tpr_at(1) == pytest.approx(report["tpr_at_1"]["value"])


def test_what_it_finds_lies_in_the_breast(folder, run, tmp_path):
    model = MassModel.load(run.path, device="cpu")
    Image.fromarray(np.zeros((96, 72), np.uint8)).save(tmp_path / "empty.png")
    views = [open_mammogram(path) for path in (folder.files[0], tmp_path / "empty.png")]

    events = list(detect(views, model))

    found, nothing = events[-1].result
    kinds = [type(e) for e in events[:-1]]
    assert kinds == [Progress, ViewSearched, Progress, Warn, ViewSearched, Progress]
    assert "empty" in events[3].message
    assert len(nothing) == 0
    assert found.name == folder.files[0].stem
    assert found.threshold == model.threshold
    assert found.model == "tiny"
    height, width = found.shape
    assert (found.boxes >= -1).all()
    assert (found.boxes <= np.array([width, height, width, height]) + 1).all()
    assert (np.diff(found.scores) <= 0).all()
    with pytest.raises(NoBreastError):
        list(detect(views[1:], model))


def test_a_later_run_begins_with_an_earlier_one_of_the_same_folds(folder, run, tmp_path):
    later = RunFolder(tmp_path / "later")
    later.start(TINY.to_json())

    *_, finished = learn(folder, TINY, later, folds=3, start=str(run.path), device="cpu")

    assert finished.result.counts["n_patients"] == 3
    card = read_card(later.model)
    assert card.recipe["start"] == json.loads(json.dumps(TINY.to_json()))  # both can be done again
    assert "--start" in card.measured_by
    assert "start" not in read_card(run.model).recipe
    with pytest.raises(DataFolderError, match="other patient folds"):
        check(folder, TINY, folds=2, start=str(run.path))
    (tmp_path / "unfinished").mkdir()
    for name in ("config.json", "folds.json"):
        (tmp_path / "unfinished" / name).write_text((run.path / name).read_text())
    with pytest.raises(DataFolderError, match="no finished run"):
        check(folder, TINY, folds=3, start=str(tmp_path / "unfinished"))


def test_lesions_of_the_tested_patients_are_not_blended(folder, tmp_path, monkeypatch):
    """Synthetic images of a fold are made of the folder without its patients."""
    seen = []

    def stand_in(part, n, **_):
        seen.append(set(part.patients.tolist()))
        for i in range(n):
            image = draw([(30, 48, 6)]) / np.float32(255)
            mask = np.zeros((1, *image.shape), bool)
            mask[0, 42:54, 24:36] = True
            yield type("Made", (), {"image": image, "mask": mask, "source": i})

    monkeypatch.setattr(arms, "synthesise", stand_in)
    run = RunFolder(tmp_path / "poisson")
    config = replace(TINY, arm="poisson", synthetic=2)
    run.start(config.to_json())
    list(learn(folder, config, run, folds=3, device="cpu"))

    fold = json.loads((run.path / "folds.json").read_text())
    each = {name: fold[pseudonym(name)] for name in "abc"}
    assert seen == [{name for name in each if each[name] != k} for k in range(3)] + [set(each)]


def test_all_folds_begin_with_what_was_learnt_from_noise(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(crossval, "_PICTURES", 4)
    begun = []
    whole = crossval.train

    def watched(examples, config, run, *, start=None, **rest):
        begun.append((run.path.name, start, len(examples)))
        return whole(examples, config, run, start=start, **rest)

    monkeypatch.setattr(crossval, "train", watched)
    run = RunFolder(tmp_path / "run")
    config = replace(TINY, procedural_epochs=1)
    run.start(config.to_json())
    list(learn(folder, config, run, folds=2, device="cpu"))

    common = run.path / "procedural"
    assert begun[0] == ("procedural", None, 4)
    assert [(name, start) for name, start, _ in begun[1:]] == [
        ("0", common), ("1", common), ("run", common),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"detector": "yolo"}, "detector=yolo"),
        ({"crop": (60, 64)}, "multiples of 32"),
    ],
)
def test_settings_that_cannot_be_are_named(folder, change, says):
    with pytest.raises(SettingError, match=says):
        check(folder, replace(TINY, **change), folds=0)


def test_masses_are_needed(tmp_path):
    healthy = {name: (patient, [], []) for name, (patient, *_) in IMAGES.items()}
    with pytest.raises(DataFolderError, match="mass"):
        check(read_mass_folder(write(tmp_path / "healthy", healthy)), TINY, folds=0)
    with pytest.raises(DataFolderError, match="folds"):
        check(read_mass_folder(write(tmp_path / "masses")), TINY, folds=4)
    one = {**healthy, "c1.png": IMAGES["c1.png"]}
    with pytest.raises(DataFolderError, match="one of 3 folds"):
        check(read_mass_folder(write(tmp_path / "one", one)), TINY, folds=3)


def test_the_papers_detector_learns_from_coco_weights_and_is_read_back(folder, tmp_path):
    """Its frozen statistics become ordinary ones in the model, which knows nothing of COCO."""
    coco = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
    save_file(coco.state_dict(), tmp_path / "coco.safetensors")
    config = replace(
        RECIPES["paper"], weights=str(tmp_path / "coco.safetensors"),
        long_side=96, crop=(64, 64), epochs=1, steps=1, heads_epochs=1, upper_epochs=0,
    )  # fmt: skip
    run = RunFolder(tmp_path / "run")
    run.start(config.to_json())
    list(learn(folder, config, run, device="cpu"))

    model = MassModel.load(run.path, device="cpu")

    name = "backbone.body.layer2.0.conv1.weight"  # the backbone rested
    kept = coco.state_dict()[name].half().float()
    torch.testing.assert_close(model.network.state_dict()[name], kept)
    assert model.detect(folder.image(0)).boxes.shape[1] == 4


def test_all_four_arms_end_in_one_table(folder, tmp_path, monkeypatch):
    """Real, and beside synthetic ones of three kinds: same folds, same start, compared in pairs."""
    small = partial(arms.BlendConfig, epochs=1, steps=1, batch=1, crop=32, width=4, judge=4)
    monkeypatch.setattr(arms, "BlendConfig", small)
    found = []
    for arm in ("real", "poisson", "adversarial", "blending"):
        run = RunFolder(tmp_path / arm)
        config = replace(TINY, arm=arm, synthetic=1)
        run.start(config.to_json())
        list(learn(folder, config, run, folds=2, device="cpu"))
        found.append(Arm.read(run.path))
    assert len({arm.scored.files.tobytes() for arm in found}) == 1
    rows = table(found, rounds=20).splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:6]] == [arm.name for arm in found]
    pairs = differences(found, rounds=20).splitlines()
    assert "TPR less that of real" in pairs[0]
    assert [row.split("|")[1].strip() for row in pairs[2:]] == [
        "poisson",
        "adversarial",
        "blending",
    ]
    assert all(row.count(" to ") == 3 for row in pairs[2:])
