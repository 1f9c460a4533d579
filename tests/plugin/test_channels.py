"""File > Open: fluorescence comes as its channels, grey as what it is, a mammogram only where its name says so."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_pathogan.plugin.idc.dock import IdcDock
from napari_pathogan.plugin.shell import dock as dock_module
from napari_pathogan.plugin.viewer.layers import _CHANNEL_COLOURS, is_slide
from napari_pathogan.plugin.viewer.mammogram_layers import is_mammogram
from napari_pathogan.plugin.viewer.reader import read

NAMES = ("DAPI", "FITC", "Cy5")


def dyes(count, dtype):
    """(C, Y, X): bright spots on black, elsewhere in each channel."""
    planes = np.zeros((count, 200, 300), dtype)
    for number in range(count):
        planes[number, 20 * number : 20 * number + 30, 40:80] = 200 * (number + 1) // count
    return planes


def ome_tiff(folder, planes):
    path = folder / "if.ome.tif"
    about = {"axes": "CYX", "Channel": {"Name": [f"dye {n}" for n in range(len(planes))]}}
    about |= {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata=about)
    return path


def ome_zarr(folder, planes):
    path = folder / "if.ome.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=planes)
    space = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    steps = [{"type": "scale", "scale": [1, 0.5, 0.5]}]
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [{"name": "c", "type": "channel"}, *space],
            "datasets": [{"path": "0", "coordinateTransformations": steps}],
        }
    ]
    shown = [{"label": f"dye {n}", "color": "00FF00"} for n in range(len(planes))]
    group.attrs["omero"] = {"channels": shown}
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [2, 3, 4, 7])
@pytest.mark.parametrize("write", [ome_tiff, ome_zarr])
def test_fluorescence_is_shown_as_channels(tmp_path, write, count, dtype):
    planes = dyes(count, dtype)
    layers = read(str(write(tmp_path, planes)))
    assert len(layers) == count
    for number, (data, kwargs, kind) in enumerate(layers):
        assert kind == "image"
        assert np.array_equal(data[0][:], planes[number])
        assert kwargs["name"].startswith(f"dye {number} ")
        assert kwargs["scale"] == (0.5, 0.5)
        assert kwargs["contrast_limits"] == (0, planes[number].max())
        assert kwargs["blending"] == "additive"
        wanted = "#00FF00" if write is ome_zarr else _CHANNEL_COLOURS[number % 6]
        assert getattr(kwargs["colormap"], "name", kwargs["colormap"]) == wanted
        kwargs["metadata"]["slide"].close()


@pytest.mark.gui
def test_channels_lie_on_one_another_and_no_dock_takes_them(viewer, tmp_path):
    layers = viewer.open(ome_tiff(tmp_path, dyes(3, np.uint8)), plugin="napari-pathogan")
    assert [layer.name for layer in layers] == [f"dye {n} (if.ome.tif)" for n in range(3)]
    assert not any(is_slide(layer) or is_mammogram(layer) for layer in layers)
    assert {tuple(layer.translate) for layer in layers} == {(0, 0)}
    brightest = [tuple(layer.colormap.map(np.array([1.0]))[0, :3]) for layer in layers]
    assert brightest == [(0, 1, 1), (1, 0, 1), (1, 1, 0)]


@pytest.mark.parametrize(("name", "um", "mammogram"), [
    ("field", None, False), ("field", 0.5, False), ("case_R_CC", None, True),
    ("case_R_CC", 0.5, False), ("case_R_CC", 70, True), ("R", None, False),
])  # fmt: skip
def test_grey_is_a_mammogram_only_where_the_name_says_so(tmp_path, name, um, mammogram):
    pixels = (np.arange(60000).reshape(200, 300) % 3000 + 500).astype(np.uint16)
    path = tmp_path / f"{name}.tif"
    scale = {} if um is None else {"resolution": (1e4 / um, 1e4 / um), "resolutionunit": 3}
    tifffile.imwrite(path, pixels, metadata=None, **scale)
    ((data, kwargs, _),) = read(str(path))
    assert np.array_equal(data, pixels)
    assert ("mammogram" in kwargs["metadata"]) == mammogram
    assert kwargs["contrast_limits"] == (500, 3499)
    if um is not None:
        assert kwargs["scale"] == pytest.approx((um, um))


def test_the_user_may_take_any_grey_image_for_a_mammogram(tmp_path):
    from napari.layers import Image as Layer

    Image.fromarray(np.eye(64, dtype=np.uint8) * 200).save(tmp_path / "a.png")
    ((data, kwargs, _),) = read(str(tmp_path / "a.png"))
    assert is_mammogram(Layer(data, **kwargs))


@pytest.mark.gui
def test_no_dock_runs_on_fluorescence_that_naparis_reader_shows_like_a_slide(
    viewer, standin, tmp_path, monkeypatch
):
    path = tmp_path / "if.tif"
    pixels = np.ascontiguousarray(np.moveaxis(dyes(3, np.uint8), 0, -1))
    tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig", metadata=None)
    (layer,) = viewer.open(path, plugin="napari")
    assert layer.rgb
    told = []
    monkeypatch.setattr(dock_module, "show_error", told.append)
    dock = IdcDock(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.pixel_size.setText("0.5")
    dock.form.pixel_size.setModified(True)
    dock.run_or_cancel()
    assert dock.run is None
    assert "if.tif has 3 channels" in told[-1]
