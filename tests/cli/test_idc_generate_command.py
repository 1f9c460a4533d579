"""``pathogan idc generate`` as it is typed: files that say that they are synthetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from napari_pathogan.engine.models import TrainingData
from napari_pathogan.tasks.idc.generate import IdcGenerator, save
from napari_pathogan.tasks.idc.network import Generator


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    data = TrainingData(name="drawn", terms="none")
    network = Generator(1 / 16, spectral=False)
    recipe = {"width": 1 / 16, "batch_norm": False, "local_noise": False}
    save(tmp_path / "g", network, name="small", data=data, recipe=recipe)
    return tmp_path / "g"


def test_files_are_marked_as_synthetic(tmp_path, exit_code, capsys, model):
    out = tmp_path / "drawn"
    words = ("idc", "generate", "-o", out, "-n", 3, "--label", "IDC", "--seed", 5)
    assert exit_code(*words, "--model", model) == 0
    assert "3 synthetic patches" in capsys.readouterr().out
    files = sorted(out.iterdir())
    assert [f.name for f in files] == [f"synthetic_IDC_seed5_000{i}.png" for i in range(3)]
    drawn = IdcGenerator.load(model, "cpu").generate(3, "IDC", 5)
    for number, (file, image) in enumerate(zip(files, drawn, strict=True)):
        with Image.open(file) as png:
            np.testing.assert_array_equal(np.asarray(png), image)
            assert png.text["synthetic"] == "true"
            assert png.text["label"] == "IDC"
            assert (png.text["seed"], png.text["number"]) == ("5", str(number))
            assert png.text["generator"].startswith("small ")


def test_both_classes_by_turns(tmp_path, exit_code, model):
    assert exit_code("idc", "generate", "-o", tmp_path / "d", "-n", 4, "--model", model) == 0
    names = sorted(f.name for f in (tmp_path / "d").iterdir())
    assert [name.split("_")[1] for name in names] == ["IDC", "IDC", "healthy", "healthy"]


def test_a_killed_one_does_not_block_its_folder(tmp_path, exit_code, model):
    room = tmp_path / "d" / ".pathogan-eot75ohg"
    room.mkdir(parents=True)
    (room / ".pathogan-lock").touch()
    assert exit_code("idc", "generate", "-o", tmp_path / "d", "-n", 1, "--model", model) == 0
    assert [f.suffix for f in (tmp_path / "d").iterdir()] == [".png"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--model", "nowhere"), "no idc-generator model 'nowhere'"),
        (("--model", "idc-cgan"), "no idc-generator model 'idc-cgan'"),
        (("--label", "tumour"), "'tumour' is not one of"),
        (("-n", "0"), "'-n' / '--count'"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path, exit_code, capsys, words, says):
    assert exit_code("idc", "generate", "-o", tmp_path / "d", *words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error
    assert not (tmp_path / "d").exists()


def test_a_folder_that_can_not_be_written(tmp_path, exit_code, capsys, model):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "drawn"
    assert exit_code("idc", "generate", "-o", out, "-n", 1, "--model", model) == 2
    assert "can't write" in capsys.readouterr().err
