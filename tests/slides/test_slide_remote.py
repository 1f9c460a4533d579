"""Slides at an address: the same pixels, few bytes, a disk cache within bounds, and faults told once."""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import struct
import subprocess
import sys
import time
import traceback
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from slide_makers import smooth_image, write_svs
from slide_server import serving

from napari_pathogan import addresses, files, kinds
from napari_pathogan.annotations import store
from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.errors import OutputError, SlideFormatError, SlideReadError
from napari_pathogan.slides import scales
from napari_pathogan.slides.backends import blocks, remote
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.writers.pyramid import write_slide

IMAGE = smooth_image(1024, 1536)
NOISE = np.random.default_rng(0).integers(0, 255, (2048, 2048, 3), np.uint8)
WHOLE = Region(0, 0, *IMAGE.shape[:2])
FAR = Region(1536, 1536, 256, 256)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of its own, and a network that is given up soon."""
    cache = blocks.BlockCache(tmp_path_factory.mktemp("cache") / "remote", 64 << 20)
    monkeypatch.setattr(blocks, "shared", lambda: cache)
    monkeypatch.setattr(remote, "WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(remote, "ANSWER", timedelta(seconds=1))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    return cache


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path) as one:
        yield one


def ome_zarr(path, pixels=IMAGE, **options):
    with Slide.from_arrays([pixels], name="a", mpp=0.5) as slide:
        list(write_slide(path, slide, **options))
    return path


def sharded(path):
    ome_zarr(path)
    old = zarr.open_group(path)["0"]
    pixels, names = old[:], old.metadata.dimension_names
    whole = zarr.create_array(
        path / "0",
        shape=pixels.shape,
        dtype=pixels.dtype,
        chunks=(*pixels.shape[:-2], 256, 256),
        shards=(*pixels.shape[:-2], 1024, 768),
        dimension_names=names,
        overwrite=True,
    )
    whole[:] = pixels


def zarr_v2(path):
    group = zarr.open_group(path, mode="w", zarr_format=2)
    array = group.create_array("0", shape=(3, 1024, 1536), chunks=(3, 256, 256), dtype="u1")
    array[:] = np.moveaxis(IMAGE, -1, 0)
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [{"name": a, "type": "space", "unit": "micrometer"} for a in "cyx"],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.5]}],
                }
            ],
        }
    ]


def bioformats2raw(path):
    outer = zarr.open_group(path, mode="w", zarr_format=2)
    outer.attrs["bioformats2raw.layout"] = 3
    zarr_v2(path / "0")


def channels(path):
    pixels = np.moveaxis(IMAGE, -1, 0)
    tifffile.imwrite(path, pixels, photometric="rgb", planarconfig="separate", tile=(256, 256))


KINDS = {
    "a.svs": lambda path: write_svs(path, IMAGE, levels=[IMAGE[::4, ::4].copy()]),
    "with space & more.tif": lambda path: tifffile.imwrite(path, IMAGE, tile=(256, 256)),
    "strips.tif": lambda path: tifffile.imwrite(path, IMAGE, compression="lzw", rowsperstrip=64),
    "in one piece.tif": lambda path: tifffile.imwrite(path, IMAGE),
    "separate.tif": channels,
    "big.btf": lambda path: tifffile.imwrite(path, IMAGE, tile=(256, 256), bigtiff=True),
    "a.ome.tif": lambda path: tifffile.imwrite(path, IMAGE, tile=(256, 256), ome=True),
    "a.png": lambda path: Image.fromarray(IMAGE).save(path),
    "a.jpg": lambda path: Image.fromarray(IMAGE).save(path),
    "a.ome.zarr": ome_zarr,
    "sharded.ome.zarr": sharded,
    "v2.zarr": zarr_v2,
    "raw.zarr": bioformats2raw,
}


@pytest.mark.parametrize("name", KINDS)
def test_it_is_the_slide_that_a_file_is(tmp_path, server, name):
    KINDS[name](tmp_path / name)
    with Slide.open(tmp_path / name) as here, Slide.open(f"{server.url}/{name}") as there:
        assert (there.name, there.mpp, there.mpp_source) == (name, here.mpp, here.mpp_source)
        assert there.metadata == here.metadata
        assert there.downsamples == here.downsamples
        np.testing.assert_array_equal(there.read(WHOLE), here.read(WHOLE))
        np.testing.assert_array_equal(
            there.read(WHOLE, size=(64, 96)), here.read(WHOLE, size=(64, 96))
        )
        assert there.notes == here.notes


@pytest.mark.parametrize("name", ["größe 1/ä&b.tif", "größe 1/ä&b.ome.zarr", "a+b (2)/c=d.tif"])
@pytest.mark.parametrize("coded", [False, True])
def test_names_may_hold_any_letter(tmp_path, server, name, coded):
    (tmp_path / name).parent.mkdir()
    if name.endswith(".zarr"):
        ome_zarr(tmp_path / name)
    else:
        tifffile.imwrite(tmp_path / name, IMAGE, tile=(256, 256))
    with Slide.open(f"{server.url}/{quote(name) if coded else name}") as slide:
        np.testing.assert_array_equal(slide.read(WHOLE), IMAGE)


def test_a_level_that_would_lie_elsewhere(tmp_path, server):
    zarr_v2(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "0").rename(tmp_path / "0")
    about = tmp_path / "a.zarr" / ".zattrs"
    about.write_text(about.read_text().replace('"path": "0"', '"path": "../0"'))
    refused(f"{server.url}/a.zarr", "a.zarr is not a complete OME-Zarr image")


def test_only_what_is_looked_at_is_asked_for(tmp_path, server):
    tifffile.imwrite(tmp_path / "a.tif", NOISE, tile=(256, 256))
    with Slide.open(f"{server.url}/a.tif") as slide:
        np.testing.assert_array_equal(slide.read(FAR), NOISE[1536:1792, 1536:1792])
    assert all(span for _, span in server.asked)
    assert len(server.asked) <= 6  # of the 48 blocks of its 12 MB


def test_what_was_read_lies_on_the_disk(tmp_path, server):
    tifffile.imwrite(tmp_path / "a.tif", NOISE, tile=(256, 256))
    for _ in range(2):
        server.asked.clear()
        with Slide.open(f"{server.url}/a.tif") as slide:
            np.testing.assert_array_equal(slide.read(FAR), NOISE[1536:1792, 1536:1792])
    assert [span for _, span in server.asked] == ["bytes=0-262143"]  # is it still as it was?


def test_files_of_zarr_that_are_as_they_were_are_not_sent_again(tmp_path, server):
    ome_zarr(tmp_path / "a.ome.zarr")
    for _ in range(2):
        server.asked.clear()
        server.heads.clear()
        with Slide.open(f"{server.url}/a.ome.zarr") as slide:
            np.testing.assert_array_equal(slide.read(WHOLE), IMAGE)
    chunks = [
        head for (path, _), head in zip(server.asked, server.heads, strict=True) if "/c/" in path
    ]
    assert chunks
    assert all("If-None-Match" in head for head in map(_titled, chunks))


def _titled(head):
    return {name.title(): value for name, value in head.items()}


def test_a_file_that_was_changed_since_is_read_anew(tmp_path, server):
    for image in (IMAGE, 255 - IMAGE):
        tifffile.imwrite(tmp_path / "a.tif", image, tile=(256, 256))
        ome_zarr(tmp_path / f"{image[0, 0, 0]}.ome.zarr", image).rename(tmp_path / "a.ome.zarr")
        for name in ("a.tif", "a.ome.zarr"):
            with Slide.open(f"{server.url}/{name}") as slide:
                np.testing.assert_array_equal(slide.read(WHOLE), image)
        (tmp_path / "a.ome.zarr").rename(tmp_path / f"old-{image[0, 0, 0]}")


def test_the_cache_stays_within_its_budget(tmp_path, server, cache):
    cache.budget = 6 << 20  # of the 12 MB of the file
    tifffile.imwrite(tmp_path / "a.tif", NOISE, tile=(256, 256))
    with Slide.open(f"{server.url}/a.tif", cache_mb=0) as slide:
        for _ in range(2):
            np.testing.assert_array_equal(slide.read(Region(0, 0, 2048, 2048)), NOISE)
    assert cache.budget / 2 < cache.size() <= cache.budget * 17 / 16


def test_what_was_used_last_stays_in_the_cache(tmp_path):
    cache = blocks.BlockCache(tmp_path, 64_000)
    for number in range(40):
        cache.put(str(number), bytes(2000))
        time.sleep(0.002)
        assert cache.get("0") is not None
    assert cache.get("1") is None


def test_what_is_damaged_on_the_disk_is_asked_for_again(tmp_path, server, cache):
    tifffile.imwrite(tmp_path / "a.tif", NOISE, tile=(256, 256))
    with Slide.open(f"{server.url}/a.tif") as slide:
        slide.read(FAR)
    for file in cache.folder.glob("*/*"):
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    with Slide.open(f"{server.url}/a.tif") as slide:
        np.testing.assert_array_equal(slide.read(FAR), NOISE[1536:1792, 1536:1792])


def test_without_a_place_on_the_disk_it_is_read_all_the_same(tmp_path, server, cache):
    cache.folder = tmp_path / "a file"
    cache.folder.touch()
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, tile=(256, 256))
    with Slide.open(f"{server.url}/a.tif") as slide:
        np.testing.assert_array_equal(slide.read(WHOLE), IMAGE)


FAULTS = {500: "error 500", 503: "error 503", 429: "error 429", "cut": "cut", "slow": "in time"}


@pytest.mark.parametrize("name", ["a.tif", "a.ome.zarr"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_not_seen(tmp_path, server, name, fault):
    server.delay = 1.5
    (ome_zarr if "zarr" in name else KINDS["separate.tif"])(tmp_path / name)
    server.faults = [fault]
    with Slide.open(f"{server.url}/{name}") as slide:
        server.faults = [fault, fault] if fault != "slow" else [fault]
        np.testing.assert_array_equal(slide.read(WHOLE), IMAGE)
        assert slide.notes == []


@pytest.mark.parametrize("name", ["a.tif", "a.ome.zarr"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_one_sentence(tmp_path, server, name, fault, monkeypatch):
    monkeypatch.setattr(remote, "ANSWER", timedelta(seconds=0.3))
    server.delay = 0.6
    (ome_zarr if "zarr" in name else KINDS["separate.tif"])(tmp_path / name)
    with Slide.open(f"{server.url}/{name}") as slide:
        server.always = fault
        with pytest.raises(SlideReadError) as caught:
            slide.read(WHOLE)
        message = str(caught.value)
        assert name in message
        assert FAULTS[fault] in message
        assert "4 times" in message
        assert "\n" not in message
        time.sleep(0.3)  # others that had begun
        asked = len(server.asked)
        with pytest.raises(SlideReadError, match="4 times"):
            slide.read(WHOLE)
        assert len(server.asked) == asked  # for a while it is not tried again
        server.always = None
        monkeypatch.setattr(remote, "PAUSE", 0.0)
        np.testing.assert_array_equal(slide.read(WHOLE), IMAGE)
        assert slide.notes == []


def test_a_server_that_is_gone(tmp_path):
    with serving(tmp_path) as server:
        url = f"{server.url}/a.svs"
    with pytest.raises(
        SlideReadError, match="it can't be reached, 4 times over; check the network"
    ):
        Slide.open(url)


def remade(path):
    tifffile.imwrite(path, NOISE[::-1].copy(), tile=(256, 256))


def longer(path):
    tifffile.imwrite(path, NOISE, tile=(256, 256), description="a longer one" * 9)


CHANGES = {
    "another ETag": (remade, True, False),
    "another date": (remade, False, True),
    "another length": (longer, False, False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_under_way_is_told(tmp_path, server, change):
    path = tmp_path / "a.tif"
    again, server.etags, server.dates = CHANGES[change]
    tifffile.imwrite(path, NOISE, tile=(256, 256))
    with Slide.open(f"{server.url}/a.tif") as slide:
        if server.dates:
            time.sleep(1.1)  # HTTP counts in seconds
        again(path)
        with pytest.raises(SlideReadError, match="while it was read; open it again"):
            slide.read(FAR)
        tifffile.imwrite(path, NOISE, tile=(256, 256))
        with pytest.raises(SlideReadError, match="open it again"):
            slide.read(FAR)
    with Slide.open(f"{server.url}/a.tif") as slide:
        np.testing.assert_array_equal(slide.read(FAR), NOISE[1536:1792, 1536:1792])


def test_a_file_that_is_taken_away_under_way(tmp_path, server):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, NOISE, tile=(256, 256))
    with Slide.open(f"{server.url}/a.tif") as slide:
        path.unlink()
        with pytest.raises(SlideReadError, match="taken away"):
            slide.read(FAR)


def test_a_chunk_that_changes_under_way_is_told(tmp_path, server, cache):
    ome_zarr(tmp_path / "a.ome.zarr")
    cache.budget = 0
    with Slide.open(f"{server.url}/a.ome.zarr", cache_mb=0) as slide:
        slide.read(Region(0, 0, 256, 256))
        ome_zarr(tmp_path / "b.ome.zarr", 255 - IMAGE)
        (tmp_path / "a.ome.zarr").rename(tmp_path / "old.ome.zarr")
        (tmp_path / "b.ome.zarr").rename(tmp_path / "a.ome.zarr")
        store = slide.base._plane._array.store
        store._recent.clear()
        with pytest.raises(SlideReadError, match="was changed at"):
            slide.read(Region(0, 0, 256, 256))


def refused(url, *words, kind=SlideFormatError):
    with pytest.raises(kind) as caught:
        Slide.open(url)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_what_cannot_be_read_at_an_address(tmp_path, server):
    (tmp_path / "a.html").write_text("<!DOCTYPE html><html>slides</html>")
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(900))
    (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8\xff" + bytes(900))
    (tmp_path / "a.svs").touch()
    (tmp_path / "cut.svs").write_bytes(write_svs(tmp_path / "b.svs", IMAGE).read_bytes()[:5000])
    refused(f"{server.url}/a.html", "web page", "address of the slide's file")
    refused(f"{server.url}/a.dcm", "a.dcm can't be read at an address", "download it")
    refused(f"{server.url}/a.mrxs", "a.mrxs can't be read at an address", "download it")
    refused(f"{server.url}/a.svs", "a.svs is empty")
    refused(f"{server.url}/cut.svs", "cut.svs is truncated")
    refused(f"{server.url}/gone.svs", "there is no slide at", "/gone.svs")
    refused(f"{server.url}/gone.ome.zarr", "there is no slide at", "/gone.ome.zarr")
    refused("ftp://host/a.svs", "ftp:// addresses can't be read")
    refused("https://host", "names no file")


def test_overlapping_tiles_are_openslides(tmp_path, server):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, tile=(256, 256), software="MedScan", metadata=None)
    refused(f"{server.url}/a.tif", "overlapping tiles (Trestle)", "download it")


def test_a_server_without_ranges(tmp_path, server):
    server.ranges = False
    write_svs(tmp_path / "a.svs", IMAGE)
    refused(f"{server.url}/a.svs", "range requests", "download it", kind=SlideReadError)
    ome_zarr(tmp_path / "a.ome.zarr")  # its files are asked for as a whole
    with Slide.open(f"{server.url}/a.ome.zarr") as slide:
        np.testing.assert_array_equal(slide.read(WHOLE), IMAGE)


def test_without_permission(tmp_path, server):
    write_svs(tmp_path / "a.svs", IMAGE)
    server.login = "nobody has it"
    refused(f"{server.url}/a.svs", "127.0.0.1", "a.svs without permission", kind=SlideReadError)
    assert len(server.asked) == 1  # it would be refused again


def test_a_bucket_that_forbids_what_it_lacks(tmp_path, server):
    server.missing = 403  # as S3 does where nothing may be listed
    zarr_v2(tmp_path / "a.zarr")
    with Slide.open(f"{server.url}/a.zarr") as slide:
        np.testing.assert_array_equal(slide.read(WHOLE), IMAGE)
    refused(f"{server.url}/gone.zarr", "without permission", kind=SlideReadError)


SECRET = "s3cr3t"


def everything_said(error):
    return "".join(traceback.format_exception(error))


def test_secrets_are_used_and_never_shown(tmp_path, server, caplog):
    caplog.set_level("DEBUG")
    write_svs(tmp_path / "a.svs", NOISE)
    server.login = "Basic " + base64.b64encode(f"ada:{SECRET}p".encode()).decode()
    server.query = f"X-Amz-Signature={SECRET}q"
    url = f"{server.url.replace('//', f'//ada:{SECRET}p@')}/a.svs?X-Amz-Signature={SECRET}q"
    with Slide.open(url) as slide:
        shown = [repr(slide), str(slide.path), str(slide.metadata), *slide.notes]
        server.always = 500
        with pytest.raises(SlideReadError) as caught:
            slide.read(FAR)
        shown.append(everything_said(caught.value))
    for fault in (403, 404, 418, "cut"):
        server.always = fault
        with pytest.raises((SlideReadError, SlideFormatError)) as caught:
            Slide.open(url)
        shown.append(everything_said(caught.value))
    assert SECRET not in "".join([*shown, caplog.text])
    assert addresses.shown(slide.path) == f"{server.url}/a.svs"


def test_places_of_addresses():
    place = addresses.place_of("https://Ada:pw@Host.org:8080/x/My%20slide.svs?sig=abc#top")
    assert place.as_posix() == "https:/host.org:8080/x/My%20slide.svs"
    assert addresses.place_of(place) == addresses.place_of(str(place)) == place
    assert addresses.shown(place) == "https://host.org:8080/x/My%20slide.svs"
    assert addresses.login_of(place) == "Ada:pw"
    one, two = (addresses.place_of(f"https://host/get?id={n}&sig=1{n}") for n in (5, 6))
    assert one != two
    assert one.name == two.name == "get"
    assert addresses.shown(one) == "https://host/get"
    assert addresses.query_of(two) == "id=6&sig=16"
    assert addresses.place_of("https://host/get?id=5&sig=2") == one  # signed anew
    assert addresses.shown(addresses.place_of("s3://bucket/a?b#c.svs")) == "s3://bucket/a?b#c.svs"
    assert not addresses.is_address("C:/slides/a.svs")
    assert not addresses.is_address("https:")
    assert addresses.shown("slides/a.svs") == "slides/a.svs"


def test_arguments_lose_secrets_alone():
    plain = ["info", "https://other.org/a.svs", "--terms", "https://cc.org/by/4.0?lang=en", "x//y"]
    assert addresses.without_secrets(plain) == plain
    signed = ["--fast", "https://host/a.svs?sig=1", "-o", "https://u:p@host/b"]
    kept = ["--fast", "https:/host/a.svs", "-o", "https:/host/b"]
    assert addresses.without_secrets(signed) == kept


def test_a_tile_that_claims_too_much_is_not_asked_for(tmp_path, server):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, NOISE, tile=(256, 256), bigtiff=True)
    with tifffile.TiffFile(path) as file:
        tag = file.pages.first.tags["TileByteCounts"]
        at, count = tag.valueoffset, tag.count
    data = bytearray(path.read_bytes())
    size = {3: "H", 4: "I", 16: "Q"}[tag.dtype]
    step = struct.calcsize(size)
    last = at + (count - 9) * step  # the last but one in its row and column
    data[last : last + step] = struct.pack(f"<{size}", 2 ** (8 * step) - 1)
    path.write_bytes(data)
    server.claim = 2**60
    with Slide.open(f"{server.url}/a.tif") as slide:
        server.asked.clear()
        assert slide.read(Region(1536, 1792, 256, 256)).min() == 255
        assert "more than can be decoded at once" in slide.damaged[0]
    assert server.asked == []


def test_a_chunk_that_is_far_too_long_is_not_read(tmp_path, server):
    zarr_v2(tmp_path / "a.zarr")
    (chunk,) = (tmp_path / "a.zarr" / "0").rglob("0.0.0")
    chunk.write_bytes(bytes(4 << 20))
    with Slide.open(f"{server.url}/a.zarr") as slide:
        slide.read(Region(0, 0, 256, 256))
        assert "bytes where" in slide.damaged[0]


def test_other_files_that_a_distant_one_names_are_not_opened(tmp_path, server, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    tifffile.imwrite(here / "other.ome.tif", IMAGE[..., 0], tile=(256, 256))
    uuid = "urn:uuid:00000000-0000-0000-0000-000000000001"
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:00000000-0000-0000-0000-000000000000"><Image ID="Image:0"><Pixels '
        'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="1536" SizeY="1024" SizeC="1" '
        'SizeZ="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData IFD="0" '
        f'PlaneCount="1"><UUID FileName="other.ome.tif">{uuid}</UUID></TiffData></Pixels></Image></OME>'
    )
    black = np.zeros((1024, 1536), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", black, description=text, metadata=None, tile=(256, 256)
    )
    with Slide.open(f"{server.url}/a.ome.tif") as slide:
        assert not slide.read(WHOLE).any()


def test_what_reads_addresses_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    refused("https://host/a.svs", "obstore", "pip install 'napari-pathogan[remote]'")


@pytest.fixture
def bucket(server, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "slides").mkdir()
    return tmp_path / "slides"


@pytest.mark.parametrize(
    "name", ["a.svs", "with space & more.tif", "a.ome.zarr", "sharded.ome.zarr"]
)
def test_s3_without_credentials_is_not_signed(bucket, server, name):
    KINDS[name](bucket / name)
    with Slide.open(bucket / name) as here, Slide.open(f"s3://slides/{name}") as there:
        np.testing.assert_array_equal(there.read(WHOLE), here.read(WHOLE))
    assert not any("authorization" in str(head).lower() for head in server.heads)


@pytest.mark.parametrize("name", ["a.svs", "with space & more.tif", "a.ome.zarr"])
@pytest.mark.parametrize("by", ["environment", "profile"])
def test_s3_with_credentials_is_signed(bucket, server, monkeypatch, name, by):
    server.secret = SECRET
    KINDS[name](bucket / name)
    refused(f"s3://slides/{name}", "without permission", kind=SlideReadError)
    if by == "environment":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    else:
        folder = bucket.parent / "home" / ".aws"
        folder.mkdir(parents=True)
        keys = f"aws_access_key_id = AKIATEST\naws_secret_access_key = {SECRET}\n"
        (folder / "credentials").write_text(f"[default]\n{keys}")
        (folder / "config").write_text("[default]\nregion = eu-north-1\n")
    with Slide.open(bucket / name) as here, Slide.open(f"s3://slides/{name}") as there:
        np.testing.assert_array_equal(there.read(WHOLE), here.read(WHOLE))
    assert any("/eu-north-1/" in str(head) for head in server.heads) == (by == "profile")


def test_what_the_user_says_of_it_is_remembered(tmp_path, server):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE, tile=(256, 256))
    url = f"{server.url}/a.tif"
    with Slide.open(url) as slide:
        assert slide.mpp is None
        scales.remember(slide.path, (0.5, 0.5))
    with Slide.open(f"{url}?X-Amz-Signature=1") as slide:
        assert (slide.mpp, slide.mpp_source) == ((0.5, 0.5), "user (remembered)")
    tifffile.imwrite(path, 255 - IMAGE, tile=(256, 256))  # another slide
    with Slide.open(url) as slide:
        assert slide.mpp is None


def test_annotations_of_it_lie_in_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(store, "data_folder", lambda: tmp_path / "user")
    image = addresses.place_of("https://host/a.svs")
    monkeypatch.chdir(tmp_path)
    first = AnnotationStore(image, ".nuclei.geojson").path
    assert first.is_relative_to(tmp_path / "user")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    assert AnnotationStore(image, ".nuclei.geojson").path == first


def test_nothing_is_written_to_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"s3://bucket/a.csv is an address; .* name a file"):
        files.check(Path("s3://bucket/a.csv"), kinds.OURS)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_reads_addresses_and_keeps_their_secrets(tmp_path, server):
    write_svs(tmp_path / "a.svs", IMAGE)
    server.query = f"X-Amz-Signature={SECRET}"
    url = f"{server.url}/a.svs?{server.query}"

    def pathogan(*arguments):
        command = [sys.executable, "-m", "napari_pathogan.cli", *arguments]
        environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)

    done = pathogan("info", url, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["name"], facts["format"], facts["width_px"]) == ("a.svs", "SVS", 1536)
    server.always = 403
    failed = pathogan("info", url)
    assert failed.returncode == 2
    assert "a.svs without permission" in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert SECRET not in done.stdout + done.stderr + failed.stdout + failed.stderr


def certified(folder):
    """A certificate of localhost, and that of the house that has certified it."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    (folder / "ext").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
    new = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=house")
    openssl("req", *new, "-keyout", "key.pem", "-out", "csr", "-subj", "/CN=localhost")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "ext")
    openssl("x509", "-req", "-in", "csr", *signed, "-days", "2", "-out", "cert.pem")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
def test_a_server_is_known_by_its_certificate(tmp_path, server, monkeypatch):
    certified(tmp_path)
    write_svs(tmp_path / "a.svs", IMAGE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://localhost:{server.server_port}/a.svs"
    refused(url, "has certified localhost", "SSL_CERT_FILE", kind=SlideReadError)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with Slide.open(tmp_path / "a.svs") as here, Slide.open(url) as there:
        np.testing.assert_array_equal(there.read(WHOLE), here.read(WHOLE))
