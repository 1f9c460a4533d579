"""A pyramid level as a file stores it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


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
