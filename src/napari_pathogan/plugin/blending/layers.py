"""The layers of a blended lesion: three ways and their loss maps, over the image or side by side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_pathogan.plugin.blending.events import WAYS
from napari_pathogan.plugin.shell.steps import at_once
from napari_pathogan.plugin.viewer.layers import fit, place, selection_kept
from napari_pathogan.slides.geometry import Overlay

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari
    from napari.layers import Image, Layer

    from napari_pathogan.plugin.blending.events import Grown

_LETTERS = 7  # of names in a third of the canvas, which on a laptop is 230 px wide
IMAGE_NAME, LOSS_NAME = "{} [synthetic]", "Still visible, {} [synthetic]"
LOSS_COLOURS = "magma"
DRAWN_MS = 200  # the canvas has been drawn by then
_TOP = 99.5  # percentile of a loss that is shown brightest


class BlendLayers:
    """Shows what was grown; the next lesion is shown in the same layers.

    From the topmost: pasted, Poisson, blended, then the loss of each; so they fill a grid of two
    rows by three columns.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self.images: dict[str, Image] = {}
        self.losses: dict[str, Image] = {}
        self._grown: Grown | None = None
        self._hidden: list[tuple[Layer, bool]] = []

    @property
    def all(self) -> list[Image]:
        """Those of the layers that are in the viewer, the topmost first."""
        return [
            layers[way]
            for layers in (self.images, self.losses)
            for way in WAYS
            if way in layers and layers[way] in self.viewer.layers
        ]

    @property
    def side_by_side(self) -> bool:
        """Whether the ways are shown beside each other."""
        return bool(self._hidden)

    def show(self, image: Image, grown: Grown, loss: str, about: dict[str, Any]) -> Iterator[None]:
        """Lay a grown lesion where it was grown; ``about`` goes into the layers' metadata.

        In steps, between which the window answers.
        """
        beside = self.side_by_side and len(self.all) == 2 * len(WAYS)
        if not beside:
            self.show_beside(False)
        self._grown = grown
        origin = float(grown.origin[0]), float(grown.origin[1])
        for layers, name, parts, colours in (
            (self.losses, LOSS_NAME, grown.losses[loss], LOSS_COLOURS),
            (self.images, IMAGE_NAME, grown.images, "gray"),
        ):
            for way in reversed(WAYS):
                where = place(Overlay(parts[way], origin, (1.0, 1.0)), image)
                where["metadata"] = about | {"synthetic": True, "way": way}
                if layers is self.losses:
                    where["metadata"]["loss_map"] = True
                if way in layers and layers[way] in self.viewer.layers:
                    _lay(layers[way], parts[way], where)
                else:
                    with selection_kept(self.viewer):
                        layers[way] = self.viewer.add_image(
                            parts[way],
                            name=name.format(way),
                            colormap=colours,
                            contrast_limits=(0, 1),
                            interpolation2d="nearest",
                            visible=layers is self.images and way == WAYS[-1],
                            **where,
                        )
                yield
        self.show_loss(loss)
        yield
        if beside:
            fit(self.viewer, [self.images[WAYS[0]]])
        else:
            self._overlay()

    def show_loss(self, loss: str) -> None:
        """Show another loss, on one scale for all three ways."""
        if self._grown is None:
            return
        maps = self._grown.losses[loss]
        top = max(float(np.percentile(maps[way], _TOP)) for way in WAYS)
        for way, layer in self.losses.items():
            layer.data = maps[way]
            layer.contrast_limits = (0, max(top, 1e-9))

    def show_beside(self, shown: bool) -> None:  # noqa: FBT001
        """Show the three ways over their losses in linked views, or blended over the image."""
        if shown:
            at_once(self.laid_beside())
        elif self._hidden:
            self.viewer.canvas.grid.enabled = False
            for layer, visible in self._hidden:
                if layer in self.viewer.layers:
                    layer.visible = visible
            for layer in self.all:
                layer.name_overlay.visible = False
            self._hidden = []
            self._overlay()

    def laid_beside(self) -> Iterator[None]:
        """Show the three ways over their losses, in steps, between which the window answers."""
        mine = self.all
        if not mine or self._hidden:
            return
        self._hidden = [(x, x.visible) for x in self.viewer.layers]
        for layer in reversed(mine):  # the topmost fill the grid from its upper left
            self.viewer.layers.move(self.viewer.layers.index(layer), len(self.viewer.layers))
            yield
        for layer in self.viewer.layers:
            layer.visible = False
        yield
        grid = self.viewer.canvas.grid
        grid.stride, grid.shape = -1, (2, len(WAYS))
        grid.enabled = True
        yield
        fit(self.viewer, [mine[0]])
        for shown in (layer for layer in mine for _ in range(2)):
            yield
            if self._hidden:  # still wanted; its name by itself: the first text takes long to draw
                if shown.visible:
                    shown.name_overlay.font_size = _LETTERS
                    shown.name_overlay.visible = True
                else:
                    shown.visible = True

    def remove(self) -> None:
        """Take the layers out of the viewer, which is then as it was.

        They are drawn once more before, unseen: vispy 0.17 with Mesa may crash when a hidden image
        is removed.
        """
        self.show_beside(False)
        self._grown = None
        for layer in self.all:
            layer.opacity, layer.visible = 0, True
        QTimer.singleShot(DRAWN_MS, partial(self._take_out, self.all))
        self.images, self.losses = {}, {}

    # how

    def _take_out(self, layers: list[Image]) -> None:
        for layer in layers:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def _overlay(self) -> None:
        """Over the image, show the blended one alone."""
        for layer in self.all:
            layer.visible = layer is self.images.get(WAYS[-1])


def _lay(layer: Image, data: np.ndarray, about: dict[str, Any]) -> None:
    """Show a part of an image in a layer, at its place."""
    layer.data = data
    for name, value in about.items():
        setattr(layer, name, value)
