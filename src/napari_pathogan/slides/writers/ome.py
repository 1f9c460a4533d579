"""Writing slides (pyramidal OME-TIFF) and overlays (OME-Zarr 0.5), whole or not at all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tifffile
import zarr

from napari_pathogan.errors import OutputError
from napari_pathogan.files import written
from napari_pathogan.kinds import MARK, FileKind, ome_zarr
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from napari_pathogan.slides.geometry import Overlay

_TILE = 256
_COARSEST = 512
_CHUNK = 512
_WHOLE = 4096  # pixels of a side: up to here, an overlay needs no coarser levels
_BIG = 1 << 31
_SOFTWARE = "napari-pathogan"
_OVERLAYS = "overlays"


def write_ome_tiff(
    path: Path,
    image: Any,  # noqa: ANN401 - any array library
    mpp: float | tuple[float, float] | None = None,
    *,
    name: str | None = None,
    compression: Literal["jpeg", "deflate"] = "jpeg",
    quality: int = 85,
) -> None:
    """Write a tiled, pyramidal OME-TIFF: each level half the size of the one before, as SubIFDs.

    OME-TIFF keeps no downsample factors, so readers take the ratio of the shapes; the levels are
    resampled to exactly that ratio, and nothing drifts at odd sizes.

    Parameters
    ----------
    image
        (Y, X, 3) uint8, or (Y, X) uint8 or uint16: numpy, or a lazy zarr or dask array, which is
        read tile by tile.
    mpp
        um per pixel, or (y, x); None leaves it out.
    name
        Of the image in the OME metadata; the file name if left out.
    compression
        "jpeg" (8 bit only), or "deflate", which loses nothing.
    quality
        Of JPEG, 1 to 100.

    Raises
    ------
    SlideFormatError
        If ``image`` is not an image of one slide.
    OutputError
        If it can't be written.
    """
    with Slide.from_arrays([image], name=name or path.name, mpp=mpp) as slide:
        if compression == "jpeg" and slide.dtype != np.uint8:
            raise OutputError(f"can't write {path}: JPEG holds 8 bits only; choose deflate")
        shapes = [slide.shape]
        while max(shapes[-1]) > _COARSEST:
            shapes.append((math.ceil(shapes[-1][0] / 2), math.ceil(shapes[-1][1] / 2)))
        options = _options(slide, compression, quality)
        size = {"axes": "YXS" if slide.is_rgb else "YX", "Name": slide.name, **_physical(slide)}
        big = 2 * slide.base.nbytes > _BIG
        with (
            written(path, OME_TIFF) as beside,
            tifffile.TiffWriter(beside, bigtiff=big, ome=True) as out,
        ):
            for number, shape in enumerate(shapes):
                out.write(
                    _tiles(slide, shape),
                    shape=(*shape, *slide.base.fill.shape),
                    dtype=slide.dtype,
                    subifds=len(shapes) - 1 if number == 0 else None,
                    subfiletype=1 if number else 0,
                    metadata=size if number == 0 else None,
                    resolution=_resolution(slide, shape),
                    resolutionunit="CENTIMETER" if slide.mpp else None,
                    software=_SOFTWARE,
                    **options,
                )


def write_ome_zarr(
    path: Path,
    overlays: Mapping[str, Overlay],
    mpp: tuple[float, float] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write overlays as one OME-Zarr 0.5 folder: an image each, laid exactly on the slide.

    The folder's own metadata lists all of them, and each subfolder is an OME-Zarr image by itself.
    Coordinates are um (pixels of level 0 where ``mpp`` is None) from the centre of the slide's
    first pixel, as `Overlay.affine` gives them.

    Parameters
    ----------
    overlays
        By name; (Y, X) or (Y, X, 3), numpy or lazy. Booleans are stored as 0 and 1.
    mpp
        um per level-0 pixel (y, x).
    attributes
        Further attributes of the folder (JSON). ``{"pathogan": {"kind": ...}}`` says what it is:
        only a folder of the same kind is replaced.

    Raises
    ------
    OutputError
        If it can't be written; nothing is then left behind.
    """
    described = {"kind": _OVERLAYS, **(attributes or {}).get(MARK, {})}
    with written(path, ome_zarr(described["kind"])) as beside:
        root = zarr.open_group(beside, mode="w", zarr_format=3)
        listed: list[Any] = []
        for name, overlay in overlays.items():
            group = root.create_group(name)
            levels = _copy(overlay.data, group)
            group.attrs["ome"] = {
                "version": "0.5",
                "multiscales": [_multiscale(name, overlay, mpp, levels)],
            }
            listed.append(_multiscale(name, overlay, mpp, levels, folder=f"{name}/"))
        root.attrs["ome"] = {"version": "0.5", "multiscales": listed}
        root.attrs.update({**(attributes or {}), MARK: described})


def _is_own_tiff(path: Path) -> bool:
    with tifffile.TiffFile(path) as file:
        return bool(file.pages.first.software == _SOFTWARE)


OME_TIFF = FileKind("slide (OME-TIFF)", ".ome.tif", _is_own_tiff)


def _copy(data: Any, group: zarr.Group) -> int:  # noqa: ANN401 - any array library
    """Write (Y, X) or (Y, X, 3) as array "0", strip by strip: it may be larger than memory.

    Large ones get coarser levels "1", "2", ..., of every second pixel of the one before (numbers
    of nuclei or classes have no mean). Returns the number of levels.
    """
    height, width, *channels = data.shape
    target = _overlay_array(group, "0", data, (height, width))
    for top in range(0, height, _CHUNK):
        strip = np.asarray(data[top : top + _CHUNK])
        strip = np.moveaxis(strip, -1, 0) if channels else strip
        target[..., top : top + strip.shape[-2], :] = strip
    levels = 1
    while max(height, width) > _WHOLE:
        height, width = -(-height // 2), -(-width // 2)
        finer, target = target, _overlay_array(group, str(levels), data, (height, width))
        for top in range(0, height, _CHUNK):
            strip = np.asarray(finer[..., 2 * top : 2 * (top + _CHUNK), :])[..., ::2, ::2]
            target[..., top : top + strip.shape[-2], :] = strip
        levels += 1
    return levels


def _overlay_array(
    group: zarr.Group,
    name: str,
    data: Any,  # noqa: ANN401 - any array library
    shape: tuple[int, int],
) -> zarr.Array[Any]:
    channels = data.shape[2:]
    return group.create_array(
        name,
        shape=(*channels, *shape),
        dtype=np.uint8 if data.dtype == np.bool_ else data.dtype,
        chunks=(*channels, *(min(max(n, 1), _CHUNK) for n in shape)),
        dimension_names=["c", "y", "x"][-data.ndim :],
    )


def _multiscale(
    name: str,
    overlay: Overlay,
    mpp: tuple[float, float] | None,
    levels: int,
    folder: str = "",
) -> dict[str, Any]:
    scale, translate = overlay.affine(mpp)
    colour = overlay.data.ndim == 3
    unit = {"unit": "micrometer"} if mpp else {}
    channel = [{"name": "c", "type": "channel"}] if colour else []
    one, zero = ([1.0], [0.0]) if colour else ([], [])
    return {
        "name": name,
        "axes": [*channel, *({"name": axis, "type": "space", **unit} for axis in "yx")],
        "datasets": [
            {
                "path": f"{folder}{level}",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [*one, *(s * 2**level for s in scale)]},
                    {"type": "translation", "translation": [*zero, *translate]},
                ],
            }
            for level in range(levels)
        ],
    }


def _tiles(slide: Slide, shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """Tiles of the slide resampled to a shape, row by row; padded at the edges."""
    step = slide.shape[0] / shape[0], slide.shape[1] / shape[1]
    for y in range(0, shape[0], _TILE):
        for x in range(0, shape[1], _TILE):
            yield slide.resampled((y * step[0], x * step[1]), step, (_TILE, _TILE))


def _options(slide: Slide, compression: str, quality: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "tile": (_TILE, _TILE),
        "compression": compression,
        # tifffile turns RGB into subsampled YCbCr by itself for JPEG
        "photometric": "rgb" if slide.is_rgb else "minisblack",
    }
    how = {"compressionargs": {"level": quality}} if compression == "jpeg" else {"predictor": True}
    return {**options, **how}


def _physical(slide: Slide) -> dict[str, object]:
    if slide.mpp is None:
        return {}
    y, x = slide.mpp
    unit = "µm"
    return {
        "PhysicalSizeY": y,
        "PhysicalSizeYUnit": unit,
        "PhysicalSizeX": x,
        "PhysicalSizeXUnit": unit,
    }


def _resolution(slide: Slide, shape: tuple[int, int]) -> tuple[float, float] | None:
    if slide.mpp is None:
        return None
    y, x = (m * full / n for m, full, n in zip(slide.mpp, slide.shape, shape, strict=True))
    return 1e4 / x, 1e4 / y
