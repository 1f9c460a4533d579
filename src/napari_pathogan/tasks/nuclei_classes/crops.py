"""Pictures of single nuclei: 40 x 40 px around each centre.

Centres are (y, x) in pixels as napari and scikit-image have them: 0 is the middle of the first
pixel. A crop begins at a whole pixel; beyond the border the image is mirrored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.errors import NoTissueError, UnknownScaleError
from napari_pathogan.tasks.nuclei_classes.stain import Stain

if TYPE_CHECKING:
    from napari_pathogan.slides.slide import Slide

CROP_PX = 40
_BLOCK_PX = 1024  # side of what is read of a slide at once
_AROUND_PX, _PLACES = 128, 64  # where a slide's colours are measured


def cut(image: np.ndarray, centres: np.ndarray, size: int = CROP_PX) -> np.ndarray:
    """Cut nuclei out of an image.

    Parameters
    ----------
    image
        uint8 (H, W, 3), RGB, at the class model's um per pixel.
    centres
        (N, 2): y, x in its pixels.

    Returns
    -------
    uint8 (N, ``size``, ``size``, 3).
    """
    centres = np.asarray(centres, float).reshape(-1, 2)
    first = np.rint(centres - (size - 1) / 2).astype(np.int64)
    rows, cols = (
        _mirrored(first[:, axis, None] + np.arange(size), image.shape[axis]) for axis in (0, 1)
    )
    crops: np.ndarray = image[rows[:, :, None], cols[:, None, :]]
    return crops


def _mirrored(index: np.ndarray, size: int) -> np.ndarray:
    """Pixels of an axis of ``size`` that mirrored ones show: -1 shows 1, ``size`` shows size - 2."""
    period = max(1, 2 * (size - 1))
    index = np.abs(index) % period
    return np.where(index < size, index, period - index)


def cut_from_slide(
    slide: Slide, centres: np.ndarray, mpp: float, size: int = CROP_PX
) -> np.ndarray:
    """Cut nuclei out of a slide at any scale: as :func:`cut` from the whole slide read at ``mpp``.

    Parameters
    ----------
    centres
        (N, 2): y, x in level-0 pixels.
    mpp
        um per pixel of the crops: the class model's.

    Returns
    -------
    uint8 (N, ``size``, ``size``, 3), RGB (grey slides too).

    Raises
    ------
    UnknownScaleError
        If the slide does not say its um per pixel.
    """
    if slide.mpp is None:
        msg = f"{slide.name} does not say its um per pixel, which cutting nuclei needs; give it"
        raise UnknownScaleError(msg)
    step = np.array([mpp / slide.mpp[0], mpp / slide.mpp[1]])
    whole = np.maximum(1, np.rint(np.array(slide.shape) / step)).astype(int)
    own = (np.asarray(centres, float).reshape(-1, 2) + 0.5) / step - 0.5
    crops = np.empty((len(own), size, size, 3), np.uint8)
    # mirrored crops look as far inwards as they reach outwards, so one margin serves both
    margin = size
    blocks = np.floor(own / _BLOCK_PX).astype(np.int64)
    for block in np.unique(blocks, axis=0):
        inside = np.flatnonzero((blocks == block).all(1))
        start = np.clip(block * _BLOCK_PX - margin, 0, whole - 1)
        stop = np.clip((block + 1) * _BLOCK_PX + margin, start + 1, whole)
        image = slide.resampled(tuple(start * step), tuple(step), tuple(stop - start))
        if image.ndim == 2:
            image = np.repeat(_to_uint8(image)[..., None], 3, 2)
        crops[inside] = cut(image, own[inside] - start, size)
    return crops


def stain_around(slide: Slide, centres: np.ndarray, mpp: float) -> Stain | None:
    """Measure a slide's colours where its nuclei are: 128 px around 64 of them, evenly chosen.

    Parameters
    ----------
    centres, mpp
        As for :func:`cut_from_slide`.

    Returns
    -------
    None where there is no tissue, or no nucleus.
    """
    centres = np.asarray(centres, float).reshape(-1, 2)
    if not len(centres):
        return None
    chosen = np.unique(np.linspace(0, len(centres) - 1, _PLACES).astype(int))
    try:
        return Stain.measure(cut_from_slide(slide, centres[chosen], mpp, _AROUND_PX))
    except NoTissueError:
        return None


def _to_uint8(grey: np.ndarray) -> np.ndarray:
    return (grey >> 8).astype(np.uint8) if grey.dtype == np.uint16 else grey
