"""The Stain transfer dock from end to end, with a stand-in for the network."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt
from training_standin import TrainingStandin

from napari_pathogan.engine.events import Finished, Progress
from napari_pathogan.engine.models import ModelCard, read_card, zoo
from napari_pathogan.errors import NoTissueError
from napari_pathogan.plugin.idc.dock import IdcDock
from napari_pathogan.plugin.idc.layers import heat_image
from napari_pathogan.plugin.shell import dock as docks
from napari_pathogan.plugin.shell.running import running
from napari_pathogan.plugin.stain import dock as stain_widget
from napari_pathogan.plugin.stain.dock import CLOSEST, IN_VIEW, StainDock
from napari_pathogan.plugin.stain.events import (
    StyleSource,
    lesson,
    read_reference,
    stains_events,
    tiles,
)
from napari_pathogan.plugin.viewer.layers import image_name, slide_layer, slide_of
from napari_pathogan.plugin.viewer.lines import Lines
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.names import short
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.stain.data import read_pool, tiles_of

pytestmark = pytest.mark.gui

CARD = ModelCard(name="stand-in", title="Stand-in style", task="stain", architecture="none")


class Standin:
    """A transfer to green that remembers what it was asked."""

    def __init__(self):
        self.asked, self.error = [], None
        self.best = "reinhard"  # what measures closest
        self.meant = False  # for the scanner map

    def events(self, slide, style, method, reference):
        from napari_pathogan.tasks.stain.closeness import Closeness
        from napari_pathogan.tasks.stain.levels import transferred
        from napari_pathogan.tasks.stain.predict import Method, Transfer

        self.asked.append((slide, style, method, reference))
        yield Progress(0, 0, "measuring")
        if self.error:
            raise self.error
        ranked = sorted(Method, key=lambda m: m != self.best)
        measured = {m: Closeness(0.1 * n, 0, 0, 1, 0, 0) for n, m in enumerate(ranked)}
        transfer = Transfer(
            Method(method or self.best),
            "stand-in",
            lambda image: image[..., [1, 0, 2]],
            student_error=1.25,
            colours_of=reference[0].name if reference else "stand-in",
            measured={} if method or self.meant else measured,
            from_scanner=self.meant and not method,
        )
        yield Finished((transferred(slide, transfer), transfer))


def find_standin(folder):
    def find(tasks, folders, warm_up):
        yield docks.ModelsFound({"stand-in": (folder, CARD)}, tasks[-1])
        yield Finished()

    return find


@pytest.fixture
def standin(monkeypatch, tmp_path):
    made = Standin()
    monkeypatch.setattr(docks, "_find", find_standin(tmp_path))
    monkeypatch.setattr(stain_widget, "transfer_events", made.events)
    return made


@pytest.fixture
def opened(viewer, slide, standin, qtbot):
    data, kwargs, _ = slide_layer(slide)
    layer = viewer.add_image(data, **kwargs)
    dock = StainDock(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(dock.form.run.isEnabled)
    return dock, layer


def run(dock, qtbot):
    dock.run_or_cancel()
    qtbot.waitUntil(lambda: dock.run is None, timeout=120_000)


def test_a_view_lies_on_its_slide_and_says_that_it_is_synthetic(opened, qtbot, viewer, standin):
    dock, layer = opened
    run(dock, qtbot)
    view = dock.view
    assert list(viewer.layers) == [layer, view]
    assert "[synthetic]" in view.name
    assert view.metadata["synthetic"] is True
    assert tuple(view.scale) == tuple(layer.scale)
    assert tuple(view.translate) == tuple(layer.translate)
    before, after = np.asarray(layer.data[0][300:310, 400:410]), view.data[0][300:310, 400:410]
    assert (np.asarray(after) == before[..., [1, 0, 2]]).all()
    assert len(view.data) == len(layer.data)
    assert "1.2" in dock.note.text()
    assert standin.asked[0][2:] == ("", None)


def test_a_network_that_is_chosen_is_warned_of_with_its_figures(opened, standin, qtbot):
    dock, _ = opened
    assert not dock.method_note.isVisible()
    for method in ("Network (CNN)", "Network, fast (LUT)"):
        dock.method.setCurrentText(method)
        assert dock.method_note.isVisible()
        assert stain_widget.GUESS in dock.method_note.text()
    dock.method.setCurrentText("Reinhard")
    assert not dock.method_note.isVisible()


@pytest.mark.parametrize(
    ("style", "said"), [("stain-crc", "9.3 Lab units"), ("stain-hamamatsu", "24.2 dB")]
)
def test_the_figures_are_those_of_the_card(style, said):
    card = read_card(zoo() / style)
    assert said in stain_widget.network_note(card)


def test_the_method_that_measures_closest_is_the_default_and_says_so(opened, qtbot, standin):
    dock, layer = opened
    assert dock.method.currentText() == CLOSEST
    for best, words in (("reinhard", "Reinhard"), ("lut", "Network, fast (LUT)")):
        standin.best = best
        run(dock, qtbot)
        assert slide_of(dock.view).metadata["stain_method"] == best
        assert dock.method.currentText() == f"Closest here: {words}"
        assert "measured closest on this slide (distance 0.00; " in dock.note.text()
        assert "Network (CNN) 0." in dock.note.text()
    assert (
        dock.view.name
        == f"{short(layer.name)} in the colours of stand-in (Network, fast (LUT)) [synthetic]"
    )
    standin.best, standin.meant = "scanner", True
    run(dock, qtbot)
    assert dock.method.currentText() == "Meant for this slide: Scanner map"
    assert "the scanner that stand-in has a map from" in dock.note.text()
    dock.method.setCurrentText("Macenko")  # the user's choice stays
    run(dock, qtbot)
    assert standin.asked[-1][2] == "macenko"
    assert dock.method.currentText() == "Macenko"
    assert "closest" not in dock.note.text()
    dock.method.setCurrentIndex(0)
    dock.slide_changed()
    assert dock.method.currentText() == CLOSEST  # what was measured was of another slide


def test_a_layer_says_whose_colours_it_has(opened, qtbot, viewer):
    dock, layer = opened
    other = viewer.add_image(
        np.full((64, 64, 3), 99, np.uint8), rgb=True, name="06_1.png", scale=(2, 2)
    )
    dock.form.slide.setCurrentIndex(dock.form.slide.findData(layer))
    dock.slide_changed()
    dock.reference.setCurrentIndex(dock.reference.findData(other))
    run(dock, qtbot)
    assert (
        dock.view.name == f"{short(layer.name)} in the colours of 06_1.png (Reinhard) [synthetic]"
    )
    assert dock.view.metadata["stain_colours_of"] == "06_1.png"


def test_a_second_run_takes_the_place_of_the_first(opened, qtbot, viewer):
    dock, _layer = opened
    run(dock, qtbot)
    first = dock.view
    dock.method.setCurrentText("Reinhard")
    run(dock, qtbot)
    assert first not in viewer.layers
    assert dock.view in viewer.layers
    assert dock.view.name.endswith(" in the colours of stand-in (Reinhard) [synthetic]")
    viewer.layers.remove(dock.view)
    dock.slide_changed()
    assert dock.view is None
    assert not dock.compare.fade.isEnabled()


def test_the_view_is_a_slide_that_other_docks_can_look_at(opened, qtbot):
    dock, _ = opened
    run(dock, qtbot)
    assert slide_of(dock.view).metadata["stain_method"] == "reinhard"
    assert slide_of(dock.view).mpp == slide_of(dock.layer).mpp


def test_other_docks_look_at_the_slide_below_unless_the_view_is_chosen_in_them(
    opened, qtbot, viewer, monkeypatch
):
    dock, layer = opened
    run(dock, qtbot)
    view = dock.view
    viewer.layers.selection.active = view
    monkeypatch.setattr(IdcDock, "_search", lambda _: None)  # the stand-in has none of its models
    other = IdcDock(viewer)
    viewer.window.add_dock_widget(other)
    assert other.layer is layer
    viewer.layers.selection.active = layer
    viewer.layers.selection.active = view
    assert other.layer is layer
    assert "Synthetic" not in other.form.notes.text()
    other.form.choose(view)
    viewer.layers.selection.active = view
    assert other.layer is view
    assert "Synthetic picture" in other.form.notes.text()


@pytest.mark.parametrize("name", ["idcslide.png", "a.b.svs", "a: b [2].svs"])
def test_results_of_a_view_are_called_by_its_slide_and_say_what_it_is(opened, viewer, name):
    """The colours are those of a slide that is open too, and that nobody looked at."""
    from napari_pathogan.tasks.stain.levels import transferred
    from napari_pathogan.tasks.stain.predict import Method, Transfer

    slide = Slide.from_arrays([np.full((40, 60, 3), 180, np.uint8)], name=name, mpp=0.5)
    way = Transfer(Method.reinhard, "06_1.png", lambda image: image, colours_of="06_1.png")
    view = transferred(slide, way)
    data, kwargs, _ = slide_layer(view)
    made = f"{name} in the colours of 06_1.png (Reinhard)"
    layer = viewer.add_image(data, **kwargs)
    assert layer.name == view.name == f"{made} [synthetic]"
    assert image_name(layer) == view.name
    outline = Lines(viewer, layer, "IDC outline", "#ffffff")
    outline.frame(Region(1, 1, 9, 9))
    assert outline.layer.name == f"IDC outline ({made}) [synthetic]"
    assert heat_image("probability", view.name)["name"] == f"IDC probability ({made}) [synthetic]"
    assert made in view.synthetic


def test_fading_and_side_by_side(opened, qtbot, viewer):
    dock, layer = opened
    run(dock, qtbot)
    points = viewer.add_points(np.zeros((1, 2)))
    dock.compare.fade.setValue(30)
    assert dock.view.opacity == pytest.approx(0.3)
    dock.compare.sides.setChecked(True)
    assert viewer.canvas.grid.enabled
    assert viewer.canvas.grid.actual_shape(viewer.layers) == (1, 2)
    places = [
        viewer.canvas.grid.position(viewer.layers.index(x), viewer.layers)
        for x in (layer, dock.view)
    ]
    assert places[0] != places[1]
    assert not points.visible
    assert dock.view.opacity == 1
    dock.compare.sides.setChecked(False)
    assert not viewer.canvas.grid.enabled
    assert points.visible
    assert dock.view.opacity == pytest.approx(0.3)


def changed_from(viewer, qtbot):
    """Pixels from the canvas's left edge to the first that is in new colours, in its middle."""
    qtbot.wait(150)
    shot = viewer.screenshot(canvas_only=True, flash=False).astype(int)
    row = shot[shot.shape[0] // 2]
    new = row[:, 1] > row[:, 0]  # the slide is pink, and the stand-in swaps red and green
    assert new.any()
    assert not (row[new.argmax() + 20 :, 0] > row[new.argmax() + 20 :, 1]).any()
    return int(new.argmax())


def test_swiping(opened, qtbot, viewer):
    dock, _layer = opened
    assert not dock.compare.swipe.isEnabled()
    run(dock, qtbot)
    viewer.scene.camera.zoom *= 3
    dock.compare.swipe.setChecked(True)
    width = viewer.canvas.size[1]
    assert dock.compare.divider.isVisible()
    assert changed_from(viewer, qtbot) == pytest.approx(width / 2, abs=12)
    grip = dock.compare.divider.rect().center()
    qtbot.mousePress(dock.compare.divider, Qt.MouseButton.LeftButton, pos=grip)
    qtbot.mouseMove(dock.compare.divider, grip + QPoint(100, 0))
    qtbot.mouseRelease(dock.compare.divider, Qt.MouseButton.LeftButton)
    at = dock.compare.divider.at_px
    assert at == pytest.approx(width / 2 + 100, abs=2)
    assert changed_from(viewer, qtbot) == pytest.approx(at, abs=12)
    viewer.scene.camera.zoom *= 2
    viewer.scene.camera.center = (1300, 2300)  # panned, too: the divider stays where it is
    assert changed_from(viewer, qtbot) == pytest.approx(at, abs=12)
    run(dock, qtbot)  # a new view is divided as the one before
    assert changed_from(viewer, qtbot) == pytest.approx(at, abs=12)
    dock.compare.swipe.setChecked(False)
    assert changed_from(viewer, qtbot) == 0
    assert not dock.compare.divider.isVisible()


def test_a_divider_parts_one_flat_picture(opened, qtbot, viewer):
    dock, _layer = opened
    run(dock, qtbot)
    dock.compare.swipe.setChecked(True)
    dock.compare.sides.setChecked(True)
    assert not dock.compare.swipe.isChecked()
    dock.compare.swipe.setChecked(True)
    assert not dock.compare.sides.isChecked()
    assert not viewer.canvas.grid.enabled
    viewer.dims.ndisplay = 3
    assert not dock.compare.swipe.isChecked()
    dock.compare.swipe.setChecked(True)
    assert viewer.dims.ndisplay == 2
    viewer.layers.remove(dock.view)
    dock.slide_changed()
    assert not dock.compare.swipe.isChecked()
    assert not dock.compare.divider.isVisible()


def test_a_region_or_another_slide_as_reference(opened, qtbot, viewer, standin):
    dock, layer = opened
    viewer.reset_view()
    dock.reference.setCurrentText(IN_VIEW)
    run(dock, qtbot)
    slide, region = standin.asked[-1][3]
    assert slide is slide_of(layer)
    assert not region.empty
    other = viewer.add_image(
        np.full((64, 64, 3), 99, np.uint8), rgb=True, name="other", scale=(2, 2)
    )
    dock.form.slide.setCurrentIndex(dock.form.slide.findData(layer))
    dock.slide_changed()
    dock.reference.setCurrentText("other")
    run(dock, qtbot)
    slide, region = standin.asked[-1][3]
    assert slide is slide_of(other)
    assert region == Region(0, 0, 64, 64)


def test_an_error_is_shown_and_leaves_the_viewer_as_it_was(opened, qtbot, viewer, standin, told):
    dock, layer = opened
    standin.error = NoTissueError("no tissue was found")
    run(dock, qtbot)
    assert list(viewer.layers) == [layer]
    assert any("no tissue" in line for line in told)


def test_a_style_gets_no_name_that_leads_elsewhere(opened, told):
    dock, _ = opened
    dock.training.train(tiles(dock._learnt_from()), None, "../x")
    assert "a model can't be called '../x'" in told[0]
    assert dock.training.run is None


def test_stains_are_two_layers(viewer, standin, qtbot):
    pixels = np.full((600, 600, 3), 240, np.uint8)
    pixels[100:500, 100:300] = (150, 90, 170)
    pixels[100:500, 300:500] = (220, 130, 180)
    noise = np.random.default_rng(0).integers(-9, 9, pixels.shape)
    pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    with Slide.from_arrays([pixels], name="case", mpp=1.0) as slide:
        data, kwargs, _ = slide_layer(slide)
        viewer.add_image(data, **kwargs)
        dock = StainDock(viewer)
        viewer.window.add_dock_widget(dock)
        qtbot.waitUntil(dock.form.run.isEnabled)
        dock.show_stains.click()
        qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)
        names = [layer.name for layer in viewer.layers]
        assert names == ["case", "case, haematoxylin", "case, eosin"]
        haematoxylin = np.asarray(viewer.layers[1].data[0])
        assert haematoxylin[200:400, 150:250].mean() > 2 * haematoxylin[200:400, 350:450].mean()


def test_a_reference_is_read_no_finer_than_needed(slide):
    whole = read_reference(slide, Region(0, 0, 1501, 2003))
    assert whole.shape[0] * whole.shape[1] <= 4_000_000
    part = read_reference(slide, Region(300, 400, 50, 60))
    assert part.shape == (50, 60, 3)


def test_no_stains_on_one_colour(slide):
    with pytest.raises(ValueError, match="only one stain"):
        list(stains_events(slide))


def test_a_style_is_learnt_from_tiles_that_go_with_a_training(
    viewer, qtbot, slide, tmp_path, monkeypatch
):
    child = TrainingStandin(tmp_path / "orders", monkeypatch)
    data, kwargs, _ = slide_layer(slide)
    viewer.add_image(data, **kwargs)
    dock = StainDock(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(dock.form.run.isEnabled, timeout=60_000)
    material = tiles(StyleSource(slide, Region(300, 400, 300, 300)))
    assert slide.name not in material.origin + material.terms
    dock.training.train(material, None, "mine")
    qtbot.waitUntil(lambda: bool(child.asked), timeout=60_000)
    job, (line,) = dock.training.job, child.asked
    assert line[:3] == ["stain", "train", str(job.pool)]
    assert line[line.index("--mpp") + 1] == "2"
    assert [file.name for file in job.pool.iterdir()] == ["slide_000.png"]
    dock.training.cancel.click()
    qtbot.waitUntil(lambda: not running(), timeout=60_000)
    assert not job.pool.exists(), "no picture of the tissue is left"


def test_what_a_style_of_a_file_is_learnt_by_is_a_command(tmp_path):
    path = tmp_path / "case.tif"
    pixels = np.random.default_rng(0).integers(90, 200, (600, 600, 3), np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(128, 128))
    part = Region(100, 50, 300, 400)
    with Slide.open(path, mpp=0.5) as slide:
        for region in (None, part):
            made = tiles(StyleSource(slide, region))
            words = lesson(lambda: None).command(made, None, "mine", ("epochs=2",))
            assert words.startswith(f"pathogan stain train {path} --recipe quick --set epochs=2")
            assert "--holdout 0 --mpp 0.5" in words
            assert ("--region 100,50,300,400" in words) == (region is part)
            pool = read_pool(path, region=region)
            for one, two in zip(pool.images, tiles_of(slide, region), strict=True):
                np.testing.assert_array_equal(one, two)
    assert read_pool(path, region=part).images[0].shape == (300, 400, 3)
    assert set(pool.patients) == {"case"}


def test_a_style_learned_from_the_dock_colours_a_slide(viewer, qtbot):
    """Nothing is stood in for: tiles, the child process, the model, the list of styles, a view."""
    brief = ("epochs=1", "width=0.1", "steps=2", "batch=1", "crop=64")
    pixels = np.full((800, 800, 3), 240, np.uint8)
    pixels[100:700, 100:700] = (200, 120, 180)
    pixels[100:700:6, 100:700] = (110, 70, 150)
    with Slide.from_arrays([pixels], name="case-17", mpp=1.0) as slide:
        data, kwargs, _ = slide_layer(slide)
        viewer.add_image(data, **kwargs)
        dock = StainDock(viewer)
        viewer.window.add_dock_widget(dock)
        qtbot.waitUntil(dock.form.run.isEnabled, timeout=60_000)
        dock.training.train(tiles(dock._learnt_from()), None, "stain-mine", brief)
        long = 600_000  # a busy machine may take its time; the suite's own timeout is the end
        qtbot.waitUntil(lambda: dock.training.run is None, timeout=long)
        qtbot.waitUntil(lambda: dock.form.model.findText("stain-mine") >= 0, timeout=long)
        dock.form.model.setCurrentText("stain-mine")
        assert dock.card.recipe["steps"] == 2
        assert dock.card.mpp == pytest.approx(1.0)
        dock.method.setCurrentText("Network (CNN)")
        run(dock, qtbot)
        assert dock.view.metadata["stain_style"] == "stain-mine"
        made = np.asarray(dock.view.data[0][:, :])
        assert np.abs(made[:90].astype(int) - 240).max() <= 1  # glass
        assert (made[200:600, 200:600] != pixels[200:600, 200:600]).mean() > 0.5
