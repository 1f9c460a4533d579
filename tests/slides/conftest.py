"""What every test of slides needs."""

from __future__ import annotations

import pytest

from napari_pathogan import files


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path_factory, monkeypatch):
    """Keep the tests away from the user's own scales and tissues, and from each other's."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setattr(files, "data_folder", lambda: folder)
