"""Writing a slide as a pyramidal OME-Zarr 0.5, tile by tile."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_pathogan.files import written
from napari_pathogan.kinds import MARK, SLIDE, ome_zarr
from napari_pathogan.slides import resample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from napari_pathogan.slides.slide import Slide

_TILE = 512
_WHOLE = {"min": 0, "start": 0, "end": 255, "max": 255}
_RGB: list[Any] = [
    {"label": label, "color": colour, "active": True, "window": _WHOLE}
    for label, colour in (("Red", "FF0000"), ("Green", "00FF00"), ("Blue", "0000FF"))
]
_COARSEST = 1024


def write_slide(
    path: Path, slide: Slide, attributes: Mapping[str, Any] | None = None
) -> Iterator[tuple[int, int]]:
    """Write a slide as OME-Zarr 0.5: (Y, X) or (C, Y, X), each level half the size of the last.

    Each pixel of the slide is read once; memory stays bounded. Closing the generator before its
    end leaves nothing behind.

    Parameters
    ----------
    attributes
        Further attributes of the folder (JSON). ``{"pathogan": {"kind": ...}}`` says what it is,
        ``"slide"`` by default: only a folder of the same kind is replaced. What is to
        know of the slide (`Slide.notes`) is put beside it.

    Yields
    ------
    done, total
        Tiles of level 0 written so far, and in all.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    shapes = [slide.shape]
    while max(shapes[-1]) > _COARSEST:
        shapes.append((math.ceil(shapes[-1][0] / 2), math.ceil(shapes[-1][1] / 2)))
    described = {"kind": SLIDE, **(attributes or {}).get(MARK, {})}
    with written(path, ome_zarr(described["kind"])) as beside:
        group = zarr.open_group(beside, mode="w", zarr_format=3)
        corners = _corners(slide.shape)
        scanned = [(y, x) for y, x in corners if slide.scanned(y, x, _TILE, _TILE)]
        bare = len(corners) - len(scanned)
        levels = [_array(group, str(n), shape, slide, bare > 0) for n, shape in enumerate(shapes)]
        for number, (y, x) in enumerate(scanned):
            size = min(_TILE, slide.shape[0] - y), min(_TILE, slide.shape[1] - x)
            _put(levels[0], y, x, slide.resampled((y, x), (1.0, 1.0), size))
            yield number + 1, len(scanned)
        for number, (finer, coarser) in enumerate(itertools.pairwise(levels), 1):
            _halve(
                finer,
                coarser,
                lambda *place, step=2**number: slide.scanned(*(n * step for n in place)),
            )
            yield len(scanned), len(scanned)
        group.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [_multiscale(slide, len(levels))],
            **({"omero": {"channels": _RGB}} if slide.is_rgb else {}),
        }
        notes = list(slide.notes)  # known only now that all of it was read
        if bare:
            notes.append(
                f"{bare} of {len(corners)} tiles of {slide.name} were never scanned; they are not stored"
            )
        if notes:
            described["notes"] = notes
        group.attrs.update({**(attributes or {}), MARK: described})


def _corners(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Where the tiles of a level begin (y, x)."""
    return [(y, x) for y in range(0, shape[0], _TILE) for x in range(0, shape[1], _TILE)]


def _array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, int],
    slide: Slide,
    bare: bool,  # noqa: FBT001 - whether some of it was never scanned
) -> zarr.Array[Any]:
    colour = (3,) if slide.is_rgb else ()
    return group.create_array(
        name,
        shape=(*colour, *shape),
        chunks=(*colour, *(min(n, _TILE) for n in shape)),
        dtype=slide.dtype,
        fill_value=255 if bare and slide.is_rgb else 0,
        dimension_names=["c", "y", "x"][-2 - len(colour) :],
        config={"write_empty_chunks": True},  # what is missing later was lost, not black
    )


def _put(array: zarr.Array[Any], y: int, x: int, tile: np.ndarray) -> None:
    place = (slice(y, y + tile.shape[0]), slice(x, x + tile.shape[1]))
    array[(..., *place)] = np.moveaxis(tile, -1, 0) if tile.ndim == 3 else tile


def _halve(finer: zarr.Array[Any], coarser: zarr.Array[Any], scanned: Callable[..., bool]) -> None:
    """Means of 2 x 2 pixels; the last row or column of an odd size stands for itself."""
    for y, x in _corners(coarser.shape[-2:]):
        if not scanned(y, x, _TILE, _TILE):
            continue
        part = np.asarray(finer[..., 2 * y : 2 * (y + _TILE), 2 * x : 2 * (x + _TILE)])
        tile = np.moveaxis(part, 0, -1) if part.ndim == 3 else part
        _put(coarser, y, x, resample.halve(tile))


def _multiscale(slide: Slide, levels: int) -> dict[str, Any]:
    colour = [1.0] if slide.is_rgb else []
    channel = [{"name": "c", "type": "channel"}] if colour else []
    unit = {"unit": "micrometer"} if slide.mpp else {}
    y, x = slide.mpp or (1.0, 1.0)
    return {
        "name": slide.name,
        "axes": [*channel, *({"name": axis, "type": "space", **unit} for axis in "yx")],
        "datasets": [
            {
                "path": str(n),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [*colour, y * 2**n, x * 2**n]},
                    {
                        "type": "translation",
                        "translation": [
                            *([0.0] if colour else []), y * (2**n - 1) / 2, x * (2**n - 1) / 2
                        ],
                    },
                ],
            }
            for n in range(levels)
        ],
    }  # fmt: skip
