"""Bad input: one clear sentence with the file's name, nothing left open, what is good still read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from slide_makers import smooth_image, write_svs

from napari_pathogan.colour.stained import no_tissue
from napari_pathogan.errors import SlideFormatError
from napari_pathogan.slides import bounds
from napari_pathogan.slides.backends import images
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

IMAGE = smooth_image(1024, 1024)


def refused(path, *words):
    with pytest.raises(SlideFormatError) as caught:
        Slide.open(path)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", ["notes.svs", "notes.tif", "notes.png", "notes.ndpi", "notes"])
def test_a_text_file(tmp_path, name):
    path = tmp_path / name
    path.write_text("Dear pathologist, this is not a slide.")
    refused(path, "check that it is the right file")


def test_an_empty_file(tmp_path):
    path = tmp_path / "a.svs"
    path.touch()
    refused(path, "empty")


def test_a_missing_file(tmp_path):
    refused(tmp_path / "gone.svs", "no file", "check the name")


def test_a_directory(tmp_path):
    (tmp_path / "slides").mkdir()
    refused(tmp_path / "slides", "folder", "OME-Zarr")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = write_svs(tmp_path / "a.svs", IMAGE)
    path.chmod(0)
    refused(path, "permission")


def test_permission_denied_is_said(tmp_path, monkeypatch):
    path = write_svs(tmp_path / "a.svs", IMAGE)

    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", deny)
    refused(path, "may not be read")


def test_zarr_without_an_image(tmp_path):
    zarr.open_group(tmp_path / "plain.zarr", mode="w")
    refused(tmp_path / "plain.zarr", "without the metadata of OME-Zarr")
    group = zarr.open_group(tmp_path / "torn.zarr", mode="w")
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"datasets": [{"path": "0"}]}]}
    refused(tmp_path / "torn.zarr", "not a complete OME-Zarr image")
    (tmp_path / "bad.zarr").mkdir()
    (tmp_path / "bad.zarr" / "zarr.json").write_text("{half of a")
    refused(tmp_path / "bad.zarr", "OME-Zarr")


def test_unreadable_channels_are_not_called_fluorescence(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    array = group.create_array("0", data=np.ones((3, 64, 64), np.uint8), chunks=(3, 64, 64))
    axes = [{"name": name} for name in "cyx"]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    (tmp_path / "a.zarr" / "0" / array.metadata.encode_chunk_key((0, 0, 0))).write_bytes(b"torn")
    refused(tmp_path / "a.zarr", "none of its pixels can be read")


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_truncated_image(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    Image.fromarray(IMAGE).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    refused(path, "truncated")


def test_an_image_too_large_to_decode_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    path = tmp_path / "a.png"
    Image.fromarray(IMAGE).save(path)
    refused(path, "tiled TIFF")


def test_a_tiff_in_one_huge_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "MOST_AT_ONCE", 1000)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE, compression="lzw", rowsperstrip=1024)
    refused(path, "tiled TIFF")


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_svs_without_its_directory(tmp_path, keep, data):
    whole = (data / "wsi" / "cmu-1-small-region.svs").read_bytes()
    path = tmp_path / "a.svs"
    path.write_bytes(whole[:9])
    refused(path)
    # the directory comes first in this file: move it to the end, as scanners do, and cut it off
    with tifffile.TiffFile(data / "wsi" / "cmu-1-small-region.svs") as file:
        assert file.pages[0].offset > 0
    moved = bytearray(whole[: int(len(whole) * keep)])
    moved[4:8] = (len(whole) - 10).to_bytes(4, "little")
    path.write_bytes(moved)
    refused(path, "directory", "copy it again")


def test_a_truncated_svs_with_its_directory_opens_and_says_so(tmp_path):
    path = write_svs(tmp_path / "a.svs", IMAGE, compression="deflate")
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        cut = page.dataoffsets[9] + 10
        assert page.offset < cut
        last = max(p.offset for p in file.pages)
    whole = path.read_bytes()
    if last > cut:  # keep only the first directory
        with tifffile.TiffFile(path) as file:
            at = file.pages[0].offset
        count = int.from_bytes(whole[at : at + 2], "little")
        whole = bytearray(whole)
        whole[at + 2 + 12 * count : at + 6 + 12 * count] = bytes(4)
    path.write_bytes(whole[:cut])
    with Slide.open(path) as slide:
        assert len(slide.damaged) == 1
        assert "7 of 16 tiles of level 0 lie beyond its end" in slide.damaged[0]
        pixels = slide.read(Region(0, 0, 1024, 1024))
        assert np.array_equal(pixels[:512], IMAGE[:512])
        assert (pixels[768:] == 255).all()
        assert len(slide.damaged) == 1 + 7


@pytest.mark.parametrize("compression", ["jpeg", "deflate", 33005])
def test_a_damaged_tile_is_left_blank_and_named(tmp_path, compression):
    path = write_svs(tmp_path / "a.svs", IMAGE, compression=compression)
    with tifffile.TiffFile(path) as file:
        start, count = file.pages[0].dataoffsets[6], file.pages[0].databytecounts[6]
    torn = bytearray(path.read_bytes())
    torn[start : start + count] = bytes(count)
    path.write_bytes(torn)
    with Slide.open(path, cache_mb=0) as slide:
        assert slide.damaged == []
        pixels = slide.read(Region(0, 0, 1024, 1024))
        assert (pixels[256:512, 512:768] == 255).all()
        assert (pixels[256:512, :512] != 255).any()
        slide.levels[0][:]  # meets the same tile again
        assert len(slide.damaged) == 1
        assert "a.svs: tile at row 1, column 2 of level 0 can't be read" in slide.damaged[0]
        assert slide.read(Region(0, 0, 1024, 1024), size=(100, 100)).shape == (100, 100, 3)


def test_an_empty_tile_is_background_not_damage(tmp_path):
    path = tmp_path / "a.tif"
    full = np.zeros((256, 256, 3), np.uint8)
    tifffile.imwrite(
        path, iter([full, None, None, full]), shape=(512, 512, 3), dtype="uint8", tile=(256, 256)
    )
    with Slide.open(path) as slide:
        pixels = slide.read(Region(0, 0, 512, 512))
        assert (pixels[:256, 256:] == 255).all()
        assert (pixels[:256, :256] == 0).all()
        assert slide.damaged == []


def test_without_openslide_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openslide", None)
    path = tmp_path / "a.mrxs"
    Image.fromarray(IMAGE).save(path, "JPEG")  # what an MRXS file begins with
    refused(path, "pip install napari-pathogan[slides]")


def test_an_mrxs_without_its_folder_is_no_jpeg(tmp_path):
    pytest.importorskip("openslide")
    path = tmp_path / "a.mrxs"
    Image.fromarray(IMAGE).save(path, "JPEG")
    refused(path)


def test_files_are_closed_after_a_refusal(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 4), np.uint8), photometric="separated")
    before = open_files()
    for _ in range(5):
        with pytest.raises(SlideFormatError):
            Slide.open(path)
    assert open_files() <= before


def open_files() -> int:
    """How many file handles this process has, where the system tells."""
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def test_a_file_that_ends_before_its_pixels_is_no_slide(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE, tile=(256, 256), compression="deflate")
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        first = page.dataoffsets[0]
        tags = page.tags["TileOffsets"].valueoffset, page.tags["TileByteCounts"].valueoffset
    assert max(tags) < first
    path.write_bytes(path.read_bytes()[:first])
    refused(path, "truncated", "copy it again")


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_file_that_shrinks_while_it_is_open_is_damaged(tmp_path, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, IMAGE, compression=compression, rowsperstrip=1024 if compression is None else 64
    )
    with Slide.open(path, cache_mb=0) as slide:
        os.truncate(path, 4096)
        assert slide.read(Region(0, 0, 1024, 1024)).shape == IMAGE.shape
        assert "the file ends before it" in slide.damaged[0]
        told = str(no_tissue(slide, in_region=False))
        assert told.startswith("no tissue found on a.tif; ")
        assert "can't be read" in told
