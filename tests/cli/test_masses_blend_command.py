"""``pathogan masses blend`` and ``blend-train`` as they are typed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.tasks.blending.model import BlendModel
from napari_pathogan.tasks.masses.data import (
    MassImage,
    ellipses,
    read_mass_folder,
    write_mass_folder,
)

SHAPE = (256, 192)


@pytest.fixture(scope="module")
def masses(tmp_path_factory):
    """Two drawn breasts, one with a mass."""
    path = tmp_path_factory.mktemp("blend") / "set"
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = ((y - 128) / 118) ** 2 + (x / 150) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 0.01, SHAPE)
    breast = np.where(inside, 0.4 + noise, 0)
    box = np.array([[50, 110, 75, 135]], np.float32)
    mass = ellipses(box, SHAPE)
    with write_mass_folder(path) as add:
        add(MassImage("sick", "p", breast + 0.2 * mass[0], box, mass, "L", "CC", synthetic=False))
        nothing = np.zeros((0, 4), np.float32), np.zeros((0, *SHAPE), bool)
        add(MassImage("well", "q", breast, *nothing, "R", "CC", synthetic=False))
    return path


def test_everything_says_that_it_is_synthetic(masses, tmp_path, exit_code, capsys):
    out = tmp_path / "out"
    words = ("masses", "blend", masses, "-o", out, "-n", 2, "--method", "poisson", "--seed", 3)
    assert exit_code(*words) == 0
    assert "2 synthetic mammograms" in capsys.readouterr().out
    made = read_mass_folder(out)
    assert made.synthetic.all()
    assert made.patients.tolist() == ["q", "q"]
    assert made.laterality.tolist() == ["R", "R"]
    assert made.n_masses.tolist() == [1, 1]
    assert all("synthetic" in file.name for file in made.files)
    for i, file in enumerate(made.files):
        with Image.open(file) as png:
            assert png.text["synthetic"] == "true"
        x0, y0, x1, y1 = made.boxes[i][0].astype(int)
        outline = made.mask(i)[0]
        assert outline[y0:y1, x0:x1].sum() == outline.sum() > 0
    about = json.loads((out / "synthetic.json").read_text())
    assert about["synthetic"] is True
    assert about["method"] == "poisson"
    assert {one["lesion"] for one in about["images"].values()} == {"sick, mass 1"}
    assert {one["healthy"] for one in about["images"].values()} == {"well.png"}


def test_a_network_is_trained_resumed_and_used(masses, tmp_path, exit_code, capsys):
    words = ["masses", "blend-train", masses, "-o", tmp_path / "run", "--epochs", 1, "--width", 2]
    words += ["--set", "steps=1", "--set", "batch=1", "--set", "crop=64", "--device", "cpu"]
    words += ["--method", "adversarial", "--terms", "drawn"]
    assert exit_code(*words) == 0
    model = BlendModel.load(tmp_path / "run", "cpu")
    assert model.method == "adversarial"
    assert model.card.licence == "drawn"
    assert model.card.name == "run"
    assert exit_code(*words) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert exit_code(*words, "--resume", "--events") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0]["message"] == "resumed after epoch 1 of 1"
    assert events[-1]["event"] == "finished"
    out = tmp_path / "out"
    blend = ("masses", "blend", masses, "-o", out, "-n", 1, "--model", tmp_path / "run")
    assert exit_code(*blend, "--method", "adversarial", "--device", "cpu") == 0
    about = json.loads((out / "synthetic.json").read_text())
    assert about["sha256"] == model.card.sha256


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--method", "adversarial"), "adversarial needs a network of its own"),
        (("--method", "paste"), "'paste' is not one of"),
        (("--model", "nowhere"), "no masses-blending model 'nowhere'"),
        (("-n", "0"), "'-n' / '--count'"),
    ],
)
def test_one_line_says_what_is_wrong(  # noqa: PLR0917
    masses, tmp_path, exit_code, capsys, words, says
):
    assert exit_code("masses", "blend", masses, "-o", tmp_path / "d", *words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error
    assert not (tmp_path / "d").exists()


def test_folders_that_do_not_serve(masses, tmp_path, exit_code, capsys):
    words = ("--method", "poisson")
    assert exit_code("masses", "blend", tmp_path, "-o", tmp_path / "d", *words) == 2
    assert "images.csv" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    assert exit_code("masses", "blend", masses, "-o", tmp_path / "full", *words) == 2
    assert "is there already" in capsys.readouterr().err
