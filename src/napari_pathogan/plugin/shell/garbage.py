"""Python's garbage collection beside large libraries: it stops the window for a blink, not longer.

A full collection walks all objects there are, and nothing else runs meanwhile. Torch brings a million,
which takes a third of a second, and napari collects whenever a layer is removed. So libraries are
imported without collections in between, and what there is then is set aside (:func:`gc.freeze`):
later collections walk only what has come since.

What is set aside is never found to be garbage, so it is taken back when a layer that was there goes,
and when a dock, or its window, does. A process that ends sets all aside once more: Python would walk
it several times, and napari be gone a second later.
"""

from __future__ import annotations

import atexit
import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakSet

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari
    from napari.layers import Layer
    from napari.utils.events import Event
    from qtpy.QtWidgets import QWidget

    from napari_pathogan.plugin.shell.form import Ties


class _Count:
    """How often things were taken back; imports may be going on meanwhile, in their threads."""

    taken_back = 0


def end_at_once() -> None:
    """Let this process end without walking all that libraries have brought."""
    atexit.unregister(gc.freeze)  # once
    atexit.register(gc.freeze)


@contextmanager
def set_aside() -> Iterator[None]:
    """Import libraries within the block: no collections in it, and none of what it brings after.

    Collect before: what is garbage already is set aside as well. In the window's thread: widgets
    that are garbage may go nowhere else.
    """
    before, collects = _Count.taken_back, gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if _Count.taken_back > before:  # those for whom it would be are gone
            gc.unfreeze()
        if collects:
            gc.enable()


def take_back() -> None:
    """Let everything be collected again, also what is being imported."""
    _Count.taken_back += 1
    gc.unfreeze()


class Aside:
    """Takes care for a dock that nothing set aside outlives its use.

    Parameters
    ----------
    viewer
        Its layers may be among what is set aside.
    owner, ties
        The dock, and what is undone when it goes.
    """

    def __init__(self, viewer: napari.Viewer, owner: QWidget, ties: Ties) -> None:
        self._viewer = viewer
        self._layers: WeakSet[Layer] = WeakSet()
        self._again = QTimer(owner)
        self._again.setSingleShot(True)
        self._again.timeout.connect(self._set_aside_again)
        ties.connect(viewer.layers.events.removing, self._layer_goes)
        ties.add(self._again.stop)
        ties.add(take_back)

    def imported(self) -> None:
        """Call in the window's thread once libraries have been imported in another."""
        self._layers.update(self._viewer.layers)

    def _layer_goes(self, event: Event) -> None:
        if self._viewer.layers[event.index] in self._layers:
            gc.unfreeze()
            self._again.start(0)

    def _set_aside_again(self) -> None:
        """Napari has just collected: there is no garbage."""
        gc.freeze()
        self.imported()
