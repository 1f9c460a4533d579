"""The command line as it is typed, in the process of the test."""

from __future__ import annotations

import functools
import sys

import pytest
import typer

from napari_pathogan.cli.app import main


@pytest.fixture(scope="session", autouse=True)
def _command_line():
    """Typer makes the command line anew in each process: here once, not a thousand times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture
def pathogan(request, monkeypatch, capsys):
    """Run ``pathogan``, with what the test file names as its COMMAND: exit code, stdout, stderr."""
    command = getattr(request.module, "COMMAND", ())

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pathogan", *command, *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return run
