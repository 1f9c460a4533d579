"""``pathogan nuclei train`` and ``evaluate`` as typed: results, JSON, one line for an error."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

COMMAND = ("nuclei",)
QUICK = ["--recipe", "quick", "--width", "2", "--epochs", "1", "--set", "crop=32"]


@pytest.fixture
def folder(tmp_path):
    """Two patients with one image each: a dark square on pink."""
    path = tmp_path / "data"
    for name in ("a_1", "b_1"):
        pixels = np.full((64, 64, 3), (225, 170, 200), np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        mask[20:36, 24:40] = 255
        pixels[mask > 0] = (110, 70, 150)
        for sub, plane in (("images", pixels), ("masks", mask)):
            (path / sub).mkdir(parents=True, exist_ok=True)
            Image.fromarray(plane).save(path / sub / f"{name}.png")
    return path


def test_train_then_evaluate(pathogan, folder, tmp_path):
    run = tmp_path / "run"
    code, out, err = pathogan("train", folder, "-o", run, *QUICK, "--folds", "patients", "--events")
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "finished"
    assert events[-1]["summary"]["out_of_fold"]["n_patients"] == 2
    config = json.loads((run / "config.json").read_text())
    assert (config["folds"], config["width"]) == ("patients", 2)

    code, out, err = pathogan("evaluate", folder, "--model", run, "--json", "--views", "2")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["n_images"] == 2
    assert {"sensitivity", "specificity", "dice", "jaccard", "dice_mean"} <= set(report)
    assert any("trained on 2 of these 2" in note for note in report["notes"])

    code, out, _ = pathogan("evaluate", folder, "--model", run, "--mpp", "0.5", "--threshold", "0")
    assert code == 0
    assert "sensitivity" in out
    assert "1.000" in out  # everything is nucleus from a probability of 0 on


@pytest.mark.parametrize("inside", ["mine", "mine/model"])
def test_a_model_trained_in_a_dock_is_found_by_name(
    pathogan, folder, tmp_path, monkeypatch, inside
):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    assert pathogan("train", folder, "-o", tmp_path / "run", *QUICK, "--name", "mine")[0] == 0
    learnt = tmp_path / "home" / "napari-pathogan" / "models" / inside
    learnt.parent.mkdir(parents=True)
    (tmp_path / "run" / "model").rename(learnt)
    assert pathogan("evaluate", folder, "--model", "mine")[0] == 0
    on = ("train", folder, "-o", tmp_path / "on", *QUICK, "--start", "mine")
    assert pathogan(*on)[0] == 0
    code, _, err = pathogan("evaluate", folder, "--model", "yours")
    assert code == 2
    assert "mine" in err


def test_the_width_is_the_recipes_unless_asked_otherwise(pathogan, folder, tmp_path):
    quick = [argument for argument in QUICK if argument not in {"--width", "2"}]
    assert pathogan("train", folder, "-o", tmp_path / "run", *quick)[0] == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["width"] == 16


def test_a_run_is_not_overwritten_but_resumed(pathogan, folder, tmp_path):
    arguments = ("train", folder, "-o", tmp_path / "run", *QUICK)
    assert pathogan(*arguments)[0] == 0
    code, _, err = pathogan(*arguments)
    assert code == 2
    assert "holds a run already" in err
    code, out, _ = pathogan(*arguments, "--resume")
    assert code == 0
    assert "model:" in out
    code, _, err = pathogan(*arguments, "--resume", "--seed", "1")
    assert code == 2
    assert "other settings: seed" in err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["train", "nowhere"], "nowhere is not a folder"),
        (["train", "{data}", "--folds", "3"], "3 folds of 2 patients"),
        (["train", "{data}", "--folds", "some"], "neither a number of folds nor 'patients'"),
        (["train", "{data}", "--set", "crop=50"], "no multiple of 16"),
        (["train", "{data}", "--set", "speed=1"], "is not a setting"),
        (["train", "{data}", "--patient", "("], "no regular expression"),
        (["train", "{data}", "--device", "tpu"], "device 'tpu' can't be used"),
        (["evaluate", "{data}", "--model", "none"], "no nuclei model 'none'"),
        (["evaluate", "{data}", "--model", "{idc}"], "for 'idc', not for 'nuclei'"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(pathogan, folder, tmp_path, arguments, why):
    from napari_pathogan.engine.models import zoo

    names = {"data": folder, "idc": zoo() / "idc-cgan"}
    output = ["-o", tmp_path / "run"] if arguments[0] == "train" else []
    given = [argument.format(**names) for argument in arguments]
    code, out, err = pathogan(*given, *output)
    assert code == 2
    assert out == ""
    assert why in err
    assert len(err.strip().splitlines()) == 1


def test_a_pretrained_encoder_and_other_laboratories(pathogan, folder, tmp_path):
    run, tiny = tmp_path / "run", ["--width", "2", "--epochs", "1", "--set", "crop=32"]
    asked = [folder, "-o", run, "--backbone", "efficientnet-lite0", *tiny, "--set", "batch=2"]
    others = ["--others", folder, "--folds", "patients"]
    code, out, err = pathogan("train", *asked, *others, "--events")
    assert (code, err) == (0, "")
    summary = json.loads(out.splitlines()[-1])["summary"]
    assert summary["out_of_fold"]["n_images"] == summary["other_laboratories"]["n_images"] == 2
    config = json.loads((run / "config.json").read_text())
    assert (config["backbone"], config["width"], config["views"]) == ("efficientnet-lite0", 2, 2)
    assert pathogan("evaluate", folder, "--model", run, "--json")[0] == 0

    code, _, err = pathogan("train", *asked[:2], tmp_path / "no", "--backbone", "nothing")
    assert code == 2
    assert "no backbone model 'nothing'" in err
    assert not (tmp_path / "no").exists()
