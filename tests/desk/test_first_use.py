"""What holds from the first use of PathoGAN on, whichever way it is used first."""

from __future__ import annotations

from importlib import resources

import npe2
import numpy as np
import pytest
from PIL import Image
from qtpy.QtWidgets import QDialog

from desk import choose, dismiss
from napari_pathogan.plugin.viewer import samples

pytestmark = pytest.mark.gui

OFFERED = npe2.PluginManifest.from_file(
    str(resources.files("napari_pathogan") / "napari.yaml")
).contributions
TITLES = {one.id: one.title for one in OFFERED.commands}
SLIDE = samples.FOLDER / samples.PHANTOM
VIEWS = sorted((samples.FOLDER / samples.PHANTOM_STUDY / "images").iterdir())
ASKED_FOR = {"Open a slide…": [SLIDE], "Open mammograms…": VIEWS}
ENTRIES = {
    TITLES[item.command]: [part.replace("_", " ").title() for part in menu.split("/")[1:]]
    for menu, items in OFFERED.menus.items()
    for item in items
    if item.command not in {one.command for one in OFFERED.widgets}
}


def by_entry(title):
    """Choose a command in its menu; a file is chosen, an address is not."""

    def use(desk):
        answers = [choose(*ASKED_FOR[title])] if title in ASKED_FOR else []
        if title == "Open a slide from an address…":
            answers = [dismiss(QDialog)]
        with desk.answering(*answers):
            desk.menu(*[part.replace("Io ", "IO ") for part in ENTRIES[title]], title)

    return use


WAYS = {
    "File > Open": lambda desk: desk.open(SLIDE),
    **{
        one.display_name: (lambda desk, title=one.display_name: desk.sample(title))
        for one in OFFERED.sample_data
    },
    **{
        one.display_name: (lambda desk, title=one.display_name: desk.dock(title))
        for one in OFFERED.widgets
    },
    **{title: by_entry(title) for title in ENTRIES},
}


@pytest.mark.parametrize("way", WAYS)
def test_keys_of_docks_work_after_any_use(used, way):
    WAYS[way](used)
    title = "Jobs" if way == "Models" else "Models"
    key = next(one.key for one in OFFERED.keybindings if TITLES[one.command] == title)
    used.key(key, used.window)
    used.wait(lambda: used.docked(title), f"the dock {title!r} by {key}", 5)


def put_picture(folder, side=600):
    """A colour picture without a scale, and a grey one."""
    pixels = np.random.default_rng(1).integers(60, 250, (side, side, 3), np.uint8)
    colour, grey = folder / "field.png", folder / "20587054.png"
    Image.fromarray(pixels).save(colour)
    Image.fromarray(pixels[..., 0]).save(grey)
    return colour, grey


def lies_apart_and_in_view(desk, layer):
    ends = layer.extent.world[:, -2:]
    for other in desk.viewer.layers:
        if other is not layer:
            theirs = other.extent.world[:, -2:]
            assert not ((theirs[0] < ends[1]) & (ends[0] < theirs[1])).all(), (
                f"it covers {other.name}"
            )
    camera, size = desk.viewer.scene.camera, np.asarray(desk.viewer.canvas.size)
    low, high = (np.asarray(camera.center[-2:]) + sign * size / camera.zoom / 2 for sign in (-1, 1))
    assert (low <= ends[0]).all(), "it is not in view"
    assert (ends[1] <= high).all(), "it is not in view"
    assert ((high - low) < 5 * (ends[1] - ends[0])).any(), "it is a dot"


@pytest.mark.parametrize("way", ["Open a slide…", "Open mammograms…", "File > Open"])
@pytest.mark.parametrize("grey", [False, True])
def test_a_picture_is_laid_beside_what_is_open_and_fitted_without_any_dock(
    used, tmp_path, way, grey
):
    WAYS[way](used)
    there = len(used.viewer.layers)
    used.open(put_picture(tmp_path)[grey])
    used.wait(lambda: len(used.viewer.layers) == there + 1, "the picture")
    picture = used.viewer.layers[-1]
    assert picture.source.reader_plugin == "napari"
    used.rest(0.3)
    used.picture(f"picture-after-{way}-{grey}")
    lies_apart_and_in_view(used, picture)


def test_a_picture_that_becomes_larger_does_not_cover_what_lies_beside_it(used, tmp_path):
    picture, _ = put_picture(tmp_path)
    dock = used.dock("IDC heat map")
    used.open(picture)
    used.open(SLIDE)
    used.wait(lambda: len(used.viewer.layers) == 2, "both")
    used.viewer.layers.selection.active = used.viewer.layers[0]
    used.wait(lambda: dock.layer is used.viewer.layers[0] and dock.form.run.isEnabled(), "the dock")
    used.type(dock.form.pixel_size, "4")
    used.key("Return", dock.form.pixel_size)
    used.wait(lambda: tuple(dock.layer.scale) == (4.0, 4.0), "it")
    used.rest(0.3)
    lies_apart_and_in_view(used, dock.layer)
