"""What a detector gains by learning on from reviewed masses: each half by one of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.before_after import HALVES, compared, halves, judged, too_good
from napari_pathogan.engine.report import Report
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.tasks.masses.scored import Scored

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from torchvision.models.detection import MaskRCNN

    from napari_pathogan.engine.events import Event
    from napari_pathogan.tasks.masses.data import MassFolder
    from napari_pathogan.tasks.masses.detections import Detections
    from napari_pathogan.tasks.masses.model import MassModel

    Learn = Callable[[RunFolder, np.ndarray, int], Generator[Event, None, MaskRCNN]]
    Look = Callable[[MaskRCNN, np.ndarray], Generator[Event, None, list[Detections]]]

FPPI = 0.5  # the operating point that the paper reports
FIGURE = "tpr_at_0.5"


def before_and_after(
    folder: MassFolder, run: RunFolder, old: MassModel, learn: Learn, look: Look
) -> Generator[Event, None, Report]:
    """Measure a detector, and those that go on from it, on patients that these did not learn from.

    Parameters
    ----------
    old
        The model that is used so far.
    learn
        ``(run, indices, number)`` -> a detector that goes on from it with these images.
    look
        ``(detector, indices)`` -> what it finds in each of these images.

    Returns
    -------
    A report with the share found at 0.5 false positives an image before, after and the gain; a note
    alone where all masses are of one patient, or of one half of them.
    """
    title, counts = f"{old.card.name}, before and after", {"n_images": len(folder)}
    half = halves(folder.patients)
    if half is None or any(not folder.n_masses[half == k].any() for k in range(HALVES)):
        note = "not measured, which needs masses of two patients at least"
        return judged(Report(title, {}, counts, (note,)), FIGURE)
    found: tuple[list[Detections | None], ...] = ([None] * len(folder), [None] * len(folder))
    for k in range(HALVES):
        new = yield from learn(
            RunFolder(run.path / "held_back" / str(k)), np.flatnonzero(half != k), k
        )
        tested = np.flatnonzero(half == k)
        for own, detector in zip(found, (old.network, new), strict=True):
            for i, seen in zip(tested, (yield from look(detector, tested)), strict=True):
                own[i] = seen
    hits = [Scored.of(folder, [one for one in own if one is not None]).hits for own in found]

    def figure(which: np.ndarray) -> tuple[float, float] | None:
        if not folder.n_masses[which].any():
            return None
        times = np.bincount(which, minlength=len(folder))
        before, after = (own.curve(times).tpr_at(FPPI) for own in hits)
        return before, after

    metrics = compared(FIGURE, figure, folder.patients)
    notes = (
        "each half of the patients by a detector that learnt from the other half alone",
        *too_good(old.card.knows(folder.patients)),
    )
    counts |= {"n_masses": int(folder.n_masses.sum())}
    return judged(Report(title, metrics, counts, notes), FIGURE)
