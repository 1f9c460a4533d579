"""What every look at a stained slide begins with (its scale, its tissue), and what it ends with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_pathogan.errors import NoTissueError, SlideFormatError, UnknownScaleError
from napari_pathogan.slides.tissue import tissue_mask

if TYPE_CHECKING:
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.slides.tissue import TissueMask

BLANK = 255  # what a slide puts where a tile can't be read
_MASK_UM, _MASK_CELLS = 16.0, 1e6  # the tissue mask: this fine, but no more cells than that


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
        msg = f"{slide.name} is grey; this model needs a colour slide stained with H&E"
        raise SlideFormatError(msg)
    return slide.mpp


def area_um2(slide: Slide) -> float:
    """Area of a whole slide of known scale."""
    assert slide.mpp is not None
    return math.prod(slide.shape) * math.prod(slide.mpp)


def whole_tissue(slide: Slide) -> TissueMask:
    """Tissue of a whole slide of known scale, as finely as its size allows."""
    return tissue_mask(slide, mpp=max(_MASK_UM, math.sqrt(area_um2(slide) / _MASK_CELLS)))


def no_tissue(slide: Slide, *, in_region: bool) -> NoTissueError:
    """The error for a slide on which, or in a region of which, there is nothing to look at."""
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
    """What could not be read, in at most two sentences."""
    damage = slide.damaged
    more = [f"{len(damage) - 1} more tiles can't be read and are left blank"]
    return damage[:1] + more * (len(damage) > 1)
