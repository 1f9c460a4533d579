"""The command line as it is typed, in the process of the test."""

from __future__ import annotations

import sys

import pytest

from napari_pathogan.cli.app import main


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
