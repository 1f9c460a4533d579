"""The tile cache, and a slide far larger than memory."""

from __future__ import annotations

import itertools
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from slide_makers import smooth_image

from flat_memory import assert_memory_is_flat
from napari_pathogan.slides import cache
from napari_pathogan.slides.cache import TileCache
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.tissue import tissue_mask
from patience import PATIENCE_S

MB = 1024 * 1024


def tile(value=0, megabytes=1):
    return np.full(megabytes * MB, value, np.uint8)


def test_least_recently_used_goes_first():
    tiles = TileCache(3 * MB)
    for key in "abc":
        tiles.get(key, tile)
    tiles.get("a", pytest.fail)
    tiles.get("d", tile)
    assert tiles.size == 3 * MB
    made = []
    tiles.get("a", pytest.fail)
    tiles.get("b", lambda: made.append("b") or tile())
    assert made == ["b"]


def test_budget_holds_and_shrinks():
    tiles = TileCache(2 * MB)
    for key in range(20):
        tiles.get(key, tile)
        assert tiles.size <= 2 * MB
    tiles.budget = MB
    assert tiles.size == MB
    tiles.get("huge", lambda: tile(megabytes=5))
    assert tiles.size <= MB


def test_one_thread_decodes_for_all():
    tiles, made = TileCache(10 * MB), []

    def make():
        made.append(threading.get_ident())
        time.sleep(0.05)
        return tile(7)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: tiles.get("a", make), range(8)))
    assert len(made) == 1
    assert all(each is found[0] for each in found)
    with pytest.raises(ValueError, match="read-only"):
        found[0][0] = 1


def test_an_error_reaches_every_waiting_thread_and_is_not_kept():
    tiles = TileCache(10 * MB)

    def fail():
        time.sleep(0.05)
        raise RuntimeError("broken")

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(tiles.get, "a", fail) for _ in range(4)]
        assert all(isinstance(each.exception(), RuntimeError) for each in waiting)
    assert tiles.get("a", tile)[0] == 0


def test_closing_a_slide_frees_its_tiles():
    slide = Slide.from_arrays([smooth_image(600, 600)], name="a")
    before = cache.shared.size
    slide.read(Region(0, 0, 600, 600))
    ledger = slide.base.ledger
    assert cache.shared.size > before
    ledger.close()
    assert cache.shared.size == before


def test_the_setting(monkeypatch):
    before = cache.shared.budget
    cache.set_cache_mb(64)
    assert cache.shared.budget == 64 * MB
    cache.shared.budget = before
    monkeypatch.setenv("PATHOGAN_CACHE_MB", "128")
    assert cache._default_mb() == 128
    monkeypatch.setenv("PATHOGAN_CACHE_MB", "plenty")
    assert cache._default_mb() == 512


@pytest.fixture(scope="module")
def huge(tmp_path_factory):
    """A 100,000 x 80,000 px slide in JPEG tiles: empty but for a band; one level, and one small."""
    path = tmp_path_factory.mktemp("huge") / "huge.tif"
    pixels = smooth_image(512, 512)
    jpeg = imagecodecs.jpeg_encode(pixels, level=80)
    coarse = np.where(np.arange(512)[:, None, None] // 32 % 8 == 0, pixels, np.uint8(245))
    bands = imagecodecs.jpeg_encode(coarse, level=80)
    with tifffile.TiffWriter(path, bigtiff=True) as out:
        for number, (height, width) in enumerate(((80_000, 100_000), (5_000, 6_250))):
            rows, cols = -(-height // 512), -(-width // 512)
            some = (
                bands if number else jpeg if row % 8 == 0 else b""
                for row in range(rows)
                for _ in range(cols)
            )
            out.write(
                itertools.chain(some),
                shape=(height, width, 3),
                dtype="uint8",
                tile=(512, 512),
                compression="jpeg",
                photometric="rgb",
                subfiletype=number,  # a factor of 16, which not every library takes for a level
                resolution=(40_000 / 16**number,) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
            )
    return path


def test_a_huge_slide_opens_at_once_and_memory_stays_small(huge):
    tracemalloc.start()
    start = time.process_time()
    with Slide.open(huge, cache_mb=64) as slide:
        levels = slide.levels
        assert time.process_time() - start < 2
        assert levels[0].shape == (80_000, 100_000, 3)
        assert max(levels[-1].shape) < 2048
        overview = slide.read(Region(0, 0, *slide.shape), size=(640, 800))
        assert overview.std() > 30
        for y in range(0, 80_000, 16_000):
            assert slide.read(Region(y, 40_000, 4000, 4000), 1.0).shape == (1000, 1000, 3)
            levels[0][y : y + 600, :5000]
        assert slide.base.ledger.cache.size <= 64 * MB
        _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 250 * MB


def test_an_overview_does_not_read_the_whole_of_level_0(huge):
    with Slide.open(huge, cache_mb=64) as slide:
        read = []
        decode = slide.base._plane.decode
        slide.base._plane.decode = lambda row, col: read.append((row, col)) or decode(row, col)
        slide.levels[-1][:]
        tissue_mask(slide, mpp=64.0)
        assert read == []
        slide.read(Region(0, 0, 2048, 2048), 0.5)  # level 0 is the only one as fine as this
        assert len(read) == 4  # of 16, the others are empty


def test_where_only_level_0_exists_coarser_ones_are_made_of_what_is_asked_for(tmp_path):
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=(60_000, 40_000, 3),
        chunks=(512, 512, 3),
        dtype="uint8",
        fill_value=200,
    )
    with Slide.from_arrays([array], name="a") as slide:
        assert slide.downsamples[-1] == (32.0, 32.0)
        part = slide.read(Region(1000, 1000, 4000, 4000), size=(250, 250))
        assert (part == 200).all()
        touched = {key[1:] for key in cache.shared._tiles if key[0] == slide.base.ledger.key}
        assert (
            0 < sum(key[0] == slide.base.key for key in touched) <= 16 * 16
        )  # one tile of the level made


def test_an_owner_that_goes_while_the_cache_is_used_is_dropped_later():
    cache = TileCache(1 << 20)

    class Key:
        """Whose comparison, within the cache's lock, collects a slide that nobody holds any more."""

        def __hash__(self):
            cache.forget("gone")
            return 1

    cache.get(("gone", 0), lambda: np.zeros(10, np.uint8))
    done = threading.Thread(target=cache.held, args=(Key(),), daemon=True)
    done.start()
    done.join(PATIENCE_S)
    assert not done.is_alive(), "the cache waits for itself"
    assert cache.held(("gone", 0)) is None
    assert cache.size == 0


def test_memory_of_reading_does_not_grow_with_the_slide(tmp_path):
    def read(slide):
        height, width = slide.shape
        for y, x in itertools.product(range(0, height, 512), range(0, width, 512)):
            slide.levels[0][y : y + 512, x : x + 512]
        slide.read(Region(0, 0, height, width), size=(256, 256))

    assert_memory_is_flat(tmp_path, 0.25, read)
