"""What the Blending dock runs in the background: generators of events, without a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.tasks.blending.blend import Blended
    from napari_pathogan.tasks.blending.lesions import Lesion
    from napari_pathogan.tasks.masses.detections import Detections

PASTED, POISSON, BLENDED = "Pasted", "Poisson", "Blended"
WAYS = (PASTED, POISSON, BLENDED)
MOST_LESIONS = 200  # of a folder that are offered


@dataclass(frozen=True, eq=False)
class Grown:
    """A lesion in a healthy mammogram, in three ways. Synthetic.

    Attributes
    ----------
    images
        Of each of :data:`WAYS` the part that was worked on, float32 (h, w) in 0..1.
    losses
        "seamless" and "background": of each way, where that loss is large, float32 (h, w).
    means
        The same as one number: per pixel of the region, and of what is around it.
    origin
        (y, x) of the part's first pixel in the image.
    blended
        What the network made, whole.
    """

    images: dict[str, np.ndarray]
    losses: dict[str, dict[str, np.ndarray]]
    means: dict[str, dict[str, float]]
    origin: tuple[int, int]
    blended: Blended


def blend_events(
    mammogram: Mammogram,
    lesion: Lesion,
    centre: tuple[float, float],
    model: Path,
    *,
    scale: float,
    angle: float,
) -> Iterator[Event]:
    """Grow a lesion at a place in three ways; finishes with :class:`Grown`.

    Parameters
    ----------
    centre
        (y, x) in pixels of the image, the middle of the first at 0, 0.
    scale, angle
        As :func:`napari_pathogan.tasks.blending.blend.blend` takes them.
    """
    yield Progress(0, 3, "loading the model")
    ready_for_torch()
    from napari_pathogan.engine.devices import choose_device  # noqa: PLC0415
    from napari_pathogan.tasks.blending.blend import blend  # noqa: PLC0415
    from napari_pathogan.tasks.blending.model import BlendModel  # noqa: PLC0415

    chosen = settings()
    network = BlendModel.load(model, chosen.device)
    network.device = choose_device(chosen.device, chosen.precision)
    normal = mammogram.shown()
    yield from _place_checked(normal, mammogram, lesion, centre, scale)
    yield Progress(1, 3, "editing by Poisson's equation")
    poisson = blend(normal, lesion, centre, scale=scale, angle=angle, method="poisson")
    yield Progress(2, 3, "blending")
    blended = blend(
        normal, lesion, centre, scale=scale, angle=angle, method=network.method, model=network
    )
    whole = {PASTED: blended.pasted, POISSON: poisson.image, BLENDED: blended.image}
    yield Finished(_compared(blended, whole))


def lesions_of_folder(folder: Path) -> Iterator[Event]:
    """Cut out the masses of a folder, of boxes or of reviewed images; finishes with a list.

    Those of real images, unless all are synthetic, as in the sample study.
    """
    yield Progress(0, 0, "reading the folder")
    from napari_pathogan.tasks.blending.lesions import cut  # noqa: PLC0415
    from napari_pathogan.tasks.masses.annotated import read_training_folder  # noqa: PLC0415
    from napari_pathogan.tasks.masses.data import need_masses  # noqa: PLC0415

    read = read_training_folder(folder)
    need_masses(read)
    found: list[Lesion] = []
    real = np.flatnonzero((read.n_masses > 0) & ~read.synthetic)
    chosen = (real if len(real) else np.flatnonzero(read.n_masses)).tolist()
    for done, index in enumerate(chosen):
        yield Progress(done, len(chosen), "cutting out masses")
        image, name = read.image(index), read.files[index].stem
        for number, mask in enumerate(read.mask(index), 1):
            found.append(cut(image, mask, name=f"{name}, mass {number}"))
        if len(found) >= MOST_LESIONS:
            break
    yield Finished(found[:MOST_LESIONS])


def lesions_marked(marked: Sequence[tuple[Mammogram, Detections]]) -> Iterator[Event]:
    """Cut out masses that were found or drawn in open images; finishes with a list."""
    from skimage.draw import polygon2mask  # noqa: PLC0415  (slow to import)

    from napari_pathogan.tasks.blending.lesions import cut  # noqa: PLC0415

    found: list[Lesion] = []
    for done, (mammogram, masses) in enumerate(marked):
        yield Progress(done, len(marked), "cutting out masses")
        image = mammogram.shown()
        for number, contour in enumerate(masses.contours, 1):
            mask = polygon2mask(image.shape, contour - 0.5)
            if mask.any():
                found.append(cut(image, mask, name=f"{mammogram.name}, mass {number}"))
    yield Finished(found)


def saving(path: Path, grown: Grown, normal: Mammogram) -> Iterator[Event]:
    """Save the blended mammogram as PNG, its mass beside it; finishes with the path."""
    from napari_pathogan.tasks.blending.single import write_single  # noqa: PLC0415

    if path.suffix.lower() != ".png":
        path = path.with_name(path.name + ".png")
    yield Progress(0, 0, f"saving {path.name}")
    write_single(path, grown.blended, normal)
    yield Finished(path)


def _place_checked(
    normal: np.ndarray,
    mammogram: Mammogram,
    lesion: Lesion,
    centre: tuple[float, float],
    scale: float,
) -> Iterator[Event]:
    """Warn where no mass would grow; it is grown all the same."""
    from napari_pathogan.mammograms.breast import NoBreastError  # noqa: PLC0415
    from napari_pathogan.tasks.blending.placing import places  # noqa: PLC0415

    try:
        free = places(normal, mammogram.view)
    except NoBreastError as error:
        yield Warn(f"{mammogram.name}: {error}")
        return
    cell = np.floor((np.asarray(centre) + 0.5) / free.factor).astype(int)
    row, column = np.clip(cell, 0, np.asarray(free.room.shape) - 1)
    if free.room[row, column] < lesion.radius * lesion.scale_in(normal.shape) * scale:
        yield Warn(
            "There the mass reaches out of the breast or over the pectoral muscle: to look at, "
            "not to train on"
        )


def _compared(blended: Blended, whole: dict[str, np.ndarray]) -> Grown:
    """Cut out what was worked on, and work out the losses of each way."""
    from napari_pathogan.tasks.blending.blend import loss_maps  # noqa: PLC0415

    y0, y1, x0, x1 = blended.window
    top, left = max(0, y0), max(0, x0)
    part = np.s_[top : max(0, y1), left : max(0, x1)]
    region = blended.region[part]
    areas = {"seamless": max(1, region.sum()), "background": max(1, (~region).sum())}
    losses: dict[str, dict[str, np.ndarray]] = {name: {} for name in areas}
    for way, image in whole.items():
        for name, loss in loss_maps(blended, image).items():
            losses[name][way] = loss[part]
    means = {
        name: {way: float(loss.sum() / areas[name]) for way, loss in ways.items()}
        for name, ways in losses.items()
    }
    images = {way: image[part] for way, image in whole.items()}
    return Grown(images, losses, means, (top, left), blended)
