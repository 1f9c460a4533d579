"""Every format comes back as the pixels that went in, with its levels and its scale."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from slide_makers import halved, smooth_image, write_svs

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.slides.backends.openslide import open_vendor
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

LOSSY = "mean"  # JPEG with coarse colour: right on average


def everything(slide):
    return slide.read(Region(0, 0, *slide.shape))


def assert_close(found, wanted, most):
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    off = np.abs(found.astype(int) - wanted.astype(int))
    assert off.mean() < 6 if most == LOSSY else off.max() <= most


@pytest.mark.parametrize(
    ("compression", "most"), [("jpeg", LOSSY), (33005, 0), ("lzw", 0), ("deflate", 0), (None, 0)]
)
def test_svs(tmp_path, compression, most):
    image = smooth_image(601, 803)
    path = write_svs(tmp_path / "a.svs", image, compression=compression)
    with Slide.open(path) as slide:
        assert_close(everything(slide), image, most)
        assert_close(slide.levels[0][:], image, most)
        assert (slide.mpp, slide.mpp_source) == ((0.25, 0.25), "Aperio MPP")
        assert slide.metadata["vendor"] == "Aperio"
        assert slide.metadata["format"] == "SVS"


def test_svs_with_levels_keeps_their_exact_ratio(tmp_path):
    image = smooth_image(1101, 907)
    coarse = np.ascontiguousarray(image[::4, ::4])
    with Slide.open(write_svs(tmp_path / "a.svs", image, levels=[coarse])) as slide:
        assert slide.downsamples == ((1.0, 1.0), (1101 / 276, 907 / 227))
        assert slide.made == (False, False)
        assert_close(slide.levels[1][:], coarse, LOSSY)


def test_aperio_jpeg2000_in_ycbcr(tmp_path):
    import imagecodecs

    image = smooth_image(256, 256)
    ycbcr = np.asarray(Image.fromarray(image).convert("YCbCr"))
    tile = imagecodecs.jpeg2k_encode(ycbcr, level=0, mct=False, codecformat="j2k")
    path = tmp_path / "a.svs"
    tifffile.imwrite(
        path,
        iter([tile]),
        shape=image.shape,
        dtype="uint8",
        tile=(256, 256),
        compression=33003,
        photometric="rgb",
        description="Aperio Image Library v1|MPP = 0.5",
        metadata=None,
    )
    with Slide.open(path) as slide:
        assert_close(everything(slide), image, 3)


def test_pyramid_of_pages_as_vips_writes_it(tmp_path):
    image = smooth_image(1024, 1536)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as out:
        for number, level in enumerate((image, halved(image), halved(halved(image)))):
            out.write(level, tile=(128, 128), subfiletype=bool(number), metadata=None)
    with Slide.open(path) as slide:
        assert [level.shape[:2] for level in slide.levels] == [(1024, 1536), (512, 768), (256, 384)]
        assert slide.made == (False, False, False)
        assert slide.levels[0].chunks == (256, 256, 3)
        assert slide.metadata["format"] == "pyramidal TIFF"


def test_ome_tiff_with_subifds_of_odd_factors(tmp_path):
    image = smooth_image(1400, 1000)
    coarse = smooth_image(503, 359, seed=1)
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as out:
        size = {"axes": "YXS", "PhysicalSizeX": 0.0005, "PhysicalSizeXUnit": "mm"}
        size |= {"PhysicalSizeY": 0.0006, "PhysicalSizeYUnit": "mm"}
        out.write(image, tile=(256, 256), subifds=1, metadata=size)
        out.write(coarse, tile=(256, 256), subfiletype=1)
    with Slide.open(path) as slide:
        assert slide.downsamples[1] == (1400 / 503, 1000 / 359)
        assert slide.mpp == pytest.approx((0.6, 0.5))
        assert slide.mpp_source == "OME PhysicalSize"
        assert_close(slide.levels[1][:], coarse, 0)


@pytest.mark.parametrize(("count", "middle"), [(2, 1), (3, 1), (5, 2)])
def test_the_middle_plane_of_a_stack_is_taken(tmp_path, count, middle):
    stack = np.stack([smooth_image(300, 400, seed=n) for n in range(count)])
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, stack, ome=True, photometric="rgb", metadata={"axes": "ZYXS"})
    with Slide.open(path) as slide:
        assert_close(everything(slide), stack[middle], 0)
        assert slide.metadata["plane"] == f"{middle + 1} of {count} (Z)"
        assert f"plane {middle + 1} of {count} (Z) is read" in slide.notes[0]


def test_scn(tmp_path):
    image, coarse = smooth_image(600, 800), smooth_image(150, 200, seed=1)
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        '<collection name="c"><image name="i"><pixels sizeX="800" sizeY="600">'
        '<dimension sizeX="800" sizeY="600" r="0" ifd="0"/>'
        '<dimension sizeX="200" sizeY="150" r="1" ifd="1"/></pixels></image></collection></scn>'
    )
    path = tmp_path / "a.scn"
    with tifffile.TiffWriter(path, bigtiff=True) as out:
        for level, text, size in ((image, xml, 20000), (coarse, None, 5000)):
            out.write(
                level,
                tile=(256, 256),
                description=text,
                metadata=None,
                resolution=(size, size),
                resolutionunit="CENTIMETER",
            )
    with Slide.open(path) as slide:
        assert slide.metadata["vendor"] == "Leica"
        assert slide.downsamples == ((1.0, 1.0), (4.0, 4.0))
        assert slide.mpp == pytest.approx((0.5, 0.5))
        assert_close(everything(slide), image, 0)


def test_ndpi_with_restart_markers(tmp_path):
    image = smooth_image(256, 1024)
    path = write_ndpi(tmp_path / "a.ndpi", image, per_cm=22000)
    with Slide.open(path) as slide:
        assert slide.metadata["vendor"] == "Hamamatsu"
        assert slide.mpp_source == "NDPI resolution"
        assert slide.mpp == pytest.approx((1e4 / 22000,) * 2)
        assert slide.base.tile == (16, 512)  # a tile is a restart interval, not the whole slide
        # colour is smoothed within a tile only
        assert_close(everything(slide), np.asarray(Image.open(tmp_path / "whole.jpg")), 10)


def write_ndpi(path, image, per_cm):
    """One level as the scanner writes it: a single JPEG, and where its restart intervals begin."""
    whole = path.parent / "whole.jpg"
    Image.fromarray(image).save(whole, quality=95, subsampling=2, restart_marker_blocks=32)
    jpeg = whole.read_bytes()
    scan = jpeg.index(b"\xff\xda")
    first = scan + 2 + struct.unpack(">H", jpeg[scan + 2 : scan + 4])[0]
    markers = [
        at + 2
        for at in range(first, len(jpeg) - 1)
        if jpeg[at] == 0xFF and 0xD0 <= jpeg[at + 1] <= 0xD7
    ]
    starts = np.array([first, *markers], "<u4")
    data_at, starts_at = 16, 16 + len(jpeg)
    text_at = starts_at + starts.nbytes
    ratio_at = text_at + 10
    tags = [
        (256, 4, 1, image.shape[1]),
        (257, 4, 1, image.shape[0]),
        (258, 3, 1, 8),
        (259, 3, 1, 7),
        (262, 3, 1, 6),
        (271, 2, 10, text_at),
        (273, 4, 1, data_at),
        (277, 3, 1, 3),
        (278, 4, 1, image.shape[0]),
        (279, 4, 1, len(jpeg)),
        (282, 5, 1, ratio_at),
        (283, 5, 1, ratio_at),
        (296, 3, 1, 3),
        (65420, 4, 1, 1),
        (65421, 11, 1, struct.unpack("<I", struct.pack("<f", 20.0))[0]),
        (65426, 4, len(starts), starts_at),
    ]
    ifd = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    ifd += struct.pack("<Q", 0) + bytes(4 * len(tags))  # the high halves of the 64-bit values
    rest = starts.tobytes() + b"Hamamatsu\0" + struct.pack("<II", per_cm, 1)
    start = data_at + len(jpeg) + len(rest)
    path.write_bytes(b"II*\0" + struct.pack("<Q", start) + bytes(4) + jpeg + rest + ifd)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["tczyx", "cyx", "yxc"])
def test_ome_zarr(tmp_path, version, axes):
    image = smooth_image(601, 803)
    write_ngff(tmp_path / "a.ome.zarr", [image, image[::2, ::2]], axes, version, 0.5)
    with Slide.open(tmp_path / "a.ome.zarr") as slide:
        assert_close(everything(slide), image, 0)
        assert_close(slide.levels[1][:], image[::2, ::2], 0)
        assert slide.mpp == pytest.approx((0.5, 0.5))
        assert slide.mpp_source == "OME-NGFF"
        assert slide.downsamples[1] == (2.0, 2.0)  # as the file says, not 803 / 402
        assert slide.metadata["format"] == f"OME-Zarr {version}"


def test_ome_zarr_in_the_layout_of_bioformats2raw(tmp_path):
    image = smooth_image(301, 203)
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    write_ngff(tmp_path / "a.zarr" / "0", [image], "tczyx", "0.4", 0.25)
    with Slide.open(tmp_path / "a.zarr") as slide:
        assert_close(everything(slide), image, 0)


@pytest.mark.parametrize("axes", ["xy", "xyc", "cxy", "xcy", "yxc", "zxyc"])
def test_axes_of_ome_zarr_come_in_any_order(tmp_path, axes):
    image = smooth_image(200, 200)  # as wide as high: a turned one has the same shape
    image = image if "c" in axes else image[..., 0]
    with Slide.open(write_ngff(tmp_path, [image], axes, "0.4", 0.25)) as slide:
        np.testing.assert_array_equal(slide.levels[0][:], image)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_of_several_images_in_one_group_the_scan_is_read(tmp_path, version):
    image, macro = smooth_image(200, 300), 255 - smooth_image(100, 150)
    group = zarr.open_group(write_ngff(tmp_path, [image], "cyx", version, 0.5), mode="r+")
    group.create_array("macro", data=np.moveaxis(macro, -1, 0))
    about = dict(group.attrs) if version == "0.4" else group.attrs["ome"]
    (scan,) = about["multiscales"]
    about["multiscales"] = [scan | {"name": "Macro", "datasets": [{"path": "macro"}]}, scan]
    group.attrs.update(about if version == "0.4" else {"ome": about})
    with Slide.open(tmp_path) as slide:
        assert_close(everything(slide), image, 0)
        assert (
            "holds 2 images in one group; one without a name is read, not Macro" in slide.notes[0]
        )


def test_a_scale_that_nothing_states_is_not_one_micrometre(tmp_path):
    group = zarr.open_group(
        write_ngff(tmp_path, [smooth_image(200, 300)], "cyx", "0.4", 0.5), mode="r+"
    )
    (about,) = group.attrs["multiscales"]
    for level in about["datasets"]:
        del level["coordinateTransformations"]
    group.attrs["multiscales"] = [about]
    with Slide.open(tmp_path) as slide:
        assert slide.mpp is None


@pytest.mark.parametrize("thumbnail", [False, True])
def test_images_of_other_sizes_in_a_plain_tiff_are_told_of(tmp_path, thumbnail):
    image = smooth_image(256, 320)
    with tifffile.TiffWriter(tmp_path / "a.tif") as out:
        out.write(image, photometric="rgb", tile=(64, 64))
        out.write(image[::2, ::2], photometric="rgb", tile=(64, 64))  # a level of it
        out.write(image[:100, :200], photometric="rgb", subfiletype=int(thumbnail))
    with Slide.open(tmp_path / "a.tif") as slide:
        np.testing.assert_array_equal(slide.levels[0][:], image)
        said = " ".join(slide.notes)
    assert ("holds 2 images; the largest, of 320 x 256 px" in said) != thumbnail
    assert ("not that of 200 x 100 px" in said) != thumbnail


def write_ngff(folder, levels, axes, version, um):
    """Levels (Y, X) or (Y, X, 3), stored with the axes in that order; returns the folder."""
    kinds = {"t": "time", "c": "channel"}
    group = zarr.open_group(folder, mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for number, level in enumerate(levels):
        there = "yxc"[: level.ndim]
        more = "".join(axis for axis in axes if axis not in there)
        stored = level[(None,) * len(more)].transpose([(more + there).index(a) for a in axes])
        group.create_array(str(number), data=np.ascontiguousarray(stored))
        scale = [um * 1e-3 * 2**number if axis in "yx" else 1.0 for axis in axes]
        steps = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(number), "coordinateTransformations": steps})
    units = {axis: {"unit": "millimeter"} for axis in "yx"}
    multiscale = {
        "datasets": datasets,
        "axes": [
            {"name": axis, "type": kinds.get(axis, "space"), **units.get(axis, {})} for axis in axes
        ],
    }
    if version == "0.4":
        group.attrs["multiscales"] = [{"version": "0.4", **multiscale}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    return folder


@pytest.mark.parametrize("name", ["cmu-1-small-region.svs", "tcga-cr-7395-01a-01-ts1.svs"])
def test_openslide_and_tifffile_see_the_same(data, name):
    pytest.importorskip("openslide")
    path = data / "wsi" / name
    ours = Slide.open(path)
    source = open_vendor(path)
    theirs = source.planes[0]
    assert theirs.shape == ours.shape
    region = Region(512, 1024, 512, 512)
    other = source.colours.apply(theirs.decode(1, 2))
    # two JPEG 2000 decoders round differently
    assert np.abs(ours.read(region).astype(int) - other).max() <= 2
    assert [p.shape for p in source.planes][1:] == [
        level.shape[:2]
        for level, made in zip(ours.levels[1:], ours.made[1:], strict=True)
        if not made
    ]
    source.close()
    ours.close()


def test_a_refusal_is_final(tmp_path, monkeypatch):
    from napari_pathogan.errors import SlideFormatError
    from napari_pathogan.slides.backends import openslide, tiff

    def refuse(path):
        raise SlideFormatError("not this one")

    path = write_svs(tmp_path / "a.svs", smooth_image(512, 512))
    monkeypatch.setattr(tiff, "open_tiff", refuse)
    monkeypatch.setattr(openslide, "open_vendor", lambda path: pytest.fail("a second reader"))
    with pytest.raises(SlideFormatError, match="not this one"):
        Slide.open(path)


def test_real_slides(data):
    with Slide.open(data / "wsi" / "kidney-48-5.tif") as slide:
        whole = tifffile.imread(slide.path)
        assert_close(everything(slide), whole, 0)
    with Slide.open(data / "wsi" / "cmu-1-small-region.svs") as slide:
        assert slide.mpp == (0.499, 0.499)
        assert_close(slide.levels[0][:], tifffile.imread(slide.path), 0)


@pytest.mark.parametrize("first", [0, 2])
def test_an_ome_tiff_in_several_files(tmp_path, first):
    image = smooth_image(300, 400)
    listed = "".join(f'<Channel ID="Channel:0:{n}" SamplesPerPixel="1"/>' for n in range(3))
    listed += "".join(
        f'<TiffData FirstC="{n}" IFD="0" PlaneCount="1"><UUID FileName="{n}.ome.tif">urn:uuid:{n}'
        "</UUID></TiffData>"
        for n in range(3)
    )
    for number in range(3):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/'
            f'OME/2016-06" UUID="urn:uuid:{number}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYCZT" Type="uint8" SizeX="400" SizeY="300" SizeC="3" SizeZ="1" '
            f'SizeT="1">{listed}</Pixels></Image></OME>'
        )
        tifffile.imwrite(
            tmp_path / f"{number}.ome.tif",
            image[..., number],
            tile=(128, 128),
            compression="deflate",
            photometric="minisblack",
            description=xml,
            metadata=None,
        )
    with Slide.open(tmp_path / f"{first}.ome.tif") as slide:
        assert_close(everything(slide), image, 0)
    (tmp_path / "1.ome.tif").unlink()
    with pytest.raises(SlideFormatError, match="lacks 1 of its 3 channels"):
        Slide.open(tmp_path / f"{first}.ome.tif")


@pytest.mark.parametrize("tiled", [{"tile": (64, 64)}, {}])
@pytest.mark.parametrize(
    ("orientation", "told"),
    [
        (1, ""),
        (2, "left to right"),
        (3, "180"),
        (6, "90 degrees clockwise"),
        (8, "counter"),
        (9, ""),
    ],
)
def test_an_image_that_asks_to_be_turned_is_told_of(tmp_path, orientation, told, tiled):
    path, pixels = tmp_path / "a.tif", smooth_image(96, 128)
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, pixels, photometric="rgb", extratags=tags, **tiled)
    with Slide.open(path) as slide:
        assert np.array_equal(slide.read(Region(0, 0, 96, 128)), pixels)
        assert told in "".join(slide.notes)
        assert len(slide.notes) == bool(told)


def test_what_is_told_of_a_grey_image_is_told_of_the_mammogram(tmp_path):
    path = tmp_path / "a_R_CC.tif"
    tags = [(274, "H", 1, 2, True)]
    tifffile.imwrite(path, smooth_image(96, 128)[..., 0], photometric="minisblack", extratags=tags)
    assert "mirrored from left to right" in open_mammogram(path).notes[0]
