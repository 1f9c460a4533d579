"""A napari window for each test, with nobody's settings and nobody's files."""

from __future__ import annotations

import pytest

from desk import SIZE, Desk
from napari_pathogan.plugin.shell.settings import choose_usual_readers


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """What the plugin remembers goes to a folder of the test's."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def desk(make_napari_viewer):
    """A window as a user has it, nothing open; fails on whatever goes wrong in it."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(*SIZE)
    made = Desk(viewer)
    made.window.activateWindow()
    with made.watched():
        made.rest(0.05)
        yield made


@pytest.fixture
def used(desk):
    """A window in which PathoGAN has been used before: napari knows who opens what."""
    choose_usual_readers(None)
    return desk
