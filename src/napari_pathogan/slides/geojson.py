"""GeoJSON as QuPath and this project write it: outlines on a slide with classes and measurements.

Coordinates in a file are level-0 pixels (x, y) from the slide's upper left corner. What is read is
(y, x), still counted from that corner: half a pixel less gives centre coordinates.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.errors import ResultFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    Rings = list[np.ndarray]  # the outer ring, then holes: (N, 2) corners (y, x), not closed

GEOMETRIES = (
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon",
    "GeometryCollection",
)  # fmt: skip
_WRONG = (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError)


@dataclass(frozen=True, eq=False)
class Feature:
    """One object of a file.

    Attributes
    ----------
    polygons
        Each as its rings, (N, 2) corners (y, x), not closed: the outer one, then holes.
    lines
        (N, 2) corners (y, x) each.
    points
        (N, 2), (y, x).
    name
        The object's own name; empty where it has none.
    class_name, colour
        Its class, and the colour it is drawn in as ``#rrggbb``; empty where it has none.
    kind
        QuPath's kind of object: "annotation", "detection", "cell", "tile", ...
    part
        "nucleus" for the nucleus of a cell, which QuPath writes with the cell; else empty.
    measurements
        By name.
    """

    polygons: list[Rings] = field(default_factory=list)
    lines: list[np.ndarray] = field(default_factory=list)
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    name: str = ""
    class_name: str = ""
    colour: str = ""
    kind: str = ""
    part: str = ""
    measurements: Mapping[str, float] = field(default_factory=dict)


def read(path: Path) -> tuple[list[Feature], dict[str, Any]]:
    """The objects of a file, and what it says about itself (``pathogan``; empty in other files).

    A file may hold a collection, one feature, one geometry, or an array of them, as QuPath writes
    it. What is empty is left out.

    Raises
    ------
    ResultFormatError
        If it can't be read, or is not GeoJSON.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        about = content.get("pathogan") if isinstance(content, dict) else None
        features = [one for listed in _listed(content) for one in parse(listed)]
    except (OSError, *_WRONG) as error:
        raise _no_geojson(path, error) from error
    return features, about if isinstance(about, dict) else {}


def parse(feature: Mapping[str, Any]) -> Iterator[Feature]:
    """An object as QuPath writes it, and its nucleus if it is a cell.

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError, AttributeError
        If it is not as GeoJSON has it.
    """
    properties = feature.get("properties") or {}
    class_name, colour = classification(properties.get("classification"))
    about: dict[str, Any] = {
        "name": str(properties.get("name") or ""),
        "class_name": class_name,
        "colour": colour or colour_of(properties),
        "kind": str(properties.get("objectType") or properties.get("object_type") or ""),
        "measurements": _measurements(properties.get("measurements")),
    }
    for part, geometry in (("", feature["geometry"]), ("nucleus", feature.get("nucleusGeometry"))):
        if geometry:
            shapes = _shapes(geometry)
            if shapes.polygons or shapes.lines or len(shapes.points):
                yield Feature(shapes.polygons, shapes.lines, shapes.points, part=part, **about)


def polygons(geometry: Mapping[str, Any]) -> list[Rings]:
    """The polygons of a geometry as rings (N, 2) of (y, x); none for points and lines.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is not as GeoJSON has it.
    """
    return _shapes(geometry).polygons


def classification(given: object) -> tuple[str, str]:
    """Name and colour ``#rrggbb`` of a class; older QuPath gives the name alone."""
    if not isinstance(given, dict):
        return str(given or ""), ""
    names = given.get("names")  # of a derived class, from QuPath 0.5 on
    name = given.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else "")
    return str(name or ""), colour_of(given)


def colour_of(given: Mapping[str, Any]) -> str:
    """``#rrggbb`` of ``color`` ([r, g, b]) or ``colorRGB`` (a packed integer); empty for neither."""
    listed, packed = given.get("color"), given.get("colorRGB")
    if isinstance(listed, list) and len(listed) >= 3:
        return f"#{bytes(int(c) for c in listed[:3]).hex()}"
    return f"#{packed & 0xFFFFFF:06x}" if isinstance(packed, int) else ""


def _listed(content: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - JSON
    """Features; bare geometries become some."""
    if isinstance(content, list):
        for one in content:
            yield from _listed(one)
    elif content["type"] == "FeatureCollection":
        yield from content["features"]
    elif content["type"] in GEOMETRIES:
        yield {"geometry": content}
    elif content["type"] == "Feature":
        yield content
    else:
        msg = f"no feature or geometry, but {content['type']!r}"
        raise ValueError(msg)


def _shapes(geometry: Mapping[str, Any]) -> Feature:
    kind = geometry["type"]
    if kind == "GeometryCollection":
        parts = [_shapes(one) for one in geometry["geometries"]]
        points = [one.points for one in parts] or [np.zeros((0, 2))]
        return Feature(
            [p for one in parts for p in one.polygons],
            [line for one in parts for line in one.lines],
            np.concatenate(points),
        )
    if kind not in GEOMETRIES:
        msg = f"no geometry, but {kind!r}"
        raise ValueError(msg)
    coordinates = geometry["coordinates"]
    several = coordinates if kind.startswith("Multi") else [coordinates]
    several = [one for one in several if len(one)]
    match kind.removeprefix("Multi"):
        case "Polygon":
            return Feature([[_ring(ring) for ring in rings] for rings in several])
        case "LineString":
            return Feature(lines=[_corners(line, 2) for line in several])
        case _:
            return Feature(points=_corners(several, 1)) if several else Feature()


def _ring(points: Sequence[Sequence[float]]) -> np.ndarray:
    """Closed (x, y) -> (N, 2) of (y, x), not closed."""
    ring = _corners(points, 3)
    return ring[:-1] if np.array_equal(ring[0], ring[-1]) else ring


def _corners(points: Sequence[Sequence[float]], least: int) -> np.ndarray:
    """(x, y) -> (N, 2) of (y, x); a third coordinate is left out."""
    corners = np.asarray(points, float)[:, 1::-1]
    if corners.shape[1:] != (2,) or len(corners) < least or not np.isfinite(corners).all():
        msg = f"an outline needs {least} points of two numbers"
        raise ValueError(msg)
    return corners


def _measurements(given: Any) -> dict[str, float]:  # noqa: ANN401 - JSON
    """By name; older QuPath lists pairs of name and value."""
    if isinstance(given, list):
        given = {one["name"]: one.get("value") for one in given}
    pairs = (given or {}).items()
    return {str(name): float(v) for name, v in pairs if isinstance(v, int | float)}


def _no_geojson(path: Path, error: Exception) -> ResultFormatError:
    if isinstance(error, OSError):
        why = error.strerror or str(error)
    elif isinstance(error, RecursionError):
        why = "it is nested too deeply"
    elif isinstance(error, KeyError):
        why = f"{error} is missing"
    else:
        why = str(error)
    return ResultFormatError(
        f"{path.name} can't be read as GeoJSON ({why}); export it again from where it came"
    )
