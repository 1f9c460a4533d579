"""Outlines that somebody drew around parts of a slide: kept with it, and told from those of another image."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from shapely import box

from napari_pathogan.annotations import geojson
from napari_pathogan.annotations.store import AnnotationStore, file_of
from napari_pathogan.errors import DataFolderError, ResultFormatError
from napari_pathogan.slides.imprint import Imprint
from napari_pathogan.slides.polygons import corner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.annotations.merging import Known
    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.slides.slide import Slide

_AREAS = ("", "annotation", "tile")  # kinds of objects that say what an area is
_MOST = 0.5  # of an area: one that has less on the slide may be another slide's


def write(
    slide: Slide,
    suffix: str,
    kind: str,
    annotations: Sequence[Annotation],
    known: Known | None = None,
) -> Path:
    """Keep outlines with their slide, and what tells it from others; returns where.

    Parameters
    ----------
    suffix, kind
        Of the file: behind the slide's name, and what it says that it is.
    known
        What is known of the file; as :meth:`.AnnotationStore.write` has it.

    Raises
    ------
    OutputError
        If no place can be written, or the slide is no file; what was there stays as it was.
    """
    about = {"kind": kind, "imprint": str(slide.imprint or ""), "origin": corner(slide)}
    return AnnotationStore(file_of(slide), suffix).write(lambda: annotations, about, known)


def read(slide: Slide, suffix: str, path: Path | None = None) -> tuple[list[Annotation], list[str]]:
    """Outlines that were drawn on a slide, and what else the user should know.

    Parameters
    ----------
    path
        The file; what is kept with the slide by default, which may be nothing.

    Raises
    ------
    DataFolderError
        If it can't be read, or was drawn on another image of that name.
    """
    if path is None:
        path = None if slide.path is None else AnnotationStore(slide.path, suffix).path
        if path is None or not path.is_file():
            return [], []
    drawn, notes = outlines_of(path, corner(slide))
    _, about = geojson.read(path)
    own = Imprint.read(about.get("imprint"))
    if own is not None and slide.imprint is not None and (why := own.contradicts(slide.imprint)):
        msg = (
            f"{path.name} was not drawn on this {slide.name}: {why}; put the image back that it was "
            "drawn on, or move the annotations away"
        )
        raise DataFolderError(msg)
    crossing = geojson.crossing(path)
    if crossing:
        notes.append(
            f"{path.name}: {crossing} of its outlines cross themselves; look whether each of their loops "
            "was meant"
        )
    return drawn, notes


def outlines_of(path: Path, origin: tuple[float, float]) -> tuple[list[Annotation], list[str]]:
    """What was drawn around areas, and what else the file holds, in words."""
    try:
        annotations, _ = geojson.read(path, origin)
    except ResultFormatError as error:
        raise DataFolderError(str(error)) from error
    drawn, others = [], Counter[str]()
    for one in annotations:
        if is_outline(one):
            drawn.append(one)
        elif not one.polygons or one.kind not in _AREAS:
            others[one.kind or "object"] += not one.part  # a cell's nucleus comes with the cell
    others = +others
    if not others:
        return drawn, []
    what = ", ".join(f"{number:,} of kind {kind}" for kind, number in sorted(others.items()))
    return drawn, [f"left out of {path.name}, since they are no areas: {what}"]


def is_outline(one: Annotation) -> bool:
    """Whether an object says what an area is."""
    return bool(one.polygons and one.kind in _AREAS and (one.class_name or one.kind != "tile"))


def beyond(slide: Slide | Mammogram, name: str, drawn: Sequence[Annotation]) -> list[str]:
    """A sentence on outlines of areas that lie beyond the slide, all or most of each, where there are some."""
    height, width = slide.shape
    inside = box(0, 0, width, height)
    touching = [one.geometry for one in drawn if one.geometry.intersects(inside)]
    whole = len(drawn) - len(touching)
    most = sum(one.intersection(inside).area < _MOST * one.area for one in touching)
    tiny = sum(one.geometry.area < 1 for one in drawn)
    slides = f"{slide.name}, which has {width} x {height} px: are they another slide's?"
    said = []
    if tiny:
        said.append(
            f"{tiny} of {len(drawn)} outlines of {name} are smaller than a pixel of {slide.name}: are they in "
            "other units than its pixels?"
        )
    for count, how in ((whole, "lie beyond"), (most, "reach mostly beyond")):
        of = f"all {count}" if count == len(drawn) else f"{count} of {len(drawn)}"
        said += [f"{of} outlines of {name} {how} {slides}"] * bool(count)
    return said
