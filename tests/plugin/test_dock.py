"""The IDC dock from end to end, with a stand-in for the model."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace

import numpy as np
import pytest
import zarr
from PIL import Image as Picture
from qtpy.QtWidgets import QTextBrowser

from napari_pathogan.errors import DeviceError, ModelError, NoTissueError, OutputError
from napari_pathogan.plugin.idc.dock import IdcDock
from napari_pathogan.plugin.shell.exports import exports
from napari_pathogan.plugin.shell.subject import SHAPES, VIEW
from napari_pathogan.plugin.viewer.layers import slide_layer, slide_of
from napari_pathogan.plugin.viewer.writer import write_heat_map
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc.heatmap import AFTER_ANNOTATIONS

pytestmark = pytest.mark.gui


def names(viewer):
    return [layer.name for layer in viewer.layers]


def run(dock, qtbot):
    dock.run_or_cancel()
    qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)


@pytest.fixture
def done(open_dock, qtbot):
    """A dock that has finished its first run."""
    dock, layer = open_dock
    run(dock, qtbot)
    return dock, layer


def test_first_use_offers_a_slide_and_the_sample(viewer, standin, qtbot):
    dock = IdcDock(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(dock.welcome.isVisible)
    assert not dock.form.isVisible()
    dock.welcome.sample.click()
    assert dock.form.isVisible()
    assert not dock.welcome.isVisible()
    assert names(viewer) == ["he_phantom.ome.tif"]
    assert slide_of(viewer.layers[0]).mpp == pytest.approx((2.0, 2.0))
    viewer.add_image(np.zeros((20, 20)), name="grey")
    assert dock.form.slide.count() == 1
    viewer.layers[0].name = "renamed"
    assert dock.form.slide.itemText(0) == "renamed"
    viewer.layers.clear()
    assert dock.welcome.isVisible()


def test_a_run_paints_tiles_nearest_first_and_says_what_it_found(open_dock, standin, qtbot, viewer):
    dock, layer = open_dock
    viewer.scene.camera.center = (600, 3000)  # um: the middle of the view is at the upper right
    came = []
    paint = dock.tile_came
    dock.tile_came = lambda tile: (came.append(tile), paint(tile))
    selected = set(viewer.layers.selection)
    run(dock, qtbot)
    places = [(t.row, t.col) for t in came if t.layer == "probability"]
    near = np.hypot(*(np.asarray(places) * 100 + 50 - (300, 1500)).T)
    assert (np.diff(near) >= -1e-6).all()
    assert set(dock.shown.all) | {layer} == set(viewer.layers)
    probability = dock.shown.images["probability"]
    np.testing.assert_array_equal(probability.data, dock.heat.probability.data)
    assert tuple(probability.scale) == pytest.approx((200, 200))
    assert tuple(probability.translate) == pytest.approx((99, 99))
    assert tuple(probability.contrast_limits) == (0, 1)
    assert not dock.shown.images["uncertainty"].visible
    assert "mm²" in dock.form.result.text()
    assert "%" in dock.form.result.text()
    assert set(viewer.layers.selection) == selected
    assert layer in viewer.layers


def test_a_second_run_replaces_the_first(done, standin, qtbot, viewer):
    dock, _ = done
    before, heat = list(viewer.layers), dock.heat
    dock.shown.images["probability"].opacity = 0.3
    viewer.layers.remove(dock.shown.outline)
    run(dock, qtbot)
    assert len(viewer.layers) == len(before)
    assert len(dock.shown.all) == 3
    assert dock.heat is not heat
    assert dock.shown.images["probability"].opacity == 0.3


def test_every_slide_keeps_its_result(done, standin, qtbot, viewer):
    dock, layer = done
    text = dock.form.result.text()
    pixels = np.full((900, 1100, 3), 190, np.uint8)
    data, kwargs, _ = slide_layer(Slide.from_arrays([pixels], name="other.svs", mpp=1.0))
    other = viewer.add_image(data, **kwargs)
    assert dock.layer is other, "the dock looks at what was opened"
    dock.form.slide.setCurrentIndex(1)
    assert dock.layer is layer
    assert dock.form.result.text() == text
    dock.form.slide.setCurrentIndex(0)
    assert dock.form.result.text() == ""
    assert dock.form.status.text() == ""
    assert not dock.export.isEnabled()
    run(dock, qtbot)
    assert dock.form.status.text().startswith("Done")
    assert dock.heat.slide == "other.svs"
    assert len(viewer.layers) == 8
    dock.form.slide.setCurrentIndex(1)
    assert dock.form.result.text() == text


def test_cancel_answers_at_once_and_leaves_the_viewer_as_it_was(done, standin, qtbot, viewer):
    dock, _ = done
    before, heat = list(viewer.layers), dock.heat
    visible = [x.visible for x in before]
    standin.pause_s = 0.05
    dock.run_or_cancel()
    assert dock.form.run.text() == "Cancel"
    shown = dock.shown.images["probability"]
    qtbot.waitUntil(lambda: shown.data is not heat.probability.data, timeout=10_000)
    assert_cancelled_at_once(dock, standin, qtbot)
    assert list(viewer.layers) == before
    assert [x.visible for x in before] == visible
    assert shown.data is heat.probability.data
    assert dock.heat is heat


def test_cancelling_a_first_run_leaves_no_layer(open_dock, standin, qtbot, viewer):
    dock, layer = open_dock
    standin.pause_s = 0.05
    dock.run_or_cancel()
    qtbot.waitUntil(lambda: len(viewer.layers) > 1, timeout=10_000)
    assert_cancelled_at_once(dock, standin, qtbot)
    qtbot.waitUntil(lambda: list(viewer.layers) == [layer], timeout=5000)
    qtbot.wait(100)
    assert list(viewer.layers) == [layer]
    assert not dock.export.isEnabled()


def assert_cancelled_at_once(dock, standin, qtbot):
    """CPU time of the window's thread: a machine may be busy with something else."""
    closed = standin.closed
    start = time.thread_time()
    dock.run_or_cancel()
    assert time.thread_time() - start < 0.2
    assert dock.run is None
    assert dock.form.run.text() == "Run"
    qtbot.waitUntil(lambda: standin.closed == closed + 1, timeout=5000)


def test_an_error_is_one_sentence_and_leaves_nothing(open_dock, standin, qtbot, told):
    dock, _ = open_dock
    before = names(dock.viewer)
    errors = [NoTissueError("no tissue"), ModelError("broken model"), DeviceError("no such device")]
    for error in errors:
        standin.error = error
        run(dock, qtbot)
        assert told.pop() == str(error)
        assert told == []
        qtbot.waitUntil(lambda: names(dock.viewer) == before, timeout=5000)
        assert dock.form.run.text() == "Run"


def test_unknown_scale_is_asked_for_once(viewer, standin, qtbot, told, tmp_path):
    path = tmp_path / "photo.png"
    Picture.fromarray(np.full((900, 1200, 3), 180, np.uint8)).save(path)
    dock = IdcDock(viewer)
    viewer.window.add_dock_widget(dock)
    data, kwargs, _ = slide_layer(Slide.open(path))
    layer = viewer.add_image(data, **kwargs)
    qtbot.waitUntil(lambda: dock.form.run.isEnabled())
    assert dock.form.pixel_size.isVisible()
    dock.run_or_cancel()
    assert "has no scale" in dock.form.pixel_size_refused.text()
    assert told == []
    assert dock.run is None
    qtbot.keyClicks(dock.form.pixel_size, "2.0")
    dock.run_or_cancel()
    assert tuple(layer.scale) == (2.0, 2.0)
    qtbot.waitUntil(lambda: dock.run is None)
    assert dock.heat.mpp_source == "user"
    assert Slide.open(path).mpp == (2.0, 2.0)
    assert Slide.open(path).mpp_source == "user (remembered)"


def test_threshold_moves_area_and_outline_live(done, qtbot):
    dock, _ = done
    before = dock.form.result.text(), len(dock.shown.outline.data)
    dock.threshold.setValue(90)
    qtbot.waitUntil(lambda: dock.form.result.text() != before[0], timeout=2000)
    assert dock.value.text() == "0.90"
    assert len(dock.shown.outline.data) != before[1]
    assert "fewer false alarms" in dock.meaning.text()
    spent = []
    for value in (40, 60, 30, 70, 50):
        start = time.thread_time()
        dock.threshold.setValue(value)
        dock.show_threshold()
        spent.append(time.thread_time() - start)
    assert np.median(spent) < 0.05
    dock.threshold.setValue(99)
    dock.heat.probability.data[:] = 0
    dock.show_threshold()
    assert len(dock.shown.outline.data) == 0


def test_a_kept_map_of_a_refitted_model_is_said_to_be_one(done, qtbot, tmp_path):
    """Read from a case, it has neither the card's figures nor an interval, whatever was shown before."""
    dock, layer = done
    own = dock.heat
    assert dock.meaning.text().startswith("Finds 84 % of IDC")
    assert "The true share" in dock.form.result.text()
    dock.show_heat(layer, replace(own, refitted=AFTER_ANNOTATIONS))
    qtbot.waitUntil(lambda: dock.heat is not own and dock._steps is None)
    suffix, write = dock.keeps(layer)
    write(tmp_path / f"kept{suffix}")
    dock.show_heat(layer, own)
    qtbot.waitUntil(lambda: dock.heat is own and dock._steps is None)
    assert dock.meaning.text().startswith("Finds 84 % of IDC")
    dock.show_kept(layer, dock.read_kept(layer, tmp_path / f"kept{suffix}"))
    assert dock.heat.refitted
    assert dock.meaning.text() == f"This map is by the model {AFTER_ANNOTATIONS}"
    assert "% of the tissue" in dock.form.result.text()
    assert "The true share" not in dock.form.result.text()


def test_next_uncertain_region_moves_the_camera(done, viewer):
    dock, layer = done
    dock.places.next.click()
    first = np.asarray(viewer.scene.camera.center[-2:])
    region = dock.heat.most_uncertain(1)[0]
    middle = (region.y + region.height / 2 - 0.5, region.x + region.width / 2 - 0.5)
    assert first == pytest.approx(layer.data_to_world(middle))
    dock.places.next.click()
    assert not np.allclose(first, viewer.scene.camera.center[-2:])
    for _ in range(40):  # it goes round
        dock.places.go(1)


def test_position_and_probability_under_the_cursor(done, viewer):
    dock, layer = done
    viewer.cursor.position = layer.data_to_world((550, 750))
    dock._cursor_moved(viewer, None)
    assert "1,101 µm" in dock.under_cursor.text()
    assert "IDC 1.00" in dock.under_cursor.text()
    viewer.cursor.position = layer.data_to_world((5, 5))
    dock._cursor_moved(viewer, None)
    assert "not scored" in dock.under_cursor.text()
    viewer.add_image(np.zeros((90, 90, 3), np.uint8), rgb=True, name="another")
    assert dock.layer is not layer
    assert dock.under_cursor.text() == "", "it spoke of a place on the other slide"


def test_regions_in_view_and_selected_shapes(open_dock, standin, qtbot, told, settle):
    dock, _ = open_dock
    viewer = dock.viewer
    viewer.scene.camera.zoom, viewer.scene.camera.center = 1.0, (1000, 2000)
    dock.form.region.setCurrentText(VIEW)
    height, width = settle()
    run(dock, qtbot)
    region = standin.asked[-1][2]
    assert region.height == pytest.approx(height / 2, abs=2)
    assert region.width == pytest.approx(width / 2, abs=2)
    assert region.y + region.height / 2 == pytest.approx(500, abs=2)
    viewer.scene.camera.center = (90_000, 90_000)
    dock.run_or_cancel()
    assert "not in view" in told.pop()
    dock.form.region.setCurrentText(SHAPES)
    dock.run_or_cancel()
    assert "No shape is selected" in told.pop()
    shapes = viewer.add_shapes(scale=(2, 2), units=("um", "um"))
    shapes.add([[400, 500], [400, 900], [800, 900], [800, 500]], shape_type="rectangle")
    shapes.selected_data = {0}
    run(dock, qtbot)
    (polygon,) = standin.asked[-1][3]
    assert polygon == pytest.approx(np.array([[400, 500], [400, 900], [800, 900], [800, 500]]))
    assert np.isfinite(dock.heat.probability.data).sum() == 16


def test_exports_are_written_and_valid(done, qtbot, tmp_path, viewer):
    dock, _ = done
    dock.export.menu().aboutToShow.emit()
    for name, kind in exports("idc").items():
        if kind.lacks:
            entry = dock.export.menu().actions()[list(exports("idc")).index(name)]
            assert (entry.isEnabled(), entry.text().endswith("is no DICOM slide")) == (False, True)
            continue
        dock.save(kind, tmp_path / "case")
        qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)
        assert dock.form.status.text() == f"Saved case{kind.suffix}"
    features = json.loads((tmp_path / "case.geojson").read_text())["features"]
    assert features[0]["geometry"]["type"] == "Polygon"
    with (tmp_path / "case.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == dock.heat.area().n_cells
    assert Picture.open(tmp_path / "case.png").size[0] > 1000
    assert zarr.open_group(tmp_path / "case.ome.zarr", mode="r")
    layer = dock.shown.images["probability"]
    assert write_heat_map(str(tmp_path / "w.ome.zarr"), *layer.as_layer_data_tuple()[:2])
    assert zarr.open_group(tmp_path / "w.ome.zarr", mode="r")


def test_an_export_that_cannot_be_written_says_so(done, qtbot, tmp_path, told):
    dock, _ = done
    (tmp_path / "file").write_text("in the way")
    dock.save(exports("idc")["csv"], tmp_path / "file" / "case.csv")
    qtbot.waitUntil(lambda: dock.run is None, timeout=10_000)
    assert "can't write" in told[0]
    assert dock.heat is not None


def test_an_export_replaces_no_file_of_the_users(done, qtbot, tmp_path, told):
    """The suffix is added after the file dialog, which has then asked of another name."""
    dock, _ = done
    for kind in exports("idc").values():
        (tmp_path / f"case{kind.suffix}").write_text("theirs")
        dock.save(kind, tmp_path / "case")
        qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)
        assert f"case{kind.suffix} is " in told[-1]
        assert (tmp_path / f"case{kind.suffix}").read_text() == "theirs"
    (tmp_path / "slides.ome.zarr").mkdir()
    (tmp_path / "slides.ome.zarr" / "slide.svs").write_text("theirs")
    layer = dock.shown.images["probability"].as_layer_data_tuple()
    with pytest.raises(OutputError, match=r"no earlier output of this kind \(IDC heat map"):
        write_heat_map(str(tmp_path / "slides.ome.zarr"), *layer[:2])
    assert (tmp_path / "slides.ome.zarr" / "slide.svs").read_text() == "theirs"


@pytest.mark.parametrize("how", ["slide", "dock", "layers", "viewer"])
def test_closing_in_the_middle_of_a_run(open_dock, standin, qtbot, viewer, how):
    dock, layer = open_dock
    standin.pause_s = 0.02
    dock.run_or_cancel()
    qtbot.waitUntil(lambda: len(viewer.layers) > 1, timeout=10_000)
    if how == "slide":
        viewer.layers.remove(layer)
    elif how == "dock":
        viewer.window.remove_dock_widget(dock)
    elif how == "layers":
        viewer.layers.clear()
    else:
        viewer.close()
    qtbot.waitUntil(lambda: standin.closed == 1, timeout=5000)
    qtbot.wait(100)
    if how != "viewer":
        assert dock.run is None
        qtbot.waitUntil(lambda: not any(x.startswith("IDC") for x in names(viewer)), timeout=5000)
    if how == "dock":
        assert names(viewer) == [layer.name]


def test_the_dock_is_narrow_and_shows_the_card(open_dock):
    from napari_pathogan.plugin.shell.card import CardDialog

    dock, _ = open_dock
    assert dock.minimumSizeHint().width() <= 320
    dock.form.info.click()
    dialog = dock.findChild(CardDialog)
    assert dialog.windowTitle() == "Stand-in model"
    assert "recall (sensitivity)" in dialog.findChild(QTextBrowser).toPlainText()
    assert "0.84" in dialog.findChild(QTextBrowser).toPlainText()
    dialog.close()
