"""The layers of one slide's nuclei: editable labels, or points and a class image where many.

While a run goes on, a picture of what has been found so far fills tile by tile. Labels can be
painted, but napari colours each id by itself: beyond some thousand nuclei, colours would take
seconds to change. Many nuclei are therefore points (seen from afar) and, close up, the classes of
the pixels in view: one small uint8 image, which a colour map of a few entries recolours at once.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.nuclei.brush import Brush
from napari_pathogan.plugin.nuclei.colours import (
    NOTHING,
    can_edit,
    class_colours,
    label_colours,
    palette_of,
    rgba,
)
from napari_pathogan.plugin.shell.steps import at_once
from napari_pathogan.plugin.viewer.layers import (
    image_name,
    place,
    place_level0,
    selection_kept,
    view_region,
)
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.names import of_image

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import napari
    from napari.layers import Image, Labels, Layer, Points

    from napari_pathogan.engine.events import Tile
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation

MAX_FOUND_PX = 2048**2  # of the picture that fills while a run goes on
MAX_VIEW_PX = 2048**2  # of the class image: beyond, points are shown
REFRESH_MS = 150  # tiles that come closer together are drawn at once
DRAWN_MS = 200  # the canvas has been drawn by then
LOOK_MS = 120  # the camera has rested for as long: look up the classes in view
OUTLINE_PX = 2.0  # width of outlines on the screen
OUTLINES = np.array([1, 2, 3, 4])  # in pixels of the labels; what would be wider is filled
RING_COLOURS = "#f7ffef", "#000000"  # of the chosen nucleus: two, as no class has
RING = 0.04  # how wide each is, of the ring's diameter
OPACITY = 0.9  # of outlines and points
FILLED = 2 / 3  # of it, where whole nuclei are filled: the tissue below stays readable


class NucleiLayers:
    """Shows a slide's nuclei in the viewer; a later run shows its own in the same layers.

    Attributes
    ----------
    segmentation
        What is shown; a run that is taken back leaves it as it is.
    labels
        The nuclei where there are few: editable.
    points, classes
        The nuclei where there are many.
    """

    def __init__(self, viewer: napari.Viewer, slide: Image) -> None:
        self.viewer, self.slide = viewer, slide
        self.segmentation: Segmentation | None = None
        self.labels: Labels | None = None
        self.points: Points | None = None
        self.classes: Image | None = None
        self.found: Image | None = None
        self.mark: Points | None = None
        self.hidden: frozenset[str] = frozenset()
        self._faint = OPACITY  # how opaque they are
        self._outlined = False  # everywhere, not only where outlines look well
        self._lut = np.zeros(1, np.uint8)
        self._outline = 0
        self._coarse = 1
        self._points_stale = False  # they have not the newest colours
        self._opacity: dict[Layer, float] = {}
        self.brush = Brush()
        self._due = _timer(REFRESH_MS, self._draw)
        self._look = _timer(LOOK_MS, self._fit)

    @property
    def all(self) -> list[Layer]:
        """Those of the layers that are in the viewer."""
        made = (self.labels, self.points, self.classes, self.found, self.mark)
        return [x for x in made if x is not None and x in self.viewer.layers]

    @property
    def editable(self) -> bool:
        """Whether the nuclei are labels that can be painted."""
        return self.labels is not None and self.labels in self.viewer.layers

    @property
    def missing(self) -> bool:
        """Whether the user has taken the nuclei out of the layer list."""
        made = (self.labels, self.points, self.classes)
        return self.segmentation is not None and not any(
            layer is not None and layer in self.viewer.layers for layer in made
        )

    # a run

    def begin(self, place_of_labels: Overlay, colours: Sequence[str]) -> None:
        """Show an empty picture of what will be found; earlier nuclei fade meanwhile.

        Parameters
        ----------
        place_of_labels
            An array of the labels' shape (nothing is read of it), and where they will lie.
        colours
            Of the classes, ``#rrggbb``.
        """
        self._fade()
        overlay = place_of_labels
        height, width = overlay.data.shape
        self._coarse = max(1, math.ceil(math.sqrt(height * width / MAX_FOUND_PX)))
        shape = (-(-height // self._coarse), -(-width // self._coarse))
        step = (overlay.step[0] * self._coarse, overlay.step[1] * self._coarse)
        picture = Overlay(np.zeros(shape, np.uint8), overlay.origin, step)
        palette = np.asarray([NOTHING, *map(rgba, colours)])
        self.found = self._add(
            "add_image",
            picture.data,
            name=of_image("Nuclei found", image_name(self.slide)),
            colormap=class_colours(palette),
            contrast_limits=(0, len(palette) - 1),
            opacity=0.6,
            interpolation2d="nearest",
            **place(picture, self.slide),
        )

    def paint(self, tile: Tile) -> None:
        """Put a tile of classes in its place; it is drawn within :data:`REFRESH_MS`."""
        if self.found is None:
            return
        rows, cols = np.nonzero(tile.data)
        at = (tile.row + rows) // self._coarse, (tile.col + cols) // self._coarse
        self.found.data[at] = tile.data[rows, cols]
        if not self._due.isActive():
            self._due.start()

    def finish(self, segmentation: Segmentation) -> Iterator[None]:
        """Show the nuclei in the colours of their classes; in steps, between which the window answers."""
        self._unfade()
        yield from self._shown(segmentation)
        yield
        self._take_found(at_once=False)

    def take_back(self, *, at_once: bool) -> None:
        """Show what was there before the run: the earlier nuclei, or nothing."""
        self._unfade()
        self._take_found(at_once=at_once)

    # nuclei

    def show(self, segmentation: Segmentation) -> None:
        """Show nuclei: as labels where they are few, else as points and a class image."""
        at_once(self._shown(segmentation))

    def begin_painting(self) -> None:
        """Let the mouse paint nuclei; they have to be editable."""
        self.viewer.layers.selection.active = self.labels
        self.brush.begin()

    def reclaim(self) -> None:
        """Take over labels that were put in the place of ours, as by changing their type."""
        if self.segmentation is None or not self.editable:
            return
        assert self.labels is not None
        own, there = self.segmentation.labels, self.labels.data
        if there is not own:
            if there.shape == own.shape:
                own[:] = there
            self.labels.data = own

    def redraw(self) -> None:
        """Show labels that have been changed in place."""
        if self.labels is not None and self.editable:
            self.labels.refresh()

    def recolour(self, segmentation: Segmentation, hidden: Collection[str] | None = None) -> None:
        """Show the same nuclei in other classes, names or colours; some classes may be hidden."""
        self.segmentation = segmentation
        self.hidden = self.hidden if hidden is None else frozenset(hidden)
        self._lut = segmentation.lut()
        palette = palette_of(segmentation, self.hidden)
        for layer in self.all:
            layer.metadata = {**layer.metadata, "segmentation": segmentation}
        if self.editable:
            assert self.labels is not None
            self.labels.colormap = label_colours(segmentation, palette)
        elif self.points is not None and self.points in self.viewer.layers:
            self._points_stale = True
            self._colour_points()
            self._colour_classes(palette)
            self._look_up()

    def select(self, nucleus: int | None) -> None:
        """Put a ring around a nucleus, or none.

        The ring's layer stays: colours that change just before a layer goes make vispy 0.17 look
        for a texture that is no more.
        """
        if self.segmentation is None or nucleus is None:
            if self.mark is not None and self.mark in self.viewer.layers:
                self.mark.data = np.zeros((0, 2))
            return
        one = self.segmentation.nucleus(nucleus)
        box = self.segmentation.around(nucleus)
        where, size = [[one["y_px"], one["x_px"]]] * 2, 1.4 * max(box.height, box.width)
        sizes = size, (1 + 2 * RING) * size
        if self.mark is not None and self.mark in self.viewer.layers:
            self.mark.data = where
            self.mark.size = sizes
            self.mark.border_color = list(RING_COLOURS)
            return
        self.mark = self._add(
            "add_points",
            where,
            name="Chosen nucleus",
            size=sizes,
            face_color="transparent",
            border_color=list(RING_COLOURS),
            border_width=RING,
            **place_level0(self.slide),
        )

    @property
    def opacity(self) -> float:
        """How opaque the nuclei are, as napari's own controls may have changed it."""
        if self.labels is not None and self.editable:
            return float(self.labels.opacity)
        if self.points is not None and self.points in self.viewer.layers:
            return float(self.points.opacity)
        return self._faint

    def fade(self, opacity: float, *, outline_only: bool) -> None:
        """Show the nuclei so opaque, and outlined where they would be filled."""
        self._faint, self._outlined = opacity, outline_only
        for layer, share in ((self.labels, 1.0), (self.points, 1.0), (self.classes, FILLED)):
            if layer is not None and layer in self.viewer.layers:
                layer.opacity = opacity * (1.0 if outline_only else share)
        self._draw_outlines()
        self._outline_points()
        self._look_up()

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        self._remove(*self.all)

    def camera_moved(self) -> None:
        """Fit what is shown to what is in view once the camera rests."""
        self._look.start()

    def slide_is_gone(self) -> None:
        """Let go of a slide that was closed: the ring goes too, once it has been drawn empty."""
        self.release()
        self.select(None)
        QTimer.singleShot(DRAWN_MS, partial(self._remove, self.mark))

    def release(self) -> None:
        """Stop what is still to come."""
        for timer in (self._due, self._look):
            timer.stop()
        self.brush.release()

    # how

    def _shown(self, segmentation: Segmentation) -> Iterator[None]:
        self.segmentation = segmentation
        if can_edit(segmentation):
            self._remove(self.points, self.classes)
            yield from self._show_labels(segmentation)
        else:
            self._remove(self.labels)
            yield from self._show_points(segmentation)
        self.recolour(segmentation)

    def _show_labels(self, segmentation: Segmentation) -> Iterator[None]:
        overlay = segmentation.overlay
        data = overlay.data  # napari paints in place
        where = place(overlay, self.slide)
        if self.editable:
            assert self.labels is not None
            moved = {
                name: where[name]
                for name in ("scale", "translate")
                if not np.array_equal(getattr(self.labels, name), where[name])
            }
            for name, value in moved.items():  # each draws the labels anew
                setattr(self.labels, name, value)
            self.labels.data = data
            yield
            return
        self.labels = self._add(
            "add_labels",
            data,
            name=of_image("Nuclei", image_name(self.slide)),
            opacity=self._faint,
            visible=False,
            **where,
        )
        self._outline = self.labels.contour
        self.brush.take(self.labels)
        yield
        self.labels.visible = True
        yield
        self._draw_outlines()
        yield

    def _draw_outlines(self) -> None:
        """Draw outlines as wide as they look well at this zoom; from afar nuclei are filled.

        Once the user has chosen a contour in the layer's controls, that stays.
        """
        labels = self.labels
        if labels is None or not self.editable or labels.contour != self._outline:
            return
        wanted = OUTLINE_PX / (self.viewer.scene.camera.zoom * labels.scale[0])
        nearest = int(OUTLINES[np.abs(OUTLINES - wanted).argmin()])
        self._outline = 0 if wanted > OUTLINES[-1] + 1 and not self._outlined else nearest
        if labels.contour != self._outline:
            labels.contour = self._outline

    def _outline_points(self) -> None:
        """Draw discs as rings, or full."""
        if self.points is not None and self.points in self.viewer.layers:
            self.points.symbol = "ring" if self._outlined else "disc"

    def _show_points(self, segmentation: Segmentation) -> Iterator[None]:
        centres, size = _discs(segmentation)
        self._remove(self.points, self.classes)
        self.classes = self._add(
            "add_image",
            np.zeros((1, 1), np.uint8),
            name=of_image("Nuclei classes", image_name(self.slide)),
            opacity=self._faint * (1.0 if self._outlined else FILLED),
            interpolation2d="nearest",
            **place(Overlay(np.zeros((1, 1)), *_place_of(segmentation)), self.slide),
        )
        yield
        self.points = self._add(
            "add_points",
            centres,
            name=of_image("Nuclei", image_name(self.slide)),
            size=size,
            border_width=0,
            opacity=self._faint,
            **place_level0(self.slide),
        )
        assert self.points is not None
        self._outline_points()
        self.points.events.visible.connect(self._colour_points)
        yield

    def _fit(self) -> None:
        self._draw_outlines()
        self._look_up()

    def _look_up(self) -> None:
        """Show the classes of the pixels in view, or the points where the view is too wide."""
        seg, classes, points = self.segmentation, self.classes, self.points
        if seg is None or classes is None or points is None:
            return
        if classes not in self.viewer.layers or points not in self.viewer.layers:
            return
        window = self._window(seg)
        close = window is not None
        if window is not None:
            rows, cols = window
            (oy, ox), (sy, sx) = _place_of(seg)
            ids = np.asarray(seg.labels[rows, cols])
            data = self._lut[ids]
            if self._outlined:
                data[_inner(ids)] = 0
            part = Overlay(data, (oy + rows.start * sy, ox + cols.start * sx), (sy, sx))
            classes.data = data
            classes.translate = place(part, self.slide)["translate"]
        if close != (classes.metadata.get("close", False)):
            # the layer for this distance takes over whether nuclei are shown
            old, new = (points, classes) if close else (classes, points)
            new.visible, old.visible = old.visible, False
            classes.metadata = {**classes.metadata, "close": close}

    def _window(self, segmentation: Segmentation) -> tuple[slice, slice] | None:
        """Rows and columns of the labels in view; None where those are too many, or none."""
        try:
            seen: Region = view_region(self.viewer, self.slide)
        except PathoganError:
            return None  # the slide is not in view
        origin, step = np.asarray(_place_of(segmentation))
        first = np.floor((np.array([seen.y, seen.x]) - origin) / step).astype(int)
        last = np.ceil((np.array([seen.bottom, seen.right]) - origin) / step).astype(int)
        first, last = np.maximum(first, 0), np.minimum(last, segmentation.labels.shape)
        if (last <= first).any() or np.prod(last - first) > MAX_VIEW_PX:
            return None
        return slice(int(first[0]), int(last[0])), slice(int(first[1]), int(last[1]))

    def _colour_points(self) -> None:
        """Colour the points if they are to be seen; else they wait until they are."""
        points, seg = self.points, self.segmentation
        if points is None or seg is None or not (points.visible and self._points_stale):
            return
        self._points_stale = False
        palette = palette_of(seg, self.hidden)
        code = seg.table["class"].cat.codes.to_numpy() + 1
        with points.events.set_data.blocker(), points.events.face_color.blocker():
            if len(points.data) != len(seg):  # a nucleus was deleted, or has come back
                points.data, points.size = _discs(seg)
            points.shown = palette[code, 3] > 0  # each of the two would send all points anew:
            points.face_color = palette[code]  # what the colours themselves announce is enough

    def _colour_classes(self, palette: np.ndarray) -> None:
        if self.classes is not None and self.classes in self.viewer.layers:
            self.classes.contrast_limits = (0, len(palette) - 1)
            self.classes.colormap = class_colours(palette)

    def _add(self, how: str, data: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any layer
        """Add a layer; what was selected stays selected."""
        with selection_kept(self.viewer):
            return getattr(self.viewer, how)(data, **kwargs)

    def _remove(self, *layers: Layer | None) -> None:
        for layer in layers:
            if layer is not None and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def _fade(self) -> None:
        """Make earlier nuclei invisible; whether they are shown is the user's to change meanwhile."""
        self._opacity = {layer: layer.opacity for layer in self.all}
        for layer in self._opacity:
            layer.opacity = 0

    def _unfade(self) -> None:
        for layer, opacity in self._opacity.items():
            layer.opacity = opacity
        self._opacity = {}

    def _take_found(self, *, at_once: bool) -> None:
        """Remove the picture of the run.

        Removing a layer makes napari collect garbage, which takes longer than a cancelled run may:
        unless asked to be gone ``at_once``, it is hidden, and goes when the rest has been drawn.
        """
        self._due.stop()
        found, self.found = self.found, None
        if found is None or at_once:
            self._remove(found)
        else:
            found.visible = False
            QTimer.singleShot(DRAWN_MS, partial(self._remove, found))

    def _draw(self) -> None:
        if self.found is not None and self.found in self.viewer.layers:
            self.found.refresh(extent=False, highlight=False)


def _place_of(segmentation: Segmentation) -> tuple[tuple[float, float], tuple[float, float]]:
    return segmentation.overlay.origin, segmentation.overlay.step


def _discs(segmentation: Segmentation) -> tuple[np.ndarray, np.ndarray]:
    """Centres (N, 2), level-0 centre coordinates, and diameters of discs as large as the nuclei."""
    table = segmentation.table
    mpp = math.sqrt(segmentation.mpp[0] * segmentation.mpp[1])
    size = 2 * np.sqrt(table["area_um2"].to_numpy() / math.pi) / mpp
    return table[["y_px", "x_px"]].to_numpy(), size


def _inner(ids: np.ndarray) -> np.ndarray:
    """Bool (H, W): pixels whose four neighbours are of the same nucleus; those at the rim are not."""
    inner = np.zeros(ids.shape, bool)
    inner[1:-1, 1:-1] = True
    for axis in (0, 1):
        for step in (1, -1):
            inner &= ids == np.roll(ids, step, axis)
    return inner


def _timer(interval_ms: int, action: Any) -> QTimer:  # noqa: ANN401 - a slot
    made = QTimer()
    made.setSingleShot(True)
    made.setInterval(interval_ms)
    made.timeout.connect(action)
    return made
