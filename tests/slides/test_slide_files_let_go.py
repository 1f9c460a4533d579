"""A file is let go of by closing it, and by an open that fails at any step."""

from __future__ import annotations

import multiprocessing
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress

import numpy as np
import psutil
import pytest
import tifffile
from mammogram_makers import breast, write_dicom
from PIL import Image
from slide_makers import smooth_image, write_svs

from napari_pathogan.errors import UnknownScaleError
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.slides.backends.openslide import open_vendor
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.writers.pyramid import write_slide

IMAGE = smooth_image(1024, 1024)
GREY = IMAGE[..., 0].copy()
_TIMES = 10  # of what is done with every strip, it is tried with the first ones
_SAFE = {"<genexpr>", "close", "__enter__", "__exit__"}


def tiff_of(pixels, **options):
    return lambda path: tifffile.imwrite(path, pixels, **options)


def image_of(pixels):
    return lambda path: Image.fromarray(pixels).save(path)


def ome_zarr(path):
    with Slide.from_arrays([IMAGE], name="a", mpp=0.5) as slide:
        list(write_slide(path, slide))


KINDS = {
    "tiled.svs": (lambda path: write_svs(path, IMAGE), Slide.open),
    "mapped.tif": (tiff_of(IMAGE), Slide.open),
    "mapped-grey.tif": (tiff_of(GREY), Slide.open),
    "strips.tif": (tiff_of(IMAGE, compression="lzw", rowsperstrip=64), Slide.open),
    "float.tif": (tiff_of(GREY / np.float32(255), tile=(256, 256)), Slide.open),
    "channels.ome.tif": (
        tiff_of(np.moveaxis(IMAGE, -1, 0), photometric="minisblack"),
        Slide.open,
    ),
    "image.png": (image_of(IMAGE), Slide.open),
    "image.jpg": (image_of(IMAGE), Slide.open),
    "image.bmp": (image_of(IMAGE), Slide.open),
    "image.ome.zarr": (ome_zarr, Slide.open),
    "vendor.svs": (lambda path: write_svs(path, IMAGE), open_vendor),
    "view.dcm": (lambda path: write_dicom(path, breast()), open_mammogram),
    "view.png": (image_of(GREY), open_mammogram),
    "view.tif": (tiff_of(GREY), open_mammogram),
}


@pytest.fixture(params=KINDS)
def file(request, tmp_path):
    """A file of a kind, and what opens it."""
    if request.param == "vendor.svs":
        pytest.importorskip("openslide")
    make, opener = KINDS[request.param]
    path = tmp_path / request.param
    make(path)
    return path, opener


def held(path):
    """Handles of this process on a file, or on those of a folder."""
    return [one.path for one in psutil.Process().open_files() if one.path.startswith(str(path))]


class BrokenError(OSError):
    """What goes wrong, made up."""


@contextmanager
def failing_at(step: int):
    """Let the call number ``step`` into this package fail; yields a list of those so far.

    Entering and closing do not fail themselves, nor what is called as objects go.
    """
    calls = []

    def watch(frame, event, _):
        code = frame.f_code
        own = "napari_pathogan" in code.co_filename and not code.co_filename.endswith("cache.py")
        if event == "call" and own and code.co_name not in _SAFE:
            calls.append(code.co_qualname)
            if len(calls) == step:
                raise BrokenError(calls[-1])

    sys.setprofile(watch)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def test_closing_lets_go(file):
    path, opener = file
    opened = opener(path)
    if isinstance(opened, Slide):
        opened.read(Region(0, 0, 300, 300))
    with suppress(AttributeError):  # mammograms are in memory
        opened.close()
    assert held(path) == []


def held_after_failing(kind, path):
    """What stays open of a file when opening it fails at each of its steps in turn."""
    opener = KINDS[kind][1]
    with failing_at(0) as calls, suppress(AttributeError):
        opener(path).close()
    assert len(calls) > 5
    open_still, times = [], Counter()
    for step, name in enumerate(calls[:-1], 1):
        times[name] += 1
        if times[name] > _TIMES:
            continue
        error, opened = None, None
        try:
            with failing_at(step):
                opened = opener(path)
        except Exception as caught:  # noqa: BLE001 - kept, as a window keeps what it shows
            error = caught
        with suppress(AttributeError):
            opened.close()
        open_still += [(name, repr(error), one) for one in held(path)]
    return open_still


@pytest.fixture(scope="module")
def fresh():
    """A process of its own: Python 3.11 may hang where one that has run much else is profiled."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_an_open_that_fails_at_any_step_lets_go(file, fresh):
    path, _ = file
    assert fresh.submit(held_after_failing, path.name, path).result(timeout=200) == []


def test_a_scale_that_is_none_lets_go(tmp_path):
    path = write_svs(tmp_path / "a.svs", IMAGE)
    with pytest.raises(UnknownScaleError) as caught:
        Slide.open(path, mpp=-1)
    assert held(path) == [], caught


def test_a_file_cut_anywhere_lets_go(file):
    path, opener = file
    cut = path / "zarr.json" if path.is_dir() else path
    whole = cut.read_bytes()
    for keep in (0, 1, 9, 200, *(len(whole) * n // 10 for n in range(1, 10)), len(whole) - 1):
        cut.write_bytes(whole[:keep])
        error, opened = None, None
        try:
            opened = opener(path)
        except Exception as caught:  # noqa: BLE001 - kept, as above
            error = caught
        with suppress(AttributeError):
            opened.close()
        assert held(path) == [], (keep, error)
