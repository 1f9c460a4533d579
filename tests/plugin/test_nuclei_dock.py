"""The Nuclei dock from end to end, with known nuclei instead of a network."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels, Points
from nuclei_standin import (
    CARD,
    CLASS_CARDS,
    COLOURS,
    ELLIPSES,
    NAMES,
    NucleiStandin,
    drawn,
    segmentation,
)
from PIL import Image as Picture

from napari_pathogan.annotations import geojson
from napari_pathogan.engine.events import Finished
from napari_pathogan.engine.models import Metric, Validation, find_models, read_card
from napari_pathogan.errors import ModelError, OutputError
from napari_pathogan.plugin.nuclei import colours as nuclei_colours
from napari_pathogan.plugin.nuclei import dock as nuclei_widget
from napari_pathogan.plugin.nuclei.annotations import reading
from napari_pathogan.plugin.nuclei.dock import NONE, NucleiDock
from napari_pathogan.plugin.nuclei.gallery import TYPICAL
from napari_pathogan.plugin.nuclei.training import corrected
from napari_pathogan.plugin.shell import dock as docks
from napari_pathogan.plugin.shell.exports import exports
from napari_pathogan.plugin.shell.subject import WHOLE
from napari_pathogan.plugin.viewer.layers import set_tissue, slide_layer, slide_of, tissue_of
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei import annotated as kept_nuclei
from napari_pathogan.tasks.nuclei import export
from napari_pathogan.tasks.nuclei_classes.naming import PALETTE

pytestmark = pytest.mark.gui


@pytest.fixture
def path(tmp_path):
    """257 x 301 px at 0.25 um/px: purple nuclei on pink."""
    pixels = np.full((257, 301, 3), (226, 160, 196), np.uint8)
    pixels[drawn(pixels.shape[:2], ELLIPSES) > 0] = (110, 70, 140)
    Picture.fromarray(pixels).save(tmp_path / "case 3.png")
    return tmp_path / "case 3.png"


@pytest.fixture
def standin(monkeypatch, tmp_path):
    """Put known nuclei for the models and their prediction."""
    made = NucleiStandin(ELLIPSES)
    monkeypatch.setattr(nuclei_widget, "nuclei_events", made.events)

    def find(tasks, folders, warm_up):
        assert tasks == ("nuclei-classes", "nuclei")
        yield docks.ModelsFound({n: (tmp_path / n, c) for n, c in CLASS_CARDS.items()}, tasks[0])
        yield docks.ModelsFound({CARD.name: (tmp_path, CARD)}, tasks[1])
        yield Finished()

    monkeypatch.setattr(docks, "_find", find)
    return made


@pytest.fixture
def open_nuclei(viewer, path, standin, qtbot):
    """The slide and the dock, with the models found."""
    data, kwargs, _ = slide_layer(Slide.open(path, mpp=0.25))
    layer = viewer.add_image(data, **kwargs)
    set_tissue(layer, "breast")  # on which the stand-in's classes were checked
    viewer.reset_view()
    made = NucleiDock(viewer)
    viewer.window.add_dock_widget(made, name="Nuclei")
    qtbot.waitUntil(lambda: made.card is not None and made.form.run.isEnabled())
    return made, layer


def run(dock, qtbot):
    dock.run_or_cancel()
    qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)
    qtbot.waitUntil(lambda: all("found" not in x.name for x in dock.viewer.layers), timeout=5000)


@pytest.fixture
def done(open_nuclei, qtbot):
    """A dock that has finished its first run."""
    dock, layer = open_nuclei
    run(dock, qtbot)
    return dock, layer


def texts(dock):
    return [(row.name.text(), row.count.text()) for row in dock.numbers.table.rows]


def colour_of(dock, nucleus):
    return dock.shown.labels.colormap.map(nucleus)


def checked_on(organ, right):
    place = Validation(organ=organ, mpp=(0.2, 0.3), accuracy=Metric(value=right))
    return CLASS_CARDS["classes-fine"].model_copy(update={"validated_on": (place,)})


def test_of_class_models_of_one_scale_that_of_the_tissue_is_suggested(open_nuclei):
    dock, _ = open_nuclei
    cards = {
        "breast": checked_on("breast", 0.6),
        "colon": checked_on("colon", 0.7),
        "colon, better": checked_on("colon", 0.8),
        "best": checked_on("skin", 0.9),
        "never checked": CLASS_CARDS["classes-fine"].model_copy(update={"validated_on": ()}),
    }
    dock.helpers_found("nuclei-classes", {name: (None, card) for name, card in cards.items()})

    def suggested(tissue):
        dock.tissue.setCurrentIndex(dock.tissue.findData(tissue))
        dock.tissue.activated.emit(dock.tissue.currentIndex())
        return dock.classes.currentText()

    assert suggested("colon") == "colon, better"
    assert suggested("breast") == "breast"
    assert suggested("") == "best"
    assert suggested("liver") == "best"
    dock.classes.setCurrentText("never checked")
    dock.classes.activated.emit(dock.classes.currentIndex())
    assert suggested("colon") == "never checked"  # what the user chose stays


def test_of_the_embedded_class_models_of_the_colon_the_taught_one_is_suggested(open_nuclei):
    dock, layer = open_nuclei
    known = {n: (f, read_card(f)) for n, f in find_models("nuclei-classes").items()}
    set_tissue(layer, "colon")
    alone = {n: one for n, one in known.items() if one[1].mpp == 0.55}
    assert len(alone) > 1
    dock.helpers_found("nuclei-classes", alone)
    assert dock.classes.currentText() == "nuclei-classes-crc-labels"


def test_a_run_shows_labels_in_the_colours_of_their_classes(open_nuclei, standin, qtbot, viewer):
    dock, layer = open_nuclei
    assert dock.classes.currentText() == "classes-fine"  # the scale of the slide
    assert dock.form.region.currentText() == "In view"
    assert dock.minimumSizeHint().width() <= 320
    assert texts(dock) == [(name, "\N{EN DASH}") for name in NAMES]
    selected = set(viewer.layers.selection)
    run(dock, qtbot)
    class_model, region, _, near = standin.asked[0]
    assert class_model.name == "classes-fine"
    assert near == pytest.approx((128, 150), abs=1)
    assert region.height == 257
    labels = dock.shown.labels
    assert isinstance(labels, Labels)
    assert set(viewer.layers) == {layer, labels}
    assert set(viewer.layers.selection) == selected
    corner = labels.data_to_world((0, 0))
    assert corner == pytest.approx(layer.data_to_world((0, 0)))
    for nucleus, (*_, name) in enumerate(ELLIPSES, 1):
        wanted = nuclei_colours.rgba(COLOURS[NAMES.index(name)])
        assert colour_of(dock, nucleus) == pytest.approx(wanted, abs=0.01)
    assert texts(dock) == [("epithelial", "3"), ("inflammatory", "2"), ("fibroblast", "2")]
    area = 257 * 301 * 0.0625e-6
    assert dock.form.result.text() == f"<b>7 nuclei, {7 / area:,.0f} per mm²</b>"
    dock.numbers.table.rows[1].shown.setChecked(False)
    assert colour_of(dock, 3)[3] == 0
    assert colour_of(dock, 1)[3] == 1


def test_cancel_and_errors_leave_the_viewer_as_it_was(open_nuclei, standin, qtbot, viewer, told):
    dock, layer = open_nuclei
    standin.pause_s, standin.endless = 0.1, True
    dock.run_or_cancel()
    assert not dock.pages.isEnabled()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=10_000)
    start = time.thread_time()
    dock.run_or_cancel()
    assert time.thread_time() - start < 0.2
    assert dock.pages.isEnabled()
    qtbot.waitUntil(lambda: list(viewer.layers) == [layer], timeout=5000)
    qtbot.waitUntil(lambda: standin.closed == 1, timeout=5000)
    standin.pause_s, standin.endless, standin.error = 0.0, False, ModelError("broken model")
    run(dock, qtbot)
    assert told == ["broken model"]
    qtbot.waitUntil(lambda: list(viewer.layers) == [layer], timeout=5000)
    standin.error = None
    run(dock, qtbot)
    before, shown = list(viewer.layers), dock.segmentation
    opacity = dock.shown.labels.opacity
    run(dock, qtbot)
    assert set(viewer.layers) == set(before)
    assert dock.segmentation is not shown
    shown = dock.segmentation
    standin.error = ModelError("broken model")
    run(dock, qtbot)
    assert set(viewer.layers) == set(before)
    assert dock.segmentation is shown
    assert dock.shown.labels.opacity == opacity


def click(viewer, dock, layer, y, x, *, drag_px=0):
    """Press and release the mouse over a level-0 pixel, as napari passes it on."""

    class Mouse:
        type, button, pos = "mouse_press", 1, (100, 100)
        position = layer.data_to_world((y, x))

    mouse = Mouse()
    callback = dock.picker.clicks.pressed(viewer, mouse)
    next(callback)
    if drag_px:
        mouse.type, mouse.pos = "mouse_move", (100 + drag_px, 100)
        next(callback)
    mouse.type = "mouse_release"
    with pytest.raises(StopIteration):
        next(callback)


def test_a_click_shows_the_nucleus(done, viewer):
    dock, layer = done
    click(viewer, dock, layer, 150, 80, drag_px=30)
    assert dock.nucleus is None
    click(viewer, dock, layer, 150, 80)
    assert dock.nucleus == 3
    assert dock.pages.currentWidget() is dock.details
    row = dock.segmentation.nucleus(3)
    assert f"{row['area_um2']:.0f} µm²" in dock.details.facts.text()
    assert [name for name, _, _ in dock.details.bars.rows] == list(NAMES)
    assert sum(p for *_, p in dock.details.bars.rows) == pytest.approx(1)
    assert dock.details.choice.currentText() == "inflammatory"
    ring = dock.shown.mark
    assert isinstance(ring, Points)
    assert ring.data[0] == pytest.approx((150, 80), abs=0.5)
    picture = dock.details.picture.pixmap().toImage()
    assert picture.pixelColor(48, 48).name() == "#6e468c"  # the middle of a nucleus
    click(viewer, dock, layer, 5, 5)
    assert dock.nucleus is None
    assert len(ring.data) == 0
    dock.shown.labels.mode = "paint"
    viewer.layers.selection.active = dock.shown.labels
    click(viewer, dock, layer, 150, 80)
    assert dock.nucleus is None  # a click of the brush is no choice


def test_the_ring_goes_with_its_slide(done, viewer, qtbot):
    dock, layer = done
    click(viewer, dock, layer, 150, 80)
    ring = dock.shown.mark
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: ring not in viewer.layers, timeout=5000)


def test_correcting_a_class_by_key_and_undoing_it(done, viewer):
    dock, layer = done
    found = dock.segmentation
    assert not any(key.isEnabled() for key in dock.picker.keys)
    click(viewer, dock, layer, 60, 60)
    digits = {key.key().toString(): key for key in dock.picker.keys}
    assert "0" not in digits, "Delete deletes"
    digits["3"].activated.emit()
    assert dock.segmentation.nucleus(1)["class"] == "fibroblast"
    assert dock.segmentation.nucleus(1)["corrected"]
    assert colour_of(dock, 1) == pytest.approx(nuclei_colours.rgba(COLOURS[2]), abs=0.01)
    assert texts(dock) == [("epithelial", "2"), ("inflammatory", "2"), ("fibroblast", "3")]
    dock.details.class_chosen.emit("inflammatory")
    assert dock.segmentation.nucleus(1)["class"] == "inflammatory"
    assert dock.past.undo.text() == "Undo class of nucleus 1"
    dock.past.undo.click()
    dock.past.undo.click()
    pd.testing.assert_frame_equal(dock.segmentation.table, found.table)
    assert not dock.past.undo.isEnabled()
    assert dock.past.undo.text() == "Undo"
    assert texts(dock)[0] == ("epithelial", "3")
    dock.past.redo.click()
    assert dock.segmentation.nucleus(1)["class"] == "fibroblast"
    dock.past.redo.click()
    assert dock.segmentation.nucleus(1)["class"] == "inflammatory"
    assert not dock.past.redo.isEnabled()


def test_deleting_and_painting_nuclei(done, viewer, qtbot):
    dock, layer = done
    labels = dock.shown.labels
    pixels = labels.data.copy()
    click(viewer, dock, layer, 60, 60)
    dock.details.delete.click()
    assert dock.nucleus is None
    assert 1 not in labels.data
    assert texts(dock)[0] == ("epithelial", "2")
    labels.selected_label, labels.brush_size = 20, 12
    labels.paint((128, 40), 20)
    qtbot.waitUntil(lambda: dock.form.result.text().startswith("<b>7 nuclei"), timeout=5000)
    new = dock.segmentation.nucleus(8)  # the first number that was never used
    assert new["corrected"]
    assert new["area_um2"] == pytest.approx((labels.data == 8).sum() * 0.0625)
    assert (new["y_px"], new["x_px"]) == pytest.approx((128, 40), abs=0.5)
    assert colour_of(dock, 8)[3] == 1
    assert dock.nucleus == 8
    labels.data[:40, :40] = 1  # a script's
    labels.refresh()
    qtbot.waitUntil(lambda: dock.form.result.text().startswith("<b>8 nuclei"), timeout=5000)
    for _ in range(3):
        dock.history.undo(dock.layer)
    np.testing.assert_array_equal(labels.data, pixels)
    assert len(dock.segmentation) == 7


def test_the_gallery_goes_to_a_nucleus(done, viewer, qtbot):
    dock, layer = done
    first = dock.gallery.buttons["Most typical"][0]
    qtbot.waitUntil(lambda: first.property("nucleus") == 1, timeout=5000)
    doubtful = dock.gallery.buttons["Most doubtful"][0]
    assert doubtful.property("nucleus") == 7
    assert dock.gallery.buttons["Most typical"][2].isHidden()  # two typical ones, one doubtful
    dock.pages.setCurrentWidget(dock.gallery)
    doubtful.click()
    assert dock.nucleus == 7
    assert dock.pages.currentWidget() is dock.gallery
    centre = layer.world_to_data(viewer.scene.camera.center[-2:])
    assert centre == pytest.approx((120, 230), abs=1)


def test_many_nuclei_are_points_and_a_class_image(open_nuclei, qtbot, viewer, monkeypatch, settle):
    dock, layer = open_nuclei
    monkeypatch.setattr(nuclei_colours, "MAX_EDITABLE", 5)
    dock.form.region.setCurrentText(WHOLE)
    run(dock, qtbot)
    settle()
    viewer.reset_view()
    settle()
    shown = dock.shown
    assert shown.labels is None
    assert isinstance(shown.points, Points)
    table = dock.segmentation.table
    np.testing.assert_allclose(shown.points.data, table[["y_px", "x_px"]])
    assert shown.classes.visible
    assert not shown.points.visible  # close by
    np.testing.assert_array_equal(shown.classes.data, dock.segmentation.class_image())
    assert tuple(shown.classes.contrast_limits) == (0, 3)
    viewer.scene.camera.zoom *= 4
    viewer.scene.camera.center = layer.data_to_world((60, 60))
    qtbot.waitUntil(lambda: shown.classes.data.shape[0] < 200, timeout=5000)
    y, x = (round(v) for v in shown.classes.world_to_data(layer.data_to_world((60, 60))))
    assert shown.classes.data[y, x] == 1
    dock.numbers.table.rows[0].shown.setChecked(False)
    assert shown.classes.colormap.colors[1, 3] == 0
    shown.points.visible = True
    assert shown.points.shown.tolist() == (table["class"] != "epithelial").tolist()
    colours = [nuclei_colours.rgba(COLOURS[NAMES.index(name)]) for name in table["class"]]
    np.testing.assert_allclose(shown.points.face_color[:, :3], np.array(colours)[:, :3], atol=0.01)
    click(viewer, dock, layer, 150, 80)
    dock.corrections.set_class("epithelial")
    assert dock.segmentation.nucleus(3)["class"] == "epithelial"
    assert not shown.points.shown[2]
    dock.numbers.table.rows[0].shown.setChecked(True)
    sizes = shown.points.size.copy()
    dock.corrections.remove()
    assert len(shown.points.data) == 6
    assert 3 not in dock.segmentation.table["id"].to_list()
    assert not (dock.segmentation.labels == 3).any()
    dock.history.undo(dock.layer)
    np.testing.assert_allclose(shown.points.data, table[["y_px", "x_px"]])
    assert shown.points.size == pytest.approx(sizes)
    assert not dock.corrections.new_button.isEnabled()
    assert "too many" in dock.corrections.new_button.toolTip()


def test_names_and_colours_stay_with_the_class_model(done, qtbot, monkeypatch):
    dock, _ = done
    kept = []

    def keep(folder, names, colours, target, *, validated):
        assert validated
        kept.append((folder, names, colours, target))
        card = CLASS_CARDS["classes-fine"].model_copy(
            update={"classes": names, "settings": {"colours": list(colours)}}
        )
        yield Finished((target, card))

    monkeypatch.setattr(nuclei_widget, "keep_names", keep)
    name = dock.numbers.table.rows[0].name
    name.setText("tumour")
    name.editingFinished.emit()
    qtbot.waitUntil(lambda: dock.segmentation.class_names[0] == "tumour", timeout=5000)
    dock.numbers.table.recolour(1, "#123456")
    qtbot.waitUntil(lambda: dock.segmentation.class_colours[1] == "#123456", timeout=5000)
    assert dock.segmentation.counts()["tumour"] == 3
    assert "p_tumour" in dock.segmentation.table
    assert colour_of(dock, 3)[:3] == pytest.approx((0x12 / 255, 0x34 / 255, 0x56 / 255), abs=0.01)
    assert kept[1][1] == ("tumour", "inflammatory", "fibroblast")
    assert kept[0][3] == kept[1][0]  # the second goes on from what the first has kept
    assert dock.gallery.choice.itemText(0) == "tumour"
    before = kept[0][2][1]
    assert dock.past.undo.text() == "Undo names of classes"
    dock.past.undo.click()
    qtbot.waitUntil(lambda: dock.segmentation.class_colours[1] == before, timeout=5000)
    dock.past.undo.click()
    qtbot.waitUntil(lambda: dock.segmentation.class_names[0] != "tumour", timeout=5000)
    dock.past.redo.click()
    qtbot.waitUntil(lambda: dock.segmentation.class_names[0] == "tumour", timeout=5000)
    dock.corrections.set_class("tumour")


def test_classes_are_groups_until_a_checked_tissue_is_said(open_nuclei, standin, qtbot, path):
    dock, layer = open_nuclei
    groups = ("group A", "group B", "group C")

    def say(tissue):
        dock.tissue.setCurrentIndex(dock.tissue.findData(tissue))
        dock.tissue.activated.emit(dock.tissue.currentIndex())

    for tissue, names in (("", groups), ("colon", groups), ("breast", NAMES)):
        say(tissue)
        assert [name for name, _ in texts(dock)] == list(names)
        assert "ound without labels" in dock.class_note.text()
        assert not dock.class_note.isHidden()
    say("")
    run(dock, qtbot)
    assert [name for name, _ in texts(dock)] == list(groups)
    yellow = nuclei_colours.rgba(PALETTE[0])
    assert colour_of(dock, 1) == pytest.approx(yellow, abs=0.01)
    assert dock.details.choice.count() == 0
    click(dock.viewer, dock, layer, 60, 60)
    assert [dock.details.choice.itemText(i) for i in range(3)] == list(groups)
    assert dock.gallery.choice.itemText(1) == "group B"
    assert "without labels" in export.attributes(dock.segmentation)["class_note"]
    say("breast")  # names come at once, without another run
    assert dock.segmentation.class_names == NAMES
    assert export.attributes(dock.segmentation)["tissue"] == "breast"
    assert colour_of(dock, 1) == pytest.approx(nuclei_colours.rgba(COLOURS[0]), abs=0.01)
    click(dock.viewer, dock, layer, 60, 60)
    dock.corrections.set_class("fibroblast")
    say("other")
    assert dock.segmentation.class_names == groups
    assert dock.segmentation.nucleus(1)["class"] == "group C"
    again = slide_layer(Slide.open(path, mpp=0.25))
    assert tissue_of(dock.viewer.add_image(again[0], **again[1])) == "other"  # remembered


def test_groups_that_the_user_names_are_kept_as_groups(open_nuclei, qtbot, monkeypatch):
    dock, layer = open_nuclei
    set_tissue(layer, "skin")
    run(dock, qtbot)
    kept = []

    def keep(folder, names, colours, target, *, validated):
        kept.append((names, validated))
        own = {"names": list(names), "colours": list(colours)}
        card = CLASS_CARDS["classes-fine"]
        yield Finished(
            (target, card.model_copy(update={"settings": {**card.settings, "groups": own}}))
        )

    monkeypatch.setattr(nuclei_widget, "keep_names", keep)
    dock.classes.setCurrentText("classes-coarse")  # not the model of what is shown
    name = dock.numbers.table.rows[1].name
    name.setText("plasma cell")
    name.editingFinished.emit()
    wanted = ("group A", "plasma cell", "group C")
    qtbot.waitUntil(lambda: dock.segmentation.class_names == wanted, timeout=5000)
    assert kept == [(wanted, False)]
    assert "yours" in dock.class_note.text()


def test_the_row_names_the_model_that_made_the_classes_or_the_line_below_does(done):
    dock, layer = done
    shown = replace(
        dock.segmentation, class_model="classes-coarse", class_note="Learnt from labels"
    )
    dock.show_annotated(layer, shown)  # as what was kept beside the slide
    assert dock.segmentation.class_model == "classes-coarse"
    assert dock.classes.currentText() == "classes-coarse"
    assert dock.class_note.text() == "Learnt from labels"
    dock.classes.setCurrentText("classes-fine")  # for the next run
    assert dock.class_note.text().startswith("The classes shown are by classes-coarse. ")


def test_without_a_class_model(open_nuclei, standin, qtbot):
    dock, _ = open_nuclei
    dock.classes.setCurrentText(NONE)
    assert not dock.classes_info.isEnabled()
    assert not dock.numbers.drawn.isEnabled()
    assert texts(dock) == [("nucleus", "\N{EN DASH}")]
    run(dock, qtbot)
    assert standin.asked[0][0] is None


def test_a_fast_look_is_a_single_one(open_nuclei, standin, qtbot):
    dock, _ = open_nuclei
    assert not dock.fast.isHidden()
    for fast, views in ((True, 1), (False, None)):  # None: the model's own
        dock.fast.setChecked(fast)
        run(dock, qtbot)
        assert standin.views == views
    dock.model_changed(CARD.model_copy(update={"settings": {}}))
    assert dock.fast.isHidden()


def test_exports(done, qtbot, tmp_path):
    dock, _ = done
    dock.export.menu().aboutToShow.emit()
    for entry, (name, kind) in zip(
        dock.export.menu().actions(), exports("nuclei").items(), strict=True
    ):
        if name == "ann":
            assert not entry.isEnabled()
            assert entry.text().endswith("is no DICOM slide")
            continue
        if name == "anndata" and find_spec("anndata") is None:
            assert not entry.isEnabled()
            continue
        dock.save(kind, tmp_path / "out")
        qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)
        assert dock.form.status.text() == f"Saved out{kind.suffix}"
        assert (tmp_path / f"out{kind.suffix}").exists()


def test_nuclei_kept_beside_a_picture_bring_its_scale(done, qtbot, path, told):
    """On another computer nobody has typed it in; the nuclei were measured with it."""
    dock, _ = done
    dock.corrections.keep_button.click()
    qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)
    slide = Slide.open(path)
    assert slide.mpp is None
    data, kwargs, _ = slide_layer(slide)
    layer = dock.viewer.add_image(data, **kwargs)
    dock.form.choose(layer)
    qtbot.waitUntil(lambda: layer in dock.shown_on, timeout=30_000)
    assert slide_of(layer).mpp == (0.25, 0.25)
    dock.pages.setCurrentWidget(dock.gallery)
    pictures = dock.gallery.buttons[TYPICAL]
    qtbot.waitUntil(lambda: any(not one.icon().isNull() for one in pictures), timeout=30_000)
    assert not [one for one in told if "units" not in one]  # napari's word on the other picture


def test_corrections_are_kept_and_come_back(done, qtbot, path, monkeypatch, told):
    dock, layer = done
    viewer = dock.viewer
    click(viewer, dock, layer, 60, 60)
    dock.corrections.set_class("fibroblast")
    click(viewer, dock, layer, 150, 80)
    dock.corrections.remove()
    kept = dock.segmentation
    assert not dock.training.button.isEnabled()
    dock.corrections.keep_button.click()
    qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)
    assert dock.form.status.text() == "Kept in case 3.png.nuclei.geojson"
    assert (path.parent / "case 3.png.nuclei.geojson").is_file()
    assert dock.training.button.isEnabled()
    learnt = corrected(path.parent)
    assert learnt.origin == "slides corrected in napari"
    assert learnt.terms == "those of the corrected slides"
    dock.training.train(learnt, None, "../x")
    assert "a model can't be called '../x'" in told.pop()
    assert dock.run is None
    data, kwargs, _ = slide_layer(Slide.open(path, mpp=0.25))
    viewer.add_image(data, **kwargs)
    dock.form.slide.setCurrentIndex(0)
    assert dock.segmentation is None
    qtbot.waitUntil(lambda: dock.segmentation is not None, timeout=30_000)
    assert dock.form.status.text() == "Nuclei that were kept with this slide"
    back = dock.segmentation
    np.testing.assert_array_equal(dock.shown.labels.data, kept.labels)
    assert back.table["class"].tolist() == kept.table["class"].tolist()
    assert back.table["corrected"].tolist() == kept.table["corrected"].tolist()
    assert back.class_colours == COLOURS
    assert not told

    write = geojson.write

    def refuse(target, *rest):
        if target.parent == path.parent:
            raise OutputError("no")
        write(target, *rest)

    monkeypatch.setattr(geojson, "write", refuse)
    dock.corrections.folders.clear()
    dock.corrections.keep()
    qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)
    assert "Nothing can be kept beside" in told[0]
    assert dock.training.button.isEnabled()
    *_, last = reading(Slide.open(path, mpp=0.25))
    assert last.result[0] is not None
    (path.parent / "case 3.png.nuclei.geojson").write_text("{}")
    os.utime(path.parent / "case 3.png.nuclei.geojson", (0, 0))
    *_, last = reading(Slide.open(path, mpp=0.25))  # the newer one, in the data folder
    assert len(last.result[0]) == 6


def test_what_was_kept_is_trained_on_whichever_is_found_first(
    viewer, path, standin, qtbot, monkeypatch
):
    """It, or the models."""
    with Slide.open(path, mpp=0.25) as slide:
        kept = segmentation(slide, ELLIPSES)
        kept.table["corrected"] = True
        kept_nuclei.write(path, kept)
    found, find = threading.Event(), docks._find

    def late(*asked):
        found.wait(60)
        yield from find(*asked)

    monkeypatch.setattr(docks, "_find", late)
    data, kwargs, _ = slide_layer(Slide.open(path, mpp=0.25))
    viewer.add_image(data, **kwargs)
    dock = NucleiDock(viewer)
    viewer.window.add_dock_widget(dock, name="Nuclei")
    qtbot.waitUntil(lambda: dock.segmentation is not None, timeout=60_000)
    assert not dock.training.button.isEnabled()
    found.set()
    qtbot.waitUntil(dock.training.button.isEnabled, timeout=60_000)


@pytest.mark.parametrize("how", ["slide", "dock", "viewer"])
def test_closing_in_the_middle_of_a_run(open_nuclei, standin, qtbot, viewer, how):
    dock, layer = open_nuclei
    standin.pause_s, standin.endless = 0.1, True
    dock.run_or_cancel()
    qtbot.waitUntil(lambda: len(viewer.layers) > 1, timeout=10_000)
    if how == "slide":
        viewer.layers.remove(layer)
    elif how == "dock":
        viewer.window.remove_dock_widget(dock)
    else:
        viewer.close()
    qtbot.waitUntil(lambda: standin.closed == 1, timeout=10_000)
    if how != "viewer":
        qtbot.waitUntil(lambda: not any("Nuclei" in x.name for x in viewer.layers), timeout=10_000)
