"""Small pictures of what was found, over what was looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from napari_pathogan.slides.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_pathogan.slides.slide import Slide

_LINE, _DOT = 2, 1  # px

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of classes, in their order: told apart also by the colour-blind (Okabe and Ito)."""


def overview(slide: Slide, px: int) -> np.ndarray:
    """The whole slide, uint8 (H, W, 3), its long side at most ``px``."""
    height, width = slide.shape
    scale = min(1.0, px / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    pixels = slide.read(Region(0, 0, height, width), size=size)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, -1)


def drawn(
    picture: np.ndarray,
    shape: tuple[int, int],
    *,
    outlines: Iterable[tuple[np.ndarray, str]] = (),
    dots: Iterable[tuple[np.ndarray, str]] = (),
) -> np.ndarray:
    """A picture with what was found on it.

    Parameters
    ----------
    picture
        uint8 (H, W, 3).
    shape
        (Y, X) of what it shows, in whose pixels all is given.
    outlines
        Rings (K, 2) of y, x, not closed, and their colours.
    dots
        Places (N, 2), and their colours.
    """
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    scale = np.asarray(picture.shape[:2]) / shape
    for ring, colour in outlines:
        if len(ring) > 1:
            points = [(x, y) for y, x in np.vstack([ring, ring[:1]]) * scale]
            draw.line(points, fill=colour, width=_LINE, joint="curve")
    for places, colour in dots:
        for y, x in np.asarray(places) * scale:
            draw.ellipse((x - _DOT, y - _DOT, x + _DOT, y + _DOT), fill=colour)
    made: np.ndarray = np.asarray(image)
    return made
