"""The layers of one heat map: probability, uncertainty (hidden at first), and the outline."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils import Colormap
from qtpy.QtCore import QTimer

from napari_pathogan.plugin.viewer.layers import place, place_level0, selection_kept
from napari_pathogan.plugin.viewer.placing import short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import napari
    from napari.layers import Image, Layer, Vectors

    from napari_pathogan.engine.events import Tile
    from napari_pathogan.slides.geometry import Overlay, Region
    from napari_pathogan.tasks.idc.heatmap import HeatMap, IdcOutline

REFRESH_MS = 150  # tiles that come closer together are drawn at once: drawing costs the model time
OUTLINE_PX = 2.0  # width of the outline on the screen
OUTLINE_COLOUR = "#00e5ff"
MARK_COLOUR = "#ffd400"  # of a place that was gone to
MAP_OPACITY = 0.45  # the tissue below stays readable; the outline says where IDC is


def heat_colormap() -> Colormap:
    """Viridis over the tissue: hardly there where probability is low, dense where it is high."""
    from matplotlib import colormaps  # noqa: PLC0415  (slow to import)

    colours = colormaps["viridis"](np.linspace(0, 1, 256))
    colours[:, 3] = np.linspace(0.1, 1.0, 256)
    return Colormap(colours, name="pathogan-heat", display_name="IDC probability")


def heat_image(what: str, slide: str) -> dict[str, Any]:
    """How a map is shown: ``what`` is "probability" or "uncertainty" (hidden at first)."""
    return {
        "name": f"IDC {what} ({short(slide)})",
        "opacity": MAP_OPACITY,
        "blending": "translucent",
        "interpolation2d": "nearest",
        "colormap": heat_colormap() if what == "probability" else "magma",
        "contrast_limits": (0, 1),
        "visible": what == "probability",
    }


def uncertainty_limits(uncertainty: np.ndarray) -> tuple[float, float]:
    """Contrast limits for the uncertainty of the cells that were scored."""
    most = float(np.percentile(uncertainty, 99)) if uncertainty.size else 0.0
    return 0.0, max(0.05, most)


class HeatLayers:
    """Lays a slide's heat map in the viewer; a later run fills the same layers anew.

    Attributes
    ----------
    heat
        The finished map; a run that is taken back leaves it as it is.
    images, outline
        The layers that have been made so far.
    """

    def __init__(self, viewer: napari.Viewer, slide: Image) -> None:
        self.viewer, self.slide = viewer, slide
        self.heat: HeatMap | None = None
        self.images: dict[str, Image] = {}
        self.outline: Vectors | None = None
        self.place: Vectors | None = None  # a frame around what was gone to
        self._cells: dict[str, np.ndarray] = {}
        self._due = QTimer()
        self._due.setSingleShot(True)
        self._due.setInterval(REFRESH_MS)
        self._due.timeout.connect(self._draw)

    @property
    def all(self) -> list[Layer]:
        """Those of the layers that are in the viewer."""
        made = (*self.images.values(), self.outline, self.place)
        return [x for x in made if x is not None and x in self.viewer.layers]

    def begin(self, probability: Overlay, uncertainty: Overlay) -> None:
        """Show an empty map, which tiles are painted into; the outline is hidden meanwhile."""
        self._cells = {"probability": probability.data, "uncertainty": uncertainty.data}
        self._lay("probability", probability)
        self._hide_outline(hidden=True)

    def paint(self, tile: Tile) -> None:
        """Put a tile in its place; it is drawn within :data:`REFRESH_MS`."""
        height, width = tile.data.shape
        cells = self._cells[tile.layer]
        cells[tile.row : tile.row + height, tile.col : tile.col + width] = tile.data
        if not self._due.isActive():
            self._due.start()

    def finish(self, heat: HeatMap) -> Iterator[None]:
        """Take the finished map; the layers carry it, and where it came from, for saving.

        In steps, between which the window answers.
        """
        self._due.stop()
        self.heat = heat
        self._lay("uncertainty", heat.uncertainty)
        yield
        self._lay("probability", heat.probability)
        yield
        for what, image in self.images.items():
            image.metadata = {"heat_map": heat, "what": what, "model": heat.model_line}
        spread = heat.uncertainty.data[heat.scored]
        self.images["uncertainty"].contrast_limits = uncertainty_limits(spread)
        self._hide_outline(hidden=False)

    def take_back(self, *, at_once: bool) -> None:
        """Show what was there before the run: the earlier map, or nothing.

        Removing a layer makes napari collect garbage, which takes longer than a cancelled run may:
        unless asked to be gone ``at_once``, layers go a moment later. They are not hidden until
        then, since vispy 0.17 with Mesa may crash when a hidden image is removed.
        """
        self._due.stop()
        self._hide_outline(hidden=False)
        if self.heat is not None:
            if self.images["probability"] in self.viewer.layers:
                self._lay("probability", self.heat.probability)
        elif at_once:
            self.remove()
        else:
            QTimer.singleShot(1, partial(self.remove))  # a bound method would not keep self alive

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        for layer in self.all:
            self.viewer.layers.remove(layer)

    def show_outlines(self, outlines: Sequence[IdcOutline]) -> None:
        """Draw the outlines, in a layer that is made when there is something to draw."""
        rings = [ring for o in outlines for ring in (o.exterior, *o.holes)]
        parts = [np.stack([ring, np.roll(ring, -1, 0) - ring], 1) for ring in rings]
        segments = np.concatenate(parts) if parts else np.zeros((0, 2, 2))
        if self.outline is not None and self.outline in self.viewer.layers:
            self.outline.data = segments
        elif parts:
            self.outline = self._add_outline(segments)

    def fade(self, opacity: float, *, outline_only: bool) -> None:
        """Show the maps so opaque; hide the probability where the outline is to be seen alone."""
        for image in self.images.values():
            image.opacity = opacity
        if (image := self.images.get("probability")) in self.viewer.layers and image is not None:
            image.visible = not outline_only

    def mark(self, region: Region) -> None:
        """Frame a part of the slide."""
        low = np.array([region.y, region.x]) - 0.5
        corners = low + np.array([[0, 0], [0, 1], [1, 1], [1, 0]]) * [region.height, region.width]
        frame = np.stack([corners, np.roll(corners, -1, 0) - corners], 1)
        if self.place is not None and self.place in self.viewer.layers:
            self.place.data = frame
            self.place.edge_width = self._width()
            return
        self.place = self._add_lines(frame, "IDC place", MARK_COLOUR)

    def _lay(self, what: str, overlay: Overlay) -> None:
        """Show an overlay in its layer, which is made where it is missing; the selection stays."""
        image = self.images.get(what)
        where = place(overlay, self.slide)
        if image is not None and image in self.viewer.layers:
            image.data = overlay.data
            image.scale, image.translate = where["scale"], where["translate"]
            return
        with selection_kept(self.viewer):
            self.images[what] = self.viewer.add_image(
                overlay.data, **heat_image(what, self.slide.name), **where
            )

    def _draw(self) -> None:
        image = self.images["probability"]
        if image in self.viewer.layers:
            image.refresh(extent=False, highlight=False)

    def _hide_outline(self, *, hidden: bool) -> None:
        if self.outline is not None:
            self.outline.visible = not hidden

    def _add_outline(self, segments: np.ndarray) -> Vectors:
        return self._add_lines(segments, "IDC outline", OUTLINE_COLOUR)

    def _add_lines(self, segments: np.ndarray, what: str, colour: str) -> Vectors:
        with selection_kept(self.viewer):
            made = self.viewer.add_vectors(
                segments,
                name=f"{what} ({short(self.slide.name)})",
                edge_color=colour,
                edge_width=self._width(),
                vector_style="line",
                opacity=1.0,
                **place_level0(self.slide),
            )
        self.viewer.scene.camera.events.zoom.connect(self._zoomed)
        return made

    def _width(self) -> float:
        """Level-0 pixels that are :data:`OUTLINE_PX` on the screen now."""
        return float(OUTLINE_PX / self.viewer.scene.camera.zoom / self.slide.scale[0])

    def _zoomed(self) -> None:
        width = self._width()
        for lines in (self.outline, self.place):
            if lines is not None and not 0.8 < lines.edge_width / width < 1.25:
                lines.edge_width = width
