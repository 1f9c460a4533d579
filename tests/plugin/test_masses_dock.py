"""The Mammogram masses dock from end to end, with known masses instead of a network."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from masses_standin import CARD, MM, SHAPE, MassesStandin, detections, disc, view
from PIL import Image as Picture

from napari_pathogan.engine.events import Finished
from napari_pathogan.errors import ModelError
from napari_pathogan.mammograms.study import MammogramStudy, open_mammogram
from napari_pathogan.plugin.masses import dock as masses_widget
from napari_pathogan.plugin.masses.dock import MassesDock
from napari_pathogan.plugin.masses.layers import MassLayers
from napari_pathogan.plugin.masses.words import count_text, summary, to_slider
from napari_pathogan.plugin.shell import dock as docks
from napari_pathogan.plugin.shell.exports import exports
from napari_pathogan.plugin.shell.mammogram_subject import THIS_VIEW
from napari_pathogan.plugin.viewer.mammogram_layers import give_spacing, study_layers
from napari_pathogan.plugin.viewer.opened import opened as what_is_open
from napari_pathogan.plugin.viewer.opened import show_results, show_views
from napari_pathogan.tasks.masses.annotated import read, read_annotated_folder, store
from napari_pathogan.tasks.masses.detections import read_json
from napari_pathogan.tasks.masses.review import Decision, Review

pytestmark = pytest.mark.gui


@pytest.fixture
def standin(monkeypatch, tmp_path):
    """Put known masses for the model and its detections."""
    made = MassesStandin()
    monkeypatch.setattr(masses_widget, "masses_events", made.events)

    def find(tasks, folders, warm_up):
        yield docks.ModelsFound({CARD.name: (tmp_path, CARD)}, tasks[-1])
        yield Finished()

    monkeypatch.setattr(docks, "_find", find)
    return made


@pytest.fixture
def study(tmp_path):
    """A folder of three views; their pixels measure 0.2 mm."""
    for name in ("RCC", "LCC", "RMLO"):
        Picture.fromarray(view(name)).save(tmp_path / f"{name}.png")
    return [tmp_path / f"{name}.png" for name in ("RCC", "LCC", "RMLO")]


def hang(viewer, paths):
    views = [open_mammogram(path).with_spacing(MM) for path in paths]
    for data, kwargs, _ in study_layers(MammogramStudy(views)):
        viewer.add_image(data, **kwargs)
    viewer.reset_view()


@pytest.fixture
def opened(viewer, study, standin, qtbot):
    hang(viewer, study)
    dock = MassesDock(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(dock.form.run.isEnabled)
    return dock


def run(dock, qtbot):
    dock.run_or_cancel()
    qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)


@pytest.fixture
def done(opened, qtbot):
    run(opened, qtbot)
    return opened


def texts(dock):
    return [(row.view, row.score, row.size, str(row.decision)) for row in dock.table.rows]


def names(viewer):
    return [layer.name for layer in viewer.layers]


def test_first_use_offers_a_mammogram_and_the_sample(viewer, standin, qtbot):
    dock = MassesDock(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(dock.welcome.isVisible)
    assert dock.welcome.open.text() == "Open a mammogram…"
    assert dock.welcome.sample.text() == "Try the sample"
    assert not dock.form.isVisible()
    viewer.add_image(np.zeros((30, 30, 3), np.uint8), rgb=True, name="slide")
    assert not dock.form.isVisible()
    viewer.add_image(np.zeros((30, 30), np.uint8), name="RCC")
    assert dock.form.isVisible()
    assert not dock.welcome.isVisible()


def test_a_study_shows_masses_with_scores_and_sizes(opened, qtbot, viewer, standin):
    dock = opened
    assert dock.minimumSizeHint().width() <= 320
    assert "Finds 70 % of masses, with 0.50 false marks per image" in dock.meaning.text()
    selected, views = set(viewer.layers.selection), names(viewer)
    run(dock, qtbot)
    assert standin.asked[0][0] == ["RCC", "LCC", "RMLO"]
    assert set(viewer.layers.selection) == selected
    assert names(viewer) == [*views, "Mass boxes", "Masses"], "two layers, however many views"
    assert texts(dock) == [
        ("RCC", "90 %", "8 x 8 mm", "open"),
        ("RMLO", "80 %", "7 x 7 mm", "open"),
    ]
    for what in ("2 masses in 3 views", "mm as you gave them", "2 not decided yet"):
        assert what in dock.form.result.text()
    outlines, boxes = viewer.layers["Masses"], viewer.layers["Mass boxes"]
    for at, (name, y, x, r) in enumerate([("RCC", 100, 60, 20), ("RMLO", 120, 70, 18)]):
        image = viewer.layers[name]
        here = outlines.data_to_world(outlines.data[at].mean(0))
        assert here == pytest.approx(image.data_to_world((y - 0.5, x - 0.5)), abs=1)
        assert outlines.units == image.units
        corners = [
            image.data_to_world((y + dy - 0.5, x + dx - 0.5)) for dy in (-r, r) for dx in (-r, r)
        ]
        assert boxes.data[at].min(0) == pytest.approx(np.min(corners, 0))
        assert boxes.data[at].max(0) == pytest.approx(np.max(corners, 0))
    assert boxes.text.values.tolist() == ["90 %, 8 mm", "80 %, 7 mm"]


def test_each_view_is_shown_as_it_is_done(opened, qtbot, viewer, standin):
    """The first while the others are still looked at; Cancel takes it back, the end keeps it."""
    dock, views = opened, names(viewer)
    standin.hold_s = 600
    dock.run_or_cancel()
    qtbot.waitUntil(lambda: texts(dock) == [("RCC", "90 %", "8 x 8 mm", "open")], timeout=60_000)
    assert dock.run is not None
    assert viewer.layers["Masses"].nshapes == 1
    dock.cancel()
    standin.between.set()
    qtbot.waitUntil(lambda: dock.run is None, timeout=60_000)
    assert names(viewer) == views
    assert not dock.table.rows
    run(dock, qtbot)
    assert [row[:2] for row in texts(dock)] == [("RCC", "90 %"), ("RMLO", "80 %")]


def test_the_threshold_says_what_it_means_and_moves_what_is_shown(done, qtbot, viewer):
    dock = done
    dock.threshold.setValue(to_slider(0.2))
    qtbot.waitUntil(lambda: len(dock.table.rows) == 3, timeout=3000)
    assert dock.value.text() == "20 %"
    assert len(viewer.layers["Masses"].data) == 3
    dock.threshold.setValue(to_slider(0.09))
    qtbot.waitUntil(lambda: "90 %" in dock.meaning.text(), timeout=3000)
    assert "2.00 false marks" in dock.meaning.text()
    dock.threshold.setValue(to_slider(0.95))
    qtbot.waitUntil(lambda: not dock.table.rows, timeout=3000)
    assert len(viewer.layers["Masses"].data) == 0
    assert "Finds 0 % of masses" in dock.meaning.text()
    assert "No masses in 3 views" in dock.form.result.text()
    assert not dock.decisions.accept.isEnabled()


def test_words_say_what_views_say_together_and_what_is_missed(opened, study):
    views = [open_mammogram(path) for path in study]
    found = [
        replace(detections(one), missed="It missed 6 of 6 masses under 7 mm.") for one in views
    ]
    card = CARD.model_copy(
        update={"settings": CARD.settings | {"breast": [1.0, 0.0], "case": [1.0, 0.0]}}
    )
    text = summary({1: [Review.of(one) for one in found]}, card)
    assert (
        "Chance of a mass: right breast 86 % (2 views), left breast 0 % (1 view), either 86 %"
        in text
    )
    assert "It missed" not in text
    assert "Chance" not in summary({1: [Review.of(one) for one in found]}, CARD)
    nothing = [Review.of(one.at(0.99)) for one in found]
    assert summary({1: nothing}, card).count("It missed 6 of 6 masses under 7 mm.") == 1


def test_words_name_the_views_where_what_is_missed_differs(opened, study):
    first, second, *_ = (detections(open_mammogram(path)).at(0.99) for path in study)
    first = replace(first, missed="It missed 4 of 4 masses under 5 mm.")
    second = replace(second, missed="It missed 4 of 4 masses under 9 mm.")
    text = summary({1: [Review.of(first), Review.of(second)]})
    assert f"{first.name}: {first.missed}" in text
    assert f"{second.name}: {second.missed}" in text
    assert "spans other mm in each" in text


def test_words_count_each_examination_by_itself(opened, study):
    first, second, third = (Review.of(detections(open_mammogram(path))) for path in study)
    text = summary({1: [first, second], 3: [third]})
    assert "in 3 views" not in text
    assert "<b>Examination 1: " in text
    assert f"<b>Examination 3: {count_text(len(third.masses()))} in 1 view</b>" in text


def test_this_view_alone(opened, qtbot, viewer, standin):
    dock = opened
    dock.form.slide.setCurrentIndex(dock.form.slide.findText("RMLO"))
    dock.form.region.setCurrentText(THIS_VIEW)
    run(dock, qtbot)
    assert standin.asked[0][0] == ["RMLO"]
    assert [row.view for row in dock.table.rows] == ["RMLO"]
    assert "1 mass in 1 view" in dock.form.result.text()


def test_choosing_in_the_list_goes_there_and_a_click_chooses(done, viewer):
    dock = done
    dock.table.selectRow(1)
    image = viewer.layers["RMLO"]
    middle = image.data_to_world((119.5, 69.5))
    assert viewer.scene.camera.center[-2:] == pytest.approx(middle, abs=0.3)
    assert viewer.scene.camera.zoom > 0
    assert dock.layer is image
    assert dock.finding == (image, 0)
    first, second = viewer.layers["Masses"].edge_width
    assert second > 1.5 * first
    dock.pick(viewer.layers["RCC"].data_to_world((100, 60)))
    assert dock.finding == (viewer.layers["RCC"], 0)
    assert dock.table.current.view == "RCC"
    assert viewer.scene.camera.center[-2:] == pytest.approx(middle, abs=0.3)  # a click stays
    dock.pick(viewer.layers["RCC"].data_to_world((1, 1)))
    assert dock.finding == (viewer.layers["RCC"], 0)


def test_decisions_are_kept_undone_and_ready_to_train_on(done, qtbot, viewer, study):
    dock = done
    dock.table.selectRow(0)
    dock.decisions.accept.click()
    assert texts(dock)[0][3] == "accepted"
    kept = read(store(study[0]).beside)
    assert kept.decisions == (Decision.ACCEPTED,)  # what the threshold hides is not kept
    assert dock.form.status.text() == "Kept beside the image; 1 to go"
    dock.table.selectRow(1)
    dock.decisions.reject.click()
    assert read(store(study[2]).beside).decisions == (Decision.REJECTED,)
    assert viewer.layers["Mass boxes"].text.values.tolist()[1] == ""
    folder = read_annotated_folder(study[0].parent)
    assert folder.n_masses.tolist() == [1, 0]
    assert folder.view.tolist() == ["CC", "MLO"]
    assert folder.boxes[0][0].tolist() == pytest.approx([40, 80, 80, 120], abs=0.1)
    assert folder.mask(0)[0].sum() == pytest.approx(np.pi * 20**2, rel=0.02)
    dock.past.undo.click()
    assert read(store(study[2]).beside).decisions == (Decision.OPEN,)
    run(dock, qtbot)  # another run leaves what is decided
    assert [row[3] for row in texts(dock)] == ["accepted", "open"]


def test_a_view_without_masses_is_kept_as_normal(done, viewer, study):
    done.form.slide.setCurrentIndex(done.form.slide.findText("LCC"))
    done.decisions.keep.click()
    folder = read_annotated_folder(study[0].parent)
    assert [file.name for file in folder.files] == ["LCC.png"]
    assert folder.n_masses.tolist() == [0]
    assert viewer.layers["Masses"].nshapes == 2


def test_what_was_kept_comes_back_with_the_image(done, viewer, study, qtbot):
    dock = done
    dock.table.selectRow(0)
    dock.decisions.accept.click()
    viewer.layers.clear()
    qtbot.waitUntil(dock.welcome.isVisible)
    qtbot.waitUntil(lambda: dock.table.rows == [], timeout=5000)
    hang(viewer, study)
    qtbot.waitUntil(lambda: len(dock.table.rows) > 0, timeout=5000)
    assert [(row.view, str(row.decision)) for row in dock.table.rows] == [("RCC", "accepted")]
    assert "Masses" in names(viewer)
    assert "kept with these images" in dock.form.status.text()


def test_a_mass_is_drawn_changed_and_deleted(opened, viewer, study, qtbot):
    dock = opened
    image = viewer.layers["LCC"]
    dock.form.slide.setCurrentIndex(dock.form.slide.findData(image))
    dock.decisions.draw.click()
    outlines = viewer.layers["Masses"]
    assert viewer.layers.selection.active is outlines
    assert str(outlines.mode) == "add_ellipse"
    y, x = 100, 50
    corners = [[y - 12, x - 8], [y - 12, x + 8], [y + 12, x + 8], [y + 12, x - 8]]
    outlines.add(in_world(image, np.array(corners, float)), shape_type="ellipse")
    qtbot.waitUntil(lambda: len(dock.table.rows) == 1, timeout=5000)
    assert texts(dock) == [("LCC", "drawn", "5 x 3 mm", "drawn")]
    assert not dock.decisions.draw.isChecked()
    assert str(outlines.mode) == "pan_zoom"
    folder = read_annotated_folder(study[0].parent)
    assert folder.mask(0)[0].sum() == pytest.approx(np.pi * 12 * 8, rel=0.03)
    outlines.data = [(in_world(image, disc(60, 40, 10)), "polygon")]
    qtbot.waitUntil(lambda: texts(dock)[0][2] == "4 x 4 mm", timeout=5000)
    assert read(store(study[1]).beside).found.boxes[0].tolist() == pytest.approx(
        [30, 50, 50, 70], abs=0.1
    )
    outlines.selected_data = {0}
    outlines.remove_selected()
    qtbot.waitUntil(lambda: dock.table.rows == [], timeout=5000)
    assert len(read(store(study[1]).beside)) == 0
    dock.past.undo.click()
    assert texts(dock)[0][2] == "4 x 4 mm"


def test_what_cannot_be_kept_is_not_decided(viewer, standin, qtbot, told):
    viewer.add_image(view("RCC"), name="RCC")
    dock = MassesDock(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(dock.form.run.isEnabled)
    run(dock, qtbot)
    dock.table.selectRow(0)
    dock.decisions.accept.click()
    assert "is no file" in told[0]
    assert texts(dock)[0][2:] == ("40 x 40 px", "open")


def test_cancel_and_errors_leave_the_viewer_as_it_was(opened, qtbot, viewer, standin, told):
    dock, before = opened, names(viewer)
    standin.pause_s = 0.3
    dock.run_or_cancel()
    qtbot.waitUntil(lambda: "Looking at" in dock.form.status.text(), timeout=10_000)
    start = time.thread_time()
    dock.run_or_cancel()
    assert time.thread_time() - start < 0.2
    assert dock.form.run.text() == "Run"
    qtbot.waitUntil(lambda: standin.closed == 1, timeout=5000)
    assert names(viewer) == before
    standin.pause_s, standin.error = 0.0, ModelError("broken model")
    run(dock, qtbot)
    assert told == ["broken model"]
    assert names(viewer) == before
    assert dock.table.rows == []


def test_exports_leave_out_what_was_rejected(done, qtbot, viewer, tmp_path, told):
    dock = done
    dock.threshold.setValue(to_slider(0.2))
    qtbot.waitUntil(lambda: len(dock.table.rows) == 3, timeout=3000)
    dock.table.selectRow(0)
    dock.decisions.decide(Decision.REJECTED)
    assert dock.layer is not viewer.layers["RCC"], "on to the next"
    dock.form.choose(viewer.layers["RCC"])
    dock.save(exports("masses")["csv"], tmp_path / "out")
    qtbot.waitUntil(lambda: dock.run is None, timeout=10_000)
    assert (
        dock.form.status.text()
        == "Saved 3 files, one a view: out-RCC.csv, out-LCC.csv, out-RMLO.csv"
    )
    assert len((tmp_path / "out-RMLO.csv").read_text().splitlines()) == 2
    dock.form.region.setCurrentText(THIS_VIEW)
    dock.save(exports("masses")["sr"], tmp_path / "out.dcm")
    qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)
    assert "no DICOM file" in told[0]
    dock.save(exports("masses")["output"], tmp_path / "out")
    qtbot.waitUntil(lambda: dock.run is None, timeout=10_000)
    assert dock.form.status.text() == "Saved out.json"
    saved = read_json(tmp_path / "out.json")
    assert saved.shape == SHAPE
    assert saved.scores.tolist() == pytest.approx([0.3])
    assert saved.spacing == "user"


def test_an_image_that_is_closed_takes_its_layers_along(done, viewer, qtbot):
    viewer.layers.remove(viewer.layers["RCC"])
    qtbot.waitUntil(lambda: viewer.layers["Masses"].nshapes == 1, timeout=5000)
    assert names(viewer) == ["LCC", "RMLO", "Mass boxes", "Masses"]
    assert [row.view for row in done.table.rows] == ["RMLO"]


def test_the_camera_may_move_while_findings_are_laid(done, viewer):
    """They are laid in steps, between which lines would be fitted to what is not there yet."""
    layers = MassLayers(viewer, 1, lambda *_: None)
    for _ in layers.show({image: done.reviews.shown(image) for image in done.images}):
        viewer.scene.camera.zoom *= 1.5
        layers.camera_moved()
    assert layers.outlines.nshapes == layers.boxes.nshapes == 2


def test_findings_of_hidden_views_are_hidden_and_the_others_stay(done, viewer, qtbot):
    dock, outlines = done, viewer.layers["Masses"]
    (one,) = what_is_open(viewer)
    assert {layer.name for layer in one.results} == {"Masses", "Mass boxes"}
    show_views(viewer, one, [viewer.layers["RMLO"]])
    qtbot.waitUntil(lambda: outlines.nshapes == 1, timeout=5000)
    assert outlines.visible
    middle = viewer.layers["RMLO"].data_to_world((119.5, 69.5))
    assert outlines.data[0].mean(0) == pytest.approx(middle, abs=1)
    assert [row.view for row in dock.table.rows] == ["RCC", "RMLO"]
    dock.pick(viewer.layers["RCC"].data_to_world((100, 60)))
    assert dock.finding is None, "a click where nothing is seen"
    dock.table.selectRow(0)
    assert viewer.layers["RCC"].visible, "going to a finding brings its view back"
    qtbot.waitUntil(lambda: outlines.nshapes == 2, timeout=5000)
    show_results(viewer, one, shown=False)
    assert not outlines.visible
    show_results(viewer, one, shown=True)
    assert outlines.visible


def test_a_mass_belongs_to_the_view_that_it_is_drawn_in(done, viewer, study, qtbot):
    """Also where another view is chosen; each keeps its own, and each can be taken back."""
    dock, outlines = done, viewer.layers["Masses"]
    dock.form.choose(viewer.layers["RCC"])
    dock.decisions.draw.click()
    for name in ("LCC", "RMLO"):
        outlines.add(in_world(viewer.layers[name], disc(60, 80, 10)), shape_type="polygon")
    qtbot.waitUntil(lambda: len(dock.table.rows) == 4, timeout=5000)
    for path in study[1:]:
        kept = read(store(path).beside)
        box = kept.found.boxes[kept.decisions.index(Decision.DRAWN)]
        assert box.tolist() == pytest.approx([70, 50, 90, 70], abs=0.2)
    assert not store(study[0]).beside.exists()
    dock.past.undo.click()
    dock.past.undo.click()
    assert [row[0] for row in texts(dock)] == ["RCC", "RMLO"]
    assert outlines.nshapes == 2


def test_outlines_follow_views_that_are_moved_or_given_another_size(done, viewer, qtbot):
    image, outlines = viewer.layers["RCC"], viewer.layers["Masses"]
    y, x = image.translate
    image.translate = y + 5000, x
    give_spacing(viewer, viewer.layers["RMLO"], 0.1)
    for at, (name, place) in enumerate([("RCC", (99.5, 59.5)), ("RMLO", (119.5, 69.5))]):
        qtbot.waitUntil(
            lambda at=at, name=name, place=place: np.allclose(
                outlines.data_to_world(outlines.data[at].mean(0)),
                viewer.layers[name].data_to_world(place),
                atol=1,
            ),
            timeout=5000,
        )


def in_world(image, corners):
    """Pixels from the corner of an image, where they lie in the viewer."""
    return np.array([image.data_to_world(one) for one in np.asarray(corners) - 0.5])
