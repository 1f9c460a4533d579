"""How large a pixel is, where the file does not say: what is asked, and what is plausible."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pathogan.errors import UnknownScaleError
from napari_pathogan.slides.resolution import FAR_COARSER

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Image

_SIZE = re.compile(
    r"\s*((?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?)\s*(?:([µμunm]m|microns?)(?:\s*/\s*(?:px|pixel))?)?\s*",
    re.IGNORECASE,
)
_UNITS_MM = {"nm": 1e-6, "mm": 1.0}  # all others are micrometres
_UM_MM = 1e-3


@dataclass(frozen=True, slots=True)
class PixelSize:
    """What is asked about the pixels of a kind of image.

    Attributes
    ----------
    unit, unit_mm
        The unit that a size is typed in, and its length in mm.
    example, tip
        What the field shows while it is empty, and when the mouse rests on it.
    usual
        The least and the greatest size that is taken without a question, in that unit.
    longest_mm
        The longest side of an image that is taken without a question.
    needed
        Whether models can't look at an image without it.
    size
        The size of a layer's pixels in that unit, or None.
    asked
        Whether the row is shown: nobody knows the size, or it is the user's, who may correct it.
    give
        Gives a layer a size, and remembers it for its file.
    recall
        Gives a layer that another reader has shown in pixels the size that is known of its file.
    """

    unit: str
    unit_mm: float
    example: str
    tip: str
    usual: tuple[float, float]
    longest_mm: float
    needed: bool
    size: Callable[[Image], float | None]
    asked: Callable[[Image], bool]
    give: Callable[[napari.Viewer, Image, float], object]
    recall: Callable[[napari.Viewer, Image], object]

    def read(self, text: str) -> float:
        """Read a size as it is typed: ``0.25``, ``0,25``, ``0.25 µm``, ``250 nm``, ``2.5e-4 mm``.

        Raises
        ------
        UnknownScaleError
            If it is no number above 0, or in a unit that is no length.
        """
        typed = _SIZE.fullmatch(text)
        size = float(typed[1].replace(",", ".")) if typed is not None else 0.0
        if typed is None or size <= 0:
            msg = f"{text.strip()!r} is no size of a pixel: type a number of {self.unit}, such as {self.example}"
            raise UnknownScaleError(msg)
        if typed[2] is None:
            return size
        return size * (_UNITS_MM.get(typed[2].lower(), _UM_MM) / self.unit_mm)

    def doubt(self, layer: Image, size: float) -> str:
        """Why a size is implausible for a layer, as a question; empty where it is plausible."""
        side_mm = max(layer.data.shape[:2]) * size * self.unit_mm
        if self.usual[0] <= size <= self.usual[1] and side_mm <= self.longest_mm:
            return ""
        return (
            f"With {size:,g} {self.unit} per pixel, {layer.name} is {_length(side_mm)} long. "
            "Is that right?"
        )

    def too_coarse(self, layer: Image, size: float, model: str, mpp: float) -> str:
        """Why a size is implausible for a model made for ``mpp`` µm, as a question; empty where it is not."""
        made_for = mpp * _UM_MM / self.unit_mm
        if size <= FAR_COARSER * made_for:
            return ""
        return (
            f"With {size:,g} {self.unit} per pixel, {layer.name} is {size / made_for:,.0f} times as coarse as "
            f"the images that {model} was made for ({made_for:g} {self.unit}), and would be enlarged as "
            "many times. Is that scale right?"
        )


def _length(mm: float) -> str:
    """``2.05 m``, ``25 mm``, ``5 µm``."""
    for unit, factor in (("m", 1e-3), ("mm", 1.0)):
        if mm * factor >= 1:
            return f"{mm * factor:,.3g} {unit}"
    return f"{1e3 * mm:,.3g} µm"
