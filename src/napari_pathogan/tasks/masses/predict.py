"""Masses of mammograms, image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.limits import limits
from napari_pathogan.mammograms.breast import NoBreastError
from napari_pathogan.tasks.masses.detections import SCOPE, Detections, ViewSearched
from napari_pathogan.tasks.masses.model import NOTHING
from napari_pathogan.tasks.masses.sizes import missed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.tasks.masses.model import MassModel


def detect(mammograms: Sequence[Mammogram], model: MassModel) -> Iterator[Event]:
    """Look for masses in one or more views.

    Findings below the model's threshold are kept: it is the reader who moves it.

    Yields
    ------
    Progress and :class:`ViewSearched` after each image; Warn of what its notes say, and where it shows no breast and so has no
    findings;
    Finished with a list of :class:`Detections`, one an image.

    Raises
    ------
    NoBreastError
        If the only image shows no breast.
    """
    done = []
    for number, mammogram in enumerate(mammograms):
        yield Progress(number, len(mammograms), f"looking at {mammogram.name}")
        yield from map(Warn, mammogram.notes)
        try:
            found = model.detect(mammogram.shown())
        except NoBreastError as error:
            if len(mammograms) == 1:
                file = mammogram.name if mammogram.path is None else mammogram.path.name
                raise NoBreastError(f"{file}: {error}") from error
            yield Warn(f"{mammogram.name}: {error}")
            found = NOTHING
        card = model.card
        done.append(
            Detections.on(
                mammogram,
                *found,
                threshold=model.threshold,
                model=card.name,
                sha256=card.sha256,
                scope=limits(SCOPE, card.blind_to),
                missed=missed(card.settings, mammogram),
            )
        )
        yield ViewSearched(number, done[-1])
    yield Progress(len(mammograms), len(mammograms), "done")
    counts = {found.name: len(found.at(model.threshold)) for found in done}
    yield Finished(done, {"masses": counts})
