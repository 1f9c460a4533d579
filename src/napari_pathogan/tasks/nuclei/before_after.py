"""What a model gains by learning on from corrected nuclei: each half by a network of the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.before_after import HALVES, compared, halves, judged, too_good
from napari_pathogan.engine.report import Report, Value
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.engine.trainer import one_part
from napari_pathogan.tasks.nuclei import model
from napari_pathogan.tasks.nuclei.evaluate import Scored, figures, predicted_images, score
from napari_pathogan.tasks.nuclei.starts import joined
from napari_pathogan.tasks.nuclei.train import train

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_pathogan.engine.events import Event
    from napari_pathogan.tasks.nuclei.config import TrainConfig
    from napari_pathogan.tasks.nuclei.data import NucleiFolder
    from napari_pathogan.tasks.nuclei.model import NucleiModel

_FIGURES = "dice", "pq"


def before_and_after(  # noqa: PLR0917
    folder: NucleiFolder,
    config: TrainConfig,
    run: RunFolder,
    old: NucleiModel,
    start: Path,
    device: str,
) -> Generator[Event, None, Report]:
    """Measure a model, and networks that go on from it, on images that these did not learn from.

    Halves are of patients, or of regions where all are of one, which are alike: then the gain is that on
    this patient.

    Parameters
    ----------
    config
        How the network of all images will learn.
    old
        The model that is used so far, and in whose colours networks learn.
    start
        The folder of the model that networks begin with.

    Returns
    -------
    A report with Dice, and PQ where nuclei are numbered, before, after and the gain; a note alone
    where all that is known belongs together, or one half has no nucleus.
    """
    several = len(folder.names) > 1
    names = np.array([image.name for image in folder.images])
    groups = folder.patients if several else names
    half = halves(groups)
    title = f"{old.card.name}, before and after"
    with_nuclei = np.array([bool((image.mask > 0).any()) for image in folder.images])
    if half is None or any(not with_nuclei[half == k].any() for k in range(HALVES)):
        note = "not measured, which needs nuclei of two patients, or in two regions, at least"
        return judged(Report(title, {}, _counts(folder), (note,)), _FIGURES[0])
    before: dict[str, Scored] = {}
    after: dict[str, Scored] = {}
    learnt = folder.carried(old.reference, old.share)
    for k in range(HALVES):
        part = RunFolder(run.path / "held_back" / str(k))
        part.start(config, resume=True)
        own, others = (learnt.take(half != k), learnt.take(half == k))
        training = train(own, config, part, device=device, start=start, held_out=others)
        network = (yield from one_part(training, k, HALVES + 1, f"half {k + 1} of {HALVES}")).result
        tested = folder.take(half == k)
        changed = replace(old, network=model.quick(joined(network, start)))
        for scored, tried in (before, old), (after, changed):
            for image, planes in predicted_images(tested, tried):
                scored[image.name] = score(
                    image, planes, tried.threshold, instances_known=folder.instances
                )
    pairs = [(before[name], after[name]) for name in names]
    metrics: dict[str, Value] = {}
    for figure in _FIGURES:

        def of(which: np.ndarray, figure: str = figure) -> tuple[float, float] | None:
            one, two = (
                figures([pairs[i][side] for i in which], np.ones(len(which))).get(figure)
                for side in (0, 1)
            )
            return None if one is None or two is None else (one, two)

        metrics |= compared(figure, of, groups)
    what = "patients" if several else "regions of one patient"
    note = f"each half of the {what} by a network that learnt from the other half alone"
    notes = (note, *too_good(old.card.knows(folder.names)))
    return judged(Report(title, metrics, _counts(folder), notes), _FIGURES[0])


def _counts(folder: NucleiFolder) -> dict[str, int]:
    return {"n_images": len(folder), "n_patients": len(folder.names)}
