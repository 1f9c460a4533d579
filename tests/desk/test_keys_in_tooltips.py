"""A key that a tooltip names is a key that works."""

from __future__ import annotations

import re

import npe2
import pytest
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QWidget

from napari_pathogan.plugin.shell.settings import PLUGIN

pytestmark = pytest.mark.gui

NAMED = re.compile(
    r"\(((?:(?:Ctrl|Shift|Alt|Meta)\+)*"
    r"(?:[A-Z0-9]|F\d+|Del|Delete|Backspace|Return|Enter|Esc|Escape|Space|Tab|[←→↑↓]))\)"
)
DOCKS = {  # and the keys that each has said to have
    "IDC heat map": {"Ctrl+Return", "U", "1", "2"},
    "Nuclei": {"Ctrl+Return", "Ctrl+Z", "Ctrl+Shift+Z", "N", "Delete"},
    "Stain transfer": {"Ctrl+Return"},
    "Virtual stains": {"Ctrl+Return"},
    "Mammogram masses": {"Ctrl+Return", "A", "R", "Ctrl+Z", "Ctrl+Shift+Z"},
    "Blending": {"Ctrl+Return"},
    "Reader study": set(),
    "Batch": set(),
    "Models": set(),
}


def test_these_are_all_docks():
    npe2.PluginManager.instance().discover()
    manifest = npe2.PluginManager.instance().get_manifest(PLUGIN)
    assert {dock.display_name for dock in manifest.contributions.widgets} == set(DOCKS)


@pytest.mark.parametrize("title", DOCKS)
def test_keys_in_tooltips_work(desk, title):
    dock = desk.dock(title)
    tips = {one.toolTip() for one in [dock, *dock.findChildren(QWidget)]}
    named = {keys for tip in tips for keys in NAMED.findall(tip)}
    assert named >= DOCKS[title]
    shortcuts = dock.findChildren(QShortcut)
    for keys in named:
        fitting = [one for one in shortcuts if one.key() == QKeySequence(keys)]
        assert len(fitting) == 1, f"{title} says ({keys}), and has {len(fitting)} such shortcuts"
        pressed = []
        fitting[0].activated.connect(lambda keys=keys, pressed=pressed: pressed.append(keys))
        dock.welcome.open.setFocus()  # no image is open: nothing is begun by the key
        desk.key(keys, dock.welcome.open)
        assert pressed == [keys], f"{title} says ({keys}), and nothing comes of it"
