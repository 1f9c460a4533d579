"""``pathogan nuclei classes`` as typed: train, evaluate, grid, rename; one line for an error."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.engine.models import read_card

COMMAND = ("nuclei", "classes")
QUICK = ["--epochs", "1", "--set", "width=4", "--set", "batch=20", "--set", "rounds=1"]


def draw(path, kinds):
    """Rows of nuclei of three kinds, 40 px apart."""
    rng = np.random.default_rng(len(path.stem))
    image = np.empty((240, 200, 3))
    rows = []
    y, x = np.mgrid[:240, :200]
    for i, kind in enumerate(kinds):
        band = slice(40 * i, 40 * i + 40)
        image[band] = {"a": (150, 110, 180), "b": (235, 205, 225), "c": (228, 160, 195)}[kind]
        for j in range(5):
            cy, cx = 40 * i + 20, 40 * j + 20
            wide = {"a": 7, "b": 4, "c": 9}[kind]
            inside = ((x - cx) / wide) ** 2 + ((y - cy) / {"a": 7, "b": 4, "c": 2}[kind]) ** 2 < 1
            image[inside] = (80, 50, 120)
            rows.append(f"{cx},{cy},{kind}")
    image += rng.normal(0, 6, image.shape)
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)
    return rows


@pytest.fixture
def folder(tmp_path):
    """Two images with points."""
    for sub in ("images", "points"):
        (tmp_path / "data" / sub).mkdir(parents=True)
    for name in ("one", "three"):
        rows = draw(tmp_path / "data" / "images" / f"{name}.png", "aabbcc")
        text = "\n".join(["x,y,class", *rows])
        (tmp_path / "data" / "points" / f"{name}.csv").write_text(text)
    return tmp_path / "data"


@pytest.mark.learning
def test_train_evaluate_grid_and_rename(pathogan, folder, tmp_path, seed, measured):
    run = tmp_path / "run"
    asked = ["train", folder, "-o", run, *QUICK, "--events", "--name", "mine", "--seed", seed]
    code, out, err = pathogan(*asked)
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    assert sorted(events[-1]["summary"]["classes"]) == ["a", "b", "c"]
    assert read_card(run / "model").name == "mine"
    code, out, _ = pathogan("evaluate", folder, "--model", run, "--json", "--resnet", "none")
    found = json.loads(out)
    assert code == 0
    assert found["accuracy"].keys() == {"value", "low", "high"}
    assert measured("accuracy", found["accuracy"]["value"]) > 0.8
    assert {"f1_a", "precision_b", "sensitivity_c", "ari", "nmi", "kmeans_pixels_accuracy"} <= set(
        found
    )
    assert found["n_nuclei"] == 60
    code, out, _ = pathogan("evaluate", folder, "--model", run)
    assert code == 0
    assert "kmeans_resnet_accuracy" in out
    assert "random weights" in " ".join(out.split())

    code, out, _ = pathogan("grid", run, "-o", tmp_path / "grid.png", "--rows", 3, "--zoom", 1)
    assert (code, "synthetic" in out) == (0, True)
    assert Image.open(tmp_path / "grid.png").size == (2 + 42 * 3, 6 + 42 * 3)

    options = ["--name", "1=tumour", "--colour", "1=#00ff00"]
    code, out, _ = pathogan("rename", run, "-o", tmp_path / "own", *options)
    assert code == 0
    card = read_card(tmp_path / "own")
    assert card.classes[1] == "tumour"
    assert card.settings["colours"][1] == "#00ff00"
    assert card.name == "own"

    like = ["--like", tmp_path / "own", "--on", folder]
    code, out, _ = pathogan("rename", run, "-o", tmp_path / "alike", *like)
    assert code == 0
    assert out.startswith("100.0% of 60 nuclei are called the same")
    assert read_card(tmp_path / "alike").classes == card.classes


@pytest.mark.learning
def test_taught_by_labels(pathogan, folder, tmp_path):
    """As any class model: evaluated beside its baseline, renamed; but it draws nothing."""
    run = tmp_path / "run"
    code, out, err = pathogan("train", folder, "-o", run, "--labels", "--events")
    assert (code, err) == (0, "")
    assert sorted(json.loads(out.splitlines()[-1])["summary"]["classes"]) == ["a", "b", "c"]
    code, out, _ = pathogan("evaluate", folder, "--model", run, "--json", "--resnet", "none")
    found = json.loads(out)
    assert code == 0
    assert found["accuracy"]["value"] > 0.9
    assert {"baseline_accuracy", "kmeans_rings_accuracy"} <= set(found)
    assert any(note.startswith("baseline: logistic regression") for note in found["notes"])
    code, _, _ = pathogan("rename", run, "-o", tmp_path / "own", "--name", "1=tumour")
    assert (code, read_card(tmp_path / "own").classes[1]) == (0, "tumour")
    code, _, err = pathogan("grid", run, "-o", tmp_path / "grid.png")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "was taught by labels and draws no nuclei" in err


def test_resumed_after_it_was_finished(pathogan, folder, tmp_path):
    asked = ["train", folder, "-o", tmp_path / "run", *QUICK, "--set", "told=true"]
    assert pathogan(*asked)[0] == 0
    code, _, err = pathogan(*asked)
    assert code == 2
    assert "holds a run already; resume it" in err
    assert pathogan(*asked, "--resume")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "DATA", "-o", "OUT", "--set", "speed=3"], "is not a setting"),
        (["train", "DATA", "-o", "OUT", "--set", "head=flat"], "needs head=figures"),
        (["train", "DATA", "-o", "OUT", "--seeds", "2"], "held out; 2 are too few"),
        (
            ["train", "DATA", "-o", "OUT", "--labels", "--classes", "4"],
            "the nuclei have 3 (a, b, c)",
        ),
        (["train", "DATA", "-o", "OUT", "--labels", "--epochs", "3"], "would count for nothing"),
        (["train", "DATA", "-o", "OUT", "--backbone", "x"], "it is for --labels"),
        (["train", "NOWHERE", "-o", "OUT"], "is not a folder"),
        (["evaluate", "DATA", "--model", "idc-cgan"], "no nuclei-classes model 'idc-cgan'"),
        (["evaluate", "DATA", "--resnet", "vgg"], "is none of resnet18"),
        (["grid", "nothing", "-o", "g.png"], "no nuclei-classes model 'nothing'"),
        (["rename", "nothing", "-o", "OUT", "--like", "x"], "--like and --on go together"),
    ],
)
def test_wrong_input_is_one_line(pathogan, folder, tmp_path, arguments, message):
    places = {"DATA": folder, "OUT": tmp_path / "out", "NOWHERE": tmp_path / "nowhere"}
    code, _, err = pathogan(*(places.get(a, a) for a in arguments))
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out" / "model").exists()
