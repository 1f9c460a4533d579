"""A view in other colours, as a user comes to it: made, compared, exported, opened again."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import zarr

from desk import choose, plain
from napari_pathogan.errors import OutputError
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.writers.ome import write_ome_tiff
from patience import PATIENCE_S

pytestmark = pytest.mark.gui

SHAPE = 900, 1100


@pytest.fixture(scope="module")
def tissue():
    """Two stains on glass: uint8 (Y, X, 3)."""
    rng = np.random.default_rng(0)
    pixels = np.full((*SHAPE, 3), 243, np.uint8)
    grain = rng.integers(-12, 12, (700, 800, 3))
    pixels[100:800, 100:900] = np.clip(np.add(grain, (225, 150, 190)), 0, 255)
    for y, x in rng.integers(110, 780, (900, 2)):
        pixels[y : y + 9, x : x + 9] = (105, 70, 150)
    return pixels


@pytest.fixture
def slide_of(tissue, tmp_path):
    def made(name, mpp):
        path = tmp_path / name
        write_ome_tiff(path, tissue, mpp, compression="deflate")
        return path

    return made


def made_view(desk, dock, method="Reinhard"):
    """A view of the chosen slide."""
    desk.wait(lambda: dock.form.isVisible() and dock.form.run.isEnabled(), "the styles")
    dock.method.setCurrentText(method)
    desk.press(dock.form.run)
    desk.wait(lambda: dock.run is None and dock.view is not None, "the view")
    return dock.view


def export(desk, dock, path):
    """Export by the dock's menu."""
    with desk.answering(choose(path)):
        desk.pick(dock.export, "Slide in these colours (OME-Zarr)…")
    desk.wait(lambda: dock.run is None, "the export")


def open_again(desk, path):
    """File > Open Folder: the layer that came."""
    before = list(desk.viewer.layers)
    with desk.answering(choose(path)):
        desk.menu("File", "Open Folder...")
    desk.wait(lambda: len(desk.viewer.layers) > len(before), path.name)
    desk.rest(0.2)
    (layer,) = (x for x in desk.viewer.layers if x not in before)
    return layer


def lies_on(view, slide):
    """Whether a layer covers a slide's layer and nothing else."""
    return np.allclose(view.extent.world, slide.extent.world) and view.units == slide.units


@pytest.mark.parametrize(
    ("mpp", "typed", "first"),
    [(0.5, "", "view"), (None, "0.25", "slide")],
)
def test_an_exported_view_comes_back_on_its_slide(used, slide_of, tmp_path, *, mpp, typed, first):
    desk = used
    path = slide_of("case-17.ome.tif", mpp)
    dock = desk.dock("Stain transfer")
    desk.open(path)
    slide = desk.viewer.layers[0]
    if typed:
        desk.wait(dock.form.pixel_size.isVisible, "the row Scale")
        desk.type(dock.form.pixel_size, typed)
    view = made_view(desk, dock)
    desk.picture(f"stain-view-{mpp}-{typed}")
    assert desk.cut_texts(dock) == []
    export(desk, dock, tmp_path / "out.ome.zarr")
    assert "Saved out.ome.zarr" in dock.form.status.text()
    about = zarr.open_group(tmp_path / "out.ome.zarr").attrs["pathogan"]
    assert about["synthetic"]
    assert about["stain_method"] == "reinhard"
    assert about["stain_slide"] == path.name
    with Slide.open(tmp_path / "out.ome.zarr") as saved:
        assert saved.shape == SHAPE
        shown = np.asarray(view.data[0][300:340, 300:340])
        np.testing.assert_array_equal(np.asarray(saved.levels[0][300:340, 300:340]), shown)
    if first == "slide":
        desk.viewer.layers.remove(view)
        again = open_again(desk, tmp_path / "out.ome.zarr")
    else:
        desk.viewer.layers.clear()
        again = open_again(desk, tmp_path / "out.ome.zarr")
        desk.open(path)
        desk.rest(0.3)
        slide = next(x for x in desk.viewer.layers if x is not again)
        assert list(desk.viewer.layers) == [slide, again]
    assert lies_on(again, slide)
    assert "[synthetic]" in again.name


def test_a_view_that_knows_its_scale_lies_on_a_slide_that_does_not(used, slide_of, tmp_path):
    """As `pathogan stain apply --mpp` saves it, or another user to whom the scale was not given."""
    desk = used
    path = slide_of("case-17.ome.tif", None)
    dock = desk.dock("Stain transfer")
    desk.open(path)
    desk.wait(dock.form.pixel_size.isVisible, "the row Scale")
    desk.type(dock.form.pixel_size, "0.25")
    view = made_view(desk, dock)
    export(desk, dock, tmp_path / "out.ome.zarr")
    desk.viewer.layers.clear()
    (tmp_path / "elsewhere").mkdir()
    desk.open(path.rename(tmp_path / "elsewhere" / path.name))  # where its scale is not known
    slide = desk.viewer.layers[0]
    view = open_again(desk, tmp_path / "out.ome.zarr")
    assert slide.metadata["slide"].mpp is None
    assert view.metadata["slide"].mpp == (0.25, 0.25)
    for chosen in (view, slide, view):  # the docks look at each
        desk.viewer.layers.selection = {chosen}
        desk.rest(0.1)
        assert lies_on(view, slide)
    desk.picture("stain-view-without-scale")


def test_a_scale_that_is_given_later_is_the_views_too(used, slide_of):
    desk = used
    dock = desk.dock("Stain transfer")
    desk.open(slide_of("case-17.ome.tif", None))
    slide = desk.viewer.layers[0]
    desk.wait(dock.form.pixel_size.isVisible, "the row Scale")
    desk.type(dock.form.pixel_size, "1")
    view = made_view(desk, dock)
    for chosen, typed in ((slide, "0.25"), (view, "0.5")):
        desk.viewer.layers.selection = {chosen}
        desk.wait(lambda chosen=chosen: dock.layer is chosen, "the slide")
        desk.type(dock.form.pixel_size, typed)
        desk.key("Return", dock.form.pixel_size)
        desk.wait(lambda typed=typed: slide.scale[0] == float(typed), "the scale")
        assert lies_on(view, slide)
        for layer in (slide, view):
            assert layer.metadata["slide"].mpp == (float(typed), float(typed))


def test_what_was_measured_on_a_slide_is_not_said_of_another(used, slide_of, tissue, tmp_path):
    desk = used
    dock = desk.dock("Stain transfer")
    desk.open(slide_of("one.ome.tif", 1.0))
    first = desk.viewer.layers[0]
    made_view(desk, dock, "Closest on this slide")
    said, chosen = dock.note.text(), dock.method.currentText()
    assert "on this slide" in said
    assert chosen != "Closest on this slide"
    desk.open(slide_of("two.ome.tif", 1.0))
    second = next(x for x in desk.viewer.layers if x.name == "two.ome.tif")
    desk.wait(lambda: dock.layer is second, "the other slide")
    assert dock.note.text() == ""
    assert dock.method.currentText() == "Closest on this slide"
    assert not dock.export.isEnabled()
    desk.viewer.layers.selection = {first}
    desk.wait(lambda: dock.layer is first, "the first slide")
    assert dock.note.text() == said


def test_an_export_is_cancelled_and_leaves_nothing(used, slide_of, tmp_path, monkeypatch):
    desk = used
    dock = desk.dock("Stain transfer")
    desk.open(slide_of("case-17.ome.tif", 1.0))
    made_view(desk, dock)
    go, resampled = threading.Event(), Slide.resampled

    def slowly(self, *place, **options):
        if self.name.startswith("case-17.ome.tif in the colours"):
            assert go.wait(PATIENCE_S)
        return resampled(self, *place, **options)

    monkeypatch.setattr(Slide, "resampled", slowly)
    with desk.answering(choose(tmp_path / "out")):
        desk.pick(dock.export, "Slide in these colours (OME-Zarr)…")
    desk.wait(lambda: dock.run is not None, "the export")
    assert plain(dock.form.run.text()) == "Cancel"
    assert not dock.export.isEnabled()
    worker = dock.run.worker
    desk.press(dock.form.run)
    assert dock.run is None
    go.set()
    desk.wait(lambda: not worker.is_running, "its end")
    assert [one.name for one in tmp_path.iterdir() if "out" in one.name] == []
    assert dock.view in desk.viewer.layers


def test_save_selected_layers_says_where_a_view_is_saved(used, slide_of, tmp_path):
    desk = used
    dock = desk.dock("Stain transfer")
    desk.open(slide_of("case-17.ome.tif", 1.0))
    view = made = made_view(desk, dock)
    for where in ("Export in the dock Stain transfer", "lies in out.ome.zarr"):
        desk.viewer.layers.selection = {view}
        desk.rest(0.1)
        with pytest.raises(OutputError, match=where):  # as File > Save Selected Layers does
            view.save(str(tmp_path / "saved.ome.zarr"), plugin="napari-pathogan")
        assert not (tmp_path / "saved.ome.zarr").exists()
        if view is made:
            for chosen in (
                desk.viewer.layers[0],
                view,
            ):  # a dock that looks at the view saves it too
                desk.viewer.layers.selection = {chosen}
                desk.wait(lambda chosen=chosen: dock.layer is chosen, "the layer that is selected")
            export(desk, dock, tmp_path / "out.ome.zarr")
            view = open_again(desk, tmp_path / "out.ome.zarr")
