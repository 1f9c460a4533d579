"""The command itself: its version, its help, its errors."""

from __future__ import annotations

import pytest

import napari_pathogan
from napari_pathogan.cli.app import main


def run(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["pathogan", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code)


def test_says_its_version(monkeypatch, capsys):
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == f"napari-pathogan {napari_pathogan.__version__}"


@pytest.mark.parametrize("words", [("nonsense",), ("idc", "nonsense"), ("info", "--nonsense")])
def test_a_wrong_word_is_one_line_and_exit_code_2(monkeypatch, capsys, words):
    assert run(monkeypatch, *words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert "--help" in said.err


TRAININGS = ("idc train", "nuclei train", "nuclei classes train", "masses train", "stain train")


@pytest.mark.parametrize("command", [*TRAININGS, "masses blend-train"])
def test_no_training_gives_its_model_a_name_that_leads_elsewhere(
    monkeypatch, capsys, command, tmp_path
):
    out = str(tmp_path / "run")
    assert run(monkeypatch, *command.split(), str(tmp_path), "-o", out, "--name", "../x") == 2
    assert "a model can't be called '../x'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
