"""Saved nuclei, read back as others read them."""

from __future__ import annotations

import errno
import json
import time

import numpy as np
import pandas as pd
import pytest
import shapely
import zarr
from slides_of_nuclei import ByQuadrant, DarkIsNucleus, found, paint, slide

from napari_pathogan.errors import OutputError
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.polygons import signed_area
from napari_pathogan.tasks.nuclei import export
from napari_pathogan.tasks.nuclei.outlines import NucleusOutline, trace
from napari_pathogan.tasks.nuclei.segmentation import COLUMNS, NUCLEUS, SCOPE, Segmentation

WRITERS = {
    "nuclei.ome.zarr": export.write_zarr,
    "nuclei.csv": export.write_csv,
    "nuclei.parquet": export.write_parquet,
    "nuclei.geojson": export.write_geojson,
}


@pytest.fixture(scope="module")
def segmentation():
    """Nuclei with classes of a region at a scale and place of its own."""
    image = paint((400, 500), 80, radius=(4, 7))
    return found(
        slide(image, (0.5, 0.4)), DarkIsNucleus(), Region(40, 60, 300, 400), classifier=ByQuadrant()
    )


def test_labels_as_ome_zarr(segmentation, tmp_path):
    path = tmp_path / "nuclei.ome.zarr"
    export.write_zarr(path, segmentation)
    root = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(root["nuclei/0"][:], segmentation.labels)
    assert root["nuclei/0"].dtype == np.int32
    np.testing.assert_array_equal(root["classes/0"][:], segmentation.class_image())
    (data,) = root["nuclei"].attrs["ome"]["multiscales"][0]["datasets"]
    scale, translate = (step for step in data["coordinateTransformations"])
    ours = segmentation.overlay.affine(segmentation.mpp)
    assert scale["scale"] == pytest.approx(ours[0])
    assert scale["scale"] == pytest.approx([0.25, 0.25])
    assert translate["translation"] == pytest.approx(ours[1])
    row, col = np.argwhere(segmentation.labels == 1).mean(0)
    centre = segmentation.nucleus(1)
    assert row * scale["scale"][0] + translate["translation"][0] == pytest.approx(
        centre["y_px"] * 0.5
    )
    assert col * scale["scale"][1] + translate["translation"][1] == pytest.approx(
        centre["x_px"] * 0.4
    )
    about = root.attrs["pathogan"]
    assert about["kind"] == "nuclei"
    assert about["n_nuclei"] == len(segmentation)
    assert about["class_names"] == ["dense", "pale"]
    assert about["region"] == [40, 60, 300, 400]
    assert "numpy" in about["versions"]


def test_tables(segmentation, tmp_path):
    export.write_csv(tmp_path / "nuclei.csv", segmentation)
    export.write_parquet(tmp_path / "nuclei.parquet", segmentation)
    csv, parquet = (
        pd.read_csv(tmp_path / "nuclei.csv"),
        pd.read_parquet(tmp_path / "nuclei.parquet"),
    )
    pd.testing.assert_frame_equal(parquet, segmentation.table)
    assert parquet.attrs["pathogan"]["n_nuclei"] == len(segmentation)
    assert [
        x for x in csv if x not in {"class_colour", "slide", "imprint", "scope", "notes"}
    ] == list(segmentation.table)
    colours = dict(zip(segmentation.class_names, segmentation.class_colours, strict=True))
    assert csv["class_colour"].tolist() == [colours[name] for name in csv["class"]]
    assert set(csv["slide"]) == {"phantom"}
    assert set(csv["scope"]) == {SCOPE}
    assert csv["class"].tolist() == segmentation.table["class"].tolist()
    for column in ("x_um", "y_px", "area_um2", "solidity", "class_probability", "p_dense"):
        np.testing.assert_allclose(csv[column], segmentation.table[column], atol=1e-4)


def test_geojson_as_qupath_reads_it(segmentation, tmp_path):
    path = tmp_path / "nuclei.geojson"
    export.write_geojson(path, segmentation)
    content = json.loads(path.read_text())
    assert content["type"] == "FeatureCollection"
    assert content["pathogan"]["slide"] == "phantom"
    assert len(content["features"]) == len(segmentation)
    for feature in content["features"]:
        about, geometry = feature["properties"], feature["geometry"]
        own = segmentation.nucleus(int(about["name"]))
        assert about["objectType"] == "detection"
        assert about["classification"]["name"] == own["class"]
        colour = {"dense": [214, 39, 40], "pale": [31, 119, 180]}[own["class"]]
        assert about["classification"]["color"] == colour
        measured = about["measurements"]
        assert measured["Area um^2"] == pytest.approx(own["area_um2"], abs=1e-4)
        assert measured["Probability dense"] == pytest.approx(own["p_dense"], abs=1e-4)
        assert measured["Class probability"] == pytest.approx(0.9, abs=1e-4)
        assert geometry["type"] == "Polygon"
        ring = np.array(geometry["coordinates"][0])
        assert ring[0].tolist() == ring[-1].tolist()
        area = signed_area(ring[:-1, ::-1]) * 0.5 * 0.4
        assert area == pytest.approx(own["area_um2"], rel=0.01)
        middle = (ring.min(0) + ring.max(0)) / 2 - 0.5
        assert np.abs(middle - own[["x_px", "y_px"]].to_numpy(float)).max() < 2


def test_parts_and_holes_are_kept():
    square = np.array([[0, 0], [0, 4], [4, 4], [4, 0]], float)
    hole = np.array([[1, 1], [2, 1], [2, 2], [1, 2]], float)
    one = json.loads(
        shapely.to_geojson(*export.geometries([NucleusOutline(1, (square,), (hole,))]))
    )
    assert one["type"] == "Polygon"
    assert [len(ring) for ring in one["coordinates"]] == [5, 5]
    assert one["coordinates"][0][1] == [4.5, 0.5]
    two = json.loads(
        shapely.to_geojson(*export.geometries([NucleusOutline(1, (square, square + 9))]))
    )
    assert two["type"] == "MultiPolygon"
    assert np.array(two["coordinates"]).shape == (2, 1, 5, 2)


def test_without_classes_there_is_no_class_image(tmp_path):
    result = found(slide(paint((200, 200), 20)), DarkIsNucleus())
    for name, write in WRITERS.items():
        write(tmp_path / name, result)
    assert list(zarr.open_group(tmp_path / "nuclei.ome.zarr", mode="r")) == ["nuclei"]
    first = json.loads((tmp_path / "nuclei.geojson").read_text())["features"][0]["properties"]
    assert "Class probability" not in first["measurements"]
    assert first["classification"]["name"] == "nucleus"


def test_no_nuclei_can_be_saved_too(tmp_path):
    result = found(slide(paint((200, 200), 0)), DarkIsNucleus())
    for name, write in WRITERS.items():
        write(tmp_path / name, result)
    assert json.loads((tmp_path / "nuclei.geojson").read_text())["features"] == []
    assert len(pd.read_csv(tmp_path / "nuclei.csv")) == 0
    assert len(pd.read_parquet(tmp_path / "nuclei.parquet")) == 0


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_else_is_replaced(segmentation, tmp_path, name):
    for other, write in WRITERS.items():
        write(tmp_path / other, segmentation)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for other in {*WRITERS} - {name}:
        with pytest.raises(OutputError, match=other):
            WRITERS[name](tmp_path / other, segmentation)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    WRITERS[name](tmp_path / name, segmentation)


@pytest.mark.parametrize("name", WRITERS)
def test_written_whole_or_not_at_all(segmentation, tmp_path, name, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OutputError, match="part of the path is a file"):
        WRITERS[name](blocked / name, segmentation)
    target = tmp_path / name
    WRITERS[name](target, segmentation)
    before = sorted(tmp_path.rglob("*"))

    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    monkeypatch.setattr(json, "dumps", fail)
    monkeypatch.setattr(zarr.Group, "create_array", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        WRITERS[name](target, segmentation)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_outline_that_meets_itself_and_holes_of_parts_are_valid_polygons():
    labels = np.zeros((12, 12), np.int32)
    labels[1:6, 1:6] = 1
    labels[2, 2] = labels[3, 3] = labels[5, 5] = 0  # holes that meet, and a corner cut off
    labels[7:11, 7:11] = 1
    labels[8:10, 8:10] = 0
    labels[6, 6] = 1  # joined by its corner alone
    (area,) = export.geometries(list(trace(labels)))
    assert area.is_valid
    assert area.area == (labels == 1).sum()


def test_very_many_nuclei_are_written_in_seconds(tmp_path):
    disc = (np.hypot(*(np.mgrid[:20, :20] - 9.5)) < 8).astype(np.int32)
    n = 150
    labels = np.kron(np.arange(1, n * n + 1, dtype=np.int32).reshape(n, n), disc)
    row, col = np.divmod(np.arange(n * n), n) * np.array([[20]])
    table = pd.DataFrame({name: np.zeros(n * n, np.float32) for name in COLUMNS})
    table["id"], table["corrected"] = np.arange(1, n * n + 1), False
    table["class"] = pd.Categorical([NUCLEUS] * (n * n))
    boxes = np.stack([row, col, row + 20, col + 20], 1).astype(np.int32)
    overlay = Overlay(labels, (0.0, 0.0), (1.0, 1.0))
    many = Segmentation("a", overlay, table, boxes, (0.25, 0.25), 1.0)
    start = time.process_time()
    export.write_geojson(tmp_path / "many.geojson", many)
    assert (time.process_time() - start) / (n * n) < 80e-6
