"""A second slide is seen, docks look at the selected one, and a removed one leaves no black view."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tifffile
from napari.layers import Image as ImageLayer
from napari.utils.notifications import notification_manager
from PIL import Image

from desk import choose
from napari_pathogan.plugin.shell.running import running
from napari_pathogan.plugin.viewer.layers import is_looked_at
from napari_pathogan.plugin.viewer.opened import opened
from napari_pathogan.slides import scales

pytestmark = pytest.mark.gui


@pytest.fixture
def slides(tmp_path):
    """Two slides of different sizes and scales."""
    paths = []
    for name, side, mpp in (("first", 1200, 0.5), ("second", 700, 0.25)):
        pixels = np.full((side, 2 * side, 3), 240, np.uint8)
        pixels[side // 4 : side // 2, side // 2 : side] = (190, 110, 170)
        paths.append(tmp_path / f"{name}.svs")
        said = f"Aperio Image Library v12|AppMag = 20|MPP = {mpp}"
        tifffile.imwrite(
            paths[-1], pixels, photometric="rgb", tile=(256, 256), description=said, metadata=None
        )
    return paths


def half_of_view(used):
    size = np.asarray(used.viewer.canvas.size)
    return (
        size / used.viewer.scene.camera.zoom / 2 * 1.02
    )  # the canvas takes its last size after the fit


def is_whole_in_view(used, layer):
    centre, half = used.viewer.scene.camera.center[-2:], half_of_view(used)
    low, high = layer.extent.world[:, -2:]
    return bool((low >= centre - half).all() and (high <= centre + half).all())


def shown(used, layer):
    """Whether a layer is whole in view and fills most of it."""
    low, high = layer.extent.world[:, -2:]
    return is_whole_in_view(used, layer) and bool(((high - low) > half_of_view(used)).any())


def test_the_view_fits_every_slide_that_is_opened(used, slides):
    dock = used.dock("IDC heat map")
    for count, path in enumerate(slides, start=1):
        used.open(path)
        used.wait(lambda count=count: len(used.viewer.layers) == count, "the slide")
        used.rest()
        used.picture(f"slide-{count}")
        assert shown(used, used.viewer.layers[-1])
        assert dock.layer is used.viewer.layers[-1], "the dock looks at the new slide"
    first, second = (layer.extent.world[:, -1] for layer in used.viewer.layers)
    assert second[0] > first[1], "none lies on the other"


def find_nuclei(used, dock):
    """Run on what the dock looks at; the layers that came."""
    before = set(used.viewer.layers)
    used.wait(dock.form.run.isEnabled, "the model")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None, "the run")
    used.rest()
    return [layer for layer in used.viewer.layers if layer not in before]


def throw_away(used, *layers):
    """Select layers, and press napari's button that removes them."""
    used.viewer.layers.selection = set(layers)
    used.press(used.viewer.window._qt_viewer.layerButtons.deleteButton)
    used.rest()


def test_a_slide_that_is_thrown_away_takes_along_what_was_found_on_it(used, slides):
    dock = used.dock("Nuclei")
    for path in slides:
        used.open(path)
    used.wait(lambda: len(used.viewer.layers) == 2, "the slides")
    first, second = used.viewer.layers
    used.viewer.layers.selection.active = first
    found = find_nuclei(used, dock)
    assert found
    corner = first.extent.world[:, -2:].mean(0)
    drawn = used.viewer.add_shapes([np.stack([corner, corner + 90])])
    throw_away(used, first)
    assert list(used.viewer.layers) == [second, drawn]
    assert [text for text in used.notifications if "kept nowhere" in text and drawn.name in text]
    throw_away(used, drawn)
    assert shown(used, second)


def test_a_slide_that_is_opened_after_its_results_lies_below_them(used, slides, tmp_path):
    dock = used.dock("Nuclei")
    used.open(slides[0])
    used.wait(lambda: used.viewer.layers, "the slide")
    find_nuclei(used, dock)
    saved = tmp_path / "saved.geojson"
    with used.answering(choose(saved)):
        used.pick(dock.export, "Outlines for QuPath (GeoJSON)…")
    used.wait(lambda: dock.run is None and saved.exists(), "the file")
    throw_away(used, used.viewer.layers[0])
    assert not used.viewer.layers
    used.open(saved)
    used.wait(lambda: used.viewer.layers, "the outlines")
    used.open(slides[0])
    used.wait(lambda: len(used.viewer.layers) == 2, "the slide")
    used.rest()
    used.picture("results-first")
    slide, outlines = used.viewer.layers
    assert (slide.name, outlines.visible) == ("first.svs", True)


@pytest.mark.parametrize("title", ["Nuclei", "Mammogram masses"])
def test_plain_pictures_lie_beside_one_another_too(used, tmp_path, title):
    """napari's own reader lays them in the same corner."""
    dock = used.dock(title)

    def pictures():  # beside the titles of examinations
        return [layer for layer in used.viewer.layers if isinstance(layer, ImageLayer)]

    for number, side in enumerate((300, 500, 200), start=1):
        pixels = np.full((side, 2 * side, 3), 60 * number, np.uint8)
        picture = Image.fromarray(pixels if title == "Nuclei" else pixels[..., 0])
        picture.save(tmp_path / f"{number}.png")
        used.open(tmp_path / f"{number}.png")
        used.wait(lambda number=number: len(pictures()) == number, "the picture")
        seen = (
            is_whole_in_view if title == "Mammogram masses" else shown
        )  # views hang beside others
        used.wait(lambda seen=seen: seen(used, pictures()[-1]), "it in view", 20)
        used.rest()
        used.picture(f"picture-{title}-{number}")
        assert dock.layer is pictures()[-1]
    ends = [layer.extent.world[:, -1] for layer in pictures()]
    assert all(one[1] < next_one[0] for one, next_one in itertools.pairwise(ends))


@pytest.mark.parametrize("title", ["Nuclei", "Slides"])
def test_plain_pictures_that_were_opened_before_do_not_stay_on_one_another(used, tmp_path, title):
    for number in (1, 2, 3):
        Image.fromarray(np.full((90, 120, 3), 60 * number, np.uint8)).save(
            tmp_path / f"{number}.png"
        )
        used.open(tmp_path / f"{number}.png")
    used.wait(lambda: len(used.viewer.layers) == 3, "the pictures")
    used.dock(title)
    ends = [layer.extent.world[:, -1] for layer in used.viewer.layers]
    assert all(one[1] < next_one[0] for one, next_one in itertools.pairwise(ends))


def test_a_plain_picture_lies_beside_a_slide_where_only_the_slides_dock_is_open(
    used, slides, tmp_path
):
    used.dock("Slides")
    used.open(slides[0])
    Image.fromarray(np.full((90, 120, 3), 60, np.uint8)).save(tmp_path / "picture.png")
    used.open(tmp_path / "picture.png")
    used.wait(lambda: len(used.viewer.layers) == 2, "the picture")
    slide, picture = used.viewer.layers
    assert picture.extent.world[0, -1] > slide.extent.world[1, -1]
    assert [one.first for one in opened(used.viewer)] == [slide, picture]


def test_a_stack_of_pictures_has_a_picture_among_the_slides(used, tmp_path):
    dock = used.dock("Slides")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in (1, 2):
        Image.fromarray(np.full((90, 120, 3), 60 * number, np.uint8)).save(folder / f"{number}.png")
    with used.answering(choose(folder)):
        used.menu("File", "Open Folder...")
    used.wait(lambda: used.viewer.layers, "the stack")
    used.wait(lambda: not running(), "its picture")
    assert dock.isVisible()


@pytest.mark.parametrize("title", ["IDC heat map", "Nuclei", "Mammogram masses"])
def test_what_was_fitted_stays_whole_in_view_until_the_view_is_moved(used, slides, tmp_path, title):
    """Layer controls narrow the canvas after a first layer was shown; docks and users do so later."""
    path = slides[0]
    if title != "IDC heat map":
        path = tmp_path / "picture.png"
        colours = np.full((300, 600, 3), 90, np.uint8)
        Image.fromarray(colours if title == "Nuclei" else colours[..., 0]).save(path)
    used.dock(title)
    used.open(path)
    used.wait(lambda: len(used.viewer.layers) == 1, "the picture")
    layer, camera = used.viewer.layers[0], used.viewer.scene.camera
    width, height = used.window.width(), used.window.height()
    for narrower in (250, 100):
        before = tuple(used.viewer.canvas.size)
        used.window.resize(width - narrower, height)
        used.wait(lambda before=before: tuple(used.viewer.canvas.size) != before, "another canvas")
        used.rest()
        assert shown(used, layer)
    camera.zoom = moved = 3 * camera.zoom
    before = tuple(used.viewer.canvas.size)
    used.window.resize(width, height)
    used.wait(lambda: tuple(used.viewer.canvas.size) != before, "another canvas")
    used.rest()
    assert camera.zoom == moved, "a view that was moved stays where it is"


@pytest.mark.parametrize(
    ("title", "sample"), [("Nuclei", "H&E phantom at 40x"), ("IDC heat map", "H&E phantom slide")]
)
def test_a_dock_is_seen_whole_beside_a_second_slide(used, slides, title, sample):
    """After a run on the first, whose rows and pictures come and go."""
    dock = used.dock(title)
    used.sample(sample)
    used.wait(dock.form.run.isEnabled, "the model")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None, "the run")
    assert used.cut_texts(dock) == []
    used.open(slides[0])
    used.wait(lambda: dock.layer is used.viewer.layers[-1], "the second slide")
    used.picture(f"second-{title}")
    assert used.cut_texts(dock) == []


def test_docks_follow_the_layer_that_is_selected(used, slides):
    docks = [used.dock("IDC heat map"), used.dock("Nuclei")]
    used.open(*slides)
    used.wait(lambda: len(used.viewer.layers) == 2, "the slides")
    for layer in (*used.viewer.layers, *used.viewer.layers):
        used.viewer.layers.selection.active = layer
        used.rest(0.05)
        assert [dock.layer is layer for dock in docks] == [True, True]
        assert is_looked_at(used.viewer, layer), "what is worked on is seen"


def test_a_chosen_slide_is_brought_into_view(used, slides):
    dock = used.dock("IDC heat map")
    used.open(*slides)
    used.wait(lambda: len(used.viewer.layers) == 2, "the slides")
    for index in (0, 1):
        dock.form.slide.setCurrentIndex(index)
        assert is_looked_at(used.viewer, dock.layer)


@pytest.mark.parametrize("gone", [0, 1])
def test_removing_a_slide_shows_the_other(used, slides, gone):
    used.open(*slides)
    used.wait(lambda: len(used.viewer.layers) == 2, "the slides")
    used.viewer.fit_to_view(layers=[used.viewer.layers[gone]])
    used.viewer.layers.selection.active = used.viewer.layers[gone]
    used.key("Delete", layer_list(used))
    used.wait(lambda: len(used.viewer.layers) == 1, "the removal")
    used.rest()
    assert shown(used, used.viewer.layers[0])
    picture = used.viewer.screenshot(flash=False)
    assert picture[..., :3].mean() > 60, "the view is not black"


def layer_list(used):
    from napari._qt.containers import QtLayerList

    view = used.window.findChild(QtLayerList)
    view.setFocus()
    return view


@pytest.mark.parametrize("reader", ["napari", "PathoGAN"])
def test_a_picture_of_unknown_scale_lies_beside_a_slide_in_words_that_a_doctor_reads(
    used, slides, tmp_path, reader
):
    dock, before = used.dock("IDC heat map"), len(notification_manager.records)
    used.open(slides[0])
    used.wait(lambda: len(used.viewer.layers) == 1, "the slide")
    for number in (1, 2):
        path = tmp_path / f"unknown{number}.{'png' if reader == 'napari' else 'tif'}"
        pixels = np.full((300, 400, 3), 60 * number, np.uint8)
        Image.fromarray(pixels).save(path)
        used.open(path)
        used.wait(lambda number=number: len(used.viewer.layers) == 1 + number, "the picture")
        used.rest(0.5)
        used.picture(f"unknown-{reader}-{number}")
        assert dock.layer is used.viewer.layers[-1]
        assert shown(used, used.viewer.layers[-1])
    ends = [layer.extent.world[:, -1] for layer in used.viewer.layers]
    assert all(one[1] < next_one[0] for one, next_one in itertools.pairwise(ends))
    records = notification_manager.records[before:]  # also what is shown before we hear of it
    assert not [one for one in records if "nits" in one.message and "across" in one.message]
    said = [line for line in used.notifications if "the scale bar has no unit" in line]
    assert len(said) == 2
    assert all(f"unknown{number}" in line for number, line in enumerate(said, 1))
    assert used.viewer.layers.units is None
    used.type(dock.form.pixel_size, "0.5")
    used.key("Return")
    used.viewer.layers.pop(1)
    used.rest(0.3)
    assert used.viewer.layers.units is not None, "the bar has a unit again"


@pytest.mark.parametrize("title", ["IDC heat map", "Slides", "Mammogram masses"])
def test_a_scale_that_is_remembered_is_given_before_any_word_of_it(used, slides, tmp_path, title):
    path = tmp_path / "known.png"
    Image.fromarray(np.full((300, 400, 3), 120, np.uint8)).save(path)
    scales.remember(path, (0.25, 0.25))
    used.dock(title)
    used.open(slides[0])
    used.open(path)
    used.wait(lambda: len(used.viewer.layers) == 2, "the picture")
    used.wait(lambda: used.viewer.layers.units is not None, "its scale")
    used.rest(0.5)
    assert tuple(used.viewer.layers[1].scale) == (0.25, 0.25)
    assert not used.notifications
    ends = [layer.extent.world[:, -1] for layer in used.viewer.layers]
    assert ends[0][1] < ends[1][0], "none lies on the other"
