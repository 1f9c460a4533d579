"""Files that claim what they don't hold: one sentence, or read with their damage told of."""

from __future__ import annotations

import json
import re
import struct
import time

import imagecodecs
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from slide_makers import smooth_image
from test_slide_layouts import image

from napari_pathogan.errors import PathoganError
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.tissue import tissue_mask

WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT, ROWS = 256, 257, 322, 323, 278


def outcome(path):
    """The error's sentence, or those of the slide's notes; with how long it took."""
    start = time.process_time()
    try:
        with Slide.open(path) as slide:
            if slide.is_rgb:
                tissue_mask(slide)
            slide.read(Region(0, 0, 300, 300))
            said = slide.notes
    except PathoganError as error:
        said = [str(error)]
    assert time.process_time() - start < 10
    return said


def names():
    from pathlib import Path

    folder = Path(__file__).parents[3] / "shared" / "cases" / "hostile"
    return sorted(folder.glob("*.tif"))


@pytest.mark.parametrize("path", names(), ids=lambda path: path.stem)
def test_files_of_the_folder_of_cases(path):
    assert path.name in outcome(path)[0]


@pytest.mark.parametrize("compression", ["deflate", "lzw", "jpeg", "zstd", "webp", None])
@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (WIDTH, 10**6),
        (HEIGHT, 10**6),
        (WIDTH, 0),
        (TILE_WIDTH, 2**31),
        (TILE_HEIGHT, 2**31),
        (TILE_WIDTH, 16),
        (TILE_HEIGHT, 0),
    ],
)
def test_claims_of_a_tiff(tmp_path, compression, tag, value):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        smooth_image(300, 400),
        tile=(128, 128),
        compression=compression,
        photometric="rgb",
        metadata=None,
    )
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].tags[tag].offset
    data = bytearray(path.read_bytes())
    data[at + 2 : at + 4] = struct.pack("<H", 4)
    data[at + 8 : at + 12] = struct.pack("<I", value)
    path.write_bytes(data)
    assert "a.tif" in outcome(path)[0]


@pytest.mark.parametrize(
    ("codec", "compression"),
    [("jpeg", 7), ("jpeg2k", 33005), ("webp", 50001), ("png", 34933), ("jpegxl", 50002)],
)
def test_tiles_that_unfold(tmp_path, codec, compression):
    side = 2048
    bomb = getattr(imagecodecs, f"{codec}_encode")(np.zeros((side, side, 3), np.uint8))
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        iter([bomb]),
        shape=(256, 256, 3),
        dtype="uint8",
        tile=(256, 256),
        compression=compression,
        photometric="rgb",
        metadata=None,
    )
    assert f"claims {side} x {side} px" in outcome(path)[0]


@pytest.mark.parametrize("member", ["axes", "datasets", "name", "0"])
@pytest.mark.parametrize("value", [None, 0, -1, "x", [], {}, [None], [[[]]], 10**30, float("nan")])
def test_metadata_of_ome_zarr(tmp_path, member, value):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    image(group, smooth_image(128, 256), (0.5, 0.5), "x", levels=2)
    meta = tmp_path / "a.zarr" / ".zattrs"
    about = json.loads(meta.read_text())
    if member == "0":
        about["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] = value
    else:
        about["multiscales"][0][member] = value
    meta.write_text(json.dumps(about))
    said = outcome(tmp_path / "a.zarr")
    assert not said or "a.zarr" in said[0]


@pytest.mark.parametrize(
    "member", ["plate", "well", "multiscales", "bioformats2raw.layout", "omero"]
)
@pytest.mark.parametrize("value", [None, 0, "x", [], {}, [None], {"wells": None, "images": [None]}])
@pytest.mark.parametrize("version", [2, 3])
def test_metadata_around_the_images_of_ome_zarr(tmp_path, member, value, version):
    outer = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    inner = outer.create_group("0")
    image(inner, smooth_image(128, 256), (0.5, 0.5), "x", levels=2, version=version)
    outer.attrs.update({member: value} if version == 2 else {"ome": {member: value}})
    said = outcome(tmp_path / "a.zarr")
    assert not said or ("a.zarr" in said[0] and "object" not in said[0])
    if value is None:  # it says nothing: the image that is there is opened
        assert not said or "damaged" not in said[0]
        with Slide.open(tmp_path / "a.zarr") as slide:
            assert slide.shape == (128, 256)


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("tile", [None, (256, 256)])
def test_a_file_that_shrinks_while_it_is_open(tmp_path, compression, tile):
    path = tmp_path / "a.tif"
    pixels = smooth_image(2000, 2500)
    tifffile.imwrite(
        path, pixels, tile=tile, compression=compression, photometric="rgb", metadata=None
    )
    with Slide.open(path, cache_mb=0) as slide:
        slide.read(Region(0, 0, 100, 100))
        with path.open("r+b") as stream:
            stream.truncate(5000)
        slide.read(Region(1500, 0, 500, 500))
        assert "the file ends before it" in slide.damaged[0]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("codec", ["zstd", "blosc", "gzip"])
def test_chunks_that_unfold(tmp_path, version, codec):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    codecs = {
        (2, "zstd"): numcodecs.Zstd(),
        (2, "blosc"): numcodecs.Blosc("lz4"),
        (2, "gzip"): numcodecs.GZip(),
        (3, "zstd"): zarr.codecs.ZstdCodec(),
        (3, "blosc"): zarr.codecs.BloscCodec(),
        (3, "gzip"): zarr.codecs.GzipCodec(),
    }
    pixels = smooth_image(256, 512)
    array = group.create_array(
        "0", data=pixels, chunks=(256, 256, 3), compressors=codecs[version, codec]
    )
    axes = [{"name": name} for name in "yxc"]
    about = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    group.attrs.update(about if version == 2 else {"ome": about})
    with Slide.open(tmp_path / "a.zarr") as slide:
        assert np.array_equal(slide.read(Region(0, 0, 256, 512)), pixels)
    key = array.metadata.encode_chunk_key((0, 0, 0))
    bomb = np.random.default_rng(0).bytes(1_000_000) if codec == "gzip" else bytes(100_000_000)
    encode = {"zstd": numcodecs.Zstd(), "blosc": numcodecs.Blosc("lz4"), "gzip": numcodecs.GZip()}
    (tmp_path / "a.zarr" / "0" / key).write_bytes(encode[codec].encode(bomb))
    assert "bytes where 196608 belong" in outcome(tmp_path / "a.zarr")[0]


def test_what_a_library_wonders_about_in_a_zarr_folder_is_not_printed(tmp_path, recwarn):
    """A damaged description of a group: what it holds is then no part of the hierarchy."""
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=(64, 64), dtype="u1")
    group.create_group("OME")
    (tmp_path / "a.zarr" / "OME" / ".zgroup").rename(tmp_path / "a.zarr" / "OME" / "zgroup")
    with pytest.raises(PathoganError, match=r"a\.zarr"):
        Slide.open(tmp_path / "a.zarr")
    assert not [one for one in recwarn if "hierarchy" in str(one.message)]


@pytest.mark.parametrize(
    "claim", ['SizeC="300000000"', 'SizeC="3" SizeT="99999999"', 'SizeZ="99999999999999"']
)
def test_planes_that_ome_xml_claims_are_not_listed_one_by_one(tmp_path, claim):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, smooth_image(60, 70), photometric="rgb", metadata={"axes": "YXS"})
    text = tifffile.tiffcomment(path)
    for one in claim.split():
        name = one.partition("=")[0]
        text = re.sub(rf'{name}="\d+"', one, text)
    tifffile.tiffcomment(path, text.encode())
    (said,) = outcome(path)
    assert "planes, more than any image has" in said


def test_an_image_has_each_axis_once(tmp_path):
    group = zarr.open_group(tmp_path / "a", mode="w", zarr_format=2)
    image(group, smooth_image(128, 128), (0.5, 0.5), "x")
    (listed,) = group.attrs["multiscales"]
    listed["axes"] = ["y", "y", "x"]
    group.attrs["multiscales"] = [listed]
    assert "axes 'yyx', which are not an image's" in outcome(tmp_path / "a")[0]


@pytest.mark.parametrize("kind", ["gif", "png", "mpo"])
def test_further_pictures_of_a_file_are_told_of(tmp_path, kind):
    first = Image.fromarray(smooth_image(60, 70))
    path = tmp_path / f"a.{kind}"
    more = {"save_all": True, "append_images": [first.rotate(180)]}
    first.save(path, **more)
    assert outcome(path) == [f"{path.name} holds 2 pictures; the first is read"]
    first.save(tmp_path / f"b.{kind}")
    assert outcome(tmp_path / f"b.{kind}") == []
