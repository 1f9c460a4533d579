"""napari reader: whole slides as raw zarr pyramids, in micrometres where the slide says so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
}
SUFFIXES = (*_HEADERS, ".zarr")


def get_reader(path: str | list[str]) -> Reader | None:
    """Give the reader of a slide, or None for what is not one (by its first bytes; no decoding)."""
    paths = [path] if isinstance(path, str) else path
    return read if paths and all(_is_ours(Path(p)) for p in paths) else None


def read(path: str | list[str]) -> list[tuple[Any, dict[str, Any], str]]:
    """Open one slide or several as image layers.

    Raises
    ------
    SlideFormatError
        If a file can't be opened as a slide; says why.
    """
    from napari import current_viewer  # noqa: PLC0415  (slow to import)

    from napari_pathogan.plugin.layers import prepare, slide_layer  # noqa: PLC0415
    from napari_pathogan.slides.slide import Slide  # noqa: PLC0415

    slides = [Slide.open(Path(p)) for p in ([path] if isinstance(path, str) else path)]
    if (viewer := current_viewer()) is not None:
        prepare(viewer, slides)
    return [slide_layer(slide) for slide in slides]


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        return _is_ome_zarr(path)
    starts = _HEADERS.get(path.suffix.lower())
    if starts is None or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(32).startswith(starts)


def _is_ome_zarr(path: Path) -> bool:
    """Whether a folder's metadata name a multiscale image (OME-Zarr 0.4 or 0.5)."""
    for name in (".zattrs", "zarr.json"):
        meta = path / name
        if meta.is_file() and '"multiscales"' in meta.read_text(encoding="utf-8", errors="replace"):
            return True
    return False
