"""A heat map in the formats that others read: OME-Zarr, GeoJSON (QuPath), CSV; and back from them.

Each file is written whole or not at all. The report page is in :mod:`napari_pathogan.tasks.idc.page`.
"""

from __future__ import annotations

import csv
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.annotations import geojson
from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.engine.models import package_versions
from napari_pathogan.engine.saved import CellTable, reading
from napari_pathogan.files import written
from napari_pathogan.kinds import geojson as geojson_kind
from napari_pathogan.kinds import ome_zarr, table
from napari_pathogan.slides.backends.ngff import read_multiscales
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.imprint import Imprint
from napari_pathogan.slides.writers.ome import write_ome_zarr
from napari_pathogan.tasks.idc.heatmap import SCOPE, HeatMap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from napari_pathogan.tasks.idc.heatmap import IdcOutline

IDC_COLOUR = "#c8003c"
KIND = "IDC heat map"
COLUMNS = (
    "row", "col", "x_um", "y_um", "probability", "uncertainty", "tissue",
    "x_px", "y_px", "cell_um", "threshold", "slide",
)  # fmt: skip
_NUMBERS = COLUMNS[:-1]
_IMPRINT, _SCOPE = "imprint", "scope"  # further columns, which earlier versions did not write
_ORIGIN = ("origin_y_px", "origin_x_px")
_MODEL, _REFITTED, _NOTES = "model", "refitted", "notes"
_BETWEEN = " | "  # notes
ZARR, GEOJSON, CSV = (
    ome_zarr(KIND),
    geojson_kind(KIND),
    table("IDC cells", COLUMNS, more=(_IMPRINT, *_ORIGIN, _SCOPE, _MODEL, _REFITTED, _NOTES)),
)


def write_zarr(path: Path, heat_map: HeatMap) -> None:
    """Write probability, uncertainty and tissue as OME-Zarr, laid on the slide in micrometres.

    The attributes say what it is: slide, scale and where that came from, model and hash,
    threshold, areas, versions.

    Raises
    ------
    OutputError
        If it can't be written; nothing is left half written.
    """
    overlays = {
        "probability": heat_map.probability,
        "uncertainty": heat_map.uncertainty,
        "tissue": heat_map.tissue,
    }
    write_ome_zarr(path, overlays, heat_map.mpp, attributes={"pathogan": attributes(heat_map)})


def attributes(heat_map: HeatMap) -> dict[str, Any]:
    """What a saved map says about itself, plain JSON."""
    return {
        "kind": KIND,
        **heat_map.summary(),
        "model_line": heat_map.model_line,
        "telling": [list(cell) for cell in heat_map.telling],
        "origin": list(heat_map.origin),
        "versions": package_versions(),
    }


def write_geojson(path: Path, heat_map: HeatMap, *, cells: bool = False) -> None:
    """Write outlines of IDC as QuPath annotations; drag the file onto the open slide there.

    Coordinates are level-0 pixels from the slide's upper left corner (x, y), as QuPath has them.
    Each outline carries its area and its mean probability; with ``cells``, every scored cell
    comes too, as a tile with its probability and uncertainty.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    annotations = map(_annotation, heat_map.outlines())
    tiles = _tiles(heat_map) if cells else ()
    geojson.write(path, chain(annotations, tiles), attributes(heat_map), GEOJSON)


def write_csv(path: Path, heat_map: HeatMap) -> None:
    """Write one row a scored cell: row, col, centre in um, probability, uncertainty, tissue share.

    Then what lays the cells on their slide again: the centre in level-0 centre coordinates, the
    size of a cell, the threshold, the slide's name, where QuPath counts its pixels from, what was
    looked for, by which model (its line), what that was refitted to, and what the reader should know.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    with written(path, CSV) as beside, beside.open("w", newline="", encoding="utf-8") as stream:
        columns = (*COLUMNS, _IMPRINT, *_ORIGIN, _SCOPE, _MODEL, _REFITTED, _NOTES)
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        my, mx = heat_map.mpp
        same = {
            "cell_um": round(heat_map.probability.step[0] * my, 5),
            "threshold": heat_map.threshold,
            "slide": heat_map.slide,
            _IMPRINT: heat_map.imprint or "",
            **dict(zip(_ORIGIN, heat_map.origin, strict=True)),
            _SCOPE: SCOPE,
            _MODEL: heat_map.model_line,
            _REFITTED: heat_map.refitted,
            _NOTES: _BETWEEN.join(heat_map.notes),
        }
        for cell in heat_map.cells():
            centre = {"x_px": cell["x_um"] / mx - 0.5, "y_px": cell["y_um"] / my - 0.5}
            writer.writerow({k: round(v, 5) for k, v in (cell | centre).items()} | same)


def read_zarr(path: Path) -> HeatMap:
    """Read what :func:`write_zarr` wrote.

    Raises
    ------
    SlideFormatError, ResultFormatError
        If the folder is incomplete or holds something else.
    """
    images, attrs = read_multiscales(path)
    with _reading(path):
        about = attrs["pathogan"]
        mpp = (float(about["mpp"][0]), float(about["mpp"][1]))
        laid = {
            one.name: Overlay.from_affine(np.asarray(one.levels[0]), *one.plane, mpp)
            for one in images
        }
        region = about.get("region")
        return HeatMap(
            laid["probability"],
            laid["uncertainty"],
            laid["tissue"],
            mpp,
            float(about["threshold"]),
            mpp_source=str(about.get("mpp_source", "")),
            model=str(about.get("model", "")),
            model_line=str(about.get("model_line", "")),
            model_sha256=str(about.get("model_sha256", "")),
            slide=str(about.get("slide", "")),
            region=Region(*map(int, region)) if region else None,
            notes=tuple(map(str, about.get("notes", ()))),
            imprint=Imprint.read(about.get("imprint")),
            origin=_origin(*about.get("origin", (0.0, 0.0))),
            refitted=str(about.get("refitted", "")),
            telling=tuple((int(row), int(col)) for row, col in about.get("telling", ())),
        )


def read_csv(path: Path) -> HeatMap:
    """Read what :func:`write_csv` wrote: the cells that were scored, and no others.

    Raises
    ------
    ResultFormatError
        If the table is empty, incomplete, or something else.
    """
    with _reading(path):
        table = CellTable.read(path, "no cell was scored")
        column = {name: table.numbers(name) for name in _NUMBERS}
        my, mx = (float(column[f"{a}_um"][0] / (column[f"{a}_px"][0] + 0.5)) for a in "yx")
        step = float(column["cell_um"][0] / my), float(column["cell_um"][0] / mx)
        probability, uncertainty, tissue = (
            table.overlay(column[name].astype(np.float32), step, empty)
            for name, empty in (("probability", np.nan), ("uncertainty", np.nan), ("tissue", 0.0))
        )
        first = table.rows[0]
        return HeatMap(
            probability,
            uncertainty,
            tissue,
            (my, mx),
            float(column["threshold"][0]),
            model_line=first.get(_MODEL) or "",
            slide=table.slide,
            notes=tuple(filter(None, (first.get(_NOTES) or "").split(_BETWEEN))),
            imprint=Imprint.read(first.get(_IMPRINT)),
            origin=_origin(*(first.get(name) or 0 for name in _ORIGIN)),
            refitted=first.get(_REFITTED) or "",
        )


def _reading(path: Path) -> AbstractContextManager[None]:
    return reading(path, f"is not a whole {KIND}")


def _origin(y: float | str, x: float | str) -> tuple[float, float]:
    return float(y), float(x)


def _annotation(outline: IdcOutline) -> Annotation:
    measurements = {
        "IDC area mm^2": outline.idc_mm2,
        "IDC probability": outline.probability,
        "IDC uncertainty": outline.uncertainty,
        "Cells": outline.n_cells,
    }
    return _object((outline.exterior, *outline.holes), "annotation", measurements)


def _tiles(heat_map: HeatMap) -> Iterator[Annotation]:
    """Every scored cell as a QuPath tile."""
    origin, step = np.asarray(heat_map.probability.origin), np.asarray(heat_map.probability.step)
    square = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    limit = heat_map.threshold
    for cell in heat_map.cells():
        corners = origin + np.add(square, (cell["row"], cell["col"])) * step - 0.5
        measurements = {
            "IDC probability": cell["probability"],
            "IDC uncertainty": cell["uncertainty"],
            "Tissue share": cell["tissue"],
        }
        yield _object([corners], "tile", measurements, idc=cell["probability"] >= limit)


def _object(
    rings: Sequence[np.ndarray], kind: str, measurements: dict[str, float], *, idc: bool = True
) -> Annotation:
    """An object whose rings are in centre coordinates."""
    return Annotation(
        geojson.outline([[ring + 0.5 for ring in rings]]),
        class_name="IDC" if idc else "",
        colour=IDC_COLOUR,
        kind=kind,
        measurements={k: round(v, 5) for k, v in measurements.items()},
    )
