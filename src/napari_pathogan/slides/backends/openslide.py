"""Formats of scanner makers that tifffile can't read (MRXS, VMS, BIF, DICOM, ...), through OpenSlide.

OpenSlide is optional: it is imported only when nothing else reads a file.
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.slides import bounds, colours, resolution
from napari_pathogan.slides.backends.dicom import is_whole_slide
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.source import Source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType

    from openslide import OpenSlide

_TILE = 512
_LONGEST_S = 60  # that opening may take
_TRY = """
import sys, openslide
slide = openslide.OpenSlide(sys.argv[1])
slide.read_region((0, 0), slide.level_count - 1, (64, 64))
"""
_tried: set[tuple[str, int, int]] = set()  # files that did not end a process
_PLAIN = "generic-tiff"  # what OpenSlide takes a TIFF for whose maker it does not know


class OpenSlidePlane:
    """A level as OpenSlide gives it: RGBA, empty parts transparent."""

    def __init__(self, handle: _Handle, number: int, areas: list[Region]) -> None:
        slide = handle.slide
        self._handle = handle
        self._number = number
        self._downsample = float(slide.level_downsamples[number])
        width, height = slide.level_dimensions[number]
        self.shape: tuple[int, int] = (height, width)
        self.tile = (_TILE, _TILE)
        # OpenSlide makes what coarse levels lack by itself; only what lies between areas is not there
        self.stored = self._touched(areas) if areas else None

    def _touched(self, areas: list[Region]) -> np.ndarray:
        """Which tiles (row, column) some scanned area reaches into."""
        rows, cols = (-(-side // _TILE) for side in self.shape)
        touched, side = np.zeros((rows, cols), bool), _TILE * self._downsample
        for area in areas:
            top, bottom = int(area.y // side), math.ceil(area.bottom / side)
            left, right = int(area.x // side), math.ceil(area.right / side)
            touched[top : bottom + 1, left : right + 1] = True  # levels may be off by a pixel
        return touched

    def decode(self, row: int, col: int) -> np.ndarray | None:
        """A tile (Y, X, 4); None between scanned areas."""
        if self.stored is not None and not self.stored[row, col]:
            return None
        y, x = row * _TILE, col * _TILE
        place = round(x * self._downsample), round(y * self._downsample)
        size = min(_TILE, self.shape[1] - x), min(_TILE, self.shape[0] - y)
        return self._handle.read(place, self._number, size)


def open_vendor(path: Path, what: str = "") -> Source:
    """Open a slide with OpenSlide.

    Parameters
    ----------
    what
        What OpenSlide is needed for, in a few words.

    Raises
    ------
    SlideFormatError
        If OpenSlide is not installed, does not know the file, or can't read it.
    """
    try:
        import openslide  # noqa: PLC0415 - optional
    except ImportError as error:
        kind = f"has {what}" if what else "is no TIFF, PNG, JPEG or OME-Zarr"
        raise SlideFormatError(
            f"{path.name} {kind}; reading a slide of this kind (BIF, MRXS, VMS, DICOM, ...) needs "
            "OpenSlide: pip install napari-pathogan[slides]"
        ) from error
    _try_first(path, what)
    try:
        handle = _Handle(path, openslide)
        try:
            return _source(path, handle, what)
        except BaseException:
            handle.close()
            raise
    except openslide.OpenSlideUnsupportedFormatError as error:
        if what:
            raise _in_pieces(path, what) from error
        raise SlideFormatError(
            f"{path.name} is not a slide in any format that can be read (SVS, TIFF, OME-TIFF, NDPI, "
            "SCN, BIF, OME-Zarr, MRXS, VMS, DICOM, PNG, JPEG); check that it is the right file"
        ) from error
    except openslide.OpenSlideError as error:
        if what:
            raise _in_pieces(path, what) from error
        if is_whole_slide(path):
            raise SlideFormatError(_dicom_refused(path, str(error))) from error
        raise SlideFormatError(
            f"{path.name} is damaged or incomplete ({error}); copy it again, with all its parts"
        ) from error


def _dicom_refused(path: Path, reason: str) -> str:
    """Why OpenSlide does not read a DICOM slide, and what to do."""
    return (
        f"{path.name} is a DICOM slide that OpenSlide does not read ({reason.rpartition(': ')[2]}); copy it "
        "again with all its files, or export it again as JPEG or JPEG 2000, all of it tiled in full (TILED_FULL), "
        "or as a TIFF"
    )


def _try_first(path: Path, what: str) -> None:
    """Open a slide in a process of its own: on some damaged files OpenSlide ends the process."""
    about = path.stat()
    key = str(path.resolve()), about.st_size, about.st_mtime_ns
    if key in _tried:
        return
    try:
        child = subprocess.run(  # noqa: S603 - our own Python
            [sys.executable, "-I", "-c", _TRY, str(path)],
            capture_output=True,
            timeout=_LONGEST_S,
            check=False,
        )
        well = child.returncode in {0, 1}  # 1: an error that is told of here
    except subprocess.TimeoutExpired:
        well = False
    except OSError:  # no process can be had here
        well = True
    if not well:
        if what:
            raise _in_pieces(path, what)
        raise SlideFormatError(
            f"{path.name} is damaged: OpenSlide, which reads it, fails on it; copy it again, with all "
            "its parts"
        )
    _tried.add(key)


def _in_pieces(path: Path, what: str) -> SlideFormatError:
    return SlideFormatError(
        f"{path.name} has {what}, which OpenSlide can't put together: it is damaged, or of a kind that "
        "it does not know; save it as OME-TIFF with the maker's software"
    )


def _source(path: Path, handle: _Handle, what: str) -> Source:
    import openslide  # noqa: PLC0415 - optional

    slide = handle.slide
    if what and slide.properties.get(openslide.PROPERTY_NAME_VENDOR) == _PLAIN:
        raise _in_pieces(path, what)
    if slide.level_count > bounds.MOST_LEVELS:
        raise SlideFormatError(f"{path.name} claims {slide.level_count} levels; it is damaged")
    for width, height in slide.level_dimensions:
        bounds.check_level(path.name, (height, width), (_TILE, _TILE), 4)
    bounds.check_coarsest(path.name, (height, width), 3, _bytes_of(path))
    about = slide.properties
    sides = about.get(openslide.PROPERTY_NAME_MPP_Y), about.get(openslide.PROPERTY_NAME_MPP_X)
    scale = resolution.UNSTATED if None in sides else resolution.stated("OpenSlide", *sides)
    areas, vendor = _areas(about), about.get(openslide.PROPERTY_NAME_VENDOR)
    profile = slide.color_profile
    return Source(
        planes=tuple(OpenSlidePlane(handle, n, areas) for n in range(slide.level_count)),
        colours=colours.choose(path.name, np.dtype(np.uint8), 4, kind="rgb", alpha="straight"),
        mpp=scale.mpp,
        mpp_source=scale.source,
        icc=profile.tobytes() if profile is not None else None,
        metadata={
            "format": "DICOM" if vendor == "dicom" else path.suffix.lstrip(".").upper(),
            "vendor": vendor.capitalize() if vendor and vendor != "dicom" else None,
            "compression": "by OpenSlide",
        },
        bounds=_bounds(about),
        choices=(f"{path.name} holds {len(areas)} scanned areas, where they lie on the slide",)
        if len(areas) > 1
        else (),
        close=handle.close,
    )


def _areas(about: Mapping[str, str]) -> list[Region]:
    """The scanned areas of a slide, as far as its format lists them."""
    found: list[Region] = []
    while (corner := about.get(f"openslide.region[{len(found)}].x")) is not None:
        side = f"openslide.region[{len(found)}]."
        height, width = int(about[f"{side}height"]), int(about[f"{side}width"])
        found.append(Region(int(about[f"{side}y"]), int(corner), height, width))
    return found


def _bounds(about: Mapping[str, str]) -> Region | None:
    """The rectangle around all that was scanned, if the format says."""
    sides = [about.get(f"openslide.bounds-{side}") for side in ("y", "x", "height", "width")]
    return None if None in sides else Region(*(int(str(side)) for side in sides))


def _bytes_of(path: Path) -> int:
    """Bytes of a slide with all its parts: beside it, or in a folder of its name."""
    parts = [*path.parent.iterdir(), *path.with_suffix("").glob("*")]
    return sum(part.stat().st_size for part in parts if part.is_file())


class _Handle:
    """A slide that is opened anew after an error, which OpenSlide never gets over."""

    def __init__(self, path: Path, openslide: ModuleType) -> None:
        self._path = path
        self._openslide = openslide
        self._lock = threading.Lock()
        self._open = True
        self.slide: OpenSlide = openslide.OpenSlide(path)
        # libdicom ends the process now and then where several threads meet damage at once
        alone = self.slide.properties.get("openslide.vendor") == "dicom"
        self._turn = threading.Lock() if alone else nullcontext()

    def read(self, place: tuple[int, int], level: int, size: tuple[int, int]) -> np.ndarray:
        """Pixels (Y, X, 4) of a level, from a place (x, y) on level 0."""
        with self._turn:
            slide = self.slide
            try:
                return np.asarray(slide.read_region(place, level, size))
            except self._openslide.OpenSlideError:
                with self._lock:
                    if self.slide is slide and self._open:
                        # the last reader closes it
                        self.slide = self._openslide.OpenSlide(self._path)
                raise

    def close(self) -> None:
        with self._lock:
            self._open = False
            self.slide.close()
