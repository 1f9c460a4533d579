"""Formats of scanner makers that tifffile can't read (MRXS, VMS, ...), through OpenSlide.

OpenSlide is optional: it is imported only when nothing else reads a file.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.slides import colours, resolution
from napari_pathogan.slides.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from openslide import OpenSlide

_TILE = 512


class OpenSlidePlane:
    """A level as OpenSlide gives it: RGBA, empty parts transparent."""

    stored: np.ndarray | None = None  # OpenSlide fills what coarse levels lack by itself

    def __init__(self, slide: OpenSlide, number: int) -> None:
        self._slide = slide
        self._number = number
        self._downsample = float(slide.level_downsamples[number])
        width, height = slide.level_dimensions[number]
        self.shape: tuple[int, int] = (height, width)
        self.tile = (_TILE, _TILE)

    def decode(self, row: int, col: int) -> np.ndarray:
        """A tile (Y, X, 4)."""
        y, x = row * _TILE, col * _TILE
        place = round(x * self._downsample), round(y * self._downsample)
        size = min(_TILE, self.shape[1] - x), min(_TILE, self.shape[0] - y)
        return np.asarray(self._slide.read_region(place, self._number, size))


def open_vendor(path: Path) -> Source:
    """Open a slide with OpenSlide.

    Raises
    ------
    SlideFormatError
        If OpenSlide is not installed, does not know the file, or can't read it.
    """
    try:
        import openslide  # noqa: PLC0415 - optional
    except ImportError as error:
        raise SlideFormatError(
            f"{path.name} is no TIFF, PNG, JPEG or OME-Zarr; if it is a slide of another kind "
            "(MRXS, VMS, ...), reading it needs OpenSlide: pip install napari-pathogan[slides]"
        ) from error
    try:
        slide = openslide.OpenSlide(path)
        try:
            return _source(path, slide)
        except BaseException:
            slide.close()
            raise
    except openslide.OpenSlideUnsupportedFormatError as error:
        raise SlideFormatError(
            f"{path.name} is not a slide in any format that can be read (SVS, TIFF, OME-TIFF, NDPI, "
            "SCN, OME-Zarr, MRXS, VMS, PNG, JPEG); check that it is the right file"
        ) from error
    except openslide.OpenSlideError as error:
        raise SlideFormatError(
            f"{path.name} is damaged or incomplete ({error}); copy it again, with all its parts"
        ) from error


def _source(path: Path, slide: OpenSlide) -> Source:
    import openslide  # noqa: PLC0415 - optional

    about = slide.properties
    sides = about.get(openslide.PROPERTY_NAME_MPP_Y), about.get(openslide.PROPERTY_NAME_MPP_X)
    scale = resolution.UNSTATED if None in sides else resolution.stated("OpenSlide", *sides)
    profile = slide.color_profile
    return Source(
        planes=tuple(OpenSlidePlane(slide, n) for n in range(slide.level_count)),
        colours=colours.choose(path.name, np.dtype(np.uint8), 4, kind="rgb", alpha="straight"),
        mpp=scale.mpp,
        mpp_source=scale.source,
        icc=profile.tobytes() if profile is not None else None,
        metadata={
            "format": path.suffix.lstrip(".").upper(),
            "vendor": about.get(openslide.PROPERTY_NAME_VENDOR, "").capitalize() or None,
            "compression": "by OpenSlide",
        },
        close=_Closer(slide).close,
    )


class _Closer:
    """OpenSlide must not be closed while another thread reads, nor twice."""

    def __init__(self, slide: OpenSlide) -> None:
        self._slide = slide
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            self._slide.close()
