"""The layers of one view's masses: outlines, which can be drawn, and boxes with their scores."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_pathogan.plugin.masses.words import label_text
from napari_pathogan.plugin.shell.steps import at_once
from napari_pathogan.plugin.viewer.layers import place_level0, selection_kept
from napari_pathogan.plugin.viewer.mammogram_layers import mammogram_of
from napari_pathogan.slides.polygons import box_corners
from napari_pathogan.tasks.masses.review import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari
    from napari.layers import Image, Layer, Shapes

    from napari_pathogan.tasks.masses.review import Review

OUTLINE_PX, BOX_PX, CHOSEN_PX = 2.0, 1.0, 4.0  # widths on the screen
LABEL_SIZE = 9
DRAWN_MS = 120  # a shape has rested for as long: take it over
NEW = -1  # the number of a shape that was just drawn
CIRCLE = 64  # corners of an ellipse that was drawn
COLOURS = {
    Decision.OPEN: "#ffd60a",
    Decision.ACCEPTED: "#56b4e9",
    Decision.REJECTED: "#d55e00",
    Decision.DRAWN: "#ffffff",
}


@dataclass(frozen=True, eq=False)
class Edit:
    """What a reader has done with napari's own tools.

    Attributes
    ----------
    drawn
        Outlines (K, 2) of new masses: y, x in pixels from the upper left corner of the image.
    redrawn
        Outlines that masses have now, by their numbers.
    removed
        Numbers of masses whose outlines were deleted.
    """

    drawn: list[np.ndarray]
    redrawn: dict[int, np.ndarray]
    removed: list[int]

    def __bool__(self) -> bool:
        return bool(self.drawn or self.redrawn or self.removed)


class MassLayers:
    """Shows a review on its mammogram; layers are made once there is something to show.

    Parameters
    ----------
    edited
        Called with each :class:`Edit`.
    """

    def __init__(
        self, viewer: napari.Viewer, image: Image, edited: Callable[[Edit], object]
    ) -> None:
        self.viewer, self.image = viewer, image
        self.outlines: Shapes | None = None
        self.boxes: Shapes | None = None
        self._edited = edited
        self._laid: dict[int, np.ndarray] = {}  # outlines as they were shown
        self._chosen: int | None = None
        self._faint, self._boxed = 1.0, True  # how opaque they are; whether boxes are shown
        self._zoom = 0.0
        self._showing = False
        self._partial = False
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(DRAWN_MS)
        self._rest.timeout.connect(self._compare)

    @property
    def all(self) -> list[Layer]:
        """Those of the layers that are in the viewer."""
        return [x for x in (self.boxes, self.outlines) if x is not None and x in self.viewer.layers]

    def show(self, review: Review, chosen: int | None = None) -> Iterator[None]:
        """Show findings, each in the colour of its decision; the chosen one with a thick line.

        In steps, between which the window answers.
        """
        if not len(review) and not self.all:
            return
        with self._in_parts():
            yield from self._shown(review, chosen)
        with self._untouched():
            self._fit()
        yield

    def _shown(self, review: Review, chosen: int | None) -> Iterator[None]:
        yield from self._made()
        assert self.outlines is not None
        assert self.boxes is not None
        found = review.found
        rectangles = [box_corners(box) - 0.5 for box in found.boxes]
        shapes = [
            contour - 0.5 if len(contour) > 2 else rectangle
            for contour, rectangle in zip(found.contours, rectangles, strict=True)
        ]
        colours = [COLOURS[decision] for decision in review.decisions]
        self._chosen = chosen
        with self._untouched():
            _fill(self.outlines, shapes, "polygon", colours, {"finding": list(review.ids)})
            self.outlines.feature_defaults = {"finding": NEW}
            self.outlines.metadata = {**self.outlines.metadata, "review": review}
        self._laid = dict(
            zip(review.ids, (np.array(x, float) for x in self.outlines.data), strict=True)
        )
        yield
        with self._untouched():
            labels = [label_text(review, i) for i in range(len(review))]
            _fill(self.boxes, rectangles, "rectangle", colours, {"label": labels})

    def fade(self, opacity: float, *, outline_only: bool) -> None:
        """Show findings so opaque, with their boxes and scores or without."""
        self._faint, self._boxed = opacity, not outline_only
        for layer in self.all:
            layer.opacity = opacity
        if self.boxes is not None and self.boxes in self.viewer.layers:
            self.boxes.visible = self._boxed

    def begin_drawing(self) -> None:
        """Let the reader draw an ellipse, or with another of napari's tools."""
        with self._in_parts():
            at_once(self._made())
        assert self.outlines is not None
        self.outlines.visible = True
        self.viewer.layers.selection.active = self.outlines
        self.outlines.mode = "add_ellipse"

    def end_drawing(self) -> None:
        """Let the mouse move the view again."""
        if self.outlines is not None and self.outlines in self.viewer.layers:
            self.outlines.mode = "pan_zoom"
            self.viewer.layers.selection.active = self.image

    @property
    def drawing(self) -> bool:
        """Whether the mouse draws."""
        return (
            self.outlines is not None
            and self.outlines in self.viewer.layers
            and str(self.outlines.mode) != "pan_zoom"
        )

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        self.release()
        for layer in self.all:
            self.viewer.layers.remove(layer)

    def release(self) -> None:
        """Stop what is still to come."""
        self._rest.stop()

    def camera_moved(self) -> None:
        """Keep lines as wide as they are on the screen."""
        zoom = self.viewer.scene.camera.zoom
        if self.all and not self._partial and not 0.8 < self._zoom / zoom < 1.25:
            with self._untouched():
                self._fit()

    # how

    @contextmanager
    def _in_parts(self) -> Iterator[None]:
        """Within the block outlines and boxes may not fit each other, or not all be there."""
        self._partial = True
        try:
            yield
        finally:
            self._partial = False

    @contextmanager
    def _untouched(self) -> Iterator[None]:
        """What happens to the outlines within the block is not the reader's doing."""
        self._showing = True
        try:
            yield
        finally:
            self._showing = False

    def _made(self) -> Iterator[None]:
        """Add the layers that are not there; what was selected stays selected."""
        if self.boxes is None or self.boxes not in self.viewer.layers:
            with selection_kept(self.viewer):
                self.boxes = self._add(
                    "Mass boxes",
                    visible=self._boxed,
                    features={"label": np.zeros(0, object)},
                    text={
                        "string": "{label}",
                        "size": LABEL_SIZE,
                        "color": "#ffffff",
                        "anchor": "upper_right" if self._mirrored else "upper_left",
                    },
                )
            yield
        if self.outlines is None or self.outlines not in self.viewer.layers:
            with selection_kept(self.viewer):
                self.outlines = self._add("Masses", features={"finding": np.zeros(0, int)})
                self.outlines.feature_defaults = {"finding": NEW}
                self.outlines.events.data.connect(self._touched)
            yield

    def _add(self, what: str, **kwargs: Any) -> Any:  # noqa: ANN401 - Shapes
        return self.viewer.add_shapes(
            name=f"{what} ({self.image.name})",
            ndim=2,
            face_color="transparent",
            edge_color=COLOURS[Decision.DRAWN],
            opacity=self._faint,
            metadata={"mammogram": mammogram_of(self.image)},
            **place_level0(self.image),
            **kwargs,
        )

    @property
    def _mirrored(self) -> bool:
        return float(self.image.scale[1]) < 0

    def _fit(self) -> None:
        """Give lines their width on the screen."""
        assert self.outlines is not None
        assert self.boxes is not None
        self._zoom = self.viewer.scene.camera.zoom
        pixel = 1 / self._zoom / float(self.image.scale[0])
        numbers = self.outlines.features["finding"].tolist()
        for layer, usual in ((self.outlines, OUTLINE_PX), (self.boxes, BOX_PX)):
            if layer in self.viewer.layers and layer.nshapes:
                layer.edge_width = [
                    pixel * (CHOSEN_PX if number == self._chosen else usual)
                    for number in numbers[: layer.nshapes]
                ]
            layer.current_edge_width = pixel * usual

    def take_drawn(self) -> None:
        """Take over at once what was drawn, and has not rested yet."""
        if self._rest.isActive():
            self._rest.stop()
            self._compare()

    def _touched(self) -> None:
        if not self._showing:
            self._rest.start()

    def _compare(self) -> None:
        """See what differs from what was shown."""
        layer = self.outlines
        if layer is None or layer not in self.viewer.layers:
            return
        left = dict(self._laid)
        edit = Edit([], {}, [])
        numbers = layer.features["finding"].tolist()
        for number, kind, data in zip(numbers, layer.shape_type, layer.data, strict=True):
            laid = left.pop(number, None)
            if laid is None:
                edit.drawn.append(_outline(kind, data))
            elif laid.shape != data.shape or not np.allclose(laid, data):
                edit.redrawn[number] = _outline(kind, data)
        edit.removed.extend(left)
        if edit:
            self._edited(edit)


def _fill(
    layer: Shapes,
    shapes: list[np.ndarray],
    kind: str,
    colours: list[str],
    features: dict[str, list[Any]],
) -> None:
    """Replace all shapes of a layer."""
    layer.data = [(shape, kind) for shape in shapes]
    layer.features = features
    if shapes:
        layer.edge_color = colours
        layer.face_color = "transparent"


def _outline(kind: str, data: np.ndarray) -> np.ndarray:
    """Corners of a shape in pixels from the corner of the image; ellipses become polygons."""
    corners = np.asarray(data, float)[:, -2:] + 0.5
    if kind != "ellipse":
        return corners
    angle = np.linspace(0, 2 * np.pi, CIRCLE, endpoint=False)[:, None]
    across, down = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    ring: np.ndarray = corners.mean(0) + np.cos(angle) * across + np.sin(angle) * down
    return ring
