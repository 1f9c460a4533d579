"""Deciding on masses: keys and the history, wherever the focus is."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from desk import choose
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.tasks.masses.review import Decision

pytestmark = pytest.mark.gui

VIEW = min((samples.FOLDER / samples.PHANTOM_STUDY / "images").iterdir())


@pytest.fixture
def dock(desk):
    """A view with a mass that was drawn by hand."""
    made = desk.dock("Mammogram masses")
    with desk.answering(choose(VIEW)):
        desk.press(made.welcome.open)
    desk.wait(lambda: made.layer is not None, "the view")
    desk.wait(made.form.run.isEnabled, "the model")
    desk.rest()
    return made


def decisions(dock):
    review = dock.reviews.shown(dock.layer)
    return [] if review is None else list(review.decisions)


def draw(desk, dock, y, x):
    desk.press(dock.decisions.draw)
    before = len(decisions(dock))
    desk.drag(desk.at(dock.layer, y, x), desk.at(dock.layer, y + 90, x + 90))
    desk.wait(lambda: len(decisions(dock)) == before + 1, "the mass", 10)


@pytest.mark.parametrize("where", ["canvas", "dock", "layer list"])
def test_one_history_wherever_the_focus_is(desk, dock, where):
    height, width = dock.layer.data.shape[:2]
    draw(desk, dock, height // 4, width // 4)
    draw(desk, dock, height // 2, width // 4)
    target = {
        "canvas": desk.canvas(),
        "dock": dock.form.run,
        "layer list": desk.viewer.window._qt_viewer.layers,
    }[where]
    target.setFocus()
    assert decisions(dock) == [Decision.DRAWN] * 2
    for count in (1, 0, 0):
        desk.key("Ctrl+Z", target)
        assert decisions(dock) == [Decision.DRAWN] * count
    assert not dock.past.undo.isEnabled()
    for count in (1, 2, 2):
        desk.key("Ctrl+Shift+Z", target)
        assert decisions(dock) == [Decision.DRAWN] * count
    desk.key("Ctrl+Z", target)
    draw(desk, dock, height // 8, width // 4)
    desk.key("Ctrl+Shift+Z", target)  # what was taken back is no more
    assert decisions(dock) == [Decision.DRAWN] * 2


def test_keys_on_the_canvas_decide_on_what_was_clicked(desk, dock):
    height, width = dock.layer.data.shape[:2]
    draw(desk, dock, height // 4, width // 4)
    spot = desk.at(dock.layer, height // 4 + 45, width // 4 + 45)
    QTest.mouseClick(desk.canvas(), Qt.MouseButton.LeftButton, pos=spot)
    desk.rest(0.1)
    assert dock.finding is not None
    desk.canvas().setFocus()
    desk.key("R", desk.canvas())
    assert decisions(dock) in ([], [Decision.REJECTED])
    desk.key("Ctrl+Z", desk.canvas())
    assert decisions(dock) == [Decision.DRAWN]


def test_a_history_is_of_the_dock_whose_image_is_selected(desk, dock):
    height, width = dock.layer.data.shape[:2]
    draw(desk, dock, height // 4, width // 4)
    desk.dock("Nuclei")
    desk.sample("H&E phantom at 40x")
    slide = desk.viewer.layers.selection.active
    assert "slide" in slide.metadata
    desk.canvas().setFocus()
    desk.key("Ctrl+Z", desk.canvas())
    assert decisions(dock) == [Decision.DRAWN]
    desk.viewer.layers.selection.active = dock.layer
    desk.key("Ctrl+Z", desk.canvas())
    assert decisions(dock) == []


def test_drawing_in_a_view_that_is_not_selected_stays_there(desk):
    views = sorted(VIEW.parent.iterdir())
    dock = desk.dock("Mammogram masses")
    with desk.answering(choose(*views)):
        desk.press(dock.welcome.open)
    desk.wait(lambda: len(dock.images) == len(views), "the views")
    desk.wait(dock.form.run.isEnabled, "the model")
    desk.rest()
    for index in range(2):  # of the row of images; the layer list keeps its selection
        dock.form.slide.setCurrentIndex(index)
        image = dock.layer
        desk.rest()
        height, width = image.data.shape[:2]
        draw(desk, dock, height // 4, width // 4)
        assert dock.layer is image
        assert decisions(dock) == [Decision.DRAWN]
        assert dock.layers_of(image).outlines.mode == "pan_zoom"
        assert not dock.decisions.draw.isChecked()


def test_a_decision_goes_on_to_the_next_finding(desk, tmp_path):
    dock = desk.dock("Mammogram masses")
    desk.sample("Mammogram phantom study")
    desk.wait(dock.form.run.isEnabled, "the model")
    desk.press(dock.form.run)
    desk.wait(lambda: dock.run is None and len(dock.table.rows) >= 4, "the masses")
    first, second, *_ = ((row.image, row.number) for row in dock.table.rows)
    dock.table.selectRow(0)
    assert dock.finding == first
    count = len(dock.table.rows)
    desk.press(dock.decisions.accept)
    assert dock.finding == second
    assert dock.form.status.text().endswith(f"{count - 1} to go")
    centre = desk.viewer.scene.camera.center
    desk.key("R", desk.canvas())
    assert dock.finding not in {first, second}
    assert desk.viewer.scene.camera.center != centre
    for _ in range(count - 2):
        desk.key("R", desk.canvas())
    assert dock.form.status.text().endswith("all are decided")
    assert Decision.OPEN not in [row.decision for row in dock.table.rows]
