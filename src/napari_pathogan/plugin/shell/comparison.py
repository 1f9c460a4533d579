"""Comparing a slide with what lies over it: fading, a divider to drag, linked views side by side."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QSlider

from napari_pathogan.plugin.shell.form import beside
from napari_pathogan.plugin.viewer import layers as between
from napari_pathogan.plugin.viewer.holding import HOLD
from napari_pathogan.plugin.viewer.swipe import Swipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari
    from napari.layers import Image
    from qtpy.QtWidgets import QWidget

    from napari_pathogan.plugin.shell.form import Form, Ties


class Comparison:
    """The widgets of it; knows the slide, its views, and which of those is in front.

    Parameters
    ----------
    viewer, ties
        The dock's: what is undone when it is closed.
    what
        Views are called in sentences: ``its new colours``.
    sides, sides_tip
        Of the box that shows all at once.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        ties: Ties,
        what: str,
        sides: str = "Side by side",
        sides_tip: str = "The slide and {} in linked views",
    ) -> None:
        self.viewer = viewer
        self.slide: Image | None = None
        self.views: list[Image] = []  # neighbours of the slide in the layer list, from it on
        self.front: Image | None = None
        self.said = ""
        self._named: list[tuple[Image, bool]] = []  # side by side, and whether it was so before
        self._hidden: list[tuple[Image, bool]] = []
        self.fade = QSlider(Qt.Orientation.Horizontal)
        self.fade.setRange(0, 100)
        self.fade.setValue(100)
        self.fade.setToolTip(
            f"Fade between the slide as it is (left) and {what}; {HOLD} held hides that"
        )
        self.fade.valueChanged.connect(self._faded)
        self.divider = Swipe(viewer, what)
        ties.add(self.divider.remove)
        # a viewer that is closed takes its canvas away before its docks
        self.divider.destroyed.connect(partial(ties.remove, self.divider.remove))
        self.swipe = QCheckBox("Swipe")
        self.swipe.setToolTip(f"A divider on the picture: drag it between the slide and {what}")
        self.swipe.toggled.connect(self._swiped)
        self.sides = QCheckBox(sides)
        self.sides.setToolTip(sides_tip.format(what))
        self.sides.toggled.connect(self._side_by_side)
        for emitter in (viewer.canvas.grid.events.enabled, viewer.dims.events.ndisplay):
            ties.connect(emitter, self._flat_alone)

    def add_to(self, form: Form) -> QWidget:
        """Add its rows to a dock's form; returns the line of the boxes."""
        form.add_row("Compare", self.fade)
        line = beside(self.swipe, self.sides, wide=1)
        form.add_line(line)
        return line

    def show(
        self,
        slide: Image | None,
        views: Sequence[Image],
        front: Image | None = None,
        said: str = "",
    ) -> None:
        """Compare these from now on; without a view, nothing is compared. ``said`` is what the front one is."""
        again = self.sides.isChecked() and list(views) != self.views
        if again:
            self._side_by_side(False)
        self.slide, self.views = slide, list(views)
        self.front = front if front is not None or not views else views[-1]
        self.said = said
        known = self.front is not None
        self.fade.setEnabled(known)
        for box in (self.swipe, self.sides):
            box.setEnabled(known)
            box.setChecked(known and box.isChecked())
        if again and known:
            self._side_by_side(True)
        self._divide()

    def release(self) -> None:
        """Leave the viewer as it was: one view, layers shown as they were."""
        if self.sides.isChecked():
            self._side_by_side(False)

    def _faded(self, percent: int) -> None:
        if self.front is not None:
            self.front.opacity = percent / 100

    def _swiped(self, shown: bool) -> None:  # noqa: FBT001  (Qt passes it)
        """A divider between the slide and the view in front."""
        if shown:
            self.sides.setChecked(False)
            self.viewer.dims.ndisplay = 2
        self._divide()

    def _divide(self) -> None:
        self.divider.divide(self.front if self.swipe.isChecked() else None, self.said)

    def _flat_alone(self) -> None:
        """A divider parts one flat picture: take it away from a grid of pictures, and from 3-D."""
        if self.viewer.canvas.grid.enabled or self.viewer.dims.ndisplay > 2:
            self.swipe.setChecked(False)

    def _side_by_side(self, shown: bool) -> None:  # noqa: FBT001  (Qt passes it)
        """Linked views of the slide and all that is compared; other layers are hidden meanwhile."""
        grid = self.viewer.canvas.grid
        if shown and self.views and self.slide is not None:
            seen = [self.slide, *self.views]
            self._hidden = [(x, x.visible) for x in self.viewer.layers]
            for layer in self.viewer.layers:
                layer.visible = layer in seen
            self._named = [(x, x.name_overlay.visible) for x in seen]
            for view in self.views:
                view.opacity = 1.0
            # hidden layers share the places; those that are seen are neighbours, so they don't
            columns = math.ceil(math.sqrt(len(seen)))
            grid.stride, grid.shape = 1, (math.ceil(len(seen) / columns), columns)
            grid.enabled = True
            for layer in seen:
                layer.name_overlay.visible = True
            between.fit(self.viewer, [self.slide])
        else:
            grid.enabled = False
            named, self._named = self._named, []
            for layer, visible in named:
                layer.name_overlay.visible = visible
            for layer, visible in self._hidden:
                if layer in self.viewer.layers:
                    layer.visible = visible
            self._hidden = []
            self._faded(self.fade.value())
