"""Outlines of nuclei in GeoJSON, as this project or QuPath writes them, back to labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.draw import polygon2mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_pathogan.annotations.geojson import Annotation, Rings
    from napari_pathogan.slides.geometry import Overlay

REGION = "Region*"  # QuPath's own class for an outline of what was looked at
_NUDGE = 0.02  # files keep hundredths of a pixel
_WINDOW = 1024  # pixels per side of what is painted at once


@dataclass(frozen=True, eq=False)
class Drawn:
    """One nucleus of a file.

    Attributes
    ----------
    id
        Its number.
    parts
        Its outlines in corners of the labels' pixels.
    name, colour
        Its class, ``#rrggbb``; empty where it has none.
    measured
        Measurements by QuPath's names.
    """

    id: int
    parts: list[Rings]
    name: str
    colour: str
    measured: Mapping[str, float]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The rectangle of pixels around it: top, left, bottom, right (exclusive)."""
        outer = np.concatenate([rings[0] for rings in self.parts])
        top, left = np.floor(outer.min(0) + _NUDGE).astype(int).tolist()
        bottom, right = np.ceil(outer.max(0) - _NUDGE).astype(int).tolist()
        return top, left, bottom, right

    def mask(self) -> np.ndarray:
        """Bool, of the size of its box: pixels whose middle lies inside."""
        top, left, bottom, right = self.box
        held = np.zeros((max(bottom - top, 0), max(right - left, 0)), bool)
        for rings in self.parts:  # inside an odd number of rings is inside
            inner = [ring - (top + 0.5, left + 0.5) for ring in rings]
            own = [polygon2mask(held.shape, ring) for ring in inner]  # type: ignore[no-untyped-call]
            held |= np.logical_xor.reduce(own)
        return held


def sort(
    annotations: Sequence[Annotation], overlay: Overlay
) -> tuple[list[np.ndarray], list[Drawn]]:
    """Regions and nuclei of a file; what is neither polygon nor multipolygon is left out.

    Parameters
    ----------
    overlay
        Where the labels lie.

    Returns
    -------
    regions
        (N, 2) outlines (y, x) in level-0 centre coordinates.
    nuclei
        In corners of the labels' pixels, each with a number of its own.
    """
    regions: list[np.ndarray] = []
    nuclei: list[Drawn] = []
    for one in annotations:
        if one.class_name == REGION:
            regions += [rings[0] - 0.5 for rings in one.polygons]
        elif one.polygons and not one.part:
            parts = [[(ring - overlay.origin) / overlay.step for ring in r] for r in one.polygons]
            number = int(one.name) if one.name.isdecimal() else 0
            nuclei.append(Drawn(number, parts, one.class_name, one.colour, one.measurements))
    return regions, _numbered(nuclei)


def paint(
    nuclei: Sequence[Drawn],
    labels: Any,  # noqa: ANN401 - numpy or zarr, which read alike
) -> Iterator[tuple[int, int, np.ndarray, list[Drawn]]]:
    """Paint nuclei into labels, those that lie together at once; a pixel belongs to who comes first.

    Parameters
    ----------
    labels
        (H, W) int32, all 0; written to.

    Yields
    ------
    top, left
        Where a window of the labels lies.
    window
        int32: the nuclei that were painted there just now, and no others.
    nuclei
        Which they are; one of which no pixel is left is not in the window.
    """
    height, width = labels.shape
    places: dict[tuple[int, int], list[Drawn]] = {}
    for nucleus in nuclei:
        top, left, bottom, right = nucleus.box
        if bottom > 0 and right > 0 and top < height and left < width:
            places.setdefault((top // _WINDOW, left // _WINDOW), []).append(nucleus)
    for group in places.values():
        boxes = np.array([nucleus.box for nucleus in group])
        top, left = np.maximum(boxes[:, :2].min(0), 0).tolist()
        bottom, right = np.minimum(boxes[:, 2:].max(0), (height, width)).tolist()
        there = np.asarray(labels[top:bottom, left:right])
        window = np.zeros_like(there)
        for nucleus in group:
            _add(nucleus, window, (top, left))
        window[there > 0] = 0
        labels[top:bottom, left:right] = there + window
        yield top, left, window, group


def _add(nucleus: Drawn, window: np.ndarray, corner: tuple[int, int]) -> None:
    """Paint one nucleus where nothing is yet."""
    top, left, bottom, right = nucleus.box
    start, shape = np.array([top, left]) - corner, np.array(window.shape)
    first, last = np.maximum(start, 0), np.minimum(np.array([bottom, right]) - corner, shape)
    (row, col), (down, across) = first.tolist(), np.maximum(last, first).tolist()
    held = nucleus.mask()[row - start[0] :, col - start[1] :][: down - row, : across - col]
    part = window[row:down, col:across]
    part[held & (part == 0)] = nucleus.id


def _numbered(nuclei: list[Drawn]) -> list[Drawn]:
    """By rising number, each with one of its own: the second of the same gets a new one."""
    used: set[int] = {0}
    fresh = max((nucleus.id for nucleus in nuclei), default=0)
    found = []
    for nucleus in nuclei:
        if nucleus.id in used:
            fresh += 1
        number = fresh if nucleus.id in used else nucleus.id
        used.add(number)
        found.append(replace(nucleus, id=number))
    return sorted(found, key=lambda nucleus: nucleus.id)
