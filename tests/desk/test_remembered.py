"""What was chosen in docks comes back in the next napari, without a case."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QDockWidget, QPushButton

from napari_pathogan.plugin.shell import session
from napari_pathogan.plugin.shell.form import above
from napari_pathogan.plugin.viewer.remembered import recall

pytestmark = pytest.mark.gui


def close(used, dock):
    """By the button of its title."""
    bar = above(dock, QDockWidget).titleBarWidget()
    used.press(bar.findChild(QPushButton, "QTitleBarCloseButton"))
    used.rest(0.2)


def test_models_and_thresholds_come_back(used):
    dock = used.dock("IDC heat map")
    used.wait(lambda: dock.card is not None, "the models")
    usual = dock.threshold.value()
    close(used, dock)
    assert "model" not in recall("IDC heat map"), "what was not chosen may be another tomorrow"
    dock = used.dock("IDC heat map")
    used.wait(lambda: dock.card is not None, "the models")
    assert dock.threshold.value() == usual
    at = dock.form.model.findText("idc-cgan")
    assert at > 0
    dock.form.model.setCurrentIndex(at)
    dock.form.model.activated.emit(at)
    dock.threshold.setValue(73)
    close(used, dock)
    dock = used.dock("IDC heat map")
    used.wait(lambda: dock.card is not None, "the models")
    assert dock.form.model.currentText() == "idc-cgan"
    assert dock.threshold.value() == 73
    dock.threshold.setValue(61)
    session.end(used.window)  # as when the window is closed
    assert recall("IDC heat map")["threshold"] == 0.61
