"""Nothing is ever half written."""

from __future__ import annotations

import errno
import os

import pytest

from napari_pathogan.errors import OutputError
from napari_pathogan.files import output_error, sha256, write_text, written


def test_a_file_appears_whole(tmp_path):
    target = tmp_path / "deep" / "inside" / "file.txt"
    with written(target) as beside:
        beside.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file(tmp_path, error):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(error), written(target) as beside:  # noqa: PT012
        beside.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    with written(target) as beside:
        beside.mkdir()
        (beside / "new").touch()
    assert [p.name for p in target.iterdir()] == ["new"]
    with pytest.raises(ValueError), written(target) as beside:  # noqa: PT012
        beside.mkdir()
        raise ValueError
    assert [p.name for p in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_comes_back_if_the_new_one_is_missing(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(OutputError), written(target):
        pass  # nothing was written
    assert [p.name for p in target.iterdir()] == ["old"]


def test_reasons_are_said_in_words(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="part of the path is a file, not a folder"):
        write_text(tmp_path / "file" / "x", "")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_text(tmp_path / "x", "text")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
    assert "no permission" in str(output_error(tmp_path, PermissionError(errno.EACCES, "")))
    assert "odd" in str(output_error(tmp_path, OSError("odd")))


def test_sha256(tmp_path):
    path = tmp_path / "empty"
    path.touch()
    assert sha256(path).startswith("e3b0c44298fc1c14")
