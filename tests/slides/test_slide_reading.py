"""Reading at any scale: nothing drifts, from whatever level, in however many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from slide_makers import halved, smooth_image, write_svs

from napari_pathogan.errors import SlideClosedError, SlideFormatError
from napari_pathogan.slides import resample
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

HEIGHT, WIDTH = 2301, 1203  # odd, and not a multiple of any tile
MARKS = [(40, 32), (40, 1170), (2260, 32), (2260, 1170), (1150, 600)]
RADIUS = 25


@pytest.fixture(scope="module")
def marked():
    """A white slide of odd size with a dark disc near each corner, and one in the middle."""
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for y, x in MARKS:
        rows, cols = np.ogrid[y - 30 : y + 30, x - 30 : x + 30]
        disc = (rows + 0.5 - y) ** 2 + (cols + 0.5 - x) ** 2 < RADIUS**2
        image[y - 30 : y + 30, x - 30 : x + 30][disc] = 40
    return image


def middle_of_disc(pixels, near, step, reach=34):
    """Centre of mass (y, x) of the dark near a level-0 place, in output pixels from the corner."""
    dark = 255.0 - pixels[..., 0].astype(float)
    low = [max(0, round((p - reach) / s)) for p, s in zip(near, step, strict=True)]
    high = [round((p + reach) / s) + 1 for p, s in zip(near, step, strict=True)]
    part = dark[low[0] : high[0], low[1] : high[1]]
    ys, xs = np.indices(part.shape) + 0.5
    return low[0] + (ys * part).sum() / part.sum(), low[1] + (xs * part).sum() / part.sum()


def pyramids(image):
    """The same slide with levels of several kinds: none, area-resampled, of a size all their own."""
    base = Slide.from_arrays([image], name="base")
    full = Region(0, 0, HEIGHT, WIDTH)
    third = base.read(full, size=(768, 402))
    odd = base.read(full, size=(320, 167))
    yield "none", [image], None
    yield "2.996 and 7.19", [image, third, odd], None
    yield "halved", [image, np.asarray(base.levels[1][:])], [(1.0, 1.0), (2.0, 2.0)]


@pytest.mark.parametrize("mpp", [0.25, 0.2501, 0.33, 0.5, 0.777, 1.9, 4.0])
def test_marks_in_the_corners_lie_exactly_at_any_mpp(marked, mpp):
    for name, levels, downsamples in pyramids(marked):
        slide = Slide.from_arrays(levels, name=name, mpp=(0.25, 0.25), downsamples=downsamples)
        pixels = slide.read(Region(0, 0, HEIGHT, WIDTH), mpp)
        step = mpp / 0.25
        assert pixels.shape[:2] == (round(HEIGHT / step), round(WIDTH / step))
        for mark in MARKS:
            y, x = middle_of_disc(pixels, mark, (step, step))
            assert abs(y * step - mark[0]) < 0.5, (name, mark)
            assert abs(x * step - mark[1]) < 0.5, (name, mark)


def test_a_part_lies_as_exactly_as_the_whole(marked):
    slide = Slide.from_arrays([marked], name="a", mpp=0.5)
    y, x = 2200, 1100
    pixels = slide.read(Region(y, x, 101, 101), 1.7)
    step = 1.7 / 0.5
    found = middle_of_disc(pixels, (60, 70), (step, step))
    assert found[0] * step == pytest.approx(60, abs=0.5)
    assert found[1] * step == pytest.approx(70, abs=0.5)


@pytest.mark.parametrize("size", [(240, 121), (1200, 600), (3000, 2000)])
def test_a_size_fits_the_region_exactly(marked, size):
    slide = Slide.from_arrays([marked], name="a")
    pixels = slide.read(Region(0, 0, HEIGHT, WIDTH), size=size)
    assert pixels.shape == (*size, 3)
    step = HEIGHT / size[0], WIDTH / size[1]
    for mark in MARKS:
        y, x = middle_of_disc(pixels, mark, step, reach=60)
        assert abs(y * step[0] - mark[0]) < 0.5
        assert abs(x * step[1] - mark[1]) < 0.5


def test_anisotropic_pixels_come_out_square(marked):
    slide = Slide.from_arrays([marked], name="a", mpp=(0.25, 0.5))
    pixels = slide.read(Region(0, 0, HEIGHT, WIDTH), 1.0)
    assert pixels.shape[:2] == (575, 602)


def test_tiles_join_without_a_seam():
    image = smooth_image(1500, 1300)
    slide = Slide.from_arrays([image], name="a", mpp=0.25)
    down = 0.73 / 0.25
    whole = slide.resampled((0, 0), (down, down), (500, 400))
    for row in range(4):
        for col in range(4):
            origin = row * 100 * down, col * 100 * down
            tile = slide.resampled(origin, (down, down), (100, 100))
            same = whole[row * 100 : row * 100 + 100, col * 100 : col * 100 + 100]
            assert np.abs(tile.astype(int) - same).max() <= 1


def test_beyond_the_slide_is_white_or_black():
    rgb = Slide.from_arrays([np.zeros((50, 60, 3), np.uint8)], name="a", mpp=1.0)
    pixels = rgb.read(Region(-10, -10, 70, 80))
    assert (pixels[10:60, 10:70] == 0).all()
    assert pixels.sum() == 255 * 3 * (70 * 80 - 50 * 60)
    assert (rgb.read(Region(1000, 1000, 8, 8), 2.0) == 255).all()
    assert (rgb.read(Region(53, 0, 8, 8)) == 255).all()  # beyond, but in the span of a tile
    assert (rgb.read(Region(0, 64, 8, 8)) == 255).all()
    grey = Slide.from_arrays([np.full((50, 60), 7, np.uint16)], name="a")
    assert grey.read(Region(-10, 0, 70, 60)).sum() == 7 * 50 * 60
    assert grey.read(Region(-90, -90, 5, 5)).max() == 0


@pytest.mark.parametrize("region", [Region(0, 0, 0, 5), Region(0, 0, 5, -1)])
def test_an_empty_region_is_an_empty_array(region):
    slide = Slide.from_arrays([np.zeros((50, 60, 3), np.uint8)], name="a")
    assert slide.read(region).size == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@given(st.floats(0, 5), st.floats(0.99, 9.0), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_area_means_are_exact(dtype, start, step, count):
    top = np.iinfo(dtype).max
    source = np.random.default_rng(0).integers(0, top, (90, 90), dtype=dtype, endpoint=True)
    plan = resample.axis(start, step, count)
    found = resample.apply(source[plan.start : plan.stop, plan.start : plan.stop], plan, plan)
    # the integral of the image at fractional places, by interpolating its running sums
    whole = np.pad(source.astype(float).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    edges = start + np.arange(count + 1) * step
    at = ndimage.map_coordinates(whole, np.meshgrid(edges, edges, indexing="ij"), order=1)
    wanted = np.diff(np.diff(at, axis=0), axis=1) / step**2
    # a position may be off by 0.01 px, and 8-bit weights come in 256ths
    assert np.abs(found - wanted).max() <= 0.025 * top


def test_whole_factors_are_plain_means():
    image = smooth_image(512, 768)
    slide = Slide.from_arrays([image], name="a", mpp=1.0)
    found = slide.read(Region(0, 0, 512, 768), 2.0)
    assert np.abs(found.astype(int) - halved(image)).max() <= 1  # halves are rounded up


@pytest.mark.parametrize(
    ("channels", "dtype"),
    [(1, np.uint8), (1, np.uint16), (3, np.uint8)],  # RGB is always 8 bit
)
def test_made_levels_equal_direct_means(channels, dtype):
    image = smooth_image(5003, 299, channels).astype(dtype)
    slide = Slide.from_arrays([image], name="a")
    assert slide.downsamples == ((1.0, 1.0), (2.0, 2.0), (4.0, 4.0))
    assert slide.made == (False, True, True)
    assert slide.levels[2].shape[:2] == (1251, 75)
    tall, wide = np.arange(0, 5003, 4), np.arange(0, 299, 4)
    sums = np.add.reduceat(np.add.reduceat(image.astype(float), tall, 0), wide, 1)
    count = np.outer(np.diff(tall, append=5003), np.diff(wide, append=299))
    direct = sums / (count if channels == 1 else count[..., None])
    inner = np.s_[:-1, :-1]
    assert np.abs(slide.levels[2][:][inner] - direct[inner]).max() <= 1
    assert np.abs(slide.levels[2][:].astype(float) - direct).max() <= 4  # last cells: 3 of 4 px


def test_wide_gaps_in_a_pyramid_are_filled():
    image = smooth_image(3200, 2400)
    small = np.ascontiguousarray(image[8::16, 8::16])
    slide = Slide.from_arrays([image, small], name="a")
    assert [d[0] for d in slide.downsamples] == [1, 2, 4, 16]
    assert slide.made == (False, True, True, False)
    assert np.array_equal(slide.levels[3][:], small)


def test_levels_are_lazy_zarr_arrays(tmp_path):
    image = smooth_image(2500, 700)
    with Slide.open(write_svs(tmp_path / "a.svs", image, compression="deflate")) as slide:
        first = slide.levels[0]
        assert isinstance(first, zarr.Array)
        assert first.chunks == (256, 256, 3)
        assert np.array_equal(first[100:900:3, 5:-5], image[100:900:3, 5:-5])
        assert np.array_equal(da.from_zarr(first).compute(), image)
        with pytest.raises(ValueError, match="read"):
            first[:] = 0
        assert slide.levels[-1].shape == (1250, 350, 3)


@pytest.mark.parametrize("wrap", [np.asarray, da.from_array, zarr.array])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_of_any_library(wrap, channels):
    image = smooth_image(301, 203, channels)
    if channels == 4:
        image[..., 3] = 255
    with Slide.from_arrays([wrap(image)], name="a") as slide:
        wanted = image[..., :3] if channels == 4 else image
        assert np.array_equal(slide.read(Region(0, 0, 301, 203)), wanted)
        assert slide.is_rgb == (channels > 1)


def test_a_slides_own_levels_are_recognised():
    with Slide.from_arrays([smooth_image(2500, 300)], name="a") as slide:
        again = Slide.from_arrays(
            slide.levels, name="layer", mpp=0.5, downsamples=slide.downsamples
        )
        assert again.base is slide.base
        again.close()
        assert slide.read(Region(0, 0, 9, 9)).shape == (9, 9, 3)
        with pytest.raises(SlideClosedError):
            again.read(Region(0, 0, 9, 9))


@pytest.mark.parametrize("shape", [(5,), (4, 5, 6, 3), (9, 9, 2), (3, 50, 50)])
def test_arrays_that_are_no_image_are_refused(shape):
    with pytest.raises(SlideFormatError, match="shape"):
        Slide.from_arrays([np.zeros(shape, np.uint8)], name="stack")
    with pytest.raises(SlideFormatError, match="nothing"):
        Slide.from_arrays([], name="empty")


def test_many_threads_read_the_same(tmp_path):
    image = smooth_image(1500, 1800)
    path = write_svs(tmp_path / "a.svs", image, compression="deflate")
    regions = [Region(y, x, 300, 400) for y in range(0, 1500, 130) for x in range(0, 1800, 170)]
    with Slide.open(path, cache_mb=2) as slide, ThreadPoolExecutor(16) as pool:  # tiles come and go
        found = list(pool.map(slide.read, regions))
        levels = list(pool.map(lambda _: slide.levels[0][700:900, 800:1000], range(32)))
    padded = np.pad(image, ((0, 400), (0, 400), (0, 0)), constant_values=255)
    for region, pixels in zip(regions, found, strict=True):
        assert np.array_equal(pixels, padded[region.y : region.bottom, region.x : region.right])
    assert all(np.array_equal(each, image[700:900, 800:1000]) for each in levels)


def test_closed_slides_say_so(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smooth_image(600, 600), tile=(256, 256))
    with Slide.open(path) as slide:
        level = slide.levels[0]
        slide.read(Region(0, 0, 10, 10))
    with pytest.raises(SlideClosedError, match=r"a\.tif was closed"):
        slide.read(Region(0, 0, 10, 10))
    with pytest.raises(SlideClosedError):
        level[:10, :10]
    assert slide.damaged == []
    slide.close()
    path.unlink()  # no handle is left (Windows would refuse)


def test_what_lies_wholly_beyond_the_slide_is_white():
    made = Slide.from_arrays([np.full((3000, 3000, 3), 7, np.uint8)], name="dark", mpp=1.0)
    pixels = made.read(Region(0, 2500, 2000, 6000), size=(500, 1500))
    assert np.all(pixels[:, :125] == 7)
    assert np.all(pixels[:, 126:] == 255)
