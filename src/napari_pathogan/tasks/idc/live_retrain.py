"""A model retrained on annotated slides, measured before and after, and saved beside the old one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_pathogan.engine.before_after import FILE, compared, judged
from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.models import ModelCard, TrainingData, card_metrics, lineage
from napari_pathogan.engine.refit import AROUND, WEIGHT
from napari_pathogan.engine.report import Report, Value
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError
from napari_pathogan.files import write_text, written
from napari_pathogan.kinds import NEW, OURS
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc import live
from napari_pathogan.tasks.idc.data import CLASSES
from napari_pathogan.tasks.idc.metrics import mean_patient_auc
from napari_pathogan.tasks.idc.model import IdcModel, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.tasks.idc.live import AnnotatedFeatures

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Compared:
    """What two models say of patches.

    Attributes
    ----------
    labels, before, after
        (N,): what is true, and the logits of each.
    slides, groups
        (N,): whose they are, and which belong together.
    """

    labels: np.ndarray
    before: np.ndarray
    after: np.ndarray
    slides: np.ndarray
    groups: np.ndarray

    def values(self, prefix: str) -> dict[str, Value]:
        """AUC before, after and the gain, as :func:`.before_after.compared` over groups."""
        return compared(f"{prefix}_auc", self._aucs, self.groups)

    def _aucs(self, which: np.ndarray) -> tuple[float, float] | None:
        """Means over the slides that have both classes; None if none has."""
        own = self.labels[which], self.slides[which]
        one, two = (mean_patient_auc(own[0], x[which], own[1]) for x in (self.before, self.after))
        return None if one is None or two is None else (one, two)


def held_back(
    model: IdcModel,
    parts: Sequence[AnnotatedFeatures],
    *,
    by_slide: bool,
    says: Callable[[IdcModel, np.ndarray], np.ndarray] = live.logits,
) -> Compared | None:
    """Some annotated patches in turn, by a model refitted to the others; None where that can't be.

    Parameters
    ----------
    by_slide
        Hold whole slides back; else outlines, whose patches are alike, of all slides.
    says
        What a model says of figures (N, F): (N,).
    """
    labels, figures, outlines = (
        np.concatenate([getattr(part, what) for part in parts])
        for what in ("labels", "figures", "groups")
    )
    slides = np.repeat(np.arange(len(parts)), [len(part.labels) for part in parts])
    groups = slides if by_slide else slides * (1 + outlines.max(initial=0)) + outlines
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        return None
    fold = patient_folds(groups.astype(str), min(FOLDS, n_groups))
    before, after = says(model, figures), np.full(len(labels), np.nan)
    for k in np.unique(fold):
        test = fold == k
        if len(np.unique(labels[~test])) < len(CLASSES):
            return None
        left = [part.take(~test[slides == i]) for i, part in enumerate(parts)]
        changed = live.refitted(model, [part for part in left if len(part.labels)])
        after[test] = says(changed, figures[test])
    return Compared(labels, before, after, slides, groups)


def compare(model: IdcModel, changed: IdcModel, parts: Sequence[AnnotatedFeatures]) -> Report:
    """Before and after, on annotations held back and on what is kept of the first training."""
    metrics: dict[str, Value] = {}
    notes = []
    own = held_back(model, parts, by_slide=False)
    if own is not None:
        metrics |= own.values("held_back")
    if not metrics:
        notes.append("held back: not measured, which needs two outlines of each class at least")
    if len(parts) > 1 and (other := held_back(model, parts, by_slide=True)) is not None:
        metrics |= other.values("other_slide")
        notes.append(
            "other slide: each slide by a model that knows the annotations of the others alone"
        )
    past = live.past_of(model)
    one, two = (live.logits(x, past.figures) for x in (model, changed))
    alone = np.zeros(len(one), int), np.arange(len(one))
    metrics |= Compared(past.labels.astype(int), one, two, *alone).values("reference")
    notes.append(
        f"reference: {len(one)} of the images that the first model was trained on; what it falls by is "
        "forgotten"
    )
    counts = {
        f"n_{name}": sum(int((part.labels == i).sum()) for part in parts)
        for i, name in enumerate(CLASSES)
    }
    done = Report(f"{model.card.name}, before and after", metrics, counts, tuple(notes))
    return judged(done, "held_back_auc")


def retrain(
    slides: Sequence[Path],
    base: str,
    run: RunFolder,
    *,
    device: str = "auto",
    name: str = "",
    data: TrainingData | None = None,
    classes: Mapping[str, str] | None = None,
    mpp: float | None = None,
) -> Iterator[Event]:
    """Refit a model's head to what is annotated on slides; the old model stays as it is.

    Yields
    ------
    Progress and Warn; Finished with the report of before and after.

    Raises
    ------
    DataFolderError
        If a class is missing, or annotations are of another image.
    ModelNotFoundError, ModelError
        If there is no such model, or it can't be refitted.
    """
    model = IdcModel.load(base, device)
    live.past_of(model)
    parts, names = [], []
    drawings: list[Annotation] = []
    for number, path in enumerate(slides):
        yield Progress(number, len(slides), f"looking at {path.name}")
        with Slide.open(path, mpp=mpp) as slide:
            outlines, notes = live.read(slide)
            drawn = live.annotated(slide, outlines, classes)
            for note in (*notes, *drawn.notes):
                yield Warn(note)
            if not (drawn.labels >= 0).any():
                yield Warn(f"{path.name}: nothing to learn from is annotated on it")
                continue
            for event in (looking := live.Looking(live.look(slide, model))):
                if isinstance(event, Warn):
                    yield event
            assert looking.seen is not None
            parts.append(live.part_of(looking.seen, drawn))
            names.append(slide.name.split(".")[0])
            drawings += outlines
    if not parts:
        msg = "none of the slides has annotations to learn from; draw some in the dock, or import them"
        raise DataFolderError(msg)
    changed = live.refitted(model, parts, name)
    yield Progress(len(slides), len(slides), "comparing before and after")
    report = compare(model, changed, parts)
    asked = {"slides": [str(path) for path in slides], "base": base, "classes": dict(classes or {})}
    keep(run, asked, model, changed, report, names, live.digest_of(drawings), data)
    yield Finished(report, {"model": str(run.model), **report.to_dict()})


def keep(  # noqa: PLR0917 - as they come
    run: RunFolder,
    asked: dict[str, Any],
    model: IdcModel,
    changed: IdcModel,
    report: Report,
    names: Sequence[str],
    digest: str,
    data: TrainingData | None = None,
) -> None:
    """Save a refitted model in a run, with a card that says what it comes from; all of it, or nothing.

    Parameters
    ----------
    asked
        What the run was asked for.
    names
        The slides, which get pseudonyms.
    digest
        The sha256 of the annotations.
    """
    asked_of = {"method": "refit", "weight": WEIGHT, "around": AROUND}
    new = card_of(changed, model, report, names, digest, data, recipe=asked_of)
    run.check()
    with written(run.path, NEW) as beside:
        made = RunFolder(beside)
        made.start(asked)
        save_model(made.model, new, changed)
        write_text(made.path / FILE, report.to_json(), OURS)


def card_of(  # noqa: PLR0917 - as they come
    changed: IdcModel,
    model: IdcModel,
    report: Report,
    names: Sequence[str],
    digest: str,
    data: TrainingData | None = None,
    *,
    recipe: Mapping[str, Any],
    deep: bool = False,
) -> ModelCard:
    """The card of a model that was made of another one by annotated slides.

    Parameters
    ----------
    recipe
        How it has learnt.
    deep
        Whether its network has learnt on; else its head was refitted.
    """
    card, n = model.card, sum(report.counts.values())
    data = data or TrainingData(name="annotated slides")
    how = "learnt on from" if deep else "refitted to"
    title = re.split(r", (?:learnt on from|refitted to) \d", card.title)[0]
    command = f"pathogan retrain idc --slides ... --base {card.name} -o RUN{' --deep' * deep}"
    on = "generated patches" if deep else "images of the first training"
    return card.model_copy(
        update={
            "name": changed.card.name,
            "title": f"{title}, {how} {n} patches of {len(names)} slide{'s' * (len(names) > 1)}",
            "training_data": (*card.training_data, data.of(names, n)),
            "recipe": {**recipe, **lineage(card, digest), "patches": dict(report.counts)},
            "metrics": card_metrics(report.metrics),
            "looks": "",
            "measured_by": f"{command}: annotations held back in turn, and {on}",
        }
    )


def save_model(folder: Path, card: ModelCard, changed: IdcModel) -> None:
    """Write a model that was made of another one, with its own card."""
    assert isinstance(changed.network, torch.nn.Module)
    save(
        folder,
        card,
        changed.network,
        width=float(card.arguments.get("width", 1.0)),
        reference=changed.reference,
        share=changed.share,
        calibration=changed.calibration,
        context=changed.context,
        baseline=changed.baseline,
        by_student=changed.by_student,
        reach=changed.reach,
    )
