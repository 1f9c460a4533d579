"""OME-Zarr (NGFF) 0.4 and 0.5 images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zarr

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.kinds import is_zarr
from napari_pathogan.slides import colours, resolution
from napari_pathogan.slides.arrays import ArrayPlane
from napari_pathogan.slides.source import Source

if TYPE_CHECKING:
    from pathlib import Path

_ADVICE = "choose the folder of an OME-Zarr image (it holds zarr.json or .zattrs)"


def open_ngff(path: Path) -> Source:
    """Open an OME-Zarr image: its first multiscale.

    Raises
    ------
    SlideFormatError
        If the folder is not an OME-Zarr image, or is incomplete.
    """
    if not is_zarr(path):
        raise SlideFormatError(f"{path.name} is a folder, not a slide; {_ADVICE}")
    try:
        group = zarr.open_group(path, mode="r")
        group, about = _image(group)
        multiscale = about["multiscales"][0]
        arrays = [_array(group, entry["path"]) for entry in multiscale["datasets"]]
    except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
        raise SlideFormatError(
            f"{path.name} is not a complete OME-Zarr image ({type(error).__name__}: {error}); {_ADVICE}"
        ) from error
    axes = "".join(_axis_name(axis) for axis in multiscale.get("axes") or "tczyx").lower()
    if len(axes) != arrays[0].ndim or not {"y", "x"} <= set(axes):
        raise SlideFormatError(
            f"{path.name} has axes {axes!r}, which are not an image's; {_ADVICE}"
        )
    planes = tuple(ArrayPlane(array, axes) for array in arrays)
    _refuse_fluorescence(path, about, planes[0].samples)
    scales = [_scale(multiscale, entry, axes) for entry in multiscale["datasets"]]
    mpp = _mpp(multiscale, axes, scales[0])
    compressors = [type(c).__name__ for c in getattr(arrays[0], "compressors", ())]
    version = about.get("version") or multiscale.get("version", "")
    return Source(
        planes=planes,
        colours=colours.choose(path.name, planes[0].dtype, planes[0].samples),
        downsamples=_downsamples(planes, scales),
        mpp=mpp,
        mpp_source="OME-NGFF" if mpp else "unknown",
        metadata={
            "format": f"OME-Zarr {version}".strip(),
            "vendor": None,
            "compression": ", ".join(compressors) or "none",
            "name": multiscale.get("name"),
        },
    )


def _image(group: zarr.Group) -> tuple[zarr.Group, dict[str, Any]]:
    """The group that holds the multiscale: this one, or the first series of bioformats2raw."""
    about = _ome(group)
    if "multiscales" not in about and "bioformats2raw.layout" in about:
        child = group["0"]
        assert isinstance(child, zarr.Group), "series 0 is a group in this layout"
        return child, _ome(child)
    return group, about


def _array(group: zarr.Group, path: str) -> zarr.Array:
    found = group[path]
    if not isinstance(found, zarr.Array):
        raise TypeError(f"{path} is a group, not an array")
    return found


def _ome(group: zarr.Group) -> dict[str, Any]:
    attributes = dict(group.attrs)
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def _axis_name(axis: Any) -> str:  # noqa: ANN401 - JSON
    return str(axis["name"]) if isinstance(axis, dict) else str(axis)


def _refuse_fluorescence(path: Path, about: dict[str, Any], samples: int) -> None:
    """Three channels are red, green and blue unless the file gives them other colours."""
    channels = about.get("omero", {}).get("channels", [])
    named = [str(channel.get("color", "")).upper().lstrip("#")[:6] for channel in channels]
    usual = (["FF0000", "00FF00", "0000FF"], ["FFFFFF"] * 3, [""] * 3)
    if samples == 3 and len(named) == 3 and named not in usual:
        raise SlideFormatError(
            f"{path.name} has three channels in the colours {', '.join(named)}, so it is not RGB; "
            "save the channel you want, or an RGB rendering, as its own file"
        )


def _scale(multiscale: dict[str, Any], entry: dict[str, Any], axes: str) -> tuple[float, float]:
    """Size (y, x) of a level's pixel in the units of the axes."""
    y = x = 1.0
    steps = entry.get("coordinateTransformations", [])
    for step in [*steps, *multiscale.get("coordinateTransformations", [])]:
        if step.get("type") == "scale" and len(step["scale"]) == len(axes):
            y *= float(step["scale"][axes.index("y")])
            x *= float(step["scale"][axes.index("x")])
    return y, x


def _mpp(
    multiscale: dict[str, Any], axes: str, scale: tuple[float, float]
) -> tuple[float, float] | None:
    described = multiscale.get("axes") or []
    units = [a.get("unit") if isinstance(a, dict) else None for a in described] or [None] * len(
        axes
    )
    unit = units[axes.index("x")]
    return resolution.from_length(*scale, unit) if isinstance(unit, str) else None


def _downsamples(
    planes: tuple[ArrayPlane, ...], scales: list[tuple[float, float]]
) -> tuple[tuple[float, float], ...] | None:
    """From the scales where they agree with the shapes to a pixel; None otherwise."""
    found = []
    for plane, scale in zip(planes, scales, strict=True):
        if min(*scales[0], *scale) <= 0:
            return None
        step = scale[0] / scales[0][0], scale[1] / scales[0][1]
        reach = (
            s * n - full for s, n, full in zip(step, plane.shape, planes[0].shape, strict=True)
        )
        if any(abs(over) > 1.01 * s for over, s in zip(reach, step, strict=True)):
            return None
        found.append(step)
    return tuple(found)
