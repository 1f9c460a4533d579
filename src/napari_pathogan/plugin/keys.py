"""The manifest's key bindings, made to work: napari 0.9 lists them and binds none.

napari imports a plugin on its first use, so the keys work from the first slide, sample or dock on.
"""

from __future__ import annotations

from functools import partial

import napari
import npe2
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication, QMainWindow

from napari_pathogan.plugin.settings import PLUGIN

_NAME = "pathogan-key"  # of the shortcuts of a window that has them


def bind_keys() -> None:
    """Bind the keys in every open window; does nothing where that was done before."""
    if QApplication.instance() is None:
        return
    offered = npe2.PluginManager.instance().get_manifest(PLUGIN).contributions
    titles = {dock.command: dock.display_name for dock in offered.widgets or ()}
    for window in QApplication.topLevelWidgets():
        if not isinstance(window, QMainWindow) or window.findChild(QShortcut, _NAME) is not None:
            continue
        for binding in offered.keybindings or ():
            shortcut = QShortcut(QKeySequence(binding.key), window)
            shortcut.setObjectName(_NAME)
            shortcut.activated.connect(partial(_open_dock, titles[binding.command]))


def _open_dock(title: str) -> None:
    """Show a dock of the window that has the focus."""
    viewer = napari.current_viewer()
    if viewer is not None:
        viewer.window.add_plugin_dock_widget(PLUGIN, title)
