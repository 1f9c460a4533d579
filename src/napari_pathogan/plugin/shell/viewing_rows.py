"""Rows of a dock of mammograms: which views are shown, and in which window."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt

from napari_pathogan.plugin.shell.form import beside, button, combo
from napari_pathogan.plugin.viewer.viewing import (
    HANGINGS,
    INVERT,
    WINDOW,
    change_window,
    hang,
    hanging_of,
    invert_shown,
    seen_views,
)
from napari_pathogan.plugin.viewer.windowing import windows_of

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_pathogan.plugin.shell.dock import Dock


class ViewingRows(QObject):
    """A choice of views, a choice of windows, and Invert."""

    def __init__(self, dock: Dock) -> None:
        super().__init__(dock)
        self._viewer = dock.viewer
        self.hanging = combo(
            "Which views of the examination are shown; F7 again shows the next one"
        )
        for name, (key, what, _) in HANGINGS.items():
            self.hanging.addItem(f"{name} ({key})", name)
            self.hanging.setItemData(self.hanging.count() - 1, what, Qt.ItemDataRole.ToolTipRole)
        self.hanging.activated.connect(self._hang)
        self.window = combo(
            "The window of the views that are shown. The right mouse button, dragged on a view, "
            f"changes it: right is softer, up is brighter, with Shift in all views. The next one ({WINDOW})"
        )
        self.window.activated.connect(self._window_chosen)
        self.invert = button("Invert", f"Show dark what is bright ({INVERT})")
        self.invert.clicked.connect(lambda: invert_shown(self._viewer))
        dock.form.add_row("Show", self.hanging)
        dock.form.add_row("Window", beside(self.window, self.invert))
        dock.shortcut(WINDOW, partial(change_window, self._viewer))
        dock.shortcut(INVERT, partial(invert_shown, self._viewer))
        for name, (key, *_) in HANGINGS.items():
            dock.shortcut(key, partial(hang, self._viewer, name=name))

    def offer(self, image: Image | None) -> None:
        """Offer the windows of an image."""
        self.window.clear()
        known = image is not None and "mammogram" in image.metadata
        if known and image is not None:
            self.window.addItems(list(windows_of(image)))
        for widget in (self.window, self.hanging, self.invert):
            widget.setEnabled(known)

    def follow(self, image: Image | None) -> None:
        """Say which views are seen, whatever has shown them."""
        if image is not None and "mammogram" in image.metadata:
            self.hanging.setCurrentIndex(self.hanging.findData(hanging_of(self._viewer, image)))

    def _hang(self, row: int) -> None:
        hang(self._viewer, name=self.hanging.itemData(row))

    def _window_chosen(self) -> None:
        name = self.window.currentText()
        for view in seen_views(self._viewer):
            if (limits := windows_of(view).get(name)) is not None:
                view.contrast_limits = limits
