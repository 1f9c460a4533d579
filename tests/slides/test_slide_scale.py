"""Um per pixel: who says so, when not to believe it, and what the user said before."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile
from PIL import Image
from slide_makers import smooth_image, write_svs

from napari_pathogan.errors import UnknownScaleError
from napari_pathogan.slides import remembered, resolution, scales, tissues
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

IMAGE = smooth_image(200, 300)


def scale_of(path, **options):
    with Slide.open(path, **options) as slide:
        return slide.mpp, slide.mpp_source


@pytest.mark.parametrize("text", ["0", "0.0", "nan", "inf", "-0.25", "1e9", "0.001", "", "about 1"])
def test_absurd_aperio_scales_are_unknown(tmp_path, text):
    assert scale_of(write_svs(tmp_path / "a.svs", IMAGE, mpp=text)) == (None, "unknown")


@pytest.mark.parametrize(
    ("per_unit", "unit", "mpp"),
    [
        (20000, "CENTIMETER", 0.5),
        (50800, "INCH", 0.5),
        (100, "CENTIMETER", 100.0),
        (1, "INCH", None),
        (72, "INCH", None),
        (96, "INCH", None),
        (300, "INCH", None),
        (118.11, "CENTIMETER", None),  # 300 dpi in other words
        (0, "CENTIMETER", None),
        (1e9, "CENTIMETER", None),
        (20000, "NONE", None),
    ],
)
def test_tiff_resolution(tmp_path, per_unit, unit, mpp):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, IMAGE, resolution=(per_unit, per_unit), resolutionunit=unit, metadata=None
    )
    found, source = scale_of(path)
    assert found == (None if mpp is None else pytest.approx((mpp, mpp), rel=1e-4))
    assert source == ("unknown" if mpp is None else "TIFF resolution")


def test_tiff_resolution_differs_by_axis(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE, resolution=(40000, 20000), resolutionunit=3, metadata=None)
    assert scale_of(path)[0] == pytest.approx((0.5, 0.25))


def test_imagej_unit(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    assert scale_of(path) == (pytest.approx((0.25, 0.25)), "TIFF resolution")


@pytest.mark.parametrize(("dpi", "mpp"), [(300, None), (72, None), (2540, 10.0)])
def test_png_resolution(tmp_path, dpi, mpp):
    Image.fromarray(IMAGE).save(tmp_path / "a.png", dpi=(dpi, dpi))
    found, source = scale_of(tmp_path / "a.png")
    assert found == (None if mpp is None else pytest.approx((mpp, mpp), rel=1e-3))
    assert source == ("unknown" if mpp is None else "image resolution")


@pytest.mark.parametrize(
    ("unit", "um"), [("µm", 0.5), ("μm", 0.5), ("nm", None), ("mm", None), ("pixel", None)]
)
def test_units_of_length(unit, um):
    assert resolution.from_length(0.5, 0.5, unit) == (None if um is None else (um, um))


def test_the_user_knows_better(tmp_path):
    path = write_svs(tmp_path / "a.svs", IMAGE)
    assert scale_of(path, mpp=0.7) == ((0.7, 0.7), "user")
    assert scale_of(path, mpp=(0.7, 0.8)) == ((0.7, 0.8), "user")


@pytest.mark.parametrize("mpp", [0, -1, float("nan"), float("inf"), "wide"])
def test_a_user_may_not_say_nonsense(tmp_path, mpp):
    with pytest.raises(UnknownScaleError, match="no size of a pixel"):
        Slide.open(write_svs(tmp_path / "a.svs", IMAGE), mpp=mpp)


def test_unknown_scale_is_an_error_only_when_needed():
    with Slide.from_arrays([IMAGE], name="photo") as slide:
        assert slide.read(Region(0, 0, 200, 300)).shape == IMAGE.shape
        assert slide.read(Region(0, 0, 200, 300), size=(20, 30)).shape == (20, 30, 3)
        with pytest.raises(UnknownScaleError, match="photo does not say"):
            slide.read(Region(0, 0, 200, 300), 4.0)
        told = slide.with_mpp(2.0)
        with pytest.raises(UnknownScaleError, match="no size of a pixel"):
            told.read(Region(0, 0, 200, 300), 0)
        assert told.read(Region(0, 0, 200, 300), 4.0).shape == (100, 150, 3)
        assert told.mpp_source == "user"
        assert slide.mpp is None


def test_the_tissue_is_remembered_for_this_very_file(tmp_path):
    path = tmp_path / "case.png"
    path.write_bytes(b"1")
    assert tissues.recall(path) == ""
    tissues.remember(path, "colon")
    scales.remember(path, (4.0, 4.0))
    assert tissues.recall(path) == "colon"
    path.write_bytes(b"another")
    assert tissues.recall(path) == ""
    path.unlink()  # a share that is gone
    assert tissues.recall(path) == ""


def test_scales_are_remembered_for_this_very_file(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(IMAGE).save(path)
    assert scales.recall(path) is None
    scales.remember(path, (4.0, 4.0))
    assert scale_of(path) == ((4.0, 4.0), "user (remembered)")
    other = tmp_path / "b.png"
    Image.fromarray(IMAGE).save(other)
    assert scale_of(other) == (None, "unknown")
    os.utime(path, ns=(1, 1))
    assert scale_of(path) == (None, "unknown")


def test_the_files_own_scale_comes_first(tmp_path):
    path = write_svs(tmp_path / "a.svs", IMAGE)
    scales.remember(path, (4.0, 4.0))
    assert scale_of(path) == ((0.25, 0.25), "Aperio MPP")


def test_a_damaged_memory_is_no_obstacle(tmp_path, caplog):
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(path)
    (remembered.folder() / "scales.json").write_text("{not json")
    assert scales.recall(path) is None
    assert "can't be read" in caplog.text
    scales.remember(path, (1.0, 2.0))
    assert scales.recall(path) == (1.0, 2.0)
