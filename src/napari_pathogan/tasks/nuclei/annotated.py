"""Nuclei kept beside a slide as ``<slide name>.nuclei.geojson``: corrected, drawn, to be learned.

The file is GeoJSON that QuPath opens and saves: each nucleus is an annotation with its class, and
so is each region in which all nuclei are marked, of QuPath's class ``Region*``. Outlines follow the
edges of the labels' pixels, so that what is read back is what was kept, pixel by pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, NonNegativeFloat, PositiveFloat, ValidationError
from scipy import ndimage

from napari_pathogan.annotations import geojson
from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.errors import (
    DataFolderError,
    PathoganError,
    ResultFormatError,
    UnknownScaleError,
)
from napari_pathogan.kinds import OURS
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.imprint import Imprint
from napari_pathogan.slides.polygons import corner, inside, rectangle_around, signed_area
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei import drawn, export, features
from napari_pathogan.tasks.nuclei.canvas import Canvas
from napari_pathogan.tasks.nuclei.grid import LabelGrid
from napari_pathogan.tasks.nuclei.segmentation import COLUMNS, NUCLEUS, NUCLEUS_COLOUR, Segmentation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.annotations.merging import Known
    from napari_pathogan.files import TemporaryRoom

SUFFIX = ".nuclei.geojson"
MPP = 0.25  # of the labels, where a file does not say
MOST_CLASSES = 254  # an image of classes has a byte a pixel
RIM_UM = 4.0  # so far into a region may nuclei reach, unmarked, whose middle lies outside
AROUND_UM = 32.0  # around a corrected nucleus of a whole slide: this counts as looked at
_MOST_PX, _ROWS_PX = 1 << 27, 1 << 20  # of a region; looked at at once
_Side = Annotated[int, Field(ge=1, le=4_000_000)]  # pixels of the labels
_Place = Annotated[float, Field(ge=-1e7, le=1e7)]  # level-0 pixels
_Step = Annotated[float, Field(ge=1e-3, le=1e4)]
_Colour = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
_REGION_COLOUR = "#b4b4b4"
_COLOURS = (NUCLEUS_COLOUR, "#c8003c", "#00d5ff", "#ffd400", "#009e73", "#ff8ad8", "#ff9500")
_STAIN = export.MEASUREMENTS["haematoxylin_mean"]


@dataclass(frozen=True, eq=False)
class AnnotatedRegion:
    """A part of a slide in which all nuclei are known.

    Attributes
    ----------
    slide
        Name of the slide.
    image
        uint8 (H, W, 3), RGB.
    mask
        int32 (H, W): 0 background, else a nucleus's number from 1 on, -1 where nobody looked.
    classes
        Of each nucleus, by its number less one; ``nucleus`` where it has none.
    mpp
        um per pixel of both.
    """

    slide: str
    image: np.ndarray
    mask: np.ndarray
    classes: tuple[str, ...]
    mpp: float


class _Grid(BaseModel, allow_inf_nan=False):
    """Where the labels lie."""

    origin: tuple[_Place, _Place]
    step: tuple[_Step, _Step]
    shape: tuple[_Side, _Side]


class _About(BaseModel, allow_inf_nan=False):
    """What a file says of itself, as :func:`.export.attributes` and the grid have it."""

    grid: _Grid | None = None
    mpp: tuple[PositiveFloat, PositiveFloat] | None = None
    mpp_source: str = "user"
    area_mm2: NonNegativeFloat | None = None
    imprint: str | None = None
    class_names: tuple[str, ...] = ()
    class_colours: tuple[_Colour, ...] = ()
    model: str = ""
    model_line: str = ""
    model_sha256: str = ""
    class_model: str = ""
    class_note: str = ""
    tissue: str = ""
    notes: tuple[str, ...] = ()


def store(slide: Path) -> AnnotationStore:
    """Where the nuclei of a slide are kept."""
    return AnnotationStore(slide, SUFFIX)


def write(slide: Path, segmentation: Segmentation, known: Known | None = None) -> Path:
    """Keep nuclei, their classes, and the region in which they were looked for; returns where.

    The file says nothing of whose slide it is.

    Parameters
    ----------
    known
        What is known of the file; as :meth:`.AnnotationStore.write` has it.

    Raises
    ------
    OutputError
        If it can't be written; what was kept before stays as it was.
    """
    return store(slide).write(lambda: _annotations(segmentation), _said(segmentation), known)


def write_file(path: Path, segmentation: Segmentation) -> None:
    """Write nuclei to a file of its own, as :func:`write` keeps them and :func:`read` reads them.

    Raises
    ------
    OutputError
        If it can't be written; what was there before stays as it was.
    """
    geojson.write(path, _annotations(segmentation), _said(segmentation), OURS)


def _said(segmentation: Segmentation) -> dict[str, Any]:
    """What a file says of itself, but for whose slide it is."""
    overlay = segmentation.overlay
    grid = {"origin": overlay.origin, "step": overlay.step, "shape": overlay.data.shape}
    about = export.attributes(segmentation) | {"grid": grid}
    name, hidden = about.pop("slide"), pseudonym(segmentation.slide)
    about["notes"] = [note.replace(name, hidden) for note in about["notes"]]
    return about


def _annotations(segmentation: Segmentation) -> Iterator[Annotation]:
    for outline in looked_at(segmentation):
        geometry = geojson.outline([[outline + 0.5]])
        yield Annotation(geometry, class_name=drawn.REGION, colour=_REGION_COLOUR)
    yield from export.objects(segmentation, "annotation")


def looked_at(segmentation: Segmentation) -> list[np.ndarray]:
    """Outlines (N, 2) of what was asked for, level-0 centre coordinates; none for the whole."""
    if segmentation.polygons is not None:
        return [np.asarray(outline, float) for outline in segmentation.polygons]
    return [] if segmentation.region is None else [_corners(segmentation.region)]


def read(path: Path, slide: Slide) -> Segmentation:
    """Read what was kept, or drawn in QuPath.

    Parameters
    ----------
    slide
        Nuclei that carry no measurements are measured on it.

    Raises
    ------
    DataFolderError
        If the file can't be read, is not GeoJSON with polygons, or was kept with another image.
    UnknownScaleError
        If neither the slide nor the file says how large a pixel is.
    """
    annotations, about = content(path, corner(slide))
    own = Imprint.read(about.imprint)
    if own is not None and slide.imprint is not None and (why := own.contradicts(slide.imprint)):
        msg = (
            f"{path.name} was not kept with this {slide.name}: {why}; put the image back that it was "
            "kept with, or move the nuclei away"
        )
        raise DataFolderError(msg)
    slide = _scaled(slide, about)
    assert slide.mpp is not None
    overlay, room = _labels(slide, about.grid)
    outlines, nuclei, left_out = drawn.sort(annotations, overlay, slide.mpp)
    names, colours = _classes(about, nuclei)
    if len(names) > MOST_CLASSES:
        msg = f"{path.name} names {len(names):,} classes of nuclei; {MOST_CLASSES} can be told apart at most"
        raise DataFolderError(msg)
    hidden = pseudonym(slide.name)
    measured = _measured(nuclei, overlay, slide)
    if hid := len(nuclei) - len(measured):
        left_out.append(f"{drawn.LEFT_OUT}{hid:,} under others, of which no pixel can be seen")
    region = rectangle_around(outlines) if outlines else None
    plain = region is not None and len(outlines) == 1 and _same(outlines[0], _corners(region))
    looked = sum(abs(signed_area(outline)) for outline in outlines) or float(np.prod(slide.shape))
    return Segmentation(
        slide=slide.name,
        overlay=overlay,
        table=_table(measured, nuclei, overlay, slide.mpp, names),
        boxes=measured[list(features.BOX)].to_numpy(np.int32),
        mpp=slide.mpp,
        area_mm2=about.area_mm2 or looked * float(np.prod(slide.mpp)) * 1e-6,
        class_names=names,
        class_colours=colours,
        mpp_source=slide.mpp_source,
        model=about.model,
        model_line=about.model_line,
        model_sha256=about.model_sha256,
        class_model=about.class_model,
        class_note=about.class_note,
        tissue=about.tissue,
        region=region,
        polygons=None if plain or not outlines else tuple(outlines),
        notes=(*(note.replace(hidden, slide.name) for note in about.notes), *left_out),
        imprint=slide.imprint,
        origin=corner(slide),
        room=room,
    )


def annotated_regions(
    stores: Iterable[AnnotationStore], mpp: float | None = None
) -> tuple[list[AnnotatedRegion], list[str]]:
    """Cut what is known out of slides with such files, beside them or elsewhere, to train on.

    Parameters
    ----------
    mpp
        um per pixel, where slides do not say.

    Returns
    -------
    regions
        One for each outline of class ``Region*``, or around corrected nuclei where the whole
        slide was looked for nuclei, or of the whole image.
    skipped
        What was left out and why, one line a file.
    """
    found: list[AnnotatedRegion] = []
    skipped = []
    for kept in stores:
        try:
            path = kept.path
            with Slide.open(kept.image, mpp=mpp) as slide:
                segmentation = read(path, slide)
                known = list(_cut(slide, segmentation))
        except PathoganError as error:
            skipped.append(f"{kept.image}: {error}")
            continue
        found += known
        skipped += [f"{path}: {line}" for line in drawn.left_out(segmentation.notes)]
        if not known:
            skipped.append(nothing_known(path))
    return found, skipped


def nothing_known(path: Path) -> str:
    """What to say of a file from which nothing can be learnt."""
    return (
        f"{path}: no outline of class {drawn.REGION} says where all nuclei are marked, "
        "and none was corrected; draw one around such a part"
    )


def known_regions(segmentation: Segmentation) -> list[np.ndarray]:
    """Outlines (N, 2) in which all nuclei are known, level-0 centre coordinates."""
    return looked_at(segmentation) or list(_around_corrected(segmentation))


def _cut(slide: Slide, segmentation: Segmentation) -> Iterator[AnnotatedRegion]:
    """Cut out what is known, an outline at a time."""
    for outline in known_regions(segmentation):
        yield _region(slide, segmentation, outline)


def _around_corrected(segmentation: Segmentation) -> Iterator[np.ndarray]:
    """A square around each corrected nucleus, unless it lies in the square of another."""
    table = segmentation.table
    points = table.loc[table["corrected"], ["y_px", "x_px"]].to_numpy()
    half = AROUND_UM / np.asarray(segmentation.mpp)
    while len(points):
        square = Region(*np.floor(points[0] - half).astype(int), *(2 * half).astype(int))
        yield _corners(square)
        points = points[1:][~inside(points[1:], square, None)]


def _region(slide: Slide, segmentation: Segmentation, outline: np.ndarray) -> AnnotatedRegion:
    overlay = segmentation.overlay
    origin, step = np.asarray(overlay.origin), np.asarray(overlay.step)
    corners = (outline + 0.5 - origin) / step
    first = np.maximum(np.floor(corners.min(0) + 0.01), 0).astype(int)
    last = np.minimum(np.ceil(corners.max(0) - 0.01), overlay.data.shape).astype(int)
    (top, left), (bottom, right) = first.tolist(), np.maximum(first, last).tolist()
    if bottom <= top or right <= left:
        msg = f"an outline of class {drawn.REGION} lies beyond the slide; is it another slide's?"
        raise DataFolderError(msg)
    if (bottom - top) * (right - left) > _MOST_PX:
        size = " x ".join(f"{n * s * m * 1e-3:.1f}" for n, s, m in zip(
            (right - left, bottom - top), step[::-1], segmentation.mpp[::-1], strict=True))  # fmt: skip
        msg = f"an outline of {size} mm is too large to learn from at once; draw smaller ones"
        raise DataFolderError(msg)
    labels = np.asarray(segmentation.labels[top:bottom, left:right])
    ids, mask = np.unique(np.append(0, labels), return_inverse=True)
    mask = mask[1:].reshape(labels.shape).astype(np.int32)
    looked = _looked(outline, segmentation.overlay, (top, bottom), (left, right))
    start, stop = origin + first * step, origin + last * step
    at_edge = (*(start < step), *(stop > np.asarray(slide.shape) - step))
    mpp = float(step[0] * segmentation.mpp[0])
    mask[(_depth(looked, at_edge) * mpp <= RIM_UM) & (mask == 0)] = -1
    image = slide.resampled((start[0], start[1]), overlay.step, labels.shape)
    classes = segmentation.table["class"].astype(str).to_numpy()
    own = np.searchsorted(segmentation.table["id"].to_numpy(), ids[1:])
    return AnnotatedRegion(slide.name, image, mask, tuple(classes[own].tolist()), mpp)


def _looked(
    outline: np.ndarray, overlay: Overlay, rows: tuple[int, int], cols: tuple[int, int]
) -> np.ndarray:
    """Bool: which of the labels' pixels in a window lie inside an outline; some rows at a time."""
    step, origin = np.asarray(overlay.step), np.asarray(overlay.origin)
    across = np.arange(*cols)
    held = np.zeros((rows[1] - rows[0], len(across)), bool)
    several = max(1, _ROWS_PX // max(len(across), 1))
    for first in range(0, len(held), several):
        part = held[first : first + several]
        down = np.arange(len(part)) + rows[0] + first
        cells = np.stack([np.repeat(down, len(across)), np.tile(across, len(down))], 1)
        part[:] = inside((cells + 0.5) * step + origin - 0.5, None, [outline]).reshape(part.shape)
    return held


def _depth(looked: np.ndarray, at_edge: tuple[bool, ...]) -> np.ndarray:
    """Distance in pixels to where nobody looked; beyond the slide's edge there is nothing to see.

    ``at_edge`` says of top, left, bottom and right whether they are the slide's.
    """
    height, width = looked.shape
    around = np.zeros((height + 2, width + 2), bool)
    around[1:-1, 1:-1] = looked
    top, left, bottom, right = at_edge
    if top:
        around[0] = around[1]
    if bottom:
        around[-1] = around[-2]
    if left:
        around[:, 0] = around[:, 1]
    if right:
        around[:, -1] = around[:, -2]
    if around.all():
        return np.full(looked.shape, np.inf)
    depth: np.ndarray = ndimage.distance_transform_edt(around)[1:-1, 1:-1]
    return depth


def content(path: Path, origin: tuple[float, float]) -> tuple[list[Annotation], _About]:
    """The objects of a file, and what it says of itself.

    Raises
    ------
    DataFolderError
        If it can't be read, or is not GeoJSON with polygons.
    """
    try:
        annotations, about = geojson.read(path, origin)
        return annotations, _About.model_validate(about)
    except (ResultFormatError, ValidationError) as error:
        raise _no_geojson(path, error) from error


def _no_geojson(path: Path, error: Exception) -> DataFolderError:
    if not isinstance(error, ValidationError):
        return DataFolderError(str(error))
    first = error.errors()[0]
    where = " ".join(map(str, first["loc"]))
    error = ValueError(f"its {where} is wrong: {first['msg']}")
    return DataFolderError(f"{path.name} is not GeoJSON with polygons ({error}); save it anew")


def _scaled(slide: Slide, about: _About) -> Slide:
    """The slide with the scale that the file was written with, where it has none itself."""
    if slide.mpp is not None:
        return slide
    if about.mpp is None:
        msg = f"{slide.name} does not say how many micrometres a pixel measures; pass it"
        raise UnknownScaleError(msg)
    return slide.with_mpp(about.mpp, about.mpp_source)


def _labels(slide: Slide, grid: _Grid | None) -> tuple[Overlay, TemporaryRoom | None]:
    """Empty labels as the file has them, or over the whole slide."""
    assert slide.mpp is not None
    if grid is None:
        own = LabelGrid.over(slide.shape, slide.mpp, MPP)
        canvas = Canvas(own.shape)
        return own.overlay(canvas.labels), canvas.room
    canvas = Canvas(grid.shape)
    return Overlay(canvas.labels, grid.origin, grid.step), canvas.room


def _classes(
    about: _About, nuclei: Sequence[drawn.DrawnNucleus]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and colours: those the file lists, and then what else its nuclei are called."""
    names = list(about.class_names)
    colours = [*about.class_colours, *_COLOURS * len(names)][: len(names)]
    for nucleus in nuclei:
        if (name := nucleus.name or NUCLEUS) not in names:
            names.append(name)
            colours.append(nucleus.colour or _COLOURS[(len(names) - 1) % len(_COLOURS)])
    return tuple(names or [NUCLEUS]), tuple(colours or [NUCLEUS_COLOUR])


def _measured(nuclei: Sequence[drawn.DrawnNucleus], overlay: Overlay, slide: Slide) -> pd.DataFrame:
    """Paint the nuclei and measure them; by rising id, in pixels of the labels."""
    assert slide.mpp is not None
    pixel_um2 = float(np.prod(overlay.step) * np.prod(slide.mpp))
    tables = [features.measure(np.zeros((0, 0), int), np.zeros((0, 0, 3), np.uint8), pixel_um2)]
    for top, left, window, group in drawn.paint(nuclei, overlay.data):
        stain = {n.id: n.measured[_STAIN] for n in group if _STAIN in n.measured}
        image = np.zeros((*window.shape, 3), np.uint8)
        if len(stain) < len(group):
            y, x = np.asarray(overlay.origin) + (top, left) * np.asarray(overlay.step)
            image = slide.resampled((y, x), overlay.step, window.shape)
        table = features.moved(features.measure(window, image, pixel_um2), top, left)
        kept = table["id"].map(stain)
        tables.append(table.assign(haematoxylin_mean=kept.fillna(table["haematoxylin_mean"])))
    return pd.concat(tables).sort_values("id", ignore_index=True)


def _table(
    measured: pd.DataFrame,
    nuclei: Sequence[drawn.DrawnNucleus],
    overlay: Overlay,
    mpp: tuple[float, float],
    names: tuple[str, ...],
) -> pd.DataFrame:
    """The table as :class:`Segmentation` has it."""
    by_id = {nucleus.id: nucleus for nucleus in nuclei}
    own = [by_id[number] for number in measured["id"].tolist()]
    table = features.placed(measured, overlay.origin, overlay.step, mpp)
    table["class"] = pd.Categorical([n.name or NUCLEUS for n in own], categories=list(names))
    given: dict[str, np.ndarray] = {
        column: np.array([n.measured.get(name, np.nan) for n in own], np.float32)
        for column, name in export.measurement_names(names).items()
        if column in {"class_probability", "corrected"} or column.startswith("p_")
    }
    given["corrected"] = np.nan_to_num(given["corrected"]) > 0
    table = pd.concat([table, pd.DataFrame(given, index=table.index)], axis=1)
    probabilities = [f"p_{name}" for name in names if table[f"p_{name}"].notna().any()]
    return table[[*COLUMNS, *probabilities]]


def _corners(region: Region) -> np.ndarray:
    """(4, 2) corners of a rectangle in level-0 centre coordinates."""
    y, x, bottom, right = region.y, region.x, region.bottom, region.right
    return np.array([(y, x), (y, right), (bottom, right), (bottom, x)]) - 0.5


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, atol=0.01))
