"""A key that a tooltip names is a key that works."""

from __future__ import annotations

import npe2
import pytest
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QApplication, QWidget

from napari_pathogan.plugin.shell.keys_sheet import NAMED, KeySheet
from napari_pathogan.plugin.shell.settings import PLUGIN

pytestmark = pytest.mark.gui

DOCKS = {  # and the keys that each has said to have
    "Slides": set(),
    "IDC heat map": {"Ctrl+Return", "U", "Shift+U", "1", "2"},
    "Nuclei": {"Ctrl+Return", "Ctrl+Z", "Ctrl+Shift+Z", "N", "Delete", "A", "U", "Shift+U"},
    "Stain transfer": {"Ctrl+Return"},
    "Virtual stains": {"Ctrl+Return"},
    "Mammogram masses": {
        *{"Ctrl+Return", "A", "R", "Ctrl+Z", "Ctrl+Shift+Z"},
        *{"U", "Shift+U", "W", "I"},
    },
    "Blending": {"Ctrl+Return"},
    "Reader study": set(),
    "Batch": set(),
    "Models": set(),
    "Jobs": set(),
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


def test_a_sheet_has_all_of_them(desk):
    for title in ("Nuclei", "Mammogram masses"):
        desk.dock(title)
    desk.menu("File", "IO Utilities", "Keys")
    (sheet,) = (one for one in QApplication.topLevelWidgets() if isinstance(one, KeySheet))
    text = sheet.page.toPlainText()
    desk.picture("keys")
    for part in ("Ctrl+Alt+N", "Batch", *DOCKS["Nuclei"], *DOCKS["Mammogram masses"], "Run: Start"):
        assert part in text
    sheet.close()
