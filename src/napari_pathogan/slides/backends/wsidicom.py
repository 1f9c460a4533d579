"""DICOM whole slides that OpenSlide does not read, through wsidicom: JPEG-LS, HTJ2K, concatenations, ...

wsidicom is optional, as OpenSlide is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.slides import bounds, colours, resolution
from napari_pathogan.slides.backends.dicom import files_of_slide
from napari_pathogan.slides.backends.quiet import quiet
from napari_pathogan.slides.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset
    from wsidicom import WsiDicom


class WsiDicomPlane:
    """A level in its own tiles; what a sparse one lacks is blank.

    Parameters
    ----------
    number
        Of the level, as wsidicom counts: it is 2 ** number times as small as the finest.
    """

    stored: np.ndarray | None = None

    def __init__(self, slide: WsiDicom, number: int) -> None:
        level = next(one for one in slide.levels if one.level == number)
        self._slide, self._number = slide, number
        self.shape: tuple[int, int] = (level.size.height, level.size.width)
        self.tile: tuple[int, int] = (level.tile_size.height, level.tile_size.width)

    def decode(self, row: int, col: int) -> np.ndarray:
        """A tile (Y, X, samples)."""
        with quiet():
            tile = np.asarray(self._slide.read_tile(self._number, (col, row)))
        return tile if tile.ndim == 3 else tile[..., None]


def open_wsidicom(path: Path, header: Dataset, why: str) -> Source:
    """Open a slide with wsidicom.

    Parameters
    ----------
    header
        Of the file.
    why
        OpenSlide does not read it, in a few words.

    Raises
    ------
    SlideFormatError
        If wsidicom is not installed, or can't read it.
    """
    try:
        import wsidicom  # noqa: PLC0415 - optional, slow to import
    except ImportError as error:
        raise SlideFormatError(
            f"{path.name} is a DICOM slide {why}, which needs wsidicom: pip install "
            "napari-pathogan[slides]"
        ) from error
    files = files_of_slide(path, header)
    try:
        slide = wsidicom.WsiDicom.open(files)
    except Exception as error:  # noqa: BLE001 - wsidicom and pydicom have no common error
        raise _unreadable(path, why, error) from None
    try:
        size = sum(file.stat().st_size for file in files)
        return source_of(path, slide, header, f"by wsidicom, {why}", size)
    except SlideFormatError:
        slide.close()
        raise
    except Exception as error:  # noqa: BLE001
        slide.close()
        raise _unreadable(path, why, error) from None


def _unreadable(path: Path, why: str, error: Exception) -> SlideFormatError:
    """No word of what was raised: it may quote the header."""
    return SlideFormatError(
        f"{path.name} is a DICOM slide {why}, which can't be read here ({type(error).__name__}); copy it "
        "again with all its files, or export it as JPEG or JPEG 2000, tiled in full"
    )


def source_of(
    path: Path, slide: WsiDicom, header: Dataset, how: str, size: int | None = None
) -> Source:
    """What is read of a slide that wsidicom has opened.

    Parameters
    ----------
    header
        Of one of its images.
    how
        It is read, for the metadata.
    size
        Bytes of its files; None where they lie elsewhere.

    Raises
    ------
    SlideFormatError
        If it holds several optical paths, or claims more than any slide has.
    """
    finest = slide.levels[0]
    if len(finest.optical_paths) > 1:
        raise SlideFormatError(
            f"{path.name} holds {len(finest.optical_paths)} optical paths, which can't be read as colours; "
            "export one of them, or a brightfield scan"
        )
    planes = tuple(WsiDicomPlane(slide, level.level) for level in slide.levels)
    depth = int(header.SamplesPerPixel) * -(-int(header.BitsAllocated) // 8)
    for plane in planes:
        bounds.check_level(path.name, plane.shape, plane.tile, depth)
    bounds.check_coarsest(path.name, planes[-1].shape, depth, size)
    samples = planes[0].decode(0, 0)
    kind: colours.Kind = "rgb" if samples.shape[2] == 3 else "grey"
    scale = resolution.stated("DICOM pixel spacing", finest.mpp.height, finest.mpp.width)
    optics = header.get("OpticalPathSequence") or [{}]
    depths = len(finest.focal_planes)
    several = f"{path.name} holds {depths} planes of focus; the middle one is read"
    return Source(
        planes=planes,
        colours=colours.choose(path.name, samples.dtype, samples.shape[2], kind=kind),
        mpp=scale.mpp,
        mpp_source=scale.source,
        icc=optics[0].get("ICCProfile"),
        metadata={"format": "DICOM", "vendor": None, "compression": how},
        choices=(several,) if depths > 1 else (),
        close=slide.close,
    )
