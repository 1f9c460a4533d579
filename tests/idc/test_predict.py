"""Prediction around a stand-in model: what is scored, where it lands, how it ends."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import torch
from matplotlib.text import Text
from stand_ins import CALIBRATION, PINK, DarkIsIdc, paint, slide

from flat_memory import assert_memory_is_flat
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Finished, Progress, Tile, Warn
from napari_pathogan.errors import (
    ModelError,
    NoTissueError,
    SlideFormatError,
    SlideReadError,
    UnknownScaleError,
)
from napari_pathogan.slides import tissue
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc import export, page
from napari_pathogan.tasks.idc.context import Context
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.network import Discriminator
from napari_pathogan.tasks.idc.predict import heat_map_grid, predict, scale_note

if TYPE_CHECKING:
    from napari_pathogan.tasks.idc.heatmap import HeatMap

pytestmark = pytest.mark.usefixtures("two_threads")


def heat_map(*args, **kwargs) -> HeatMap:
    return list(predict(*args, **kwargs))[-1].result


@pytest.mark.parametrize("mpp", [4.0, (3.7, 4.3)])
def test_the_map_lies_on_the_slide(mpp):
    found = heat_map(slide(mpp=mpp), DarkIsIdc())
    assert found.at(600, 800)[0] > 0.95  # purple
    assert found.at(1200, 1500)[0] < 0.05  # pink
    assert found.at(100, 100) is None  # glass
    assert found.at(5000, 100) is None  # beyond
    pixel = np.prod(found.mpp) * 1e-6
    area = found.area()
    assert area.tissue_mm2 == pytest.approx(1200 * 1600 * pixel, rel=0.02)
    # cells at the rim of the purple rectangle count as a whole or not at all
    assert area.idc_mm2.value == pytest.approx(400 * 600 * pixel, rel=0.2)
    assert area.share.low <= area.share.value <= area.share.high


def test_only_tissue_is_scored_and_cells_are_anchored_at_the_corner():
    found = heat_map(slide(), DarkIsIdc())
    assert found.probability.origin == (0.0, 0.0)
    assert found.probability.step == (50.0, 50.0)
    expected = np.zeros((32, 40), bool)
    expected[4:28, 4:36] = True
    np.testing.assert_array_equal(found.scored, expected)
    np.testing.assert_array_equal(np.isfinite(found.uncertainty.data), expected)


def test_events_tell_the_story_nearest_first():
    events = list(predict(slide(), DarkIsIdc(), near=(1390.0, 1790.0)))
    tiles = [e for e in events if isinstance(e, Tile)]
    assert tiles[0].layer == "probability"
    assert (tiles[0].row, tiles[0].col) == (24, 32)
    assert {t.layer for t in tiles} == {"probability", "uncertainty"}
    assert [t.data.shape for t in tiles[-2:]] == [(32, 40)] * 2
    painted = np.full((32, 40), np.nan, np.float32)
    for tile in tiles[:-2:2]:
        height, width = tile.data.shape
        assert np.isnan(painted[tile.row :, tile.col :][:height, :width]).all()
        painted[tile.row :, tile.col :][:height, :width] = tile.data
    np.testing.assert_allclose(painted, tiles[-2].data, atol=1e-6)  # this model has no context
    steps = [e for e in events if isinstance(e, Progress)]
    assert steps[-1].done == steps[-1].total == 24 * 32
    assert steps[-1].eta_s == 0
    assert isinstance(events[-1], Finished)
    summary = json.loads(json.dumps(events[-1].summary, allow_nan=False))
    assert summary["n_cells"] == 24 * 32
    assert summary["mpp_source"] == "user"
    assert summary["share"]["low"] <= summary["share"]["value"]


def small_model(views: int = 1) -> IdcModel:
    torch.manual_seed(0)
    network = Discriminator(0.1, spectral=False).eval().requires_grad_(requires_grad=False)
    stand_in = DarkIsIdc()
    reference = stand_in.colours(paint())
    context = Context((0.0, 1.0), (0.5, 0.5), CALIBRATION)
    card, device = stand_in.card, choose_device("cpu", "float32")
    return IdcModel(card, network, device, CALIBRATION, context, reference, 1.0, views)


class WithStudent(DarkIsIdc):
    """Its small network calls every patch the same."""

    @property
    def fast(self):
        class Same(DarkIsIdc):
            def logits(self, patches, colours=None):
                return np.full((len(patches), 1), 0.5, np.float32)

        return Same(sigma=self.sigma)


@pytest.mark.parametrize("step", [None, 100])
def test_after_a_first_look_the_model_refines_with_neighbours(step):
    plain = heat_map(slide(), DarkIsIdc(sigma=1), step_um=step)
    events = list(predict(slide(), WithStudent(sigma=1), step_um=step, first_look=True))
    what = [e.what for e in events if isinstance(e, Progress)]
    assert what.index("having a first look at the tissue") < what.index("scoring the tissue")
    heat = events[-1].result
    for name in ("probability", "uncertainty"):
        np.testing.assert_array_equal(getattr(heat, name).data, getattr(plain, name).data)
    shown, scored = np.full(heat.probability.data.shape, np.nan), heat.scored
    tiles = [e for e in events if isinstance(e, Tile) and e.layer == "probability"]
    whole = [i for i, tile in enumerate(tiles) if tile.data.shape == shown.shape]
    first = tiles[whole[0]].data
    assert np.unique(first[scored]).size == 1
    for tile in tiles[whole[0] : -1]:
        part = shown[
            tile.row : tile.row + tile.data.shape[0], tile.col : tile.col + tile.data.shape[1]
        ]
        part[np.isfinite(tile.data)] = tile.data[np.isfinite(tile.data)]
    assert np.array_equal(np.isfinite(shown), scored)
    # what was refined last lay beside what was refined before
    last = tiles[-2]
    own = np.isfinite(last.data)
    final = heat.probability.data[last.row :, last.col :][: own.shape[0], : own.shape[1]]
    np.testing.assert_allclose(last.data[own], final[own], atol=1e-6)
    alone = list(predict(slide(), WithStudent(sigma=1), step_um=step))
    assert "having a first look at the tissue" not in [
        e.what for e in alone if isinstance(e, Progress)
    ]


def test_patches_are_scored_exactly_as_one_by_one():
    model = small_model(views=2)
    image = paint((600, 700), (100, 100, 500, 600), (200, 250, 400, 500))
    found = heat_map(slide(image), model)
    grid = np.full((12, 14, 2), np.nan, np.float32)
    colours = model.colours(image[100:500, 100:600])
    for row, col in zip(*np.nonzero(found.scored), strict=True):
        patch = image[50 * row : 50 * row + 50, 50 * col : 50 * col + 50]
        grid[row, col] = model.logits(patch[None], colours)[0]
    probability, uncertainty = model.heat_map(grid)
    # the colours come from a sample here, from all of the tissue there
    np.testing.assert_allclose(found.probability.data, probability, atol=2e-3)
    np.testing.assert_allclose(found.uncertainty.data, uncertainty, atol=2e-3)


def test_a_region_has_the_same_context_as_the_whole_slide():
    whole = heat_map(slide(), DarkIsIdc(sigma=1.0))
    part = heat_map(slide(), DarkIsIdc(sigma=1.0), Region(500, 600, 400, 500))
    assert part.scored.sum() == 8 * 10
    inside = part.scored
    np.testing.assert_allclose(
        part.probability.data[inside], whole.probability.data[inside], atol=1e-6
    )
    assert part.region == Region(500, 600, 400, 500)
    tiles = [e for e in predict(slide(), DarkIsIdc(), part.region) if isinstance(e, Tile)]
    assert sum(np.isfinite(t.data).sum() for t in tiles[:-2]) == 2 * 80


def test_polygons_choose_cells_by_their_centres():
    triangle = np.array([[300, 300], [300, 1200], [1200, 300]], float) - 0.5
    square = np.array([[1200, 1500], [1200, 1600], [1300, 1600], [1300, 1500]], float) - 0.5
    found = heat_map(slide(), DarkIsIdc(), polygons=[triangle, square])
    assert found.region == Region(300, 300, 1000, 1300)
    assert found.scored[24:26, 30:32].all()
    assert found.scored[6, 6]
    assert not found.scored[20, 20]
    assert found.scored.sum() == pytest.approx(18 * 18 / 2 + 4, abs=18)


def test_finer_cells_are_the_same_patches_between():
    model = DarkIsIdc()
    coarse, fine = heat_map(slide(), model), heat_map(slide(), model, step_um=100)
    assert fine.probability.step == (25.0, 25.0)
    assert fine.probability.origin == (12.5, 12.5)
    same = fine.probability.data[::2, ::2]
    both = np.isfinite(same) & coarse.scored
    assert both.sum() > 500
    np.testing.assert_allclose(same[both], coarse.probability.data[both], atol=1e-6)
    for y, x in ((600, 800), (1200, 1500)):
        assert fine.at(y, x)[0] == pytest.approx(coarse.at(y, x)[0], abs=0.02)
    assert fine.area().tissue_mm2 == pytest.approx(coarse.area().tissue_mm2, rel=0.05)


class Slow(DarkIsIdc):
    """Its first tiles come at once, the others when it may go on."""

    def __init__(self, at_once=1):
        super().__init__()
        self.at_once, self.go = iter(range(at_once)), threading.Event()

    def logits(self, patches, colours=None):
        if next(self.at_once, None) is None:
            self.go.wait(60)
        return super().logits(patches, colours)


def at_work():
    return [thread for thread in threading.enumerate() if "pathogan-tiles" in thread.name]


def test_closing_the_generator_stops_at_once():
    slow = Slow()
    cores = torch.get_num_threads()
    events = predict(slide(), slow)
    next(e for e in events if isinstance(e, Tile))
    spent = time.thread_time()
    events.close()
    assert time.thread_time() - spent < 0.2
    assert at_work()  # the tile under way is not waited for
    slow.go.set()
    for thread in at_work():
        thread.join(60)
    assert not at_work()
    assert torch.get_num_threads() == cores


def test_it_answers_while_a_tile_takes_long():
    slow, answers = Slow(at_once=0), 0
    for event in predict(slide(), slow, Region(200, 200, 400, 400)):
        answers += getattr(event, "what", "") == "scoring the tissue"
        if answers > 5:
            slow.go.set()
        if isinstance(event, Tile):
            break
    assert slow.go.is_set()


def test_an_error_in_the_model_comes_out():
    class Broken(DarkIsIdc):
        def logits(self, patches, colours=None):
            msg = "out of memory"
            raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="out of memory"):
        list(predict(slide(), Broken()))


def test_unknown_scale_says_what_to_pass():
    with pytest.raises(UnknownScaleError, match="--mpp"):
        next(predict(slide(mpp=None), DarkIsIdc()))


def test_grey_slides_are_refused():
    with pytest.raises(SlideFormatError, match="grey"):
        next(predict(slide(paint()[..., 0]), DarkIsIdc()))


def test_no_tissue():
    glass = np.full((800, 900, 3), 245, np.uint8)
    with pytest.raises(NoTissueError, match="phantom"):
        list(predict(slide(glass), DarkIsIdc()))
    with pytest.raises(NoTissueError, match="region"):
        list(predict(slide(), DarkIsIdc(), Region(0, 0, 150, 150)))


def test_a_step_that_does_not_fit():
    with pytest.raises(ModelError, match="200, 100, 40"):
        heat_map_grid(slide(), DarkIsIdc(), 70)


def test_a_coarse_slide_is_warned_of():
    image = paint((400, 500), (50, 50, 350, 450), (100, 125, 200, 275))
    events = list(predict(slide(image, 16.0), DarkIsIdc()))
    assert "16 um per pixel" in next(e for e in events if isinstance(e, Warn)).message
    assert any("16 um" in note for note in events[-1].result.notes)
    (note,) = scale_note(slide(image, 32.0), DarkIsIdc())
    assert note.endswith("8 times as coarse: is that scale right?")


def test_a_field_smaller_than_a_patch_is_told_of():
    image = paint((512, 512), (0, 0, 512, 512), (100, 125, 200, 275))
    (note,) = scale_note(slide(image, 0.25), DarkIsIdc())
    assert "is 128 x 128 um, and a cell of the map 200: too small a field" in note
    assert scale_note(slide(image, 0.5), DarkIsIdc()) == []


def test_a_map_of_a_synthetic_picture_says_so_wherever_it_is_saved(tmp_path):
    """In colours of another slide, whose name is nowhere that of the map."""
    source = slide()
    view = slide()
    view.metadata |= {
        "synthetic": True,
        "stain_slide": source.name,
        "stain_colours_of": "06_1.png",
        "stain_method": "reinhard",
    }
    said = f"Synthetic picture ({source.name} in the colours of 06_1.png (Reinhard))"
    assert not any("ynthetic" in note for note in heat_map(source, DarkIsIdc()).notes)
    found = heat_map(view, DarkIsIdc())
    assert found.notes[0].startswith(said)
    export.write_zarr(tmp_path / "m.ome.zarr", found)
    export.write_geojson(tmp_path / "m.geojson", found)
    export.write_csv(tmp_path / "m.csv", found)
    assert export.read_zarr(tmp_path / "m.ome.zarr").notes[0].startswith(said)
    assert export.read_csv(tmp_path / "m.csv").notes[0].startswith(said)
    assert said in (tmp_path / "m.geojson").read_text()
    written = [text.get_text() for text in page.draw(found, view).findobj(Text)]
    assert "IDC heat map of a synthetic picture" in written
    assert "Synthetic picture: computed pixels" in written
    assert "Slide" not in written


def damaged(path, *, tiles):
    """Write a tiled TIFF and spoil some of its tiles."""
    tifffile.imwrite(path, paint(), tile=(256, 256), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path) as tif:
        places = list(zip(tif.pages[0].dataoffsets, tif.pages[0].databytecounts, strict=True))
    with path.open("r+b") as stream:
        for offset, count in (places[tile] for tile in tiles):
            stream.seek(offset)
            stream.write(b"\xff" * count)
    return path


def test_an_unreadable_tile_is_left_out_and_said(tmp_path):
    path = damaged(tmp_path / "damaged.tif", tiles=[3 * 8 + 3])  # px 768 to 1024 both ways
    with Slide.open(path, mpp=4.0) as opened:
        events = list(predict(opened, DarkIsIdc()))
    (warned,) = (e for e in events if isinstance(e, Warn))
    assert "can't be read" in warned.message
    found: HeatMap = events[-1].result
    assert found.notes == (warned.message,)
    assert found.at(900, 900) is None
    assert found.at(600, 600)[0] > 0.95
    assert found.at(1200, 1200)[0] < 0.05
    assert 24 * 32 - 36 <= found.scored.sum() <= 24 * 32 - 16


def test_nothing_readable_is_an_error(tmp_path):
    path = damaged(tmp_path / "damaged.tif", tiles=range(56))
    with (
        Slide.open(path, mpp=4.0) as opened,
        pytest.raises((NoTissueError, SlideReadError), match=r"damaged\.tif"),
    ):
        list(predict(opened, DarkIsIdc()))


@pytest.mark.parametrize("shape", [(256, 256), (300, 300), (700, 20)])
def test_a_field_that_no_patch_fits_into_is_said(shape):
    field = Slide.from_arrays([np.full((*shape, 3), PINK, np.uint8)], name="field", mpp=0.25)
    with pytest.raises(NoTissueError, match=r"measures .* um, but dark looks at patches of 200 um"):
        list(predict(field, DarkIsIdc()))


def test_memory_does_not_grow_with_the_slide(tmp_path, monkeypatch):
    monkeypatch.setattr(tissue, "_MOST_CELLS", 1 << 12)  # of all that is bounded, the largest

    def whole(slide):
        for _event in predict(slide, DarkIsIdc()):
            pass

    assert_memory_is_flat(tmp_path, 2.0, whole)
