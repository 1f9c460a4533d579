"""What a dock looks at: which layers it offers, and the words for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pathogan.plugin import commands
from napari_pathogan.plugin.layers import is_slide

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari

WHOLE, VIEW, SHAPES = "Whole slide", "In view", "Selected shapes"


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
    needs_scale
        Whether a model can't look at an image whose scale is unknown.
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
    needs_scale: bool = True


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
)
