"""PNG and JPEG: napari's own by File > Open, ours by File > Open with Plugin; docks keep both."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import npe2
import numpy as np
import pytest
import tifffile
import zarr
from napari._qt.dialogs.qt_reader_dialog import QtReaderDialog
from napari.settings import get_settings
from PIL import Image
from qtpy.QtWidgets import QRadioButton

from desk import Answer, choose, press_in
from napari_pathogan.plugin.shell.settings import PLUGIN, choose_usual_readers

pytestmark = pytest.mark.gui


@pytest.fixture
def field(tmp_path):
    """A colour image of 120 x 90 px."""
    pixels = np.random.default_rng(3).integers(60, 250, (6, 5, 3), np.uint8)
    path = tmp_path / "field.png"
    Image.fromarray(np.kron(pixels, np.ones((20, 18, 1), np.uint8))).save(path)
    return path


@pytest.fixture
def used(desk):
    """A desk on which PathoGAN has been in use."""
    choose_usual_readers(None)
    return desk


def readers_offered(desk, path):
    """What File > Open with Plugin lists; leaves the dialog by Cancel."""
    names = []

    def look(dialog):
        names.extend(one.text() for one in dialog.findChildren(QRadioButton))
        press_in("Cancel", QtReaderDialog).give(dialog)

    with desk.answering(choose(path), Answer(QtReaderDialog, look)):
        desk.menu("File", "Open with Plugin", "Open File(s)...")
    return names


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG"])
def test_file_open_is_naparis_own_and_asks_nothing(used, field, suffix):
    path = field.with_suffix(suffix)
    Image.open(field).save(path)
    used.open(path)
    (layer,) = used.viewer.layers
    assert layer.source.reader_plugin == "napari"
    assert readers_offered(used, path) == ["PathoGAN", "napari builtins"]


PLANES = np.zeros((5, 40, 50), np.uint16)
PICTURE = np.full((90, 120, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("name", "write", "reader"),
    [
        ("colours.tif", lambda p: tifffile.imwrite(p, PICTURE), PLUGIN),
        ("stack.TIFF", lambda p: tifffile.imwrite(p, PLANES), "napari"),
        ("case_R_CC.tif", lambda p: tifffile.imwrite(p, PICTURE[..., 0]), PLUGIN),
        ("case_R_CC.pgm", lambda p: Image.fromarray(PICTURE[..., 0]).save(p), PLUGIN),
        ("grey.pgm", lambda p: Image.fromarray(PICTURE[..., 0]).save(p), "napari"),
        ("plain.zarr", lambda p: zarr.save_array(p, PLANES), "napari"),
    ],
)
def test_what_either_could_open_is_opened_without_a_question(used, tmp_path, name, write, reader):
    write(tmp_path / name)
    if name.endswith(".zarr"):
        with used.answering(choose(tmp_path / name)):
            used.menu("File", "Open Folder...")
    else:
        used.open(tmp_path / name)
    used.wait(lambda: used.viewer.layers, "the layer")
    (layer,) = used.viewer.layers
    assert layer.source.reader_plugin == PLUGIN
    assert bool({"slide", "mammogram"} & set(layer.metadata)) == (reader == PLUGIN)
    assert layer.data.shape[:1] == PLANES.shape[:1] or reader == PLUGIN or "grey" in name


def test_a_folder_of_pictures_is_naparis_own_and_asks_nothing(used, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(PICTURE).save(folder / f"{i}.png")
    with used.answering(choose(folder)):
        used.menu("File", "Open Folder...")
    used.wait(lambda: used.viewer.layers, "the layer")
    assert used.viewer.layers[0].data.shape == (3, *PICTURE.shape)


def broken(path):
    """A TIFF without a pixel."""
    tifffile.imwrite(path, np.zeros((0, 9), np.uint8))


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("other.json", lambda p: p.write_text('{"hello": 1}'), "none of the tables and outlines"),
        ("other.csv", lambda p: p.write_text("a,b\n1,2\n"), "none of the tables and outlines"),
        ("list.json", lambda p: p.write_text('{"kind": "masses"}'), "list.json"),
        ("broken.tif", broken, "holds no image"),
        ("broken.svs", broken, "holds no image"),
    ],
)
def test_what_cannot_be_opened_is_said_in_a_sentence_and_offered_to_nobody(
    used, tmp_path, name, write, said
):
    write(tmp_path / name)
    with used.expecting(said):
        used.open(tmp_path / name)
        used.wait(lambda: used.notifications, "a word")
    assert "Traceback" not in used.notifications[-1]
    assert not used.viewer.layers


def test_the_first_use_leaves_pictures_to_napari(field, tmp_path):
    code = """
import sys, npe2
npe2.PluginManager.instance().discover()  # before napari is there, so that nothing is chosen yet
from napari.settings import get_settings
from napari_pathogan.plugin.shell.settings import PLUGIN

assert not get_settings().plugins.extension2reader
npe2.read([sys.argv[1]], stack=False, plugin_name=PLUGIN)
print(get_settings().plugins.extension2reader["*.png"])
"""
    env = os.environ | {"NAPARI_CONFIG": str(tmp_path / "settings.yaml")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(field)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "napari", done.stderr
    assert "*.png: napari" in (tmp_path / "settings.yaml").read_text().replace("'", "")


def test_the_first_picture_is_opened_without_a_question(field, tmp_path):
    """In a napari that has never seen PathoGAN, installed as its entry point says."""
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    about = tmp_path / "site" / "napari_pathogan-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: napari-pathogan\nVersion: 1\n")
    point = project["entry-points"]["napari.manifest"][PLUGIN]
    (about / "entry_points.txt").write_text(f"[napari.manifest]\n{PLUGIN} = {point}\n")
    code = """
import sys
from napari.components import ViewerModel
from napari.plugins import _initialize_plugins
from napari.plugins._npe2 import get_readers

_initialize_plugins()
assert len(get_readers(sys.argv[1])) == 2
(layer,) = ViewerModel().open(sys.argv[1], plugin=None)
assert "torch" not in sys.modules
print(layer.source.reader_plugin)
"""
    paths = os.pathsep.join([str(about.parent), str(root / "src"), *sys.path])
    settings = tmp_path / "settings.yaml"
    settings.write_text("plugins:\n  extension2reader:\n    '*.JPG': another\n")
    done = subprocess.run(
        [sys.executable, "-c", code, str(field)],
        env=os.environ | {"NAPARI_CONFIG": str(settings), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "napari", done.stderr
    assert "'*.JPG': another" in settings.read_text()


def test_open_with_plugin_is_ours(used, field):
    def ours(dialog):
        (button,) = (x for x in dialog.findChildren(QRadioButton) if x.text() == "PathoGAN")
        button.click()
        press_in("OK", QtReaderDialog).give(dialog)

    with used.answering(choose(field), Answer(QtReaderDialog, ours)):
        used.menu("File", "Open with Plugin", "Open File(s)...")
    (layer,) = used.viewer.layers
    assert layer.source.reader_plugin == PLUGIN


def test_what_the_user_has_chosen_stays(desk, field):
    plugins = get_settings().plugins
    plugins.extension2reader = {"*.png": PLUGIN, "*.jp*g": "another"}
    choose_usual_readers(None)
    chosen = plugins.extension2reader
    assert chosen["*.png"] == PLUGIN
    assert chosen["*.PNG"] == "napari"
    assert "*.jpg" not in chosen
    assert "*.jpeg" not in chosen
    desk.open(field)
    assert desk.viewer.layers[0].source.reader_plugin == PLUGIN


def test_a_third_reader_is_not_shut_out(desk):
    manager = npe2.PluginManager.instance()
    with npe2.DynamicPlugin("third", plugin_manager=manager) as third:

        @third.contribute.reader(filename_patterns=["*.png"])
        def get_reader(path):
            return None

        get_settings().plugins.extension2reader = {}  # as before PathoGAN was found
        choose_usual_readers(None)
        chosen = get_settings().plugins.extension2reader
    assert "*.png" not in chosen
    assert chosen["*.jpg"] == "napari"


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
