"""A batch as a user starts, stops and looks at it."""

from __future__ import annotations

import shutil

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMessageBox

from desk import choose, press_in
from napari_pathogan.engine.events import Item, Pulse
from napari_pathogan.plugin.viewer import samples

pytestmark = pytest.mark.gui

TASK = "Invasive ductal carcinoma in H&E slides"


@pytest.fixture
def slides(tmp_path):
    folder = tmp_path / "slides"
    folder.mkdir()
    shutil.copy(samples.FOLDER / samples.PHANTOM, folder / "a.ome.tif")
    (folder / "broken.svs").write_text("no slide")
    return folder


def states(dock):
    rows = (dock.slides.topLevelItem(i) for i in range(dock.slides.topLevelItemCount()))
    return {row.text(0): row.text(1) for row in rows}


def test_a_folder_of_slides(desk, slides, tmp_path):
    dock = desk.dock("Batch")
    assert not dock.start.isEnabled()
    with desk.answering(choose(slides)):
        desk.press(dock, "Add folder…")
    desk.type(dock.target, str(tmp_path / "out"))
    desk.wait(dock.start.isEnabled, "the models")
    assert dock.task.currentText() == TASK
    assert dock.model.currentText() == "idc-lite0"
    dock.model.setCurrentText("idc-cgan")  # loads sooner
    desk.picture("batch-before")
    desk.press(dock, "Run")
    desk.wait(dock.result.text, "the batch")
    assert states(dock) == {"a.ome": "done", "broken": "failed"}
    assert "1 of 2 are done, 1 failed" in dock.result.text()
    assert "not a slide" in dock.result.text()
    assert dock.page.isEnabled()
    desk.picture("batch-after")
    row = dock.slides.visualItemRect(dock.slides.topLevelItem(0))
    QTest.mouseClick(dock.slides.viewport(), Qt.MouseButton.LeftButton, pos=row.center())
    assert dock.open.isEnabled()
    QTest.mouseDClick(dock.slides.viewport(), Qt.MouseButton.LeftButton, pos=row.center())
    desk.wait(lambda: len(desk.viewer.layers) >= 2, "the results")
    desk.picture("batch-opened")
    names = [layer.name for layer in desk.viewer.layers]
    assert any("a.ome" in name for name in names)
    assert any("IDC" in name for name in names)


def test_a_batch_that_is_there_is_gone_on_with_if_the_user_says_so(
    desk, slides, tmp_path, monkeypatch
):
    asked = []

    def batch(command):
        asked.append(command)
        yield Item("a.ome", "waits")
        yield Item("a.ome", "runs", 1, 4)
        while True:
            yield Pulse()

    monkeypatch.setattr("napari_pathogan.plugin.batch.dock.batch", batch)
    out = tmp_path / "out"
    out.mkdir()
    (out / "batch.json").write_text("{}")
    dock = desk.dock("Batch")
    with desk.answering(choose(slides)):
        desk.press(dock, "Add folder…")
    desk.type(dock.target, str(out))
    desk.type(dock.mpp, "0.5")
    desk.wait(dock.start.isEnabled, "the models")
    with desk.answering(press_in("No", QMessageBox)):
        desk.press(dock, "Run")
    assert not asked
    with desk.answering(press_in("Yes", QMessageBox)):
        desk.press(dock, "Run")
    desk.wait(lambda: states(dock) == {"a.ome": "25 %"}, "the slide")
    assert "1 slide waits: the model is being loaded" in dock.status.text()
    (command,) = asked
    assert command[:4] == ["idc", str(slides), "-o", str(out)]
    assert command[-1] == "--resume"
    assert command[command.index("--mpp") :][:2] == ["--mpp", "0.5"]
    assert not dock.target.isEnabled()
    desk.picture("batch-running")
    desk.press(dock, "Cancel")
    assert states(dock) == {"a.ome": "stopped"}
    assert "goes on with what is left" in dock.status.text()
    assert dock.target.isEnabled()
