"""What the tiles of a slide hold, gathered to one image of labels and one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from napari_pathogan.engine.events import Tile
from napari_pathogan.tasks.nuclei import features
from napari_pathogan.tasks.nuclei.canvas import Canvas
from napari_pathogan.tasks.nuclei.segmentation import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from napari_pathogan.tasks.nuclei.grid import LabelGrid


class TileNuclei(NamedTuple):
    """The nuclei of a tile.

    Attributes
    ----------
    top, left
        Where it lies in the grid's window.
    labels
        int32 (h, w): 1 to n, by rows of the table.
    image
        uint8 (h, w, 3).
    table
        What :func:`.features.measure` says of them.
    classes
        float32 (n, C): probability of each class; NaN without a class model.
    area_mm2
        Tissue that was looked at and could be read.
    """

    top: int
    left: int
    labels: npt.NDArray[np.int32]
    image: np.ndarray
    table: pd.DataFrame
    classes: np.ndarray
    area_mm2: float


class Harvest:
    """Labels and table as they grow.

    Parameters
    ----------
    grid
        The pixels of the labels.
    mpp
        um per level-0 pixel (y, x).
    class_names
        Of the columns of :attr:`TileNuclei.classes`.
    """

    def __init__(
        self, grid: LabelGrid, mpp: tuple[float, float], class_names: tuple[str, ...]
    ) -> None:
        self.grid, self.mpp, self.class_names = grid, mpp, class_names
        self.canvas = Canvas(grid.shape)
        self.area_mm2 = 0.0
        self._tables = [
            features.measure(np.zeros((0, 0), np.int32), np.zeros((0, 0, 3), np.uint8), 1)
        ]
        self._classes = [np.zeros((0, len(class_names)), np.float32)]
        self._lut = bytearray(1)  # id -> number of its class; 0 for no nucleus

    def add(self, found: TileNuclei) -> Iterator[Tile]:
        """Take in a tile; what is there now, to be painted."""
        self.area_mm2 += found.area_mm2
        found = self._unclaimed(found) if len(found.table) else found
        if not len(found.table):
            return
        window = self.canvas.place(found.top, found.left, found.labels)
        self._lut += (_codes(found.classes) + 1).tobytes()
        self._tables.append(features.moved(found.table, found.top, found.left))
        self._classes.append(found.classes)
        yield Tile("nuclei", found.top, found.left, window)
        yield Tile("classes", found.top, found.left, np.frombuffer(self._lut, np.uint8)[window])

    def _unclaimed(self, found: TileNuclei) -> TileNuclei:
        """Without what another tile has brought already."""
        labels, lost = self.canvas.claim(found.top, found.left, found.labels)
        if not lost.any():
            return found
        kept = np.unique(labels[labels > 0])
        number = np.zeros(len(lost) + 1, np.int32)
        number[kept] = np.arange(1, len(kept) + 1)
        labels = number[labels]
        return found._replace(
            labels=labels,
            table=features.measure(labels, found.image, self.grid.pixel_um2(self.mpp)),
            classes=found.classes[kept - 1],
        )

    def boxes(self) -> np.ndarray:
        """(N, 4) int32: the rectangle around each nucleus."""
        measured = pd.concat(self._tables, ignore_index=True)
        boxes: np.ndarray = measured[list(features.BOX)].to_numpy(np.int32)
        return boxes

    def table(self) -> pd.DataFrame:
        """All nuclei, as :class:`Segmentation` has them."""
        measured = pd.concat(self._tables, ignore_index=True)
        measured["id"] = np.arange(1, len(measured) + 1)
        measured = features.placed(measured, self.grid.origin, self.grid.downsample, self.mpp)
        classes = np.concatenate(self._classes)
        measured["class"] = pd.Categorical.from_codes(_codes(classes), list(self.class_names))
        measured["class_probability"] = classes.max(1)
        measured["corrected"] = False
        table = measured[list(COLUMNS)]
        if np.isnan(classes).all():
            return table
        columns = {f"p_{name}": classes[:, i] for i, name in enumerate(self.class_names)}
        return table.assign(**columns)


def _codes(classes: np.ndarray) -> npt.NDArray[np.uint8]:
    """The likeliest class of each, from 0 on; 0 where nobody knows."""
    codes: npt.NDArray[np.uint8] = np.nan_to_num(classes).argmax(1).astype(np.uint8)
    return codes
