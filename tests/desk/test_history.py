"""One history of a case over all docks: each step is taken back where it was taken, and is brought into view."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QMessageBox

from desk import press_in
from napari_pathogan.plugin.viewer.layers import in_view
from napari_pathogan.tasks.masses.review import Decision

pytestmark = pytest.mark.gui


def draw(used, dock, y, x, size=200):
    used.press(dock.live.draw["IDC"])
    at = dock.layer
    path = [(y, x), (y, x + size), (y + size, x + size), (y + size, x), (y, x)]
    used.drag(*(used.at(at, *point) for point in path))
    used.rest(0.7)


def choose_model(dock, name):
    """As by the mouse."""
    at = dock.form.model.findText(name)
    dock.form.model.setCurrentIndex(at)
    dock.form.model.activated.emit(at)


def test_steps_of_several_docks_are_one_order(used):
    nuclei, idc = used.dock("Nuclei"), used.dock("IDC heat map")
    used.sample("H&E phantom at 40x")
    used.wait(lambda: nuclei.form.run.isEnabled() and idc.form.run.isEnabled(), "the models")
    used.press(nuclei.form.run)
    used.wait(lambda: nuclei.run is None and nuclei.segmentation is not None, "the nuclei")
    slide, count = nuclei.layer, len(nuclei.segmentation)
    assert not nuclei.past.undo.isEnabled(), "there was nothing before the run"
    number = int(nuclei.segmentation.table["id"].iloc[0])
    nuclei.go_to(number)
    used.key("Delete", nuclei)
    assert len(nuclei.segmentation) == count - 1
    choose_model(idc, "idc-cgan")
    used.viewer.layers.selection.active = slide
    used.viewer.reset_view()
    draw(used, idc, 200, 200)
    assert len(idc.live.outlines(slide)) == 1
    other = used.dock("Stain transfer")
    assert [one.past.undo.text() for one in (nuclei, idc, other)] == ["Undo outline of IDC"] * 3
    used.picture("history")
    used.viewer.layers.selection.active = slide
    used.wait(other.form.run.isEnabled, "its model")
    other.form.run.setFocus()
    used.key("Ctrl+Z", other.form.run)
    assert idc.live.outlines(slide) == ()
    assert other.form.status.text() == "Undone: outline of IDC."
    used.key("Ctrl+Z", other.form.run)
    assert idc.form.model.currentText() == "idc-lite0"
    used.viewer.scene.camera.zoom *= 8
    used.viewer.scene.camera.center = tuple(slide.data_to_world((900, 1200)))
    used.canvas().setFocus()
    used.key("Ctrl+Z", used.canvas())
    assert len(nuclei.segmentation) == count
    back = nuclei.segmentation.nucleus(number)
    assert in_view(used.viewer, slide, (back["y_px"] + 0.5, back["x_px"] + 0.5))
    assert not other.past.undo.isEnabled()
    for _ in range(3):
        used.key("Ctrl+Shift+Z", used.canvas())
    assert len(nuclei.segmentation) == count - 1
    assert idc.form.model.currentText() == "idc-cgan"
    assert len(idc.live.outlines(slide)) == 1
    assert not other.past.redo.isEnabled()


def test_an_earlier_run_comes_back_with_its_corrections(used):
    dock = used.dock("Nuclei")
    used.sample("H&E phantom at 40x")
    used.wait(dock.form.run.isEnabled, "the model")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None and dock.segmentation is not None, "the nuclei")
    count = len(dock.segmentation)
    dock.select(int(dock.segmentation.table["id"].iloc[0]))
    used.key("Delete", dock)
    with used.answering(press_in("Yes", QMessageBox)):
        used.press(dock.form.run)
    used.wait(lambda: dock.run is None and len(dock.segmentation) == count, "the second run")
    used.press(dock.past.undo)
    assert dock.form.status.text() == "Undone: the last run."
    assert len(dock.segmentation) == count - 1
    assert "not kept" in dock.unsaved(dock.layer), "they are as they were"
    labels = np.asarray(dock.shown.labels.data)
    assert len(np.unique(labels)) - 1 == count - 1, "and are shown so"
    used.press(dock.past.undo)
    assert len(dock.segmentation) == count
    used.key("Ctrl+Shift+Z", dock)
    used.key("Ctrl+Shift+Z", dock)
    assert len(dock.segmentation) == count
    assert not dock.past.redo.isEnabled()


def test_decisions_on_masses_are_taken_back_in_view_and_runs_too(used):
    dock = used.dock("Mammogram masses")
    used.sample("Mammogram phantom study")
    used.wait(dock.form.run.isEnabled, "the model")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None and len(dock.table.rows) > 3, "the masses")
    dock.table.selectRow(0)
    image, number = dock.finding
    used.press(dock.decisions.reject)
    assert dock.past.undo.text().startswith("Undo rejected (")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None, "the second run")
    assert dock.past.undo.text() == "Undo the last run"
    last = dock.table.rows[-1]
    dock.go_to(last.image, last.number)
    used.key("Ctrl+Z", used.canvas())
    assert dock.reviews.review_of(image).decisions[0] is not None
    used.key("Ctrl+Z", used.canvas())
    review = dock.reviews.review_of(image)
    assert review.decisions[review.index(number)] is Decision.OPEN
    assert dock.finding == (image, number)
    x0, y0, x1, y1 = review.found.boxes[review.index(number)]
    assert in_view(used.viewer, image, ((y0 + y1) / 2, (x0 + x1) / 2))


def test_what_a_user_draws_in_a_layer_of_their_own_is_taken_back_too(used):
    dock = used.dock("IDC heat map")
    used.sample("H&E phantom slide")
    slide = dock.layer
    shapes = used.viewer.add_shapes(
        ndim=2, scale=slide.scale, translate=slide.translate, units=slide.units
    )
    shapes.mode = "add_rectangle"
    for y in (300, 900):
        used.drag(used.at(slide, y, 400), used.at(slide, y + 300, 800))
        used.rest(0.5)
    assert len(shapes.data) == 2
    assert dock.past.undo.text().startswith("Undo drawing in ")
    colours = np.array(shapes.edge_color)
    used.canvas().setFocus()
    used.key("Ctrl+Z", used.canvas())
    assert len(shapes.data) == 1
    used.key("Ctrl+Z", dock)
    assert len(shapes.data) == 0
    for _ in range(2):
        used.key("Ctrl+Shift+Z", used.canvas())
    assert len(shapes.data) == 2
    assert np.allclose(shapes.edge_color, colours)
    used.viewer.layers.remove(shapes)
    assert not dock.past.undo.isEnabled(), "nothing is taken back that nobody sees"
