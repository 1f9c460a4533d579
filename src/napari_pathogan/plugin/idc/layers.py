"""The layers of one heat map: probability, uncertainty (hidden at first), and the outline."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Vectors
from napari.utils import Colormap
from qtpy.QtCore import QTimer

from napari_pathogan.plugin.viewer.layers import image_name, place, selection_kept
from napari_pathogan.plugin.viewer.lines import FRAME_COLOUR, Lines
from napari_pathogan.slides.names import of_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import napari
    from napari.layers import Layer

    from napari_pathogan.engine.events import Tile
    from napari_pathogan.slides.geometry import Overlay, Region
    from napari_pathogan.tasks.idc.heatmap import HeatMap, IdcOutline

REFRESH_MS = 150  # tiles that come closer together are drawn at once: drawing costs the model time
OUTLINE_COLOUR = "#00e5ff"
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
        "name": of_image(f"IDC {what}", slide),
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
    images
        The layers of its maps that have been made so far.
    """

    def __init__(self, viewer: napari.Viewer, slide: Image) -> None:
        self.viewer, self.slide = viewer, slide
        self.heat: HeatMap | None = None
        self.images: dict[str, Image] = {}
        self._outline = Lines(viewer, slide, "IDC outline", OUTLINE_COLOUR)
        self._place = Lines(viewer, slide, "IDC place", FRAME_COLOUR)
        self._cells: dict[str, np.ndarray] = {}
        self._due = QTimer()
        self._due.setSingleShot(True)
        self._due.setInterval(REFRESH_MS)
        self._due.timeout.connect(self._draw)

    @property
    def outline(self) -> Vectors | None:
        """Where the map reaches the threshold."""
        return self._outline.layer

    @property
    def place(self) -> Vectors | None:
        """A frame around what was gone to."""
        return self._place.layer

    @property
    def all(self) -> list[Layer]:
        """Those of the layers that are in the viewer."""
        made = (*self.images.values(), self.outline, self.place)
        return [x for x in made if x is not None and x in self.viewer.layers]

    def take(self, layers: Iterable[Layer]) -> None:
        """Show maps in the layers of a file that was opened."""
        for layer in layers:
            if isinstance(layer, Vectors):
                self._outline.take(layer)
            elif isinstance(layer, Image):
                self.images[layer.metadata["what"]] = layer

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
        self._outline.show([ring for o in outlines for ring in (o.exterior, *o.holes)])

    def fade(self, opacity: float, *, outline_only: bool) -> None:
        """Show the maps so opaque; hide the probability where the outline is to be seen alone."""
        for image in self.images.values():
            image.opacity = opacity
        if (image := self.images.get("probability")) in self.viewer.layers and image is not None:
            image.visible = not outline_only

    def mark(self, region: Region) -> None:
        """Frame a part of the slide."""
        self._place.frame(region)

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
                overlay.data, **heat_image(what, image_name(self.slide)), **where
            )

    def _draw(self) -> None:
        image = self.images["probability"]
        if image in self.viewer.layers:
            image.refresh(extent=False, highlight=False)

    def _hide_outline(self, *, hidden: bool) -> None:
        if self.outline is not None:
            self.outline.visible = not hidden
