"""What the docks and commands save opens again: as layers, in their place, with all that was said.

Every format of every dock is in one list; a new one fails here until it says what becomes of it.
"""

from __future__ import annotations

import csv
import importlib
import json
import pkgutil
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import npe2
import numpy as np
import pytest
import zarr
from mammogram_files import write_view
from masses_standin import MM, detections, view
from napari.layers import Image, Labels, Points, Shapes, Vectors
from nuclei_standin import ELLIPSES, segmentation
from PIL import Image as Picture

import napari_pathogan
from dicom_slides import write_slide
from napari_pathogan.engine.cells import CellGrid
from napari_pathogan.errors import PathoganError
from napari_pathogan.kinds import Kind
from napari_pathogan.mammograms.mammogram import Mammogram
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.plugin.shell.exports import exports, saving
from napari_pathogan.plugin.viewer import results
from napari_pathogan.plugin.viewer.layers import recall_scale, selected_polygons, slide_layer
from napari_pathogan.plugin.viewer.mammogram_layers import mammogram_layer
from napari_pathogan.plugin.viewer.reader import get_reader, read, read_or_say
from napari_pathogan.plugin.viewer.writer import write_heat_map
from napari_pathogan.slides.geometry import Overlay
from napari_pathogan.slides.imprint import Imprint
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.writers import pyramid as zarr_writer
from napari_pathogan.slides.writers.ome import write_ome_zarr
from napari_pathogan.tasks import registered
from napari_pathogan.tasks.idc.export import COLUMNS
from napari_pathogan.tasks.idc.heatmap import HeatMap
from napari_pathogan.tasks.masses import annotated as kept_masses
from napari_pathogan.tasks.masses.review import Review
from napari_pathogan.tasks.nuclei import annotated as kept_nuclei
from napari_pathogan.tasks.virtual_stain.doubt import DoubtMap
from napari_pathogan.tasks.virtual_stain.g2c import export as g2c
from napari_pathogan.tasks.virtual_stain.g2c.explain import Contributions
from napari_pathogan.tasks.virtual_stain.g2c.predict import ClassMap

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.gui
PLUGIN = "napari-pathogan"
MPP = 0.25
THRESHOLD = 0.42


@pytest.fixture
def viewer(empty_viewer):
    """One window for all: what is laid in it counts."""
    return empty_viewer


@pytest.fixture(scope="module")
def pixels():
    """A slide of 300 x 300 px with dark discs where nuclei are."""
    image = np.full((300, 300, 3), 235, np.uint8)
    for y, x, long, *_ in ELLIPSES:
        box = np.s_[int(y - long / 4) : int(y + long / 4), int(x - long / 4) : int(x + long / 4)]
        image[box] = (120, 60, 150)
    return image


@pytest.fixture
def case(pixels):
    """The slide that everything is found on, which does not lie at the origin of the world."""
    with Slide.from_arrays([pixels], name="case-17.svs", mpp=MPP) as slide:
        slide.imprint = Imprint.of(slide.shape, slide.read)  # as if it were a file
        yield slide


@pytest.fixture
def ground(viewer, case):
    """Show it; moved, so that what is laid on it has to follow."""
    data, kwargs, _ = slide_layer(case)
    return viewer.add_image(data, **kwargs, translate=(30, 70))


@pytest.fixture
def heat(case):
    """5 x 7 cells that begin 20 px down and 40 px to the right; surest at row 3, column 4."""
    grid = CellGrid.over(case.shape, case.mpp, patch_px=50, mpp=MPP)
    rows, cols = np.mgrid[:5, :5]
    p = np.exp(-((rows - 3) ** 2 + (cols - 2) ** 2) / 4).astype(np.float32)
    p[0] = np.nan
    doubt = (p * (1 - p)).astype(np.float32)
    tissue = np.isfinite(p).astype(np.float32)
    place = (20.0, 40.0), grid.step
    overlays = (Overlay(one, *place) for one in (p, doubt, tissue))
    return HeatMap(*overlays, case.mpp, THRESHOLD, slide=case.name, imprint=case.imprint)


@pytest.fixture
def nuclei(case):
    return segmentation(case, ELLIPSES)


@pytest.fixture
def classes(case):
    """Four patches in 3 x 3 cells that begin 20 px down and 40 px to the right."""
    cells = np.array([[1, 1], [1, 2], [2, 1], [2, 2]])
    logits = np.array([[2, 0], [0, 1], [0, 2], [-1, 2]], np.float32)
    parts = np.stack([logits[::-1], logits - logits[::-1]], 1)
    said = Contributions(("he", "pas"), ("benign", "tumour"), logits, parts, np.zeros(2))
    probability, changed = (np.full((3, 3), np.nan, np.float32) for _ in range(2))
    probability[tuple(cells.T)] = [0.1, 0.7, 0.9, 0.95]
    changed[tuple(cells.T)] = said.decision != said.source_alone
    overlays = (Overlay(one, (20.0, 40.0), (50.0, 50.0)) for one in (probability, changed))
    return ClassMap(*overlays, cells, said, case.name, "g2c-idc", case.mpp, case.imprint)


@pytest.fixture
def mammogram():
    """A right view, which its hanging does not mirror."""
    return Mammogram("RCC", view("RCC"), laterality="R", view="CC", mm_per_px=(MM, MM))


def export_of(kind):
    """What the dock's menu offers: ``idc output``."""
    task, name = kind.split()
    return exports(task)[name]


@dataclass
class World:
    """What there is to be saved."""

    case: Slide
    heat: HeatMap
    nuclei: object
    mammogram: Mammogram
    classes: ClassMap

    def save(self, kind, folder):
        """Save by the very function that the dock's menu calls."""
        task, export = kind.split()[0], export_of(kind)
        if export.name == "anndata":
            pytest.importorskip("anndata")
        target = folder / f"saved{export.suffix}"
        found = {
            "idc": (self.case, self.heat),
            "nuclei": (self.case, self.nuclei),
            "masses": (self.mammogram, detections(self.mammogram)),
            "g2c": (self.case, self.classes),
        }
        list(saving(task, export, [found[task]], target))
        return target


@pytest.fixture
def world(case, heat, nuclei, mammogram, classes):
    return World(case, heat, nuclei, mammogram, classes)


# what becomes of each format: the layers, and where the best known spot lies in each


def heat_spot(layer, world):
    """The surest cell, in the layer's own data coordinates."""
    if isinstance(layer, Image):
        return np.argwhere(layer.data == np.nanmax(layer.data))[0]
    return None


def check_heat(layers, world):
    uncertainty, probability, outline = layers
    for layer, cells in (
        (probability, world.heat.probability),
        (uncertainty, world.heat.uncertainty),
    ):
        assert isinstance(layer, Image)
        np.testing.assert_allclose(layer.data, cells.data[: layer.data.shape[0]], atol=1e-5)
        assert layer.metadata["threshold"] == THRESHOLD
        assert layer.metadata["heat_map"].area().idc_mm2.value == pytest.approx(
            world.heat.area().idc_mm2.value, rel=1e-4
        )
    assert probability.name == "IDC probability (case-17)"
    assert probability.colormap.name == "pathogan-heat"
    assert tuple(probability.contrast_limits) == (0, 1)
    assert uncertainty.name == "IDC uncertainty (case-17)"
    assert not uncertainty.visible
    assert isinstance(outline, Vectors)
    return {probability: ((3.0, 2.0), (20 + 3.5 * 50 - 0.5, 40 + 2.5 * 50 - 0.5))}


def check_outlines(layers, world):
    (shapes,) = layers
    assert isinstance(shapes, Shapes)
    assert shapes.name == "IDC outlines (case-17)"
    assert set(shapes.features["class"]) == {"IDC"}
    assert shapes.metadata["threshold"] == THRESHOLD
    assert shapes.edge_color[0][:3] * 255 == pytest.approx((200, 0, 60), abs=1)
    outline = world.heat.outlines()[0]
    assert shapes.features["IDC probability"][0] == pytest.approx(outline.probability, abs=1e-4)
    return {shapes: (shapes.data[0].min(0), outline.exterior.min(0))}


def check_report(layers, world):
    (page,) = layers
    assert isinstance(page, Image)
    assert page.rgb
    return {}


def class_colour(world, name):
    colour = dict(zip(world.nuclei.class_names, world.nuclei.class_colours, strict=True))[name]
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def centre_of(world, number):
    one = world.nuclei.nucleus(number)
    return float(one["y_px"]), float(one["x_px"])


def check_labels(layers, world):
    (labels,) = layers
    assert isinstance(labels, Labels)
    assert labels.name == "Nuclei (case-17)"
    np.testing.assert_array_equal(labels.data, world.nuclei.labels)
    for number in (1, 4, 6):
        name = world.nuclei.nucleus(number)["class"]
        assert labels.get_color(number)[:3] * 255 == pytest.approx(class_colour(world, name), abs=1)
        assert labels.features.set_index("index").loc[number, "class"] == name
    return {labels: (np.argwhere(labels.data == 4).mean(0), centre_of(world, 4))}


def check_table(layers, world):
    (points,) = layers
    assert isinstance(points, Points)
    assert points.name == "Nuclei (case-17)"
    table = world.nuclei.table
    assert list(points.features["class"]) == list(table["class"])
    np.testing.assert_allclose(points.features["solidity"], table["solidity"], atol=1e-4)
    for row, name in enumerate(table["class"]):
        assert points.face_color[row][3] == 0  # nothing is hidden
        assert points.border_color[row][:3] * 255 == pytest.approx(class_colour(world, name), abs=1)
    area = np.pi * (points.size[0] / 2) ** 2 * MPP**2
    assert area == pytest.approx(table["area_um2"][0], rel=1e-3)
    return {points: (points.data[3], centre_of(world, 4))}


def check_nuclei_outlines(layers, world):
    (shapes,) = layers
    assert isinstance(shapes, Shapes)
    assert shapes.name == "Nuclei (case-17)"
    assert list(shapes.features["name"]) == [str(i) for i in world.nuclei.table["id"]]
    for row, name in enumerate(shapes.features["class"]):
        assert shapes.edge_color[row][:3] * 255 == pytest.approx(class_colour(world, name), abs=1)
    ids = world.nuclei.labels == 4
    corners = np.argwhere(ids).min(0) - 0.5
    return {shapes: (shapes.data[3].min(0), corners)}


def check_boxes(layers, world):
    shapes = layers[0]
    found = detections(world.mammogram)
    assert isinstance(shapes, Shapes)
    assert shapes.name == "Mass boxes (RCC)"
    np.testing.assert_allclose(shapes.features["score"], found.scores, atol=1e-4)
    assert set(shapes.shape_type) == {"rectangle"}
    assert shapes.features["label"][0].startswith("90 %")
    return {shapes: (shapes.data[0].mean(0), (99.5, 59.5))}


def check_masses(layers, world):
    placed = check_boxes(layers, world)
    boxes, outlines = layers
    assert outlines.name == "Masses (RCC)"
    assert len(outlines.data[0]) == 48
    assert boxes.metadata["threshold"] == 0.5
    usual, below = (tuple(np.round(boxes.edge_color[i][:3], 2)) for i in (0, 1))
    assert usual != below, "0.9 lies above the threshold, 0.3 below"
    return placed | {outlines: (outlines.data[0].mean(0), (99.5, 59.5))}


def check_report_in_dicom(layers, world):
    (shapes,) = layers
    assert list(shapes.features["label"]) == ["mass 1", "mass 2"]
    assert list(shapes.features["Certainty of Finding"]) == pytest.approx([90, 30])
    assert list(shapes.features["Long axis"]) == pytest.approx([8, 3.2], rel=0.05)
    assert shapes.metadata["threshold"] == 0.5
    return {shapes: (shapes.data[0].mean(0), (99.5, 59.5))}


def check_state_in_dicom(layers, world):
    boxes, outlines = layers
    assert "boxes" in boxes.name
    assert "masses" in outlines.name
    assert outlines.features["label"][0].startswith("90 %, 8 x 8 mm")
    assert outlines.metadata["threshold"] == 0.5
    return {one: (one.data[0].mean(0), (99.5, 59.5)) for one in layers}


def check_classes(layers, world):
    probability, changed, classes = layers
    assert probability.name == "tumour by G2C (case-17) [synthetic]"
    assert changed.colormap.map([0.0])[0][3] == 0  # where nothing changed, tissue is seen
    assert probability.colormap.map([0.0])[0][3] < 0.2
    assert tuple(probability.contrast_limits) == (0, 1)
    np.testing.assert_allclose(probability.data, world.classes.probability.data, atol=1e-5)
    np.testing.assert_array_equal(changed.data, world.classes.changed.data)
    assert not changed.visible
    assert isinstance(classes, Labels)
    assert list(classes.features["class"]) == ["", "benign", "tumour"]
    assert classes.data.tolist() == [[0, 0, 0], [0, 1, 2], [0, 2, 2]]
    middle = (20 + 2.5 * 50 - 0.5, 40 + 1.5 * 50 - 0.5)
    return dict.fromkeys(layers, ((2.0, 1.0), middle))


def check_segments(layers, world):
    looked_at, outline, probability = layers
    assert "IDC probability" in probability.name
    assert (probability.visible, outline.visible, looked_at.visible) == (True, False, False)
    p = world.heat.probability.data
    np.testing.assert_allclose(probability.data, np.nan_to_num(p), atol=0.003)
    np.testing.assert_array_equal(outline.data > 0, p >= THRESHOLD)
    np.testing.assert_array_equal(looked_at.data > 0, np.isfinite(p))
    return dict.fromkeys(layers, ((3.0, 2.0), (20 + 3.5 * 50 - 0.5, 40 + 2.5 * 50 - 0.5)))


def check_annotations(layers, world):
    (shapes,) = layers
    assert isinstance(shapes, Shapes)
    table = world.nuclei.table
    assert sorted(shapes.features["class"]) == sorted(table["class"])
    for row, name in enumerate(shapes.features["class"]):
        assert shapes.edge_color[row][:3] * 255 == pytest.approx(class_colour(world, name), abs=2)
    ring = next(world.nuclei.outlines([1])).exteriors[0].min(0)
    own = min((one.min(0) for one in shapes.data), key=lambda at: np.abs(at - ring).sum())
    return {shapes: (own, ring)}


SLIDE, BREAST, DICOM, GLASS = "slide", "breast", "dicom", "glass"
BACK: dict[object, tuple[str | None, Callable]] = {
    "idc output": (SLIDE, check_heat),
    "idc geojson": (SLIDE, check_outlines),
    "idc csv": (SLIDE, check_heat),
    "idc report": (None, check_report),
    "idc seg": (GLASS, check_segments),
    "nuclei output": (SLIDE, check_labels),
    "nuclei csv": (SLIDE, check_table),
    "nuclei parquet": (SLIDE, check_table),
    "nuclei anndata": (SLIDE, check_table),
    "nuclei ann": (GLASS, check_annotations),
    "nuclei geojson": (SLIDE, check_nuclei_outlines),
    "g2c output": (SLIDE, check_classes),
    "masses output": (BREAST, check_masses),
    "masses csv": (BREAST, check_boxes),
    "masses sr": (DICOM, check_report_in_dicom),
    "masses gsps": (DICOM, check_state_in_dicom),
}
VIEWS_OF_SLIDES = {"stain output", "virtual-stain output"}  # slides themselves, below
KINDS = sorted(
    {f"{task.name} {name}" for task in registered().values() for name in exports(task.name)}
    - VIEWS_OF_SLIDES
)


def dicom_of(mammogram, path):
    """The same view in a DICOM file, which reports refer to."""
    tags = {"ImagerPixelSpacing": [MM, MM], "SeriesInstanceUID": "1.2.4"}
    write_view(path, mammogram.pixels, "R", "CC", **tags)
    return open_mammogram(path)


def glass_of(world, pixels, path):
    """The same slide in a DICOM file."""
    return replace(world, case=Slide.open(write_slide(path, pixels, mpp=MPP)))


def lies(layer, own, ground, spot):
    """A spot of a layer lies within half a level-0 pixel of where it is on its image."""
    there = np.asarray(layer.data_to_world(tuple(own))[-2:])
    here = np.asarray(ground.data_to_world(tuple(spot))[-2:])
    assert layer.units == ground.units
    return bool((np.abs(there - here) <= 0.5 * np.abs(ground.scale)).all())


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_is_saved_opens_again(kind, world, viewer, ground, pixels, tmp_path):  # noqa: PLR0917
    image, check = BACK[kind]
    if image == GLASS:
        world = glass_of(world, pixels, tmp_path / "case.dcm")
        data, kwargs, _ = slide_layer(world.case)
        ground = viewer.add_image(data, **kwargs, translate=(300, 700))
    if image == DICOM:
        world.mammogram = dicom_of(world.mammogram, tmp_path / "image.dcm")
    if image in {BREAST, DICOM}:
        data, kwargs, _ = mammogram_layer(world.mammogram)
        ground = viewer.add_image(data, **kwargs)
    path = world.save(kind, tmp_path)
    assert image is None or get_reader(str(path)) is not None
    layers = viewer.open(path, plugin="napari" if path.suffix == ".png" else PLUGIN)
    for layer, (own, spot) in check(layers, world).items():
        assert lies(layer, own, ground, spot), f"{kind}: {layer.name}"


@pytest.mark.parametrize("kind", [k for k in KINDS if BACK[k][0]], ids=str)
def test_it_moves_onto_its_image_once_that_is_open(kind, world, viewer, told, pixels, tmp_path):  # noqa: PLR0917
    image, check = BACK[kind]
    if image == GLASS:
        world = glass_of(world, pixels, tmp_path / "case.dcm")
    if image == DICOM:
        world.mammogram = dicom_of(world.mammogram, tmp_path / "image.dcm")
    layers = viewer.open(world.save(kind, tmp_path), plugin=PLUGIN)
    assert "is not open" in "".join(told)
    other = Slide.from_arrays([np.zeros((40, 40, 3), np.uint8)], name="other.svs", mpp=MPP)
    for slide in (other, world.case):
        data, kwargs, _ = slide_layer(slide, viewer)
        ground = viewer.add_image(data, **kwargs)
    assert ground.translate[1] > 0, "it lies beside the other"
    if image in {BREAST, DICOM}:
        data, kwargs, _ = mammogram_layer(world.mammogram)
        ground = viewer.add_image(data, **kwargs)
    for layer, (own, spot) in check(layers, world).items():
        assert lies(layer, own, ground, spot), f"{kind}: {layer.name}"
        assert "awaits" not in layer.metadata


@pytest.mark.parametrize("kind", [k for k in KINDS if BACK[k][0] == SLIDE], ids=str)
def test_it_lies_on_a_slide_that_is_shown_in_pixels(kind, world, viewer, pixels, tmp_path):
    data, kwargs, _ = slide_layer(Slide.from_arrays([pixels], name="case-17.svs"))
    ground = viewer.add_image(data, **kwargs)
    layers = viewer.open(world.save(kind, tmp_path), plugin=PLUGIN)
    for layer, (own, spot) in BACK[kind][1](layers, world).items():
        assert lies(layer, own, ground, spot), f"{kind}: {layer.name}"


@pytest.mark.parametrize("kind", [k for k in KINDS if BACK[k][0] == SLIDE], ids=str)
def test_it_fits_a_copy_at_another_scale(kind, world, viewer, pixels, tmp_path):
    half = Slide.from_arrays([pixels[::2, ::2]], name="case-17.tif", mpp=2 * MPP)
    data, kwargs, _ = slide_layer(half)
    ground = viewer.add_image(data, **kwargs, translate=(30, 70))
    layers = viewer.open(world.save(kind, tmp_path), plugin=PLUGIN)
    for layer, (own, (y, x)) in BACK[kind][1](layers, world).items():
        assert lies(layer, own, ground, ((y + 0.5) / 2 - 0.5, (x + 0.5) / 2 - 0.5))


def test_what_naparis_save_wrote_opens_again(world, viewer, ground, tmp_path):
    path = tmp_path / "again.ome.zarr"
    write_heat_map(str(path), None, {"metadata": {"heat_map": world.heat}})
    for layer, (own, spot) in check_heat(viewer.open(path, plugin=PLUGIN), world).items():
        assert lies(layer, own, ground, spot)


def test_what_is_kept_beside_images_opens_too(world, viewer, ground, tmp_path):
    path = kept_nuclei.write(tmp_path / world.case.name, world.nuclei)
    for layer, (own, spot) in check_nuclei_outlines(
        viewer.open(path, plugin=PLUGIN), world
    ).items():
        assert lies(layer, own, ground, spot)
    file = tmp_path / "RCC.png"
    Picture.fromarray(world.mammogram.pixels).save(file)
    data, kwargs, _ = mammogram_layer(open_mammogram(file))
    image = viewer.add_image(data, **kwargs)
    path = kept_masses.write(file, Review.of(detections(world.mammogram)))
    (shapes,) = viewer.open(path, plugin=PLUGIN)
    assert set(shapes.features["class"]) == {"Mass"}
    assert lies(shapes, shapes.data[0].mean(0), image, (99.5, 59.5))


VIEWS = {
    "case in the colours of 06_1.png (Network (CNN)) [synthetic]": (
        "stain",
        {"stain_style": "stain-tnbc", "stain_colours_of": "06_1.png", "stain_method": "cnn"},
    ),
    "virtual PAS [synthetic] (case.svs)": (
        "virtual_stain",
        {"virtual_stain": "pas", "source_stain": "he", "virtual_stain_model": "virtual-pas-he"},
    ),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("where", ["on its slide", "beside a namesake", "alone"])
def test_a_stain_view_opens_by_its_name_and_on_its_slide(world, viewer, tmp_path, where, name):
    path = tmp_path / "v.ome.zarr"
    kind, made = VIEWS[name]
    about = {"synthetic": True, f"{kind}_slide": "case.svs", **made}
    about[f"{kind}_imprint"] = str(world.case.imprint)
    list(zarr_writer.write_slide(path, world.case, {"pathogan": about}))
    if where != "alone":
        pixels = np.asarray(world.case.levels[0])
        pixels = pixels if where == "on its slide" else 255 - pixels
        own = Slide.from_arrays([pixels], name="case.svs", mpp=MPP)
        own.imprint = Imprint.of(own.shape, own.read)
        data, kwargs, _ = slide_layer(own)
        slide = viewer.add_image(data, **kwargs | {"translate": (7.0, 9.0)})
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert layer.name == name
    assert layer.metadata["synthetic"]
    assert made.items() <= layer.metadata.items()
    if where != "alone":
        same = (layer.translate == slide.translate).all()
        assert same == (where == "on its slide")


@pytest.mark.parametrize("first", ["slide", "view"])
@pytest.mark.parametrize(("own", "slides"), [(None, MPP), (0.25, None), (None, None)])
def test_a_stain_view_lies_on_its_slide_whichever_knows_the_scale(
    world, viewer, tmp_path, qtbot, *, own, slides, first
):
    pixels = np.asarray(world.case.levels[0])
    slide = Slide.from_arrays([pixels], name="case.svs", mpp=slides)
    about = {"synthetic": True, "stain_colours_of": "other", "stain_slide": "case.svs"}
    about["stain_imprint"] = str(slide.imprint)
    path = tmp_path / "case.ome.zarr"
    made = Slide.from_arrays([pixels[..., ::-1]], name="made", mpp=own)
    list(zarr_writer.write_slide(path, made, {"pathogan": about}))
    layers = []
    for which in (first, {"slide": "view", "view": "slide"}[first]):
        if which == "slide":
            data, kwargs, _ = slide_layer(slide, viewer)
            layers.append(viewer.add_image(data, **kwargs))
        else:
            layers += viewer.open(path, plugin=PLUGIN)
    ground, view = layers if first == "slide" else layers[::-1]
    qtbot.waitUntil(lambda: list(viewer.layers) == [ground, view])
    for layer in (view, ground):
        recall_scale(viewer, layer)  # as docks that look at it
        assert view.units == ground.units
        np.testing.assert_allclose(view.extent.world, ground.extent.world)
    known = own or slides
    assert view.metadata["slide"].mpp == (None if known is None else (known, known))


@pytest.mark.parametrize("first", ["slide", "map"])
def test_a_map_of_doubt_that_is_saved_opens_on_its_slide(world, viewer, tmp_path, first):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    overlay = Overlay(values, (40.0, 60.0), (16.0, 16.0))
    name = "virtual PAS [synthetic] (case.svs)"
    made = DoubtMap.of(overlay, "cycle error", name, (1.0, 9.0), world.case)
    own = viewer.add_image(values, name="map", metadata={"doubt_map": made})
    path = tmp_path / "doubt.ome.zarr"
    assert own.save(str(path), plugin=PLUGIN)
    viewer.layers.clear()
    data, kwargs, _ = slide_layer(world.case)
    kwargs |= {"translate": (7.0, 9.0)}
    if first == "slide":
        viewer.add_image(data, **kwargs)
    (layer,) = viewer.open(path, plugin=PLUGIN)
    slide = viewer.layers[0] if first == "slide" else viewer.add_image(data, **kwargs)
    assert layer.name == f"doubt by cycle error: {name}"
    np.testing.assert_array_equal(layer.data, values)
    assert tuple(layer.contrast_limits) == (1.0, 17.0)
    assert layer.metadata["synthetic"]
    at = slide.data_to_world((40 + 8 - 0.5, 60 + 8 - 0.5))
    np.testing.assert_allclose(layer.data_to_world((0, 0)), at)


def test_a_stain_view_opens_as_the_slide_it_is(world, viewer, tmp_path):
    path = tmp_path / "view.ome.zarr"
    about = {"synthetic": True, "stain_style": "stain-tnbc"}
    list(zarr_writer.write_slide(path, world.case, {"pathogan": about}))
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert layer.rgb
    assert layer.name == "view.ome.zarr [synthetic]"
    assert layer.metadata["slide"].metadata["stain_style"] == "stain-tnbc"
    assert tuple(layer.scale) == (MPP, MPP)


def test_of_two_images_of_one_name_the_selected_one_is_taken(world, viewer, told, tmp_path):
    data, kwargs, _ = mammogram_layer(world.mammogram)
    first = viewer.add_image(data, **kwargs)
    second = viewer.add_image(data, **{**kwargs, "translate": (500, 0)})
    path = world.save("masses output", tmp_path)
    for chosen in (first, second):
        viewer.layers.selection = {chosen}
        boxes, _ = viewer.open(path, plugin=PLUGIN)
        assert lies(boxes, boxes.data[0].mean(0), chosen, (99.5, 59.5))
    assert "2 open images are called RCC" in "".join(told)


def namesake(kind, how, world):
    """A layer of another image that is called the same; of another size, or with other pixels."""
    cut = np.s_[:250] if how == "size" else np.s_[:]
    if BACK[kind][0] == SLIDE:
        pixels = 255 - np.asarray(world.case.levels[0])[cut]
        slide = Slide.from_arrays([pixels], name=world.case.name, mpp=MPP)
        slide.imprint = Imprint.of(slide.shape, slide.read)
        return slide_layer(slide)
    pixels = 255 - world.mammogram.pixels[: 200 if how == "size" else None]
    return mammogram_layer(replace(world.mammogram, pixels=pixels))


def own_image(kind, world):
    return slide_layer(world.case) if BACK[kind][0] == SLIDE else mammogram_layer(world.mammogram)


NAMED = [k for k in KINDS if BACK[k][0] in {SLIDE, BREAST}]


@pytest.mark.parametrize(
    "case_of", [(k, x) for k in NAMED for x in ("size", "pixels")], ids=lambda x: f"{x[0]}-{x[1]}"
)
def test_it_does_not_lie_on_another_image_of_that_name(case_of, world, viewer, told, tmp_path):
    kind, how = case_of
    data, kwargs, _ = namesake(kind, how, world)
    other = viewer.add_image(data, **kwargs)
    layers = viewer.open(world.save(kind, tmp_path), plugin=PLUGIN)
    assert f"does not lie on {other.name}, which is another image" in "".join(told)
    right = other.extent.world[:, -1].max()
    assert all(layer.extent.world[:, -1].min() > right for layer in layers if len(layer.data))
    data, kwargs, _ = own_image(kind, world)
    ground = viewer.add_image(data, **kwargs, visible=False)
    for layer, (own, spot) in BACK[kind][1](layers, world).items():
        assert lies(layer, own, ground, spot), f"{kind}: {layer.name}"


@pytest.mark.parametrize("kind", ["idc csv", "masses output"], ids=str)
def test_who_opens_another_image_of_that_name_later_is_told_too(
    kind, world, viewer, told, tmp_path
):
    layers = viewer.open(world.save(kind, tmp_path), plugin=PLUGIN)
    places = [np.array(layer.translate) for layer in layers]
    data, kwargs, _ = namesake(kind, "pixels", world)
    viewer.add_image(data, **kwargs)
    assert "which is another image" in "".join(told)
    for layer, place in zip(layers, places, strict=True):
        np.testing.assert_array_equal(layer.translate, place)


@pytest.mark.parametrize("kind", NAMED, ids=str)
def test_results_of_earlier_versions_say_less_and_are_laid(kind, world, viewer, told, tmp_path):
    world.heat = replace(world.heat, imprint=None)
    world.nuclei = replace(world.nuclei, imprint=None)
    path = tmp_path / f"saved{export_of(kind).suffix}"
    if BACK[kind][0] == BREAST:
        found = replace(detections(world.mammogram), imprint=None)
        list(saving("masses", export_of(kind), [(world.mammogram, found)], path))
    else:
        path = world.save(kind, tmp_path)
    if path.suffix == ".csv":  # these had no such column
        rows = list(csv.reader(path.read_text().splitlines()))
        until = rows[0].index("imprint")
        path.write_text("\n".join(",".join(row[:until]) for row in rows))
    data, kwargs, _ = own_image(kind, world)
    ground = viewer.add_image(data, **kwargs)
    layers = viewer.open(path, plugin=PLUGIN)
    assert not told
    for layer, (own, spot) in BACK[kind][1](layers, world).items():
        assert lies(layer, own, ground, spot), f"{kind}: {layer.name}"
    world.save(kind, tmp_path)  # which replaces it


def test_masses_of_one_view_do_not_lie_on_another(world, viewer, told, tmp_path):
    left = replace(world.mammogram, laterality="L", name="LCC", path=tmp_path / "RCC.dcm")
    data, kwargs, _ = mammogram_layer(left)
    viewer.add_image(data, **kwargs)
    found = replace(detections(world.mammogram), imprint=None)
    path = tmp_path / "saved.json"
    list(saving("masses", exports("masses")["output"], [(world.mammogram, found)], path))
    viewer.open(path, plugin=PLUGIN)
    assert "does not lie on LCC, which is another image: that is LCC" in "".join(told)


def test_files_of_one_size_have_imprints_of_their_own(tmp_path):
    random = np.random.default_rng(0)
    imprints = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        path = tmp_path / str(number) / "06_1.png"
        coarse = random.integers(90, 240, (16, 16, 3), np.uint8)
        Picture.fromarray(coarse).resize((512, 512)).save(path)
        with Slide.open(path) as one, Slide.open(path) as again:
            assert not one.imprint.contradicts(again.imprint)
            imprints.append(one.imprint)
        assert Imprint.read(str(imprints[-1])) == imprints[-1]
    assert imprints[0].contradicts(imprints[1])


# every patch has a class, and without one there is no table
@pytest.mark.parametrize("kind", [k for k in NAMED if k != "g2c output"], ids=str)
def test_nothing_found_opens_as_nothing(kind, world, viewer, ground, tmp_path):
    world.heat = world.heat.with_threshold(1.1)
    world.nuclei = segmentation(world.case, [])
    world.mammogram = replace(world.mammogram, name="LCC")
    path = world.save(kind, tmp_path)
    for layer in viewer.open(path, plugin=PLUGIN):
        assert isinstance(layer, Image) or not np.any(layer.data)


def test_masses_of_a_synthetic_image_say_so(mammogram, viewer, tmp_path):
    made = replace(mammogram, metadata={"synthetic": True})
    for kind in ("masses output", "masses csv"):
        export = export_of(kind)
        path = tmp_path / f"saved{export.suffix}"
        list(saving("masses", export, [(made, detections(made))], path))
        for layer in viewer.open(path, plugin=PLUGIN):
            assert "[synthetic]" in layer.name


# very many nuclei


def test_very_many_nuclei_are_a_picture_of_their_classes(
    world, viewer, ground, tmp_path, monkeypatch
):
    monkeypatch.setattr(results, "MAX_EDITABLE", 3)
    path = world.save("nuclei output", tmp_path)
    (picture,) = viewer.open(path, plugin=PLUGIN)
    assert isinstance(picture, Image)
    assert picture.name == "Nuclei classes (case-17)"
    assert picture.data.dtype == np.uint8
    assert len(picture.colormap.colors) == 4
    np.testing.assert_array_equal(np.asarray(picture.data), world.nuclei.class_image())
    assert lies(picture, (12, 34), ground, (12, 34))


def test_a_large_picture_has_levels(world, viewer, tmp_path, monkeypatch):
    from napari_pathogan.slides.writers import ome as writers

    monkeypatch.setattr(writers, "_WHOLE", 100)
    monkeypatch.setattr(results, "MAX_EDITABLE", 3)
    path = world.save("nuclei output", tmp_path)
    (picture,) = viewer.open(path, plugin=PLUGIN)
    assert [level.shape for level in picture.data] == [(300, 300), (150, 150), (75, 75)]
    assert set(np.unique(picture.data[-1])) == {0, 1, 2, 3}, "classes, not their means"


def test_very_many_outlines_are_points_and_a_picture(world, viewer, ground, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "MAX_SHAPES", 3)
    path = world.save("nuclei geojson", tmp_path)
    picture, points = viewer.open(path, plugin=PLUGIN)
    assert picture.data.dtype == np.uint8
    assert len(points.data) == len(world.nuclei)
    assert list(points.features["class"]) == list(world.nuclei.table["class"])
    for row, name in enumerate(points.features["class"]):
        assert points.face_color[row][3] == 0  # nothing is hidden
        assert points.border_color[row][:3] * 255 == pytest.approx(class_colour(world, name), abs=1)
    box = np.argwhere(world.nuclei.labels == 4)
    assert lies(points, points.data[3], ground, (box.min(0) + box.max(0)) / 2)
    painted = np.argwhere(np.asarray(picture.data) > 0)
    world_at = np.array([picture.data_to_world(tuple(p)) for p in (painted.min(0), painted.max(0))])
    there = np.argwhere(world.nuclei.labels > 0)
    expected = np.array([ground.data_to_world(tuple(p)) for p in (there.min(0), there.max(0))])
    assert np.abs(world_at - expected).max() <= MPP


@pytest.mark.timeout(120)
def test_thousands_of_detections_are_one_picture(viewer, tmp_path):
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 20)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1) * 8
    colours = {"Tumor": [200, 0, 0], "Immune": [0, 0, 200]}
    with (tmp_path / "cells.geojson").open("w") as stream:
        stream.write('{"type": "FeatureCollection", "features": [')
        for i, centre in enumerate(rng.uniform(0, 40_000, (20_000, 2))):
            name = "Tumor" if i % 3 else "Immune"
            feature = {
                "type": "Feature",
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [(circle + centre).round(1).tolist()],
                },
                "properties": {
                    "objectType": "detection",
                    "classification": {"name": name, "color": colours[name]},
                },
            }
            stream.write(("," if i else "") + json.dumps(feature))
        stream.write("]}")
    picture, points = viewer.open(tmp_path / "cells.geojson", plugin=PLUGIN)
    assert len(points.data) == 20_000
    assert picture.data.size <= results.MAX_PAINTED_PX * 1.01


# QuPath's own files


SQUARE = [[10, 20], [110, 20], [110, 80], [10, 80], [10, 20]]
HOLE = [[40, 40], [40, 60], [60, 60], [60, 40], [40, 40]]


def feature(kind, coordinates, **properties):
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": properties,
    }


TUMOR = feature(
    "Polygon",
    [SQUARE],
    objectType="annotation",
    name="left part",
    classification={"name": "Tumor", "colorRGB": -3670016},
    measurements=[{"name": "Area", "value": 5.5}],
)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"type": "FeatureCollection", "features": [TUMOR]}, "case-17.geojson"),
        ([TUMOR], "case-17.geojson"),
        (TUMOR, "case-17 tumour.geojson"),
        (TUMOR["geometry"], "case-17.json"),
        ([TUMOR["geometry"]], "case-17.geojson"),
        ({"type": "GeometryCollection", "geometries": [TUMOR["geometry"]]}, "case-17.geojson"),
    ],
)
def test_qupaths_annotations_lie_on_the_slide_they_are_named_after(
    content, name, viewer, ground, tmp_path
):
    other, kwargs, _ = slide_layer(Slide.from_arrays([np.zeros((9, 9, 3), np.uint8)], name="b.svs"))
    viewer.add_image(other, **kwargs)
    (tmp_path / name).write_text(json.dumps(content))
    (shapes,) = viewer.open(tmp_path / name, plugin=PLUGIN)
    assert shapes.name == Path(name).stem
    assert lies(shapes, shapes.data[0][0], ground, (19.5, 9.5))
    if "Feature" in str(content):
        assert shapes.features.loc[0].to_dict() == {
            "class": "Tumor", "name": "left part", "kind": "annotation", "Area": 5.5,
        }  # fmt: skip
        assert shapes.edge_color[0][:3] * 255 == pytest.approx((200, 0, 0), abs=1)


def test_all_that_qupath_draws(viewer, ground, tmp_path):
    cell = feature("Polygon", [SQUARE], objectType="cell", classification={"name": "Immune"})
    cell["nucleusGeometry"] = {"type": "Polygon", "coordinates": [HOLE]}
    several = [
        feature(
            "Polygon", [SQUARE, HOLE], classification={"name": "Stroma", "color": [150, 200, 150]}
        ),
        feature("MultiPolygon", [[SQUARE], [[[x + 200, y] for x, y in HOLE]]], color=[1, 2, 3]),
        feature("LineString", SQUARE[:3], objectType="annotation"),
        feature("MultiPoint", [[5, 6], [7, 8]], classification={"names": ["Tumor", "Positive"]}),
        feature("Point", [9, 10], classification="old"),
        feature("Polygon", []),
        cell,
    ]
    path = tmp_path / "case-17.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": several}))
    shapes, points = viewer.open(path, plugin=PLUGIN)
    assert shapes.shape_type == ["polygon"] * 3 + ["path"] + ["polygon"] * 2
    assert list(shapes.features["class"]) == ["Stroma", "", "", "", "Immune", "Immune"]
    assert list(shapes.features["part"]) == [""] * 5 + ["nucleus"]
    assert shapes.edge_color[0][:3] * 255 == pytest.approx((150, 200, 150), abs=1)
    assert shapes.edge_color[2][:3] * 255 == pytest.approx((1, 2, 3), abs=1)
    filled = shapes.to_labels((100, 130))
    assert filled[30, 30] > 0
    shapes.selected_data = {1, 2, 3, 4, 5}
    shapes.remove_selected()
    filled = shapes.to_labels((100, 130))
    assert filled[30, 30] == 1
    assert filled[50, 50] == 0, "the hole is open"
    np.testing.assert_allclose(points.data, [(5.5, 4.5), (7.5, 6.5), (9.5, 8.5)])
    assert list(points.features["class"]) == ["Tumor: Positive"] * 2 + ["old"]


def test_reopened_annotations_can_be_chosen_as_a_region(viewer, ground, tmp_path):
    path = tmp_path / "case-17.geojson"
    path.write_text(json.dumps([TUMOR]))
    (shapes,) = viewer.open(path, plugin=PLUGIN)
    shapes.selected_data = {0}
    (polygon,) = selected_polygons(viewer, ground)
    np.testing.assert_allclose(polygon[0], (19.5, 9.5), atol=1e-6)


def test_qupaths_annotations_take_the_selected_slide(viewer, ground, told, tmp_path):
    data, kwargs, _ = slide_layer(Slide.from_arrays([np.zeros((9, 9, 3), np.uint8)], name="b.svs"))
    viewer.add_image(data, **kwargs)
    viewer.layers.selection = {ground}
    path = tmp_path / "annotations.geojson"
    path.write_text(json.dumps([TUMOR]))
    (shapes,) = viewer.open(path, plugin=PLUGIN)
    assert lies(shapes, shapes.data[0][0], ground, (19.5, 9.5))
    assert "it lies on case-17.svs, pixel on pixel" in "".join(told)


def test_without_a_slide_pixels_are_pixels_until_one_is_open(viewer, case, told, tmp_path):
    path = tmp_path / "annotations.geojson"
    path.write_text(json.dumps([TUMOR]))
    (shapes,) = viewer.open(path, plugin=PLUGIN)
    assert tuple(shapes.scale) == (1, 1)
    assert "is not open: it will move there once it is" in "".join(told)
    data, kwargs, _ = slide_layer(case)
    ground = viewer.add_image(data, **kwargs)
    assert lies(shapes, shapes.data[0][0], ground, (19.5, 9.5))


# other files, and damaged ones


def test_a_grey_ome_zarr_is_shown_over_its_own_range(viewer, tmp_path):
    values = np.linspace(-3, 12, 60 * 80, dtype=np.float32).reshape(60, 80)
    values[0, 0] = np.nan
    write_ome_zarr(
        tmp_path / "grey.ome.zarr", {"density": Overlay(values, (8, 4), (2, 2))}, (0.5, 0.5)
    )
    (layer,) = viewer.open(tmp_path / "grey.ome.zarr", plugin=PLUGIN)
    assert isinstance(layer, Image)
    assert tuple(layer.contrast_limits) == pytest.approx((-3, 12), abs=0.01)
    assert "mammogram" not in layer.metadata
    assert layer.data_to_world((0, 0)) == pytest.approx((4.25, 2.25))
    assert str(layer.units[0]) == "micrometer"


def test_labels_of_any_ome_zarr_are_labels(viewer, tmp_path):
    group = zarr.open_group(tmp_path / "cells.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=np.arange(48, dtype=np.uint32).reshape(1, 6, 8))
    axes = [{"name": "z", "type": "space"}, *({"name": a, "unit": "millimeter"} for a in "yx")]
    step = [{"type": "scale", "scale": [1, 0.01, 0.02]}]
    group.attrs["multiscales"] = [
        {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": step}]}
    ]
    (layer,) = viewer.open(tmp_path / "cells.zarr", plugin=PLUGIN)
    assert isinstance(layer, Labels)
    assert tuple(layer.scale) == pytest.approx((1, 10, 20))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("table.csv", "a,b\n1,2\n"),
        ("other.csv", "row,col,value\n1,2,3\n"),
        ("empty.csv", ""),
        ("settings.json", '{"type": "service_account"}'),
        ("list.json", "[1, 2]"),
        ("not.parquet", "PAR1 but no more"),
    ],
)
def test_files_of_others_are_left_to_them_or_refused_in_words(name, text, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    assert get_reader(str(path)) is read_or_say, "nobody reads such files"
    with pytest.raises(PathoganError, match=rf"{name} is none of the tables"):
        read(str(path))
    with npe2.DynamicPlugin("another") as another:

        @another.contribute.reader(filename_patterns=[f"*{path.suffix}"])
        def theirs(_path):
            raise AssertionError

        assert get_reader(str(path)) is None


@pytest.mark.parametrize("make", ["add_points", "add_shapes"])
def test_naparis_own_tables_open_whoever_is_chosen(make, viewer, tmp_path):
    data = [[1.0, 2.0], [3.0, 4.0]] if make == "add_points" else [np.eye(4, 2) * 9]
    layer = getattr(viewer, make)(data)
    path = tmp_path / "saved.csv"
    layer.save(str(path))
    for plugin in ("napari", PLUGIN):
        (again,) = viewer.open(path, plugin=plugin)
        assert type(again) is type(layer)
        np.testing.assert_allclose(again.data[0], layer.data[0])


CELLS = f"{','.join(COLUMNS)}\n"
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty.geojson", ""),
        ("cut.geojson", '{"type": "FeatureCollection", "features": [{"type": "Fea'),
        ("binary.geojson", "\x00\x01"),
        ("deep.geojson", DEEP),
        ("deeper.json", '{"type": "Feature", "geometry": ' + DEEP + "}"),
        ("text.geojson", '"text"'),
        ("number.geojson", "3"),
        ("null.geojson", "null"),
        ("geometry.geojson", '{"type": "Feature"}'),
        ("ring.geojson", '{"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}'),
        ("nan.geojson", '{"type": "Polygon", "coordinates": [[[NaN, 2], [3, 4], [5, 6], [NaN, 2]]]}'),
        ("masses.json", '{"kind": "masses", "version": 1}'),
        ("cells.csv", CELLS),
        ("short.csv", f"{CELLS}1,2\n"),
        ("vast.csv", f"{CELLS}999999999,0,1,1,.5,.1,1,1,1,200,.5,a\n"),
        ("nuclei.csv", "id,x_um,y_um,x_px,y_px,area_um2,class\n1,2,3,4,5,6,a\n"),
        ("classes.csv", f"{','.join((*g2c.COLUMNS, *g2c.PLACE))}\n1,1,9,9,a,x,a,,a,1,1,1,1,s,\n"),
        ("boxes.csv", "image,mass,score,xmin,ymin,xmax,ymax,synthetic\nRCC,1,x,1,2,3,4,0\n"),
    ],
)  # fmt: skip
def test_damaged_files_give_one_sentence(name, text, viewer, tmp_path):
    (tmp_path / name).write_text(text)
    assert get_reader(str(tmp_path / name)) is read_or_say, "it is ours by its name or beginning"
    with pytest.raises(PathoganError, match=re.escape(name)) as said:
        read(str(tmp_path / name))
    assert "\n" not in str(said.value)


def test_damaged_folders_give_one_sentence(world, tmp_path):
    for kind in ("idc output", "nuclei output"):
        path = world.save(kind, tmp_path / kind)
        meta = path / "zarr.json"
        whole = meta.read_text()
        for harm in (
            lambda text: text.replace('"mpp"', '"npp"'),
            lambda text: text.replace("micrometer", "micrometer").replace('"path":"', '"path":"x'),
            lambda text: text.replace('"path": "', '"path": "x'),
            lambda text: text.replace('"multiscales": [', '"multiscales": [3, '),
            lambda text: text[: len(text) // 2] + DEEP,
        ):
            meta.write_text(harm(whole))
            if meta.read_text() == whole:
                continue
            assert get_reader(str(path)) is read_or_say
            with pytest.raises(PathoganError, match=r"saved\.ome\.zarr"):
                read(str(path))
        meta.write_text(whole)


def test_the_manifest_offers_all_of_it():
    readers = npe2.PluginManager.instance().iter_compatible_readers
    for kind in KINDS:
        names = {one.plugin_name for one in readers([f"saved{export_of(kind).suffix}"])}
        assert PLUGIN in names or export_of(kind).suffix == ".png", kind  # a page is napari's own


def test_heat_maps_of_a_table_and_a_folder_are_one(world, tmp_path):
    from napari_pathogan.tasks.idc import export

    folder = export.read_zarr(world.save("idc output", tmp_path))
    table = export.read_csv(world.save("idc csv", tmp_path))
    for one in (folder, table):
        assert one.threshold == THRESHOLD
        assert one.mpp == pytest.approx(world.heat.mpp, rel=1e-4)
        assert one.probability.origin == pytest.approx(world.heat.probability.origin, abs=0.01)
        assert one.probability.step == pytest.approx(world.heat.probability.step, abs=0.01)
    assert folder.region == replace(folder).region


BY_NAPARI = {  # pictures that say nothing of a place; napari's own reader opens them
    "FROC plot", "IDC report", "synthetic patch", "synthetic mammogram",
}  # fmt: skip
NO_LAYERS = {  # what holds no place in any image: counts of many slides, pages, records
    "batch, JSON", "failure in a batch, JSON", "result of a batch", "table of a batch",
    "summary of a batch, Parquet", "page of a batch", "report of a study", "scored masses, JSON",
    "study for a browser", "model, ONNX", "file", "output",
}  # fmt: skip
OTHERWISE = {"slide (OME-TIFF)": "a slide", "slide in other colours, OME-Zarr": "a slide",
             "slide in a virtual stain, OME-Zarr": "a slide",
             "pathogan case, JSON": "by the Slides dock (tests/desk/test_cases.py)"}  # fmt: skip


def test_every_kind_of_output_that_there_is_opens_again_or_holds_no_place():
    """A new one fails here until it says what becomes of it."""
    there = set()
    for module in pkgutil.walk_packages(napari_pathogan.__path__, "napari_pathogan."):
        if not module.name.endswith("__main__"):
            found = vars(importlib.import_module(module.name)).values()
            there |= {one.name for one in found if isinstance(one, Kind)}
    opened = {registered()[kind.split()[0]].get(export_of(kind).kind).name for kind in KINDS}
    assert there == opened | BY_NAPARI | NO_LAYERS | set(OTHERWISE)
