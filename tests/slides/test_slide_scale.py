"""Um per pixel: who says so, when not to believe it, and what the user said before."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from slide_makers import smooth_image, write_svs
from test_slide_formats import write_ngff

from napari_pathogan import files
from napari_pathogan.errors import UnknownScaleError
from napari_pathogan.slides import resolution, scales, tissues
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
    ("text", "mpp"),
    [
        ("0.25 um", 0.25),
        ("0,25 µm", 0.25),
        ("0.25um/pixel", 0.25),
        ("0.2500 \u03bcm per px", 0.25),
        ("0.5 microns", 0.5),
        ("250 nm", 0.25),
        ("2.5e-4 mm/pixel", 0.25),
        ("0.25 furlongs", None),
        ("0.25 um2", None),
        ("0.25 0.5 um", None),
        ("250 um", None),
    ],
)
def test_a_scale_with_its_unit_behind_it(tmp_path, text, mpp):
    wanted = (None, "unknown") if mpp is None else (pytest.approx((mpp, mpp)), "Aperio MPP")
    assert scale_of(write_svs(tmp_path / "a.svs", IMAGE, mpp=text)) == wanted
    name = text.encode("ascii", "xmlcharrefreplace").decode()
    ome = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="300" '
        f'SizeY="200" SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="{name}" PhysicalSizeY="{name}">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'
    )
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, IMAGE, photometric="rgb", metadata=None, description=ome)
    assert scale_of(path)[0] == wanted[0]


@pytest.mark.parametrize(
    ("side", "unit"),
    [
        (2.5e-10, "km"),
        (2.5e-6, "dm"),
        (2.5e8, "fm"),
        (8.2021e-7, "ft"),
        (7.0866e-4, "pt"),
        (1.1811e-4, "li"),
        (9.84252e-3, "thou"),
        (1.5534e-10, "mi"),
        (2.5e-10, "kilometer"),
        (2.5e-6, "decimeters"),
        (2.734e-7, "yard"),
        (2500, "\u00c5ngstr\u00f6m"),
        (0.25, "\u03bcm"),
    ],
)
def test_units_of_ome_and_ngff(side, unit):
    assert side * resolution.um_per(unit) == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize(("unit", "per_unit"), [(4, 4000), (5, 4)])
def test_tags_in_millimetres_and_micrometres(tmp_path, unit, per_unit):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, IMAGE, resolution=(per_unit, per_unit), resolutionunit=unit, metadata=None
    )
    assert scale_of(path) == (pytest.approx((0.25, 0.25)), "TIFF resolution")


@pytest.mark.parametrize("unit", [b"\xb5m", b"\xc2\xb5m", b"\\u00B5m", b"um", b"micron"])
def test_imagej_writes_micrometres_in_many_ways(tmp_path, unit):
    path = tmp_path / "a.tif"
    about = b"ImageJ=1.54f\nunit=" + unit + b"\n"
    tifffile.imwrite(
        path, IMAGE, resolution=(4, 4), resolutionunit=1, metadata=None, description=about
    )
    assert scale_of(path) == (pytest.approx((0.25, 0.25)), "ImageJ resolution")


def test_a_description_that_is_like_aperios(tmp_path):
    path = tmp_path / "a.tif"
    about = "Other maker v1|AppMag = 40|MPP = 0,2501 um|Date = x"
    tifffile.imwrite(path, IMAGE, description=about.encode(), metadata=None)
    assert scale_of(path)[0] == pytest.approx((0.2501, 0.2501))


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
    assert scale_of(path) == (pytest.approx((0.25, 0.25)), "ImageJ resolution")


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
    found = resolution.from_length("X", 0.5, 0.5, unit)
    assert found == ((None, f"X = 0.5 {unit}") if um is None else ((um, um), "X"))


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
    (files.data_folder() / "scales.json").write_text("{not json")
    assert scales.recall(path) is None
    assert "can't be read" in caplog.text
    scales.remember(path, (1.0, 2.0))
    assert scales.recall(path) == (1.0, 2.0)


# what files state in their own ways

PHILIPS = """<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">
<Attribute Name="DICOM_MANUFACTURER">PHILIPS</Attribute>
<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array>
<DataObject ObjectType="DPScannedImage"><Attribute Name="PIM_DP_IMAGE_TYPE">MACROIMAGE</Attribute>
<Attribute Name="DICOM_PIXEL_SPACING">"0.031" "0.031"</Attribute></DataObject>
<DataObject ObjectType="DPScannedImage"><Attribute Name="PIM_DP_IMAGE_TYPE">WSI</Attribute>
<Attribute Name="DICOM_PIXEL_SPACING">{spacing}</Attribute></DataObject>
</Array></Attribute></DataObject>"""
OME = """<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image
ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="300" SizeY="200"
SizeC="3" SizeZ="1" SizeT="1" {sizes}><Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData
IFD="0" PlaneCount="1"/></Pixels></Image></OME>"""
APERIO_CUT = "Aperio Image Library v8\n81713x37331 [70,733 {cut}] (0x0) {to}RAW|MPP = {mpp}|X = 1"


def described(path, text, image=IMAGE, **options):
    options = {"photometric": "rgb", "metadata": None, "description": text, **options}
    tifffile.imwrite(path, image, **options)
    return path


@pytest.mark.parametrize(
    ("text", "mpp", "source"),
    [
        (APERIO_CUT.format(cut="300x200", to="", mpp="0,2500"), (0.25, 0.25), "Aperio MPP"),
        (APERIO_CUT.format(cut="300x200", to="", mpp="0.497"), (0.497, 0.497), "Aperio MPP"),
        (APERIO_CUT.format(cut="9000x200", to="", mpp="0.497"), (0.497, 0.497), "Aperio MPP"),
        (APERIO_CUT.format(cut="1200x800", to="-> 300x200 ", mpp="0.5"), (2, 2), "Aperio MPP"),
        (APERIO_CUT.format(cut="1200x800", to="", mpp="0.5"), None, "1200 x 800 px"),
        (APERIO_CUT.format(cut="300x200", to="", mpp="0.25|MPP = 0.5"), None, "0.25 and 0.5"),
        (APERIO_CUT.format(cut="300x200", to="", mpp="0.5|MPP = 0.50"), (0.5, 0.5), "Aperio MPP"),
        (APERIO_CUT.format(cut="300x200", to="", mpp="unknown"), None, "Aperio MPP = unknown"),
        (APERIO_CUT.format(cut="300x200", to="", mpp=""), None, ""),
        (OME.format(sizes='PhysicalSizeX="0.25" PhysicalSizeY="0.5"'), (0.5, 0.25), "OME"),
        (OME.format(sizes='PhysicalSizeX="0,25"'), (0.25, 0.25), "OME"),
        (
            OME.format(
                sizes='PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="0.00025" '
                'PhysicalSizeYUnit="mm"'
            ),
            (0.25, 0.25),
            "OME",
        ),
        (OME.format(sizes='PhysicalSizeX="1" PhysicalSizeXUnit="pixel"'), None, "1 pixel"),
        (OME.format(sizes=""), None, ""),
        (
            OME.format(sizes='PhysicalSizeX="0.25"').replace('SizeX="300"', 'SizeX="600"'),
            None,
            "0.25 µm of an image of 600 x 200 px",
        ),
    ],
)
def test_descriptions(tmp_path, text, mpp, source):
    with Slide.open(described(tmp_path / "a.tif", text.encode())) as slide:
        assert slide.mpp == (None if mpp is None else pytest.approx(mpp))
        said = slide.metadata.get("scale_not_believed", "") if mpp is None else slide.mpp_source
    assert source in said
    assert bool(source) == bool(said)


@pytest.mark.parametrize(
    ("spacing", "mpp"),
    [
        ('"0.000243094" "0.000227273"', (0.243094, 0.227273)),
        ("0,000243094 0,000243094", (0.243094, 0.243094)),
        ('"0" "0"', None),
    ],
)
def test_philips(tmp_path, spacing, mpp):
    text = PHILIPS.format(spacing=spacing)
    path = described(tmp_path / "a.tiff", text, tile=(128, 128), software="Philips DP v1.0")
    found, source = scale_of(path)
    assert found == (None if mpp is None else pytest.approx(mpp, rel=1e-5))
    assert source == ("unknown" if mpp is None else "Philips pixel spacing")


@pytest.mark.parametrize("unit", ["micron", "microns", "um", "\\u00B5m", "Micrometers"])
def test_imagej_names_of_micrometres(tmp_path, unit):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE, imagej=True, resolution=(4, 2), metadata={"unit": unit})
    assert scale_of(path)[0] == pytest.approx((0.5, 0.25))


def test_imagej_units_of_both_axes(tmp_path):
    path = tmp_path / "a.tif"
    units = {"unit": "micron", "yunit": "mm"}
    tifffile.imwrite(path, IMAGE, imagej=True, resolution=(4, 4000), metadata=units)
    assert scale_of(path)[0] == pytest.approx((0.25, 0.25))


def test_what_is_not_believed_is_shown(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(IMAGE).save(path, dpi=(300, 300))
    with Slide.open(path) as slide:
        assert slide.mpp_source == "unknown"
        assert slide.metadata["scale_not_believed"] == "image resolution = 300 pixels per inch"


@pytest.mark.parametrize(
    ("given", "words"),
    [(0.5, "taken to have 0.5 um per pixel, as was asked, not 0.25"), (0.25, ""), (0.2501, ""),
     ((0.25, 0.3), "0.3 x 0.25 um per pixel, as was asked")],
)  # fmt: skip
def test_a_scale_that_goes_before_the_files_is_said(tmp_path, given, words):
    path = tmp_path / "a.tif"
    options = {"resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, smooth_image(64, 64), photometric="rgb", **options)
    with Slide.open(path, mpp=given) as slide:
        assert words in " ".join(slide.notes)
        assert bool(slide.notes) == bool(words)
    tifffile.imwrite(path, smooth_image(64, 64), photometric="rgb")
    with Slide.open(path, mpp=given) as slide:
        assert slide.notes == []


@pytest.mark.parametrize(
    "damage",
    [lambda text: text[:-8], lambda text: text.replace("</Pixels>", "</Pixel>")],
    ids=["cut off", "torn"],
)
def test_a_scale_in_damaged_xml_is_not_said_to_be_missing(tmp_path, damage):
    path = tmp_path / "a.ome.tif"
    sizes = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, IMAGE, photometric="rgb", metadata=sizes)
    tifffile.tiffcomment(path, damage(tifffile.tiffcomment(path)).encode())
    with Slide.open(path) as slide:
        assert slide.mpp is None
        assert "XML that is damaged" in slide.metadata["scale_not_believed"]


@pytest.mark.parametrize(
    "step",
    [
        {"type": "scale", "scale": [0.5, 0.5]},
        {"type": "scale", "scale": [0.5, 0.5, 0.5, 0.5]},
        {"type": "affine", "affine": [[1, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 0.5, 0]]},
        {"type": "rotation"},
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_a_transformation_that_does_not_fit_the_axes_is_no_scale_of_1(tmp_path, step, whole):
    folder = write_ngff(tmp_path / "a.zarr", [IMAGE], "cyx", "0.4", 0.5)
    group = zarr.open_group(folder, mode="r+")
    (listed,) = group.attrs["multiscales"]
    listed.update(
        axes=[a | {"unit": "micrometer"} if a["name"] != "c" else a for a in listed["axes"]]
    )
    where = listed if whole else listed["datasets"][0]
    where["coordinateTransformations"] = [step]
    group.attrs["multiscales"] = [listed]
    with Slide.open(folder) as slide:
        assert slide.mpp is None
        assert "does not fit" in slide.metadata["scale_not_believed"]
        np.testing.assert_array_equal(slide.levels[0][:], IMAGE)
