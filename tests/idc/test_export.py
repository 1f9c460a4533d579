"""What is saved says what it is, lands on the slide, and is whole or not there at all."""

from __future__ import annotations

import csv
import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import zarr
from PIL import Image
from stand_ins import DarkIsIdc, paint, slide

from napari_pathogan.engine.models import TrainingData
from napari_pathogan.errors import OutputError
from napari_pathogan.tasks.idc import export
from napari_pathogan.tasks.idc.heatmap import AFTER_ANNOTATIONS, SCOPE
from napari_pathogan.tasks.idc.page import draw, write_report
from napari_pathogan.tasks.idc.predict import predict


@pytest.fixture(scope="module")
def found():
    return list(predict(slide(), DarkIsIdc()))[-1].result


def test_zarr_holds_the_maps_and_their_story(tmp_path, found):
    path = tmp_path / "map.ome.zarr"
    export.write_zarr(path, found)
    group = zarr.open_group(path, mode="r")
    for name in ("probability", "uncertainty", "tissue"):
        np.testing.assert_array_equal(group[f"{name}/0"][:], getattr(found, name).data)
    steps = group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert steps == [
        {"type": "scale", "scale": [200.0, 200.0]},
        {"type": "translation", "translation": [98.0, 98.0]},
    ]
    about = group.attrs["pathogan"]
    assert about["slide"] == "phantom"
    assert about["mpp"] == [4.0, 4.0]
    assert about["mpp_source"] == "user"
    assert about["model_sha256"] == "0a" * 32
    assert about["threshold"] == 0.5
    assert about["idc_mm2"]["value"] == pytest.approx(found.area().idc_mm2.value)
    assert "napari-pathogan" in about["versions"]
    export.write_zarr(path, replace(found, telling=((3, 4), (1, 2))))
    assert export.read_zarr(path).telling == ((3, 4), (1, 2)), "where to go next is known again"


def test_geojson_is_what_qupath_reads(tmp_path, found):
    path = tmp_path / "map.geojson"
    export.write_geojson(path, found)
    collection = json.loads(path.read_text())
    assert collection["type"] == "FeatureCollection"
    (feature,) = collection["features"]
    assert feature["properties"]["objectType"] == "annotation"
    assert feature["properties"]["classification"] == {"name": "IDC", "color": [200, 0, 60]}
    assert feature["properties"]["measurements"]["IDC area mm^2"] == pytest.approx(3.84, rel=0.05)
    (ring,) = feature["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    x, y = np.array(ring).T  # QuPath counts pixels from the slide's corner, x first
    assert (x.min(), y.min(), x.max(), y.max()) == (500, 400, 1100, 800)


def test_geojson_with_cells_and_holes(tmp_path, found):
    holed = replace(
        found, probability=replace(found.probability, data=found.probability.data.copy())
    )
    holed.probability.data[10:12, 14:16] = 0.1
    path = tmp_path / "map.geojson"
    export.write_geojson(path, holed, cells=True)
    annotation, *tiles = json.loads(path.read_text())["features"]
    assert len(annotation["geometry"]["coordinates"]) == 2
    assert len(tiles) == found.area().n_cells
    assert {t["properties"]["objectType"] for t in tiles} == {"tile"}
    idc = [t for t in tiles if "classification" in t["properties"]]
    assert len(idc) == annotation["properties"]["measurements"]["Cells"]
    assert tiles[0]["geometry"]["coordinates"][0][0] == [200, 200]


def test_csv_has_a_row_a_cell(tmp_path, found):
    path = tmp_path / "map.csv"
    export.write_csv(path, found)
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    more = ("scope", "model", "refitted", "notes")
    assert tuple(rows[0]) == (*export.COLUMNS, "imprint", "origin_y_px", "origin_x_px", *more)
    assert len(rows) == found.area().n_cells
    assert rows[0]["slide"] == "phantom"
    assert {row["scope"] for row in rows} == {SCOPE}
    first = {k: float(v) for k, v in rows[0].items() if k not in {"slide", "imprint", *more}}
    assert (first["x_px"], first["y_px"], first["cell_um"]) == (224.5, 224.5, 200)
    assert first["threshold"] == 0.5
    assert (first["row"], first["col"], first["x_um"], first["y_um"]) == (4, 4, 900, 900)
    assert first["probability"] == pytest.approx(float(found.probability.data[4, 4]), abs=1e-5)


def test_report_page(tmp_path, found):
    path = tmp_path / "page.png"
    write_report(path, found, slide())
    with Image.open(path) as page:
        assert page.size == (1240, 1753)  # A4 at 150 dpi
        colours = np.asarray(page.convert("RGB"))
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) > 1000


@pytest.mark.parametrize("shape", [(3000, 500), (400, 3000), (200, 200)])
def test_nothing_on_the_page_is_cut_or_overlaps(shape):
    height, width = shape
    image = paint(shape, (0, 0, height, width), (100, 100, height - 50, width - 50))
    layers = list(predict(slide(image), DarkIsIdc()))[-1].result
    layers = replace(
        layers,
        slide="a-rather-long-name-of-a-slide-" * 4 + ".svs",
        model_line="A model with a title of many words that goes on and on " * 3,
        notes=("A tile at row 3, column 8 of level 0 can't be read and is left blank " * 2,) * 3,
    )
    figure = draw(layers, slide(image))
    figure.canvas.draw()
    page = figure.bbox
    boxes = [text.get_window_extent() for text in figure.texts]
    boxes += [axes.get_tightbbox() for axes in figure.axes]
    for box in boxes:
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
    for i, first in enumerate(boxes):
        for second in boxes[i + 1 :]:
            assert not (
                min(first.x1, second.x1) - max(first.x0, second.x0) > 1
                and min(first.y1, second.y1) - max(first.y0, second.y0) > 1
            ), (first, second)


WRITERS = {
    "zarr": lambda path, found: export.write_zarr(path, found),
    "geojson": lambda path, found: export.write_geojson(path, found),
    "csv": lambda path, found: export.write_csv(path, found),
    "report": lambda path, found: write_report(path, found, slide()),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_in_the_way_is_named(tmp_path, found, kind):
    (tmp_path / "file").write_text("keep me")
    with pytest.raises(OutputError, match="part of the path is a file"):
        WRITERS[kind](tmp_path / "file" / "out", found)
    assert (tmp_path / "file").read_text() == "keep me"


@pytest.mark.parametrize("kind", ["geojson", "csv", "report"])
def test_a_full_disk_leaves_the_old_file(tmp_path, found, kind, monkeypatch):
    path = tmp_path / "out"
    WRITERS[kind](path, found)
    before = path.read_bytes()

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        WRITERS[kind](path, found)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_map(tmp_path, found, monkeypatch):
    path = tmp_path / "out.ome.zarr"
    export.write_zarr(path, found)
    before = sorted(p.relative_to(path) for p in path.rglob("*"))

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zarr.Group, "create_array", full)
    with pytest.raises(OutputError, match="the disk is full"):
        export.write_zarr(path, found)
    assert sorted(p.relative_to(path) for p in path.rglob("*")) == before
    assert list(tmp_path.iterdir()) == [path]


def words_of(page):
    """All that stands on a report page, in one line."""
    return " ".join(" ".join(text.get_text() for text in page.texts).split())


def test_a_map_of_a_refitted_model_says_so_and_has_no_interval_wherever_it_goes(tmp_path, found):
    dark = DarkIsIdc()
    learnt = TrainingData(name="others", patients=("phantom",))
    card = dark.card.model_copy(update={"training_data": (learnt,)})
    made = replace(dark, refitted=AFTER_ANNOTATIONS, card=card)
    heat = list(predict(slide(), made))[-1].result
    (note,) = heat.notes
    assert note.startswith("An image of this name was among those that dark has learnt from")
    export.write_zarr(tmp_path / "map.ome.zarr", heat)
    export.write_csv(tmp_path / "map.csv", heat)
    export.write_geojson(tmp_path / "map.geojson", heat)
    about = json.loads((tmp_path / "map.geojson").read_text())
    assert AFTER_ANNOTATIONS in json.dumps(about)
    kept = export.read_zarr(tmp_path / "map.ome.zarr"), export.read_csv(tmp_path / "map.csv")
    for one in (heat, *kept):
        assert one.refitted == AFTER_ANNOTATIONS
        assert one.model_line.startswith(f"Dark is IDC ({AFTER_ANNOTATIONS}), weights 0a0a")
        assert one.notes == (note,)
        area = one.area()
        assert area.share.value == pytest.approx(found.area().share.value, abs=1e-3)
        assert (area.share.low, area.share.high, area.idc_mm2.low) == (None, None, None)
        assert str(area).endswith("% of the tissue")
        page = words_of(draw(one, slide()))
        assert AFTER_ANNOTATIONS in page
        assert note in page
        assert "without an interval" in page
        assert "95 %" not in page
    assert "95 % interval" in words_of(draw(found, slide()))


def test_maps_of_earlier_versions_open(tmp_path, found):
    export.write_zarr(tmp_path / "map.ome.zarr", found)
    group = zarr.open_group(tmp_path / "map.ome.zarr", mode="a")
    about = dict(group.attrs["pathogan"])
    del about["refitted"]
    group.attrs["pathogan"] = about
    export.write_csv(tmp_path / "whole.csv", found)
    with (tmp_path / "whole.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = [name for name in rows[0] if name not in {"model", "refitted", "notes"}]
    with (tmp_path / "map.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    assert export.CSV.marked(tmp_path / "map.csv")
    for one in (export.read_zarr(tmp_path / "map.ome.zarr"), export.read_csv(tmp_path / "map.csv")):
        assert (one.refitted, one.notes) == ("", ())
        assert one.area().share.low == pytest.approx(found.area().share.low, abs=1e-3)


@pytest.mark.parametrize("origin", [(0.0, 0.0), (512.0, 768.0), (0.0, 3.0)])
def test_a_table_says_where_pixels_are_counted_from(tmp_path, found, origin):
    """So that outlines saved from it lie in QuPath where those of the map lie."""
    laid = replace(found, origin=origin)
    export.write_csv(tmp_path / "map.csv", laid)
    back = export.read_csv(tmp_path / "map.csv")
    assert back.origin == origin
    for name, one in (("map", laid), ("back", back)):
        export.write_geojson(tmp_path / f"{name}.geojson", one)
    first, second = (
        json.loads((tmp_path / f"{name}.geojson").read_text())["features"][0]["geometry"]
        for name in ("map", "back")
    )
    assert np.allclose(first["coordinates"], second["coordinates"], atol=0.05)
