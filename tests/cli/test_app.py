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
