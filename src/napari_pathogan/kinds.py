"""Kinds of output, and how an earlier output of a kind is recognised.

An output replaces nothing but an earlier output of its own kind, and that only if nothing else is
lost with it. Every format says itself what it is, in its own metadata: no files are put beside.
What can't be read as such is not ours.
"""

from __future__ import annotations

import csv
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MARK = "pathogan"
"""The key under which metadata say what kind of output something is."""

SLIDE = "slide"
"""What metadata call an image that is a slide itself, not what was found on one."""

ROOM = ".pathogan-"
"""Hidden folders in which outputs are written, before they are put in place, begin so."""

_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}  # what file managers leave in any folder
_HEAD, _TAIL = 4096, 1 << 20  # bytes of a file that are looked at: it may be a slide
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    Image.DecompressionBombError,
)
_CHUNK = re.compile(r"(?P<array>.*)/c(/\d+)*")


@dataclass(frozen=True)
class Kind:
    """A kind of output. One of this plain kind replaces nothing.

    Attributes
    ----------
    name
        What it is called in messages.
    suffix
        That its files or folders have where nobody chose their name.
    """

    name: str = "output"
    suffix: str = ""

    def objection(self, place: Path) -> str:
        """Say why what is at a place may not be replaced; empty if it may, or nothing is there."""
        return "" if _vacant(place) else "is there already; choose another name or move it away"


@dataclass(frozen=True)
class FileKind(Kind):
    """A file. It replaces an empty file, or one that is of its kind; never a folder.

    Attributes
    ----------
    marked
        Whether a file that exists says of itself that it is of this kind.
    """

    marked: Callable[[Path], bool] = lambda _: False

    def objection(self, place: Path) -> str:
        """Say why what is at a place may not be replaced; empty if it may, or nothing is there."""
        if place.is_dir():
            return f"is a folder; {_elsewhere(place, 'a file', self.suffix)}"
        if _vacant(place) or _holds(self.marked, place):
            return ""
        return f"is there already, and is no earlier output of this kind ({self.name}); choose another name"


@dataclass(frozen=True)
class FolderKind(Kind):
    """A folder. It replaces an empty one, or one of its kind that holds nothing else.

    Attributes
    ----------
    owner
        Reads a folder's metadata: whether a file in it, by its name below the folder, belongs to
        it; None if the folder does not say that it is of this kind.
    """

    owner: Callable[[Path], Callable[[str], bool] | None] = lambda _: None

    def objection(self, place: Path) -> str:
        """Say why what is at a place may not be replaced; empty if it may, or nothing is there."""
        if _vacant(place):
            return ""
        if not place.is_dir():
            return f"is a file, where a folder is to come ({self.name}); choose another name"
        belongs = _owner(self, place)
        if belongs is None:
            return (
                f"is a folder, and no earlier output of this kind ({self.name}); "
                f"{_elsewhere(place, 'something', self.suffix)}"
            )
        foreign = next((x for x in _files(place) if not belongs(x)), None)
        if foreign is None:
            return ""
        return f"holds {foreign}, which would be lost; move it away or choose another name"


NEW = Kind()
"""What replaces nothing."""

OURS = FileKind("file", marked=lambda _: True)
"""A file in a folder that is ours: of a run or a study, or the user's data folder."""


def table(
    name: str, columns: Sequence[str], *, more: str | tuple[str, ...] | None = None
) -> FileKind:
    """CSV with just these columns; with ``more``, further ones that begin so."""

    def marked(path: Path) -> bool:
        with path.open(encoding="utf-8", newline="") as stream:
            head = next(csv.reader([stream.readline(_HEAD)]))
        rest = head[len(columns) :]
        own = not rest if more is None else all(column.startswith(more) for column in rest)
        return head[: len(columns)] == list(columns) and own

    return FileKind(f"table of {name}", ".csv", marked)


def record(kind: str) -> FileKind:
    """JSON that begins with its kind."""

    def marked(path: Path) -> bool:
        with path.open("rb") as stream:
            head = stream.read(_HEAD).decode("utf-8", errors="replace")
        begin = re.match(r'\s*\{\s*"kind":\s*', head)
        return begin is not None and _value(head[begin.end() :]) == kind

    return FileKind(f"{kind}, JSON", ".json", marked)


def geojson(kind: str, *, without: str = "") -> FileKind:
    """GeoJSON whose last member says its kind, and has no member ``without``.

    What another program saved does not have this member, and is not ours.
    """

    def marked(path: Path) -> bool:
        with path.open("rb") as stream:
            if not stream.read(_HEAD).lstrip().startswith(b"{"):
                return False
            stream.seek(max(0, path.stat().st_size - _TAIL))
            tail = stream.read().decode("utf-8", errors="replace")
        about = _value(tail.rpartition(f'"{MARK}":')[2].lstrip())
        return bool(about["kind"] == kind and (not without or without not in about))

    return FileKind(f"{kind}, GeoJSON", ".geojson", marked)


def picture(name: str) -> FileKind:
    """PNG whose text names it, as :func:`picture_text` writes it."""

    def marked(path: Path) -> bool:
        with Image.open(path, formats=["PNG"]) as image:
            return bool(image.info.get(MARK) == name)

    return FileKind(name, ".png", marked)


def picture_text(name: str, text: Mapping[str, str] | None = None) -> PngInfo:
    """Text of a PNG that says what it is, for :func:`picture`; and further text."""
    info = PngInfo()
    for key, value in {MARK: name, **(text or {})}.items():
        info.add_text(key, value)
    return info


def web_page(name: str, head: str) -> FileKind:
    """HTML that says near its beginning what made it: ``head``."""

    def marked(path: Path) -> bool:
        with path.open("rb") as stream:
            return head.encode() in stream.read(_HEAD)

    return FileKind(name, ".html", marked)


def parquet(kind: str) -> FileKind:
    """Parquet of pandas whose attributes say its kind."""

    def marked(path: Path) -> bool:
        from pyarrow import parquet as reader  # noqa: PLC0415  (slow to import)

        about = reader.read_schema(path).metadata[b"PANDAS_ATTRS"]
        return bool(json.loads(about)[MARK]["kind"] == kind)

    return FileKind(f"{kind}, Parquet", ".parquet", marked)


def ome_zarr(kind: str) -> FolderKind:
    """OME-Zarr 0.5 whose attributes say its kind; the arrays that it lists belong to it."""

    def owner(folder: Path) -> Callable[[str], bool] | None:
        text = (folder / "zarr.json").read_text(encoding="utf-8")
        attributes = json.loads(text)["attributes"]
        if attributes[MARK]["kind"] != kind:
            return None
        listed = [d["path"] for m in attributes["ome"]["multiscales"] for d in m["datasets"]]
        arrays = {Path(path).as_posix() for path in listed}
        nodes = arrays | {p.as_posix() for path in arrays for p in Path(path).parents}

        def belongs(file: str) -> bool:
            chunk = _CHUNK.fullmatch(file)
            if chunk is not None:
                return chunk["array"] in arrays
            return Path(file).name == "zarr.json" and Path(file).parent.as_posix() in nodes

        return belongs

    return FolderKind(f"{kind}, OME-Zarr", ".ome.zarr", owner)


def is_zarr(path: Path) -> bool:
    """Whether a folder looks like zarr, without opening it."""
    return any((path / name).is_file() for name in ("zarr.json", ".zattrs", ".zgroup", ".zarray"))


def others(folder: Path, kind: FileKind) -> str | None:
    """Name a file in a folder that is not of a kind; None if there is none, or no folder."""
    names = _files(folder) if folder.is_dir() else ()
    return next((name for name in names if not _holds(kind.marked, folder / name)), None)


def _elsewhere(folder: Path, what: str, suffix: str) -> str:
    """Advice where a folder can't be replaced: in it, but never within a zarr."""
    inside, where = (folder.parent, "beside") if is_zarr(folder) else (folder, "in")
    return f"name {what} {where} it, such as {inside / f'result{suffix}'}"


def _vacant(place: Path) -> bool:
    """Whether nothing is there, or an empty file or folder."""
    if place.is_dir():
        return next(place.iterdir(), None) is None
    return not os.path.lexists(place) or (place.is_file() and place.stat().st_size == 0)


def _holds(marked: Callable[[Path], bool], path: Path) -> bool:
    try:
        return path.is_file() and marked(path)
    except _UNREADABLE:
        return False


def _owner(kind: FolderKind, place: Path) -> Callable[[str], bool] | None:
    try:
        return kind.owner(place)
    except _UNREADABLE:
        return None


def _files(folder: Path) -> Iterator[str]:
    """Names below a folder of all that is in it and is no folder; links are not followed."""
    for place, folders, files in os.walk(folder, onerror=_raise):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in (*files, *links):
            if name not in _LITTER:
                yield Path(place, name).relative_to(folder).as_posix()


def _raise(error: OSError) -> None:
    raise error


def _value(text: str) -> Any:  # noqa: ANN401 - JSON
    """The JSON value that a text begins with."""
    return json.JSONDecoder().raw_decode(text)[0]
