"""What is dropped on the window opens as by File > Open: slides, outlines, a folder of a study."""

from __future__ import annotations

import shutil

import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent

from napari_pathogan.plugin.viewer import samples

pytestmark = pytest.mark.gui


def drop(used, path):
    """Drop a file or folder on the canvas."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    event = QDropEvent(QPointF(200, 200), Qt.DropAction.CopyAction, data, left, none)
    used.viewer.window._qt_viewer.dropEvent(
        event
    )  # Qt lets nobody send it without a hand that drags
    used.rest(0.3)


def layers(used):
    return [
        (x.name, type(x).__name__, tuple(x.extent.world.ravel().round(3)))
        for x in used.viewer.layers
    ]


def clear(used):
    used.viewer.layers.select_all()
    used.viewer.layers.remove_selected()
    used.rest(0.2)


def test_what_is_dropped_opens_as_by_the_menu(used, tmp_path):
    slide = shutil.copy(samples.FOLDER / samples.PHANTOM, tmp_path / "case.ome.tif")
    outlines = shutil.copy(samples.FOLDER / "he_phantom.geojson", tmp_path / "case.geojson")
    study = shutil.copytree(samples.FOLDER / samples.PHANTOM_STUDY / "images", tmp_path / "study")
    for path in (slide, outlines):
        drop(used, path)
    used.wait(lambda: len(used.viewer.layers) > 1, "slide and outlines")
    dropped = layers(used)
    clear(used)
    for path in (slide, outlines):
        used.open(path)
    used.wait(lambda: len(used.viewer.layers) > 1, "slide and outlines")
    assert layers(used) == dropped
    clear(used)
    drop(used, study)
    used.wait(lambda: len(used.viewer.layers) == 4, "the study")
    by_folder = layers(used)
    clear(used)
    used.open(*sorted(study.iterdir()))
    used.wait(lambda: len(used.viewer.layers) == 4, "the study")
    assert sorted(layers(used)) == sorted(by_folder)
