"""What every look at a stained slide begins with (its scale, its tissue), and what it ends with."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.errors import NoTissueError, SlideFormatError, UnknownScaleError
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.tissue import pen_ink, tissue_mask

if TYPE_CHECKING:
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.slides.tissue import TissueMask

BLANK = 255  # what a slide puts where a tile can't be read
_MASK_UM, _MASK_CELLS = 16.0, 1e6  # the tissue mask: this fine, but no more cells than that
FIELD_MM2 = 0.25  # a smaller image is a field cut out of tissue: all of it is looked at
_FIELD_PX = 4e6  # as many pixels where the scale is not known: that area at 0.25 um
SAMPLE_PX, _SAMPLES = 256, 16  # tiles that a slide's colours are measured on
_OVERVIEW_PX = 512  # long side of the overview of a field
_ASSUMED_MPP = 0.5  # of a field whose scale is not known
_STAINED, _STAINED_SHARE = 215, 0.01  # it is tissue if so many pixels are darker than this


def stained_mpp(slide: Slide) -> tuple[float, float]:
    """Micrometres per pixel (y, x) of a slide that a model of H&E shall look at.

    Raises
    ------
    UnknownScaleError
        If the slide does not say how many um a pixel measures.
    SlideFormatError
        If the slide is grey.
    """
    if slide.mpp is None:
        msg = (
            f"{slide.name} does not say how many micrometres a pixel measures; "
            "pass it (--mpp 0.25, or the field in the widget)"
        )
        raise UnknownScaleError(msg)
    if not slide.is_rgb:
        msg = f"{slide.name} is grey; this model needs a colour slide of stained tissue"
        raise SlideFormatError(msg)
    return slide.mpp


def area_um2(slide: Slide) -> float:
    """Area of a whole slide of known scale."""
    assert slide.mpp is not None
    return math.prod(slide.shape) * math.prod(slide.mpp)


def whole_tissue(slide: Slide) -> TissueMask:
    """Tissue of a whole slide of known scale, as finely as its size allows."""
    return tissue_mask(slide, mpp=max(_MASK_UM, math.sqrt(area_um2(slide) / _MASK_CELLS)))


def tissue_or_field(slide: Slide, mask: TissueMask) -> TissueMask:
    """The tissue of a slide, or all of a small image but ink: it is a field cut out of tissue.

    Parameters
    ----------
    mask
        What :func:`~napari_pathogan.slides.tissue.tissue_mask` found on the slide: the answer for
        all but small images. It leaves out specks and pale parts, which a field may be full of.

    Raises
    ------
    SlideFormatError
        If it is grey.
    """
    need_colours(slide)
    large = (
        math.prod(slide.shape) > _FIELD_PX
        if slide.mpp is None
        else area_um2(slide) > FIELD_MM2 * 1e6
    )
    if large:
        return mask
    shrink = max(1.0, max(slide.shape) / _OVERVIEW_PX)
    size = [max(1, round(length / shrink)) for length in slide.shape]
    overview = slide.read(Region(0, 0, *slide.shape), size=(size[0], size[1]))
    stained = overview.min(2) < _STAINED
    ink = pen_ink(overview, shrink * max(slide.mpp or (_ASSUMED_MPP,)))
    enough = (stained & ~ink).mean() >= _STAINED_SHARE
    pen = ink if ink.any() else None
    found = np.full((1, 1), enough) if pen is None else ~pen & enough
    step = slide.shape[0] / found.shape[0], slide.shape[1] / found.shape[1]
    return replace(mask, overlay=Overlay(found, (0.0, 0.0), step), pen=pen)


def no_tissue(slide: Slide, *, in_region: bool) -> NoTissueError:
    """The error for a slide on which, or in a region of which, there is nothing to look at.

    A truncated or damaged file says that it is one: what it lacks is blank.
    """
    if slide.damaged:
        where = "in this region of" if in_region else "on"
        return NoTissueError(f"no tissue found {where} {'; '.join([slide.name, *slide.notes])}")
    if in_region:
        return NoTissueError(
            f"no tissue found in this region of {slide.name}, so nothing was looked at; "
            "choose another region"
        )
    return NoTissueError(
        f"no tissue found on {slide.name}, so nothing was looked at; is it a stained "
        "slide, and is its scale right?"
    )


def what_was_lost(slide: Slide) -> list[str]:
    """What could not be read or had to be filled in, a few sentences."""
    return slide.notes


def need_colours(slide: Slide) -> None:
    """Refuse a grey slide.

    Raises
    ------
    SlideFormatError
        If it is grey.
    """
    if not slide.is_rgb:
        msg = f"{slide.name} is grey; its stains need a colour slide"
        raise SlideFormatError(msg)


def tissue_tiles(
    slide: Slide,
    mpp: float | None,
    side: int = SAMPLE_PX,
    *,
    mask: TissueMask | None = None,
    margin: int = 0,
    most: int = _SAMPLES,
) -> list[np.ndarray]:
    """Up to 16 square tiles spread over the tissue, uint8 (side, side, 3); the same each time.

    Parameters
    ----------
    mpp
        um per pixel; None for the slide's own pixels.
    mask
        The slide's tissue where it is known already.
    margin
        Pixels around each tile that come with it.
    most
        Of those only so many are read.

    Raises
    ------
    NoTissueError
        If the slide has no tissue.
    SlideFormatError
        If it is grey.
    """
    need_colours(slide)
    step = (1.0, 1.0)
    if mpp is not None and slide.mpp is not None:
        step = mpp / slide.mpp[0], mpp / slide.mpp[1]
    size = side * step[0], side * step[1]
    shape = tuple(max(1, int(n // s)) for n, s in zip(slide.shape, size, strict=True))
    mask = mask or tissue_or_field(slide, tissue_mask(slide))
    covered = mask.coverage((0, 0), size, (shape[0], shape[1])).ravel()
    full = np.flatnonzero(covered > 0.5 * covered.max())
    if not covered.max() > 0:
        msg = f"no tissue was found on {slide.name}, so its stains can't be measured"
        lost = "; ".join(what_was_lost(slide))
        raise NoTissueError(f"{msg}: {lost}" if lost else msg)
    chosen = _spread(_spread(full, _SAMPLES), most)
    return [
        mirrored(slide, step, (row * side - margin, col * side - margin), (side + 2 * margin,) * 2)
        for row, col in (divmod(int(cell), shape[1]) for cell in chosen)
    ]


def _spread(cells: np.ndarray, most: int) -> np.ndarray:
    """So many of some, evenly spread."""
    which = np.linspace(0, len(cells) - 1, min(most, len(cells))).round().astype(int)
    return np.asarray(cells[which])


def mirrored(
    slide: Slide, step: tuple[float, float], first: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Read pixels of a grid that starts at the slide's corner; beyond its edges it is mirrored.

    What a network sees beyond a slide's edge is tissue then, not white, which would be coloured
    as no tissue is and show as a frame.

    Parameters
    ----------
    step
        Level-0 pixels to one of the grid (y, x).
    first, shape
        Row and column of the first pixel, and how many; they may lie beyond the slide.
    """
    pads, start, count = [], [], []
    for size, s, low, n in zip(slide.shape, step, first, shape, strict=True):
        there = max(1, math.floor(size / s + 1e-6))  # whole pixels that the slide has
        a, b = min(max(low, 0), there - 1), max(min(low + n, there), 1)
        pads.append((a - low, low + n - b))
        start.append(a * s)
        count.append(b - a)
    image = slide.resampled((start[0], start[1]), step, (count[0], count[1]), parallel=False)
    if not any(map(any, pads)):
        return image
    return np.pad(image, [*pads, (0, 0)], mode="reflect")
