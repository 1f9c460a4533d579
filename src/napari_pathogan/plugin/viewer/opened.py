"""What is open: slides, the mammograms of an examination, other images; and what lies on each.

Every layer knows its place, and images never cover each other, so what lies on an image belongs
to it: results, annotations, views in other colours. What lies on all views of an examination says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from napari import current_viewer
from napari.layers import Image

from napari_pathogan.mammograms.mammogram import Mammogram
from napari_pathogan.plugin.viewer.layers import WHOLE, file_of, fit, in_unit, is_slide
from napari_pathogan.plugin.viewer.mammogram_groups import TITLES, hung
from napari_pathogan.plugin.viewer.mammogram_layers import is_mammogram, write_what_is_seen

if TYPE_CHECKING:
    from collections.abc import Iterable

    import napari
    from napari.layers import Layer
    from napari.utils.events import Event

_MARGIN = 0.1  # of an image's sides: a map's first cell may begin before its slide
HIDDEN = "hidden with its image"  # in the metadata of a layer that was seen before


@dataclass(eq=False)
class Opened:
    """An image that is open, or the views of an examination.

    Attributes
    ----------
    images
        Its layers; of fluorescence, those of its channels.
    results
        All other layers that lie on them, in the order of the layer list.
    """

    images: list[Image]
    results: list[Layer] = field(default_factory=list)

    @property
    def first(self) -> Image:
        """The image that stands for it."""
        return self.images[0]

    @property
    def layers(self) -> list[Layer]:
        """All of it."""
        return [*self.images, *self.results]

    @property
    def hidden(self) -> bool:
        """Whether none of its images is seen."""
        return not any(image.visible for image in self.images)

    @property
    def mammograms(self) -> bool:
        """Whether it is of mammograms."""
        return isinstance(self.first.metadata.get("mammogram"), Mammogram)


def opened(viewer: napari.Viewer) -> list[Opened]:
    """All that is open in a viewer, in the order of the layer list.

    A layer that lies on no image belongs to none.
    """
    found: list[Opened] = []
    examinations: dict[int, Opened] = {}
    rest: list[Layer] = []
    for layer in sorted(viewer.layers, key=_rank):
        if not _is_image(layer):
            rest.append(layer)
        elif (on := _under(layer, found)) is not None:
            (on.images if _is_channel(layer, on) else rest).append(layer)
        elif isinstance(layer.metadata.get("mammogram"), Mammogram):
            number = hung(layer).number
            if number not in examinations:
                examinations[number] = Opened([])
                found.append(examinations[number])
            examinations[number].images.append(layer)
        else:
            found.append(Opened([layer]))
    for layer in rest:
        if (number := layer.metadata.get(WHOLE)) is not None:
            on = examinations.get(number)
        else:
            on = _under(layer, found) or _under(layer, found, _MARGIN)
        if on is not None:
            on.results.append(layer)
    order = {layer: at for at, layer in enumerate(viewer.layers)}
    for one in found:
        one.images.sort(key=order.__getitem__)
        one.results.sort(key=order.__getitem__)
    return sorted(found, key=lambda one: order[one.first])


def made_of(viewer: napari.Viewer, layer: Layer) -> Layer:
    """The slide that a view in other colours, or a virtual stain, lies on; any other layer itself."""
    if is_slide(layer) and layer.metadata.get("synthetic"):
        for one in opened(viewer):
            if layer in one.results and is_slide(one.first):
                return one.first
    return layer


def show_alone(viewer: napari.Viewer, *chosen: Opened) -> None:
    """Show some of those that are open with what lies on them, whole, and nothing of the others."""
    firsts = [one.first for one in chosen]
    for one in chosen:  # first: docks and napari look at what is seen
        _show(one.layers)
    for other in opened(viewer):
        if other.first not in firsts:
            _hide(viewer, other.layers)
    if viewer.layers.selection.active not in firsts:
        viewer.layers.selection.active = firsts[0]
    write_what_is_seen(viewer)
    fit(viewer, [image for one in chosen for image in one.images])


def show_in_place(viewer: napari.Viewer, before: Image, chosen: Opened) -> None:
    """Show one alone where another was seen: as far from its upper left corner, and as large."""
    camera = viewer.scene.camera
    offset, zoom = np.asarray(camera.center[-2:]) - _corner(viewer, before), camera.zoom
    show_alone(viewer, chosen)
    camera.center = tuple(_corner(viewer, chosen.first) + offset)
    camera.zoom = zoom


def _corner(viewer: napari.Viewer, image: Image) -> np.ndarray:
    """The upper left corner (y, x) of an image, in the units of the camera."""
    units = viewer.layers.units
    factor = 1.0 if units is None else in_unit(image, units[-1])
    corner: np.ndarray = factor * np.min(image.extent.world[:, -2:], axis=0)
    return corner


def show_views(viewer: napari.Viewer, one: Opened, views: list[Image]) -> None:
    """Show some images of an examination with what lies on them, whole, and nothing else."""
    alone = [Opened([image]) for image in one.images]
    for layer in one.results:
        if WHOLE in layer.metadata:  # and shows what lies on those that are seen
            _show([layer])
        elif (on := _under(layer, alone) or _under(layer, alone, _MARGIN)) is not None:
            on.results.append(layer)
    for each in alone:
        if each.first in views:
            _show(each.layers)
    for each in (*alone, *(other for other in opened(viewer) if other.first is not one.first)):
        if each.first not in views:
            _hide(viewer, each.layers)
    if viewer.layers.selection.active not in views:
        viewer.layers.selection.active = views[0]
    write_what_is_seen(viewer)
    fit(viewer, views)


def bring_back(viewer: napari.Viewer, image: Image) -> None:
    """Show an image that is hidden, with the other views of its examination, and nothing else."""
    one = next((one for one in opened(viewer) if image in one.images), None)
    if one is None or image.visible:
        return
    for layer in one.layers if _nothing_seen(one) else [image]:
        layer.metadata = {**layer.metadata, HIDDEN: True}  # also of one that was hidden by hand
    show_views(viewer, one, one.images)


def hidden_for_others(viewer: napari.Viewer, image: Image) -> bool:
    """Whether an image is hidden because others are looked at, and not by hand."""
    there = opened(viewer)
    one = next((one for one in there if image in one.images), None)
    if one is None or image.visible:
        return False
    others = not all(other.hidden for other in there)
    return others and (HIDDEN in image.metadata or _nothing_seen(one))


def show_all(viewer: napari.Viewer) -> None:
    """Show all that is open."""
    there = opened(viewer)
    for one in there:
        _show(one.layers)
    write_what_is_seen(viewer)
    if there:
        fit(viewer, [image for one in there for image in one.images])


def show_results(viewer: napari.Viewer, chosen: Opened, *, shown: bool) -> None:
    """Show what lies on an image as it was shown before, or hide it."""
    if shown:
        _show(chosen.results)
    else:
        _hide(viewer, chosen.results)


def results_hidden(chosen: Opened) -> bool:
    """Whether what lies on an image was hidden, and is so still."""
    return any(HIDDEN in one.metadata and not one.visible for one in chosen.results)


def remove(viewer: napari.Viewer, chosen: Opened) -> None:
    """Close an image, and take what lies on it out of the viewer."""
    for layer in chosen.results[::-1]:  # docks forget them while their image is there
        if layer in viewer.layers:
            viewer.layers.remove(layer)
    for layer in chosen.images:
        if layer in viewer.layers:
            viewer.layers.remove(layer)


def _nothing_seen(one: Opened) -> bool:
    """Whether all of it is hidden, as it comes back with a case, too, though nothing says for whose sake."""
    own = [layer for layer in one.layers if not {WHOLE, TITLES} & set(layer.metadata)]
    return not any(layer.visible for layer in own)


def _hide(viewer: napari.Viewer, layers: Iterable[Layer]) -> None:
    viewer.layers.events.removed.connect(_show_others)  # once: napari knows a second time
    for layer in layers:
        if layer.visible:
            layer.visible = False
            layer.metadata = {**layer.metadata, HIDDEN: True}


def _show(layers: Iterable[Layer]) -> None:
    for layer in layers:
        if HIDDEN in layer.metadata:
            layer.visible = True
            layer.metadata = {k: v for k, v in layer.metadata.items() if k != HIDDEN}


def _show_others(event: Event) -> None:
    """Show what was hidden for an image's sake once no image is seen any more."""
    viewer = current_viewer()
    if viewer is None or event.source is not viewer.layers:
        return
    there = opened(viewer)
    if there and all(one.hidden for one in there):
        for one in there:
            _show(one.layers)


def _rank(layer: Layer) -> int:
    """Slides and mammograms come before what may lie on them."""
    if "synthetic" in layer.metadata:
        return 2
    return 0 if is_slide(layer) or isinstance(layer.metadata.get("mammogram"), Mammogram) else 1


def _is_image(layer: Layer) -> bool:
    """Whether a layer is an image that was opened, or made to be looked at by itself."""
    if not isinstance(layer, Image) or {"heat_map", "doubt_map"} & set(layer.metadata):
        return False
    known = {"slide", "mammogram"} & set(layer.metadata)
    return bool(known) or is_slide(layer) or is_mammogram(layer) or file_of(layer) is not None


def _is_channel(layer: Image, on: Opened) -> bool:
    """Whether a layer is another channel of the same file."""
    path = layer.metadata.get("path")
    return path is not None and not layer.rgb and path == on.first.metadata.get("path")


def _under(layer: Layer, images: list[Opened], margin: float = 0.0) -> Opened | None:
    """The image on which the middle of a layer lies, or beside it, nearer than a share of its sides."""
    middle = layer.extent.world[:, -2:].mean(0)
    if not np.isfinite(middle).all():  # nothing was drawn yet
        middle = np.asarray(layer.translate[-2:])
    for one in images:
        for image in one.images:
            low, high = np.sort(image.extent.world[:, -2:], axis=0)
            at = middle * in_unit(layer, image.units[-1])
            rim = margin * (high - low)
            if np.all((low - rim <= at) & (at <= high + rim)):
                return one
    return None
