"""The manifest's key bindings, made to work: napari 0.9 lists them and binds none.

napari imports a plugin on its first use, so the keys work from the first slide, sample or dock on.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

import npe2
from qtpy.QtCore import QObject, QTimer
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGIN = "napari-pathogan"
_NAME = "pathogan-key"  # of the shortcuts of a window that has them
_WAIT_MS, _WAITS = (
    50,
    100,
)  # between two looks, and how often, before what waits goes on all the same
_coming: WeakSet[QWidget] = WeakSet()  # docks that are being made


def bind_keys() -> None:
    """Bind the keys in every open window; does nothing where that was done before."""
    if QApplication.instance() is None:
        return
    manifest = npe2.PluginManager.instance().get_manifest(PLUGIN)
    docks = {dock.command: dock.display_name for dock in manifest.contributions.widgets or ()}
    for window in QApplication.topLevelWidgets():
        if not isinstance(window, QMainWindow) or window.findChild(QShortcut, _NAME) is not None:
            continue
        for binding in manifest.contributions.keybindings or ():
            shortcut = QShortcut(QKeySequence(binding.key), window)
            shortcut.setObjectName(_NAME)
            entry = f"{docks[binding.command]} ({manifest.display_name})"
            shortcut.activated.connect(partial(_choose, window, entry))


def dock_of(window: QMainWindow, title: str) -> QWidget:
    """The plugin's dock of a title, opened by its menu where it is not there."""
    widget = _docked(window, title)
    if widget is None:
        manifest = npe2.PluginManager.instance().get_manifest(PLUGIN)
        _choose(window, f"{title} ({manifest.display_name})")
        widget = _docked(window, title)
    assert widget is not None, f"the manifest has a dock {title}"
    return widget


def is_coming(dock: QWidget) -> None:
    """Note that a dock is being made: napari lets other events through before it is in its window."""
    _coming.add(dock)


def has_come(dock: QWidget) -> None:
    """Note that a dock is in its window."""
    _coming.discard(dock)


def once_all_came(parent: QObject, act: Callable[[], None], waits: int = _WAITS) -> None:
    """Call soon, but while no dock is being made: what opens docks would open the same once more.

    Parameters
    ----------
    parent
        Nothing is called once it is gone.
    """
    soon = QTimer(parent)
    soon.setSingleShot(True)

    def look() -> None:
        soon.deleteLater()
        if _coming and waits:
            once_all_came(parent, act, waits - 1)
        else:
            act()

    soon.timeout.connect(look)
    soon.start(_WAIT_MS if waits < _WAITS else 0)


def dock_titles() -> set[str]:
    """The titles of all docks that the manifest has."""
    manifest = npe2.PluginManager.instance().get_manifest(PLUGIN)
    return {dock.display_name for dock in manifest.contributions.widgets or ()}


def _docked(window: QMainWindow, title: str) -> QWidget | None:
    there = window.findChildren(QWidget)
    return next((one for one in there if getattr(one, "title", None) == title), None)


def _choose(window: QMainWindow, entry: str) -> None:
    """Choose an entry of a window's menus: a dock is shown, or comes forward; one that is in front is hidden.

    (``add_plugin_dock_widget`` would open a second one, under another name.)
    """
    bar = window.menuBar()
    menus = [action.menu() for action in bar.actions()] if bar is not None else []
    while menus:
        menu = menus.pop()
        for action in menu.actions() if menu is not None else ():
            if action.text() == entry:
                action.trigger()
                return
            menus.append(action.menu())
