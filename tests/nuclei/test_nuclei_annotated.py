"""Nuclei kept beside a slide: read back as they were, and cut out to train on."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from slides_of_nuclei import ByQuadrant, DarkIsNucleus, found, paint

from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.engine.config import SettingError
from napari_pathogan.errors import DataFolderError, UnknownScaleError
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei import annotated, export
from napari_pathogan.tasks.nuclei.data import need_nuclei, read_training_folder
from napari_pathogan.tasks.nuclei_classes.data import read_nuclei

EARLIER = Path(__file__).parent / "earlier"
REGION = Region(60, 80, 240, 320)


@pytest.fixture
def path(tmp_path):
    """A slide on disk that does not say its scale."""
    path = tmp_path / "case.tif"
    tifffile.imwrite(path, paint((400, 500), 90, radius=(4, 7)), photometric="rgb")
    return path


def corrected(path, **kwargs):
    """Nuclei of a region with one class corrected."""
    with Slide.open(path, mpp=0.5) as slide:
        result = found(slide, DarkIsNucleus(), classifier=ByQuadrant(), **kwargs)
    nucleus = int(result.table["id"].iloc[3])
    other = {"dense": "pale", "pale": "dense"}[result.nucleus(nucleus)["class"]]
    return result.with_class(nucleus, other), nucleus, other


def test_kept_beside_the_slide_and_read_back_pixel_by_pixel(path):
    kept, nucleus, name = corrected(path, region=REGION)
    file = annotated.store(path).beside
    assert file.name == "case.tif.nuclei.geojson"
    assert annotated.write(path, kept) == file
    with Slide.open(path) as slide:
        back = annotated.read(file, slide)
    np.testing.assert_array_equal(back.labels, kept.labels)
    np.testing.assert_array_equal(back.boxes, kept.boxes)
    pd.testing.assert_frame_equal(back.table, kept.table, check_exact=False, atol=1e-4, rtol=0)
    assert back.nucleus(nucleus)["class"] == name
    assert back.table["corrected"].sum() == 1
    assert (back.region, back.polygons) == (REGION, None)
    assert back.area_mm2 == pytest.approx(kept.area_mm2)
    assert (back.class_names, back.class_colours) == (kept.class_names, kept.class_colours)
    assert back.mpp == (0.5, 0.5)
    assert back.model == "dark"


def test_polygons_are_kept(path):
    triangle = np.array([[20, 20], [20, 380], [300, 20]], float)
    kept, _, _ = corrected(path, polygons=[triangle])
    annotated.write(path, kept)
    with Slide.open(path) as slide:
        back = annotated.read(annotated.store(path).beside, slide)
    np.testing.assert_allclose(back.polygons[0], triangle)
    np.testing.assert_array_equal(back.labels, kept.labels)


def feature(coordinates, own=None, kind="Polygon", **more) -> dict:
    properties = {"objectType": "annotation", **more}
    if own:
        properties["classification"] = {"name": own, "color": [1, 2, 3]}
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def square(y, x, side) -> list:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def test_what_was_drawn_in_qupath_is_measured(path):
    drawn = [
        feature([square(100, 120, 20)], "Tumor"),
        feature([square(50, 60, 10)]),
        feature([[square(200, 200, 12)], [square(220, 200, 12)]], "Tumor", kind="MultiPolygon"),
        feature([square(300, 300, 20), square(305, 305, 8)], "Stroma", name="7"),
        feature([10, 20], "Tumor", kind="Point"),
    ]
    file = annotated.store(path).beside
    file.write_text(json.dumps(drawn))  # older QuPath: the features alone
    with Slide.open(path, mpp=0.25) as slide:
        back = annotated.read(file, slide)
    assert len(back) == 4
    assert set(back.class_names) == {"Tumor", "nucleus", "Stroma"}
    assert back.class_colours[back.class_names.index("Tumor")] == "#010203"
    assert back.labels.shape == (400, 500)
    holed = back.nucleus(7)
    assert holed["class"] == "Stroma"
    assert holed["area_um2"] == pytest.approx((400 - 64) / 16)
    assert back.at(308, 308) is None
    assert back.at(301, 301) == 7
    assert back.table["haematoxylin_mean"].gt(0).all()
    assert sorted(back.table["area_um2"]) == pytest.approx([100 / 16, 288 / 16, 336 / 16, 25])
    assert back.region is None
    first = back.nucleus(back.at(110, 130))
    assert (first["y_px"], first["x_px"]) == (109.5, 129.5)


def test_regions_are_cut_out_to_train_on(path):
    kept, nucleus, name = corrected(path, region=REGION)
    annotated.write(path, kept)
    (region,), skipped = annotated.annotated_regions([annotated.store(path)])
    assert skipped == []
    assert region.slide == "case.tif"
    assert region.mpp == pytest.approx(0.25)
    assert region.image.shape == (480, 640, 3)
    assert region.mask.shape == (480, 640)
    with Slide.open(path, mpp=0.5) as slide:
        np.testing.assert_array_equal(region.image, slide.read(REGION, size=(480, 640)))
    numbers = np.unique(region.mask[region.mask > 0])
    assert numbers.tolist() == list(range(1, len(region.classes) + 1))
    inside = region.mask[100:-100, 100:-100]
    assert inside.min() == 0
    row, col = kept.table.loc[kept.row(nucleus), ["y_px", "x_px"]]
    number = region.mask[round((row + 0.5 - 60) * 2), round((col + 0.5 - 80) * 2)]
    assert region.classes[number - 1] == name
    # what lies across the border may be half a nucleus that nobody marked
    rim = np.concatenate([region.mask[:15].ravel(), region.mask[:, -15:].ravel()])
    assert 0 not in rim
    assert -1 in rim


def test_what_is_kept_elsewhere_is_trained_on_like_what_is_beside(path):
    kept, *_ = corrected(path, region=REGION)
    other = path.with_name("b.tif")
    other.write_bytes(path.read_bytes())
    store = annotated.store(path)
    store.elsewhere.parent.mkdir(parents=True)
    annotated.write(path, kept).rename(store.elsewhere)
    assert len(read_training_folder(path.parent)) == 1
    nuclei = len(read_nuclei(path.parent, 0.5, 0.5))
    annotated.write(other, kept)
    assert len(read_training_folder(path.parent)) == 2
    assert len(read_nuclei(path.parent, 0.5, 0.5)) == 2 * nuclei
    # of two, the newer one counts
    annotated.write(path, corrected(path)[0])
    assert AnnotationStore.in_folder(path.parent, annotated.SUFFIX)[1] == store
    assert store.path == store.beside
    os.utime(store.beside, (0, 0))
    assert store.path == store.elsewhere


def test_an_outline_beyond_a_rectangle_is_not_known(path):
    triangle = np.array([[20, 20], [20, 380], [300, 20]], float)
    kept, _, _ = corrected(path, polygons=[triangle])
    annotated.write(path, kept)
    (region,), _ = annotated.annotated_regions([annotated.store(path)])
    assert region.mask[-50:, -50:].max() == -1
    assert (region.mask == 0).mean() > 0.2


def test_of_a_whole_slide_only_what_is_near_corrections_counts(path):
    kept, nucleus, _ = corrected(path)
    annotated.write(path, kept)
    (region,), _ = annotated.annotated_regions([annotated.store(path)])
    assert max(region.mask.shape) <= 2 * 32 / 0.25 + 2
    assert kept.region is None
    y, x = kept.nucleus(nucleus)[["y_px", "x_px"]]
    with Slide.open(path, mpp=0.5) as slide:
        whole = slide.read(Region(0, 0, 400, 500), size=(800, 1000))
    top, left = max(0, int(y - 64) * 2), max(0, int(x - 64) * 2)
    height, width = region.mask.shape
    np.testing.assert_array_equal(region.image, whole[top : top + height, left : left + width])


def test_nothing_is_learnt_where_nothing_was_corrected(path):
    with Slide.open(path, mpp=0.5) as slide:
        annotated.write(path, found(slide, DarkIsNucleus()))
    with pytest.raises(DataFolderError, match=r"no slide could be used.* none was corrected"):
        read_training_folder(path.parent)


def test_at_the_slides_edge_there_is_no_rim(path):
    with Slide.open(path, mpp=0.5) as slide:
        result = found(slide, DarkIsNucleus(), Region(0, 0, 400, 500))
    annotated.write(path, result)
    (region,), _ = annotated.annotated_regions([annotated.store(path)])
    assert region.mask.shape == (800, 1000)
    assert region.mask.min() == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1, 2]",
        '{"features": [{"geometry": null}]}',
        '{"features": 3}',
        json.dumps([feature([[[0, 0], [1, float("inf")]]], "x")]),
    ],
)
def test_files_that_are_none(path, text):
    annotated.store(path).beside.write_text(text)
    with (
        Slide.open(path, mpp=0.5) as slide,
        pytest.raises(DataFolderError, match=r"can't be read as GeoJSON"),
    ):
        annotated.read(annotated.store(path).beside, slide)
    regions, (reason,) = annotated.annotated_regions([annotated.store(path)])
    assert regions == []
    assert "case.tif.nuclei.geojson" in reason


def test_a_scale_that_nobody_knows(path):
    annotated.store(path).beside.write_text(json.dumps([feature([square(9, 9, 9)])]))
    with Slide.open(path) as slide, pytest.raises(UnknownScaleError, match=r"case\.tif"):
        annotated.read(annotated.store(path).beside, slide)


def test_a_file_without_its_slide_is_skipped(tmp_path):
    (tmp_path / "gone.svs.nuclei.geojson").write_text("[]")
    regions, (reason,) = annotated.annotated_regions(
        AnnotationStore.in_folder(tmp_path, annotated.SUFFIX)
    )
    assert regions == []
    assert "gone.svs" in reason


@pytest.mark.parametrize("name", ["region", "polygon"])
def test_nuclei_kept_by_0_1_0_still_load(tmp_path, name):
    path = tmp_path / "case.tif"
    tifffile.imwrite(path, paint((160, 200), 14, radius=(4, 7)), photometric="rgb")
    with Slide.open(path) as slide:
        back = annotated.read(EARLIER / f"{name}.nuclei.geojson", slide)
    expected = pd.read_csv(EARLIER / f"{name}.csv")
    pd.testing.assert_frame_equal(
        back.table, expected, check_dtype=False, check_categorical=False, rtol=1e-6
    )
    assert np.unique(back.labels).tolist() == [0, *expected["id"]]
    if name == "region":
        assert (back.region, back.polygons) == (Region(10, 20, 120, 150), None)
    else:
        np.testing.assert_allclose(back.polygons[0], [[5, 5], [5, 150], [120, 5]])


def test_nuclei_are_kept_without_the_name_of_their_slide(tmp_path):
    path = tmp_path / "Jane Doe.tif"
    tifffile.imwrite(path, paint((160, 200), 14, radius=(4, 7)), photometric="rgb")
    with Slide.open(path) as slide:
        old = annotated.read(EARLIER / "region.nuclei.geojson", slide)
        file = annotated.write(path, replace(old, notes=("Jane Doe.tif is enlarged",)))
        assert "Jane" not in file.read_text()
        assert annotated.read(file, slide).notes == ("Jane Doe.tif is enlarged",)


def nuclei_of(path, *features, **about):
    """What is read of objects beside a slide of 0.25 um/px."""
    file = annotated.store(path).beside
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features} | about))
    with Slide.open(path, mpp=0.25) as slide:
        return annotated.read(file, slide)


def kind(name, given):
    return {**given, "properties": given["properties"] | {"objectType": name}}


def test_of_a_cell_its_nucleus_counts(path):
    nucleus = {"nucleusGeometry": feature([square(110, 110, 20)])["geometry"]}
    cell = kind("cell", feature([square(100, 100, 40)], "Tumor")) | nucleus
    without = kind("cell", feature([square(200, 100, 40)], "Tumor")) | {"nucleusGeometry": None}
    back = nuclei_of(path, cell, without)
    assert back.table["area_um2"].tolist() == [25]
    assert back.notes == ("left out: 1 cell(s) without the outline of a nucleus",)


@pytest.mark.parametrize("origin", [{}, {"pathogan": {"origin": [3, 5]}}])
def test_a_nucleus_whose_cell_has_no_outline_replaces_no_other_object(path, origin):
    """Nor does one without an outline make the cell vanish uncounted."""
    first, last = (
        kind("cell", feature([square(0, 0, 1)], "Tumor"))
        | {"geometry": None, "nucleusGeometry": feature([square(110, x, 20)])["geometry"]}
        for x in (60, 110)
    )
    point = {"nucleusGeometry": {"type": "Point", "coordinates": [210, 110]}}
    cell = kind("cell", feature([square(200, 100, 40)], "Tumor"))
    detection = kind("detection", feature([square(20, 20, 40)], "Tumor"))
    back = nuclei_of(path, detection, first, cell | point, cell, last, **origin)
    assert sorted(back.table["area_um2"].tolist()) == [25, 25, 100]
    assert back.notes == ("left out: 2 cell(s) without the outline of a nucleus",)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (feature([square(0, 0, 401)]), "over 100 um long"),
        (feature([square(50, 50, 300)]), "around other objects"),
        (feature([square(0, 0, 1e9)], "Tumor"), "over 100 um long"),
        (feature([[[0, 0], [3, 0], [1e5, 1e5]]], "Tumor"), "over 100 um long"),
        (kind("tile", feature([square(300, 300, 20)], "Tumor")), "of kind tile"),
        (kind("root", feature([square(300, 300, 20)])), "of kind root"),
        (feature([square(300, 300, 20)], "Ignore*"), ""),
        ({"type": "Feature", "geometry": None, "properties": {"objectType": "root"}}, ""),
    ],
)
def test_what_is_no_nucleus_is_left_out_and_said(path, other, why):
    back = nuclei_of(path, other, kind("detection", feature([square(100, 100, 20)], "Tumor")))
    assert back.table["area_um2"].tolist() == [25]
    assert [why in note for note in back.notes] == [True] * bool(why)


def test_what_was_not_looked_at_is_cut_out_of_regions(path):
    holed = feature([square(10, 10, 300), square(100, 100, 50)], "Region*")
    other = feature([square(10, 250, 60)], "Artefact*")
    back = nuclei_of(path, holed, other, pathogan={"mpp": [0.25, 0.25]})
    assert back.area_mm2 == pytest.approx((300**2 - 50**2 - 60 * 60) / 16e6)
    (region,), _ = annotated.annotated_regions([annotated.store(path)])
    assert region.mask[40, 40] == 0
    assert region.mask[115, 115] == region.mask[20, 270] == -1


@pytest.mark.parametrize("name", [str(2**31), "9" * 5000, "\u0661\u0662", "-1", "1.5", ""])
def test_any_name_of_a_nucleus_is_read(path, name):
    back = nuclei_of(path, feature([square(100, 100, 20)], name=name))
    assert len(back) == 1
    assert back.lut().size < 100


@pytest.mark.parametrize(
    "about",
    [
        {"mpp": "ab"},
        {"mpp": [0, 1]},
        {"notes": 5},
        {"grid": {"origin": [0, 0], "step": [0, 1], "shape": [5, 5]}},
        {"grid": {"origin": [0, 0], "step": [1, 1], "shape": [5, 10**12]}},
        {"grid": {"origin": [0, 1e308], "step": [1, 1], "shape": [5, 5]}},
        {"grid": 7},
        {"class_names": "x", "class_colours": 3},
        {"class_colours": ["red"]},
        {"area_mm2": "x"},
    ],
)
def test_what_a_file_says_of_itself_is_checked(path, about):
    with pytest.raises(DataFolderError, match=r"case\.tif\.nuclei\.geojson .* is wrong"):
        nuclei_of(path, feature([square(100, 100, 20)]), pathogan=about)


def test_where_all_nuclei_are_marked_is_asked_for(path):
    nuclei_of(path, feature([square(100, 100, 20)], "Tumor"))
    with Slide.open(path, mpp=0.25) as slide:
        annotated.write(path, annotated.read(annotated.store(path).beside, slide))
    with pytest.raises(DataFolderError, match=r"no outline of class Region\*"):
        read_training_folder(path.parent)


def test_an_outline_of_very_many_corners_is_read_at_once(path):
    turn = np.linspace(0, 2 * np.pi, 100_000)
    ring = np.stack([200 + 150 * np.cos(turn), 200 + 150 * np.sin(turn)], 1).tolist()
    start = time.process_time()
    back = nuclei_of(path, feature([ring]))
    assert time.process_time() - start < 3
    assert back.table["area_um2"].tolist() == [pytest.approx(np.pi * 150**2 / 16, rel=0.001)]


def test_where_the_format_says_what_was_scanned_pixels_count_from_there(path):
    with Slide.open(path, mpp=0.25) as slide:
        slide.bounds = Region(100, 60, 200, 300)
        result = found(slide, DarkIsNucleus(), Region(120, 80, 160, 200))
        file = annotated.write(path, result)
        low = np.min(
            [
                one["geometry"]["coordinates"][0][0]
                for one in json.loads(file.read_text())["features"]
            ],
            0,
        )
        assert (low >= (20 - 1, 20 - 1)).all()
        assert (low < (60, 60)).all()
        np.testing.assert_array_equal(annotated.read(file, slide).labels, result.labels)
        exported = path.with_name("out.geojson")
        export.write_geojson(exported, result)
        content = json.loads(exported.read_text())
        del content["pathogan"]  # as QuPath saves it
        file.write_text(json.dumps(content))
        back = annotated.read(file, slide)
    assert len(back) == len(result)
    np.testing.assert_allclose(back.table["y_px"], result.table["y_px"], atol=0.01)


def squares(corners, names=()):
    """Nuclei of 12 px, as QuPath has them."""
    rings = [[(x, y), (x + 12, y), (x + 12, y + 12), (x, y + 12), (x, y)] for y, x in corners]
    return {"type": "FeatureCollection", "features": [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]},
         "properties": {"objectType": "detection", "classification": {"name": name}}}
        for ring, name in zip(rings, names or ["a"] * len(rings), strict=True)]}  # fmt: skip


def test_nuclei_beyond_the_borders_and_under_others_are_said(path):
    file = annotated.store(path).beside
    corners = [(50, 50), (50, 50), (-6, 100), (200, 495), (-300, 10), (10, 501), (400, 0)]
    file.write_text(json.dumps(squares(corners)))
    with Slide.open(path, mpp=0.5) as slide:
        kept = annotated.read(file, slide)
    assert len(kept) == 3
    assert kept.notes == (
        "left out: 3 beyond the image, or the part of it that the file is of",
        "2 nuclei reach beyond the image's borders and are cut there",
        "left out: 1 under others, of which no pixel can be seen",
    )


@pytest.mark.parametrize("count", [254, 255])
def test_more_classes_than_an_image_holds_are_refused(path, count, recwarn):
    """A byte a pixel says the class: the 255th class would be that of no nucleus."""
    file = annotated.store(path).beside
    corners = [(20 * (i // 24) + 10, 20 * (i % 24) + 2) for i in range(count)]
    file.write_text(json.dumps(squares(corners, [f"c{i}" for i in range(count)])))
    with Slide.open(path, mpp=0.5) as slide:
        if count == 254:
            lut = annotated.read(file, slide).lut()
            assert np.unique(lut).tolist() == list(range(255))
            assert not [one for one in recwarn if "fragmented" in str(one.message)]
        else:
            with pytest.raises(DataFolderError, match="names 255 classes of nuclei; 254 can"):
                annotated.read(file, slide)


def test_a_region_beyond_the_slide_is_said(path):
    nuclei_of(path, feature([square(600, 0, 100)], "Region*"), pathogan={"mpp": [0.25, 0.25]})
    regions, (skipped,) = annotated.annotated_regions([annotated.store(path)])
    assert regions == []
    assert "lies beyond the slide" in skipped


def test_a_scale_beside_slides_that_say_theirs_is_refused(path):
    annotated.write(path, corrected(path, region=REGION)[0])
    with pytest.raises(SettingError, match=r"mpp=0\.25 would count for nothing"):
        read_training_folder(path.parent, mpp=0.25)


def test_a_corner_that_is_nowhere_names_its_file_once(path):
    annotated.write(path, corrected(path, region=REGION)[0])
    file = annotated.store(path).beside
    content = json.loads(file.read_text())
    content["features"][0]["geometry"]["coordinates"][0][1] = [float("nan"), 3]
    file.write_text(json.dumps(content))
    with pytest.raises(DataFolderError, match="a corner is nowhere") as caught:
        read_training_folder(path.parent)
    assert str(caught.value).count(file.name) == 1


def test_why_nothing_is_marked_names_what_was_left_out(path):
    annotated.write(path, corrected(path, region=REGION)[0])
    folder = replace(read_training_folder(path.parent), skipped=("b.geojson: no Region*",))
    empty = replace(folder.images[0], mask=np.zeros_like(folder.images[0].mask))
    with pytest.raises(DataFolderError, match=r"all are 0; left out: b.geojson: no Region\*"):
        need_nuclei(replace(folder, images=(empty,)))


def test_an_outlined_nucleus_is_numbered_though_it_is_the_only_one(path):
    kept, nucleus, _ = corrected(path)
    annotated.write(path, replace(kept, region=kept.around(nucleus, 1.0)))
    folder = read_training_folder(path.parent)
    one = replace(folder.images[0], mask=np.minimum(folder.images[0].mask, 1))
    alone = replace(folder, images=(one,))
    assert alone.instances
    assert alone.take(np.array([0])).instances
    assert not replace(alone, outlined=False).instances


@pytest.mark.parametrize("name", ["plain.geojson", "case.geojson", "case.tif.geojson"])
def test_a_file_of_another_name_is_named(path, name):
    file = annotated.write(path, corrected(path, region=REGION)[0])
    file.rename(file.with_name(name))
    with pytest.raises(DataFolderError, match=rf"holds {name}.*\.nuclei\.geojson; call it so"):
        read_training_folder(path.parent)
