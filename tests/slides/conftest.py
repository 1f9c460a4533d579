"""What every test of slides needs."""

from __future__ import annotations

import pytest

from napari_pathogan.slides import scales


@pytest.fixture(autouse=True)
def no_remembered_scales(tmp_path_factory, monkeypatch):
    """Keep the tests away from the user's own scales, and from each other's."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setattr(scales, "_store", lambda: folder / "scales.json")
