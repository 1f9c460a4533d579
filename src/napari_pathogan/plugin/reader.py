"""napari reader: whole slides as raw zarr pyramids, mammograms as grey images in their hanging."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathogan.slides.views import IMAGE_SUFFIXES, is_dicom, is_ome_zarr, named_view

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[[str | list[str]], list[tuple[Any, dict[str, Any], str]]]

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG"
# suffix -> how such a file begins
_HEADERS: dict[str, tuple[bytes, ...]] = {
    **dict.fromkeys((".svs", ".ndpi", ".scn", ".bif", ".tif", ".tiff", ".btf", ".tf8"), _TIFF),
    ".png": (_PNG,),
    **dict.fromkeys((".jpg", ".jpeg", ".mrxs"), (_JPEG,)),
    **dict.fromkeys((".vms", ".vmu"), (b"[Virtual Microscope", b"[Uncompressed Virtual")),
    ".svslide": (b"SQLite format 3",),
    ".pgm": (b"P5", b"P2"),
}
SUFFIXES = (*_HEADERS, ".zarr")
_MOST_FILES = 500  # of a folder that are looked at before it is left to other readers


def get_reader(path: str | list[str]) -> Reader | None:
    """Give the reader of slides and mammograms, or None for what is neither.

    Decided by the first bytes of the files; nothing is decoded.
    """
    paths = [path] if isinstance(path, str) else path
    return read if paths and all(_is_ours(Path(p)) for p in paths) else None


def read(path: str | list[str]) -> list[tuple[Any, dict[str, Any], str]]:
    """Open slides or mammograms as image layers; a folder of mammograms is one study.

    Raises
    ------
    SlideFormatError
        If a file can't be opened; says why.
    """
    from napari_pathogan.plugin.keys import bind_keys  # noqa: PLC0415  (slow to import)

    bind_keys()
    paths = [Path(p) for p in ([path] if isinstance(path, str) else path)]
    if all(is_dicom(p) or (p.is_dir() and not is_ome_zarr(p)) for p in paths):
        return _read_study(paths)
    return [_read_one(p) for p in paths]


def _read_study(paths: list[Path]) -> list[tuple[Any, dict[str, Any], str]]:
    from napari import current_viewer  # noqa: PLC0415  (slow to import)
    from napari.utils.notifications import show_warning  # noqa: PLC0415

    from napari_pathogan.plugin.mammogram_layers import (  # noqa: PLC0415
        prepare_mammograms,
        study_layers,
    )
    from napari_pathogan.slides.mammogram import open_study  # noqa: PLC0415

    study = open_study(paths[0] if len(paths) == 1 else paths)
    if (viewer := current_viewer()) is not None:
        prepare_mammograms(viewer, study.views)
    for line in study.skipped:
        show_warning(line)
    return study_layers(study)


def _read_one(path: Path) -> tuple[Any, dict[str, Any], str]:
    """A slide; a grey image that fits into memory is a mammogram."""
    from napari import current_viewer  # noqa: PLC0415  (slow to import)

    from napari_pathogan.plugin.layers import prepare, slide_layer  # noqa: PLC0415
    from napari_pathogan.plugin.mammogram_layers import (  # noqa: PLC0415
        mammogram_layer,
        prepare_mammograms,
    )
    from napari_pathogan.slides.mammogram import can_be_mammogram, open_mammogram  # noqa: PLC0415
    from napari_pathogan.slides.slide import Slide  # noqa: PLC0415

    viewer = current_viewer()
    slide = Slide.open(path)
    if not can_be_mammogram(slide):
        if viewer is not None:
            prepare(viewer, [slide])
        return slide_layer(slide, viewer)
    slide.close()
    mammogram = open_mammogram(path)
    if viewer is not None:
        prepare_mammograms(viewer, [mammogram])
    return mammogram_layer(mammogram)


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        return is_ome_zarr(path) or _is_study(path)
    if is_dicom(path):
        return True
    starts = _HEADERS.get(path.suffix.lower())
    if starts is None or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(32).startswith(starts)


def _is_study(path: Path) -> bool:
    """Whether a folder holds DICOM files, or images whose names all say a view (``..._R_CC.png``)."""
    files = [one for one in islice(path.rglob("*"), _MOST_FILES) if one.is_file()]
    if any(is_dicom(one) for one in files):
        return True
    images = [one for one in files if one.suffix.lower() in IMAGE_SUFFIXES]
    return bool(images) and all(None not in named_view(one.stem) for one in images)
