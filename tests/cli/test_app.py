"""The command itself: its version, its help, its errors."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import napari_pathogan
import napari_pathogan.cli.app as app_module
from napari_pathogan.engine import verbs
from napari_pathogan.engine.config import SettingError
from napari_pathogan.tasks import task_of
from patience import PATIENCE_S


def test_says_its_version(exit_code, capsys):
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.strip() == f"napari-pathogan {napari_pathogan.__version__}"


@pytest.mark.parametrize("words", [("nonsense",), ("idc", "nonsense"), ("info", "--nonsense")])
def test_a_wrong_word_is_one_line_and_exit_code_2(exit_code, capsys, words):
    assert exit_code(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert "--help" in said.err


TRAININGS = ("idc train", "nuclei train", "nuclei classes train", "masses train", "stain train")


@pytest.mark.parametrize("command", [*TRAININGS, "masses blend-train"])
def test_no_training_gives_its_model_a_name_that_leads_elsewhere(
    exit_code, capsys, command, tmp_path
):
    out = str(tmp_path / "run")
    assert exit_code(*command.split(), str(tmp_path), "-o", out, "--name", "../x") == 2
    assert "a model can't be called '../x'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_choice_that_there_is_not_is_said_with_those_there_are(pathogan):
    code, _, said = pathogan("idc", "train", "there", "-o", "run", "--method", "xyz")
    assert code == 2
    assert "'--method': 'xyz' is not one of 'cgan', 'cnn', 'frozen'" in said


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM there")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_an_end_from_outside_acts_as_ctrl_c(name):
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip("this system has no such signal")
    code = (
        "import time, napari_pathogan.cli.app as cli;"
        "cli.app = lambda **_: (print('ready', flush=True), time.sleep(60)); cli.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.send_signal(number)
        said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 2
    assert said.startswith("pathogan: interrupted")


def test_a_disk_that_is_full_on_the_way_is_one_sentence(monkeypatch, capsys):
    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")

    monkeypatch.setattr(app_module, "app", full)
    with pytest.raises(SystemExit, match="2"):
        app_module.main()
    assert "/tmp/x: the disk is full" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("words", [("study", "config"), ("models", "list")])
def test_an_output_that_takes_no_more_is_one_sentence(words):
    code = "import sys, napari_pathogan.cli.app as cli; cli.main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == (
        "pathogan: can't write the output: the disk is full; choose another place or free it\n"
    )


@pytest.mark.parametrize(
    ("task", "recipe", "options", "settings"),
    [
        ("masses", "quick", {"weights": "coco.safetensors"}, ()),
        ("masses", "quick", {"weights": "x", "arm": "real"}, ()),
        ("masses", "paper", {}, ("width=8",)),
        ("masses", "paper", {"arm": "real"}, ("synthetic=9",)),
        ("idc", "quick", {"method": "cnn"}, ("penalty=2",)),
        ("idc", "quick", {"method": "cnn", "backbone": "resnet18", "width": 2.0}, ()),
        ("idc", "quick", {"method": "frozen", "epochs": 3}, ()),
        ("idc", "quick", {"method": "frozen"}, ("augment.mix=0.1",)),
    ],
)
def test_what_a_recipe_does_not_read_is_refused(task, recipe, options, settings, tmp_path):
    asked = verbs.train(
        task_of(task), tmp_path, tmp_path / "run", recipe=recipe, settings=settings, **options
    )
    with pytest.raises(SettingError, match="would count for nothing"):
        list(asked)
    assert not (tmp_path / "run").exists()
