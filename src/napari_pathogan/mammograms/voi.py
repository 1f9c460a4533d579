"""From stored values to what is shown: windows and tables of values of interest (DICOM PS3.3).

C.11.2.1.2.1 LINEAR, C.11.2.1.3.1 SIGMOID, C.11.2.1.3.2 LINEAR_EXACT, C.11.2.1.1 the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np


class Shape(StrEnum):
    """How a window maps values to brightness."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


class Voi(Protocol):
    """Maps values after the modality LUT to brightness."""

    @property
    def limits(self) -> tuple[float, float]:
        """Values between which brightness rises from 0 to 1, low < high."""

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Brightness in 0..1, float32, of values of any shape."""


@dataclass(frozen=True, slots=True)
class Window:
    """A window centre and width.

    Parameters
    ----------
    centre, width
        In units of the values. ``width`` is at least 1 for LINEAR and above 0 otherwise.
    shape
        The curve; SIGMOID has no ends, its ``limits`` are a width around the centre.
    """

    centre: float
    width: float
    shape: Shape = Shape.LINEAR

    def __post_init__(self) -> None:
        least = 1.0 if self.shape is Shape.LINEAR else np.finfo(np.float32).tiny
        if not (np.isfinite(self.centre) and least <= self.width < np.inf):
            msg = f"a {self.shape} window can't be {self.width} wide around {self.centre}"
            raise ValueError(msg)

    @property
    def limits(self) -> tuple[float, float]:
        """Values between which brightness rises from 0 to 1, low < high."""
        if self.shape is Shape.LINEAR:
            low = self.centre - 0.5 - (self.width - 1) / 2
            return low, low + max(self.width - 1, 1.0)
        return self.centre - self.width / 2, self.centre + self.width / 2

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Brightness in 0..1, float32, of values of any shape."""
        x = values.astype(np.float32)
        if self.shape is Shape.SIGMOID:
            steep = np.clip(-4 * (x - self.centre) / self.width, -80, 80)
            return (1 / (1 + np.exp(steep))).astype(np.float32)
        if self.shape is Shape.LINEAR and self.width == 1:
            return (x > self.centre - 0.5).astype(np.float32)
        low, high = self.limits
        return np.clip((x - low) / (high - low), 0, 1).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A look-up table; values below and above it take its first and last entry.

    Parameters
    ----------
    first
        The value that the first entry stands for.
    entries
        float32 (n,), 0 to 1.
    bits
        Of the whole numbers that they were: they were divided by ``2^bits - 1``.
    """

    first: int
    entries: np.ndarray
    bits: int = 16

    @property
    def falls(self) -> bool:
        """Whether it ends darker than it begins."""
        return bool(self.entries[-1] < self.entries[0])

    @property
    def limits(self) -> tuple[float, float]:
        """The first and the last value between which the table changes."""
        steps = np.flatnonzero(np.diff(self.entries))
        if not len(steps):
            return float(self.first), float(self.first + 1)
        return float(self.first + steps[0]), float(self.first + steps[-1] + 1)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Brightness in 0..1, float32, of values of any shape."""
        # in float64, where 16-bit values and any first entry have room
        index = np.rint(values.astype(np.float64) - self.first)
        return self.entries[np.clip(index, 0, len(self.entries) - 1).astype(np.intp)]
