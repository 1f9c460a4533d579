"""The reader takes what is a slide, by its first bytes, and shows it in micrometres."""

from __future__ import annotations

import time

import npe2
import numpy as np
import pytest
import tifffile
import zarr

from napari_pathogan.errors import PathoganError, SlideFormatError
from napari_pathogan.plugin.viewer import layers
from napari_pathogan.plugin.viewer.layers import shown_levels, slide_layer
from napari_pathogan.plugin.viewer.reader import get_reader, read, read_or_say
from napari_pathogan.slides.slide import Slide

PIXELS = np.random.default_rng(1).integers(0, 255, (300, 400, 3), np.uint8)


def ome_zarr(folder, shapes, mpp, *, chunk=256, fill=230):
    """An OME-Zarr 0.4 image without written chunks: as large as asked, at no cost."""
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    datasets = []
    for number, (y, x) in enumerate(shapes):
        array = group.create_array(
            str(number), shape=(3, y, x), chunks=(1, chunk, chunk), dtype="uint8", fill_value=fill
        )
        if number == 0 and y < 2000:
            array[:] = fill
        scale = [1.0, mpp * shapes[0][0] / y, mpp * shapes[0][1] / x]
        datasets.append(
            {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    axes = [
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    return folder


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".svs", ".scn", ".bif", ".ndpi", ".TIF"])
def test_tiff_family_is_taken(tmp_path, suffix):
    path = tmp_path / f"slide{suffix}"
    tifffile.imwrite(path, PIXELS)
    assert get_reader(str(path)) is read_or_say


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.mrxs", b"\xff\xd8\xff\xe0"),
        ("a.vms", b"[Virtual Microscope Specimen]"),
        ("a.svslide", b"SQLite format 3\0"),
        ("a.png", b"\x89PNG\r\n"),
        ("a.JPG", b"\xff\xd8\xff\xe0"),
    ],
)
def test_other_kinds_are_taken_by_their_first_bytes(tmp_path, name, head):
    path = tmp_path / name
    path.write_bytes(head + bytes(64))
    assert get_reader(str(path)) is read_or_say


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("scan.czi", b"ZISRAWFILE"),
    ],
)
def test_foreign_files_are_left_to_others(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert get_reader(str(path)) is None


@pytest.mark.parametrize("name", ["a.svs", "a.ndpi", "a.tif", "a.dcm", "a.png", "a.pgm"])
@pytest.mark.parametrize("content", [b"this is no image", b""])
def test_what_is_only_called_like_an_image_is_refused_in_a_sentence(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert get_reader(str(path)) is read_or_say
    with pytest.raises(PathoganError, match=r"a\.") as said:
        read(str(path))
    assert "\n" not in str(said.value)


def naparis(reader):
    return reader is not None and reader.__module__.startswith("napari_builtins")


PLANES = np.zeros((5, 40, 50), np.uint16)


@pytest.mark.parametrize(
    ("name", "write", "is_naparis"),
    [
        ("plain.tif", lambda p: tifffile.imwrite(p, PIXELS), False),
        ("tiled.tif", lambda p: tifffile.imwrite(p, PIXELS[..., 0], tile=(64, 64)), False),
        ("grey.tif", lambda p: tifffile.imwrite(p, PIXELS[..., 0]), True),
        ("case_R_CC.tif", lambda p: tifffile.imwrite(p, PIXELS[..., 0]), False),
        ("stack.tif", lambda p: tifffile.imwrite(p, PLANES), True),
        ("time.tif", lambda p: tifffile.imwrite(p, np.stack([PIXELS] * 3), imagej=True), True),
        (
            "dyes.ome.tif",
            lambda p: tifffile.imwrite(p, PLANES, ome=True, metadata={"axes": "CYX"}),
            False,
        ),
        ("z.ome.tif", lambda p: tifffile.imwrite(p, PLANES, metadata={"axes": "ZYX"}), True),
        ("grey.pgm", lambda p: p.write_bytes(b"P5 40 60 255\n" + bytes(2400)), True),
        ("p_L_MLO.pgm", lambda p: p.write_bytes(b"P5 40 60 255\n" + bytes(2400)), False),
        ("photo.tif", lambda p: p.write_bytes(b"\x89PNG\r\n"), True),
        ("plain.svs", lambda p: tifffile.imwrite(p, PIXELS[..., 0]), False),
        ("cut.tif", lambda p: p.write_bytes(b"II*\0"), False),
        ("nothing.tif", lambda p: tifffile.imwrite(p, np.zeros((0, 9), np.uint8)), False),
    ],
)
def test_stacks_and_grey_pictures_are_handed_on_to_napari(tmp_path, name, write, is_naparis):
    write(path := tmp_path / name)
    reader = get_reader(str(path))
    assert naparis(reader) == is_naparis
    assert is_naparis or reader is read_or_say


def test_folders_that_are_no_ome_zarr_are_naparis(tmp_path):
    (tmp_path / "photos").mkdir()
    assert naparis(get_reader(str(tmp_path / "photos")))
    assert get_reader(str(tmp_path / "missing.svs")) is None
    assert get_reader([]) is None
    plain = zarr.open_group(tmp_path / "plain.zarr", mode="w")
    plain.create_array("a", shape=(4, 4), dtype="uint8")
    assert naparis(get_reader(str(tmp_path / "plain.zarr")))
    assert get_reader(str(ome_zarr(tmp_path / "a.ome.zarr", [(300, 400)], 0.5))) is read_or_say


def test_layer_is_the_raw_pyramid_in_micrometres(tmp_path):
    path = ome_zarr(tmp_path / "case.ome.zarr", [(601, 803), (150, 200)], 0.25)
    (made,) = npe2.read([str(path)], stack=False, plugin_name="napari-pathogan")
    levels, kwargs, kind = made
    assert kind == "image"
    assert all(isinstance(level, zarr.Array) for level in levels)
    assert levels[0].shape == (601, 803, 3)
    assert kwargs["scale"] == pytest.approx((0.25, 0.25))
    assert kwargs["units"] == ("um", "um")
    assert kwargs["axis_labels"] == ("y", "x")
    assert kwargs["contrast_limits"] == (0, 255)
    assert kwargs["rgb"] is True
    assert kwargs["metadata"]["mpp_source"] == "OME-NGFF"
    assert kwargs["metadata"]["path"] == path


def test_unknown_scale_is_shown_in_pixels():
    _, kwargs, _ = slide_layer(Slide.from_arrays([PIXELS], name="photo.png"))
    assert kwargs["units"] == ("pixel", "pixel")
    assert kwargs["metadata"]["mpp"] is None


def test_padded_levels_are_not_shown():
    fine, padded = np.zeros((1000, 1000, 3), np.uint8), np.zeros((512, 512, 3), np.uint8)
    slide = Slide.from_arrays([fine, padded], name="a", downsamples=[(1, 1), (2.0, 2.0)])
    assert [level.shape[0] for level in shown_levels(slide)] == [1000]


def test_truncated_slide_says_why(tmp_path):
    path = tmp_path / "cut.svs"
    tifffile.imwrite(path, PIXELS, tile=(64, 64))
    path.write_bytes(path.read_bytes()[:100])
    reader = get_reader(str(path))
    with pytest.raises(SlideFormatError, match=r"cut\.svs"):
        reader(str(path))


@pytest.mark.gui
@pytest.mark.timeout(60)
def test_a_large_slide_opens_fast_and_pans_smoothly(make_napari_viewer, tmp_path, qtbot):
    shapes = [(80_000, 100_000), (20_000, 25_000), (5_000, 6_250), (1_250, 1_563)]
    path = ome_zarr(tmp_path / "large.ome.zarr", shapes, 0.25)
    viewer = make_napari_viewer(show=True)
    start = time.process_time()
    (layer,) = viewer.open(path, plugin="napari-pathogan")
    qtbot.wait(1)
    assert time.process_time() - start < 2
    assert viewer.canvas.overlays.scale_bar.visible
    assert layer.extent.world[1] == pytest.approx((80_000 * 0.25, 100_000 * 0.25), rel=1e-3)
    viewer.scene.camera.zoom = 2
    pans = []
    for step in range(12):
        start = time.process_time()
        viewer.scene.camera.center = (10_000, 12_000 + 60 * step)
        qtbot.wait(1)
        pans.append(time.process_time() - start)
    assert np.median(pans) < 0.2


@pytest.mark.parametrize("shape", [(40, 40, 3), (40, 40)], ids=["colour", "grey"])
def test_a_missing_scale_is_told_of_in_no_unit(viewer, monkeypatch, shape):
    """A grey image may be a mammogram, which is measured in mm."""
    told = []
    monkeypatch.setattr(layers, "show_info", told.append)
    layers.prepare(viewer, [Slide.from_arrays([np.zeros(shape, np.uint8)], name="a.png")])
    (line,) = told
    assert "a.png does not say how large its pixels are" in line
    assert "µm" not in line
