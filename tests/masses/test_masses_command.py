"""``pathogan masses`` as it is typed: detect, evaluate, froc, and one line for every error."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mass_folders import IMAGES, BrightDiscs, draw, write
from PIL import Image

from napari_pathogan.engine.events import Finished, from_json
from napari_pathogan.engine.models import ModelCard
from napari_pathogan.tasks.masses import model as models
from napari_pathogan.tasks.masses.config import RECIPES
from napari_pathogan.tasks.masses.detections import SCOPE
from napari_pathogan.tasks.masses.froc import Froc
from napari_pathogan.tasks.masses.network import BUILDERS
from napari_pathogan.tasks.masses.starts import going_on

COMMAND = ("masses",)


@pytest.fixture
def discs(monkeypatch):
    """A model that finds bright discs, whatever is asked for."""
    monkeypatch.setattr(models.MassModel, "load", lambda *_: BrightDiscs(threshold=0.5))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "case_L_CC.png"
    Image.fromarray(draw([(30, 50, 9), (20, 25, 5)])).save(path)
    return path


def test_detect_writes_all_that_is_asked_for(pathogan, discs, image, tmp_path):
    out, table = tmp_path / "out.json", tmp_path / "out.csv"
    code, said, err = pathogan("detect", image, "-o", out, "--csv", table, "--mm", 0.5, "--json")
    assert (code, err.strip()) == (0, "")
    summary, record = json.loads(said), json.loads(out.read_text())
    assert record["masses"] == summary["masses"]
    (mass,) = record["masses"]
    assert mass["box"] == [21, 41, 39, 59]
    assert mass["size_mm"] == pytest.approx([9, 9], rel=0.02)
    assert (record["image"], record["spacing"]) == ("case_L_CC", "user")
    assert (record["model"], record["threshold"], record["synthetic"]) == ("discs", 0.5, False)
    assert summary["files"] == [str(out), str(table)]
    assert summary["seconds"] > 0
    assert table.read_text().count("\n") == 2


def test_detect_in_plain_words_at_another_threshold(pathogan, discs, image):
    code, said, _ = pathogan("detect", image, "--threshold", 0)
    assert code == 0
    assert said.strip() == f"case_L_CC.png: 2 masses: score 0.72; score 0.40. {SCOPE}"
    code, said, _ = pathogan("detect", image, "--threshold", 1)
    assert said.strip() == f"case_L_CC.png: no mass scores 1.00 or more. {SCOPE}"


def test_what_views_say_together_and_what_nothing_found_is_worth(
    pathogan, monkeypatch, image, tmp_path
):
    model = BrightDiscs(threshold=0.5)
    measured = {"breast": [1.0, 0.0], "case": [1.0, 0.0], "by_size": [[0.0, None, 3, 4]]}
    model.card = model.card.model_copy(update={"settings": measured})
    monkeypatch.setattr(models.MassModel, "load", lambda *_: model)
    other = tmp_path / "case_L_MLO.png"
    Image.fromarray(draw([(30, 50, 9)])).save(other)
    alone = tmp_path / "another_R_CC.png"
    Image.fromarray(draw([])).save(alone)

    code, said, _ = pathogan("detect", image, other, alone)
    assert code == 0
    *_, third, last = said.strip().splitlines()
    assert third.endswith("it missed 1 of 4 masses.")
    assert last == ("case_L_CC, case_L_MLO: chance of a mass: left breast 72 % (2 views)")
    code, said, _ = pathogan("detect", image, other, "--json")
    assert json.loads(said.strip().splitlines()[-1]) == {
        "kind": "masses of a case",
        "breasts": {"L": {"chance": pytest.approx(0.72), "views": 2}},
        "case": pytest.approx(0.72),
        "images": ["case_L_CC", "case_L_MLO"],
    }


def test_detect_in_a_study_and_in_spite_of_a_broken_file(pathogan, discs, image, tmp_path):
    study = tmp_path / "study"
    study.mkdir()
    for name in ("RCC", "LCC"):
        Image.fromarray(draw([(30, 50, 9)])).save(study / f"{name}.png")
    (tmp_path / "broken.png").write_bytes(b"none")
    out = tmp_path / "found"
    code, said, err = pathogan("detect", study, tmp_path / "broken.png", "-o", out)
    assert code == 2
    assert [line.split(":")[0] for line in said.splitlines()] == ["RCC.png", "LCC.png"]
    assert "broken.png" in err
    assert "1 of 3 mammograms failed, the others are done" in err
    (tmp_path / "none.png").write_bytes(b"none")
    code, _, err = pathogan("detect", tmp_path / "broken.png", tmp_path / "none.png")
    assert (code, err.splitlines()[-1]) == (2, "pathogan: 2 of 2 mammograms failed")
    assert sorted(path.name for path in out.iterdir()) == ["LCC.json", "RCC.json"]


def test_detect_in_a_folder_of_two_patients(pathogan, discs, tmp_path):
    for name in ("a_R_CC", "b_R_CC", "a_L_CC"):
        (tmp_path / "both").mkdir(exist_ok=True)
        Image.fromarray(draw([(30, 50, 9)])).save(tmp_path / "both" / f"{name}.png")
    code, said, err = pathogan("detect", tmp_path / "both", "-o", tmp_path / "found")
    assert code == 0
    assert [line.split(":")[0] for line in said.splitlines()] == [
        "a_R_CC.png", "a_L_CC.png", "b_R_CC.png",
    ]  # fmt: skip
    assert "2 examinations in both" in err
    assert len(list((tmp_path / "found").iterdir())) == 3


def test_detect_in_events(pathogan, discs, image):
    code, said, _ = pathogan("detect", image, "--events")
    events = [from_json(line) for line in said.splitlines()]
    assert code == 0
    assert isinstance(events[-1], Finished)
    assert len(events[-1].summary["masses"]) == 1


def test_errors_of_detect_are_one_line(pathogan, discs, image, tmp_path):
    black = tmp_path / "black.png"
    Image.fromarray(np.zeros((96, 72), np.uint8)).save(black)
    colour = tmp_path / "colour.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 72, 3), np.uint8)).save(colour)
    for arguments, message in (
        ((black,), "black.png: the image shows no breast"),
        ((colour,), "colour.png is a colour image"),
        ((tmp_path / "none.dcm",), "none.dcm"),
        ((image, "--sr", tmp_path / "out.dcm"), "case_L_CC.png is no DICOM file"),
        (
            (image, "--gsps", tmp_path / "out.dcm"),
            "a DICOM presentation state has nothing to refer",
        ),
        ((image, image), "two of the mammograms have the same name"),
    ):
        code, said, err = pathogan("detect", *arguments)
        assert (code, said) == (2, "")
        assert message in err
        assert err.strip().count("\n") == 0


def test_evaluate_keeps_what_froc_draws(pathogan, discs, tmp_path):
    folder, kept, plot = write(tmp_path / "set"), tmp_path / "kept.json", tmp_path / "froc.png"
    code, said, _ = pathogan("evaluate", folder, "--json", "--keep", kept)
    report = json.loads(said)
    assert code == 0
    assert report["tpr_at_1"]["value"] == 1
    assert report["n_images"] == len(IMAGES)
    assert set(report["tpr_at_0.25"]) == {"value", "low", "high"}
    code, said, _ = pathogan("froc", f"real={kept}", f"again={kept}", "-o", plot, "--rounds", 20)
    assert code == 0
    assert "| real | 1.000 (1.000 to 1.000) |" in said
    assert "| again | +0.000 (+0.000 to +0.000) |" in said
    assert plot.stat().st_size > 5000
    code, said, _ = pathogan("evaluate", folder)
    assert "tpr_at_0.5" in said


def test_errors_of_evaluate_and_froc(pathogan, discs, tmp_path):
    code, _, err = pathogan("evaluate", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere is not a folder with images/" in err
    code, _, err = pathogan("froc", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere can't be read" in err


def test_with_a_network_of_its_own(pathogan, image, tmp_path):
    """A tiny random Mask R-CNN, saved and loaded like any other: what it finds means nothing."""
    torch.manual_seed(0)
    sizes = {"width": 8, "smallest": 9.0}
    network = BUILDERS["maskrcnn-slim"](**sizes)
    card = ModelCard(
        name="tiny", title="Tiny", task="masses", architecture="maskrcnn-slim", arguments=sizes
    )
    models.save(
        tmp_path / "tiny", card, network, froc=Froc(*np.zeros((3, 1))), threshold=0.0,
        long_side=96, calibration=(1.0, 0.0), views=models.Views(1, (1.0,)),
    )  # fmt: skip
    code, said, _ = pathogan("detect", image, "--model", tmp_path / "tiny", "--json")
    record = json.loads(said)
    assert code == 0
    assert (record["model"], record["shape"]) == ("tiny", [96, 72])
    assert len(record["sha256"]) == 64
    for mass in record["masses"]:
        x0, y0, x1, y1 = mass["box"]
        assert 0 <= x0 < x1 <= 72
        assert 0 <= y0 < y1 <= 96
    code, _, err = pathogan("detect", image, "--model", "none")
    assert code == 2
    assert "no masses model 'none'" in err


TINY = (
    "procedural_epochs=0", "width=8", "long_side=96", "crop=[64,64]", "batch=2", "steps=2",
    "scales=[0.5,1]",
)  # fmt: skip


def test_a_detector_trained_here_is_one_to_detect_with(pathogan, image, tmp_path):
    folder, run = write(tmp_path / "data"), tmp_path / "run"
    settings = [part for setting in TINY for part in ("--set", setting)]
    asked = ("train", folder, "-o", run, "--arm", "real", "--recipe", "quick", *settings)
    options = ("--epochs", 1, "--folds", 2, "--name", "tiny", "--terms", "none", "--device", "cpu")

    code, said, err = pathogan(*asked, *options, "--events")

    assert (code, err) == (0, "")
    *_, last = (from_json(line) for line in said.splitlines())
    assert isinstance(last, Finished)
    assert last.summary["out_of_fold"]["n_patients"] == 3
    card = ModelCard.model_validate_json((run / "model" / "model.json").read_text())
    assert (card.name, card.licence) == ("tiny", "none")
    assert card.settings["scales"] == [0.5, 1.0]
    further = going_on(RECIPES["quick"], str(run / "model"))
    assert further.scales == (0.5, 1.0)
    assert pathogan("detect", image, "--model", run, "-o", tmp_path / "o.json")[0] == 0
    code, _, err = pathogan(*asked, *options)
    assert code == 2
    assert "--resume" in err
    assert pathogan(*asked, *options, "--resume")[0] == 0
    code, _, err = pathogan(*asked, *options, "--resume", "--seed", 3)
    assert (code, "other settings: seed" in err) == (2, True)
