"""Shaders are compiled by another process, once."""

from __future__ import annotations

import logging
import sys
import time

import pytest

from napari_pathogan.plugin.viewer import shaders

pytestmark = pytest.mark.gui


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """Begin as in a process that has not, with no cache; whether another process was started, at its end."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("MESA_SHADER_CACHE_DIR", str(tmp_path / "mesa"))
    monkeypatch.setenv(shaders.VARIABLE, "")

    def begin():
        monkeypatch.setattr(shaders, "_compiling", [])
        shaders.begin()
        started = bool(shaders._compiling)
        shaders.begin()
        assert len(shaders._compiling) <= 1
        while shaders.compiling():
            time.sleep(0.05)
        return started

    return begin


def test_once_in_a_month(begun, monkeypatch):
    """With a process that does nothing; what the real one does, tests/desk/test_first.py sees."""
    monkeypatch.setattr(shaders, "_PROGRAM", (sys.executable, "-c", ""))
    assert begun()
    assert not begun()
    monkeypatch.setattr(shaders, "_LASTS_S", -1)
    assert begun()


def test_off(begun, monkeypatch):
    monkeypatch.setenv(shaders.VARIABLE, "off")
    assert not begun()


@pytest.mark.parametrize("program", [(sys.executable, "-c", "raise SystemExit(3)"), ("/nowhere",)])
def test_nobody_is_troubled_by_its_failure(begun, program, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(shaders, "_PROGRAM", program)
    begun()
    assert "compile" in caplog.text
    assert not shaders._done()


def test_every_kind_of_layer_is_drawn(make_napari_viewer):
    """A window like that of the other process, here."""
    viewer = make_napari_viewer()
    for _ in shaders._kinds(viewer):
        viewer.screenshot(canvas_only=True, flash=False)
    kinds = {type(layer).__name__ for layer in viewer.layers}
    assert kinds == {"Image", "Labels", "Points", "Shapes", "Vectors"}
