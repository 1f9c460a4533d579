"""Small pictures of images, read in the background."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Picture

from napari_pathogan.engine.events import Event, Finished

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.layers import Image

SIDE = 72  # px of the longer side
_MOST_PX = 1 << 24  # of a coarsest level that is read for it


@dataclass(frozen=True, slots=True, eq=False)
class Pictured(Event):
    """An image's picture, uint8 (H, W, 3)."""

    image: Image
    picture: np.ndarray


def pictures(images: Sequence[Image]) -> Iterator[Event]:
    """Make a picture of each image as napari shows it, from its coarsest level."""
    for image in images:
        coarsest = image.data[-1] if image.multiscale else image.data
        while coarsest.ndim > 2 + image.rgb:  # of a stack its first plane
            coarsest = coarsest[0]
        if math.prod(coarsest.shape[:2]) > _MOST_PX:
            yield Pictured(image, np.asarray(image.thumbnail)[..., :3])
            continue
        step = max(1, min(coarsest.shape[:2]) // (4 * SIDE))
        yield Pictured(image, picture(np.asarray(coarsest[:])[::step, ::step], image))
    yield Finished()


def picture(pixels: np.ndarray, image: Image) -> np.ndarray:
    """Pixels in the colours that the layer has, turned as it lies, and small: uint8 (H, W, 3)."""
    if not image.rgb:
        low, high = image.contrast_limits
        grey = ((pixels.astype(float) - low) / ((high - low) or 1.0)).clip(0, 1)
        pixels = 255 * image.colormap.map(grey.ravel())[:, :3].reshape(*grey.shape, 3)
    elif pixels.dtype.kind == "f":
        pixels = 255 * pixels.clip(0, 1)
    y, x = np.where(np.asarray(image.scale[-2:]) < 0, -1, 1)
    small = Picture.fromarray(np.ascontiguousarray(pixels[::y, ::x, :3].astype(np.uint8)))
    small.thumbnail((SIDE, SIDE), Picture.Resampling.BOX)
    return np.asarray(small)
