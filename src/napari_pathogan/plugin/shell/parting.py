"""A slide that is taken out of the layer list takes along what was found on it.

The user's own work that is kept nowhere stays, and that is said. Mammograms share layers: their
docks see to that.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Labels, Points, Shapes
from napari.utils.notifications import show_info
from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QMainWindow

from napari_pathogan.plugin.shell.form import above
from napari_pathogan.plugin.shell.keeping import keepers
from napari_pathogan.plugin.viewer.opened import opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari
    from napari.layers import Layer
    from napari.utils.events import Event
    from qtpy.QtWidgets import QWidget


def begin(dock: QWidget, viewer: napari.Viewer) -> None:
    """See to it in a dock's window from now on."""
    window = above(dock, QMainWindow)
    if window is not None and window.findChild(_Parting) is None:
        _Parting(window, viewer)


class _Parting(QObject):
    """Hears of slides that are about to be removed."""

    def __init__(self, window: QMainWindow, viewer: napari.Viewer) -> None:
        super().__init__(window)
        self.window, self.viewer = window, viewer
        viewer.layers.events.removing.connect(self._leaves)

    def _leaves(self, event: Event) -> None:
        if not isalive(self.window):  # type: ignore[no-untyped-call]
            return
        image = self.viewer.layers[event.index]
        one = next((one for one in opened(self.viewer) if one.images == [image]), None)
        if one is None or one.mammograms or not one.results:
            return
        kept_nowhere = [dock.unsaved(one.first) for dock in keepers(self.window)]
        ours = [] if any(kept_nowhere) else [layer for layer in one.results if _is_found(layer)]
        own = [layer.name for layer in one.results if layer not in ours]
        QTimer.singleShot(
            0, partial(self._follow, image, ours, own)
        )  # once napari has done with it

    def _follow(self, image: Layer, ours: Sequence[Layer], own: Sequence[str]) -> None:
        if image in self.viewer.layers:
            return  # it was moved
        for layer in reversed(ours):
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        if left := [name for name in own if name in self.viewer.layers]:
            show_info(
                f"{image.name} is closed. What is kept nowhere stays in the layer list: {', '.join(left)}"
            )


def _is_found(layer: Layer) -> bool:
    """Whether a layer can be made anew: not what the user may have drawn."""
    return bool(layer.metadata) or not isinstance(layer, Labels | Points | Shapes)
