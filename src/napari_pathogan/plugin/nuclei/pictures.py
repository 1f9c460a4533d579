"""Pictures of single nuclei, cut from the slide with some tissue around."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPixmap, QPolygonF

if TYPE_CHECKING:
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation

SIDE_UM = 24.0  # of what is shown: the nucleus, and the cells beside it
SIDE_PX = 128


def cut_out(
    slide: Slide, y: float, x: float, *, side_um: float = SIDE_UM, side_px: int = SIDE_PX
) -> tuple[np.ndarray, tuple[float, float], tuple[float, float]]:
    """Cut a square out of a slide around a level-0 centre coordinate.

    Returns
    -------
    pixels
        uint8 (``side_px``, ``side_px``, 3), RGB; white beyond the slide.
    origin, step
        Its upper left corner (level-0 edges) and level-0 pixels per pixel.
    """
    assert slide.mpp is not None
    step = tuple(side_um / side_px / mpp for mpp in slide.mpp)
    origin = tuple(at + 0.5 - side_px * s / 2 for at, s in zip((y, x), step, strict=True))
    pixels = slide.resampled((origin[0], origin[1]), (step[0], step[1]), (side_px, side_px))
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, 2).astype(np.uint8)
    return pixels, (origin[0], origin[1]), (step[0], step[1])


def pixmap(pixels: np.ndarray, side: int | None = None) -> QPixmap:
    """uint8 (Y, X, 3) as a Qt picture, scaled to a width of ``side``."""
    height, width = pixels.shape[:2]
    data = pixels.tobytes()
    image = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888)
    made = QPixmap.fromImage(image.copy())  # the bytes may go
    if side is None:
        return made
    return made.scaledToWidth(side, Qt.TransformationMode.SmoothTransformation)


def portrait(slide: Slide, segmentation: Segmentation, nucleus: int, side: int) -> QPixmap:
    """A nucleus enlarged, with its outline in the colour of its class."""
    one = segmentation.nucleus(nucleus)
    pixels, origin, step = cut_out(slide, one["y_px"], one["x_px"])
    picture = pixmap(pixels, side)
    colours = dict(zip(segmentation.class_names, segmentation.class_colours, strict=True))
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(colours[one["class"]]), 2))
    for outline in segmentation.outlines([nucleus]):
        for ring in (*outline.exteriors, *outline.holes):
            at = (ring + 0.5 - origin) / step * (side / len(pixels))
            painter.drawPolygon(QPolygonF([QPointF(x, y) for y, x in at]))
    painter.end()
    return picture
