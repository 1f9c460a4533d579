"""Segmentation of slides: each nucleus once, where it is, whatever the tiles; how it ends."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from slides_of_nuclei import (
    PURPLE,
    ByQuadrant,
    DarkIsNucleus,
    found,
    paint,
    slide,
)

from napari_pathogan.engine.events import Finished, Progress, Tile, Warn
from napari_pathogan.errors import (
    NoTissueError,
    SlideFormatError,
    SlideReadError,
    UnknownScaleError,
)
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei import canvas, plan
from napari_pathogan.tasks.nuclei.export import read_table, write_csv
from napari_pathogan.tasks.nuclei.model import NucleiModel
from napari_pathogan.tasks.nuclei.predict import UNetSegmenter, label_grid, segment

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("two_threads")


def overlap(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The best intersection over union of each of their nuclei with one of ours."""
    many = int(theirs.max()) + 1
    pairs = np.bincount(
        (ours.astype(np.int64) * many + theirs).ravel(), minlength=(int(ours.max()) + 1) * many
    ).reshape(-1, many)
    union = pairs.sum(1)[:, None] + pairs.sum(0) - pairs
    return (pairs / np.maximum(union, 1))[1:, 1:].max(0)


@pytest.fixture
def small_tiles(monkeypatch):
    """Many tiles even on small images."""
    monkeypatch.setattr(plan, "SMALL_PX", 192)
    monkeypatch.setattr(plan, "LARGE_PX", 192)


@pytest.fixture(scope="module")
def foreign() -> Slide:
    """An odd-sized slide of half the model's scale."""
    return slide(paint((531, 613), 420, radius=(4, 7)), 0.5)


def test_tiles_leave_no_trace(foreign, small_tiles):
    segmenter = DarkIsNucleus()
    result = found(foreign, segmenter)
    assert len(segmenter.seen) == 6 * 7
    whole = segmenter.labels(foreign.resampled((0, 0), (0.5, 0.5), (1062, 1226)))
    np.testing.assert_array_equal(result.labels > 0, whole > 0)
    assert len(result) == whole.max() == len(np.unique(result.labels)) - 1
    assert overlap(result.labels, whole).min() == 1


def test_a_piece_where_somebody_looks_comes_first_and_changes_nothing(foreign, small_tiles):
    whole = found(foreign, DarkIsNucleus())
    events = list(segment(foreign, DarkIsNucleus(), near=(260.0, 300.0)))
    first, result = next(e for e in events if isinstance(e, Tile)), events[-1].result
    height, width = first.data.shape
    assert max(height, width) <= plan.FIRST_PX + 32
    assert abs(first.row + height / 2 - 520) < 64
    assert abs(first.col + width / 2 - 600) < 64
    np.testing.assert_array_equal(result.labels > 0, whole.labels > 0)
    assert len(result) == len(whole)
    assert overlap(result.labels, whole.labels).min() == 1
    assert result.area_mm2 == pytest.approx(whole.area_mm2)


class Remembering(UNetSegmenter):
    """Keeps what it was tuned to."""

    def tuned(self, sample):
        self.last = super().tuned(sample)
        return self.last


def test_tiles_leave_no_trace_with_the_embedded_network(small_tiles):
    phantom = resources.files("napari_pathogan.plugin") / "sample_data" / "he_phantom_40x.ome.tif"
    with Slide.open(str(phantom)) as opened:
        image = np.asarray(opened.levels[0][:411, :497])
    segmenter = Remembering(NucleiModel.load(device="cpu"))
    result = found(slide(image), segmenter)
    whole = segmenter.last.labels(image)
    assert whole.max() > 30
    assert len(result) == whole.max()
    best = overlap(result.labels, whole)
    assert (best > 0.99).mean() > 0.99
    assert ((result.labels > 0) != (whole > 0)).mean() < 1e-4


def test_tiles_that_disagree_still_give_each_nucleus_once(small_tiles):
    class Wobbly(DarkIsNucleus):
        """Outlines depend on the tile."""

        def labels(self, image):
            grown = len(self.seen) % 2
            labels = super().labels(image)
            shifted = np.roll(labels, 2 * grown, 1)
            shifted[:, : 2 * grown] = 0
            return shifted

    spots = np.full((800, 900, 3), (222, 150, 190), np.uint8)
    for row in range(30, 780, 36):
        for col in range(30, 880, 36):
            spots[row : row + 16, col : col + 16] = PURPLE
    result = found(slide(spots), Wobbly())
    assert len(result) == 21 * 24
    areas = np.bincount(result.labels.ravel())[1:]
    np.testing.assert_allclose(result.table["area_um2"], areas / 16)
    assert areas.min() >= 16 * 12


def test_one_table_row_and_one_box_a_nucleus(foreign, small_tiles):
    result = found(foreign, DarkIsNucleus())
    table = result.table
    np.testing.assert_array_equal(table["id"], np.arange(1, len(table) + 1))
    for nucleus in (1, len(table) // 2, len(table)):
        rows, cols = np.nonzero(result.labels == nucleus)
        own = result.nucleus(nucleus)
        assert own["area_um2"] == pytest.approx(len(rows) / 16)
        assert own["y_px"] == pytest.approx((rows.mean() + 0.5) / 2 - 0.5)
        assert own["x_um"] == pytest.approx((cols.mean() + 0.5) / 4)
        box = (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
        assert tuple(result.boxes[result.row(nucleus)]) == box
    assert result.area_mm2 == pytest.approx(531 * 613 * 0.25e-6, rel=1e-6)
    assert result.density == pytest.approx(len(table) / result.area_mm2)


@pytest.mark.parametrize("mpp", [0.25, 0.5, (0.21, 0.34)])
def test_labels_lie_exactly_on_the_slide(mpp):
    """Markers in the corners, to half a pixel."""
    image = np.full((641, 807, 3), (222, 150, 190), np.uint8)
    places = [(20, 30), (20, 770), (610, 30), (610, 770)]
    for y, x in places:
        image[y - 10 : y + 11, x - 10 : x + 11] = PURPLE
    result = found(slide(image, mpp), DarkIsNucleus())
    assert len(result) == 4
    centres = result.table[["y_px", "x_px"]].to_numpy()
    for place in places:
        assert np.abs(centres - place).max(1).min() < 0.5
        assert result.at(*place) is not None
        outline = next(result.outlines([result.at(*place)])).exteriors[0]
        np.testing.assert_allclose(outline.min(0), np.subtract(place, 10.5), atol=0.75)
        np.testing.assert_allclose(outline.max(0), np.add(place, 10.5), atol=0.75)
    assert result.at(300, 400) is None
    scale, translate = result.overlay.affine()
    row, col = np.argwhere(result.labels == result.at(*places[3])).mean(0)
    assert (row * scale[0] + translate[0], col * scale[1] + translate[1]) == pytest.approx(
        places[3], abs=0.5
    )


def test_a_region_has_the_nuclei_of_the_whole_slide(foreign, small_tiles):
    whole, region = found(foreign, DarkIsNucleus()), Region(101, 203, 210, 190)
    part = found(foreign, DarkIsNucleus(), region)
    centres = whole.table[["y_px", "x_px"]].to_numpy() + 0.5
    inside = ((centres >= (101, 203)) & (centres < (311, 393))).all(1)
    ours, theirs = (
        t.sort_values(["y_px", "x_px"])[["y_px", "x_px", "area_um2", "solidity"]].to_numpy()
        for t in (part.table, whole.table[inside])
    )
    np.testing.assert_allclose(ours, theirs)
    assert part.region == region
    assert part.area_mm2 == pytest.approx(210 * 190 * 0.25e-6, rel=0.03)
    nucleus = int(part.table["id"].iloc[0])
    assert whole.at(*part.table.loc[0, ["y_px", "x_px"]]) is not None
    assert part.around(nucleus).y >= 101 - 16


def test_polygons_choose_nuclei_by_their_centroids(foreign):
    triangle = np.array([[0, 0], [0, 400], [400, 0]], float) - 0.5
    result = found(foreign, DarkIsNucleus(), polygons=[triangle])
    assert len(result) > 20
    assert (result.table["y_px"] + result.table["x_px"] < 400).all()
    assert result.region == Region(0, 0, 400, 400)
    assert result.area_mm2 == pytest.approx(80_000 * 0.25e-6, rel=0.03)


def test_events_tell_the_story_nearest_first(foreign, small_tiles):
    events = list(segment(foreign, DarkIsNucleus(), near=(520.0, 600.0)))
    grid = label_grid(foreign, DarkIsNucleus())
    tiles = [e for e in events if isinstance(e, Tile)]
    assert {t.layer for t in tiles} == {"nuclei", "classes"}
    assert tiles[0].row > grid.shape[0] - 220
    assert tiles[0].col > grid.shape[1] - 220
    painted = np.zeros(grid.shape, np.int32)
    for tile in (t for t in tiles if t.layer == "nuclei"):
        height, width = tile.data.shape
        painted[tile.row : tile.row + height, tile.col : tile.col + width] = tile.data
    np.testing.assert_array_equal(painted, events[-1].result.labels)
    steps = [e for e in events if isinstance(e, Progress)]
    assert steps[-1].done == steps[-1].total == 42
    assert steps[-1].eta_s == 0
    assert isinstance(events[-1], Finished)
    summary = json.loads(json.dumps(events[-1].summary, allow_nan=False))
    assert summary["n_nuclei"] == len(events[-1].result)
    assert summary["classes"]["nucleus"]["n"] == summary["n_nuclei"]
    assert summary["mpp_source"] == "user"


def test_only_tissue_is_looked_at(small_tiles):
    image = paint((800, 1300), 100, glass=500)
    image[400:410, 1100:1110] = (90, 90, 90)  # dust
    segmenter = DarkIsNucleus()
    result = found(slide(image, 0.5), segmenter)
    assert len(segmenter.seen) < 9 * 14 * 0.75
    assert result.table["x_px"].max() < 800
    assert result.area_mm2 == pytest.approx(800 * 800 * 0.25e-6, rel=0.03)


def test_classes_come_with_the_tiles(small_tiles):
    image = paint((500, 600), 120, seed=3)
    events = list(segment(slide(image), DarkIsNucleus(), classifier=ByQuadrant()))
    result = events[-1].result
    assert result.class_names == ("dense", "pale")
    assert min(result.counts().values()) > 5
    assert sum(result.counts().values()) == len(result)
    table = result.table
    dark = [
        image[round(y), round(x)].mean() < 100
        for y, x in zip(table["y_px"], table["x_px"], strict=True)
    ]
    assert (np.array(dark) == (table["class"] == "dense")).mean() > 0.9
    np.testing.assert_allclose(table["class_probability"], 0.9, atol=1e-6)
    np.testing.assert_allclose(table["p_dense"] + table["p_pale"], 1, atol=1e-6)
    tile = next(e for e in events if isinstance(e, Tile) and e.layer == "classes")
    assert set(np.unique(tile.data)) <= {0, 1, 2}
    np.testing.assert_array_equal(result.class_image() > 0, result.labels > 0)


def test_large_labels_lie_on_disk_and_are_the_same(foreign, small_tiles, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    in_memory = found(foreign, DarkIsNucleus())
    monkeypatch.setattr(canvas.Canvas.__init__, "__kwdefaults__", {"in_memory_px": 1000})
    on_disk = found(foreign, DarkIsNucleus())
    assert list(tmp_path.iterdir())
    assert on_disk.labels.shape == in_memory.labels.shape
    np.testing.assert_array_equal(on_disk.labels[:], in_memory.labels)
    np.testing.assert_array_equal(
        on_disk.class_image()[100:200, :50], in_memory.labels[100:200, :50] > 0
    )
    ours, theirs = (
        [o.exteriors[0] for o in sorted(r.outlines(), key=lambda o: o.id)]
        for r in (on_disk, in_memory)
    )
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    del on_disk
    assert not list(tmp_path.iterdir())


class Slow(DarkIsNucleus):
    """Its first tiles come at once, the others when it may go on."""

    def __init__(self, at_once=1):
        super().__init__()
        self.at_once, self.go = iter(range(at_once)), threading.Event()

    def labels(self, image):
        if next(self.at_once, None) is None:
            self.go.wait(60)
        return super().labels(image)


def at_work():
    return [thread for thread in threading.enumerate() if "pathogan-tiles" in thread.name]


def test_cancel_in_the_middle_leaves_nothing(foreign, small_tiles, monkeypatch, tmp_path):
    slow = Slow()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(canvas.Canvas.__init__, "__kwdefaults__", {"in_memory_px": 1000})
    cores = torch.get_num_threads()
    events = segment(foreign, slow)
    next(e for e in events if isinstance(e, Tile))
    assert list(tmp_path.iterdir())
    spent = time.thread_time()
    events.close()
    assert time.thread_time() - spent < 0.2
    assert at_work()  # the tile under way is not waited for
    assert not list(tmp_path.iterdir())
    slow.go.set()
    for thread in at_work():
        thread.join(60)
    assert not at_work()
    assert torch.get_num_threads() == cores


def test_it_answers_while_a_tile_takes_long(foreign):
    slow = Slow(at_once=0)
    for answers, event in enumerate(segment(foreign, slow)):
        if answers > 5:
            slow.go.set()
        if isinstance(event, Tile):
            break
    assert slow.go.is_set()


def test_tissue_without_nuclei_has_none():
    events = list(segment(slide(paint((300, 400), 0)), DarkIsNucleus()))
    result = events[-1].result
    assert len(result) == 0
    assert result.labels.max() == 0
    assert str(result) == "no nuclei"
    assert result.counts() == {"nucleus": 0}
    assert result.densities() == {"nucleus": 0.0}
    assert list(result.outlines()) == []
    assert result.area_mm2 > 0
    assert set(result.table.columns) >= {"id", "x_um", "class", "haematoxylin_mean"}
    assert json.loads(json.dumps(events[-1].summary, allow_nan=False))["n_nuclei"] == 0


def test_one_nucleus():
    image = np.full((200, 200, 3), (222, 150, 190), np.uint8)
    image[90:110, 90:112] = PURPLE
    result = found(slide(image), DarkIsNucleus(), classifier=ByQuadrant())
    assert len(result) == 1
    assert result.nucleus(1)["area_um2"] == pytest.approx(20 * 22 / 16)


def test_unknown_scale_says_what_to_pass():
    with pytest.raises(UnknownScaleError, match="--mpp"):
        next(segment(slide(paint((200, 200), 3), None), DarkIsNucleus()))


def test_grey_slides_are_refused():
    with pytest.raises(SlideFormatError, match="grey"):
        next(segment(slide(paint((200, 200), 3)[..., 0]), DarkIsNucleus()))


def test_no_tissue(foreign):
    with pytest.raises(NoTissueError, match="no tissue found on phantom"):
        list(segment(slide(np.full((3000, 3000, 3), 245, np.uint8)), DarkIsNucleus()))
    with pytest.raises(NoTissueError, match="no tissue found on phantom"):
        list(segment(slide(np.full((300, 300, 3), 245, np.uint8)), DarkIsNucleus()))
    image = paint((1000, 1600), 50, glass=800)
    with pytest.raises(NoTissueError, match="no tissue found in this region"):
        list(segment(slide(image, 0.5), DarkIsNucleus(), Region(10, 1200, 200, 200)))
    with pytest.raises(NoTissueError, match="beyond phantom, which has 613 x 531 px"):
        list(segment(foreign, DarkIsNucleus(), Region(600, 0, 100, 100)))


def test_a_coarse_slide_is_warned_of(foreign):
    events = list(segment(foreign, DarkIsNucleus()))
    assert "0.5 um per pixel" in next(e for e in events if isinstance(e, Warn)).message
    assert any("0.5 um" in note for note in events[-1].result.notes)


def test_a_slide_far_coarser_than_the_model_is_asked_about():
    events = segment(slide(paint((60, 60), 3), 25.0), DarkIsNucleus())
    said = next(event for event in events if isinstance(event, Warn)).message
    assert "enlarged 100 times" in said
    assert said.endswith("Is that scale right?")


def test_an_error_in_the_model_comes_out(foreign):
    class Broken(DarkIsNucleus):
        def labels(self, image):
            msg = "out of memory"
            raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="out of memory"):
        list(segment(foreign, Broken()))


def damaged(path: Path, *, tiles) -> Path:
    """Write a tiled TIFF and spoil some of its tiles."""
    options = {"tile": (256, 256), "photometric": "rgb", "compression": "zlib"}
    tifffile.imwrite(path, paint((1024, 1024), 300), **options)
    with tifffile.TiffFile(path) as tif:
        places = list(zip(tif.pages[0].dataoffsets, tif.pages[0].databytecounts, strict=True))
    with path.open("r+b") as stream:
        for offset, count in (places[tile] for tile in tiles):
            stream.seek(offset)
            stream.write(b"\xff" * count)
    return path


def test_nuclei_of_a_synthetic_picture_say_so_in_the_table_too(foreign, tmp_path):
    assert not any("ynthetic" in note for note in found_on(foreign).notes)
    foreign.metadata |= {
        "synthetic": True,
        "stain_slide": "a.b.svs",
        "stain_colours_of": "06_1.png",
    }
    nuclei = found_on(foreign)
    assert "a.b.svs in the colours of 06_1.png" in nuclei.notes[0]
    write_csv(tmp_path / "n.csv", nuclei)
    rows = pd.read_csv(tmp_path / "n.csv")
    assert rows["notes"].str.startswith("Synthetic picture (a.b.svs in the colours of").all()
    table, _ = read_table(tmp_path / "n.csv")
    assert "notes" not in table


def found_on(slide):
    return list(segment(slide, DarkIsNucleus()))[-1].result


def test_an_unreadable_tile_is_left_out_and_said(tmp_path):
    path = damaged(tmp_path / "damaged.tif", tiles=[5])  # px 256 to 512 both ways
    with Slide.open(path, mpp=0.5) as opened:
        events = list(segment(opened, DarkIsNucleus()))
    warned = [e.message for e in events if isinstance(e, Warn)]
    assert "can't be read" in warned[-1]
    result = events[-1].result
    assert result.notes[-1] == warned[-1]
    inside = result.table[["y_px", "x_px"]].apply(lambda c: c.between(262, 505)).all(axis=1)
    assert not inside.any()
    assert len(result) > 100
    assert result.area_mm2 == pytest.approx((1024**2 - 256**2) * 0.25e-6, rel=0.01)


def test_nothing_readable_is_an_error(tmp_path):
    path = damaged(tmp_path / "damaged.tif", tiles=range(16))
    with (
        Slide.open(path, mpp=0.5) as opened,
        pytest.raises((NoTissueError, SlideReadError), match=r"damaged\.tif"),
    ):
        list(segment(opened, DarkIsNucleus()))
