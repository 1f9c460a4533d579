"""What a network finds that can be no nucleus: ink of a pen, and what is far too large.

A slide's tissue mask leaves wide strokes of a pen out. Thin ink over tissue, or on a field cut out
of a slide, it can't tell; there each nucleus is judged by itself.
"""

from __future__ import annotations

import numpy as np

from napari_pathogan.slides.tissue import ink_hues

LARGEST_UM2 = 800.0  # 32 um across; of 10,000 nuclei seen the largest had 273
_WHITE = 245.0
_PALE = 0.2  # optical density (log10) below which a hue says nothing


def foreign(labels: np.ndarray, image: np.ndarray, pixel_um2: float) -> np.ndarray:
    """Tell which labels are no nuclei, by their size, their mean colour and that of most of their pixels.

    The hues are those of :func:`napari_pathogan.slides.tissue.ink_hues`.

    Parameters
    ----------
    labels
        (H, W) int: 0 where there is no nucleus.
    image
        uint8 (H, W, 3), RGB, the same pixels.
    pixel_um2
        Area of a pixel.

    Returns
    -------
    bool (largest label + 1,).
    """
    place = np.nonzero(labels)
    owner, size = labels[place], int(labels.max(initial=0)) + 1
    count = np.bincount(owner, minlength=size)
    total = np.stack([np.bincount(owner, image[(*place, i)], size) for i in range(3)])
    mean = total / np.maximum(count, 1)
    inked = np.bincount(owner, _is_ink(image[place].T.astype(float)), size) > count / 2
    found: np.ndarray = (count * pixel_um2 > LARGEST_UM2) | ((count > 0) & _is_ink(mean)) | inked
    return found


def _is_ink(colour: np.ndarray) -> np.ndarray:
    """(3, N) mean red, green and blue, 0 to 255 -> bool (N,)."""
    density = np.maximum(0, np.log10(_WHITE + 1) - np.log10(colour + 1))
    ink: np.ndarray = (density.max(0) > _PALE) & np.logical_or.reduce(ink_hues(density))
    return ink
