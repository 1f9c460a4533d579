"""Small folders of drawn mammograms with known masses, and a detector that finds bright discs."""

from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from napari_pathogan.engine.models import ModelCard, TrainingData
from napari_pathogan.mammograms.breast import breast

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (96, 72)


def draw(discs=(), shape=SHAPE) -> np.ndarray:
    """A grey half disc, the breast, with brighter discs (x, y, radius): uint8 (H, W)."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    image = np.where(
        ((y - shape[0] / 2) / (0.48 * shape[0])) ** 2 + (x / (0.9 * shape[1])) ** 2 < 1, 90, 0
    )
    for cx, cy, radius in discs:
        image[(x - cx) ** 2 + (y - cy) ** 2 <= radius**2] = 220
    return image.astype(np.uint8)


def box(x, y, radius):
    """The box around a disc."""
    return (x - radius, y - radius, x + radius, y + radius)


# file -> patient, discs that are masses, discs that are none
IMAGES = {
    "a1.png": ("a", [(20, 30, 6), (40, 60, 8)], []),
    "a2.png": ("a", [], []),
    "b1.png": ("b", [(30, 50, 7)], [(20, 25, 5)]),
    "b2.png": ("b", [], [(30, 40, 6)]),
    "c1.png": ("c", [(25, 45, 9)], []),
}


def write(folder: Path, images=IMAGES, types=()) -> Path:
    """Write a folder as `read_mass_folder` takes it; ``types`` are more rows of boxes.csv."""
    (folder / "images").mkdir(parents=True)
    with (folder / "images.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("file", "patient", "laterality", "view", "birads"))
        for name, (patient, *_) in images.items():
            rows.writerow((name, patient, "L", "CC", "2"))
    with (folder / "boxes.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("file", "type", "xmin", "ymin", "xmax", "ymax"))
        for name, (_, masses, others) in images.items():
            Image.fromarray(draw([*masses, *others])).save(folder / "images" / name)
            rows.writerows((name, "mass", *box(*disc)) for disc in masses)
        rows.writerows(types)
    return folder


class BrightDiscs:
    """A detector: bright pieces of the breast are masses, the larger the surer."""

    def __init__(self, threshold=0.4, patients=()):
        data = (TrainingData(name="drawn", terms="none", patients=patients),)
        self.card = ModelCard(
            name="discs", title="Bright discs", task="masses", architecture="none",
            training_data=data, sha256="12ab",
        )  # fmt: skip
        self.threshold = threshold
        self.device = "cpu (float32)"
        self.froc = SimpleNamespace()

    def detect(self, image):
        breast(image)
        pieces, count = ndimage.label(image > 0.7)
        boxes, scores, contours = [], [], []
        for rows, columns in ndimage.find_objects(pieces):
            boxes.append((columns.start, rows.start, columns.stop, rows.stop))
            scores.append(min(1, (rows.stop - rows.start) / 25))
            angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
            middle, half = (
                np.array([(s.start + s.stop) / 2 for s in (rows, columns)]),
                np.array([(s.stop - s.start) / 2 for s in (rows, columns)]),
            )
            contours.append(middle + half * np.stack([np.sin(angle), np.cos(angle)], 1))
        assert len(boxes) == count
        return np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), contours
