"""Where in a Zarr folder the image is: OME-Zarr, series of bioformats2raw, plates, bare arrays."""

from __future__ import annotations

from itertools import count, islice, takewhile
from typing import TYPE_CHECKING, Any

import zarr

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.kinds import is_zarr
from napari_pathogan.slides.backends.beside import is_beside_scan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.slides.backends.remote_zarr import RemoteStore

_MOST_MEMBERS = 500


def open_group(path: Path, store: RemoteStore | None = None) -> zarr.Group:
    """The folder as a group; of its files at an address.

    Raises
    ------
    SlideFormatError
        If the folder is an array by itself.
    """
    found = zarr.open(path if store is None else store, mode="r")
    if isinstance(found, zarr.Array):
        level = store is not None or is_level(path)
        what = "open the folder it lies in" if level else "save it as OME-Zarr"
        raise SlideFormatError(
            f"{path.name} is a Zarr array (shape {found.shape}) without the metadata of OME-Zarr, so "
            f"nothing says what its axes are; {what}"
        )
    return found


def is_level(path: Path) -> bool:
    """Whether a folder lies in an OME-Zarr image, which says what it is a level of."""
    if not is_zarr(path.parent):
        return False
    around = zarr.open(path.parent, mode="r")
    return isinstance(around, zarr.Group) and "multiscales" in ome(around)


def ome(group: zarr.Group) -> dict[str, Any]:
    """What OME-Zarr says of a group, of version 0.4 or 0.5."""
    attributes = dict(group.attrs)
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def image_in(path: Path, group: zarr.Group) -> tuple[zarr.Group, dict[str, Any], tuple[str, ...]]:
    """The group of the image that is opened, what OME-Zarr says of it, and what was left out.

    Of several images that is the largest that is no picture beside the scan (macro, label).

    Raises
    ------
    SlideFormatError
        If it is a plate, a well or holds no image: says what it is, and what to choose instead.
    """
    about = ome(group)
    if about.get("multiscales") is not None:
        return group, about, ()
    if "plate" in about and about["plate"] is not None:
        wells = _paths(about["plate"], "wells")
        first = wells[0] if wells else "A/1"
        raise SlideFormatError(
            f"{path.name} is a plate of {len(wells)} wells, not a slide; choose the folder of one "
            f"field in it, such as {path.name}/{first}/0"
        )
    if "well" in about and about["well"] is not None:
        fields = _paths(about["well"], "images")
        raise SlideFormatError(
            f"{path.name} is a well with {len(fields)} fields; choose the folder of one of them, such "
            f"as {path.name}/{fields[0] if fields else '0'}"
        )
    images = _images(group)
    if not images:
        listed = group.store.supports_listing
        arrays = [name for name, _ in islice(group.arrays(), 5)] if listed else []
        held = f"holds arrays ({', '.join(arrays)})" if arrays else "is a Zarr folder"
        raise SlideFormatError(
            f"{path.name} {held} without the metadata of OME-Zarr that say which of them is an image; "
            "choose the folder of an OME-Zarr image or of one array, or save it as OME-Zarr"
        )
    name, child = max(images.items(), key=lambda item: _rank(*item))
    about = ome(child)
    left = [f"{other} ({_title(images[other])})" for other in images if other != name]
    said = f"image {name} ({_title(child)}) of {len(images)} in {path.name} is read; beside it: "
    more = (f"{said}{', '.join(left[:6])}. To see one, open its folder",) if left else ()
    return child, about, more


def _paths(about: object, member: str) -> list[str]:
    """Where wells of a plate are, or fields of a well, as far as it says so."""
    listed = about.get(member) if isinstance(about, dict) else None
    listed = listed if isinstance(listed, list) else []
    return [str(one["path"]) for one in listed if isinstance(one, dict) and one.get("path")]


def _images(group: zarr.Group) -> dict[str, zarr.Group]:
    return {
        name: child
        for name, child in islice(_groups(group), _MOST_MEMBERS)
        if name != "labels" and ome(child).get("multiscales")
    }


def _groups(group: zarr.Group) -> Iterator[tuple[str, zarr.Group]]:
    """The groups in a group; at an address, which lists nothing, those that bioformats2raw numbers."""
    if group.store.supports_listing:
        yield from group.groups()
        return
    for name in takewhile(group.__contains__, map(str, count())):
        child = group[name]
        if isinstance(child, zarr.Group):
            yield name, child


def _title(image: zarr.Group) -> str:
    return str(ome(image)["multiscales"][0].get("name") or "without a name")[:40]


def _rank(name: str, image: zarr.Group) -> tuple[bool, int]:
    """Scans before the pictures beside them, the largest first."""
    beside = is_beside_scan(f"{name} {_title(image)}")
    level = image[ome(image)["multiscales"][0]["datasets"][0]["path"]]
    assert isinstance(level, zarr.Array), "a dataset is an array"
    return not beside, int(level.shape[-1]) * int(level.shape[-2])
