"""Results that were saved and are read again: tables of cells, and what is said of a file that is not whole."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from napari_pathogan.errors import ResultFormatError
from napari_pathogan.slides.geometry import Overlay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_CELLS = 100_000  # along a side of a table's grid
_DAMAGED = (
    KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError, OSError, csv.Error,
)  # fmt: skip


@contextmanager
def reading(
    path: Path,
    wrong: str,
    *more: type[Exception],
    advice: str = "save one again",
) -> Iterator[None]:
    """Read what was saved at ``path``; what goes wrong is told as a damaged file.

    Parameters
    ----------
    wrong
        What the file then is: ``is not a whole IDC heat map``.
    more
        Further errors of the library that reads it.

    Raises
    ------
    ResultFormatError
        If anything is missing, or of another kind than expected.
    """
    try:
        yield
    except _DAMAGED + more as error:
        msg = f"{path.name} {wrong} ({type(error).__name__}: {error}); {advice}"
        raise ResultFormatError(msg) from error


class CellTable(NamedTuple):
    """A table with a row a cell of a grid on a slide.

    Attributes
    ----------
    rows
        Column -> text, as they stand in the file.
    row, col
        int (N,): where in the grid each is.
    slide
        Name of the slide.
    """

    rows: list[dict[str, str]]
    row: np.ndarray
    col: np.ndarray
    slide: str

    @classmethod
    def read(cls, path: Path, empty: str) -> Self:
        """Read a CSV file with columns ``row``, ``col`` and ``slide``; within :func:`reading`.

        Parameters
        ----------
        empty
            What is to be said of a table without rows.
        """
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
        if not rows:
            raise ValueError(empty)
        (slide,) = {str(one["slide"]) for one in rows}
        row, col = (np.array([int(one[name]) for one in rows]) for name in ("row", "col"))
        if min(row.min(), col.min()) < 0 or max(row.max(), col.max()) >= _MOST_CELLS:
            msg = f"a grid of {row.max() + 1} x {col.max() + 1} cells"
            raise ValueError(msg)
        return cls(rows, row, col, slide)

    def numbers(self, column: str) -> np.ndarray:
        """A column, float64 (N,)."""
        return np.array([float(one[column]) for one in self.rows])

    def overlay(
        self, values: np.ndarray, step: tuple[float, float], empty: float = np.nan
    ) -> Overlay:
        """Values (N,) laid where their cells are; ``empty`` where there is no row.

        ``step`` is the size of a cell in level-0 pixels (y, x). Columns ``y_px`` and ``x_px`` say
        where the cells' middles are, in level-0 centre coordinates.
        """
        cells = np.full((self.row.max() + 1, self.col.max() + 1), empty, values.dtype)
        cells[self.row, self.col] = values
        first, corner = self.rows[0], (int(self.row[0]), int(self.col[0]))
        y, x = (
            float(first[name]) + 0.5 - (at + 0.5) * side
            for name, at, side in zip(("y_px", "x_px"), corner, step, strict=True)
        )
        return Overlay(cells, (y, x), step)
