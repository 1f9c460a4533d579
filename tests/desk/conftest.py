"""A napari window for each test, with nobody's settings and nobody's files."""

from __future__ import annotations

import functools
import shutil

import pytest

from desk import SIZE, Desk
from napari_pathogan.plugin.shell.settings import choose_usual_readers
from napari_pathogan.study.example import example


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """What the plugin remembers goes to a folder of the test's."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


SMALLER = (1280, 800)  # half as many pixels of the canvas: without graphics a core draws them


@pytest.fixture
def desk(make_napari_viewer, request):
    """A window as a user has it, nothing open; fails on whatever goes wrong in it."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(*(SIZE if request.node.get_closest_marker("timed") else SMALLER))
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


@pytest.fixture(scope="session")
def put_example(tmp_path_factory):
    """Put the study of drawn images, read by so many who have finished, in a folder: it and its key."""

    @functools.cache
    def made(readers):
        folder = tmp_path_factory.mktemp("examples")
        list(example(folder / "example", readers=readers))
        return folder

    def put(folder, readers):
        shutil.copytree(made(readers), folder, dirs_exist_ok=True)
        return folder / "example", folder / "example.key.json"

    return put
