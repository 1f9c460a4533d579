"""What a reader of a file format hands over: planes of tiles, the colour rule, the scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_pathogan.slides.channels import Channel
    from napari_pathogan.slides.colours import Colours
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.plane import Plane


def nothing() -> None:
    """Close nothing: for sources that hold no file."""


@dataclass(frozen=True, slots=True)
class Source:
    """An open file.

    Attributes
    ----------
    planes
        Finest first.
    colours
        How their samples become RGB or grey.
    downsamples
        Level-0 pixels per pixel (y, x) of each plane; None takes the ratio of the shapes.
    mpp
        um per level-0 pixel (y, x), where the file says.
    mpp_source
        Where it says so; with ``mpp`` None, what it says and is not believed.
    icc
        An embedded colour profile.
    metadata
        vendor, format, compression, and what else is worth showing.
    bounds
        Around all that was scanned, in level-0 pixels, where the format says. Other programs (QuPath)
        show only this part, and count from its corner.
    choices
        What of it is read where there are several, and what was left out, a sentence each.
    notes
        What was wrong with the file already when it was opened, a sentence each.
    channels
        Of what is not in colour: each by itself, of which the first is ``planes``.
    close
        Lets go of the file.
    """

    planes: tuple[Plane, ...]
    colours: Colours
    downsamples: tuple[tuple[float, float], ...] | None = None
    mpp: tuple[float, float] | None = None
    mpp_source: str = ""
    icc: bytes | None = None
    metadata: dict[str, object] = field(default_factory=dict)
    bounds: Region | None = None
    choices: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = ()
    close: Callable[[], None] = nothing
