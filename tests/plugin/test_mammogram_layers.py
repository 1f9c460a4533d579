"""Mammograms in napari: window, inversion, mm, the hanging of a study, and no name of a person."""

from __future__ import annotations

import npe2
import numpy as np
import pytest
from mammogram_files import breast, write_view
from napari.components import ViewerModel
from napari.layers import Image
from PIL import Image as Pillow

from napari_pathogan import files
from napari_pathogan.mammograms.mammogram import Mammogram
from napari_pathogan.mammograms.voi import Table
from napari_pathogan.plugin.viewer import commands, mammogram_layers
from napari_pathogan.plugin.viewer.layers import is_slide
from napari_pathogan.plugin.viewer.mammogram_layers import is_mammogram, mammogram_of
from napari_pathogan.plugin.viewer.reader import get_reader, read, read_or_say
from napari_pathogan.plugin.viewer.samples import FOLDER, PHANTOM_STUDY

CHEST = {"R": "right", "L": "left"}


@pytest.fixture
def study(tmp_path):
    """Four views; the left CC comes mirrored."""
    for side, view in (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO")):
        edge = "right" if (side, view) == ("L", "CC") else CHEST[side]
        shape = (60, 50) if view == "CC" else (90, 70)
        write_view(tmp_path / f"{side}{view}", breast(edge, shape), side, view)
    return tmp_path


def layers_of(*paths):
    return [Image(data, **kwargs) for data, kwargs, _ in read([str(path) for path in paths])]


def test_a_view_is_shown_as_its_header_says(tmp_path):
    pixels = 4095 - breast("right")
    path = write_view(
        tmp_path / "quackenbush.dcm", pixels, "R", "CC", PhotometricInterpretation="MONOCHROME1"
    )
    assert get_reader(str(path)) is read_or_say
    ((data, kwargs, kind),) = npe2.read([str(path)], stack=False, plugin_name="napari-pathogan")
    assert kind == "image"
    assert np.array_equal(data, pixels)
    assert data.dtype == np.uint16
    assert kwargs["contrast_limits"] == (599.5, 1399.5)
    assert kwargs["colormap"] == "gray_r"
    assert kwargs["scale"] == (100, 200)
    assert kwargs["units"] == ("um", "um")
    assert kwargs["metadata"]["spacing"] == "at detector"
    assert kwargs["name"] == "RCC"
    layer = Image(data, **kwargs)
    assert is_mammogram(layer)
    assert not is_slide(layer)
    assert mammogram_of(layer) is kwargs["metadata"]["mammogram"]


def test_a_study_hangs_with_the_chest_walls_face_to_face(study):
    layers = {layer.name: layer for layer in layers_of(study)}
    assert list(layers) == ["RCC", "LCC", "RMLO", "LMLO"]
    for name, layer in layers.items():
        (top, left), (bottom, right) = layer.extent.world[:, -2:]
        assert (right < 0) if name[0] == "R" else (left > 0)
        assert (bottom < 0) if name.endswith("CC") else (top > 0)
        bright = mammogram_of(layer).shown()
        rows, columns = np.nonzero(bright > bright.max() / 2)
        middle = layer.data_to_world((rows.mean(), columns.mean()))
        assert abs(middle[1]) < (right - left) / 2  # the breast is at the inner edge
    assert layers["LCC"].scale[1] < 0
    assert layers["RCC"].scale[1] > 0


def test_views_opened_one_by_one_take_the_same_places(study):
    together = {layer.name: layer for layer in layers_of(study)}
    for name, layer in together.items():
        (alone,) = layers_of(study / name)
        assert np.allclose(alone.extent.world, layer.extent.world)


def test_a_study_with_one_view_without_scale_is_in_pixels(study):
    write_view(study / "RCC", breast("right"), "R", "CC", ImagerPixelSpacing=[])
    for layer in layers_of(study):
        assert tuple(np.abs(layer.scale)) == (1, 1)
        assert {str(unit) for unit in layer.units} == {"pixel"}


def test_views_beyond_the_four_lie_below_and_overlap_nothing(study):
    write_view(study / "more", breast("left"), "L", "CC")
    write_view(study / "spot", breast("right"), "R", "ML")
    boxes = [layer.extent.world[:, -2:] for layer in layers_of(study)]
    assert len(boxes) == 6
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            assert ((one[1] < other[0]) | (other[1] < one[0])).any()


def test_which_files_are_ours(tmp_path, study):
    assert get_reader(str(study)) is read_or_say
    assert get_reader(str(study / "RCC")) is read_or_say
    photos = tmp_path / "photos"
    photos.mkdir()
    Pillow.fromarray(breast("left").astype(np.uint8)).save(photos / "beach.png")
    assert get_reader(str(photos)) is not read_or_say
    (photos / "beach.png").rename(photos / "case_R_CC.png")
    assert get_reader(str(photos)) is read_or_say
    Pillow.fromarray(breast("left").astype(np.uint8)).save(tmp_path / "a_L_CC.pgm")
    assert get_reader(str(tmp_path / "a_L_CC.pgm")) is read_or_say
    (layer,) = layers_of(tmp_path / "a_L_CC.pgm")
    assert is_mammogram(layer)
    assert mammogram_of(layer).mm_per_px is None


def test_a_grey_image_of_naparis_own_becomes_a_mammogram(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "data_folder", lambda: tmp_path)
    viewer = ViewerModel()
    layer = viewer.add_image(breast("left"), name="scan_L_CC", scale=(70, 70), units=("um", "um"))
    found = mammogram_of(layer)
    assert (found.laterality, found.view) == ("L", "CC")
    assert found.mm_per_px == pytest.approx((0.07, 0.07))
    assert mammogram_of(layer) is found
    mammogram_layers.give_spacing(viewer, layer, 0.1)
    assert tuple(layer.scale) == (100, 100)
    assert mammogram_of(layer).spacing == "user"
    assert not is_mammogram(Image(np.zeros((4, 4, 3), np.uint8), rgb=True))
    assert not is_mammogram(Image(np.zeros((4, 4), np.float32)))  # a heat map, say


def test_the_sample_is_offered_and_marked_synthetic():
    offered = dict(npe2.PluginManager.instance().iter_sample_data())["napari-pathogan"]
    sample = next(one for one in offered if one.key == PHANTOM_STUDY)
    made = sample.open()
    assert [kwargs["name"] for _, kwargs, _ in made] == [
        f"{view} [synthetic]" for view in ("RCC", "LCC", "RMLO", "LMLO")
    ]


@pytest.mark.gui
def test_the_hanging_on_the_screen(viewer, study, told):
    write_view(study / "ct", breast("left"), "L", "CC", Modality="CT", SOPClassUID="1.2.840.1")
    raw = {"PresentationIntentType": "FOR PROCESSING"}
    write_view(study / "RMLO", breast("right", (90, 70)), "R", "MLO", **raw)
    commands.show_mammograms(viewer, study)
    assert [layer.name for layer in viewer.layers] == ["RCC", "LCC", "RMLO raw", "LMLO"]
    assert viewer.canvas.overlays.scale_bar.visible
    assert viewer.canvas.overlays.text.text == "mm at detector"
    others = [line for line in told if "are not square" not in line]
    assert len(others) == 2
    assert "modality CT" in others[0]
    assert "RMLO is raw data" in others[1]
    shot = viewer.screenshot(canvas_only=True, flash=False)[..., 0].astype(float)
    middle = shot.shape[1] // 2
    near, far = (
        shot[:, middle // 2 : -middle // 2],
        shot[:, [*range(middle // 4), *range(-middle // 4, 0)]],
    )
    assert near.mean() > 3 * max(far.mean(), 1)  # breasts meet in the middle


@pytest.mark.gui
def test_a_study_that_cannot_be_opened_is_one_notification(viewer, tmp_path, told):
    write_view(tmp_path / "ct", breast("left"), "L", "CC", Modality="CT", SOPClassUID="1.2.840.1")
    commands.show_mammograms(viewer, tmp_path / "ct")
    assert len(viewer.layers) == 0
    assert "not a mammogram" in told[0]
    assert "Quackenbush" not in " ".join(told)


@pytest.mark.gui
def test_the_sample_folder_opens_in_naparis_own_way(viewer):
    layers = viewer.open(FOLDER / PHANTOM_STUDY, plugin="napari-pathogan")
    assert len(layers) == 4
    (top, left), (bottom, right) = viewer.layers.extent.world[:, -2:]
    camera = viewer.scene.camera
    assert camera.center[-2:] == pytest.approx(((top + bottom) / 2, (left + right) / 2), abs=1)
    assert camera.zoom * max(bottom - top, right - left) <= max(viewer.canvas.size)
    assert {str(layer.units[0]) for layer in layers} == {"micrometer"}


@pytest.mark.gui
def test_what_mm_are_is_said_as_long_as_mammograms_in_mm_are_open(viewer, study, told):
    text = viewer.canvas.overlays.text
    commands.show_mammograms(viewer, study)
    assert (text.text, text.visible) == ("mm at detector", True)
    slide = viewer.add_image(np.full((40, 40, 3), 235, np.uint8), name="H&E", rgb=True)
    names = ", ".join(layer.name for layer in viewer.layers if layer is not slide)
    assert text.text == "mammograms: mm at detector"
    viewer.layers.remove(slide)
    assert text.text == "mm at detector"
    Pillow.fromarray(np.zeros((40, 40), np.uint8)).save(study / "plain.png")
    (plain,) = viewer.open(study / "plain.png", plugin="napari")
    assert text.text == f"{names}: mm at detector"
    for layer in [layer for layer in viewer.layers if layer is not plain]:
        viewer.layers.remove(layer)
    assert (text.text, text.visible) == ("", False)
    mammogram_layers.give_spacing(viewer, plain, 0.1)
    assert (text.text, text.visible) == ("mm as you gave them", True)
    viewer.layers.clear()
    viewer.add_image(np.full((40, 40, 3), 235, np.uint8), rgb=True)
    assert (text.text, text.visible) == ("", False)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("falls", [False, True])
@pytest.mark.parametrize("value", [0, 4095, 65535])
def test_the_layer_is_dark_where_the_image_is_shown_dark(inverted, falls, value):
    """A table that falls inverts as MONOCHROME1 does, and padding is air."""
    entries = np.linspace(0, 1, 4096, dtype=np.float32)
    pixels = np.arange(0, 4000, 100, dtype=np.uint16).reshape(4, 10)
    pixels[:, 8:] = value
    mammogram = Mammogram(
        "a", pixels, inverted=inverted, window=(0.0, 4095.0), padded=pixels == value,
        voi=Table(0, entries[::-1] if falls else entries),
    )  # fmt: skip
    data, kwargs, _ = mammogram_layers.mammogram_layer(mammogram)
    low, high = kwargs["contrast_limits"]
    grey = np.clip((data.astype(float) - low) / (high - low), 0, 1)
    if kwargs["colormap"] == "gray_r":
        grey = 1 - grey
    assert np.allclose(grey, mammogram.shown(), atol=1e-3)
    assert (grey[:, 8:] == 0).all()
    assert data.dtype == pixels.dtype


@pytest.mark.gui
@pytest.mark.parametrize("first", ["plain", "odd"])
@pytest.mark.parametrize(
    ("odd", "where"),
    [({"PresentationIntentType": "FOR PROCESSING"}, "raw"), ({"ViewPosition": "CC MAG"}, "odd")],
)
def test_odd_views_hang_below_in_whatever_order_they_are_opened(
    viewer, tmp_path, first, odd, where
):
    """Raw data that are opened alone hang in the view's place, and the view, once there, over them."""
    image = breast("left", (90, 70))
    files = {
        "plain": write_view(tmp_path / "plain", image, "L", "CC"),
        "odd": write_view(tmp_path / "odd", image, "L", "CC", **odd),
        "below": write_view(tmp_path / "below", image, "L", "MLO"),
    }
    other = "odd" if first == "plain" else "plain"
    for name in (first, other, "below"):
        commands.show_mammograms(viewer, files[name])
    tops = {layer.metadata["path"].stem: layer.extent.world[0, 0] for layer in viewer.layers}
    assert tops["plain"] < 0 < tops["below"]
    if where == "raw" and first == "odd":
        assert list(tops)[-2:] == ["plain", "below"]
    else:
        assert tops["odd"] > tops["below"] + 0.9 * 90 * viewer.layers[0].scale[0]
