"""Outlines of nuclei in GeoJSON, as this project or QuPath writes them, back to labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from shapely import STRtree

from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.slides.polygons import contains, keyhole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shapely.geometry.base import BaseGeometry

    from napari_pathogan.slides.geometry import Overlay

REGION = "Region*"  # QuPath's own class for an outline of what was looked at
LEFT_OUT = "left out: "  # so begins what is said of objects that are no nuclei
LONGEST_UM = 100.0  # of a nucleus
_KINDS = ("", "annotation", "detection", "cell")  # objects that may be nuclei
_BEYOND = "beyond the image, or the part of it that the file is of"
_MORE = 1.0  # pixel of the labels: what lies nearer to a border is no sign of anything
_NUDGE = 0.02  # files keep hundredths of a pixel
_WINDOW = 1024  # pixels per side of what is painted at once
_MOST = 1 << 24  # greatest number that is kept: there are tables from number to class


@dataclass(frozen=True, eq=False)
class DrawnNucleus:
    """One nucleus of a file.

    Attributes
    ----------
    id
        Its number.
    geometry
        Polygons, x, y in corners of the labels' pixels.
    name, colour
        Its class, ``#rrggbb``; empty where it has none.
    measured
        Measurements by QuPath's names.
    """

    id: int
    geometry: BaseGeometry
    name: str
    colour: str
    measured: Mapping[str, float]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The rectangle of pixels around it: top, left, bottom, right (exclusive)."""
        bounds = np.array(self.geometry.bounds)
        left, top = np.floor(bounds[:2] + _NUDGE).astype(int).tolist()
        right, bottom = np.ceil(bounds[2:] - _NUDGE).astype(int).tolist()
        return top, left, bottom, right

    def mask(self) -> np.ndarray:
        """Bool, of the size of its box: pixels whose middle lies inside."""
        top, left, bottom, right = self.box
        rows, cols = np.mgrid[top : max(bottom, top), left : max(right, left)] + 0.5
        middles = np.stack([rows.ravel(), cols.ravel()], 1)
        return contains(middles, [self.geometry]).reshape(rows.shape)


def sort(
    annotations: Sequence[Annotation], overlay: Overlay, mpp: tuple[float, float]
) -> tuple[list[np.ndarray], list[DrawnNucleus], list[str]]:
    """Regions and nuclei of a file, as QuPath has them.

    Of a cell, its nucleus counts. What lies in an outline whose class ends in ``*``, but for
    ``Region*``, was not looked at. No nuclei are annotations around other objects, what is longer
    than `LONGEST_UM`, and cells without a nucleus.

    Parameters
    ----------
    overlay
        Where the labels lie.
    mpp
        um per level-0 pixel (y, x).

    Returns
    -------
    regions
        (N, 2) outlines (y, x) in level-0 centre coordinates; holes are cut out.
    nuclei
        In corners of the labels' pixels, each with a number of its own.
    left_out
        What else the file holds, a sentence each.
    """
    areas = [one for one in _without_cells(annotations) if one.polygons]
    ignored = [one.geometry for one in areas if one.class_name.endswith("*")
               and one.class_name != REGION]  # fmt: skip
    regions = []
    for one in areas:
        if one.class_name == REGION:
            looked = shapely.difference(one.geometry, shapely.union_all(ignored)) if ignored else 0
            parts = Annotation(looked).polygons if ignored else one.polygons
            regions += [keyhole(rings) - 0.5 for rings in parts]
    others = [one for one in areas if not one.class_name.endswith("*")]
    reasons = _no_nuclei(others, mpp)
    nuclei = [one for one, reason in zip(others, reasons, strict=True) if not reason]
    origin, step = overlay.origin[::-1], overlay.step[::-1]
    placed = shapely.transform(
        np.array([one.geometry for one in nuclei], object), lambda xy: (xy - origin) / step
    )
    drawn = [
        DrawnNucleus(_number(one.name), geometry, one.class_name, one.colour, one.measurements)
        for one, geometry in zip(nuclei, placed, strict=True)
    ]
    beyond, cut = _over_borders(placed, overlay.data.shape)
    drawn = [one for one, far in zip(drawn, beyond.tolist(), strict=True) if not far]
    counts = Counter(filter(None, reasons))
    counts[_BEYOND] += int(beyond.sum())
    notes = [f"{LEFT_OUT}{n:,} {why}" for why, n in counts.items() if n]
    if cut:
        notes.append(f"{cut:,} nuclei reach beyond the image's borders and are cut there")
    return regions, _numbered(drawn), notes


def _over_borders(placed: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """Which nuclei lie wholly beyond labels of a shape, and how many reach beyond."""
    left, top, right, bottom = shapely.bounds(placed).reshape(-1, 4).T
    beyond = (right <= 0) | (bottom <= 0) | (left >= shape[1]) | (top >= shape[0])
    over = (
        (np.minimum(left, top) < -_MORE) | (right > shape[1] + _MORE) | (bottom > shape[0] + _MORE)
    )
    return beyond, int((over & ~beyond).sum())


def left_out(notes: Sequence[str]) -> list[str]:
    """What notes say of objects that were left out."""
    return [note.removeprefix(LEFT_OUT) for note in notes if note.startswith(LEFT_OUT)]


def _without_cells(annotations: Sequence[Annotation]) -> Iterator[Annotation]:
    """All objects, but of cells that have the outline of a nucleus it alone."""
    for one, following in pairwise([*annotations, None]):
        if one is not None and not (following is not None and _is_nucleus(following, one)):
            yield one


def _is_nucleus(one: Annotation, cell: Annotation) -> bool:
    """Whether an object is the nucleus that was written with the cell before it, and has an outline.

    Both are of one feature then, and share what it says; a nucleus whose cell has no outline follows
    another object.
    """
    return one.part == "nucleus" and one.more is cell.more and bool(one.polygons)


def _no_nuclei(areas: Sequence[Annotation], mpp: tuple[float, float]) -> list[str]:
    """Why each is no nucleus; empty if it is one."""
    if not areas:
        return []
    shapes = np.array([one.geometry for one in areas], object)
    left, top, right, bottom = shapely.bounds(shapes).T
    long = np.maximum((bottom - top) * mpp[0], (right - left) * mpp[1]) > LONGEST_UM
    size = shapely.area(shapes)
    around = np.zeros(len(areas), bool)
    outer, inner = STRtree(shapely.point_on_surface(shapes)).query(shapes, predicate="contains")
    around[outer[size[inner] < size[outer] / 2]] = True
    return [
        f"of kind {one.kind}, which is no nucleus" if one.kind not in _KINDS
        else "cell(s) without the outline of a nucleus" if one.kind == "cell" and not one.part
        else f"object(s) over {LONGEST_UM:g} um long, too large for a nucleus" if too_long
        else "annotation(s) around other objects" if holds and one.kind in ("", "annotation")
        else ""
        for one, too_long, holds in zip(areas, long.tolist(), around.tolist(), strict=True)
    ]  # fmt: skip


def _number(name: str) -> int:
    """The number that a nucleus is called by; 0 where it has none that can be kept."""
    digits = name.isdecimal() and len(name) <= len(str(_MOST))
    return int(name) if digits and int(name) <= _MOST else 0


def paint(
    nuclei: Sequence[DrawnNucleus],
    labels: Any,  # noqa: ANN401 - numpy or zarr, which read alike
) -> Iterator[tuple[int, int, np.ndarray, list[DrawnNucleus]]]:
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
    places: dict[tuple[int, int], list[DrawnNucleus]] = {}
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


def _add(nucleus: DrawnNucleus, window: np.ndarray, corner: tuple[int, int]) -> None:
    """Paint one nucleus where nothing is yet."""
    top, left, bottom, right = nucleus.box
    start, shape = np.array([top, left]) - corner, np.array(window.shape)
    first, last = np.maximum(start, 0), np.minimum(np.array([bottom, right]) - corner, shape)
    (row, col), (down, across) = first.tolist(), np.maximum(last, first).tolist()
    held = nucleus.mask()[row - start[0] :, col - start[1] :][: down - row, : across - col]
    part = window[row:down, col:across]
    part[held & (part == 0)] = nucleus.id


def _numbered(nuclei: list[DrawnNucleus]) -> list[DrawnNucleus]:
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
