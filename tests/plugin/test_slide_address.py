"""Slides at an address in napari: opened by a menu command, drawn as they arrive, nothing waits."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QInputDialog

from napari_pathogan import addresses
from napari_pathogan.plugin.shell import case as cases
from napari_pathogan.plugin.shell.keeping import open_images
from napari_pathogan.plugin.viewer import commands
from napari_pathogan.plugin.viewer.arriving import Arriving, ArrivingLevel
from napari_pathogan.plugin.viewer.layers import file_of, slide_of
from napari_pathogan.plugin.viewer.reader import get_reader
from napari_pathogan.slides.backends import blocks, remote
from napari_pathogan.slides.slide import Slide

sys.path.insert(0, str(Path(__file__).parents[1] / "slides"))
from slide_makers import smooth_image, write_svs
from slide_server import serving

IMAGE = smooth_image(2048, 3072)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    cache = blocks.BlockCache(tmp_path / "cache", 64 << 20)
    monkeypatch.setattr(blocks, "shared", lambda: cache)
    monkeypatch.setattr(remote, "WAITS", (0.0,))


@pytest.fixture
def server(tmp_path):
    (tmp_path / "there").mkdir()
    write_svs(tmp_path / "there" / "a.svs", IMAGE, levels=[IMAGE[::4, ::4].copy()])
    with serving(tmp_path / "there") as one:
        yield one


def test_who_opens_addresses():
    for address in ("https://host/a.svs?sig=1", "s3://bucket/x.ome.zarr", "https://host/x.zarr/0"):
        assert get_reader(address) is not None
    assert get_reader("https://host/a.csv") is None
    assert get_reader(["https://host/a.svs", "b.csv"]) is None


def test_a_level_is_an_array(server):
    with Slide.open(f"{server.url}/a.svs") as slide:
        level = Arriving(slide).shown()[0]
        whole = np.asarray(slide.levels[0][:])  # all of it is in memory by now
        assert (level.shape, level.dtype, level.ndim, level.size) == (
            whole.shape,
            whole.dtype,
            3,
            whole.size,
        )
        keys = [
            (slice(100, 700), slice(50, 900)),
            (slice(None, None, 7), slice(None, None, 5), 1),
            (slice(700, 100, -3), slice(20, 10), slice(None)),
            (5, slice(3, 9)),
            (..., 2),
            (-1, -1),
            slice(-5, None),
        ]
        for key in keys:
            np.testing.assert_array_equal(level[key], whole[key])


def shown(layer):
    return np.asarray(layer._slice.image.view)


@pytest.mark.gui
def test_the_menu_opens_an_address_and_what_is_in_it_stays_secret(
    make_napari_viewer, server, qtbot, monkeypatch, tmp_path
):
    server.query = "X-Amz-Signature=s3cr3t"
    viewer = make_napari_viewer(show=True)

    def typed(dialog):
        dialog.setTextValue(f" {server.url}/a.svs?{server.query} ")
        return dialog.DialogCode.Accepted

    monkeypatch.setattr(QInputDialog, "exec", typed)
    commands.open_address(viewer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=20_000)
    layer = viewer.layers[0]
    assert layer.name == "a.svs"
    assert file_of(layer) == addresses.place_of(f"{server.url}/a.svs")
    assert "s3cr3t" not in f"{layer.source} {layer.metadata}"
    told = cases.place(file_of(layer), tmp_path / "x.pathogan.json")
    assert told == f"{server.url}/a.svs"
    assert cases.find(told, tmp_path / "x.pathogan.json") == file_of(layer)

    def drawn():
        level = layer.data_level
        (top, left), (bottom, right) = layer.corner_pixels[:, :2]
        here = np.asarray(slide_of(layer).levels[level][:])[top:bottom, left:right]
        there = shown(layer)[: here.shape[0], : here.shape[1]]
        return there.shape == here.shape and (there == here).all()

    qtbot.waitUntil(drawn, timeout=20_000)


@pytest.mark.gui
def test_the_window_does_not_wait_for_the_network(make_napari_viewer, server, qtbot):
    viewer = make_napari_viewer(show=True)
    slide = Slide.open(f"{server.url}/a.svs", cache_mb=0)
    server.always, server.delay = "slow", 1.0
    levels = Arriving(slide).shown()
    start = time.monotonic()
    layer = viewer.add_image([levels[0], IMAGE[::4, ::4]], multiscale=True, rgb=True)
    viewer.scene.camera.zoom *= 8
    QApplication.processEvents()
    assert time.monotonic() - start < 0.9
    finest = layer.data[0]
    assert isinstance(finest, ArrivingLevel)
    assert (finest[:256, :256] == 255).all()  # not there yet
    qtbot.waitUntil(lambda: (finest[:256, :256] != 255).any(), timeout=20_000)
    np.testing.assert_array_equal(finest[:256, :256], slide.base.window(0, 0, 256, 256))
    slide.close()


@pytest.mark.gui
def test_a_network_that_fails_is_said_once_and_the_view_fills_when_it_is_back(
    make_napari_viewer, server, qtbot, monkeypatch
):
    said = []
    monkeypatch.setattr("napari_pathogan.plugin.viewer.arriving.show_error", said.append)
    make_napari_viewer(show=True)
    with Slide.open(f"{server.url}/a.svs") as slide:
        finest = Arriving(slide).shown()[0]
        server.always = 503
        for _ in range(5):
            assert (finest[1024:2048, 1024:2048] == 255).all(-1).any()  # IMAGE has no white
            qtbot.wait(60)
        qtbot.waitUntil(lambda: bool(said), timeout=10_000)
        qtbot.wait(200)
        assert len(said) == 1
        assert "error 503, 2 times over" in said[0]
        assert slide.notes == []
        server.always = None
        monkeypatch.setattr(remote, "PAUSE", 0.0)
        finest[1024:2048, 1024:2048]
        there = IMAGE[1024:2048, 1024:2048]
        qtbot.waitUntil(
            lambda: abs(finest[1024:2048, 1024:2048].astype(int) - there).mean() < 5,
            timeout=10_000,
        )


@pytest.mark.gui
def test_what_is_no_slide_is_said(make_napari_viewer, server, qtbot, monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr("napari_pathogan.plugin.viewer.arriving.show_error", said.append)
    monkeypatch.setattr(QInputDialog, "exec", lambda dialog: dialog.DialogCode.Accepted)
    monkeypatch.setattr(QInputDialog, "textValue", lambda _: f"{server.url}/gone.svs")
    viewer = make_napari_viewer()
    commands.open_address(viewer)
    qtbot.waitUntil(lambda: bool(said), timeout=10_000)
    assert said == [
        f"there is no slide at {server.url}/gone.svs; check the address for its spelling"
    ]
    assert len(viewer.layers) == 0


@pytest.mark.gui
def test_a_case_opens_its_slides_at_addresses_again(make_napari_viewer, server, tmp_path):
    viewer = make_napari_viewer()
    case = cases.Case(
        images=(
            cases.ImageIn(file=f"{server.url}/a.svs", name="a.svs"),
            cases.ImageIn(file=f"{server.url}/gone.svs", name="gone.svs"),
        )
    )
    (tmp_path / "a.svs").touch()  # another file of that name beside the case
    images, told, _ = open_images(viewer, case, tmp_path / "x.pathogan.json")
    assert [image and file_of(image) for image in images] == [
        addresses.place_of(f"{server.url}/a.svs"),
        None,
    ]
    assert len(told) == 1
    assert "there is no slide at" in told[0]
