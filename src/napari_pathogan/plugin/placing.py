"""Where results from files lie: on the image they belong to if it is open, else in the world.

Every result knows its place in pixels of its image. On an open image it takes that image's own
scale and translation. Where the image is not open, but the file says how large its pixels are, it
lies in micrometres where the image will lie once it is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.plugin.layers import AXES, is_slide, place, place_level0, slide_of
from napari_pathogan.plugin.mammogram_layers import is_mammogram
from napari_pathogan.slides.mammogram import Mammogram
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.views import is_dicom

if TYPE_CHECKING:
    from collections.abc import Iterable

    import napari
    from napari.layers import Image

    from napari_pathogan.slides.geometry import Overlay

_SAME_SCALE = 0.01  # share by which two scales of one slide may differ


@dataclass(frozen=True, eq=False)
class Ground:
    """What a result lies on.

    Attributes
    ----------
    layer
        The layer of its image; None where that is not open.
    pixel, unit
        Size of a level-0 pixel (y, x) where the layer is not open; None: pixels are shown as such.
    """

    layer: Image | None = None
    pixel: tuple[float, float] | None = None
    unit: str = "um"

    @property
    def is_known(self) -> bool:
        """Whether the result lies where it belongs, and not just in pixels."""
        return self.layer is not None or self.pixel is not None

    def overlay(self, overlay: Overlay) -> dict[str, Any]:
        """Arguments of a layer that lays an overlay in its place."""
        if self.layer is not None:
            return place(overlay, self.layer)
        scale, translate = overlay.affine(self.pixel)
        return {**self._world(), "scale": scale, "translate": translate}

    def level0(self) -> dict[str, Any]:
        """Arguments of a layer whose data are level-0 centre coordinates."""
        if self.layer is not None:
            return place_level0(self.layer)
        return {**self._world(), "scale": self.pixel or (1.0, 1.0)}

    def _world(self) -> dict[str, Any]:
        unit = "pixel" if self.pixel is None else self.unit
        return {"units": (unit, unit), "axis_labels": AXES}


def on_slide(
    viewer: napari.Viewer | None, name: str, mpp: tuple[float, float] | None = None
) -> Ground:
    """The slide of that name, by its file's name or at least its stem.

    A slide whose pixels have another size than the result's is a copy at another scale: the result
    lies on it in micrometres, not pixel on pixel.
    """
    named = _named(filter(is_slide, _layers(viewer)), name)
    if named is None or _differ(slide_of(named).mpp, mpp):
        return Ground(None, mpp)
    return Ground(named)


def on_some_slide(viewer: napari.Viewer | None, path: Path) -> Ground:
    """The slide that a file is named after; else the one that is selected, or the topmost."""
    slides = [layer for layer in _layers(viewer) if is_slide(layer)]
    stem = _stem(path.name)
    named = [
        (len(own), layer)
        for layer in slides
        for own in map(_stem, _names(layer))
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
    shape: tuple[int, int] | None = None,
) -> Ground:
    """The mammogram of that name (and size, where it is known)."""
    images = [
        layer
        for layer in _layers(viewer)
        if is_mammogram(layer) and shape in (None, tuple(layer.data.shape))
    ]
    return Ground(_named(images, name), mm_per_px, "mm")


def on_dicom(viewer: napari.Viewer | None, instance: str) -> Ground:
    """The mammogram of a DICOM file, by its SOP instance UID."""
    from napari_pathogan.masses.dicom_marks import instance_of  # noqa: PLC0415  (pydicom)

    for layer in filter(is_mammogram, _layers(viewer)):
        path = layer.metadata.get("path") or layer.source.path
        if path and is_dicom(Path(path)) and instance_of(Path(path)) == instance:
            return Ground(layer)
    return Ground()


def short(name: str) -> str:
    """Name of a slide without its suffix, for the layer list's narrow rows."""
    return _stem(name)


def _layers(viewer: napari.Viewer | None) -> list[Any]:
    return [] if viewer is None else list(viewer.layers)


def _named(layers: Iterable[Image], name: str) -> Image | None:
    by_names = [(layer, _names(layer)) for layer in layers]
    exact = [layer for layer, names in by_names if name in names]
    alike = [layer for layer, names in by_names if _stem(name) in map(_stem, names)]
    return next(iter(exact or alike), None) if name else None


def _names(layer: Image) -> set[str]:
    """What the image of a layer is called: the layer, its file, its slide or mammogram."""
    path, image = layer.metadata.get("path"), layer.metadata.get("slide")
    names = {layer.name}
    names |= {Path(one).name for one in (path, layer.source.path) if one}
    image = layer.metadata.get("mammogram", image)
    return names | ({image.name} if isinstance(image, Slide | Mammogram) else set())


def _stem(name: str) -> str:
    return Path(name).stem.removesuffix(".ome")


def _differ(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    if one is None or other is None:
        return False
    return bool(np.abs(np.divide(one, other) - 1).max() > _SAME_SCALE)
