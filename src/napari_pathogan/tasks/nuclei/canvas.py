"""The labels of a slide as they grow, tile by tile: in memory, or on disk where they are many."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_pathogan.files import TemporaryRoom

if TYPE_CHECKING:
    import numpy.typing as npt

IN_MEMORY_PX = 64 * 2**20  # labels of more pixels than this are kept on disk
_CHUNK = 512
_SAME = 0.5  # share of a nucleus that is somebody's already: then it is that one once more


class Canvas:
    """Labels (H, W) int32 that grow nucleus by nucleus; each pixel belongs to who comes first.

    Attributes
    ----------
    labels
        numpy, or a zarr array in a temporary folder, of which only what is written takes place.
    room
        That folder; None in memory.
    count
        Nuclei so far; the next is given the number after.
    """

    def __init__(self, shape: tuple[int, int], *, in_memory_px: int = IN_MEMORY_PX) -> None:
        self.count = 0
        self.room: TemporaryRoom | None = None
        self.labels: Any
        if math.prod(shape) <= in_memory_px:
            self.labels = np.zeros(shape, np.int32)
        else:
            self.room = TemporaryRoom("pathogan-nuclei-")
            self.labels = zarr.create_array(
                self.room.place, shape=shape, chunks=(_CHUNK, _CHUNK), dtype=np.int32, fill_value=0
            )

    def close(self) -> None:
        """Throw the labels away."""
        if self.room is not None:
            self.room.cleanup()

    def claim(
        self, top: int, left: int, found: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """What is left of new nuclei besides those that are there.

        Parameters
        ----------
        found
            (h, w) at ``[top:, left:]``: 1 to n, 0 for none.

        Returns
        -------
        left
            (h, w): without pixels that are somebody's, and without nuclei that are there already.
        lost
            (n,) bool: nuclei that have lost a pixel, or all.
        """
        there = self._window(top, left, found.shape) > 0
        taken = np.bincount(found[there], minlength=int(found.max()) + 1)[1:]
        if not taken.any():
            return found, taken > 0
        area = np.bincount(found.ravel())[1:]
        gone = np.r_[False, taken > _SAME * area]
        return np.where(there | gone[found], 0, found), taken > 0

    def place(self, top: int, left: int, found: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Write new nuclei, 1 to n, where there are none; returns all that is there, by id."""
        window = self._window(top, left, found.shape)
        window = np.where(found > 0, found + self.count, window)
        self.labels[top : top + found.shape[0], left : left + found.shape[1]] = window
        self.count += int(found.max())
        return window

    def _window(self, top: int, left: int, shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
        return np.asarray(self.labels[top : top + shape[0], left : left + shape[1]])
