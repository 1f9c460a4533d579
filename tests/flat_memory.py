"""Slides of tissue that are once, four and sixteen times as large, and what memory work on them takes."""

from __future__ import annotations

import itertools
import tracemalloc

import imagecodecs
import numpy as np
import tifffile

from napari_pathogan.slides.slide import Slide

TILE, MB = 256, 2**20


def tissue(path, side, mpp):
    """A slide of tissue everywhere, with one nucleus a tile, in so many tiles each way."""
    y, x = np.mgrid[:TILE, :TILE]
    pixels = np.empty((TILE, TILE, 3), np.uint8)
    pixels[:] = (222, 150, 190)
    pixels[..., 1] += (8 * np.sin(x / 9) * np.sin(y / 7)).astype(np.int8).view(np.uint8)
    pixels[np.hypot(y - 128, x - 128) < 12] = (100, 60, 140)
    coded = imagecodecs.zlib_encode(pixels)
    with tifffile.TiffWriter(path) as out:
        for step in (1, 4):
            tiles = -(-side // step)
            out.write(
                itertools.repeat(coded, tiles**2),
                shape=(side * TILE // step, side * TILE // step, 3),
                dtype="uint8",
                tile=(TILE, TILE),
                compression="deflate",
                photometric="rgb",
                subfiletype=int(step > 1),
                resolution=(1e4 / mpp / step,) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
            )
    return path


def assert_memory_is_flat(folder, mpp, work, smallest=4):
    """Do something with slides 1, 4 and 16 times as large; numpy's memory stays the same.

    ``smallest`` is how many tiles of 256 px the smallest is wide.
    """
    peaks = []
    for side in (
        smallest,
        smallest,
        2 * smallest,
        4 * smallest,
    ):  # what is kept for good counts the first time
        with Slide.open(tissue(folder / f"{side}.tif", side, mpp), cache_mb=1) as slide:
            tracemalloc.start()
            work(slide)
            peaks.append(tracemalloc.get_traced_memory()[1] / MB)
            tracemalloc.stop()
    assert peaks[-1] < 1.5 * peaks[1] + 2, peaks
