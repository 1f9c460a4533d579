"""Layers that go free their shaders where these were made, else Mesa ends the process."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtGui import QOpenGLContext
from vispy.gloo.glir import GlirProgram

from napari_pathogan.plugin.shell.settings import PLUGIN
from napari_pathogan.plugin.viewer import samples

pytestmark = pytest.mark.gui


@pytest.fixture
def freed(monkeypatch):
    """The OpenGL contexts in which shaders were freed."""
    contexts = []
    delete = GlirProgram.delete

    def noted(self):
        contexts.append(QOpenGLContext.currentContext())
        delete(self)

    monkeypatch.setattr(GlirProgram, "delete", noted)
    return contexts


@pytest.fixture(params=["dock", "reader"])
def opened(request, viewer):
    """A layer in a window in which a dock, or nothing but the reader, has been used."""
    if request.param == "dock":
        return request.getfixturevalue("open_dock")[1]
    (layer,) = viewer.open(samples.FOLDER / samples.PHANTOM, plugin=PLUGIN)
    return layer


@pytest.mark.parametrize("how", ["remove", "clear"])
def test_shaders_are_freed_in_the_context_of_the_canvas(opened, freed, viewer, how):
    layer = opened
    canvas = viewer.window._qt_viewer.canvas.native
    viewer.add_labels(np.ones((50, 50), np.uint8))
    viewer.screenshot(flash=False)
    canvas.doneCurrent()  # Qt draws the rest of the window in a context of its own
    if how == "remove":
        viewer.layers.remove(layer)
    else:
        viewer.layers.clear()
    assert freed
    assert set(freed) == {canvas.context()}
