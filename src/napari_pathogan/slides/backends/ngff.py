"""OME-Zarr (NGFF) 0.4 and 0.5 images."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import zarr
from zarr.storage import LocalStore

from napari_pathogan.errors import PathoganError, SlideFormatError
from napari_pathogan.kinds import MARK, SLIDE, is_zarr
from napari_pathogan.slides import bounds, colours, resolution
from napari_pathogan.slides.arrays import ArrayPlane, axes_of
from napari_pathogan.slides.backends.beside import is_beside_scan
from napari_pathogan.slides.backends.ngff_layout import image_in, is_level, open_group
from napari_pathogan.slides.channels import Channel, ChannelInfo, are_colour
from napari_pathogan.slides.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.slides.backends.remote_zarr import RemoteStore

_PADDED = 1.25  # how much a padded level may be longer one way than the other
_ADVICE = "choose the folder of an OME-Zarr image (it holds zarr.json or .zattrs)"
_BARE = "is a Zarr array without the metadata of OME-Zarr: it is read as"
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
_HOW = (
    "stain_",
    "virtual_stain",
    "source_stain",
)  # what metadata say of how a slide was made begins so
_ENOUGH = 100_000
_NO_SCALES = ("identity", "translation")  # steps that leave the size of a pixel as it is
_HEAD = 18  # bytes of a chunk that say how large it claims to be
_INCOMPLETE = (
    KeyError, IndexError, TypeError, ValueError, AttributeError, OSError, RecursionError,
    AssertionError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Multiscale:
    """One image of an OME-Zarr folder, as it is stored.

    Attributes
    ----------
    name
        As the file has it; empty where it has none.
    levels
        Zarr arrays, finest first.
    axes
        A letter an axis of theirs, lower case.
    scale, translate
        Of level 0, a number an axis, in the units of the axes.
    units
        Of each axis; None where the file says nothing.
    """

    name: str
    levels: tuple[zarr.Array[Any], ...]
    axes: str
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[str | None, ...]

    @property
    def in_one_plane(self) -> bool:
        """Whether it is in colour, as slides are, or several channels without depth and time."""
        sizes = dict(zip(self.axes, self.levels[0].shape, strict=True))
        channels = max(sizes.get(axis, 1) for axis in "cs")
        deep = any(size > 1 for axis, size in sizes.items() if axis not in "csyx")
        return channels in (3, 4) or (channels > 1 and not deep)

    @property
    def plane(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """``scale`` and ``translate`` of y and x."""
        y, x = self.axes.index("y"), self.axes.index("x")
        return (self.scale[y], self.scale[x]), (self.translate[y], self.translate[x])


def read_multiscales(path: Path) -> tuple[list[Multiscale], dict[str, Any]]:
    """All images that an OME-Zarr folder lists, and the folder's attributes. Reads no pixels.

    Raises
    ------
    SlideFormatError
        If the folder is not OME-Zarr, or is incomplete.
    """
    if not is_zarr(path):
        raise SlideFormatError(f"{path.name} is a folder, not a slide; {_ADVICE}")
    try:
        outer = open_group(path)
        group, about, _ = image_in(path, outer)
        images = [_multiscale(group, listed) for listed in about["multiscales"]]
    except SlideFormatError:
        raise
    except _INCOMPLETE as error:
        raise _incomplete(path, error) from error
    return images, dict(outer.attrs)


def _multiscale(group: zarr.Group, listed: dict[str, Any]) -> Multiscale:
    datasets = listed["datasets"][: bounds.MOST_LEVELS]
    levels = tuple(_array(group, entry["path"]) for entry in datasets)
    axes = "".join(_axis_name(axis) for axis in listed.get("axes") or "tczyx").lower()
    if not _are_axes(axes, levels[0].ndim):
        raise ValueError(f"axes {axes!r} are not an image's")
    scale, translate = np.ones(len(axes)), np.zeros(len(axes))
    first = listed["datasets"][0].get("coordinateTransformations", [])
    for step in [*first, *listed.get("coordinateTransformations", [])]:
        if step.get("type") == "scale":
            factor = np.asarray(step["scale"], float)
            scale, translate = scale * factor, translate * factor
        elif step.get("type") == "translation":
            translate = translate + np.asarray(step["translation"], float)
    units = [a.get("unit") if isinstance(a, dict) else None for a in listed.get("axes") or axes]
    return Multiscale(
        str(listed.get("name") or ""),
        levels,
        axes,
        tuple(scale.tolist()),
        tuple(translate.tolist()),
        tuple(units),
    )


class ZarrPlane(ArrayPlane):
    """A level of an OME-Zarr image; chunks that are not there are told from black ones.

    One that is left out of a file with a fill of its own is of that colour, but where the fill is 0
    nobody knows.

    Parameters
    ----------
    names
        Keys of the chunks that are there, where they are known.
    """

    def __init__(
        self,
        array: zarr.Array[Any],
        axes: str,
        channel: int | None = None,
        names: frozenset[str] | None = None,
    ) -> None:
        super().__init__(array, axes, channel)
        self._names = names
        self.filled = bool(array.fill_value)
        self.lost = self.chunks = 0
        if names is not None and _blank_as_filled(array):
            self.stored = self._stored(names)

    def _stored(self, names: frozenset[str]) -> np.ndarray:
        """(rows, columns) bool: tiles of which some chunk is there."""
        grid = [math.ceil(side / tile) for side, tile in zip(self.shape, self.tile, strict=True)]
        stored = np.zeros(grid, bool)
        all_keys: set[str] = set()
        for row, col in np.ndindex(*grid):
            keys = {key for _, key in self._keys(row, col)}
            stored[row, col] = not names.isdisjoint(keys)
            all_keys |= keys
        self.chunks, self.lost = len(all_keys), len(all_keys - names)
        return stored

    def decode(self, row: int, col: int) -> np.ndarray:
        """A tile (Y, X, samples).

        Raises
        ------
        ValueError
            If no chunk of it is there, or a colour's is not.
        """
        there: dict[tuple[int, int], list[bool]] = {}
        for place, key in self._keys(row, col):
            there.setdefault(place, []).append(_is_there(self._array, key))
        self._check_chunks(row, col)
        pixels = super().decode(row, col)
        if self.filled or all(all(each) for each in there.values()):
            return pixels
        if not any(any(each) for each in there.values()):
            raise ValueError("it is not stored")
        if any(any(each) and not all(each) for each in there.values()):
            raise ValueError("a colour channel is missing")
        self._blank(pixels, (row, col), [place for place, each in there.items() if not any(each)])
        return pixels

    def _blank(
        self, pixels: np.ndarray, tile: tuple[int, int], lost: list[tuple[int, int]]
    ) -> None:
        """Make the parts of a tile glass that are not there, where its colours are bytes."""
        if pixels.dtype != np.uint8 or self.samples < 3:
            return
        size = self._array.shards or self._array.chunks
        sides = [size[self._axes.index(axis)] for axis in "yx"]
        corner = [at * side for at, side in zip(tile, self.tile, strict=True)]
        for place in lost:
            spans = [
                slice(max(at * n - first, 0), max((at + 1) * n - first, 0))
                for at, n, first in zip(place, sides, corner, strict=True)
            ]
            pixels[tuple(spans)] = 255

    def only(self, channel: int) -> ZarrPlane:
        """One channel of it, as a plane by itself."""
        return ZarrPlane(self._array, self._axes, channel, self._names)

    def _check_chunks(self, row: int, col: int) -> None:
        """Check what the chunks of a tile claim, as far as each is a file that is decoded whole."""
        if self._array.shards or not getattr(self._array, "compressors", ()):
            return
        size = math.prod(self._array.chunks) * self.dtype.itemsize
        for _, key in self._keys(row, col):
            begun = _beginning(self._array, key)
            if begun is not None:
                bounds.check_chunk(*begun, size)

    def _keys(self, row: int, col: int) -> Iterator[tuple[tuple[int, int], str]]:
        """Place (row, column) and key of each chunk of a tile."""
        size = self._array.shards or self._array.chunks
        first = {"y": row * self.tile[0], "x": col * self.tile[1]}
        channels = slice(None) if self._channel is None else slice(self._channel, self._channel + 1)
        spans = [
            range(first[a] // n, -(-min(first[a] + self.tile["yx".index(a)], whole) // n))
            if a in first
            else sorted({at // n for at in range(whole)[channels]})
            if a in "cs"
            else [self._focus // n if a == "z" else 0]
            for a, n, whole in zip(self._axes, size, self._array.shape, strict=True)
        ]
        key, y, x = self._array.metadata.encode_chunk_key, *map(self._axes.index, "yx")
        return (((at[y], at[x]), key(at)) for at in itertools.product(*spans))


def _blank_as_filled(array: zarr.Array[Any]) -> bool:
    """Whether chunks that are left out may be shown as blank: filled with nothing, or with white."""
    fill = array.fill_value
    white = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1
    return not fill or bool(fill == white and array.dtype.kind in "uf")


def _chunks_in(array: zarr.Array[Any]) -> frozenset[str] | None:
    """Keys of an array's chunks that are there; None for very many, or at an address: nobody lists them."""
    if not isinstance(array.store, LocalStore):
        return None
    size = array.shards or array.chunks
    if math.prod(-(-side // n) for side, n in zip(array.shape, size, strict=True)) > _ENOUGH:
        return None
    folder, names = _folder(array), set[str]()
    for place, _, files in os.walk(folder):
        below = Path(place).relative_to(folder).as_posix()
        names |= {f"{below}/{file}" if below != "." else file for file in files}
        if len(names) > _ENOUGH:
            return None
    return frozenset(names.difference(_METADATA))


def _plane(name: str, array: zarr.Array[Any], axes: str, *, finest: bool) -> ZarrPlane:
    """A level, if something of it is there."""
    names = _chunks_in(array)
    some = _bytes_of(array) != 0 if names is None else bool(names)
    if finest and not some and _blank_as_filled(array):
        raise SlideFormatError(
            f"{name} holds no pixels: all chunks of its finest level are missing; copy it again from "
            "where it came"
        )
    return ZarrPlane(array, axes, names=names)


def _missing(name: str, plane: ZarrPlane) -> tuple[str, ...]:
    """A sentence on chunks of the finest level that are not there, where that says nothing by itself."""
    if not plane.lost or plane.filled:
        return ()
    said = f"{name} lacks {plane.lost} of {plane.chunks} chunks of level 0: they were empty, or are lost"
    return (f"{said}; what no other level shows of them is left blank",)


def _folder(array: zarr.Array[Any]) -> Path:
    assert isinstance(array.store, LocalStore), "a folder on this computer"
    return array.store.root / array.path


def _most(array: zarr.Array[Any]) -> int:
    """Bytes that a chunk of an array may have as it is stored."""
    if array.shards:
        return bounds.MOST_AT_ONCE
    return bounds.most_of_chunk(math.prod(array.chunks) * array.dtype.itemsize)


def _is_there(array: zarr.Array[Any], key: str) -> bool:
    """Whether a chunk, or a shard of them, is stored."""
    if isinstance(array.store, LocalStore):
        return (_folder(array) / key).is_file()
    store = cast("RemoteStore", array.store)
    key = f"{array.path}/{key}".lstrip("/")
    return store.has_parts(key) if array.shards else store.read(key, _most(array)) is not None


def _beginning(array: zarr.Array[Any], key: str) -> tuple[bytes, int] | None:
    """How a chunk begins, and how many bytes it has; None where it is not stored."""
    if not isinstance(array.store, LocalStore):
        store = cast("RemoteStore", array.store)
        data = store.read(f"{array.path}/{key}".lstrip("/"), _most(array))
        return None if data is None else (data[:_HEAD], len(data))
    file = _folder(array) / key
    if not file.is_file():
        return None
    with file.open("rb") as stream:
        return stream.read(_HEAD), file.stat().st_size


def open_ngff(path: Path, store: RemoteStore | None = None) -> Source:
    """Open an OME-Zarr image: of several multiscales or series, the scan.

    Parameters
    ----------
    store
        Of its files, where ``path`` is an address.

    Raises
    ------
    SlideFormatError
        If the folder is not an OME-Zarr image, or is incomplete.
    """
    if store is None and not is_zarr(path):
        raise SlideFormatError(f"{path.name} is a folder, not a slide; {_ADVICE}")
    try:
        return _source(path, store)
    except PathoganError:
        raise
    except _INCOMPLETE as error:
        raise _incomplete(path, error) from error


def _source(path: Path, store: RemoteStore | None) -> Source:
    if store is None and (array := _picture(path)) is not None:
        return _bare(path, array)
    outer = open_group(path, store)
    group, about, choices = image_in(path, outer)
    multiscale, others = _scan(path.name, about["multiscales"])
    listed = multiscale["datasets"][: bounds.MOST_LEVELS]
    arrays = [_array(group, entry["path"]) for entry in listed]
    axes = "".join(_axis_name(axis) for axis in multiscale.get("axes") or "tczyx").lower()
    if not _are_axes(axes, arrays[0].ndim):
        raise SlideFormatError(
            f"{path.name} has axes {axes!r}, which are not an image's; {_ADVICE}"
        )
    for array in arrays:
        _check(path.name, array, axes)
    _refuse_result(path.name, outer, in_colour=any(a in axes for a in "cs"))
    listed, arrays, left_out = _of_one_image(path.name, multiscale, listed, arrays, axes)
    planes = tuple(_plane(path.name, array, axes, finest=array is arrays[0]) for array in arrays)
    coarsest = _bytes_of(arrays[-1])
    bounds.check_coarsest(path.name, planes[-1].shape, planes[-1].samples, coarsest)
    rule, channels = _read_as(path.name, planes, about)
    scales = [_scale(multiscale, entry, axes) for entry in listed]
    scale = _stated(multiscale, listed[0], axes, scales[0])
    compressors = [type(c).__name__ for c in getattr(arrays[0], "compressors", ())]
    version = about.get("version") or multiscale.get("version", "")
    return Source(
        planes=channels[0].planes if channels else planes,
        colours=rule,
        downsamples=_downsamples(planes, scales),
        mpp=scale.mpp,
        mpp_source=scale.source,
        metadata={
            "format": f"OME-Zarr {version}".strip(),
            "vendor": None,
            "compression": ", ".join(compressors) or "none",
            "name": multiscale.get("name"),
            **_made(outer),
        },
        choices=(*choices, *others, *left_out, *planes[0].choices(path.name)),
        notes=_missing(path.name, planes[0]),
        channels=channels,
    )


def _scan(name: str, listed: list[dict[str, Any]]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The first image of a group that is no picture beside the scan, and a sentence on the others."""
    called = [str(one.get("name") or "") for one in listed]
    read = next((i for i, one in enumerate(called) if not is_beside_scan(one)), 0)
    others = [one or "without a name" for i, one in enumerate(called) if i != read]
    if not others:
        return listed[read], ()
    said = f"{name} holds {len(listed)} images in one group; {called[read] or 'one without a name'} is read"
    return listed[read], (f"{said}, not {', '.join(others[:6])}",)


def _picture(path: Path) -> zarr.Array[Any] | None:
    """An array by itself, of the shape of a picture; None for all other folders."""
    found = zarr.open(path, mode="r")
    if not isinstance(found, zarr.Array) or not axes_of(found.shape) or is_level(path):
        return None
    return found


def is_array(path: Path) -> bool:
    """Whether a folder is a zarr array by itself, of whatever shape."""
    if (path / ".zarray").is_file():
        return True
    meta = path / "zarr.json"
    try:
        return bool(json.loads(meta.read_text(encoding="utf-8"))["node_type"] == "array")
    except _INCOMPLETE:
        return False


def is_bare_picture(path: Path) -> bool:
    """Whether a folder is an array of the shape of a picture; False for what can't be read."""
    try:
        return _picture(path) is not None
    except _INCOMPLETE:
        return False


def _bare(path: Path, array: zarr.Array[Any]) -> Source:
    """A picture without a scale, and without smaller levels."""
    axes = axes_of(array.shape)
    assert axes is not None, "its shape is a picture's"
    _check(path.name, array, axes)
    plane = _plane(path.name, array, axes, finest=True)
    bounds.check_coarsest(path.name, plane.shape, plane.samples, _bytes_of(array))
    rule, channels = _read_as(path.name, (plane,), {})
    shown = "rows and columns" if axes == "yx" else "rows, columns and colours"
    return Source(
        planes=channels[0].planes if channels else (plane,),
        colours=rule,
        metadata={"format": "Zarr array", "vendor": None, "compression": None},
        choices=(f"{path.name} {_BARE} {shown}, and nothing says its scale",),
        notes=_missing(path.name, plane),
        channels=channels,
    )


def _of_one_image(
    name: str,
    multiscale: dict[str, Any],
    listed: list[dict[str, Any]],
    arrays: list[zarr.Array[Any]],
    axes: str,
) -> tuple[list[dict[str, Any]], list[zarr.Array[Any]], list[str]]:
    """The levels that show one image, the finest first, in whatever order they are listed.

    A level that neither its scale nor its shape makes the same image is left out, in a sentence.
    """
    at = axes.index("y"), axes.index("x")
    sides = [tuple(int(array.shape[i]) for i in at) for array in arrays]
    order = sorted(range(len(arrays)), key=lambda i: -math.prod(sides[i]))
    whole, finest = sides[order[0]], _scale(multiscale, listed[order[0]], axes)
    kept, left_out = [], []
    for i in order:
        apart = [a / b for a, b in zip(whole, sides[i], strict=True)]
        scale = _scale(multiscale, listed[i], axes)
        usable = all(0 < side < math.inf for side in (*scale, *finest))
        stated = [a / b for a, b in zip(scale, finest, strict=True)] if usable else apart
        true = usable and all(
            abs(s * n - w) <= s + 1 for s, n, w in zip(stated, sides[i], whole, strict=True)
        )
        if true or max(apart) <= _PADDED * min(apart) or min(sides[i]) == 1:
            kept.append(i)
        else:
            shape = f"{sides[i][1]} x {sides[i][0]} px"
            left_out.append(f"A level of {name} is of another shape ({shape}) and was left out.")
    return [listed[i] for i in kept], [arrays[i] for i in kept], left_out


def _check(name: str, array: zarr.Array[Any], axes: str) -> None:
    """Check what an array claims before any of it is decoded."""
    y, x = axes.index("y"), axes.index("x")
    if array.ndim != len(axes):
        raise SlideFormatError(
            f"{name} has levels of {array.ndim} axes, not {len(axes)}; {_ADVICE}"
        )
    chunk = array.chunks
    others = math.prod(n for at, n in enumerate(chunk) if at not in {y, x})
    depth = others * array.dtype.itemsize
    shape = int(array.shape[y]), int(array.shape[x])
    bounds.check_level(name, shape, (int(chunk[y]), int(chunk[x])), depth)


def _bytes_of(array: zarr.Array[Any]) -> int | None:
    """Bytes of an array's chunks; of very many, those of the first are enough. None at an address."""
    if not isinstance(array.store, LocalStore):
        return None
    folder = array.store.root / array.path
    chunks = (file for file in folder.rglob("*") if file.name not in _METADATA and file.is_file())
    return sum(file.stat().st_size for file in islice(chunks, _ENOUGH))


def _refuse_result(name: str, group: zarr.Group, *, in_colour: bool) -> None:
    """Refuse what an analysis of this project saved: values of a slide, which look like a grey one."""
    about = group.attrs.get(MARK)
    kind = about.get("kind") if isinstance(about, dict) else None
    if kind and kind != SLIDE and not in_colour:
        raise SlideFormatError(
            f"{name} is a result of PathoGAN ({kind}), not a slide; open it in the viewer, which lays it on "
            "its slide"
        )


def _made(group: zarr.Group) -> dict[str, Any]:
    """What this project wrote about an image that it has made: that it is synthetic, and how."""
    about = group.attrs.get("pathogan")
    if not isinstance(about, dict) or not about.get("synthetic"):
        return {}
    return {k: v for k, v in about.items() if k == "synthetic" or k.startswith(_HOW)}


def _incomplete(path: Path, error: Exception) -> SlideFormatError:
    if isinstance(error, KeyError):
        why = f"{error} is missing"
    elif isinstance(error, RecursionError):
        why = "its metadata are nested too deeply"
    elif isinstance(error, TypeError | AttributeError | IndexError | AssertionError):
        why = "its metadata are not built as those of OME-Zarr are"
    else:
        why = str(error)
    return SlideFormatError(f"{path.name} is not a complete OME-Zarr image ({why}); {_ADVICE}")


def _array(group: zarr.Group, path: str) -> zarr.Array[Any]:
    found = group[path]
    if not isinstance(found, zarr.Array):
        raise TypeError(f"{path} is a group, not an array")
    return found


def _are_axes(axes: str, count: int) -> bool:
    """Whether axes can be those of an image: y, x, and others, each once."""
    return len(axes) == count == len(set(axes)) and {"y", "x"} <= set(axes)


def _axis_name(axis: Any) -> str:  # noqa: ANN401 - JSON
    return str(axis["name"]) if isinstance(axis, dict) else str(axis)


def _read_as(
    name: str, planes: tuple[ArrayPlane, ...], about: dict[str, Any]
) -> tuple[colours.Colours, tuple[Channel, ...]]:
    """The colour rule of a slide; or that of one channel, and all channels."""
    dtype, count, said = planes[0].dtype, planes[0].samples, _said(about)
    if count == 1:
        if dtype.kind == "i" or (dtype.kind == "u" and dtype.itemsize > 2):
            raise SlideFormatError(
                f"{name} holds {dtype} values of one channel, labels or measurements, so it is no slide for "
                "an analysis; the viewer shows them as they are"
            )
        return colours.choose(name, dtype, 1, kind="grey"), ()
    bounds.check_channels(name, count)
    if are_colour(said, count, lambda: colours.telling_tiles(name, planes)):
        alpha: colours.Alpha | None = "straight" if count == 4 else None
        return colours.choose(name, dtype, count, kind="rgb", alpha=alpha), ()
    said = said if len(said) == count else [ChannelInfo()] * count
    rule = colours.choose(name, dtype, 1, kind="grey")
    return rule, tuple(
        Channel(said[number], tuple(plane.only(number) for plane in planes), rule)
        for number in range(count)
    )


def _colour(said: object) -> str:
    """RRGGBB; empty for what is no colour."""
    shown = str(said).upper().lstrip("#")[:6]
    return shown if re.fullmatch("[0-9A-F]{6}", shown) else ""


def _said(about: dict[str, Any]) -> list[ChannelInfo]:
    """What the file says of each channel (in its member ``omero``)."""
    omero = about.get("omero")
    listed = omero.get("channels") if isinstance(omero, dict) else None
    return [
        ChannelInfo(str(one.get("label") or ""), _colour(one.get("color")))
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict)
    ]


def _scale(multiscale: dict[str, Any], entry: dict[str, Any], axes: str) -> tuple[float, float]:
    """Size (y, x) of a level's pixel in the units of the axes; NaN where what is said is not understood."""
    y = x = 1.0
    steps = entry.get("coordinateTransformations", [])
    for step in [*steps, *multiscale.get("coordinateTransformations", [])]:
        if step.get("type") in _NO_SCALES:
            continue
        if step.get("type") != "scale" or len(step["scale"]) != len(axes):
            y = x = math.nan
        else:
            y *= float(step["scale"][axes.index("y")])
            x *= float(step["scale"][axes.index("x")])
    return y, x


def _stated(
    multiscale: dict[str, Any], entry: dict[str, Any], axes: str, scale: tuple[float, float]
) -> resolution.Scale:
    described = multiscale.get("axes") or []
    steps = [s for where in (multiscale, entry) for s in where.get("coordinateTransformations", [])]
    if all(step.get("type") in _NO_SCALES for step in steps):
        return resolution.UNSTATED
    if any(map(math.isnan, scale)):
        return resolution.Scale(None, "a scale of OME-NGFF that does not fit its axes")
    units = [str((a.get("unit") if isinstance(a, dict) else None) or "") for a in described]
    if not any(units):
        unsaid = scale == (1.0, 1.0)
        return resolution.UNSTATED if unsaid else resolution.from_length("OME-NGFF", *scale, "")
    y, x = units[axes.index("y")], units[axes.index("x")]
    return resolution.from_length("OME-NGFF", *scale, y or x, x or y)


def _downsamples(
    planes: tuple[ArrayPlane, ...], scales: list[tuple[float, float]]
) -> tuple[tuple[float, float], ...] | None:
    """From the scales where they agree with the shapes to a pixel; None otherwise."""
    found = []
    for plane, scale in zip(planes, scales, strict=True):
        if not all(0 < side < math.inf for side in (*scales[0], *scale)):
            return None
        step = scale[0] / scales[0][0], scale[1] / scales[0][1]
        reach = (
            s * n - full for s, n, full in zip(step, plane.shape, planes[0].shape, strict=True)
        )
        if any(abs(over) > 1.01 * s for over, s in zip(reach, step, strict=True)):
            return None
        found.append(step)
    return tuple(found)
