"""Synthetic mammograms: lesions of a folder grown in its healthy images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.mammograms.breast import NoBreastError
from napari_pathogan.tasks.blending.blend import Method, blend
from napari_pathogan.tasks.blending.lesions import lesions, normals
from napari_pathogan.tasks.blending.placing import PlacingError, places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.tasks.blending.lesions import Lesion
    from napari_pathogan.tasks.blending.model import BlendModel
    from napari_pathogan.tasks.masses.data import MassFolder

_TRIES = 8  # lesions tried in one image
_SCALES = (0.75, 1.33)


@dataclass(frozen=True, eq=False)
class Placement:
    """What shall grow where: a healthy image (its index is ``source``), a lesion and its pose."""

    image: np.ndarray
    source: int
    lesion: Lesion
    centre: tuple[float, float]
    scale: float
    angle: float


@dataclass(frozen=True, eq=False)
class Synthetic:
    """A mammogram with a mass that was never there.

    Attributes
    ----------
    image
        float32 (H, W) in 0..1.
    boxes
        float32 (1, 4): x0, y0, x1, y1 in px.
    mask
        bool (1, H, W): the lesion, one plane a box.
    source
        Index of the healthy image in the folder.
    lesion, scale, angle
        Which lesion was grown (its name), how much resized, how far turned (degrees).
    method
        How it was blended.
    """

    image: np.ndarray
    boxes: np.ndarray
    mask: np.ndarray
    source: int
    lesion: str
    scale: float
    angle: float
    method: Method


def synthesise(
    folder: MassFolder,
    n: int,
    *,
    method: Method,
    seed: int,
    model: BlendModel | None = None,
) -> Iterator[Synthetic]:
    """Grow lesions of a folder in healthy images of the same folder, one an image.

    Every healthy image is used as often as any other (give or take one), lesions and places are
    drawn at random; the same seed draws the same for every method.

    Parameters
    ----------
    n
        How many.
    model
        Of the method; the embedded one by default.

    Yields
    ------
    :class:`Synthetic`, ``n`` of them.

    Raises
    ------
    DataFolderError
        If the folder has no mass, or no healthy image.
    PlacingError
        If none of its healthy images has room for a lesion.
    ModelError
        If the model was trained for another method.
    """
    for number, plan in enumerate(plans(folder, n, seed=seed)):
        made = blend(
            plan.image,
            plan.lesion,
            plan.centre,
            scale=plan.scale,
            angle=plan.angle,
            method=method,
            model=model,
            seed=seed + number,
        )
        yield Synthetic(
            made.image,
            made.box[None],
            made.mask[None],
            plan.source,
            plan.lesion.name,
            plan.scale,
            plan.angle,
            method,
        )


def plans(folder: MassFolder, n: int, *, seed: int) -> Iterator[Placement]:
    """Draw what shall grow where; parameters and errors as in :func:`synthesise`.

    Yields
    ------
    :class:`Placement`, ``n`` of them.
    """
    found, healthy = lesions(folder), normals(folder)
    rng = np.random.default_rng(seed)
    order: list[int] = []
    done, without_room = 0, 0
    while done < n:
        order = order or rng.permutation(healthy).tolist()
        source = order.pop()
        plan = _planned(folder, source, found, rng)
        if plan is not None:
            yield plan
            done += 1
            continue
        without_room += 1
        if without_room >= len(healthy) and not done:
            msg = f"none of the {len(healthy)} healthy images has room for a lesion"
            raise PlacingError(msg)


def _planned(
    folder: MassFolder, source: int, found: list[Lesion], rng: np.random.Generator
) -> Placement | None:
    """A lesion for an image; None where there is no room for any of several."""
    image = folder.image(source)
    try:
        free = places(image, str(folder.view[source]))
    except NoBreastError:
        return None
    for _ in range(_TRIES):
        lesion = found[rng.integers(len(found))]
        scale = float(np.exp(rng.uniform(*np.log(_SCALES))))
        angle = float(rng.uniform(0, 360))
        centre = free.draw(lesion.radius * lesion.scale_in(image.shape) * scale, rng)
        if centre is not None:
            return Placement(image, source, lesion, centre, scale, angle)
    return None
