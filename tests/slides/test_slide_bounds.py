"""What a file claims is held against bounds before anything is decoded."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.slides import bounds

SIZES = [(8, 8), (256, 256), (240, 512), (1000, 37), (300, 4000)]


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("codec", ["jpeg", "jpeg2k", "webp", "png", "jpegxl"])
@pytest.mark.parametrize("lossless", [False, True])
def test_the_size_in_the_header(codec, shape, lossless):
    image = np.zeros((*shape, 3), np.uint8)
    options = {"lossless": lossless} if codec in {"webp", "jpegxl"} else {}
    data = getattr(imagecodecs, f"{codec}_encode")(image, **options)
    assert bounds.claimed_size(data) == shape
    bounds.check_codestream(data, shape)


def test_a_jpeg_2000_stream_without_its_box():
    data = imagecodecs.jpeg2k_encode(np.zeros((90, 70, 3), np.uint8), codecformat="j2k")
    assert data.startswith(b"\xff\x4f")
    assert bounds.claimed_size(data) == (90, 70)


@pytest.mark.parametrize("codec", ["jpeg", "jpeg2k", "webp", "png", "jpegxl"])
@pytest.mark.parametrize("keep", [0, 1, 4, 12, 20, 30])
def test_torn_headers(codec, keep):
    data = getattr(imagecodecs, f"{codec}_encode")(np.zeros((64, 64, 3), np.uint8))[:keep]
    assert bounds.claimed_size(data) in {None, (64, 64)}


@pytest.mark.parametrize(
    ("shape", "tile"),
    [
        ((1_000_000, 1_000_000), (256, 256)),
        ((2**31 - 1, 2**31 - 1), (256, 256)),
        ((2**31 - 1, 10), (2**16, 10)),
        ((4096, 4096), (1, 1)),
        ((2048, 2048), (1, 1)),
        ((300, 300), (2**31 - 1, 128)),
        ((40_000, 40_000), (40_000, 40_000)),
        ((0, 100), (1, 100)),
        ((100, 100), (0, 100)),
    ],
)
def test_impossible_levels_are_refused(shape, tile):
    with pytest.raises(SlideFormatError, match=r"a\.tif"):
        bounds.check_level("a.tif", shape, tile, 3)


@pytest.mark.parametrize(
    ("shape", "tile"),
    [
        ((400_000, 400_000), (512, 512)),
        ((100_000, 200_000), (240, 240)),
        ((60, 60), (1, 60)),
        ((3000, 4000), (3000, 4000)),
        ((50_000, 2_000), (1, 2_000)),
        ((30, 30), (1, 1)),
        ((5000, 20), (1, 20)),
    ],
)
def test_what_slides_have_is_not_refused(shape, tile):
    bounds.check_level("a.tif", shape, tile, 3)


def test_small_files_hold_no_huge_images():
    bounds.check_coarsest("a.tif", (80_000, 100_000), 3, 100_000_000)
    bounds.check_image("a.png", (9000, 9000), 3, 3_000_000)
    with pytest.raises(SlideFormatError, match="without smaller levels"):
        bounds.check_coarsest("a.tif", (80_000, 100_000), 3, 400)
    with pytest.raises(SlideFormatError, match="empty or damaged"):
        bounds.check_image("a.png", (12_000, 14_000), 3, 60_000)
