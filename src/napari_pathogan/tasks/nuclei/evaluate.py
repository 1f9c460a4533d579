"""How good a segmentation is: the paper's figures and those of instances, over patients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_pathogan.engine.folds import patient_resamples
from napari_pathogan.engine.report import (
    Report,
    Value,
    about_patients,
    about_skipped,
    with_intervals,
)
from napari_pathogan.tasks.nuclei.baseline import ABOUT
from napari_pathogan.tasks.nuclei.data import need_nuclei
from napari_pathogan.tasks.nuclei.instances import instances
from napari_pathogan.tasks.nuclei.metrics import (
    Instances,
    instance_table,
    match,
    pixel_counts,
    pixel_table,
)
from napari_pathogan.tasks.nuclei.model import MPP, looked
from napari_pathogan.tasks.nuclei.network import MULTIPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_pathogan.tasks.nuclei.baseline import PixelBaseline
    from napari_pathogan.tasks.nuclei.data import NucleiFolder, NucleiImage
    from napari_pathogan.tasks.nuclei.model import NucleiModel

ROUNDS = 1000


@dataclass(frozen=True, eq=False)
class Scored:
    """One image's counts: ``pixels`` (4,), and ``instances`` where they are known."""

    name: str
    patient: str
    pixels: np.ndarray
    instances: Instances | None = None


def evaluate(folder: NucleiFolder, model: NucleiModel, *, rounds: int = ROUNDS) -> Report:
    """Evaluate a model on images with masks, at the scale and size they have.

    Parameters
    ----------
    folder
        Where its masks number the nuclei, instances are evaluated too.
    rounds
        Bootstrap resamples of the patients for the 95 % intervals.

    Raises
    ------
    DataFolderError
        If no mask marks a nucleus.
    """
    need_nuclei(folder)
    scored = [
        score(image, planes, model.threshold, instances_known=folder.instances)
        for image, planes in predicted_images(folder, model)
    ]
    done = report(
        scored,
        title=model.card.title,
        rounds=rounds,
        trained_on=model.card.knows(folder.names),
        skipped=folder.skipped,
    )
    if note := looked(model):
        done = replace(done, notes=(*done.notes, note))
    if model.baseline is None:
        return done
    return beside(done, [by_baseline(image, model.baseline) for image in folder.images])


def by_baseline(image: NucleiImage, baseline: PixelBaseline) -> Scored:
    """One image's counts by stain alone."""
    planes = foretell(image, baseline.probability)
    return score(image, planes, baseline.threshold, instances_known=False)


def beside(done: Report, simple: Sequence[Scored]) -> Report:
    """A report with the Dice of stain alone."""
    found = pixel_table(np.stack([one.pixels for one in simple]), np.ones(len(simple)))
    shown = {f"baseline_{name}": Value(found[name]) for name in ("dice", "dice_mean")}
    return replace(
        done, metrics={**done.metrics, **shown}, notes=(*done.notes, f"baseline: {ABOUT}")
    )


def predicted_images(
    folder: NucleiFolder, model: NucleiModel
) -> Iterator[tuple[NucleiImage, np.ndarray]]:
    """Each image with its label probabilities, in the colours of its patient's images.

    Yields
    ------
    image, probability
        As :func:`foretell`.
    """
    for name in folder.names:
        own = folder.take(folder.patients == name).images
        pixels = np.concatenate([image.pixels.reshape(-1, 3) for image in own])
        coloured = model.in_colours_of(pixels)
        for image in own:
            yield image, foretell(image, coloured.probability)


def foretell(image: NucleiImage, probability: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Label probabilities of a whole image, laid back on its own pixels.

    Parameters
    ----------
    probability
        As :meth:`NucleiModel.probability`.

    Returns
    -------
    float32 (3, H, W), of the image's own size.
    """
    pixels, _ = image.at(MPP)
    height, width = pixels.shape[:2]
    padding = [(0, -side % MULTIPLE) for side in (height, width)]
    padded = np.pad(pixels, [*padding, (0, 0)], "symmetric")
    found = probability(padded[None])[0, :, :height, :width]
    own = image.mask.shape
    if found.shape[1:] == own:
        return np.ascontiguousarray(found)
    size = (own[1], own[0])
    planes = [Image.fromarray(p).resize(size, Image.Resampling.BILINEAR) for p in found]
    return np.stack([np.asarray(plane) for plane in planes])


def score(
    image: NucleiImage, probability: np.ndarray, threshold: float, *, instances_known: bool
) -> Scored:
    """Count an image's pixels, and instances where its mask numbers them.

    What counts is the segmentation that a user gets, the pixels of all nuclei found: their holes
    are filled, and specks are dropped.

    Parameters
    ----------
    probability
        (3, H, W) of :func:`foretell`.
    """
    known = image.mask >= 0
    found = instances(probability, mpp=image.mpp, threshold=threshold)
    matched = None
    if instances_known:
        matched = match(np.where(known, image.mask, 0), np.where(known, found, 0))
    counts = pixel_counts(image.mask > 0, found > 0, known)
    return Scored(image.name, image.patient, counts, matched)


def report(
    scored: Sequence[Scored],
    *,
    title: str,
    rounds: int = ROUNDS,
    trained_on: set[str] | frozenset[str] = frozenset(),
    skipped: tuple[str, ...] = (),
) -> Report:
    """Report on scored images, however they were segmented."""
    patients = np.array([one.patient for one in scored])
    values = figures(scored, np.ones(len(scored)))
    n_patients = len(np.unique(patients))
    resamples = patient_resamples(patients, rounds if n_patients > 1 else 0)
    metrics = with_intervals(values, (figures(scored, weights) for weights in resamples))
    counts = {"n_images": len(scored), "n_patients": n_patients}
    if (known := _instances(scored)) is not None:
        counts["n_nuclei"] = sum(m.matched + m.missed for m in known)
        counts["n_found"] = sum(m.matched + m.extra for m in known)
    return Report(title, metrics, counts, _notes(scored, patients, trained_on, skipped))


def _instances(scored: Sequence[Scored]) -> list[Instances] | None:
    known = [one.instances for one in scored if one.instances is not None]
    return known if known and len(known) == len(scored) else None


def figures(scored: Sequence[Scored], weights: np.ndarray) -> dict[str, float | None]:
    """The figures of images that count as often as ``weights`` (N,) say; None where not defined."""
    found = pixel_table(np.stack([one.pixels for one in scored]), weights)
    known = _instances(scored)
    return found if known is None else {**found, **instance_table(known, weights)}


def _notes(
    scored: Sequence[Scored],
    patients: np.ndarray,
    trained_on: set[str] | frozenset[str],
    skipped: tuple[str, ...],
) -> tuple[str, ...]:
    notes = about_patients(patients, trained_on)
    if _instances(scored) is None:
        notes.append("the masks do not number the nuclei: AJI, PQ and F1 can't be given")
    empty = sum(not one.pixels[[0, 2]].any() for one in scored)
    if empty:
        notes.append(f"{empty} images have no nucleus: their sensitivity is not in the mean")
    return (*notes, *about_skipped(skipped))
