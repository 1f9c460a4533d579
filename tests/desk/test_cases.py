"""A case is saved, and everything is there again later: images, results, drawings, how it is seen."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from napari.layers import Points, Shapes
from PIL import Image
from qtpy.QtWidgets import QDialog

from desk import choose, press_in
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.slides import scales
from napari_pathogan.tasks.masses.review import Decision

pytestmark = pytest.mark.gui


@pytest.fixture
def folder(tmp_path):
    """The samples, where they can be moved."""
    (tmp_path / "slides").mkdir()
    for name in (samples.PHANTOM, samples.PHANTOM_40X, samples.PHANTOM_STUDY):
        source, target = samples.FOLDER / name, tmp_path / "slides" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    return tmp_path / "slides"


def open_slide(used, path):
    before = len(used.viewer.layers)
    with used.answering(choose(path)):
        used.menu("File", "IO Utilities", "Open a slide…")
    used.wait(lambda: len(used.viewer.layers) > before, "the slide")


def run(used, title):
    """Run a dock on what was opened last."""
    dock = used.dock(title)
    used.wait(dock.form.run.isEnabled, f"the model of {title}")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None, title)
    used.rest()
    return dock


def save(used, path):
    dock = used.docked("Slides") or used.dock("Slides")
    used.rest(0.8)
    with used.answering(choose(path)):
        used.press(dock, "Save case…")
    used.wait(lambda: dock.said.text().startswith("Saved"), "the case")
    return dock.said.text()


def open_again(used, path):
    """Close what is open, docks too, and open a case."""
    used.viewer.layers.clear()
    used.viewer.window.remove_dock_widget("all")
    used.rest(0.3)
    dock = used.dock("Slides")
    with used.answering(choose(path)):
        used.press(dock, "Open case…")
    used.wait(lambda: dock.said.text().startswith("Opened"), "the case")
    used.rest(0.5)
    return dock


def dock_titled(slides, title):
    return next(one for one in slides.docks if one.title == title)


def test_a_slide_comes_back_with_its_map_threshold_and_drawings(used, folder, tmp_path):
    open_slide(used, folder / samples.PHANTOM)
    idc = run(used, "IDC heat map")
    idc.threshold.setValue(71)
    used.rest(0.2)
    area, heat = idc.form.result.text(), idc.heat.probability.data.copy()
    used.menu("Layers", "Annotate", "New regions on the slide")
    regions = used.viewer.layers.selection.active
    regions.add(np.array([[100.0, 100], [100, 300], [400, 300]]), shape_type="polygon")
    spots = used.viewer.add_points([[9.0, 9.5]], size=7, name="Spots", units="um")
    map_ = idc.shown.images["probability"]
    map_.opacity, map_.visible = 0.3, False
    used.viewer.scene.camera.zoom *= 2
    zoom, centre = used.viewer.scene.camera.zoom, used.viewer.scene.camera.center
    corners, place = regions.data[0].copy(), regions.data_to_world(regions.data[0][0])
    said = save(used, tmp_path / "first")
    assert said == "Saved first.pathogan.json."
    assert (tmp_path / "first.pathogan.json").is_file()

    slides = open_again(used, tmp_path / "first.pathogan.json")
    idc = dock_titled(slides, "IDC heat map")
    assert idc.form.result.text() == area
    np.testing.assert_array_equal(idc.heat.probability.data, heat)
    assert idc.threshold.value() == 71
    map_ = idc.shown.images["probability"]
    assert (map_.opacity, map_.visible) == (0.3, False)
    assert used.viewer.scene.camera.zoom == pytest.approx(zoom)
    assert used.viewer.scene.camera.center == pytest.approx(centre)
    (regions,) = (x for x in used.viewer.layers if isinstance(x, Shapes))
    assert regions.name == f"Regions ({samples.PHANTOM})"
    np.testing.assert_allclose(regions.data[0], corners)
    np.testing.assert_allclose(regions.data_to_world(regions.data[0][0]), place)
    (spots,) = (x for x in used.viewer.layers if isinstance(x, Points))
    np.testing.assert_allclose(spots.data, [[9, 9.5]])
    used.picture("case-idc")
    del spots, regions


def test_a_map_that_was_fitted_to_its_slide_comes_back_as_such(used, folder, tmp_path):
    """Neither the figures of the model before, nor its interval."""
    open_slide(used, folder / samples.PHANTOM)
    idc = run(used, "IDC heat map")
    assert "The true share" in idc.form.result.text()
    used.press(idc.live.fit)
    used.wait(lambda: "fitted to this slide" in idc.meaning.text(), "the fitted model's map")
    said = idc.meaning.text(), idc.form.result.text()
    assert "The true share" not in said[1]
    save(used, tmp_path / "fitted")
    idc = dock_titled(open_again(used, tmp_path / "fitted.pathogan.json"), "IDC heat map")
    assert (idc.meaning.text(), idc.form.result.text()) == said
    assert idc.heat.model == "idc-lite0, fitted to the slide"
    used.picture("case-idc-fitted")


def test_corrected_nuclei_and_reviewed_masses_come_back_to_their_docks(used, folder, tmp_path):
    open_slide(used, folder / samples.PHANTOM_40X)
    nuclei = run(used, "Nuclei")
    first = int(nuclei.segmentation.table["id"].iloc[0])
    nuclei.select(first)
    used.key("Delete", nuclei)
    count, labels = len(nuclei.segmentation), np.asarray(nuclei.segmentation.labels).copy()
    used.open(*sorted((folder / samples.PHANTOM_STUDY).rglob("*.dcm")))
    used.wait(lambda: sum("mammogram" in x.metadata for x in used.viewer.layers) >= 4, "the views")
    masses = run(used, "Mammogram masses")
    image = masses.images[0]
    review = masses.reviews.shown(image)
    masses.reviews._current[image] = masses.reviews.review_of(image).decided(
        review.ids[0], Decision.REJECTED
    )
    decisions = {x.name: masses.reviews.review_of(x).decisions for x in masses.images}
    save(used, tmp_path / "second")

    slides = open_again(used, tmp_path / "second.pathogan.json")
    nuclei, masses = (dock_titled(slides, x) for x in ("Nuclei", "Mammogram masses"))
    used.wait(lambda: len(masses.images) == 4, "the views")
    slide = next(x for x in used.viewer.layers if x.name == samples.PHANTOM_40X)
    used.viewer.layers.selection.active = slide
    used.rest(0.2)
    assert len(nuclei.segmentation) == count
    np.testing.assert_array_equal(np.asarray(nuclei.segmentation.labels) > 0, labels > 0)
    assert {x.name: masses.reviews.review_of(x).decisions for x in masses.images} == decisions
    used.picture("case-all")


def test_two_examinations_come_back_without_a_question(used, folder, tmp_path):
    """Also beside another that is open."""
    views = sorted((folder / samples.PHANTOM_STUDY).rglob("*.dcm"))
    used.open(views[0])
    used.wait(lambda: len(used.viewer.layers) == 1, "the view")
    y, x = np.mgrid[:300, :200]
    breast = (150 * (np.hypot(y - 150, x) < 140)).astype(np.uint8)
    Image.fromarray(breast).save(tmp_path / "other_R_CC.png")
    with used.answering(choose(tmp_path / "other_R_CC.png"), press_in("Open", QDialog)):
        used.menu("File", "IO Utilities", "Open mammograms…")
    used.wait(lambda: sum("mammogram" in x.metadata for x in used.viewer.layers) == 2, "both")
    names = {x.name for x in used.viewer.layers if "mammogram" in x.metadata}
    save(used, tmp_path / "two")
    slides = open_again(used, tmp_path / "two.pathogan.json")
    assert "⚠" not in slides.said.text()
    assert {x.name for x in used.viewer.layers if "mammogram" in x.metadata} == names


def test_a_case_is_saved_again_and_moved_with_its_slides(used, folder, tmp_path):
    open_slide(used, folder / samples.PHANTOM)
    idc = run(used, "IDC heat map")
    heat = idc.heat.probability.data.copy()
    for _ in range(2):
        save(used, folder / "case")
    assert len(list((folder / "case.pathogan").iterdir())) == 1, "nothing is left of the one before"
    used.viewer.layers.clear()
    moved = folder.rename(tmp_path / "elsewhere")
    used.viewer.window.remove_dock_widget("all")
    used.open(moved / "case.pathogan.json")  # by File > Open
    slides = used.wait(lambda: used.docked("Slides"), "the dock")
    used.wait(lambda: slides.said.text().startswith("Opened"), "the case")
    np.testing.assert_array_equal(dock_titled(slides, "IDC heat map").heat.probability.data, heat)
    assert "⚠" not in slides.said.text()


def test_what_is_gone_or_another_image_is_told(used, folder, tmp_path):
    open_slide(used, folder / samples.PHANTOM)
    open_slide(used, folder / samples.PHANTOM_40X)
    save(used, folder / "case")
    (folder / samples.PHANTOM).unlink()
    slides = open_again(used, folder / "case.pathogan.json")
    assert f"⚠ {samples.PHANTOM} is not where it was" in slides.said.text()
    assert [x.name for x in used.viewer.layers] == [samples.PHANTOM_40X]
    shutil.copy(samples.FOLDER / samples.PHANTOM_40X, folder / samples.PHANTOM)
    slides = open_again(used, folder / "case.pathogan.json")
    assert "is not the image that it was" in slides.said.text()
    assert used.cut_texts(slides) == []


@pytest.fixture
def pictures(used, tmp_path):
    """Two pictures as File > Open opens them, in colours: the second hidden, the first half seen, zoomed in."""
    pixels = np.random.default_rng(3).integers(60, 250, (6, 5, 3), np.uint8)
    for name, side in (("one", 20), ("two", 30)):
        large = np.kron(pixels, np.ones((side, side, 1), np.uint8))
        Image.fromarray(large).save(tmp_path / f"{name}.png")
    dock = used.dock("Nuclei")
    used.wait(dock.form.run.isEnabled, "the model")
    for name in ("one", "two"):
        used.open(tmp_path / f"{name}.png")
        used.wait(lambda name=name: dock.layer is not None and dock.layer.name == name, "the image")
        used.type(dock.form.pixel_size, "0.5")
        used.key("Return", dock.form.pixel_size)
        used.wait(lambda: tuple(dock.layer.scale) == (0.5, 0.5), "the scale")
    one, two = used.viewer.layers
    one.opacity, two.visible = 0.4, False
    used.rest(0.3)
    used.viewer.scene.camera.zoom *= 3
    used.viewer.scene.camera.center = (0.0, 11.0, 13.0)
    return used.viewer


def seen(viewer):
    """Names, looks, scales and places of layers, and what is in view."""
    camera = viewer.scene.camera
    layers = [
        (x.name, x.visible, x.opacity, tuple(x.scale), tuple(x.translate), str(x.units[0]))
        for x in viewer.layers
    ]
    return layers, [round(float(x), 3) for x in (camera.zoom, *camera.center)]


def test_pictures_that_napari_opened_come_back_as_they_were(used, pictures, tmp_path):
    before = seen(pictures)
    assert before[0][1][:2] == ("two", False)
    save(used, tmp_path / "case")
    slides = open_again(used, tmp_path / "case.pathogan.json")
    assert seen(pictures) == before
    assert slides.said.text() == "Opened case.pathogan.json."


def test_a_size_that_was_typed_goes_with_the_case(used, pictures, tmp_path, monkeypatch):
    before = seen(pictures)
    save(used, tmp_path / "case")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "of somebody else"))
    slides = open_again(used, tmp_path / "case.pathogan.json")
    assert seen(pictures) == before
    assert "one takes 0.5 µm per pixel from the case." in slides.said.text()
    assert "⚠" not in slides.said.text()
    assert not any("does not say how large" in x for x in used.notifications[-2:])
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "of a third"))
    scales.remember(tmp_path / "one.png", (0.25, 0.25))
    slides = open_again(used, tmp_path / "case.pathogan.json")
    assert pictures.layers[0].scale == pytest.approx((0.25, 0.25)), "what was said here stays"
    assert "⚠ one has 0.25 µm per pixel, as you gave it; in the case, 0.5 µm." in (
        slides.said.text()
    )


def test_a_size_of_mammograms_goes_with_the_case(used, tmp_path, monkeypatch):
    y, x = np.mgrid[:300, :200]
    breast = (150 * (np.hypot(y - 150, x) < 140)).astype(np.uint8)
    path = tmp_path / "case_R_CC.png"
    Image.fromarray(breast).save(path)
    scales.remember(path, (70.0, 70.0))
    with used.answering(choose(path)):
        used.menu("File", "IO Utilities", "Open mammograms…")
    used.wait(lambda: len(used.viewer.layers) == 1, "the view")
    scale = tuple(used.viewer.layers[0].scale)
    assert scale != (1, 1)
    save(used, tmp_path / "case")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "of somebody else"))
    slides = open_again(used, tmp_path / "case.pathogan.json")
    assert tuple(used.viewer.layers[0].scale) == pytest.approx(scale)
    assert "takes 0.07 mm per pixel from the case." in slides.said.text()


def test_older_cases_still_open(used, pictures, tmp_path):
    """They know looks by the names of layers, and no size of a pixel."""
    before = seen(pictures)
    save(used, tmp_path / "case")
    file = tmp_path / "case.pathogan.json"
    case = json.loads(file.read_text())
    for image in case["images"]:
        for new in ("um_per_px", "scale", "translate"):
            del image[new]
    for look in case["looks"]:
        del look["image"]
    file.write_text(json.dumps(case))
    slides = open_again(used, file)
    assert [one[:4] for one in seen(pictures)[0]] == [one[:4] for one in before[0]]
    assert "⚠" not in slides.said.text()


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "pathogan case", "version": 2}', "[1"])
def test_what_is_no_case_is_refused_in_a_sentence(used, tmp_path, text):
    (tmp_path / "bad.pathogan.json").write_text(text)
    dock = used.dock("Slides")
    with used.expecting("bad.pathogan.json is no case of PathoGAN, or damaged"):
        with used.answering(choose(tmp_path / "bad.pathogan.json")):
            used.press(dock, "Open case…")
        used.rest(0.3)


def test_nothing_of_the_users_is_lost_where_a_case_is_to_be_written(used, folder):
    open_slide(used, folder / samples.PHANTOM)
    idc = run(used, "IDC heat map")
    del idc
    (folder / "case.pathogan").mkdir()
    (folder / "case.pathogan" / "notes.txt").write_text("mine")
    dock = used.dock("Slides")
    used.rest(0.8)
    with used.expecting("holds notes.txt, which is no case's"):
        with used.answering(choose(folder / "case")):
            used.press(dock, "Save case…")
        used.wait(lambda: not dock.working, "its end")
    assert (folder / "case.pathogan" / "notes.txt").read_text() == "mine"
    assert not (folder / "case.pathogan.json").exists()


def test_a_model_that_is_not_here_is_told(used, folder, tmp_path):
    open_slide(used, folder / samples.PHANTOM)
    dock = used.dock("IDC heat map")
    used.wait(dock.form.run.isEnabled, "the model")
    save(used, tmp_path / "case")
    file = tmp_path / "case.pathogan.json"
    file.write_text(file.read_text().replace("idc-lite0", "idc-of-ward-7"))
    slides = open_again(used, file)
    used.wait(dock_titled(slides, "IDC heat map").form.run.isEnabled, "the model")
    used.wait(lambda: any("no model idc-of-ward-7 here" in x for x in used.notifications), "a word")


def test_a_plain_grey_picture_comes_back_as_what_it_was(used, tmp_path):
    """It was looked at by the dock of masses, which takes any grey picture."""
    grey = np.random.default_rng(0).integers(0, 255, (90, 120), np.uint8)
    Image.fromarray(grey).save(tmp_path / "gel.png")
    used.open(tmp_path / "gel.png")
    used.wait(lambda: len(used.viewer.layers) == 1, "the picture")
    used.dock("Mammogram masses")
    used.rest(0.5)
    save(used, tmp_path / "gel")
    known = json.loads((tmp_path / "gel.pathogan.json").read_text())["images"][0]
    assert known["mammogram"] is False
    open_again(used, tmp_path / "gel.pathogan.json")
    (layer,) = used.viewer.layers
    assert layer.name.startswith("gel")
    np.testing.assert_array_equal(np.asarray(layer.data), grey)
