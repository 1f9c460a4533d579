"""Annotations: what is written is read again, in both places."""

from __future__ import annotations

import json

import pytest
import shapely

from napari_pathogan.annotations import geojson
from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.errors import OutputError
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
