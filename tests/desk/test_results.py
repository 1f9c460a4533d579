"""What a dock exports by its menu opens again by File > Open, and lies on its image."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from napari.layers import Image
from PIL import Image as Picture
from qtpy.QtWidgets import QPushButton

from desk import choose, plain
from napari_pathogan.engine.cells import CellGrid
from napari_pathogan.plugin.shell.mammogram_subject import ALL_VIEWS
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.commands import show_slide
from napari_pathogan.plugin.viewer.layers import slide_of
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc.export import write_csv, write_zarr
from napari_pathogan.tasks.idc.heatmap import HeatMap

pytestmark = pytest.mark.gui


def export_menu(dock):
    """What a dock's Export button offers for what is shown."""
    (button,) = (x for x in dock.findChildren(QPushButton) if plain(x.text()) == "Export")
    button.menu().aboutToShow.emit()
    return [entry for entry in button.menu().actions() if entry.isEnabled()]


def open_again(desk, path):
    """File > Open; returns the layers that came."""
    before = list(desk.viewer.layers)
    if path.is_dir():
        with desk.answering(choose(path)):
            desk.menu("File", "Open Folder...")
    else:
        desk.open(path)
    desk.wait(lambda: len(desk.viewer.layers) > len(before), path.name)
    return [layer for layer in desk.viewer.layers if layer not in before]


@pytest.mark.timeout(480)
@pytest.mark.parametrize(
    ("title", "sample"),
    [
        ("IDC heat map", "H&E phantom slide"),
        ("Nuclei", "H&E phantom at 40x"),
        ("Mammogram masses", "Mammogram phantom study"),
    ],
)
def test_every_export_comes_back(used, tmp_path, title, sample):
    dock = used.dock(title)
    used.sample(sample)
    images = [layer for layer in used.viewer.layers if isinstance(layer, Image)]
    used.wait(dock.form.run.isEnabled, "the model")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None, "the run")
    for number, entry in enumerate(export_menu(dock)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with used.answering(choose(folder / "saved")):
            entry.trigger()
        used.wait(lambda: dock.run is None, entry.text())
        files = sorted(folder.iterdir())
        assert files, entry.text()
        for path in files[:1]:
            layers = open_again(used, path)
            if path.suffix == ".png":
                continue  # a page, which belongs to no place
            for layer in layers:
                assert layer.source.reader_plugin == "napari-pathogan"
                low, high = layer.extent.world[:, -2:]
                on = [lies_within(image, low, high) for image in images]
                assert any(on), f"{path.name}: {layer.name} lies beside"
        used.picture(f"again-{title}-{number}")


def saved_and_opened_again(used, title, path, entry, saved, edit=None):  # noqa: PLR0917
    """Run a dock, save by a menu entry, close all, open the slide again, then what was saved."""
    show_slide(used.viewer, path)
    dock = used.dock(title)
    used.wait(dock.form.run.isEnabled, "the model")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None, "the run")
    found = dock.form.result.text(), dock.found_in(dock.layer)
    (action,) = (one for one in export_menu(dock) if one.text() == entry)
    with used.answering(choose(saved)):
        action.trigger()
    used.wait(lambda: dock.run is None and saved.exists(), "the file")
    if edit is not None:
        edit(saved)
    used.viewer.layers.clear()
    used.rest(0.5)
    show_slide(used.viewer, path)
    used.rest(0.5)
    assert not dock.found_in(dock.layer)
    if saved.is_dir():
        with used.answering(choose(saved)):
            used.menu("File", "Open Folder...")
    else:
        used.open(saved)
    used.wait(lambda: dock.found_in(dock.layer), "what was saved to be taken up")
    used.rest(0.5)
    return dock, found


@pytest.mark.timeout(480)
@pytest.mark.parametrize(
    ("entry", "name"),
    [("Heat map (OME-Zarr)…", "map.ome.zarr"), ("Table of all cells (CSV)…", "map.csv")],
)
def test_a_map_that_is_opened_is_the_docks_own(used, tmp_path, entry, name):
    path = tmp_path / "section.tif"
    shutil.copy(samples.FOLDER / samples.PHANTOM, path)
    dock, found = saved_and_opened_again(used, "IDC heat map", path, entry, tmp_path / name)
    assert dock.found_in(dock.layer) == found[1]
    assert dock.legend.isVisible()
    assert dock.export.isEnabled()
    assert dock.places.next.isEnabled()
    assert len([x for x in used.viewer.layers if "probability" in x.name]) == 1
    before = dock.form.result.text()
    dock.threshold.setValue(dock.threshold.value() + 20)
    used.wait(lambda: dock.form.result.text() != before, "the area at another threshold")
    used.picture(f"taken-up-{name}")


NOTE = "colours are unlike those that the model learnt from: look twice"


def note(path):
    """Let a GeoJSON file say something that one should know."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["pathogan"]["notes"].append(NOTE)
    path.write_text(json.dumps(content), encoding="utf-8")


def save_map(path, image, mpp):
    """Save a heat map of an image, as a model has made it, with a note."""
    with Slide.open(image) as opened:
        slide = opened if opened.mpp is not None else opened.with_mpp(mpp)
        grid = CellGrid.over(slide.shape, slide.mpp, patch_px=64, mpp=slide.mpp[0])
        shares = np.linspace(0.1, 0.9, grid.shape[0] * grid.shape[1], dtype=np.float32)
        planes = (shares.reshape(grid.shape), np.full(grid.shape, 0.1, np.float32))
        tissue = np.ones(grid.shape, np.float32)
        overlays = map(grid.overlay, (*planes, tissue))
        heat = HeatMap(
            *overlays, slide.mpp, 0.42, slide=slide.name, imprint=slide.imprint, notes=(NOTE,)
        )
        (write_zarr if path.suffix == ".zarr" else write_csv)(path, heat)


@pytest.mark.parametrize("first", ["dock", "files"])
@pytest.mark.parametrize("way", ["command", "open"])
@pytest.mark.parametrize(
    ("slide", "name"), [("b.tif", "b.ome.zarr"), ("b.tif", "b.csv"), ("b.png", "b.ome.zarr")]
)
def test_a_map_that_is_opened_before_its_slide(used, tmp_path, slide, name, way, first):  # noqa: PLR0917
    path, saved = tmp_path / slide, tmp_path / name
    if path.suffix == ".png":
        pixels = np.random.default_rng(3).integers(60, 250, (6, 5, 3), np.uint8)
        Picture.fromarray(np.kron(pixels, np.ones((50, 50, 1), np.uint8))).save(path)
    else:
        shutil.copy(samples.FOLDER / samples.PHANTOM, path)
    save_map(saved, path, 2.0)
    if first == "dock":
        dock = used.dock("IDC heat map")
        used.wait(lambda: dock.card is not None, "the model")
    results = open_again(used, saved)
    if way == "open":
        used.open(path)
    else:
        with used.answering(choose(path)):
            used.menu("File", "IO Utilities", "Open a slide…")
    used.wait(lambda: len(used.viewer.layers) > len(results), "the slide")
    dock = used.docked("IDC heat map") or used.dock("IDC heat map")
    used.wait(lambda: dock.found_in(dock.layer), "the map to be taken up")
    used.rest(0.5)
    assert used.viewer.layers[0] is dock.layer, [one.name for one in used.viewer.layers]
    assert set(results) <= set(used.viewer.layers[1:])
    assert not [one for one in used.viewer.layers if "awaits" in one.metadata]
    assert all(lies_within(dock.layer, *one.extent.world[:, -2:]) for one in results)
    assert slide_of(dock.layer).mpp is not None
    assert dock.threshold.value() == 42 or first == "files"
    assert dock.legend.isVisible()
    assert dock.export.isEnabled()
    assert "mm²" in dock.form.result.text()
    assert NOTE in dock.form.notes.text()
    used.picture(f"before-its-slide-{slide}-{name}-{way}-{first}")


@pytest.mark.timeout(480)
def test_nuclei_that_are_opened_are_the_docks_own(used, tmp_path):
    path = tmp_path / "case.tif"
    shutil.copy(samples.FOLDER / samples.PHANTOM_40X, path)
    entry = "Outlines for QuPath (GeoJSON)…"
    saved = tmp_path / "saved.geojson"
    dock, found = saved_and_opened_again(used, "Nuclei", path, entry, saved, note)
    assert dock.found_in(dock.layer) == found[1]
    assert dock.export.isEnabled()
    assert dock.corrections.keep_button.isEnabled()
    assert NOTE in dock.form.notes.text()
    assert not [x for x in used.viewer.layers if "pathogan" in x.metadata], "its own layers alone"
    used.picture("taken-up-nuclei")


def test_dicom_is_not_offered_for_what_it_can_not_refer_to(used, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (300, 200), np.uint8)
    paths = [tmp_path / f"{view}.png" for view in ("RCC", "LCC")]
    for path in paths:
        Picture.fromarray(pixels).save(path)
    used.open(*paths)
    used.wait(lambda: len(used.viewer.layers) == 2, "the views")
    dock = used.dock("Mammogram masses")
    used.wait(dock.form.run.isEnabled, "the model")
    for image in dock.images:
        dock.reviews.begin(image)
    dock.show_findings()
    used.rest()
    assert dock.export.isEnabled()
    dock.export.menu().aboutToShow.emit()
    entries = {action.text(): action.isEnabled() for action in dock.export.menu().actions()}
    assert [text for text, able in entries.items() if not able] == [
        "Report for an archive (DICOM SR)…: RCC is no DICOM",
        "Drawn over the image in an archive (DICOM GSPS)…: RCC is no DICOM",
    ]
    dock.form.region.setCurrentText(ALL_VIEWS)
    with used.answering(choose(tmp_path / "masses.json")) as (asked,):
        export_menu(dock)[0].trigger()
    used.wait(lambda: "Saved" in dock.form.status.text(), "the files")
    assert asked.title.endswith(": 2 files, called masses-RCC.json and so on")
    assert dock.form.status.text() == "Saved 2 files, one a view: masses-RCC.json, masses-LCC.json"


def lies_within(image, low, high):
    """Whether a rectangle of the world lies on an image, but for a tenth of its size."""
    ends = np.sort(image.extent.world[:, -2:], axis=0)
    margin = 0.1 * (ends[1] - ends[0])
    return bool((low >= ends[0] - margin).all() and (high <= ends[1] + margin).all())


def test_a_table_of_napari_and_one_of_ours_open_without_a_question(used, tmp_path):
    points = used.viewer.add_points([[1.0, 2.0], [3.0, 4.0]])
    path = tmp_path / "points.csv"
    points.save(str(path))
    (again,) = open_again(used, path)
    np.testing.assert_allclose(again.data, points.data)
