"""Keys of a dock that work on the canvas too, and wherever else napari hears keys.

A dock's own shortcuts work while it has the focus. Everywhere else (the canvas, the layer list,
other docks) napari asks the selected layer first and the viewer then, so that a layer of the user's
keeps the keys it has; a text field keeps all that edit text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_pathogan.plugin.shell.form import Ties


OF_SLIDES = frozenset({"slide", "segmentation"})
OF_MAMMOGRAMS = frozenset({"mammogram"})


class WithKeys(Protocol):
    """A dock, as its keys know it."""

    viewer: napari.Viewer

    def shortcut(self, keys: str, action: Callable[[], object]) -> None:
        """Call ``action`` on a key sequence while the dock has the focus."""


class DockKey:
    """A key that a dock has on the viewer, beside other docks that have the same.

    Parameters
    ----------
    keys
        As ``Ctrl+Shift+Z``.
    action
        Says whether the key was for this dock; else whoever took it before is asked.
    """

    def __init__(
        self, viewer: napari.Viewer, ties: Ties, keys: str, action: Callable[[], bool]
    ) -> None:
        self._viewer, self._keys, self._action = viewer, keys, action
        self._earlier = viewer.bind_key(keys, self.press, overwrite=True)
        ties.add(self.release)

    def press(self, viewer: napari.Viewer) -> None:
        """Do what the key is for."""
        if not self._action() and self._earlier is not None:
            self._earlier(viewer)

    def release(self) -> None:
        """Give the key back to who had it before."""
        latest = self._viewer.bind_key(self._keys, None)
        if latest == self.press:
            latest = self._earlier
        else:
            self._action = _nothing  # a younger dock passes on to this one
        if latest is not None:
            self._viewer.bind_key(self._keys, latest)


def everywhere(
    dock: WithKeys,
    ties: Ties,
    keys: str,
    action: Callable[[], bool],
    *,
    marks: frozenset[str] = OF_SLIDES,
) -> None:
    """Give a dock a key that works in it and, unless the selected layer has it, on the canvas.

    Parameters
    ----------
    action
        Says whether there was anything to do.
    marks
        Names of metadata that layers of the dock's images carry: while a layer of other images is
        selected, the key is not this dock's.
    """

    def concerned() -> bool:
        active = dock.viewer.layers.selection.active
        carried = set() if active is None else set(active.metadata)
        return bool(carried & marks) or not carried & (OF_SLIDES | OF_MAMMOGRAMS)

    dock.shortcut(keys, action)
    DockKey(dock.viewer, ties, keys, lambda: concerned() and action())


def _nothing() -> bool:
    return False
