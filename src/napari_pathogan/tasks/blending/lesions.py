"""Lesions: cut out of the images that show them, turned and resized, laid over a healthy breast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_pathogan.errors import DataFolderError
from napari_pathogan.mammograms.breast import NoBreastError, breast

if TYPE_CHECKING:
    from napari_pathogan.tasks.masses.data import MassFolder

_RIM, _LEAST_RIM = 0.25, 3.0  # of the lesion's radius; px: tissue around it that comes with it
_SKIN = 0.012  # of the image's long side: so near to the air, the skin line would come with it
_DARKEST = 0.4  # of the lesion's own brightness; what is darker is air, or a black border


@dataclass(frozen=True, eq=False)
class Lesion:
    """A lesion as it was found, with the tissue around it.

    Attributes
    ----------
    patch
        float32 (h, w) in 0..1: the lesion with a margin, so that its gradient is known across the
        border of its region.
    mask
        bool (h, w): the lesion itself.
    region
        bool (h, w): what is blended, the paper's omega: the lesion and a rim of its own
        surroundings, as far as they are breast. Without the rim a mass would lose its outline.
    long_side
        Longer side of the image it was cut from, px; the lesion is rescaled to images of another
        size. None: it is in pixels of the image it will be blended into.
    name
        The image it is from, and which of its lesions it is.
    """

    patch: np.ndarray
    mask: np.ndarray
    region: np.ndarray
    long_side: int | None = None
    name: str = ""

    @property
    def radius(self) -> float:
        """Of the circle around the patch's centre that holds the region, in px."""
        rows, columns = np.nonzero(self.region)
        height, width = self.region.shape
        return float(np.hypot(rows - (height - 1) / 2, columns - (width - 1) / 2).max() + 1)

    def scale_in(self, shape: tuple[int, ...]) -> float:
        """How much it is resized in an image (H, W), before anybody asks for more."""
        return max(shape) / self.long_side if self.long_side else 1.0


@dataclass(frozen=True, eq=False)
class Stage:
    """A healthy crop and the lesion in its place, before they are blended; all (H, W).

    Attributes
    ----------
    x
        float32: X, the healthy breast.
    e
        float32: E, the lesion's patch turned and resized; beyond the patch its last pixels.
    w
        bool: the region in which E is blended into X.
    core
        bool: the lesion itself, within ``w``.
    """

    x: np.ndarray
    e: np.ndarray
    w: np.ndarray
    core: np.ndarray

    @property
    def pasted(self) -> np.ndarray:
        """E pasted into X, with its seam: float32 (H, W)."""
        pasted: np.ndarray = np.where(self.w, self.e, self.x)
        return pasted

    def reduced(self, factor: int) -> Stage:
        """The same with pixels ``factor`` times larger; the sides are multiples of it."""
        if factor == 1:
            return self
        w, core = (reduce(part, factor) >= 0.5 for part in (self.w, self.core))
        return Stage(reduce(self.x, factor), reduce(self.e, factor), w, core & w)


def reduce(image: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares of ``factor`` px: (H, W) -> float32 (H // factor, W // factor)."""
    height, width = (n // factor for n in image.shape)
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor)
    means: np.ndarray = blocks.mean((1, 3), dtype=np.float32)
    return means


def cut(image: np.ndarray, mask: np.ndarray, *, name: str = "") -> Lesion:
    """Cut a lesion out of its image.

    Parameters
    ----------
    image
        float32 (H, W) in 0..1.
    mask
        bool (H, W): the lesion, not empty.

    Raises
    ------
    DataFolderError
        If the mask is empty or of another shape.
    """
    if mask.shape != image.shape or not mask.any():
        msg = f"{name or 'the lesion'}: nothing is marked on it, so there is nothing to cut out"
        raise DataFolderError(msg)
    rim = max(_LEAST_RIM, _RIM * float(np.sqrt(mask.sum() / np.pi)))
    margin = int(np.ceil(rim)) + 4
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = tuple((int(ends[0]) - margin, int(ends[-1]) + 1 + margin) for ends in (rows, columns))
    own = windowed(mask, window, outside=False)
    near = ndimage.distance_transform_edt(~own) <= rim
    patch = windowed(image, window)
    inside = windowed(_well_inside(image), window, outside=False)
    dark = patch < _DARKEST * np.median(patch[own])
    inside &= ~ndimage.binary_dilation(dark, iterations=3)  # nor may its gradient come along
    own = own & inside if (own & inside).any() else own
    return Lesion(patch, own, own | (near & inside), max(image.shape), name)


def _well_inside(image: np.ndarray) -> np.ndarray:
    """Bool (H, W): the breast without its skin line; all of an image that shows no breast."""
    try:
        mask = breast(image).mask
    except NoBreastError:  # a crop that is nothing but breast
        return np.ones(image.shape, bool)
    skin = max(1, round(_SKIN * max(image.shape)))
    inside: np.ndarray = ndimage.binary_erosion(mask, iterations=skin, border_value=1)
    return inside


def windowed(
    image: np.ndarray, window: tuple[tuple[int, int], ...], *, outside: bool | None = None
) -> np.ndarray:
    """Rows and columns ``(first, end)`` of an image, which may lie beyond its border.

    What is beyond repeats the border, or is ``outside``.
    """
    wanted = [np.arange(*ends) for ends in window]
    inside = [np.clip(index, 0, n - 1) for index, n in zip(wanted, image.shape, strict=True)]
    part: np.ndarray = image[np.ix_(*inside)]
    if outside is not None:
        beyond = [index != seen for index, seen in zip(wanted, inside, strict=True)]
        part[beyond[0][:, None] | beyond[1]] = outside
    return part


def lesions(folder: MassFolder) -> list[Lesion]:
    """Cut out all real masses of a folder, in the order of its images.

    Raises
    ------
    DataFolderError
        If the folder has none.
    """
    found = []
    for i in range(len(folder)):
        if len(folder.boxes[i]) and not folder.synthetic[i]:
            image, masks = folder.image(i), folder.mask(i)
            stem = folder.files[i].stem
            found += [
                cut(image, mask, name=f"{stem}, mass {k + 1}") for k, mask in enumerate(masks)
            ]
    if not found:
        msg = "the folder has no image with a real mass, so there is no lesion to blend"
        raise DataFolderError(msg)
    return found


def normals(folder: MassFolder) -> np.ndarray:
    """Indices of the real images without any mass, int (N,).

    Raises
    ------
    DataFolderError
        If the folder has none.
    """
    healthy = [
        i for i in range(len(folder)) if not len(folder.boxes[i]) and not folder.synthetic[i]
    ]
    if not healthy:
        msg = "the folder has no real image without a mass, so there is nothing to blend into"
        raise DataFolderError(msg)
    return np.array(healthy)


def staged(
    x: np.ndarray,
    lesion: Lesion,
    centre: tuple[float, float],
    *,
    scale: float = 1.0,
    angle: float = 0.0,
) -> Stage:
    """Lay a lesion over a healthy crop.

    Parameters
    ----------
    x
        float32 (H, W) in 0..1.
    centre
        (y, x) of the patch's centre in the crop, px.
    scale
        Pixels of the crop per pixel of the patch.
    angle
        Degrees, counter-clockwise as seen on the screen.
    """
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation.T / scale  # from the crop to the patch
    middle = (np.array(lesion.patch.shape) - 1) / 2
    where = {"offset": middle - matrix @ np.array(centre, float), "output_shape": x.shape}
    e = ndimage.affine_transform(lesion.patch, matrix, **where, order=3, mode="nearest")
    masks = [
        ndimage.affine_transform(part.astype(np.float32), matrix, **where, order=1) >= 0.5
        for part in (lesion.region, lesion.mask)
    ]
    return Stage(x, np.clip(e, 0, 1), masks[0], masks[0] & masks[1])
