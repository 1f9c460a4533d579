"""Where results from files lie: on the image they belong to, as soon as it is open.

Every result knows its place in pixels of its image. On an open image it takes that image's own
scale and translation. Until the image is open, it lies beside those that are, in the size of its pixels if
the file says that; once the image opens, it moves there. An image that is only called the same is
not taken for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari import current_viewer
from napari.utils.notifications import show_warning
from qtpy.QtCore import QTimer

from napari_pathogan.mammograms.mammogram import Mammogram
from napari_pathogan.mammograms.views import is_dicom, named_view
from napari_pathogan.plugin.viewer.layers import (
    AXES,
    LAID,
    in_unit,
    is_slide,
    is_view,
    slide_of,
    view_name,
    virtual_name,
)
from napari_pathogan.plugin.viewer.mammogram_layers import is_mammogram, mammogram_of
from napari_pathogan.slides.imprint import Imprint
from napari_pathogan.slides.names import short
from napari_pathogan.slides.polygons import corner
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.virtual_stain.stains import virtual_title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import napari
    from napari.layers import Image, Layer
    from napari.utils.events import Event

    from napari_pathogan.engine.dicom_objects import Placed
    from napari_pathogan.slides.geometry import Overlay

    Find = Callable[[napari.Viewer | None], "Ground"]

_SAME_SCALE = 0.01  # share by which two scales of one slide may differ
_GAP = 0.05  # between what is open and what waits, of the former's width
_AWAITS = "awaits"  # key of a layer's metadata: the image it belongs to is not open


@dataclass(frozen=True, eq=False)
class Ground:
    """What a result lies on.

    Attributes
    ----------
    layer
        The layer of its image; None where that is not open.
    pixel
        Size of a pixel (y, x) of the result's image in um; None where the file does not say.
    ratio
        Pixels of the layer a pixel (y, x) of the result's image: 1 unless it is a copy at another
        scale.
    alike
        How many open images it could be.
    beside
        How far right of the world's origin it lies while its image is not open, in um (or pixels).
    namesake, why
        An open image of that name that is another one, and what tells, as half a sentence.
    origin
        Where in the layer's image (y, x) the result counts its pixels from.
    """

    layer: Image | None = None
    pixel: tuple[float, float] | None = None
    ratio: tuple[float, float] = (1.0, 1.0)
    alike: int = 1
    beside: float = 0.0
    namesake: Image | None = None
    why: str = ""
    origin: tuple[float, float] = (0.0, 0.0)

    def overlay(self, overlay: Overlay) -> dict[str, Any]:
        """Arguments of a layer that lays an overlay in its place."""
        return self.laid(*overlay.affine())

    def level0(self) -> dict[str, Any]:
        """Arguments of a layer whose data are level-0 centre coordinates of its image."""
        return self.laid((1.0, 1.0), (0.0, 0.0))

    def laid(self, scale: tuple[float, float], translate: tuple[float, float]) -> dict[str, Any]:
        """Arguments of a layer, from its scale and translation in pixels of its image."""
        if self.layer is None:
            pixel = np.asarray(self.pixel or (1.0, 1.0))
            unit = "pixel" if self.pixel is None else "um"
            return {
                "units": (unit, unit),
                "axis_labels": AXES,
                "scale": pixel * scale,
                "translate": pixel * translate + (0.0, self.beside),
            }
        ratio, own = np.asarray(self.ratio), np.asarray(self.layer.scale)
        first = (
            np.add(translate, self.origin) + 0.5
        ) * ratio - 0.5  # from centre to centre of a pixel
        return {
            "units": self.layer.units,
            "axis_labels": AXES,
            "affine": self.layer.affine,
            "scale": own * scale * ratio,
            "translate": np.asarray(self.layer.translate) + own * first,
        }


@dataclass(frozen=True, eq=False)
class _Awaited:
    """The image that a layer waits for; it may cover ``all`` of it, wherever it lies until then."""

    find: Find
    pixel: tuple[float, float]
    beside: float
    all: bool = False


def await_image(
    viewer: napari.Viewer | None,
    layers: Sequence[tuple[Any, dict[str, Any], str]],
    find: Find,
    beside: float = 0.0,
) -> None:
    """Let layers that are about to be added move onto their image once that is opened.

    Parameters
    ----------
    layers
        As a reader gives them, laid on a ground without a layer.
    find
        Looks for the ground; called whenever an image has been opened.
    beside
        Of the ground that they are laid on.
    """
    if viewer is None:
        return
    awaited = _Awaited(find, find(None).pixel or (1.0, 1.0), beside)
    for _, kwargs, _ in layers:
        kwargs["metadata"] = {**kwargs.get("metadata", {}), _AWAITS: awaited}
    viewer.layers.events.inserted.connect(_lay_what_waits)  # once: napari knows a second time


def waits(layer: Layer) -> bool:
    """Whether a layer is still to move onto its image, though it may lie on one by chance."""
    return _AWAITS in layer.metadata


def _lay_what_waits(event: Event) -> None:
    """Move what has waited for the image that was opened onto it."""
    viewer = current_viewer()
    if viewer is None or event.source is not viewer.layers:
        return
    namesakes: dict[str, Ground] = {}
    laid: dict[Layer, Image] = {}
    for layer in [one for one in viewer.layers if _AWAITS in one.metadata]:
        awaited: _Awaited = layer.metadata[_AWAITS]
        ground = awaited.find(viewer)
        if ground.layer is not None:
            _move(layer, ground, awaited)
            laid[layer] = ground.layer
        elif ground.namesake is not None and ground.namesake is event.value:
            namesakes[layer.name] = ground
    if laid:
        QTimer.singleShot(
            0, partial(_put_below, viewer, laid)
        )  # once napari has done with the image
    if namesakes:
        show_warning(not_laid(", ".join(namesakes), next(iter(namesakes.values()))))


def _put_below(viewer: napari.Viewer, laid: Mapping[Layer, Image]) -> None:
    """Draw images before what lies on them: they came last, and would cover it."""
    for layer, image in laid.items():
        if layer in viewer.layers and image in viewer.layers:
            at, above = viewer.layers.index(image), viewer.layers.index(layer)
            if at > above:
                viewer.layers.move(at, above)


def _move(layer: Layer, ground: Ground, awaited: _Awaited) -> None:
    if awaited.all:
        for name, value in ground.level0().items():
            setattr(layer, name, value)
        about = {k: v for k, v in layer.metadata.items() if k != _AWAITS}
        layer.metadata = about | _laid_view(about["slide"], ground.layer)
        return
    scale = np.asarray(layer.scale) / awaited.pixel
    translate = (np.asarray(layer.translate) - (0.0, awaited.beside)) / awaited.pixel
    for name, value in ground.laid(tuple(scale), tuple(translate)).items():
        setattr(layer, name, value)
    layer.metadata = {k: v for k, v in layer.metadata.items() if k != _AWAITS}


def not_laid(what: str, ground: Ground) -> str:
    """Tell the user that a result is not laid on an open image, though that is called the same."""
    assert ground.namesake is not None
    return f"{what} does not lie on {ground.namesake.name}, which is another image: {ground.why}"


def from_corner(find: Find, viewer: napari.Viewer | None) -> Ground:
    """The ground that is found, counted as QuPath counts the pixels of its slide."""
    ground = find(viewer)
    slide = None if ground.layer is None else ground.layer.metadata.get("slide")
    return replace(ground, origin=corner(slide))


def beside_images(viewer: napari.Viewer | None, ground: Ground) -> Ground:
    """The ground of a result whose image is not open, right of all images that are."""
    images = [
        layer
        for layer in _layers(viewer)
        if (is_slide(layer) or is_mammogram(layer)) and _AWAITS not in layer.metadata
    ]
    if not images:
        return ground
    unit = "pixel" if ground.pixel is None else "um"
    ends = np.array([layer.extent.world[:, -1] * in_unit(layer, unit) for layer in images])
    low, high = float(ends.min()), float(ends.max())
    return replace(ground, beside=high + _GAP * (high - low))


def on_slide(
    viewer: napari.Viewer | None,
    name: str,
    mpp: tuple[float, float] | None = None,
    imprint: Imprint | None = None,
    *,
    views: bool = True,
) -> Ground:
    """The slide of that name, by its file's name or at least its stem; or one of its views, too.

    One whose pixels have another size than the result's is a copy at another scale.
    """

    def ratio(layer: Image) -> tuple[float, float]:
        slide = slide_of(layer)
        if slide.mpp is None or mpp is None or (imprint and imprint.shape == slide.shape):
            return 1.0, 1.0
        y, x = np.divide(mpp, slide.mpp).tolist()
        return (1.0, 1.0) if max(abs(y - 1), abs(x - 1)) <= _SAME_SCALE else (y, x)

    def contradiction(layer: Image) -> str:
        return imprint.contradicts(slide_of(layer).imprint, ratio(layer)) if imprint else ""

    slides = [x for x in _layers(viewer) if is_slide(x) and (views or not is_view(x))]
    ground = _named(viewer, slides, name, contradiction)
    if ground.layer is not None:
        ground = replace(ground, ratio=ratio(ground.layer))
    return replace(ground, pixel=mpp)


def stain_view(viewer: napari.Viewer | None, view: Slide) -> dict[str, Any]:
    """What the layer of a saved slide in other colours, or a virtual stain, has besides: its name, what it says of itself and its place.

    Nothing for any other slide. It lies on the slide that it was made of, as soon as that is open, pixel
    on pixel, whichever of both knows the scale.
    """
    about = {k: v for k, v in view.metadata.items() if k == "synthetic" or "stain" in k}
    whose, virtual = about.get("stain_colours_of"), about.get("virtual_stain")
    if whose is None and virtual is None:
        return {}
    kind = "stain" if virtual is None else "virtual_stain"
    slide = str(about.get(f"{kind}_slide", view.name))
    imprint = Imprint.read(about.get(f"{kind}_imprint"))
    name = view_name(slide, str(whose), str(about.get("stain_method", "")))
    if virtual is not None:
        name = virtual_name(slide, virtual_title(str(virtual)))

    def find(viewer: napari.Viewer | None) -> Ground:
        found = on_slide(viewer, slide, view.mpp, imprint, views=False)
        return found if found.ratio == (1.0, 1.0) else replace(found, layer=None)

    if imprint is None:
        return {"name": name, "metadata": about}
    ground = find(viewer)
    if ground.layer is not None:
        return {"name": name, "metadata": about | _laid_view(view, ground.layer), **ground.level0()}
    if viewer is not None:
        about[_AWAITS] = _Awaited(find, (1.0, 1.0), 0.0, all=True)
        viewer.layers.events.inserted.connect(_lay_what_waits)  # once: napari knows a second time
    return {"name": name, "metadata": about}


def _laid_view(view: Slide, image: Image | None) -> dict[str, Any]:
    """Metadata of a saved view that lies on its slide, whose scale it takes where it has none."""
    slide = slide_of(image) if image is not None else view
    if view.mpp is None and slide.mpp is not None:
        view = view.with_mpp(slide.mpp, slide.mpp_source)
    return {LAID: True, "slide": view, "mpp": view.mpp, "mpp_source": view.mpp_source}


def on_some_slide(viewer: napari.Viewer | None, path: Path) -> Ground:
    """The slide that a file is named after; else the one that is selected, or the topmost."""
    slides = [layer for layer in _layers(viewer) if is_slide(layer)]
    stem = short(path.name)
    named = [
        (len(own), layer)
        for layer in slides
        for own in map(short, _names(layer))
        if stem.startswith(own) and not stem[len(own) : len(own) + 1].isalnum()
    ]
    if named:
        return Ground(max(named, key=lambda one: one[0])[1])
    chosen = [x for x in slides if viewer is not None and x in viewer.layers.selection] or slides
    return Ground(chosen[-1] if chosen else None)


def on_mammogram(
    viewer: napari.Viewer | None,
    name: str,
    mm_per_px: tuple[float, float] | None = None,
    imprint: Imprint | None = None,
) -> Ground:
    """The mammogram of that name, unless its header says another view."""
    said = named_view(name)

    def contradiction(layer: Image) -> str:
        mammogram = mammogram_of(layer)
        own = mammogram.laterality, mammogram.view
        its_file = mammogram.path is not None and mammogram.path.name == name
        if not its_file and any(
            one and other and one != other for one, other in zip(said, own, strict=True)
        ):
            one, other = ("".join(part or "" for part in view) for view in (own, said))
            return f"that is {one}, and its own image {other}"
        return imprint.contradicts(mammogram.imprint) if imprint else ""

    ground = _named(viewer, filter(is_mammogram, _layers(viewer)), name, contradiction)
    if mm_per_px is None:
        return ground
    y, x = mm_per_px
    return replace(ground, pixel=(1e3 * y, 1e3 * x))


def on_dicom(viewer: napari.Viewer | None, instance: str) -> Ground:
    """The mammogram of a DICOM file, by its SOP instance UID."""
    from napari_pathogan.tasks.masses.dicom_marks import instance_of  # noqa: PLC0415  (pydicom)

    for layer in filter(is_mammogram, _layers(viewer)):
        path = layer.metadata.get("path") or layer.source.path
        if path and is_dicom(Path(path)) and instance_of(Path(path)) == instance:
            return Ground(layer)
    return Ground()


def on_dicom_slide(
    viewer: napari.Viewer | None, series: str, image: str = "", place: Placed | None = None
) -> Ground:
    """The DICOM slide of a series, by its UID.

    Parameters
    ----------
    image
        Whose pixels the result counts, by its SOP instance UID.
    place
        Where on the glass the result lies that counts um from its own corner, instead of pixels.
    """
    from napari_pathogan.engine.dicom_objects import headers_of, placed  # noqa: PLC0415  (pydicom)

    um = None if place is None else (1.0, 1.0)
    for layer in filter(is_slide, _layers(viewer)):
        path = slide_of(layer).path
        headers = headers_of(path) if path is not None and path.exists() else []
        if not headers or str(headers[0].get("SeriesInstanceUID", "")) != series:
            continue
        if place is None:
            own = next((h for h in headers if h.get("SOPInstanceUID") == image), headers[0])
            sides = ("TotalPixelMatrixRows", "TotalPixelMatrixColumns")
            y, x = (float(headers[0][side].value) / float(own[side].value) for side in sides)
            return Ground(layer, ratio=(y, x))
        ground = placed(headers[0])
        if ground is None or not np.allclose(ground.along, place.along, atol=1e-3):
            return Ground(namesake=layer, why="it lies turned on the glass", pixel=um)
        pixel, cell = 1e3 * np.asarray(ground.spacing), 1e3 * np.asarray(place.spacing)
        corner = (np.asarray(ground.pixel_of(*place.origin)) + 0.5) * pixel - cell / 2
        y, x = (1 / pixel).tolist()
        return Ground(layer, um, (y, x), origin=(float(corner[0]), float(corner[1])))
    return Ground(pixel=um)


def _layers(viewer: napari.Viewer | None) -> list[Any]:
    return [] if viewer is None else list(viewer.layers)


def _named(
    viewer: napari.Viewer | None,
    layers: Iterable[Image],
    name: str,
    contradiction: Callable[[Image], str],
) -> Ground:
    """The layer of that name that nothing speaks against; the selected one if there are several."""
    by_names = [(layer, _names(layer)) for layer in layers] if name else []
    exact = [layer for layer, names in by_names if name in names]
    alike = [layer for layer, names in by_names if short(name) in map(short, names)]
    why = {layer: contradiction(layer) for layer in {*exact, *alike}}
    fitting = [x for x in exact if not why[x]] or [x for x in alike if not why[x]]
    if not fitting:
        namesake = next(reversed([*alike, *exact]), None)
        return Ground(namesake=namesake, why=why.get(namesake, ""))
    chosen = [x for x in fitting if viewer is not None and x in viewer.layers.selection]
    return Ground(next(iter(chosen or fitting)), alike=len(fitting))


def _names(layer: Image) -> set[str]:
    """What the image of a layer is called: the layer, its file, its slide or mammogram."""
    path, image = layer.metadata.get("path"), layer.metadata.get("slide")
    names = {layer.name}
    names |= {Path(one).name for one in (path, layer.source.path) if one}
    image = layer.metadata.get("mammogram", image)
    return names | ({image.name} if isinstance(image, Slide | Mammogram) else set())
