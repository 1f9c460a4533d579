"""Annotations: what is written is read again, in both places."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import shapely

from napari_pathogan.annotations import geojson
from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.errors import DataFolderError, OutputError, ResultFormatError
from napari_pathogan.kinds import OURS

HOLED = shapely.Polygon([(0, 0), (20, 0), (20, 30), (0, 30)], [[(5, 5), (5, 9), (9, 9), (9.25, 5)]])
DRAWN = Annotation(
    HOLED,
    class_name="Tumor",
    colour="#010203",
    name="7",
    by="reader",
    when="2026-11-29T06:00:00+00:00",
    decision="accepted",
    measurements={"Area": 1.5},
    more={"score": 0.25},
)


def test_an_annotation_comes_back_whole(tmp_path):
    point = Annotation(shapely.Point(3, 4), kind="detection")
    store = AnnotationStore(tmp_path / "a.svs", ".geojson")
    path = store.write(lambda: iter([DRAWN, point]), {"kind": "test"})
    assert path == store.path == tmp_path / "a.svs.geojson"
    (back, dot), about = geojson.read(path)
    assert about == {"kind": "test"}
    assert {**vars(back), "geometry": None} == {**vars(DRAWN), "geometry": None}
    assert back.geometry.equals_exact(HOLED)
    outer, hole = back.polygons[0]
    assert outer.tolist() == [[0, 0], [0, 20], [30, 20], [30, 0]]  # y, x
    assert hole[-1].tolist() == [5, 9.25]
    assert dot.points.tolist() == [[4, 3]]
    feature, _ = json.loads(path.read_text())["features"]
    assert feature["properties"]["classification"] == {"name": "Tumor", "color": [1, 2, 3]}
    assert feature["properties"]["objectType"] == "annotation"
    assert feature["properties"]["pathogan"]["decision"] == "accepted"


def test_where_the_images_folder_cannot_be_written_all_of_it_lies_elsewhere(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = AnnotationStore(tmp_path / "file" / "Jane Doe.svs", ".geojson")
    path = store.write(lambda: iter([DRAWN, DRAWN]), {})
    assert path == store.elsewhere == store.path
    assert "Jane" not in str(path.parent)
    assert len(geojson.read(path)[0]) == 2


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    store = AnnotationStore(tmp_path / "a.svs", ".geojson")
    store.write(lambda: [DRAWN], {})

    def broken():
        yield DRAWN
        raise OutputError("the disk is full")

    with pytest.raises(OutputError, match="full"):
        store.write(broken, {})
    assert len(geojson.read(store.beside)[0]) == 1
    assert not store.elsewhere.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["a.svs.geojson"]


def test_a_folder_lists_images_in_both_places_by_name_and_by_stem(tmp_path):
    images = [
        tmp_path / name
        for name in ("a.svs", "b.svs", "c[1].ome.tif", "case.2.tif", "case.tif", "plain.svs")
    ]
    for image in images:
        image.touch()
    geojson.write(tmp_path / "a.geojson", [DRAWN], {}, OURS)
    geojson.write(AnnotationStore(images[1], ".geojson").elsewhere, [DRAWN], {}, OURS)
    geojson.write(tmp_path / "c[1].geojson", [DRAWN], {}, OURS)
    geojson.write(tmp_path / "case.geojson", [DRAWN], {}, OURS)
    (tmp_path / "gone.svs.geojson").touch()
    stores = AnnotationStore.in_folder(tmp_path, ".geojson")
    assert [store.image for store in stores] == [*images[:3], images[4], tmp_path / "gone.svs"]
    assert all(store.path.is_file() for store in stores)
    assert stores[0].path == tmp_path / "a.geojson"
    assert not AnnotationStore(images[3], ".geojson").path.is_file()  # another slide's


RINGS = {
    "a bow tie": [[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]],
    "it meets itself": [[[0, 0], [10, 0], [10, 10], [5, 5], [4, 10], [3, 8], [5, 5], [0, 10], [0, 0]]],
    "there and back": [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]],
    "into a hole and back": [
        [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0], [2, 2], [2, 8], [8, 8], [8, 2], [2, 2], [0, 0]]
    ],
    "a hole that leaves": [
        [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]],
        [[5, 5], [15, 5], [15, 8], [5, 8], [5, 5]],
    ],
    "a hole of two corners": [[[0, 0], [10, 0], [10, 10], [0, 0]], [[5, 4], [5, 4]]],
}  # fmt: skip
AREAS = dict(zip(RINGS, (50, 78.5, 100, 64, 85, 50), strict=True))


@pytest.mark.parametrize("how", RINGS)
def test_areas_are_valid_read_and_written(how, tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": RINGS[how]}))
    ((one,), _) = geojson.read(path)
    assert one.geometry.is_valid
    assert one.geometry.area == AREAS[how]
    rings = [np.array(ring, float)[:-1, ::-1] for ring in RINGS[how] if len(ring) > 2]
    written = geojson.outline([rings])
    assert written.is_valid
    assert written.area == AREAS[how]


def test_parts_that_overlap_are_one(tmp_path):
    squares = [[[[x, x], [x + 10, x], [x + 10, x + 10], [x, x + 10], [x, x]]] for x in (0, 5)]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "MultiPolygon", "coordinates": [*squares, []]}))
    ((one,), _) = geojson.read(path)
    assert one.geometry.area == 175


DAMAGED = {
    "nothing": "",
    "binary": "\xff\xfe\x00",
    "cut short": '{"type": "FeatureCollection", "features": [{',
    "a number": "7",
    "no type": "{}",
    "another type": '{"type": "Topology"}',
    "features are none": '{"type": "FeatureCollection", "features": null}',
    "a feature is a text": '{"type": "FeatureCollection", "features": ["x"]}',
    "no geometry": '{"type": "Feature", "properties": {}}',
    "properties are a list": '{"type": "Feature", "geometry": null, "properties": [1]}',
    "coordinates are a text": '{"type": "Polygon", "coordinates": "x"}',
    "a corner is a text": '{"type": "Polygon", "coordinates": [[["a", 1], [1, 2], [2, 2]]]}',
    "a corner has one number": '{"type": "Polygon", "coordinates": [[[1], [1, 2], [2, 2]]]}',
    "a corner is nowhere": '{"type": "Polygon", "coordinates": [[[NaN, 1], [1, 2], [2, 2]]]}',
    "a corner is too far": '{"type": "Polygon", "coordinates": [[[1' + "0" * 400 + ", 1], [1, 2], [2, 2]]]}",
    "a number without end": "1" * 5000,
    "deep": '{"features":' + "[" * 100_000,
    "deep geometries": '{"type": "GeometryCollection", "geometries": [' * 2000 + "]}" * 2000,
    "a class is an object": '{"type": "Feature", "geometry": null, "properties": {"classification": {"name": {"a": 1}}}}',
    "measurements are a text": '{"type": "Feature", "geometry": null, "properties": {"measurements": "x"}}',
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGED)
def test_what_is_damaged_is_said_in_a_sentence(how, tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text(DAMAGED[how], encoding="latin-1")
    with pytest.raises(ResultFormatError, match=r"a\.geojson can't be read as GeoJSON"):
        geojson.read(path)


@pytest.mark.parametrize(
    "text", ["5", "null", '"x"', '{"type": "FeatureCollection", "features": null}']
)
def test_what_is_built_otherwise_is_said_without_words_of_python(text, tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text(text)
    with pytest.raises(ResultFormatError, match=r"GeoJSON \(it is not built as GeoJSON is\)"):
        geojson.read(path)


@pytest.mark.parametrize("place", ["NaN", "null", "-Infinity", "1e300"])
@pytest.mark.parametrize("kind", ["Polygon", "LineString"])
def test_a_corner_that_no_image_reaches_is_nowhere(place, kind, tmp_path, recwarn):
    ring = f"[[0, 0], [{place}, 0], [9, 9], [0, 0]]"
    path = tmp_path / "a.geojson"
    path.write_text(
        f'{{"type": "{kind}", "coordinates": {f"[{ring}]" if kind == "Polygon" else ring}}}'
    )
    with pytest.raises(ResultFormatError, match=r"a corner is nowhere|not built as GeoJSON"):
        geojson.read(path)
    assert kind == "LineString" or not list(recwarn)


def test_a_class_without_a_colour_is_written_without_one(tmp_path):
    """QuPath wants three numbers, or none."""
    plain = Annotation(shapely.box(0, 0, 4, 4), class_name="Tumor")
    path = AnnotationStore(tmp_path / "a.svs", ".geojson").write(lambda: iter([plain]), {})
    (feature,) = json.loads(path.read_text())["features"]
    assert feature["properties"]["classification"] == {"name": "Tumor"}


def test_measurements_that_are_no_numbers_are_left_out_and_the_file_is_written_again(tmp_path):
    path = tmp_path / "a.geojson"
    feature = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}
    measured = {"Area": float("nan"), "Length": float("inf"), "Mean": 2.5}
    path.write_text(json.dumps(feature | {"properties": {"measurements": measured}}))
    (one,), _ = geojson.read(path)
    assert one.measurements == {"Mean": 2.5}
    AnnotationStore(tmp_path / "a.svs", ".geojson").write(lambda: iter([one]), {})


def test_what_else_may_be_odd_is_read(tmp_path):
    path = tmp_path / "a.geojson"
    square = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9]]]}
    own = {"classification": {"names": ["Tumor", "Positive"], "color": [1, "x", 999]}}
    path.write_text(json.dumps([
        {"type": "Feature", "id": "PathCellObject", "geometry": square, "properties": own},
        {"type": "Feature", "id": "PathRootObject", "geometry": None, "properties": None},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": []}},
    ]))  # fmt: skip
    ((one,), _) = geojson.read(path)
    assert (one.class_name, one.colour, one.kind) == ("Tumor: Positive", "", "cell")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_any_unicode_is_read(encoding, tmp_path):
    path = tmp_path / "a.geojson"
    square = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9]]]}
    own = {"classification": {"name": "Tumör"}}
    text = json.dumps(
        {"type": "Feature", "geometry": square, "properties": own}, ensure_ascii=False
    )
    path.write_bytes(text.encode(encoding))
    ((one,), _) = geojson.read(path)
    assert one.class_name == "Tumör"


@pytest.mark.parametrize("corners", [600, 3000, 20_000])
def test_an_outline_that_crosses_itself_everywhere_is_refused_at_once(corners, tmp_path):
    path = tmp_path / "a.geojson"
    ring = np.random.default_rng(0).uniform(0, 1000, (corners, 2)).tolist()
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    start = time.process_time()
    with pytest.raises(ResultFormatError, match="crosses itself nearly everywhere"):
        geojson.read(path)
    assert time.process_time() - start < 5


def test_a_long_outline_that_crosses_itself_here_and_there_is_read(tmp_path):
    angle = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    away = 1000 + 20 * np.sin(50 * angle)
    corners = np.stack([away * np.cos(angle), away * np.sin(angle)], 1)
    corners[::500] = corners[::500] * 0.98
    corners[5000], corners[5001] = corners[5001].copy(), corners[5000].copy()
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [corners.tolist()]}))
    ((one,), _) = geojson.read(path)
    assert one.geometry.is_valid
    assert one.geometry.area == pytest.approx(np.pi * 1000**2, rel=0.01)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Tumor", "Tumor"),
        ({"name": "Tumor"}, "Tumor"),
        ({"names": ["Tumor", "Positive"]}, "Tumor: Positive"),
        (["Tumor", "Positive"], "Tumor: Positive"),
        (["Tumor"], "Tumor"),
        ({"name": ["Tumor"]}, "Tumor"),
        ({"name": 3}, "3"),
        ({"name": None, "names": []}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_the_name_of_a_class_however_it_is_written(given, name):
    assert geojson.classification(given) == (name, "")


@pytest.mark.parametrize(
    ("images", "name", "own"),
    [
        (["a.ome.tif"], "a.ome.tif.geojson", "a.ome.tif"),
        (["a.ome.tif"], "a.ome.geojson", "a.ome.tif"),
        (["a.ome.tif"], "a.geojson", "a.ome.tif"),
        (["a.OME.TIFF", "a.xml", "a.csv"], "a.geojson", "a.OME.TIFF"),
        (["a.tif", "a.2.tif"], "a.geojson", "a.tif"),
        (["a.tif", "a.ome.tif"], "a.ome.geojson", "a.ome.tif"),
        (["a.tif", "a.ome.tif"], "a.tif.geojson", "a.tif"),
        (["a.svs", "a"], "a.geojson", "a.svs"),
        (["a.tif", "a.ome.tif"], "a.geojson", None),
        (["a.svs", "a.tif"], "a.geojson", None),
        (["a.1.tif", "a.2.tif"], "a.geojson", None),
    ],
)
def test_whose_annotations_they_are_is_plain_or_said(images, name, own, tmp_path):
    for image in images:
        (tmp_path / image).touch()
    geojson.write(tmp_path / name, [DRAWN], {}, OURS)
    (store,) = AnnotationStore.in_folder(tmp_path, ".geojson")
    if own:
        assert (store.image.name, store.path.name) == (own, name)
        return
    with pytest.raises(DataFolderError, match=rf"{name} may be of {min(images)} or .*: call it"):
        _ = store.path


def test_files_say_where_they_count_from(tmp_path):
    path = tmp_path / "a.geojson"
    geojson.write(path, [DRAWN], {"origin": [100, 20]}, OURS)
    (feature,) = json.loads(path.read_text())["features"]
    assert feature["geometry"]["coordinates"][0][0] == [-20, -100]
    ((back,), _) = geojson.read(path, (7, 7))
    assert back.geometry.equals(HOLED)
    path.write_text(json.dumps(feature))  # as QuPath saves it, which counts as the slide says
    ((back,), _) = geojson.read(path, (100, 20))
    assert back.geometry.equals(HOLED)
    for wrong in ("x", [1], [None, 1], [float("nan"), 0]):
        path.write_text(
            json.dumps({"type": "FeatureCollection", "features": [], "pathogan": {"origin": wrong}})
        )
        with pytest.raises(ResultFormatError):
            geojson.read(path)
