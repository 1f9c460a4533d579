"""Where files are looked for that are to be written."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_pathogan.plugin.shell.exports import ExportButton
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.asking import RESULTS, ask_target

pytestmark = pytest.mark.gui


@pytest.fixture
def offered(monkeypatch, tmp_path):
    """The paths that dialogs began with; each is left."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    seen = []

    def ask(parent, title, path, kinds):
        seen.append(path)
        return "", ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    return seen


class Dock(QWidget):
    """A dock, as its button of exports knows it."""

    layer = None


@pytest.mark.parametrize("task", ["idc", "nuclei", "masses", "virtual-stain"])
def test_an_export_is_written_beside_its_image(qtbot, offered, tmp_path, task):
    dock = Dock()
    qtbot.addWidget(dock)
    dock.layer = Image(np.zeros((4, 4)), metadata={"path": tmp_path / "slide.svs"})
    button = ExportButton(dock, task, "", lambda: "result", lambda *_: None)
    button.setParent(dock)
    actions = button.menu().actions()
    for action in actions:
        action.trigger()
    assert len(offered) == len(actions) > 0
    assert all(path.startswith(str(tmp_path / "result")) for path in offered)


def test_nothing_is_written_among_our_samples(qtbot, offered):
    ask_target(None, "", "a.csv", "*.csv", RESULTS, beside=samples.FOLDER / samples.PHANTOM)
    assert offered == ["a.csv"]
