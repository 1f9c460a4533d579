"""PNG and JPEG: napari's own by File > Open, ours by 'Open a slide…'; docks keep both."""

from __future__ import annotations

from pathlib import Path

import npe2
import numpy as np
import pytest
from napari.settings import get_settings
from PIL import Image

from desk import choose
from napari_pathogan.plugin.shell.settings import PLUGIN, choose_usual_readers

pytestmark = pytest.mark.gui


@pytest.fixture
def field(tmp_path):
    """A colour image of 120 x 90 px."""
    pixels = np.random.default_rng(3).integers(60, 250, (6, 5, 3), np.uint8)
    path = tmp_path / "field.png"
    Image.fromarray(np.kron(pixels, np.ones((20, 18, 1), np.uint8))).save(path)
    return path


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".JPEG"])
def test_file_open_is_naparis_own_and_asks_nothing_from_the_first_on(desk, field, suffix):
    path = field.with_suffix(suffix)
    Image.open(field).save(path)
    assert not get_settings().plugins.extension2reader
    desk.open(path)
    (layer,) = desk.viewer.layers
    assert layer.source.reader_plugin == "napari"


def test_open_a_slide_is_ours(desk, field):
    with desk.answering(choose(field)):
        desk.menu("File", "IO Utilities", "Open a slide…")
    (layer,) = desk.viewer.layers
    assert layer.metadata["path"] == field


def test_what_the_user_has_chosen_stays(desk):
    plugins = get_settings().plugins
    plugins.extension2reader = {"*.svs": "another", "*.SC*": "another"}
    choose_usual_readers(None)
    chosen = plugins.extension2reader
    assert chosen["*.svs"] == "another"
    assert chosen["*.ndpi"] == chosen["*.scn"] == PLUGIN
    assert "*.SCN" not in chosen


def test_a_third_reader_is_not_shut_out(desk):
    manager = npe2.PluginManager.instance()
    with npe2.DynamicPlugin("third", plugin_manager=manager) as third:

        @third.contribute.reader(filename_patterns=["*.svs"])
        def get_reader(path):
            return None

        choose_usual_readers(None)
        chosen = get_settings().plugins.extension2reader
    assert "*.svs" not in chosen
    assert chosen["*.ndpi"] == PLUGIN


def test_scale_and_place_of_a_picture_are_kept(used, field):
    dock = used.dock("Nuclei")
    used.open(field)
    used.wait(lambda: dock.layer is not None, "the image")
    used.wait(dock.form.run.isEnabled, "the model")
    used.type(dock.form.pixel_size, "0.5")
    used.key("Return", dock.form.pixel_size)
    used.wait(lambda: tuple(dock.layer.scale) == (0.5, 0.5), "the scale")
    used.viewer.layers.clear()
    used.open(field)
    used.wait(lambda: dock.layer is not None, "the image again")
    assert tuple(dock.layer.scale) == (0.5, 0.5)
    assert dock.form.pixel_size.text() == "0.5", "it can be corrected"
    assert Path(dock.layer.metadata["path"]) == field
