"""What a dock looks at: which layers it offers, and the words for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pathogan.plugin.shell.pixel_size import PixelSize
from napari_pathogan.plugin.viewer import commands
from napari_pathogan.plugin.viewer.layers import (
    check_not_refused,
    give_mpp,
    is_slide,
    mpp_is_asked,
    mpp_of,
    recall_scale,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari
    from napari.layers import Image

WHOLE, VIEW, SHAPES = "Whole slide", "In view", "Selected shapes"


def _anything(_: Image) -> None:
    """Refuse no layer."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A kind of image, as a dock speaks of it.

    Attributes
    ----------
    name, tip
        Of the row in which an image is chosen.
    part, part_tip, parts
        Of the row in which a part of it is chosen, and the parts there are.
    start
        What the dock says before any image is open (HTML).
    open, open_tip
        Of the button that asks for a file.
    offers
        Whether a layer is such an image.
    ask
        Asks for a file and opens it.
    show
        Opens a file.
    pixel_size
        What is asked where nothing says how large a pixel is.
    check
        Raises a PathoganError if nothing may look at a layer that is offered.
    """

    name: str
    tip: str
    part: str
    part_tip: str
    parts: tuple[str, ...]
    start: str
    open: str
    open_tip: str
    offers: Callable[[object], bool]
    ask: Callable[[napari.Viewer], object]
    show: Callable[[napari.Viewer, Path], object]
    pixel_size: PixelSize
    check: Callable[[Image], None] = _anything


SLIDE = Subject(
    name="Slide",
    tip="The slide to look at: any colour image that is open",
    part="Region",
    part_tip="Which part of the slide to look at",
    parts=(WHOLE, VIEW, SHAPES),
    start="<b>Start with a slide</b><br>Aperio, Hamamatsu, Leica, TIFF, OME-Zarr, PNG…",
    open="Open a slide…",
    open_tip="Choose a slide file on this computer",
    offers=is_slide,
    ask=commands.open_slide,
    show=commands.show_slide,
    pixel_size=PixelSize(
        unit="µm",
        unit_mm=1e-3,
        example="0.25",
        tip="This file does not say how many micrometres a pixel spans. Typical: 0.25 for a 40x "
        "scan, 0.5 for 20x. It is remembered for this file.",
        usual=(0.05, 100.0),
        longest_mm=160.0,  # the largest sections, of whole organs
        needed=True,
        size=mpp_of,
        asked=mpp_is_asked,
        give=give_mpp,
        recall=recall_scale,
    ),
    check=check_not_refused,
)
