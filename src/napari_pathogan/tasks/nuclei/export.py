"""Nuclei in the formats that others read: OME-Zarr, CSV, Parquet, GeoJSON (QuPath); and back.

Each file is written whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from shapely import Polygon

from napari_pathogan.annotations import geojson
from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.engine.models import package_versions
from napari_pathogan.engine.saved import reading
from napari_pathogan.files import written
from napari_pathogan.kinds import geojson as geojson_kind
from napari_pathogan.kinds import ome_zarr, parquet, table
from napari_pathogan.slides.backends.ngff import read_multiscales
from napari_pathogan.slides.geometry import Overlay
from napari_pathogan.slides.resolution import positive
from napari_pathogan.slides.writers.ome import write_ome_zarr
from napari_pathogan.tasks.nuclei.segmentation import COLUMNS, SCOPE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pandas as pd
    from shapely import MultiPolygon

    from napari_pathogan.tasks.nuclei.outlines import NucleusOutline
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation

KIND = "nuclei"
MEASUREMENTS = {
    "area_um2": "Area um^2",
    "eccentricity": "Eccentricity",
    "solidity": "Solidity",
    "haematoxylin_mean": "Haematoxylin OD mean",
    "class_probability": "Class probability",
    "corrected": "Corrected",
}
_DECIMALS = 4
_MEASURED = ("x_um", "y_um", "x_px", "y_px", "area_um2")  # what the layers need
_IMPRINT, _SCOPE, _NOTES = (
    "imprint",
    "scope",
    "notes",
)  # further columns, which earlier versions did not write
_SAID = ("class_colour", "slide")  # which Parquet says in its metadata
ZARR, PARQUET = ome_zarr(KIND), parquet(KIND)
CSV = table("nuclei", (*COLUMNS, *_SAID), more=("p_", _IMPRINT, _SCOPE, _NOTES))
GEOJSON = geojson_kind(KIND, without="grid")  # which nuclei have that were kept with a slide


def write_zarr(path: Path, segmentation: Segmentation) -> None:
    """Write the labels as OME-Zarr, laid on the slide in micrometres; with their classes if any.

    ``nuclei`` holds the ids of the table, int32; ``classes`` the number of each pixel's class from
    1 on, uint8. The attributes say what it is: slide, scale and where that came from, model and
    hash, counts, classes and their colours, versions.

    Raises
    ------
    OutputError
        If it can't be written; nothing is left half written.
    """
    overlays = {"nuclei": segmentation.overlay}
    if segmentation.class_model:
        overlays["classes"] = replace(segmentation.overlay, data=segmentation.class_image())
    write_ome_zarr(
        path, overlays, segmentation.mpp, attributes={"pathogan": attributes(segmentation)}
    )


def attributes(segmentation: Segmentation) -> dict[str, Any]:
    """What saved nuclei say about themselves, plain JSON."""
    return {
        "kind": KIND,
        **segmentation.summary(),
        "model_line": segmentation.model_line,
        "origin": list(segmentation.origin),
        "class_names": list(segmentation.class_names),
        "class_colours": list(segmentation.class_colours),
        "versions": package_versions(),
    }


@dataclass(frozen=True, eq=False)
class SavedLabels:
    """Nuclei as :func:`write_zarr` wrote them; no pixel is read before it is looked at.

    Attributes
    ----------
    labels, classes
        Zarr arrays, finest first: the ids int32, and the numbers of the classes uint8, from 1 on.
        The latter is empty without a class model.
    place
        Where level 0 of both lies; its data are those of the labels.
    mpp
        um per level-0 pixel of the slide (y, x).
    about
        What :func:`attributes` said.
    """

    labels: tuple[Any, ...]
    classes: tuple[Any, ...]
    place: Overlay
    mpp: tuple[float, float]
    about: Mapping[str, Any]


def read_zarr(path: Path) -> SavedLabels:
    """Open what :func:`write_zarr` wrote.

    Raises
    ------
    SlideFormatError, ResultFormatError
        If the folder is incomplete or holds something else.
    """
    images, attrs = read_multiscales(path)
    with reading_nuclei(path):
        about = attrs["pathogan"]
        mpp = _pair(about["mpp"])
        by_name = {one.name: one for one in images}
        nuclei, classes = by_name["nuclei"], by_name.get("classes")
        place = Overlay.from_affine(nuclei.levels[0], *nuclei.plane, mpp)
    return SavedLabels(nuclei.levels, classes.levels if classes else (), place, mpp, about)


def read_table(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a table of nuclei, CSV or Parquet, as :func:`write_csv` or :func:`write_parquet` wrote it.

    Returns
    -------
    table
        A row a nucleus; ``class`` is categorical.
    about
        ``slide``, ``imprint`` (text, or None), ``mpp`` (None where there is no nucleus to tell
        it), ``class_names`` and ``class_colours``.

    Raises
    ------
    ResultFormatError
        If it is damaged or something else.
    """
    import pandas as pd  # noqa: PLC0415  (slow to import)
    import pyarrow as pa  # noqa: PLC0415

    with reading_nuclei(path, pa.ArrowException):
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
            return as_saved(table, table.attrs["pathogan"])
        table = pd.read_csv(path, encoding="utf-8-sig")
        pairs = table[["class", "class_colour"]].drop_duplicates()
        names, colours = pairs["class"].tolist(), pairs["class_colour"].tolist()
        about: dict[str, Any] = {
            "slide": str(table["slide"].iloc[0]) if len(table) else "",
            "mpp": None,
        }
        if len(table):
            about["mpp"] = _pair(
                (table[f"{a}_um"] / (table[f"{a}_px"] + 0.5)).median() for a in "yx"
            )
        about[_IMPRINT] = table[_IMPRINT].iloc[0] if len(table) and _IMPRINT in table else None
        table = table.drop(columns=[*_SAID, *({_IMPRINT, _SCOPE, _NOTES} & set(table.columns))])
        about |= {"class_names": names, "class_colours": colours}
        return as_saved(table, about)


def as_saved(table: pd.DataFrame, said: Mapping[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table and what its file says of it, as :func:`read_table` gives them.

    Raises
    ------
    KeyError, TypeError, ValueError
        If something is missing, or of another kind.
    """
    import pandas as pd  # noqa: PLC0415  (slow to import)

    missing = set(COLUMNS) - set(table.columns)
    if missing:
        msg = f"no columns {', '.join(sorted(missing))}"
        raise ValueError(msg)
    names, colours, mpp = said["class_names"], said["class_colours"], said["mpp"]
    table["class"] = table["class"].astype(pd.CategoricalDtype(names))
    table[list(_MEASURED)] = table[list(_MEASURED)].astype(float)
    return table, {
        "slide": said["slide"],
        "mpp": None if mpp is None else _pair(mpp),
        _IMPRINT: said.get(_IMPRINT),
        "class_names": tuple(names),
        "class_colours": tuple(colours),
    }


def _pair(values: Iterable[Any]) -> tuple[float, float]:
    """Um per pixel (y, x)."""
    y, x = values
    pair = positive(y, x)
    if pair is None:
        msg = f"{y} x {x} um is no size of a pixel"
        raise ValueError(msg)
    return pair


def reading_nuclei(path: Path, *more: type[Exception]) -> AbstractContextManager[None]:
    """Say in one sentence what is wrong with a file of nuclei."""
    return reading(path, "does not hold whole nuclei", *more, advice="save them again")


def write_csv(path: Path, segmentation: Segmentation) -> None:
    """Write the table as CSV, a row a nucleus, 4 decimals; with its class's colour, the slide, and what is to know.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    with written(path, CSV) as beside:
        colours = np.array(segmentation.class_colours, object)
        table = segmentation.table.round(_DECIMALS)
        said = (colours[table["class"].cat.codes.to_numpy()], segmentation.slide)
        for at, (column, values) in enumerate(zip(_SAID, said, strict=True), len(COLUMNS)):
            table.insert(at, column, values)
        table[_IMPRINT] = str(segmentation.imprint or "")
        table[_SCOPE] = SCOPE
        table[_NOTES] = " | ".join(segmentation.notes)
        table.to_csv(beside, index=False)


def write_parquet(path: Path, segmentation: Segmentation) -> None:
    """Write the table as Parquet, a row a nucleus; its metadata say what it is.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    found = segmentation.table.copy()
    found.attrs = {"pathogan": attributes(segmentation)}
    with written(path, PARQUET) as beside:
        found.to_parquet(beside, index=False)


def write_geojson(path: Path, segmentation: Segmentation) -> None:
    """Write every nucleus as a QuPath detection; drag the file onto the open slide there.

    Coordinates are level-0 pixels from the slide's upper left corner (x, y), as QuPath has them,
    along the edges of the labels' pixels. Each nucleus carries its class and its measurements.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    geojson.write(path, objects(segmentation, "detection"), attributes(segmentation), GEOJSON)


def objects(segmentation: Segmentation, kind: str) -> Iterator[Annotation]:
    """Each nucleus as an object of QuPath's kind: "detection" or "annotation"."""
    table, names = segmentation.table, measurement_names(segmentation.class_names)
    names = {column: name for column, name in names.items() if column in table}
    measured = table[list(names)].to_numpy(float).round(_DECIMALS)
    called = tuple(names.values())
    ids, codes = table["id"].to_numpy(), table["class"].cat.codes.to_numpy()
    corrected = table["corrected"].to_numpy(bool)
    kinds = list(zip(segmentation.class_names, segmentation.class_colours, strict=True))

    for part in segmentation.neighbours():
        some = list(segmentation.traced(part))
        at = np.searchsorted(ids, [outline.id for outline in some])
        rows, known = measured[at].tolist(), np.isfinite(measured[at]).all(1).tolist()
        whose = zip(some, geometries(some), rows, known, codes[at], corrected[at], strict=True)
        for outline, geometry, row, whole, code, by_hand in whose:
            measurements = dict(zip(called, row, strict=True))
            if not whole:  # JSON has no number for what is not known
                measurements = {name: v for name, v in measurements.items() if isfinite(v)}
            yield Annotation(
                geometry,
                class_name=kinds[code][0],
                colour=kinds[code][1],
                name=str(outline.id),
                kind=kind,
                by="reader" if by_hand else segmentation.model,
                measurements=measurements,
            )


def measurement_names(class_names: Iterable[str]) -> dict[str, str]:
    """Column of the table -> name of the measurement in QuPath."""
    return MEASUREMENTS | {f"p_{name}": f"Probability {name}" for name in class_names}


def geometries(outlines: Sequence[NucleusOutline]) -> list[Polygon | MultiPolygon]:
    """Outlines in level-0 centre coordinates as polygons."""
    parts, valid = [_parts(one) for one in outlines], [one.simple for one in outlines]
    return geojson.outlines(parts, valid, aside=0.5)


def _parts(outline: NucleusOutline) -> list[list[np.ndarray]]:
    """The rings of each part, its holes with it."""
    if len(outline.exteriors) == 1:
        return [[outline.exteriors[0], *outline.holes]]
    parts = [[exterior] for exterior in outline.exteriors]
    for hole in outline.holes:
        # a part is around a hole if it is around a point of a pixel in it
        inner = Polygon(hole).representative_point()
        around = next(part for part in parts if Polygon(part[0]).contains(inner))
        around.append(hole)
    return parts
