"""What a model says of annotations for IDC: outlines in turn, by a head that knows the others alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from napari_pathogan.annotations.review import AnnotationReview, Doubt
from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.errors import DataFolderError
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc import live
from napari_pathogan.tasks.idc.data import CLASSES
from napari_pathogan.tasks.idc.live_retrain import held_back
from napari_pathogan.tasks.idc.model import IdcModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_pathogan.tasks.idc.live import AnnotatedCells, AnnotatedFeatures

_EVEN = 0.5


def reviewed(model: IdcModel, part: AnnotatedFeatures, drawn: AnnotatedCells) -> AnnotationReview:
    """What a model says of each outline of a slide.

    Parameters
    ----------
    part, drawn
        As :func:`.live.part_of` and :func:`.live.annotated` give them.
    """

    def says(own: IdcModel, figures: np.ndarray) -> np.ndarray:
        found: np.ndarray = expit(own.calibration.logit(live.logits(own, figures)))
        return found

    apart = held_back(model, [part], by_slide=False, says=says)
    chance = says(model, part.figures) if apart is None else apart.after
    against = np.where(part.labels == 1, 1 - chance, chance)
    called = np.where(against > _EVEN, 1 - part.labels, part.labels)
    doubts = []
    for number in np.unique(part.groups).tolist():
        own = part.groups == number
        outline, label = drawn.outlines[number], int(part.labels[own][0])
        left, top, right, bottom = outline.geometry.bounds
        y, x = int(top), int(left)
        place = Region(y, x, max(int(np.ceil(bottom)) - y, 1), max(int(np.ceil(right)) - x, 1))
        mean = float(against[own].mean())
        suggested = CLASSES[1 - label if mean > _EVEN else label]
        otherwise = int((called[own] != label).sum())
        said = outline.class_name, CLASSES[label], suggested
        doubts.append(Doubt(number, *said, mean, int(own.sum()), otherwise, place))
    confusion = {
        (CLASSES[a], CLASSES[b]): int(((part.labels == a) & (called == b)).sum())
        for a in range(len(CLASSES))
        for b in range(len(CLASSES))
    }
    return AnnotationReview(
        tuple(sorted(doubts, key=lambda one: -one.against)), confusion, apart is not None
    )


def review(
    slides: Sequence[Path],
    base: str,
    *,
    device: str = "auto",
    classes: Mapping[str, str] | None = None,
    mpp: float | None = None,
) -> Iterator[Event]:
    """Review what is annotated on slides, each by itself.

    Yields
    ------
    Progress and Warn; Finished with an :class:`AnnotationReview` by slide, its path.

    Raises
    ------
    DataFolderError
        If nothing is annotated that could be learnt from, or annotations are of another image.
    ModelNotFoundError, ModelError
        If there is no such model, or it has no head that could be refitted.
    """
    model = IdcModel.load(base, device)
    live.past_of(model)
    found = {}
    for number, path in enumerate(slides):
        yield Progress(number, len(slides), f"looking at {path.name}")
        with Slide.open(path, mpp=mpp) as slide:
            outlines, _ = live.read(slide)
            drawn = live.annotated(slide, outlines, classes)
            if not (drawn.labels >= 0).any():
                yield Warn(f"{path.name}: nothing to learn from is annotated on it")
                continue
            looking = live.Looking(live.look(slide, model, drawn.labels >= 0))
            yield from (event for event in looking if isinstance(event, Warn))
            assert looking.seen is not None
            found[path] = reviewed(model, live.part_of(looking.seen, drawn), drawn)
    if not found:
        msg = "none of the slides has annotations to review; draw some in the dock, or import them"
        raise DataFolderError(msg)
    yield Finished(found)
