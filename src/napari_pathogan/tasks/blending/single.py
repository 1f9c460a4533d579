"""One synthetic mammogram as a picture, with its mass beside it, ready to learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from skimage.measure import approximate_polygon, find_contours

from napari_pathogan.files import check, written
from napari_pathogan.kinds import OURS, picture, picture_text
from napari_pathogan.tasks.masses import annotated
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.review import Review

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.tasks.blending.blend import Blended

PNG = picture("synthetic mammogram")
_SMOOTH_PX = 0.25  # how far an outline's corners may lie off the mask's


def write_single(path: Path, blended: Blended, normal: Mammogram) -> None:
    """Write a PNG of 8 bits that says that it is synthetic, and the mass's outline beside it.

    Parameters
    ----------
    path
        Of the PNG.
    normal
        What the lesion was grown in: its view and the size of a pixel are kept.

    Raises
    ------
    OutputError
        If one of the two can't be written.
    """
    check(annotated.store(path).beside, OURS)
    grey = np.rint(np.clip(blended.image, 0, 1) * 255).astype(np.uint8)
    text = picture_text(PNG.name, {"synthetic": "true"})
    with written(path, PNG) as beside:
        Image.fromarray(grey).save(beside, format="png", pnginfo=text)
    found = Detections(
        path.stem,
        normal.shape,
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        (),
        normal.mm_per_px,
        normal.spacing,
        synthetic=True,
    )
    annotated.write(
        path,
        Review.of(found).with_drawn(outline(blended.mask)),
        laterality=normal.laterality or "",
        view=normal.view or "",
    )


def outline(mask: np.ndarray) -> np.ndarray:
    """The longest outline of a mask, bool (H, W): float (K, 2) y, x from the corner of the image."""
    lines = find_contours(np.pad(mask, 1).astype(float), 0.5)
    longest: np.ndarray = approximate_polygon(max(lines, key=len), _SMOOTH_PX)
    return longest[:-1] - 0.5  # not closed, without the padding
