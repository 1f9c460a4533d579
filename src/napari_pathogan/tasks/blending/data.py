"""What the blending network learns from: crops of healthy breasts, lesions, and crops of masses.

Everything is at the working scale, at which a patch of the discriminator is about 5 mm wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.errors import DataFolderError
from napari_pathogan.mammograms.breast import NoBreastError
from napari_pathogan.tasks.blending.lesions import (
    Lesion,
    Stage,
    cut,
    normals,
    reduce,
    staged,
    windowed,
)
from napari_pathogan.tasks.blending.placing import Places, places

if TYPE_CHECKING:
    from collections.abc import Sequence, Sized

    from napari_pathogan.tasks.masses.data import MassFolder

WORKING_PX = 512  # the longer side of what the networks see, about: factors are whole numbers
_TRIES = 50


def factor_of(shape: tuple[int, ...]) -> int:
    """Pixels of an image (H, W) per pixel of the working scale, along a side."""
    return max(1, round(max(shape) / WORKING_PX))


@dataclass(frozen=True, eq=False)
class Material:
    """A folder at the working scale.

    Attributes
    ----------
    healthy, places
        float32 (H, W) each, and where a mass may grow in it.
    sick, masks
        Images with masses, float32 (H, W), and bool (n, H, W) of each.
    lesions
        Cut out of ``sick``.
    """

    healthy: Sequence[np.ndarray]
    places: Sequence[Places]
    sick: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]
    lesions: Sequence[Lesion]

    @classmethod
    def read(cls, folder: MassFolder) -> Material:
        """Read a folder's real images.

        Raises
        ------
        DataFolderError
            If there is no mass, or no image without one that shows a breast.
        """
        healthy, free = [], []
        for i in normals(folder).tolist():
            image = folder.image(i)
            small = reduce(image, factor_of(image.shape))
            try:
                free.append(places(small, folder.view[i]))
            except NoBreastError:
                continue
            healthy.append(small)
        sick, masks, lesions = [], [], []
        for i, boxes in enumerate(folder.boxes):
            if len(boxes) and not folder.synthetic[i]:
                image = folder.image(i)
                factor = factor_of(image.shape)
                small = reduce(image, factor)
                marked = np.stack([reduce(mask, factor) >= 0.5 for mask in folder.mask(i)])
                marked = marked[marked.any((1, 2))]
                lesions += [cut(small, mask, name=folder.files[i].stem) for mask in marked]
                if len(marked):
                    sick.append(small)
                    masks.append(marked)
        if not healthy or not lesions:
            what = "image without a mass that shows a breast" if not healthy else "mass"
            msg = f"the folder has no {what}; blending learns from healthy images and from masses"
            raise DataFolderError(msg)
        return cls(healthy, free, sick, masks, lesions)

    def stage(self, rng: np.random.Generator, crop: int, smallest: float, largest: float) -> Stage:
        """Draw a lesion, resized and rotated, somewhere in a healthy breast: (crop, crop).

        Lesions that would fill the crop are made smaller.

        Raises
        ------
        DataFolderError
            If no healthy image has room for any lesion.
        """
        for _ in range(_TRIES):
            lesion = self.lesions[_one(rng, self.lesions)]
            scale = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
            scale = min(scale, (0.5 * crop - 8) / lesion.radius)
            which = _one(rng, self.healthy)
            centre = self.places[which].draw(scale * lesion.radius, rng)
            if centre is not None:
                slack = 0.5 * crop - scale * lesion.radius - 4
                shift = rng.uniform(-slack, slack, 2)
                corner = np.round(np.array(centre) + shift - crop / 2).astype(int)
                x = windowed(self.healthy[which], _square(corner, crop))
                at = centre[0] - corner[0], centre[1] - corner[1]
                return staged(x, lesion, at, scale=scale, angle=rng.uniform(0, 360))
        msg = "no healthy image has room for the lesions: the breasts are too small for them"
        raise DataFolderError(msg)

    def real(self, rng: np.random.Generator, crop: int) -> np.ndarray:
        """Draw a crop that shows a real mass, flipped and turned at random: (crop, crop)."""
        which = _one(rng, self.sick)
        masks = self.masks[which]
        rows, columns = np.nonzero(masks[_one(rng, masks)])
        one = _one(rng, rows)
        corner = np.array([rows[one], columns[one]]) - rng.integers(crop // 4, 3 * crop // 4, 2)
        part = windowed(self.sick[which], _square(corner, crop))
        part = np.rot90(part, int(rng.integers(4)))
        return np.fliplr(part) if rng.random() < 0.5 else part


def _one(rng: np.random.Generator, items: Sized) -> int:
    """The index of one of them, each as likely as any other."""
    return int(rng.integers(len(items)))


def _square(corner: np.ndarray, side: int) -> tuple[tuple[int, int], ...]:
    """Its rows and columns, for :func:`.lesions.windowed`."""
    return tuple((int(first), int(first) + side) for first in corner)


def noisy(stage: Stage, rng: np.random.Generator) -> Stage:
    """The stage without prior knowledge of the mass: noise, 0 to 1, in the lesion's place."""
    noise = rng.random(stage.e.shape, np.float32)
    return Stage(stage.x, noise, stage.w, stage.core)
