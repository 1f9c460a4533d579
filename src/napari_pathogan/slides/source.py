"""What a reader of a file format hands over: planes of tiles, the colour rule, the scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from napari_pathogan.slides.channels import Channel
    from napari_pathogan.slides.colours import Colours
    from napari_pathogan.slides.geometry import Region


class Plane(Protocol):
    """One pyramid level as the file stores it. ``decode`` is called from many threads at once."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of pixels of a tile; those at the edges may be cut."""

    @property
    def stored(self) -> np.ndarray | None:
        """Whether each tile (row, column) is in the file; None where only reading it tells."""

    def decode(self, row: int, col: int) -> np.ndarray | None:
        """A tile (Y, X, samples), before any colour rule; None where the file holds nothing."""


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
