"""The layers of one heat map: probability, uncertainty (hidden at first), and the outline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils import Colormap
from qtpy.QtCore import QTimer

from napari_pathogan.plugin.layers import place, place_level0

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari
    from napari.layers import Image, Layer, Vectors

    from napari_pathogan.engine.events import Tile
    from napari_pathogan.idc.heatmap import HeatMap, Outline
    from napari_pathogan.slides.geometry import Overlay

REFRESH_MS = 60  # tiles that come closer together are drawn at once
OUTLINE_PX = 2.0  # width of the outline on the screen
OUTLINE_COLOUR = "#00e5ff"


def heat_colormap() -> Colormap:
    """Viridis over the tissue: hardly there where probability is low, dense where it is high."""
    from matplotlib import colormaps  # noqa: PLC0415  (slow to import)

    colours = colormaps["viridis"](np.linspace(0, 1, 256))
    colours[:, 3] = np.linspace(0.1, 1.0, 256)
    return Colormap(colours, name="pathogan-heat", display_name="IDC probability")


class HeatLayers:
    """Makes, fills and removes the layers of a heat map.

    Parameters
    ----------
    viewer
        Where they are added, just above everything; the selection stays as it is.
    slide
        The slide's layer, which they lie on.
    probability, uncertainty
        Empty overlays that tiles are painted into.
    """

    def __init__(
        self, viewer: napari.Viewer, slide: Image, probability: Overlay, uncertainty: Overlay
    ) -> None:
        self.viewer, self.slide = viewer, slide
        self._due = QTimer()
        self._due.setSingleShot(True)
        self._due.setInterval(REFRESH_MS)
        self._due.timeout.connect(self._draw)
        selected = set(viewer.layers.selection)
        self.images: dict[str, Image] = {
            "uncertainty": self._add_image(
                uncertainty,
                "uncertainty",
                colormap="magma",
                contrast_limits=(0, 0.5),
                visible=False,
            ),
            "probability": self._add_image(
                probability, "probability", colormap=heat_colormap(), contrast_limits=(0, 1)
            ),
        }
        self.outline: Vectors = viewer.add_vectors(
            np.zeros((0, 2, 2)),
            name=f"IDC outline ({_short(slide)})",
            ndim=2,
            edge_color=OUTLINE_COLOUR,
            edge_width=self._width(),
            vector_style="line",
            opacity=1.0,
            **place_level0(slide),
        )
        viewer.layers.selection = selected & set(viewer.layers)
        viewer.camera.events.zoom.connect(self._zoomed)

    def _add_image(self, overlay: Overlay, what: str, **kwargs: Any) -> Image:  # noqa: ANN401
        return self.viewer.add_image(
            overlay.data,
            name=f"IDC {what} ({_short(self.slide)})",
            opacity=0.6,
            blending="translucent",
            interpolation2d="nearest",
            **place(overlay, self.slide),
            **kwargs,
        )

    @property
    def all(self) -> list[Layer]:
        """Those of the layers that are still in the viewer."""
        return [x for x in (*self.images.values(), self.outline) if x in self.viewer.layers]

    def paint(self, tile: Tile) -> None:
        """Put a tile in its place; it is drawn within :data:`REFRESH_MS`."""
        height, width = tile.data.shape
        cells = self.images[tile.layer].data[
            tile.row : tile.row + height, tile.col : tile.col + width
        ]
        cells[...] = tile.data
        if not self._due.isActive():
            self._due.start()

    def _draw(self) -> None:
        for image in self.images.values():
            image.refresh(extent=False, highlight=False)

    def finish(self, heat: HeatMap) -> None:
        """Take the finished map; the layers carry it, and where it came from, for saving."""
        for what, image in self.images.items():
            image.data = getattr(heat, what).data
            image.metadata = {"heat_map": heat, "what": what, "model": heat.model_line}
        self.outline.metadata = {"heat_map": heat, "model": heat.model_line}
        spread = heat.uncertainty.data[heat.scored]
        self.images["uncertainty"].contrast_limits = (
            0,
            max(0.05, float(np.percentile(spread, 99))),
        )

    def show_outlines(self, outlines: Sequence[Outline]) -> None:
        """Draw the outlines."""
        rings = [ring for o in outlines for ring in (o.exterior, *o.holes)]
        parts = [np.stack([ring, np.roll(ring, -1, 0) - ring], 1) for ring in rings]
        self.outline.data = np.concatenate(parts) if parts else np.zeros((0, 2, 2))

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        self._due.stop()
        self.viewer.camera.events.zoom.disconnect(self._zoomed)
        for layer in self.all:
            self.viewer.layers.remove(layer)

    def _width(self) -> float:
        """Level-0 pixels that are :data:`OUTLINE_PX` on the screen now."""
        return float(OUTLINE_PX / self.viewer.camera.zoom / self.slide.scale[0])

    def _zoomed(self) -> None:
        width = self._width()
        if not 0.8 < self.outline.edge_width / width < 1.25:
            self.outline.edge_width = width


def _short(slide: Image) -> str:
    """Name of a slide without its suffix, for the layer list's narrow rows."""
    return Path(slide.name).stem.removesuffix(".ome")
