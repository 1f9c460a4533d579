"""Clicks on a slide that choose a nucleus, and digits that give it a class."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]

from napari_pathogan.plugin.shell.clicks import Clicks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_pathogan.plugin.shell.dock import Dock
    from napari_pathogan.plugin.shell.form import Ties

MOST_KEYS = 9


class Picker:
    """Listens to clicks for a dock, and to digits while a nucleus is chosen.

    Parameters
    ----------
    clicked
        Called with the level-0 centre coordinate (y, x) of a click on the chosen slide.
    typed
        Called with a digit from 1 on.
    """

    def __init__(
        self,
        dock: Dock,
        ties: Ties,
        clicked: Callable[[float, float], object],
        typed: Callable[[int], object],
    ) -> None:
        self._dock, self._call = dock, clicked
        self.clicks = Clicks(dock.viewer, ties, self._clicked)
        self.keys = [QShortcut(QKeySequence(str(n + 1)), dock) for n in range(MOST_KEYS)]
        for digit, key in enumerate(self.keys, 1):
            key.setContext(Qt.ShortcutContext.WindowShortcut)
            key.activated.connect(partial(typed, digit))
        self.enable_keys(chosen=False)

    def enable_keys(self, *, chosen: bool) -> None:
        """Let digits choose classes while a nucleus is chosen; else they are napari's own."""
        for key in self.keys:
            key.setEnabled(chosen)

    def _clicked(self, position: Sequence[float]) -> None:
        if self._dock.layer is not None:
            y, x = self._dock.layer.world_to_data(position)
            self._call(float(y), float(x))
