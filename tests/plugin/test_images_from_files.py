"""An image that another reader has opened is its file: what is kept with it is found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathogan.plugin.viewer.layers import give_mpp, recall_scale, slide_of
from napari_pathogan.plugin.viewer.mammogram_layers import give_spacing, mammogram_of
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.masses import annotated as masses
from napari_pathogan.tasks.nuclei import annotated

pytestmark = pytest.mark.gui
ORIENTATION = 0x0112


@pytest.fixture
def colours():
    """120 x 90 px, of which no two parts are alike."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(60, 250, (6, 5, 3), np.uint8)
    return np.kron(coarse, np.ones((20, 18, 1), np.uint8))


def save(path, pixels, **options):
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["field.png", "field.jpg", "field.bmp", "field.tif"])
def test_an_image_opened_by_napari_is_its_file(viewer, colours, tmp_path, name):
    path = save(tmp_path / name, colours)
    (layer,) = viewer.open(path, plugin="napari")
    slide = slide_of(layer)
    assert slide.path == path
    assert annotated.store(slide.path).places[0].parent == tmp_path
    assert layer.metadata["path"] == path


def test_a_scale_that_was_typed_in_is_there_at_the_next_opening(viewer, colours, tmp_path):
    path = save(tmp_path / "field.png", colours)
    (layer,) = viewer.open(path, plugin="napari")
    assert slide_of(layer).mpp is None
    recall_scale(viewer, layer)
    assert tuple(layer.scale) == (1.0, 1.0)
    give_mpp(viewer, layer, 0.5)
    (again,) = viewer.open(path, plugin="napari")
    assert slide_of(again).mpp == (0.5, 0.5)
    recall_scale(viewer, again)
    assert tuple(again.scale) == (0.5, 0.5)
    assert str(again.units[0]) == "micrometer"
    again.scale = 3, 3
    recall_scale(viewer, again)
    assert tuple(again.scale) == (3.0, 3.0), "once is enough"


def test_a_dock_shows_the_remembered_scale(open_dock, viewer, colours, tmp_path, qtbot):
    path = save(tmp_path / "field.png", colours)
    (first,) = viewer.open(path, plugin="napari")
    give_mpp(viewer, first, 0.5)
    dock, _slide = open_dock
    viewer.layers.clear()
    (layer,) = viewer.open(path, plugin="napari")
    assert dock.layer is layer
    assert tuple(layer.scale) == (0.5, 0.5)
    assert viewer.canvas.overlays.scale_bar.visible
    middle = (np.asarray(colours.shape[:2]) - 1) / 2 * 0.5
    assert viewer.scene.camera.center[-2:] == pytest.approx(middle, abs=0.3), "it is in view"


def test_a_scale_that_a_layer_has_is_not_overruled(viewer, colours, tmp_path):
    path = save(tmp_path / "field.png", colours)
    (layer,) = viewer.open(path, plugin="napari", scale=(2, 2), units=("um", "um"))
    assert slide_of(layer).mpp == (2.0, 2.0)
    assert slide_of(layer).path == path
    recall_scale(viewer, layer)
    assert tuple(layer.scale) == (2.0, 2.0)


def test_an_image_that_asks_to_be_turned_is_shown_as_stored_by_both(viewer, colours, tmp_path):
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    path = save(tmp_path / "turned.jpg", colours, exif=turned)
    (layer,) = viewer.open(path, plugin="napari")
    assert slide_of(layer).path == path


def test_what_shows_other_pixels_than_its_file_is_not_that_file(viewer, colours, tmp_path):
    path = save(tmp_path / "changed.png", colours)
    (layer,) = viewer.open(path, plugin="napari")
    save(path, np.ascontiguousarray(colours[::-1]))
    assert slide_of(layer).path is None
    path = save(tmp_path / "gone.png", colours)
    (layer,) = viewer.open(path, plugin="napari")
    path.unlink()
    assert slide_of(layer).path is None
    several = [save(tmp_path / f"{n}.png", colours) for n in range(2)]
    (stack,) = viewer.open(several, plugin="napari", stack=True)
    assert stack.ndim == 3
    (layer,) = viewer.open(save(tmp_path / "part.png", colours), plugin="napari")
    layer.data = colours[:60]
    assert slide_of(layer).path is None
    assert slide_of(layer).shape == (60, 90)


def test_colours_may_differ_a_little(viewer, colours, tmp_path):
    layer = viewer.add_image(np.clip(colours * 0.9 + 8, 0, 255).astype(np.uint8))
    from napari.layers._source import layer_source

    path = save(tmp_path / "field.png", colours)
    with layer_source(path=str(path), reader_plugin="other"):
        layer = viewer.add_image(np.clip(colours * 0.9 + 8, 0, 255).astype(np.uint8))
    assert slide_of(layer).path == path


def test_a_mammogram_opened_by_napari_is_its_file(viewer, colours, tmp_path):
    grey = np.ascontiguousarray(colours[..., 0])
    path = save(tmp_path / "case_R_CC.png", grey)
    (layer,) = viewer.open(path, plugin="napari")
    mammogram = mammogram_of(layer)
    assert mammogram.path == path
    assert (mammogram.laterality, mammogram.view) == ("R", "CC")
    assert masses.store(mammogram.path).places[0].parent == tmp_path
    give_spacing(viewer, layer, 0.07)
    (again,) = viewer.open(path, plugin="napari")
    assert mammogram_of(again).mm_per_px == pytest.approx((0.07, 0.07))
    other = save(
        tmp_path / "case_L_CC.png", grey
    )  # nothing is remembered of it that is asked for at once
    (changed,) = viewer.open(other, plugin="napari")
    changed.data = grey[::-1]
    assert mammogram_of(changed).path is None


def test_the_layers_that_we_open_need_no_look_at_their_file(viewer, colours, tmp_path):
    path = save(tmp_path / "field.tif", colours)
    (layer,) = viewer.open(path, plugin="napari-pathogan")
    slide = layer.metadata["slide"]
    assert isinstance(slide, Slide)
    assert slide_of(layer) is slide
    assert slide.path == Path(path)
