"""The layers of an examination's masses: outlines, which can be drawn, and boxes with their scores.

One pair for all its views, in the world's coordinates, in which they hang beside each other.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from qtpy.QtCore import QTimer

from napari_pathogan.plugin.masses.words import label_text
from napari_pathogan.plugin.shell.steps import at_once
from napari_pathogan.plugin.viewer.layers import AXES, WHOLE, in_unit, selection_kept
from napari_pathogan.plugin.viewer.mammogram_groups import views_of
from napari_pathogan.plugin.viewer.mammogram_layers import mammogram_of
from napari_pathogan.plugin.viewer.opened import HIDDEN
from napari_pathogan.slides.polygons import box_corners
from napari_pathogan.tasks.masses.review import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import napari
    from napari.layers import Image, Layer, Shapes

    from napari_pathogan.tasks.masses.review import Review

OUTLINE_PX, BOX_PX, CHOSEN_PX = 2.0, 1.5, 4.0  # widths on the screen
LABEL_SIZE = 9
DRAWN_MS = 120  # a shape has rested for as long: take it over
NEW = -1  # of a shape that was just drawn: none of those that were laid
CIRCLE = 64  # corners of an ellipse that was drawn
COLOURS = {
    Decision.OPEN: "#ffd60a",
    Decision.ACCEPTED: "#56b4e9",
    Decision.REJECTED: "#d55e00",
    Decision.DRAWN: "#ffffff",
}


@dataclass(frozen=True, eq=False)
class Edit:
    """What a reader has done in a view with napari's own tools.

    Attributes
    ----------
    drawn
        Outlines (K, 2) of new masses: y, x in pixels from the upper left corner of the image.
    redrawn
        Outlines that masses have now, by their numbers.
    removed
        Numbers of masses whose outlines were deleted.
    """

    drawn: list[np.ndarray] = field(default_factory=list)
    redrawn: dict[int, np.ndarray] = field(default_factory=dict)
    removed: list[int] = field(default_factory=list)


class _Laid(NamedTuple):
    """An outline as it was shown: whose it is, and its corners in the layer."""

    image: Image
    number: int
    corners: np.ndarray


class MassLayers:
    """Shows the reviews of an examination's views; layers are made once there is something to show.

    Parameters
    ----------
    number
        Which examination it is, as its views are hung.
    edited
        Called with a view and each :class:`Edit` of it.
    """

    def __init__(
        self, viewer: napari.Viewer, number: int, edited: Callable[[Image, Edit], object]
    ) -> None:
        self.viewer, self.number = viewer, number
        self.outlines: Shapes | None = None
        self.boxes: Shapes | None = None
        self._edited = edited
        self._laid: list[_Laid] = []  # of the outlines' "finding"
        self._chosen: tuple[Image, int] | None = None
        self._drawn_in: Image | None = None  # where nothing else tells
        self._names: dict[str, str] = {}  # as the layers were called here
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

    def show(
        self, reviews: Mapping[Image, Review], chosen: tuple[Image, int] | None = None
    ) -> Iterator[None]:
        """Show findings of the views that are seen, in the colours of their decisions.

        The chosen one has a thick line. In steps, between which the window answers.
        """
        if not self._views or not (self.all or any(map(len, reviews.values()))):
            return
        with self._in_parts():
            yield from self._shown(reviews, chosen)
        with self._untouched():
            self._fit()
        yield

    def _shown(
        self, reviews: Mapping[Image, Review], chosen: tuple[Image, int] | None
    ) -> Iterator[None]:
        yield from self._made()
        assert self.outlines is not None
        assert self.boxes is not None
        if not self._views:  # they were closed meanwhile
            return
        self._lay()
        seen = {image: review for image, review in reviews.items() if image.visible}
        laid: list[_Laid] = []
        rectangles: list[np.ndarray] = []
        colours: list[str] = []
        labels: list[str] = []
        for image, review in seen.items():
            ground = _Ground.of(image, self._unit)
            for at, number in enumerate(review.ids):
                rectangle = ground.shown(box_corners(review.found.boxes[at]))
                contour = review.found.contours[at]
                corners = ground.shown(contour) if len(contour) > 2 else rectangle
                laid.append(_Laid(image, number, corners))
                rectangles.append(rectangle)
                colours.append(COLOURS[review.decisions[at]])
                labels.append(label_text(review, at))
        self._chosen = chosen
        with self._untouched():
            shapes = [one.corners for one in laid]
            _fill(self.outlines, shapes, "polygon", colours, {"finding": list(range(len(laid)))})
            self.outlines.feature_defaults = {"finding": NEW}
            known = [(mammogram_of(image), review) for image, review in reviews.items()]
            self.outlines.metadata = {**self.outlines.metadata, "reviews": known}
        self._laid = [
            one._replace(corners=np.array(data, float))
            for one, data in zip(laid, self.outlines.data, strict=True)
        ]
        yield
        with self._untouched():
            _fill(self.boxes, rectangles, "rectangle", colours, {"label": labels})

    def fade(self, opacity: float, *, outline_only: bool) -> None:
        """Show findings so opaque, with their boxes and scores or without."""
        self._faint, self._boxed = opacity, not outline_only
        for layer in self.all:
            layer.opacity = opacity
        if self.boxes is not None and self.boxes in self.all and HIDDEN not in self.boxes.metadata:
            self.boxes.visible = self._boxed

    def begin_drawing(self, image: Image) -> None:
        """Let the reader draw an ellipse in a view, or with another of napari's tools."""
        self._drawn_in = image
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
            if self._drawn_in in self.viewer.layers:
                self.viewer.layers.selection.active = self._drawn_in

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
                        "anchor": "upper_left",
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
        layer = self.viewer.add_shapes(
            name=self._name(what),
            ndim=2,
            face_color="transparent",
            edge_color=COLOURS[Decision.DRAWN],
            opacity=self._faint,
            metadata={WHOLE: self.number},
            units=self._views[0].units,
            axis_labels=AXES,
            **kwargs,
        )
        self._names[what] = layer.name
        return layer

    def _lay(self) -> None:
        """Let the layers' coordinates be the world's, and their names those of what is open now."""
        for what, layer in (("Mass boxes", self.boxes), ("Masses", self.outlines)):
            assert layer is not None
            layer.scale, layer.translate, layer.units = (1, 1), (0, 0), self._views[0].units
            if layer.name == self._names[what] != self._name(what):  # else the user has named it
                layer.name = self._name(what)
                self._names[what] = layer.name

    @property
    def _views(self) -> list[Image]:
        return views_of(self.viewer, self.number)

    @property
    def _unit(self) -> object:
        return self._views[0].units[-1]

    def _name(self, what: str) -> str:
        """With that of the only view, or of the examination where there are several."""
        views = self._views
        if len(views) == 1:
            return f"{what} ({views[0].name})"
        numbered = views[0].name.startswith(f"{self.number}: ")
        return f"{what} (examination {self.number})" if numbered else what

    def _fit(self) -> None:
        """Give lines their width on the screen."""
        assert self.outlines is not None
        assert self.boxes is not None
        self._zoom = self.viewer.scene.camera.zoom
        pixel = 1 / self._zoom
        chosen = [(one.image, one.number) == self._chosen for one in self._laid]
        thick = [
            number != NEW and chosen[number]
            for number in self.outlines.features["finding"].tolist()
        ]
        for layer, usual in ((self.outlines, OUTLINE_PX), (self.boxes, BOX_PX)):
            if layer in self.viewer.layers and layer.nshapes:
                layer.edge_width = [
                    pixel * (CHOSEN_PX if one else usual) for one in thick[: layer.nshapes]
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
        if layer is None or layer not in self.viewer.layers or not self._views:
            return
        left = dict(enumerate(self._laid))
        edits: dict[Image, Edit] = {}
        numbers = layer.features["finding"].tolist()
        for number, kind, data in zip(numbers, layer.shape_type, layer.data, strict=True):
            laid = left.pop(number, None)
            corners = _corners(kind, data)
            if laid is None:
                image = self._below(corners)
                outline = _Ground.of(image, self._unit).pixels(corners)
                edits.setdefault(image, Edit()).drawn.append(outline)
            elif laid.corners.shape != data.shape or not np.allclose(laid.corners, data):
                outline = _Ground.of(laid.image, self._unit).pixels(corners)
                edits.setdefault(laid.image, Edit()).redrawn[laid.number] = outline
        for laid in left.values():
            edits.setdefault(laid.image, Edit()).removed.append(laid.number)
        for image, edit in edits.items():
            self._edited(image, edit)

    def _below(self, corners: np.ndarray) -> Image:
        """The view that is seen below the middle of an outline, else the one to be drawn in."""
        views = self._views
        middle = corners.mean(0)
        for image in views:
            at = _Ground.of(image, self._unit).pixels(middle)
            if image.visible and np.all((at >= 0) & (at <= image.data.shape)):
                return image
        return self._drawn_in if self._drawn_in in views else views[0]


@dataclass(frozen=True, eq=False)
class _Ground:
    """Where the pixels of a view lie in the layers: (y, x) from the corner of the image, and back."""

    corner: np.ndarray
    steps: np.ndarray  # (2, 2): a pixel down, a pixel right

    @classmethod
    def of(cls, image: Image, unit: object) -> _Ground:
        factor = in_unit(image, unit)
        corner, down, right = (
            factor * np.asarray(image.data_to_world(at))[-2:]
            for at in ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5))
        )
        return cls(corner, np.stack([down - corner, right - corner]))

    def shown(self, pixels: np.ndarray) -> np.ndarray:
        """Of (K, 2) pixels."""
        laid: np.ndarray = self.corner + np.asarray(pixels, float) @ self.steps
        return laid

    def pixels(self, shown: np.ndarray) -> np.ndarray:
        """Of what is shown (K, 2), or (2,)."""
        found: np.ndarray = (shown - self.corner) @ np.linalg.inv(self.steps)
        return found


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


def _corners(kind: str, data: np.ndarray) -> np.ndarray:
    """Corners of a shape as they are in its layer; ellipses become polygons."""
    corners = np.asarray(data, float)[:, -2:]
    if kind != "ellipse":
        return corners
    angle = np.linspace(0, 2 * np.pi, CIRCLE, endpoint=False)[:, None]
    across, down = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    ring: np.ndarray = corners.mean(0) + np.cos(angle) * across + np.sin(angle) * down
    return ring
