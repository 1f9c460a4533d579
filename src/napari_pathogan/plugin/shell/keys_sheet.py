"""A sheet with all keys: of the docks, and what each open one says of its own."""

from __future__ import annotations

import re
from html import escape

import napari  # noqa: TC002  (napari resolves the annotations to pass its viewer)
import npe2
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QDialog,
    QDialogButtonBox,
    QDockWidget,
    QMainWindow,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.plugin.viewer.holding import HOLD, WHAT
from napari_pathogan.plugin.viewer.keys import PLUGIN
from napari_pathogan.plugin.viewer.use import begin
from napari_pathogan.plugin.viewer.viewing import DRAG, DRAG_WHAT, KEYS

NAMED = re.compile(
    r" ?\(((?:(?:Ctrl|Shift|Alt|Meta)\+)*"
    r"(?:[A-Z0-9]|F\d+|Del|Delete|Backspace|Return|Enter|Esc|Escape|Space|Tab|[←→↑↓]))\)"
)
"""A key in a tooltip: ``Start (Ctrl+Return)``."""


class KeySheet(QDialog):
    """Shows the keys; it does not block the window."""

    def __init__(self, window: QWidget | None) -> None:
        super().__init__(window)
        self.setWindowTitle("Keys")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(460, 560)
        self.page = QTextBrowser()
        self.page.setHtml(sheet(window))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.addWidget(self.page)
        column.addWidget(buttons)


def show_keys(viewer: napari.Viewer) -> None:
    """Show the sheet."""
    begin(viewer)
    KeySheet(window_in_use()).show()


def window_in_use() -> QMainWindow | None:
    """Napari's window that is worked in."""
    windows = [one for one in QApplication.topLevelWidgets() if isinstance(one, QMainWindow)]
    active = QApplication.activeWindow()
    return active if isinstance(active, QMainWindow) else next(iter(windows), None)


def sheet(window: QWidget | None) -> str:
    """The page as HTML: the docks' keys, then those that the open docks' tooltips name."""
    offered = npe2.PluginManager.instance().get_manifest(PLUGIN).contributions
    titles = {one.id: one.title for one in offered.commands or ()}
    parts = ["<h3>Open a dock, or bring it forward; close the one in front</h3>"]
    parts.append(_table({one.key: titles[one.command] for one in offered.keybindings or ()}))
    parts += ["<h3>In the view</h3>", _table({HOLD: WHAT})]
    parts += ["<h3>Mammograms</h3>", _table({DRAG: DRAG_WHAT, **KEYS})]
    frames = window.findChildren(QDockWidget) if window is not None else []
    for frame in frames:
        widget = frame.widget()
        if widget is not None and (named := keys_of(widget)):
            title = frame.windowTitle().removesuffix(" (PathoGAN)")
            parts += [f"<h3>{escape(title)}</h3>", _table(named)]
    parts.append("<p>Keys of a dock that is not open are listed here once it is.</p>")
    return "\n".join(parts)


def keys_of(room: QWidget) -> dict[str, str]:
    """Key -> what it does, as the tooltips in a widget say."""
    found: dict[str, str] = {}
    for widget in [room, *room.findChildren(QWidget)]:
        for keys in NAMED.findall(widget.toolTip()):
            text = widget.text() if isinstance(widget, QAbstractButton) else ""
            tip = NAMED.sub("", widget.toolTip()).strip()
            found.setdefault(keys, f"{text.replace('&', '')}: {tip}" if text else tip)
    return found


def _table(keys: dict[str, str]) -> str:
    native = QKeySequence.SequenceFormat.NativeText
    rows = (
        f"<tr><td><b>{escape(QKeySequence(key).toString(native) or key)}</b>&nbsp;&nbsp;</td>"
        f"<td>{escape(what)}</td></tr>"
        for key, what in keys.items()
    )
    return f"<table cellspacing='4'>{''.join(rows)}</table>"
