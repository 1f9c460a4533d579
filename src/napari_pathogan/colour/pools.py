"""Images that a pool of one stain is made of: which of them can be learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_pathogan.colour.lab import STAINED, optical_density

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
_LEAST_TISSUE = 0.05
_GREY = 8  # levels between the colours of a pixel: a picture with less is grey
_DARK = 40  # of the brightest colour of most pixels: glass lets light through


def stained_image(path: Path, least_px: int) -> np.ndarray:
    """A colour image of stained tissue, uint8 (H, W, 3).

    Raises
    ------
    ValueError
        If it is grey, of dark ground as in fluorescence, smaller than ``least_px``, or almost
        without tissue; says which.
    OSError, PIL.UnidentifiedImageError
        If it can't be read.
    """
    with Image.open(path) as picture:
        grey = picture.mode in {"L", "LA", "I;16", "I", "1", "F"}
        image = np.asarray(picture.convert("RGB"))
    if grey or np.percentile(np.ptp(image, axis=-1), 99) < _GREY:
        msg = "it is grey, and a stain is colours"
        raise ValueError(msg)
    if min(image.shape[:2]) < least_px:
        msg = f"it is smaller than {least_px} px"
        raise ValueError(msg)
    if np.median(image.max(-1)) < _DARK:
        msg = "its ground is dark, as in fluorescence; stains are seen on bright ground"
        raise ValueError(msg)
    if (optical_density(image).max(-1) >= STAINED).mean() < _LEAST_TISSUE:
        msg = "there is hardly any tissue on it"
        raise ValueError(msg)
    return image
