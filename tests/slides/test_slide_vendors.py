"""Each maker's kind of file is read by the reader that reads it rightly."""

from __future__ import annotations

import os
import re
import shutil
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image
from slide_makers import smooth_image

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.slides.backends import openslide
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

SCN = """<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection
sizeX="26000000" sizeY="76000000"><image><view sizeX="26000000" sizeY="76000000"/></image>{areas}
</collection></scn>"""
AREA = '<image><view sizeX="256000" sizeY="256000" offsetX="{at}" offsetY="{at}"/></image>'


@pytest.fixture
def cases(request):
    folder = request.config.rootpath.parent / "shared" / "cases" / "slides"
    if not folder.is_dir():
        pytest.skip("the folder of cases is absent")
    return folder


def second_reading(path, region):
    """The same rectangle of level 0 by OpenSlide itself, on white."""
    openslide = pytest.importorskip("openslide")
    with openslide.OpenSlide(path) as slide:
        part = slide.read_region((region.x, region.y), 0, (region.width, region.height))
    white = Image.new("RGBA", part.size, "white")
    return np.asarray(Image.alpha_composite(white, part).convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("name", "shape", "mpp", "region"),
    [
        ("bif_not_stitched/overlap.bif", (504, 504), 0.2325, Region(0, 0, 504, 504)),
        ("ndpi_zstack/zstack.ndpi", (400, 512), 0.2222, Region(0, 0, 400, 512)),
        ("scn_two_areas/two_areas.scn", (152000, 52000), 0.5, Region(39900, 11900, 700, 700)),
        ("scn_two_areas/two_areas.scn", (152000, 52000), 0.5, Region(79900, 11900, 700, 700)),
        ("mrxs_bounds/offset.mrxs", (2048, 2560), 0.25, Region(500, 700, 600, 900)),
        ("philips_mpp/philips.tiff", (768, 768), 0.2431, Region(0, 0, 768, 768)),
        ("svs_zero_length_coarse_tiles/hole.svs", (2048, 2048), 2.0, Region(9, 99, 600, 900)),
        ("dicom_wsi/level0.dcm", (640, 768), 0.25, Region(0, 0, 640, 768)),
    ],
)
def test_makers_against_a_second_reader(cases, name, shape, mpp, region):
    with Slide.open(cases / name) as slide:
        assert slide.shape == shape
        assert slide.mpp == pytest.approx((mpp, mpp), rel=1e-3)
        found = slide.read(region).astype(int)
    # two JPEG decoders round differently
    assert np.abs(found - second_reading(cases / name, region)).mean() < 1.5


def test_what_is_said_of_several_areas_and_planes(cases):
    with Slide.open(cases / "scn_two_areas" / "two_areas.scn") as slide:
        assert "2 scanned areas" in slide.notes[0]
        assert slide.bounds == Region(40000, 12000, 40512, 512)
        overview = slide.read(slide.bounds, size=(4051, 51))
        assert (overview != 255).any(-1).sum() == pytest.approx(2 * 51.2**2, rel=0.1)
    with Slide.open(cases / "ndpi_zstack" / "zstack.ndpi") as slide:
        assert "plane 2 of 3 (Z) is read" in slide.notes[0]
    with Slide.open(cases / "mrxs_bounds" / "offset.mrxs") as slide:
        assert slide.bounds == Region(512, 768, 512, 768)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"software": "ScanOutputManager 1.1", "extratags": [(700, 7, 2, b"<a")]}, "Ventana"),
        ({"software": "MedScan", "description": "x=1;OverlapsXY=24 24"}, "Trestle"),
        (
            {"description": SCN.format(areas=AREA.format(at=1) + AREA.format(at=9))},
            "2 scanned areas",
        ),
    ],
)
def test_what_has_to_be_put_together_is_never_shown_in_pieces(tmp_path, monkeypatch, options, word):
    path = tmp_path / "a.tif"
    image = smooth_image(256, 256)
    tifffile.imwrite(path, image, tile=(128, 128), photometric="rgb", metadata=None, **options)
    if word != "Trestle":  # which OpenSlide knows by just these words
        pytest.importorskip("openslide")
        with pytest.raises(SlideFormatError, match=word):
            Slide.open(path).close()
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(SlideFormatError, match=rf"{word}.*napari-pathogan\[slides\]"):
        Slide.open(path).close()


def test_one_area_of_leica_needs_no_openslide(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openslide", None)
    path = tmp_path / "a.scn"
    about, image = SCN.format(areas=AREA.format(at=1)), smooth_image(256, 256)
    tifffile.imwrite(path, image, tile=(128, 128), description=about, metadata=None)
    with Slide.open(path) as slide:
        assert np.array_equal(slide.read(Region(0, 0, 256, 256)), image)


def test_the_scan_of_leica_may_be_smaller_than_the_macro(tmp_path):
    path = tmp_path / "a.scn"
    about = SCN.format(areas=AREA.format(at=1).replace("</image>", "{}</image>"))
    dimension = '<pixels><dimension sizeX="{}" sizeY="{}" r="0" z="0" c="0" ifd="{}"/></pixels>'
    about = about.replace('"76000000"/></image>', '"76000000"/>{}</image>', 1)
    about = about.format(dimension.format(500, 700, 0), dimension.format(256, 256, 1))
    macro, scan = smooth_image(700, 500, seed=1), smooth_image(256, 256)
    with tifffile.TiffWriter(path) as out:
        for image, per_cm, text in ((macro, 600, about), (scan, 20000, None)):
            out.write(
                image,
                tile=(128, 128),
                description=text,
                metadata=None,
                resolution=(per_cm, per_cm),
                resolutionunit=3,
            )
    with Slide.open(path) as slide:
        assert np.array_equal(slide.read(Region(0, 0, 256, 256)), scan)
        assert slide.mpp == (0.5, 0.5)


def test_the_scan_of_an_ome_tiff_may_be_smaller_than_the_macro(tmp_path):
    images = {"macro image": smooth_image(700, 500), "one": smooth_image(256, 384)}
    images["two"] = smooth_image(200, 200)
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as out:
        for name, image in images.items():
            out.write(image, photometric="rgb", metadata={"axes": "YXS", "Name": name})
    with Slide.open(path) as slide:
        assert np.array_equal(slide.read(Region(0, 0, 256, 384)), images["one"])
        assert slide.notes == [
            "a.ome.tif holds 2 images; one is read, not two: save it as a file of its own to open it"
        ]


def test_a_pipe_is_no_slide(tmp_path):
    path = tmp_path / "a.svs"
    os.mkfifo(path)
    with pytest.raises(SlideFormatError, match="neither a file nor a folder"):
        Slide.open(path)


@pytest.mark.parametrize("member", ["HIER_0_COUNT", "IMAGENUMBER_X"])
@pytest.mark.parametrize("value", ["2147483647", "-1", "x"])
def test_what_openslide_would_end_the_process_of(cases, tmp_path, monkeypatch, member, value):
    pytest.importorskip("openslide")
    if value == "2147483647":  # a minute is too long as well
        monkeypatch.setattr(openslide, "_LONGEST_S", 3)
    shutil.copytree(cases / "mrxs_bounds", tmp_path / "a")
    about = tmp_path / "a" / "offset" / "Slidedat.ini"
    about.parent.chmod(0o755)
    about.chmod(0o644)
    text = about.read_text(encoding="utf-8-sig")
    changed = re.sub(rf"(?m)^{member}\s*=.*$", f"{member} = {value}", text)
    assert changed != text
    about.write_text(changed, encoding="utf-8-sig")
    with pytest.raises(SlideFormatError, match=r"offset\.mrxs"):
        Slide.open(tmp_path / "a" / "offset.mrxs")
