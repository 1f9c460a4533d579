"""The row that asks how large a pixel is: what is typed counts, and nonsense is asked about."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from desk import press_in

pytestmark = pytest.mark.gui

NOTATIONS = "4", "4.0", "4,0", " 4 µm ", "4 um/px", "4000 nm", "4 microns", "0.004 mm", "4e0"


@pytest.fixture
def photo(tmp_path):
    """An H&E-like picture of 512 x 512 px that does not say its scale."""
    pixels = np.full((512, 512, 3), 242, np.uint8)
    pixels[100:400, 100:400] = (190, 110, 170)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def asked(used, photo):
    """The IDC dock, which asks for the scale of the picture."""
    dock = used.dock("IDC heat map")
    used.open(photo)
    used.wait(lambda: dock.form.pixel_size.isVisible(), "the question")
    used.wait(dock.form.run.isEnabled, "the model")
    return dock


def leave(used, dock):
    dock.form.model.setFocus()
    used.rest(0.1)


def is_um(layer, size):
    assert tuple(layer.scale) == (size, size)
    assert str(layer.units[0]) == "micrometer"


def test_every_notation_counts(used, asked):
    field = asked.form.pixel_size
    for typed in NOTATIONS:
        for text, size in (("9", 9.0), (typed, 4.0)):
            used.type(field, text)
            used.key("Return", field)
            is_um(asked.layer, size)


@pytest.mark.parametrize("how", ["leave", "run", "keys"])
def test_what_is_typed_counts_without_enter(used, asked, how):
    used.type(asked.form.pixel_size, "4")
    match how:
        case "leave":
            leave(used, asked)
        case "run":
            used.press(asked.form.run)
        case "keys":
            used.key("Ctrl+Return", asked.form.pixel_size)
    is_um(asked.layer, 4.0)
    if how != "leave":
        used.wait(lambda: asked.heat is not None, "the heat map")


def test_run_without_a_scale_says_what_is_missing(used, asked):
    used.press(asked.form.run)
    assert "type how many µm a pixel spans" in asked.form.pixel_size_refused.text()
    assert asked.run is None
    assert asked.form.pixel_size.hasFocus()


def test_what_is_no_size_is_refused_beside_the_field_until_another_is_typed(used, asked):
    said = asked.form.pixel_size_refused
    for typed in ("abc", "0", "-1", "0.25 m", "0.25 px", "1.000,5"):
        used.type(asked.form.pixel_size, typed)
        used.press(asked.form.run)
        used.rest()
        assert said.isVisible()
        assert f"{typed!r} is no size of a pixel" in said.text()
        assert asked.run is None
        assert tuple(asked.layer.scale) == (1.0, 1.0)
        assert not asked.form.pixel_size.text(), "the field shows what applies"
        assert used.cut_texts(asked) == []
    used.picture("refused-scale")
    used.type(asked.form.pixel_size, "2")
    assert not said.isVisible()
    used.key("Return", asked.form.pixel_size)
    assert not said.isVisible()
    is_um(asked.layer, 2.0)
    assert not used.notifications, "a notification would stay in front of what comes later"


def test_implausible_sizes_are_asked_about(used, asked):
    field = asked.form.pixel_size
    used.type(field, "4000")
    with used.answering(press_in("No")) as (question,):
        used.press(asked.form.run)
    assert "2.05 m long" in question.text
    assert tuple(asked.layer.scale) == (1.0, 1.0)
    assert field.text() == ""
    assert asked.run is None
    used.type(field, "0.001")
    with used.answering(press_in("Yes")) as (question,):
        used.key("Return", field)
    assert "0.512 µm long" in question.text
    assert tuple(asked.layer.scale) == (0.001, 0.001)


def test_a_scale_far_coarser_than_the_model_is_asked_about(used, asked):
    """25 µm a pixel for 0.25: a field of 13 mm, but nothing that shows nuclei."""
    nuclei = used.dock("Nuclei")
    used.wait(nuclei.form.run.isEnabled, "the model")
    field = nuclei.form.pixel_size
    for typed, times in (("25", 100), ("40", 160), ("1.5", 6)):
        used.type(field, typed)
        with used.answering(press_in("No")) as (question,):
            used.key("Return", field)
        assert f"{times} times as coarse as the images that nuclei-ensemble" in question.text
        assert tuple(nuclei.layer.scale) == (1.0, 1.0)
    used.type(field, "0.9")
    used.key("Return", field)
    is_um(nuclei.layer, 0.9)


def test_a_scale_that_another_dock_took_is_asked_about_once_before_the_model_runs(used, asked):
    used.type(asked.form.pixel_size, "2")
    used.key("Return", asked.form.pixel_size)
    nuclei = used.dock("Nuclei")
    used.wait(nuclei.form.run.isEnabled, "the model")
    with used.answering(press_in("No")) as (question,):
        used.press(nuclei.form.run)
    assert "8 times as coarse" in question.text
    assert nuclei.run is None
    with used.answering(press_in("Yes")):
        used.press(nuclei.form.run)
    used.wait(lambda: nuclei.run is not None, "the run")
    used.press(nuclei.form.run)
    used.press(nuclei.form.run)
    used.wait(lambda: nuclei.run is not None, "the run, without another question")
    used.press(nuclei.form.run)


def test_a_stopped_run_is_said_to_have_left_nothing_once_it_has(used, asked):
    nuclei = used.dock("Nuclei")
    used.wait(nuclei.form.run.isEnabled, "the model")
    used.type(nuclei.form.pixel_size, "0.5")
    used.press(nuclei.form.run)
    used.wait(lambda: len(used.viewer.layers) > 1, "the picture that fills")
    used.press(nuclei.form.run)
    assert len(used.viewer.layers) > 1
    assert nuclei.form.status.text() == "Stopped."
    used.wait(lambda: len(used.viewer.layers) == 1, "the picture to go")
    assert nuclei.form.status.text() == "Stopped. The viewer is as it was before."


def test_a_wrong_scale_can_be_corrected_in_any_dock(used, asked):
    used.type(asked.form.pixel_size, "4")
    used.key("Return", asked.form.pixel_size)
    other = used.dock("Nuclei")
    assert other.form.pixel_size.text() == "4"
    used.type(other.form.pixel_size, "0.5")
    used.key("Return", other.form.pixel_size)
    assert tuple(asked.layer.scale) == (0.5, 0.5)
    assert asked.form.pixel_size.text() == "0.5"


def test_a_mammogram_without_a_size_gets_a_row_in_mm(used, tmp_path):
    y, x = np.mgrid[:600, :400]
    breast = np.where(x < 300 - (y - 300) ** 2 / 400, 90, 0).astype(np.uint8)
    paths = [tmp_path / f"case_{side}_{view}.png" for side in "RL" for view in ("CC", "MLO")]
    for path in paths:
        Image.fromarray(breast).save(path)
    dock = used.dock("Mammogram masses")
    with used.answering(*[]):
        used.open(*paths)
    used.wait(lambda: len(used.viewer.layers) == 4, "the views")
    assert dock.form.pixel_size.isVisible()
    used.picture("mammogram-scale")
    used.type(dock.form.pixel_size, "0.3")
    used.key("Return", dock.form.pixel_size)
    for layer in used.viewer.layers:
        assert np.abs(layer.scale) == pytest.approx((300, 300)), "all views of the machine"
        assert str(layer.units[0]) == "micrometer"
    used.picture("mammogram-scale-mm")


@pytest.mark.parametrize("title", ["Mammogram masses", "Blending"])
def test_the_size_of_a_mammogram_is_known_when_its_file_is_opened_again(used, tmp_path, title):
    y, x = np.mgrid[:400, :300]
    path = tmp_path / "case_R_CC.png"
    Image.fromarray((180 * (np.hypot(y - 200, x - 299) < 190)).astype(np.uint8)).save(path)
    dock = used.dock(title)
    used.open(path)
    used.wait(lambda: dock.form.pixel_size.isVisible(), "the question")
    used.type(dock.form.pixel_size, "0.15")
    used.key("Return", dock.form.pixel_size)
    used.viewer.layers.clear()
    used.open(path)
    used.wait(lambda: dock.layer is not None, "the mammogram")
    assert dock.layer.source.reader_plugin == "napari"
    assert tuple(np.abs(dock.layer.scale)) == pytest.approx((150, 150))
    assert str(dock.layer.units[0]) == "micrometer"
    assert dock.form.pixel_size.text() == "0.15"
    assert used.viewer.canvas.overlays.text.text == "mm as you gave them"


def test_areas_of_another_scale_are_not_said(used, asked):
    used.type(asked.form.pixel_size, "2")
    used.press(asked.form.run)
    used.wait(lambda: "mm" in asked.form.result.text(), "the heat map")
    used.type(asked.form.pixel_size, "1")
    used.key("Return", asked.form.pixel_size)
    assert "run again" in asked.form.result.text()
    used.type(asked.form.pixel_size, "2")
    used.key("Return", asked.form.pixel_size)
    assert "mm" in asked.form.result.text()


def test_densities_and_names_of_another_scale_are_not_said(used, data):
    dock = used.dock("Nuclei")
    used.open(data / "crc_nuclei" / "images" / "img1.png")
    used.wait(lambda: dock.layer is not None and dock.form.run.isEnabled(), "the models")
    used.type(dock.form.pixel_size, "0.55")
    used.key("Return", dock.form.pixel_size)
    dock.classes.setCurrentText("nuclei-classes-crc-labels")
    dock.tissue.setCurrentIndex(dock.tissue.findData("colon"))
    dock.tissue.activated.emit(dock.tissue.currentIndex())
    used.press(dock.form.run)
    used.wait(lambda: "per mm" in dock.form.result.text(), "the nuclei")
    assert "epithelial" in dock.segmentation.class_names
    used.type(dock.form.pixel_size, "0.25")
    used.key("Return", dock.form.pixel_size)
    assert "run again" in dock.form.result.text()
    assert dock.segmentation.class_names == ("group A", "group B", "group C")
    used.type(dock.form.pixel_size, "0.55")
    used.key("Return", dock.form.pixel_size)
    assert "per mm" in dock.form.result.text()
    assert "epithelial" in dock.segmentation.class_names


def test_what_is_looked_for_stays_in_view(used, asked):
    used.viewer.window._qt_window.resize(1000, 500)
    used.rest(0.3)
    used.scroll_to(asked.export)
    used.rest(0.2)
    assert not asked.limits.visibleRegion().isEmpty()
    assert asked.limits.text()
