"""What is written comes back the same, lies exactly, and is never half there."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
import tifffile
import zarr
from slide_makers import smooth_image

from napari_pathogan.errors import OutputError
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.writers import ome as writers
from napari_pathogan.slides.writers.ome import write_ome_tiff, write_ome_zarr
from napari_pathogan.slides.writers.pyramid import write_slide


@pytest.mark.parametrize(
    ("channels", "dtype", "compression"),
    [
        (3, np.uint8, "jpeg"),
        (3, np.uint8, "deflate"),
        (1, np.uint8, "jpeg"),
        (1, np.uint8, "deflate"),
        (1, np.uint16, "deflate"),
    ],
)
def test_ome_tiff_round_trip(tmp_path, channels, dtype, compression):
    image = smooth_image(1301, 907, channels).astype(dtype)
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(path, image, (0.5, 0.25), compression=compression, quality=95)
    with Slide.open(path) as slide:
        found = slide.read(Region(0, 0, 1301, 907))
        assert found.dtype == dtype
        off = np.abs(found.astype(int) - image)
        assert off.max() == 0 if compression == "deflate" else off.mean() < 4
        assert slide.mpp == pytest.approx((0.5, 0.25))
        assert slide.mpp_source == "OME PhysicalSize"
        assert [level.shape[:2] for level in slide.levels] == [(1301, 907), (651, 454), (326, 227)]
        assert slide.downsamples[2] == (1301 / 326, 907 / 227)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert len(file.pages) == 1  # the other levels are SubIFDs
        assert len(file.pages[0].subifds) == 2


def test_levels_are_resampled_to_their_exact_ratio(tmp_path):
    ramp = np.linspace(0, 60_000, 2051).astype(np.uint16)
    write_ome_tiff(tmp_path / "a.tif", np.tile(ramp, (600, 1)), compression="deflate")
    with Slide.open(tmp_path / "a.tif") as slide:
        for level, (_, step) in zip(slide.levels[1:], slide.downsamples[1:], strict=True):
            middles = (np.arange(level.shape[1]) + 0.5) * step - 0.5
            wanted = middles / 2050 * 60_000
            assert np.abs(level[10].astype(float) - wanted).max() < 60_000 / 2050 / 2


def test_ome_tiff_from_a_lazy_array_without_scale(tmp_path):
    image = smooth_image(700, 600)
    lazy = zarr.create_array({}, data=image, chunks=(128, 128, 3))
    write_ome_tiff(tmp_path / "a.tif", lazy, compression="deflate", name="phantom")
    with Slide.open(tmp_path / "a.tif") as slide:
        assert np.array_equal(slide.levels[0][:], image)
        assert slide.mpp is None
        assert 'Name="phantom"' in slide.metadata["description"]


def test_jpeg_refuses_16_bit(tmp_path):
    with pytest.raises(OutputError, match="deflate"):
        write_ome_tiff(tmp_path / "a.tif", np.zeros((64, 64), np.uint16))
    assert list(tmp_path.iterdir()) == []


def overlays():
    rng = np.random.default_rng(0)
    heat = rng.random((31, 45)).astype(np.float32)
    heat[3, 4] = np.nan
    return {
        "probability": Overlay(heat, (16.0, -8.0), (200.25, 200.25)),
        "tissue": Overlay(heat > 0.5, (0.0, 0.0), (64.0, 64.0)),
        "picture": Overlay(smooth_image(20, 30), (0.0, 0.0), (10.0, 10.0)),
    }


@pytest.mark.parametrize("mpp", [(0.25, 0.26), None])
def test_ome_zarr_round_trip(tmp_path, mpp):
    path = tmp_path / "case.ome.zarr"
    write_ome_zarr(path, overlays(), mpp, {"pathogan": {"model": "IDC", "threshold": 0.5}})
    root = zarr.open_group(path, mode="r")
    assert root.attrs["pathogan"] == {"kind": "overlays", "model": "IDC", "threshold": 0.5}
    ome = root.attrs["ome"]
    assert ome["version"] == "0.5"
    assert [m["name"] for m in ome["multiscales"]] == ["probability", "tissue", "picture"]
    for multiscale, (name, overlay) in zip(ome["multiscales"], overlays().items(), strict=True):
        (dataset,) = multiscale["datasets"]
        stored = root[dataset["path"]][:]
        wanted = np.moveaxis(overlay.data, -1, 0) if overlay.data.ndim == 3 else overlay.data
        assert np.array_equal(stored, wanted, equal_nan=wanted.dtype.kind == "f")
        scale, translate = (
            step[step["type"]][-2:] for step in dataset["coordinateTransformations"]
        )
        assert (tuple(scale), tuple(translate)) == overlay.affine(mpp)
        space = [axis for axis in multiscale["axes"] if axis["type"] == "space"]
        assert [axis.get("unit") for axis in space] == ["micrometer" if mpp else None] * 2
        alone = zarr.open_group(path / name, mode="r").attrs["ome"]["multiscales"][0]
        assert alone["datasets"][0]["path"] == "0"
        assert alone["axes"] == multiscale["axes"]


def test_ome_zarr_opens_as_a_slide(tmp_path):
    write_ome_zarr(tmp_path / "a.ome.zarr", overlays(), (0.25, 0.25))
    with Slide.open(tmp_path / "a.ome.zarr" / "picture") as slide:
        assert np.array_equal(slide.levels[0][:], overlays()["picture"].data)
        assert slide.mpp == (2.5, 2.5)


def test_ome_zarr_is_valid_json_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(path, overlays(), (0.25, 0.25))
    write_ome_zarr(path, {"only": overlays()["tissue"]}, (0.25, 0.25))
    listed = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"]
    assert [m["name"] for m in listed] == ["only"]
    assert not (path / "probability").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]


def test_a_full_disk_leaves_nothing_and_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(path, {"old": overlays()["tissue"]}, None)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writers, "_multiscale", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_ome_zarr(path, overlays(), None)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]
    assert (path / "old").is_dir()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_ome_zarr(tmp_path / "file" / "a.ome.zarr", overlays(), None)
    with pytest.raises(OutputError):
        write_ome_tiff(tmp_path / "file" / "a.tif", np.zeros((64, 64, 3), np.uint8))


def test_a_slide_replaces_its_own_kind_alone(tmp_path):
    image = np.zeros((64, 64), np.uint8)
    write_ome_tiff(tmp_path / "a.tif", image)
    write_ome_tiff(tmp_path / "a.tif", image, 0.5)
    with Slide.open(tmp_path / "a.tif") as slide:
        assert slide.mpp == (0.5, 0.5)
        list(write_slide(tmp_path / "a.ome.zarr", slide))
        list(write_slide(tmp_path / "a.ome.zarr", slide))
    tifffile.imwrite(tmp_path / "theirs.tif", image)
    zarr.open_group(tmp_path / "theirs.ome.zarr", mode="w").create_array("0", data=image)
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r+")  # what another program adds
    group.create_group("labels").create_array("cells", data=image)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with Slide.from_arrays([image], name="new") as slide:
        for name in ("a.ome.zarr", "theirs.ome.zarr", "a.tif"):
            with pytest.raises(OutputError, match=name):
                list(write_slide(tmp_path / name, slide))
        for name in ("a.ome.zarr", "theirs.ome.zarr", "theirs.tif"):
            with pytest.raises(OutputError, match=name):
                write_ome_tiff(tmp_path / name, image)
        with pytest.raises(OutputError, match=r"kind \(overlays"):
            write_ome_zarr(tmp_path / "a.ome.zarr", overlays())
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_what_was_never_scanned_is_not_stored_and_said(tmp_path):
    """Between the areas of a glass lies nothing, and there may be a hundred times as much of it."""
    image = np.full((2048, 1536, 3), 120, np.uint8)
    held = {(0, 0), (1, 0), (3, 2)}
    tiles = (
        zlib.compress(image[:512, :512].tobytes()) if (row, col) in held else b""
        for row in range(4)
        for col in range(3)
    )
    path = tmp_path / "areas.tif"
    tifffile.imwrite(
        path, tiles, shape=image.shape, dtype="uint8", tile=(512, 512), photometric="rgb",
        compression="deflate", metadata=None,
    )  # fmt: skip
    out = tmp_path / "a.ome.zarr"
    with Slide.open(path) as slide:
        whole = Region(0, 0, 2048, 1536)
        before = slide.read(whole)
        (last, *_) = reversed(list(write_slide(out, slide)))
    assert last == (3, 3)
    assert len([one for one in (out / "0" / "c").rglob("*") if one.is_file()]) == 3
    with Slide.open(out) as again:
        np.testing.assert_array_equal(again.read(whole), before)
        coarse = np.asarray(again.levels[1][:])
    assert coarse[0, 0].tolist() == [120] * 3
    assert coarse[0, -1].tolist() == [255] * 3
    notes = zarr.open_group(out, mode="r").attrs["pathogan"]["notes"]
    assert notes == ["9 of 12 tiles of areas.tif were never scanned; they are not stored"]
