"""A reader draws on a real section, and the map follows; every version can be had again."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from qtpy.QtWidgets import QApplication, QDockWidget, QPushButton

from desk import Answer, choose, press_in
from napari_pathogan.engine.before_after import RULE, fell
from napari_pathogan.engine.models import read_card
from napari_pathogan.plugin.shell.closing import may_stop
from napari_pathogan.plugin.shell.form import above
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.commands import show_slide

pytestmark = [pytest.mark.gui, pytest.mark.timeout(600)]

SIZE = 2  # cells along each side of what is drawn around
NAME, CELL, FIRST = "9260", 50, 51  # a patch in pixels, and where the grid of labels begins


@pytest.fixture
def section(tmp_path):
    """A real section at 4 um/px in a TIFF, and its labels (H, W)."""
    root = Path(os.environ.get("PATHOGAN_DATA", Path(__file__).parents[3] / "shared" / "data"))
    image = root / "idc" / "slides" / f"{NAME}.png"
    if not image.is_file():
        pytest.skip("no real slides here (set PATHOGAN_DATA)")
    path = tmp_path / "section.tif"
    columns = 24  # the left half will do
    pixels = np.asarray(Image.open(image).convert("RGB"))[:, : FIRST + CELL * columns]
    per_cm = 1e4 / 4
    tifffile.imwrite(
        path, pixels, photometric="rgb", tile=(256, 256), resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
    )  # fmt: skip
    return path, np.load(image.with_name(f"{NAME}_labels.npy"))[:, :columns]


def blocks_of(labels, label):
    """The upper left cells of blocks of cells that are all labelled so."""
    rows, cols = (n - SIZE for n in labels.shape)
    cells = ((row, col) for row in range(rows) for col in range(cols))
    return [(r, c) for r, c in cells if (labels[r : r + SIZE, c : c + SIZE] == label).all()]


def draw(desk, dock, name, corner):
    """Draw around a block of cells, freehand."""
    desk.press(dock.live.draw[name])
    top, left = (FIRST + CELL * i for i in corner)
    bottom, right = top + SIZE * CELL, left + SIZE * CELL
    path = [
        *((top, x) for x in np.linspace(left, right, 6)),
        *((y, right) for y in np.linspace(top, bottom, 6)),
        *((bottom, x) for x in np.linspace(right, left, 6)),
        *((y, left) for y in np.linspace(bottom, top, 6)),
    ]
    desk.drag(*(desk.at(dock.layer, y, x) for y, x in path))


def shown(dock):
    """The probabilities in view."""
    return np.array(dock.shown.images["probability"].data)


def test_the_map_follows_what_is_drawn_and_is_had_again(used, section):
    desk, (path, labels) = used, section
    show_slide(desk.viewer, path)
    dock = desk.dock("IDC heat map")
    live = dock.live
    desk.wait(dock.form.run.isEnabled, "the model")
    desk.press(dock.form.run)
    desk.wait(lambda: dock.run is None and dock.heat is not None, "the run")
    first = shown(dock)
    desk.picture("live-1-run")

    desk.press(live.switch)
    desk.wait(lambda: live.run is None and live.versions.count() == 1, "a look at the section")
    here = next(iter(live.slides.values()))
    for number, (name, label) in enumerate((("IDC", 1), ("healthy", 0))):
        draw(desk, dock, name, blocks_of(labels, label)[0])
        desk.wait(lambda n=number: len(here.outlines) == n + 1, "it is kept")
        if not number:
            desk.wait(lambda: "draw around healthy too" in live.status.text(), "what is missing")
    desk.wait(lambda: live.versions.count() == 2 and live.run is None, "a new map")
    desk.rest(0.5)
    desk.picture("live-2-followed")
    assert "refitted in" in live.status.text()
    assert "was not measured" in dock.meaning.text()
    assert "The true share" not in dock.form.result.text(), "that is of the model before"
    assert (path.parent / "section.tif.idc.geojson").is_file()
    assert dock.heat.model == "idc-lite0, annotated 1"
    assert "refitted to annotations of this slide" in dock.meaning.text()
    changed = shown(dock)
    assert np.nanmax(np.abs(changed - first)) > 0.05
    assert dock.shown.images["probability"].metadata["heat_map"] is dock.heat

    draw(desk, dock, "healthy", blocks_of(labels, 0)[-1])
    desk.wait(lambda: live.versions.count() == 3 and live.run is None, "the next map")
    desk.press(live.undo)
    desk.rest(0.3)
    assert np.array_equal(shown(dock), changed, equal_nan=True)
    desk.press(live.undo)
    desk.rest(0.3)
    assert dock.heat.model == "idc-lite0"
    assert dock.meaning.text().startswith("Finds")
    np.testing.assert_allclose(shown(dock), first, atol=0.01)
    desk.picture("live-3-undone")
    assert not live.keep.isEnabled()

    live.versions.setCurrentIndex(2)
    desk.rest(0.3)
    desk.press(live.keep)
    desk.wait(lambda: "Kept as idc-lite0-own-1" in live.status.text(), "the model")
    desk.picture("live-4-kept")
    assert (
        read_card(settings().own_models / "idc-lite0-own-1" / "model").recipe["parent"]
        == "idc-lite0"
    )
    assert dock.form.model.findText("idc-lite0-own-1") >= 0
    assert desk.cut_texts(dock) == []


def test_undoing_an_outline_takes_back_what_the_map_learnt_from_it(used, section):
    desk, (path, labels) = used, section
    show_slide(desk.viewer, path)
    dock = desk.dock("IDC heat map")
    live = dock.live
    desk.wait(dock.form.run.isEnabled, "the model")
    desk.press(dock.form.run)
    desk.wait(lambda: dock.run is None and dock.heat is not None, "the run")
    desk.press(live.switch)
    desk.wait(lambda: live.run is None and live.versions.count() == 1, "a look at the section")
    maps = []
    for number, (name, label, at) in enumerate(
        (("IDC", 1, 0), ("healthy", 0, 0), ("healthy", 0, -1))
    ):
        draw(desk, dock, name, blocks_of(labels, label)[at])
        count = 1 + number
        desk.wait(lambda n=count: live.versions.count() == max(n, 1) and live.run is None, "a map")
        desk.wait(lambda n=number: len(live.slides[dock.layer].outlines) == n + 1, "it is kept")
        desk.rest(0.3)
        maps.append(shown(dock))
    assert np.nanmax(np.abs(maps[2] - maps[1])) > 0.01

    desk.key("Ctrl+Z")
    desk.wait(lambda: live.versions.count() == 4 and live.run is None, "the map without it")
    desk.rest(0.3)
    np.testing.assert_allclose(shown(dock), maps[1], atol=1e-4)
    desk.key("Ctrl+Z")  # healthy tissue is missing now: nothing can be learnt
    desk.wait(lambda: live.version == 0 and live.run is None, "the map of the model as it was")
    desk.rest(0.3)
    np.testing.assert_allclose(shown(dock), maps[0], atol=0.01)
    assert "draw around healthy too" in live.status.text()
    desk.key("Ctrl+Shift+Z")
    desk.wait(lambda: live.versions.count() == 5 and live.run is None, "the map with it again")
    desk.rest(0.3)
    np.testing.assert_allclose(shown(dock), maps[1], atol=1e-4)


@pytest.fixture
def phantom(used, tmp_path):
    """The IDC dock on a copy of the sample."""
    path = tmp_path / "section.tif"
    shutil.copy(samples.FOLDER / samples.PHANTOM, path)
    show_slide(used.viewer, path)
    dock = used.dock("IDC heat map")
    used.wait(dock.form.run.isEnabled, "the model")
    return dock


def draw_square(desk, dock, name, y, x):
    """Draw around a square; where, in shares of the slide."""
    side = 0.1
    rows, columns = dock.layer.data[0].shape[:2]
    desk.press(dock.live.draw[name])
    corners = [(0, 0), (0, side), (side, side), (side, 0), (0, 0)]
    desk.drag(*(desk.at(dock.layer, (y + v) * rows, (x + u) * columns) for v, u in corners))


def test_outlines_are_as_wide_on_the_screen_at_any_zoom(used, phantom):
    desk, live = used, phantom.live
    camera = desk.viewer.scene.camera

    def widths():
        shapes = live.slides[phantom.layer].shapes
        return (
            np.array([*shapes.edge_width, shapes.current_edge_width])
            * camera.zoom
            * shapes.scale[0]
        )

    draw_square(desk, phantom, "IDC", 0.45, 0.45)
    desk.wait(lambda: len(live.slides[phantom.layer].outlines) == 1, "it is kept")
    np.testing.assert_allclose(widths(), 2, rtol=0.25)
    for factor in (6, 1 / 18):
        camera.zoom *= factor
        desk.rest(0.4)
        np.testing.assert_allclose(widths(), 2, rtol=0.25)
        desk.picture(f"edges-{factor:.2f}")
    camera.zoom *= 3
    desk.rest(0.4)
    draw_square(desk, phantom, "healthy", 0.6, 0.3)
    desk.wait(lambda: len(live.slides[phantom.layer].outlines) == 2, "it is kept")
    for keys in ("Ctrl+Z", "Ctrl+Shift+Z"):
        desk.key(keys)
        desk.rest(0.5)
        np.testing.assert_allclose(widths(), 2, rtol=0.25)
    assert phantom.form.status.text() == "Done again: outline of healthy."
    draw_square(desk, phantom, "healthy", 0.3, 0.6)
    desk.wait(lambda: len(live.slides[phantom.layer].outlines) == 3, "it is kept")
    assert not phantom.form.status.text(), "it speaks of what was done before"
    desk.picture("edges-drawn")


@pytest.mark.parametrize("way", ["model", "case", "file"])
def test_a_fitted_map_that_is_kept_nowhere_is_asked_about(used, phantom, tmp_path, way):
    desk, live = used, phantom.live
    close = (
        above(phantom, QDockWidget).titleBarWidget().findChild(QPushButton, "QTitleBarCloseButton")
    )
    if way == "model":
        desk.press(live.switch)
        for name, x in (("IDC", 0.35), ("healthy", 0.55)):
            desk.wait(lambda: live.run is None, "the map before")
            draw_square(desk, phantom, name, 0.4, x)
    else:
        desk.press(live.fit)
    desk.wait(lambda: live.run is None and live.version > 0, "the fitted map")
    with desk.answering(press_in("Don't close")) as (asked,):
        desk.press(close)
    assert "The fitted map of section.tif would be lost" in asked.text
    assert phantom.isVisible()
    if way == "model":
        desk.press(live.keep)
        desk.wait(lambda: "Kept as" in live.status.text(), "the model")
    elif way == "file":
        with desk.answering(choose(tmp_path / "map.ome.zarr")):
            phantom.export.menu().actions()[0].trigger()
        desk.wait(lambda: "Saved" in phantom.form.status.text(), "the file")
    else:
        slides = desk.dock("Slides")
        desk.rest(0.8)
        with desk.answering(choose(tmp_path / "case")):
            desk.press(slides, "Save case…")
        desk.wait(lambda: slides.said.text().startswith("Saved"), "the case")
    desk.press(close)
    assert desk.docked("IDC heat map") is None


@pytest.mark.parametrize("way", ["dock", "window", "slide"])
def test_what_was_drawn_a_moment_ago_is_kept(used, tmp_path, way):
    """Before it is followed: the dock is closed, the window, or another slide is chosen."""
    desk, path = used, tmp_path / "section.tif"
    shutil.copy(samples.FOLDER / samples.PHANTOM, path)
    show_slide(desk.viewer, path)
    dock = desk.dock("IDC heat map")
    desk.wait(dock.form.run.isEnabled, "the model")
    dock.live._soon.setInterval(1_000_000)
    desk.press(dock.live.draw["IDC"])
    corners = [(400, 400), (400, 700), (700, 700), (700, 400), (400, 400)]
    desk.drag(*(desk.at(dock.layer, *corner) for corner in corners))
    kept = tmp_path / "section.tif.idc.geojson"
    assert not kept.exists()
    if way == "dock":
        bar = above(dock, QDockWidget).titleBarWidget()
        desk.press(bar.findChild(QPushButton, "QTitleBarCloseButton"))
    elif way == "window":
        assert may_stop(desk.window)  # as it asks before it closes
    else:
        desk.sample("H&E phantom at 40x")
    desk.wait(kept.is_file, "it is kept")


def test_what_was_drawn_is_back_when_the_slide_is_opened_again(used, section):
    desk, (path, labels) = used, section
    show_slide(desk.viewer, path)
    dock = desk.dock("IDC heat map")
    desk.wait(dock.form.run.isEnabled, "the model")
    draw(desk, dock, "IDC", blocks_of(labels, 1)[0])
    kept = path.parent / "section.tif.idc.geojson"
    desk.wait(kept.is_file, "it is kept though nothing follows")
    assert dock.heat is None
    layer = dock.layer
    (shapes,) = (x for x in desk.viewer.layers if x.name.startswith("IDC annotations"))
    corners = np.array(shapes.data[0])
    desk.viewer.layers.clear()
    desk.rest(0.5)
    show_slide(desk.viewer, path)
    desk.wait(lambda: dock.layer not in (None, layer), "the slide")
    desk.wait(lambda: "Annotated before: 1 IDC" in dock.live.status.text(), "the outline")
    (back,) = (x for x in desk.viewer.layers if x.name.startswith("IDC annotations"))
    np.testing.assert_allclose(back.data[0], corners, atol=0.02)


def test_what_other_classes_count_as_is_seen_and_said(used, section):
    from napari_pathogan.plugin.idc.classes import ClassesDialog

    desk, (path, labels) = used, section
    drawn = []
    for name, label in (("Krebs", 1), ("Normal", 0)):
        top, left = (FIRST + CELL * i for i in blocks_of(labels, label)[0])
        bottom, right = top + SIZE * CELL, left + SIZE * CELL
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        drawn.append({
            "type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"classification": {"name": name}},
        })  # fmt: skip
    kept = path.with_name("section.tif.idc.geojson")
    kept.write_text(json.dumps({"type": "FeatureCollection", "features": drawn}))
    show_slide(desk.viewer, path)
    dock = desk.dock("IDC heat map")
    desk.wait(dock.form.run.isEnabled, "the model")
    desk.wait(lambda: "Krebs left out: 'Classes…' says" in dock.live.status.text(), "the outlines")
    seen = {}

    def krebs_is_idc(dialog):
        seen.update({name: row.currentText() for name, row in dialog.rows.items()})
        dialog.rows["Krebs"].setCurrentText("IDC")
        dialog.accept()

    with desk.answering(Answer(ClassesDialog, krebs_is_idc)):
        desk.press(dock.live.classes)
    assert seen == {"Krebs": "unknown", "Normal": "healthy"}
    assert "left out" not in dock.live.status.text()
    desk.press(dock.live.switch)
    desk.wait(lambda: "4 healthy and 4 IDC patches" in dock.live.status.text(), "both count")
    desk.wait(lambda: dock.live.versions.count() == 2, "a version that learnt them")


def test_what_is_probably_mislabelled_is_listed_gone_to_and_called_anew(used, section):
    desk, (path, labels) = used, section
    corners = {
        name: [
            (row, col) for row, col in blocks_of(labels, label) if not (row % SIZE or col % SIZE)
        ]
        for name, label in (("IDC", 1), ("healthy", 0))
    }  # that don't overlap
    features = []
    for name, where in (
        *(("IDC", corner) for corner in corners["IDC"][:4]),
        *(("healthy", corner) for corner in corners["healthy"][:4]),
        ("IDC", corners["healthy"][-1]),  # by mistake
    ):
        top, left = (FIRST + CELL * i for i in where)
        bottom, right = top + SIZE * CELL, left + SIZE * CELL
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"classification": {"name": name}},
            }
        )
    kept = path.parent / "section.tif.idc.geojson"
    kept.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    show_slide(desk.viewer, path)
    dock = desk.dock("IDC heat map")
    live, doubts = dock.live, dock.live.doubts
    desk.wait(lambda: live.run is None and live.check_all.isEnabled(), "what was drawn before")
    assert not doubts.isVisible()
    desk.press(live.check_all)
    desk.wait(lambda: doubts.isVisible() and live.run is None, "the list")
    desk.picture("check-1-listed")
    assert "judged by what the others teach" in doubts.said.text()
    wrong = next(i for i, doubt in enumerate(doubts.rows) if doubt.number == 8)
    assert wrong < 4, "what was drawn by mistake is among the first"
    doubts.table.selectRow(wrong)
    desk.rest(0.3)
    place = doubts.rows[wrong].place
    middle = dock.layer.world_to_data(desk.viewer.scene.camera.center[-2:])
    np.testing.assert_allclose(
        middle, (place.y + place.height / 2 - 0.5, place.x + place.width / 2 - 0.5), atol=1
    )
    if not doubts.rows[wrong].disagrees:
        pytest.skip("the model agrees with the mistake on this processor")
    desk.press(doubts.accept)
    names = lambda: [one.class_name for one in next(iter(live.slides.values())).outlines]  # noqa: E731
    desk.wait(lambda: names().count("healthy") == 5, "it is kept")
    written = json.loads(kept.read_text())["features"]
    said = [one["properties"]["classification"]["name"] for one in written]
    assert (said.count("IDC"), said.count("healthy")) == (4, 5)
    assert doubts.table.item(wrong, 0).text() == "healthy"
    desk.picture("check-2-accepted")
    desk.press(doubts.back)
    desk.wait(lambda: names().count("IDC") == 5, "it is as it was")
    assert not doubts.back.isEnabled()
    cells = [doubts.cells.itemText(i) for i in range(doubts.cells.count())]
    doubts.cells.setCurrentIndex(
        [text.startswith("Drawn IDC, model healthy") for text in cells].index(True)
    )
    assert doubts.rows
    assert all(one.counts_as == "IDC" and one.otherwise for one in doubts.rows)
    assert desk.cut_texts(dock) == []


@pytest.mark.timeout(1200)
def test_open_annotate_live_deep_cancel_deep_accept_undo(used, section):  # noqa: PLR0915
    from napari_pathogan.plugin.shell.jobs import Jobs
    from napari_pathogan.plugin.shell.train_dialog import TrainDialog

    desk, (path, labels) = used, section
    show_slide(desk.viewer, path)
    dock = desk.dock("IDC heat map")
    live, training = dock.live, dock.training
    desk.wait(dock.form.run.isEnabled, "the model")
    assert not training.button.isEnabled(), "nothing is drawn yet"
    desk.press(live.switch)
    desk.wait(lambda: live.run is None and live.versions.count() == 1, "a look at the section")
    here = next(iter(live.slides.values()))
    corners = {
        name: [
            (row, col) for row, col in blocks_of(labels, label) if not (row % SIZE or col % SIZE)
        ]
        for name, label in (("IDC", 1), ("healthy", 0))
    }
    for number, name in enumerate(("IDC", "healthy", "IDC", "healthy")):
        draw(desk, dock, name, corners[name][number // 2])
        desk.wait(lambda n=number: len(here.outlines) == n + 1, "it is kept")
    desk.wait(lambda: live.run is None and live.versions.count() > 1, "the head follows")

    seen = {}

    def look_and_train(dialog):
        desk.wait(dialog.go.isEnabled, "what there is to learn from")
        seen["about"], seen["source"] = dialog.about.text(), dialog.source.text()
        seen["cut"] = desk.cut_texts(dialog)
        dialog.copy_command()
        seen["command"] = QApplication.clipboard().text()
        desk.picture("deep-1-dialog")
        if seen.setdefault("tries", []):  # the second time for a short while
            dialog.advanced.click()
            for name, few in (("epochs", 2), ("steps", 5)):
                dialog.form.widgets[name].value = few
        seen["tries"].append(dialog.changes)
        dialog.go.click()

    with desk.answering(Answer(TrainDialog, look_and_train)):
        desk.press(training.button)
    assert "8 IDC and 8 healthy patches" in seen["about"]
    assert seen["source"] == str(path)
    assert seen["cut"] == []
    assert seen["command"].startswith(f"pathogan retrain idc --deep --slides {path} --base ")
    (jobs,) = desk.window.findChildren(Jobs)
    first = jobs.jobs[-1]
    listed = desk.dock("Jobs")
    desk.wait(lambda: first.curve() is not None, "an epoch")
    desk.wait(lambda: listed.preview.isVisible(), "its picture")
    assert "held out, AUC" in [line.name for line in listed.plot.lines]
    assert "Patches held out that it finds hardest" in listed.preview_says.text()
    desk.picture("deep-2-runs")
    assert desk.cut_texts(listed) == []
    assert first.process is not None
    began = time.monotonic()
    desk.press(listed, "Cancel")
    desk.wait(lambda: first.process is None, "its end")
    assert time.monotonic() - began < 10
    above(dock, QDockWidget).raise_()  # as by a click on its tab
    desk.wait(lambda: not first.run.exists() and training.run is None, "nothing of it is left")
    assert "was stopped. All models are as they were" in training.status.text()
    assert not (settings().own_models / first.name).exists()

    with desk.answering(Answer(TrainDialog, look_and_train)):
        desk.press(training.button)
    second = jobs.jobs[-1]
    assert seen["tries"] == [(), ("epochs=2", "steps=5")]
    desk.wait(lambda: "is trained" in training.status.text(), "the model", patience_s=400)
    desk.picture("deep-3-trained")
    assert "on what was held back: AUC" in training.status.text()
    name = second.name
    assert dock.form.model.findText(name) >= 0
    worse = fell(second.summary["before_and_after"], "held_back_auc")
    assert (dock.form.model.currentText() == name) is not worse
    assert (f"{RULE}." in training.status.text()) is worse
    if worse:  # it is not chosen by itself
        dock.form.model.setCurrentText(name)
    desk.wait(lambda: live.versions.itemText(0) == name and live.run is None, "its map")
    assert dock.heat.model.startswith(name)
    desk.picture("deep-4-accepted")
    desk.key("Ctrl+Z")
    desk.wait(lambda: dock.form.model.currentText() == "idc-lite0", "the model from before")
    assert len(here.outlines) == 4, "the outlines are as they were"
    assert (settings().own_models / name / "model.json").is_file(), "every version is kept"


def test_the_model_is_fitted_to_a_slide_that_nobody_annotated(used, tmp_path):
    desk, path = used, tmp_path / "section.tif"
    shutil.copy(samples.FOLDER / samples.PHANTOM, path)
    show_slide(desk.viewer, path)
    dock = desk.dock("IDC heat map")
    live = dock.live
    desk.wait(dock.form.run.isEnabled, "the model")
    desk.press(live.fit)
    desk.wait(lambda: live.versions.count() == 2 and live.run is None, "the fitted model's map")
    desk.wait(dock.places.next.isEnabled, "it is shown")
    assert live.versions.currentText() == "fitted to this slide"
    assert "Fitted to this slide in" in live.status.text()
    assert dock.heat.model == "idc-lite0, fitted to the slide"
    assert "fitted to this slide: how much it finds" in dock.meaning.text()
    assert not live.keep.isEnabled(), "nothing is annotated that it could be measured on"
    desk.picture("fit-to-slide")
    assert len(dock.heat.telling) == 12
    desk.press(dock.places.next)
    middle = dock.layer.world_to_data(desk.viewer.scene.camera.center[-2:])
    first = dock.heat.next_places(1)[0]
    np.testing.assert_allclose(
        middle, (first.y + first.height / 2 - 0.5, first.x + first.width / 2 - 0.5), atol=1
    )
    desk.press(live.undo)
    desk.rest(0.3)
    assert dock.heat.model == "idc-lite0"
    assert desk.cut_texts(dock) == []
