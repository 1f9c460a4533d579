"""Annotations, and GeoJSON as QuPath and this project write it.

Coordinates in a file are level-0 pixels (x, y) from the upper left corner of what QuPath shows: of the
image, or of its part that was scanned, where a slide's format says. Those of geometries are from the
image's corner; a file of ours says in ``origin`` (y, x) where it counts from. Corners are (y, x), counted from there too: half a pixel less gives centre coordinates.
Areas are valid polygons, read and written: rings that meet or cross themselves are split where they
do, parts that overlap are one.
"""

from __future__ import annotations

import gc
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from shapely import STRtree
from shapely.geometry import GeometryCollection, MultiPolygon, Polygon, shape

from napari_pathogan.errors import ResultFormatError, one_line
from napari_pathogan.files import written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
    from pathlib import Path

    from shapely.geometry.base import BaseGeometry

    from napari_pathogan.kinds import FileKind

    Rings = list[np.ndarray]  # the outer ring, then holes: (N, 2) corners (y, x), not closed

GEOMETRIES = (
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon",
    "GeometryCollection",
)  # fmt: skip
WRONG = (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError)
_WRONG = (*WRONG, RecursionError, shapely.errors.ShapelyError)
_DIGITS = 2  # of a pixel
_AT_ONCE = 4096  # objects that are written at once
_FEWEST = 3  # corners of a ring
_FARTHEST = 1e12  # pixels
_GREATEST = 1e300  # of a measurement; what is no number is no less
_MANY, _TRIED, _MEETING = 500, 64, 100  # corners; sides that are tried; others beside one of them
_AREAS = ("Polygon", "MultiPolygon")
_EARLIER_KIND = re.compile(r"Path(\w+)Object")  # as ids of QuPath before 0.4 say it
_OWN = ("by", "when", "decision")
_EARLIER = ("decision", "score", "box")  # which were once written beside what QuPath knows


@dataclass(frozen=True, eq=False)
class Annotation:
    """One object on an image.

    Attributes
    ----------
    geometry
        Polygons with holes, lines, points: x, y in level-0 pixels.
    class_name, colour
        Its class, and the colour it is drawn in as ``#rrggbb``; empty where it has none.
    name
        The object's own name; empty where it has none.
    kind
        QuPath's kind of object: "annotation", "detection", "cell", "tile", ...
    part
        "nucleus" for the nucleus of a cell, which QuPath writes with the cell; else empty.
    by
        Who or what made it, such as a model's name, or "reader"; empty where nobody knows.
    when
        When that was, ISO 8601; empty where nobody knows.
    decision
        What a reader says of it; empty where nobody was asked.
    measurements
        By name.
    more
        What else this project's own files say of it, plain JSON.
    """

    geometry: BaseGeometry
    class_name: str = ""
    colour: str = ""
    name: str = ""
    kind: str = "annotation"
    part: str = ""
    by: str = ""
    when: str = ""
    decision: str = ""
    measurements: Mapping[str, float] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def polygons(self) -> list[Rings]:
        """Each as its rings, (N, 2) corners (y, x), not closed: the outer one, then holes."""
        return [
            [_corners(ring)[:-1] for ring in (one.exterior, *one.interiors)]
            for one in _parts(self.geometry)
            if isinstance(one, Polygon)
        ]

    @cached_property
    def lines(self) -> list[np.ndarray]:
        """(N, 2) corners (y, x) each."""
        return [_corners(one) for one in _parts(self.geometry) if one.geom_type == "LineString"]

    @cached_property
    def points(self) -> np.ndarray:
        """(N, 2), (y, x)."""
        found = [_corners(one) for one in _parts(self.geometry) if one.geom_type == "Point"]
        return np.concatenate(found) if found else np.zeros((0, 2))

    def properties(self) -> dict[str, Any]:
        """It but for its geometry, as QuPath reads it; what QuPath does not know is in ``pathogan``."""
        properties: dict[str, Any] = {"objectType": self.kind}
        if self.name:
            properties["name"] = self.name
        if self.class_name:
            colour = {"color": rgb(self.colour)} if self.colour else {}  # QuPath chooses one
            properties["classification"] = {"name": self.class_name, **colour}
        if self.measurements:
            properties["measurements"] = self.measurements
        own = {key: said for key in _OWN if (said := getattr(self, key))}
        if self.more:
            own |= self.more
        if own:
            properties["pathogan"] = own
        return properties


def read(
    path: Path, origin: tuple[float, float] = (0.0, 0.0)
) -> tuple[list[Annotation], dict[str, Any]]:
    """The objects of a file, and what it says about itself (``pathogan``; empty in other files).

    A file may hold a collection, one feature, one geometry, or an array of them, as QuPath writes
    it. What is empty is left out.

    Parameters
    ----------
    origin
        Where files that don't say count from: the slide's :func:`~napari_pathogan.slides.polygons.corner`.

    Raises
    ------
    ResultFormatError
        If it can't be read, or is not GeoJSON.
    """
    try:
        with _uncollected():
            content = json.loads(path.read_bytes())
            features = [one for listed in _listed(content) for one in parse(listed)]
        about = content.get("pathogan") if isinstance(content, dict) else None
        about = about if isinstance(about, dict) else {}
        y, x = map(float, about.get("origin", (0, 0)) if about else origin)
        if not np.isfinite([y, x]).all():
            msg = "it counts from nowhere"
            raise ValueError(msg)
        return (_moved(features, y, x) if y or x else features), about
    except (OSError, *_WRONG) as error:
        raise _no_geojson(path, error) from error


def crossing(path: Path) -> int:
    """How many outlines of a file that :func:`read` reads cross or touch themselves."""
    content = json.loads(path.read_bytes())
    given = [one["geometry"] for one in _listed(content) if one.get("geometry")]
    drawn = [_area(one) for one in given if one["type"] in _AREAS]
    return int((~shapely.is_valid(drawn)).sum())


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without collections of garbage: of millions of new lists none is, and each takes seconds."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def write(
    path: Path, annotations: Iterable[Annotation], about: Mapping[str, Any], kind: FileKind
) -> None:
    """Write annotations some at a time: there may be more of them than memory holds.

    Parameters
    ----------
    about
        What the file says of itself, plain JSON; with ``origin``, where it counts from.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    with (
        written(path, kind) as beside,
        beside.open("w", encoding="utf-8") as stream,
        _uncollected(),
    ):
        stream.write('{"type": "FeatureCollection", "features": [')
        between, rest = "\n", iter(annotations)
        y, x = about.get("origin", (0, 0))
        while some := list(islice(rest, _AT_ONCE)):
            some = _moved(some, -y, -x) if y or x else some
            stream.write(between + ",\n".join(_features(some)))
            between = ",\n"
        stream.write(f'\n], "pathogan": {json.dumps(about, allow_nan=False)}}}')


def _moved(annotations: Sequence[Annotation], y: float, x: float) -> list[Annotation]:
    """The same by so many pixels further down and to the right."""
    geometries = np.array([one.geometry for one in annotations], object)
    moved = shapely.transform(geometries, lambda corners: np.add(corners, (x, y)))
    return [replace(one, geometry=to) for one, to in zip(annotations, moved, strict=True)]


def _features(annotations: Sequence[Annotation]) -> Iterator[str]:
    """Each as a feature; shapely's own text is much faster than a dictionary on the way."""
    geometries = shapely.to_geojson([one.geometry for one in annotations])
    encode = json.JSONEncoder(allow_nan=False).encode
    for one, geometry in zip(annotations, geometries, strict=True):
        properties = encode(one.properties())
        yield f'{{"type": "Feature", "geometry": {geometry}, "properties": {properties}}}'


def parse(feature: Mapping[str, Any]) -> Iterator[Annotation]:
    """An object as QuPath writes it, and its nucleus if it is a cell.

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError, AttributeError, ShapelyError
        If it is not as GeoJSON has it.
    """
    properties = feature.get("properties") or {}
    class_name, colour = classification(properties.get("classification"))
    earlier = {key: properties[key] for key in _EARLIER if key in properties}
    more = earlier | dict(properties.get("pathogan") or {})
    about: dict[str, Any] = {
        "name": one_line(str(properties.get("name") or "")),
        "class_name": class_name,
        "colour": colour or colour_of(properties),
        "kind": _kind(feature, properties),
        "measurements": _measurements(properties.get("measurements")),
        **{key: one_line(str(more.pop(key, ""))) for key in _OWN},
        "more": more,
    }
    for part, given in (("", feature["geometry"]), ("nucleus", feature.get("nucleusGeometry"))):
        if given:
            geometry = _geometry(given)
            if not geometry.is_empty:
                yield Annotation(geometry, part=part, **about)


def outline(parts: Sequence[Sequence[np.ndarray]]) -> Polygon | MultiPolygon:
    """A polygon, or several, of rings of (N, 2) corners (y, x), to hundredths of a pixel."""
    return outlines([parts])[0]


def outlines(
    many: Sequence[Sequence[Sequence[np.ndarray]]],
    valid: Sequence[bool] | None = None,
    *,
    aside: float = 0.0,
) -> list[Polygon | MultiPolygon]:
    """The polygons of many objects, as of :func:`outline`: much faster at once than one by one.

    Parameters
    ----------
    valid
        Of each, whether its rings are known not to meet: to find out takes as long as all else.
    aside
        What is added to all coordinates.
    """
    polygons = [part for parts in many for part in parts]
    rings = [ring for part in polygons for ring in part]
    corners = (np.concatenate(rings)[:, ::-1] + float(aside)).round(_DIGITS)
    drawn = shapely.linearrings(corners, indices=_numbers(rings))
    areas = shapely.polygons(drawn, indices=_numbers(polygons))
    first = np.cumsum([0, *(len(parts) for parts in many)])
    whole = areas[first[:-1]]
    several = np.diff(first) > 1
    if several.any():
        parts = areas[np.repeat(several, np.diff(first))]
        which = np.repeat(np.arange(several.sum()), np.diff(first)[several])
        whole[several] = shapely.multipolygons(parts, indices=which)
    unsure = np.arange(len(many)) if valid is None else np.flatnonzero(~np.asarray(valid, bool))
    for i in unsure[~shapely.is_valid(whole[unsure])]:
        whole[i] = _valid(whole[i])
    found: list[Polygon | MultiPolygon] = whole.tolist()
    return found


def _numbers(lists: Sequence[Sized]) -> np.ndarray:
    """Which list each of their elements is of."""
    return np.repeat(np.arange(len(lists)), [len(one) for one in lists])


def _valid(area: BaseGeometry) -> BaseGeometry:
    """An area whose rings may meet or cross themselves or each other, as valid polygons."""
    whole = [_untangled(one) for one in _parts(area) if isinstance(one, Polygon)]
    made = whole[0] if len(whole) == 1 else shapely.union_all(whole)
    parts = [one for one in _parts(made) if isinstance(one, Polygon) and not one.is_empty]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _untangled(area: Polygon) -> BaseGeometry:
    """A polygon whose rings may meet or cross themselves, less what its holes enclose.

    Each ring by itself: of a hole that lies beside its polygon, GEOS would make an area.
    """
    rings = [Polygon(ring) for ring in (area.exterior, *area.interiors)]
    shell, *holes = shapely.make_valid(rings, method="structure", keep_collapsed=False)
    return shapely.difference(shell, shapely.union_all(holes)) if holes else shell


def _kind(feature: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    """The kind of object, as this QuPath or an earlier one says it."""
    kind = properties.get("objectType") or properties.get("object_type")
    earlier = _EARLIER_KIND.fullmatch(str(feature.get("id", "")))
    return one_line(str(kind or (earlier[1].lower() if earlier else "")))


def classification(given: object) -> tuple[str, str]:
    """Name and colour ``#rrggbb`` of a class; others give the name alone, or its parts.

    Raises
    ------
    ValueError
        If a name is no text.
    """
    about = given if isinstance(given, dict) else {"name": given}
    name = about.get("name") or about.get("names") or ""  # names: of a derived class
    parts = name if isinstance(name, list) else [name]
    if any(isinstance(part, dict | list) for part in parts):
        msg = "the name of a class is no text"
        raise ValueError(msg)
    return ": ".join(one_line(str(part)) for part in parts), colour_of(about)


def colour_of(given: Mapping[str, Any]) -> str:
    """``#rrggbb`` of ``color`` ([r, g, b]) or ``colorRGB`` (a packed integer); empty for neither."""
    listed, packed = given.get("color"), given.get("colorRGB")
    try:
        if isinstance(listed, list) and len(listed) >= 3:
            return f"#{bytes(int(c) for c in listed[:3]).hex()}"
        return f"#{packed & 0xFFFFFF:06x}" if isinstance(packed, int) else ""
    except (TypeError, ValueError, OverflowError):
        return ""  # no colour that there is


@cache
def rgb(colour: str) -> list[int]:
    """``#d62728`` as QuPath has it: [214, 39, 40]."""
    return list(bytes.fromhex(colour.removeprefix("#")))


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


def _geometry(given: Mapping[str, Any]) -> BaseGeometry:
    kind = given["type"]
    if kind == "GeometryCollection":
        return GeometryCollection([_geometry(one) for one in given["geometries"]])
    if kind not in GEOMETRIES:
        msg = f"no geometry, but {kind!r}"
        raise ValueError(msg)
    if kind in _AREAS:
        geometry = _area(given)
    else:
        coordinates = given["coordinates"]
        if kind.startswith("Multi"):
            coordinates = [one for one in coordinates if len(one)]
        geometry = shapely.force_2d(shape({"type": kind, "coordinates": coordinates}))
    _somewhere(shapely.get_coordinates(geometry))
    if kind not in _AREAS or geometry.is_valid:
        return geometry
    if _tangled(geometry):
        msg = "an outline crosses itself nearly everywhere"
        raise ValueError(msg)
    return _valid(geometry)


def _area(given: Mapping[str, Any]) -> Polygon | MultiPolygon:
    """An area as it is drawn, valid or not, without parts and holes that enclose nothing."""
    coordinates = given["coordinates"]
    if given["type"] == "Polygon":
        coordinates = [coordinates]
    polygons = [one for one in coordinates if len(one)]
    if any(len(outer) < _FEWEST for outer, *_ in polygons):
        msg = f"an outline of fewer than {_FEWEST} corners"
        raise ValueError(msg)
    parts = [Polygon(*_drawn(outer, holes)) for outer, *holes in polygons]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _tangled(area: BaseGeometry) -> bool:
    """Whether its sides cross each other so often that nobody drew it: to part them takes minutes."""
    corners = shapely.get_coordinates(area)
    if len(corners) < _MANY:
        return False
    sides = shapely.linestrings(np.stack([corners[:-1], corners[1:]], 1))
    some = sides[:: -(-len(sides) // _TRIED)]
    return bool(len(STRtree(sides).query(some)[0]) > _MEETING * len(some))


def _drawn(outer: list[Any], holes: list[list[Any]]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Rings as (N, 2) of (x, y); as arrays they become polygons much faster."""
    first, *others = (
        _somewhere(_corners_of(ring)) for ring in (outer, *holes) if len(ring) >= _FEWEST
    )
    return first, others


def _corners_of(ring: list[Any]) -> np.ndarray:
    """(N, 2) of (x, y); some programs give a height to some of them."""
    try:
        return np.asarray(ring, float)[:, :2]
    except ValueError:
        return np.asarray([corner[:2] for corner in ring], float)


def _somewhere(corners: np.ndarray) -> np.ndarray:
    """Corners, if an image could reach so far."""
    if not (np.abs(corners) < _FARTHEST).all():
        msg = "a corner is nowhere"
        raise ValueError(msg)
    return corners


def _parts(geometry: BaseGeometry) -> Iterator[BaseGeometry]:
    """Polygons, lines and points, one by one."""
    for one in getattr(geometry, "geoms", [geometry]):
        if one is geometry:
            yield one
        else:
            yield from _parts(one)


def _corners(geometry: BaseGeometry) -> np.ndarray:
    """(N, 2) of (y, x)."""
    return shapely.get_coordinates(geometry)[:, ::-1]


def _measurements(given: Any) -> dict[str, float]:  # noqa: ANN401 - JSON
    """By name; older QuPath lists pairs of name and value."""
    if isinstance(given, list):
        given = {one["name"]: one.get("value") for one in given}
    pairs = (given or {}).items()
    return {
        one_line(str(name)): float(v)
        for name, v in pairs
        if isinstance(v, int | float) and abs(v) < _GREATEST
    }


def _no_geojson(path: Path, error: Exception) -> ResultFormatError:
    if isinstance(error, OSError):
        why = error.strerror or str(error)
    elif isinstance(error, RecursionError):
        why = "it is nested too deeply"
    elif isinstance(error, UnicodeDecodeError):
        why = "it is no text; unpack it if it is compressed"
    elif isinstance(error, KeyError):
        why = f"{error} is missing"
    elif isinstance(error, TypeError | AttributeError | IndexError):
        why = "it is not built as GeoJSON is"
    else:
        why = str(error)
    return ResultFormatError(
        f"{path.name} can't be read as GeoJSON ({why}); export it again from where it came"
    )
