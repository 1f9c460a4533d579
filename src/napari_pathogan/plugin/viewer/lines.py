"""Lines over an image that are as wide on the screen at any zoom, and a frame around a part of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer

from napari_pathogan.plugin.viewer.layers import image_name, place_level0, selection_kept
from napari_pathogan.slides.names import of_image

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Shapes, Vectors

    from napari_pathogan.slides.geometry import Region

WIDE_PX = 2.0  # on the screen
_REST_MS = 100  # the camera has rested for as long: shapes take a while to be drawn anew
FRAME_COLOUR = "#ffd400"  # of a place that was gone to


class SteadyEdges:
    """Keeps the edges of shapes as wide on the screen at any zoom: of those there are, and of new ones.

    It lives as long as the layer is in the viewer.
    """

    def __init__(self, viewer: napari.Viewer, shapes: Shapes) -> None:
        self.viewer: napari.Viewer = getattr(viewer, "__wrapped__", viewer)  # commands get proxies
        self.shapes: Shapes = getattr(shapes, "__wrapped__", shapes)
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self.fit)
        # bound methods would not keep it alive
        self._ties = [
            (emitter, partial(heard, self))
            for emitter, heard in (
                (self.viewer.scene.camera.events.zoom, SteadyEdges._changed),
                (self.shapes.events.data, SteadyEdges._changed),
                (self.viewer.layers.events.removed, SteadyEdges._removed),
            )
        ]
        for emitter, heard in self._ties:
            emitter.connect(heard)
        self.fit()

    def fit(self) -> None:
        """Give the edges their width at this zoom."""
        if self.shapes._is_creating:  # noqa: SLF001  (napari says it nowhere else)
            self._rest.start()
            return
        width = self._width()
        if not np.allclose(self.shapes.edge_width, width):
            self.shapes.edge_width = width
        self.shapes.current_edge_width = width

    def _width(self) -> float:
        """Of the layer's pixels, what is :data:`WIDE_PX` on the screen now."""
        return float(WIDE_PX / self.viewer.scene.camera.zoom / abs(self.shapes.scale[-1]))

    def _changed(self) -> None:
        width = self._width()
        widths = [self.shapes.current_edge_width, *self.shapes.edge_width]
        if not all(0.8 < one / width < 1.25 for one in widths):
            self._rest.start()

    def _removed(self) -> None:
        if self.shapes not in self.viewer.layers:
            self._rest.stop()
            for emitter, heard in self._ties:
                emitter.disconnect(heard)


class Lines:
    """Rings over an image, in a layer that is made when there is something to draw.

    Parameters
    ----------
    what
        The layer is called, before the image's name.
    colour
        ``#rrggbb``.
    """

    def __init__(self, viewer: napari.Viewer, image: Image, what: str, colour: str) -> None:
        self.viewer, self.image = viewer, image
        self.layer: Vectors | None = None
        self._what, self._colour = what, colour

    @property
    def there(self) -> Vectors | None:
        """The layer, if it is in the viewer."""
        return self.layer if self.layer is not None and self.layer in self.viewer.layers else None

    def show(self, rings: list[np.ndarray]) -> None:
        """Draw rings (N, 2), level-0 centre coordinates, in the place of those from before."""
        parts = [np.stack([ring, np.roll(ring, -1, 0) - ring], 1) for ring in rings]
        segments = np.concatenate(parts) if parts else np.zeros((0, 2, 2))
        if self.there is not None:
            self.there.data = segments
            self._zoomed()
        elif parts:
            with selection_kept(self.viewer):
                self.layer = self.viewer.add_vectors(
                    segments,
                    name=of_image(self._what, image_name(self.image)),
                    edge_color=self._colour,
                    edge_width=self._width(),
                    vector_style="line",
                    opacity=1.0,
                    **place_level0(self.image),
                )
            self.viewer.scene.camera.events.zoom.connect(self._zoomed)

    def take(self, layer: Vectors) -> None:
        """Draw in a layer that is there already."""
        self.layer = layer
        self.viewer.scene.camera.events.zoom.connect(self._zoomed)
        self._zoomed()

    def frame(self, region: Region) -> None:
        """Draw a frame around a part of the image."""
        low = np.array([region.y, region.x]) - 0.5
        corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
        self.show([low + corners * [region.height, region.width]])

    def _width(self) -> float:
        """Level-0 pixels that are :data:`WIDE_PX` on the screen now."""
        return float(WIDE_PX / self.viewer.scene.camera.zoom / abs(self.image.scale[0]))

    def _zoomed(self) -> None:
        width = self._width()
        if self.there is not None and not 0.8 < self.there.edge_width / width < 1.25:
            self.there.edge_width = width
