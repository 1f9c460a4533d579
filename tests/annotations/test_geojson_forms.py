"""Forms in which other programs write GeoJSON, and coordinates that are no pixels."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from napari_pathogan import kinds
from napari_pathogan.annotations import geojson, outlines
from napari_pathogan.annotations.classes import ClassTable
from napari_pathogan.errors import ResultFormatError
from napari_pathogan.slides.slide import Slide

TRIANGLE = [[10, 10], [60, 10], [60, 60], [10, 10]]
BOW = [[10, 10], [60, 60], [60, 10], [10, 60], [10, 10]]


def drawn(path, *rings):
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
        }
        for ring in rings
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.parametrize(
    ("ring", "crosses"),
    [
        (TRIANGLE, 0),
        (TRIANGLE[:3], 0),
        ([[str(side) for side in corner] for corner in TRIANGLE], 0),
        ([[*corner, 5][: 2 + number % 2] for number, corner in enumerate(TRIANGLE)], 0),
        (BOW, 1),
        (BOW[:-1], 1),
    ],
    ids=["closed", "open", "text", "some with a height", "bow", "open bow"],
)
def test_an_outline_crosses_itself_only_where_it_does(tmp_path, ring, crosses):
    path = drawn(tmp_path / "a.geojson", ring)
    (one,), _ = geojson.read(path)
    assert one.geometry.area == pytest.approx(1250)
    assert geojson.crossing(path) == crosses


def test_compressed_outlines_are_said_to_be_no_text(tmp_path):
    path = drawn(tmp_path / "a.geojson", TRIANGLE)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ResultFormatError, match="it is no text; unpack it"):
        geojson.read(path)


@pytest.mark.parametrize("scale", [1, 1 / 100])
def test_outlines_in_other_units_than_pixels_are_told_of(tmp_path, scale):
    """Degrees, or shares of the image: they lie on the slide, in its corner."""
    path = drawn(tmp_path / "a.geojson", (scale * np.array(TRIANGLE)).tolist())
    with Slide.from_arrays([np.zeros((100, 100, 3), np.uint8)], name="a") as slide:
        areas, _ = outlines.outlines_of(path, (0, 0))
        said = outlines.beyond(slide, path.name, areas)
    assert ["smaller than a pixel" in one for one in said] == [True] * (scale < 1)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Tumor\x1b[2J\x1b[31m", "Tumor [2J [31m"),
        ("Tumor\x00\x07", "Tumor"),
        ("In\r\nsitu", "In situ"),
        ("Tu\u200bmor\ufeff", "Tumor"),
        ("\u202eromuT\u202c", "romuT"),
        ("Tumor\ud800", "Tumor"),
        ("Tumor\u2028", "Tumor"),
        ("Tumor [/idc]", "Tumor [/idc]"),
        ("\u0627\u0648\u0631\u0645 \u05e8", "\u0627\u0648\u0631\u0645 \u05e8"),
    ],
)
def test_names_of_classes_work_on_no_terminal_and_can_be_written(tmp_path, name, shown):
    said = {"classification": {"name": name}, "name": name, "objectType": name}
    feature = {"type": "Feature", "properties": said}
    feature["geometry"] = {"type": "Polygon", "coordinates": [TRIANGLE]}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(feature))
    (one,), _ = geojson.read(path)
    assert (one.class_name, one.name, one.kind) == (shown, shown, shown)
    geojson.write(tmp_path / "b.geojson", [one], {}, kinds.geojson("outlines"))
    (again,), _ = geojson.read(tmp_path / "b.geojson")
    assert again.class_name == shown
    shown.encode()


@pytest.mark.parametrize(
    "text", ["Geschwu\u0308r", "GESCHW\u00dcR", "\uff27eschw\u00fcr", "Geschw\u00fcr "]
)
def test_names_are_the_same_however_their_letters_are_made(text):
    assert ClassTable({"Geschw\u00fcr": "IDC"})(text) == "IDC"


def square(x, y, side):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


@pytest.mark.parametrize(
    ("polygons", "area"),
    [
        ([[square(0, 0, 10), square(2, 2, 2)]], 96),
        ([[square(0, 0, 10), square(20, 20, 2)]], 100),
        ([[square(0, 0, 10), square(8, 8, 4)]], 96),
        ([[square(0, 0, 10), square(0, 0, 2)]], 96),
        ([[square(0, 0, 10), square(2, 2, 6), square(4, 4, 2)]], 64),
        ([[square(0, 0, 10), square(2, 2, 4), square(4, 4, 4)]], 72),
        ([[square(0, 0, 10), square(10, 10, 4), square(1, 1, 1)]], 99),
        ([[square(0, 0, 10), square(2, 2, 2)], [square(20, 0, 10), square(22, 2, 3)]], 187),
        ([[square(0, 0, 10), square(2, 2, 6)], [square(4, 4, 2)]], 68),
        ([[square(0, 0, 10), square(2, 2, 6)], [square(1, 1, 8)]], 100),
        ([[square(0, 0, 10), square(30, 30, 2)], [square(5, 0, 10)]], 150),
        ([[square(0, 0, 10), [[3, 3], [7, 7], [7, 3], [3, 7], [3, 3]]]], 92),
    ],
)
def test_a_hole_takes_away_and_never_adds(tmp_path, polygons, area):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "MultiPolygon", "coordinates": polygons}))
    (one,), _ = geojson.read(path)
    assert one.geometry.is_valid
    assert one.geometry.area == pytest.approx(area)
    corners = [[np.array(ring)[:-1, ::-1] for ring in rings] for rings in polygons]
    assert geojson.outline(corners).area == pytest.approx(area)


def test_a_measurement_that_no_float_can_be_is_left_out(tmp_path):
    path = tmp_path / "a.geojson"
    said = {"measurements": {"huge": 10**400, "area": 5}}
    geometry = {"type": "Polygon", "coordinates": [TRIANGLE]}
    path.write_text(json.dumps({"type": "Feature", "geometry": geometry, "properties": said}))
    (one,), _ = geojson.read(path)
    assert one.measurements == {"area": 5.0}
