"""Between slides and napari layers: how a slide is shown, and what a layer or the view stands for.

Overlays take the slide layer's own scale and translate, so they stay on the slide wherever it lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Shapes
from napari.utils.notifications import show_info

from napari_pathogan.errors import PathoganError
from napari_pathogan.slides import scales
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Iterable

    import napari

AXES = ("y", "x")


def slide_layer(slide: Slide) -> tuple[Any, dict[str, Any], str]:
    """Image layer of a slide: its raw pyramid, in micrometres, or in pixels where it has no scale."""
    kwargs: dict[str, Any] = {
        "name": slide.name,
        "rgb": slide.is_rgb,
        "multiscale": True,
        "axis_labels": AXES,
        "contrast_limits": (0, np.iinfo(slide.dtype).max),
        "metadata": _metadata(slide),
        **_scaled(slide),
    }
    return shown_levels(slide), kwargs, "image"


def prepare(viewer: napari.Viewer, slides: Iterable[Slide]) -> None:
    """Switch the scale bar on, and say which slides have no scale."""
    bar = viewer.canvas.overlays.scale_bar
    bar.visible, bar.box = True, True  # a box, since glass is as white as the bar
    for slide in slides:
        if slide.mpp is None:
            show_info(
                f"{slide.name} does not say how many µm a pixel spans, so it is shown in pixels. "
                "The PathoGAN docks ask for it once."
            )


def shown_levels(slide: Slide) -> list[Any]:
    """The levels that napari lays within one of their own pixels of where they belong.

    napari stretches every level over the whole of level 0. Some scanners pad their coarse levels,
    which would shift them on the screen; such levels are left out.
    """
    height, width = slide.shape
    shown = []
    for level, (dy, dx) in zip(slide.levels, slide.downsamples, strict=True):
        off = abs(level.shape[0] - height / dy), abs(level.shape[1] - width / dx)
        if max(off) <= 1:
            shown.append(level)
    return shown


def slide_of(layer: Image) -> Slide:
    """The slide that a layer shows; an image from elsewhere becomes one, with the layer's scale."""
    slide = layer.metadata.get("slide")
    if isinstance(slide, Slide):
        return slide
    levels = list(layer.data) if layer.multiscale else [layer.data]
    slide = Slide.from_arrays(levels, name=layer.name, mpp=_mpp_of(layer), mpp_source="layer")
    layer.metadata["slide"] = slide
    return slide


def is_slide(layer: object) -> bool:
    """Whether a layer is a colour image that a model can look at."""
    return isinstance(layer, Image) and bool(layer.rgb) and layer.ndim == 2


def set_scale(layer: Image, mpp: float) -> Slide:
    """Give a slide without a scale the user's: shown at once, remembered for its file."""
    slide = slide_of(layer).with_mpp(mpp)
    if slide.path is not None:
        scales.remember(slide.path, (mpp, mpp))
    layer.metadata = {**layer.metadata, **_metadata(slide)}
    for name, value in _scaled(slide).items():
        setattr(layer, name, value)
    return slide


def place(overlay: Overlay, layer: Image) -> dict[str, Any]:
    """Arguments of a layer that lays an overlay exactly on a slide's layer."""
    scale, translate = overlay.affine()
    return {**_on(layer), "scale": scale * layer.scale, "translate": _moved(layer, translate)}


def place_level0(layer: Image) -> dict[str, Any]:
    """Arguments of a layer whose data are level-0 centre coordinates (outlines, regions)."""
    return {**_on(layer), "scale": layer.scale, "translate": layer.translate}


def view_region(viewer: napari.Viewer, layer: Image) -> Region:
    """The part of a slide that the canvas shows.

    Raises
    ------
    PathoganError
        If the slide is not in view.
    """
    centre = np.asarray(viewer.scene.camera.center[-2:])
    half = np.asarray(viewer.canvas.size) / viewer.scene.camera.zoom / 2
    corners = [layer.world_to_data(centre + half * sign) for sign in ((-1, -1), (1, 1))]
    (top, left), (bottom, right) = np.min(corners, 0) + 0.5, np.max(corners, 0) + 0.5
    y, x = int(np.floor(top)), int(np.floor(left))
    seen = Region(y, x, int(np.ceil(bottom)) - y, int(np.ceil(right)) - x)
    seen = seen.clip(slide_of(layer).shape)
    if seen.empty:
        msg = (
            f"{layer.name} is not in view: move it back (View > Reset View) or choose 'Whole slide'"
        )
        raise PathoganError(msg)
    return seen


def view_centre(viewer: napari.Viewer, layer: Image) -> tuple[float, float]:
    """The middle of the canvas in level-0 centre coordinates."""
    y, x = layer.world_to_data(viewer.scene.camera.center[-2:])
    return float(y), float(x)


def go_to(viewer: napari.Viewer, layer: Image, region: Region, *, fill: float = 0.4) -> None:
    """Move the camera so that a region lies in the middle and takes ``fill`` of the canvas."""
    middle = (region.y + region.height / 2 - 0.5, region.x + region.width / 2 - 0.5)
    size = np.abs(np.asarray((region.height, region.width)) * layer.scale)  # < 0: mirrored
    viewer.scene.camera.center = tuple(layer.data_to_world(middle))
    viewer.scene.camera.zoom = float(np.min(np.asarray(viewer.canvas.size) * fill / size))


def selected_polygons(viewer: napari.Viewer, layer: Image) -> list[np.ndarray]:
    """The shapes selected in any Shapes layer, as (N, 2) level-0 centre coordinates of a slide.

    Raises
    ------
    PathoganError
        If no closed shape is selected.
    """
    polygons = [
        np.asarray(
            [layer.world_to_data(shapes.data_to_world(p[-2:])) for p in _ring(shapes, index)]
        )
        for shapes in viewer.layers
        if isinstance(shapes, Shapes)
        for index in sorted(shapes.selected_data)
        if shapes.shape_type[index] in {"rectangle", "polygon", "ellipse"}
    ]
    if not polygons:
        msg = (
            "No shape is selected: draw a polygon, rectangle or ellipse in a Shapes layer "
            "(Layers > Annotate > New regions) and keep it selected"
        )
        raise PathoganError(msg)
    return polygons


def _ring(shapes: Shapes, index: int) -> np.ndarray:
    """Corners of a shape; an ellipse, which napari stores as its bounding box, becomes 64 points."""
    corners: np.ndarray = np.asarray(shapes.data[index])
    if shapes.shape_type[index] != "ellipse":
        return corners
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
    across, down = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    ring: np.ndarray = corners.mean(0) + np.cos(angle) * across + np.sin(angle) * down
    return ring


def _metadata(slide: Slide) -> dict[str, Any]:
    return {"slide": slide, "path": slide.path, "mpp": slide.mpp, "mpp_source": slide.mpp_source}


def _scaled(slide: Slide) -> dict[str, Any]:
    if slide.mpp is None:
        return {"scale": (1.0, 1.0), "units": ("pixel", "pixel")}
    return {"scale": slide.mpp, "units": ("um", "um")}


def _mpp_of(layer: Image) -> tuple[float, float] | None:
    """Micrometres per pixel from a layer's scale; None where its units are not lengths."""
    if not all(unit.is_compatible_with("um") for unit in layer.units):
        return None
    y, x = (
        float(s * (1 * u).to("um").magnitude) for s, u in zip(layer.scale, layer.units, strict=True)
    )
    return y, x


def _on(layer: Image) -> dict[str, Any]:
    return {"units": layer.units, "axis_labels": AXES, "affine": layer.affine}


def _moved(layer: Image, translate: tuple[float, float]) -> np.ndarray:
    return np.asarray(layer.translate) + np.asarray(layer.scale) * translate
