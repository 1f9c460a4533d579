"""Choosing a nucleus by a click on the slide, and its class by a key."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]

from napari_pathogan.plugin.shell.clicks import Clicks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.plugin.nuclei.dock import NucleiDock
    from napari_pathogan.plugin.shell.form import Ties

MOST_KEYS = 9


class Picker:
    """Listens to clicks for a dock, and to digits while a nucleus is chosen."""

    def __init__(self, dock: NucleiDock, ties: Ties) -> None:
        self.dock = dock
        self.clicks = Clicks(dock.viewer, ties, self._clicked)
        self.keys = [self._key(number) for number in range(MOST_KEYS + 1)]
        self.enable_keys()

    def enable_keys(self) -> None:
        """Let digits choose classes while a nucleus is chosen; else they are napari's own."""
        for key in self.keys:
            key.setEnabled(self.dock.nucleus is not None)

    def pick(self, y: float, x: float) -> None:
        """Choose the nucleus at a level-0 centre coordinate, or none."""
        if self.dock.segmentation is not None:
            self.dock.select(self.dock.segmentation.at(y, x))

    def _clicked(self, position: Sequence[float]) -> None:
        if self.dock.layer is not None:
            y, x = self.dock.layer.world_to_data(position)
            self.pick(float(y), float(x))

    def _key(self, number: int) -> QShortcut:
        """0 takes the chosen nucleus away, other digits give it that class."""
        key = QShortcut(QKeySequence(str(number)), self.dock)
        key.setContext(Qt.ShortcutContext.WindowShortcut)
        key.activated.connect(partial(self._typed, number))
        return key

    def _typed(self, number: int) -> None:
        seg = self.dock.segmentation
        if seg is None or number > len(seg.class_names):
            return
        if number == 0:
            self.dock.corrections.remove()
        else:
            self.dock.corrections.set_class(seg.class_names[number - 1])
