"""A class model's head fitted also to classes that a reader has corrected: seconds, and no new trunk.

The head stays as near to the old one as the corrections let it: its change is penalised as its
weights once were. What was corrected is kept with the nuclei (:mod:`napari_pathogan.tasks.nuclei.retrain`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from napari_pathogan.annotations.classes import plain
from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.engine.before_after import FILE, HALVES, compared, halves, judged
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.models import TrainingData, card_metrics, lineage
from napari_pathogan.engine.report import Report
from napari_pathogan.errors import DataFolderError, ModelError
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei import annotated
from napari_pathogan.tasks.nuclei.segmentation import NUCLEUS
from napari_pathogan.tasks.nuclei_classes import model as models
from napari_pathogan.tasks.nuclei_classes.data import UNKNOWN, nuclei_of
from napari_pathogan.tasks.nuclei_classes.naming import naming
from napari_pathogan.tasks.nuclei_classes.supervised import SupervisedHead

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation

RIGHT, BALANCED = "right", "balanced"  # the share that is called right; mean over classes
_MIDDLE_UM = 100.0  # sides of squares whose nuclei are held back together, where there is one slide


def counted(
    slide: Slide,
    annotations: Sequence[Annotation],
    classes: Mapping[str, str] | None = None,
) -> tuple[dict[str, int], list[str]]:
    """How many nuclei of a known class there are to learn from, and what the user should know.

    Raises
    ------
    DataFolderError, UnknownScaleError
        If what is kept can't be read, or nobody says how large a pixel is.
    """
    del classes
    path = None if slide.path is None else annotated.store(slide.path).path
    if path is None or not path.is_file() or not annotations:
        return {"nuclei with a class": 0}, []
    found = annotated.read(path, slide)
    which = _told(found)
    counts = Counter(found.table["class"].astype(str)[which])
    said = ", ".join(f"{n} {name}" for name, n in counts.most_common())
    notes = [f"{slide.name}: {said}"] if said else []
    if not said and len(found.table):
        notes = [f"{slide.name}: no nucleus has a class that a reader has given it"]
    return {"nuclei with a class": int(which.sum())}, notes


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
    """Fit a class model's head also to corrected classes; the old model stays as it is.

    Yields
    ------
    Progress and Warn; Finished with the report of before and after.

    Raises
    ------
    SettingError
        If classes are given.
    DataFolderError
        If no nucleus has a class that the model knows, or one class alone.
    ModelNotFoundError, ModelError
        If there is no such model, or it was not taught by labels.
    """
    if classes:
        raise SettingError(
            f"classes={', '.join(classes)} would count for nothing: nuclei are kept with theirs"
        )
    old = models.ClassModel.load(base, device)
    if not isinstance(old.critic, SupervisedHead):
        msg = (
            f"{old.card.name} found its classes by itself and is not taught any; choose "
            "nuclei-classes-crc-labels, or train one with `nuclei classes train --labels`"
        )
        raise ModelError(msg)
    features, labels, groups, owners = [], [], [], []
    digest = hashlib.sha256()
    for number, path in enumerate(slides):
        yield Progress(number, len(slides), f"looking at the nuclei of {path.name}")
        with Slide.open(path, mpp=mpp) as slide:
            found = annotated.read(AnnotationStore(path, annotated.SUFFIX).path, slide)
            which = np.flatnonzero(_told(found))
            own, unknown = _numbers(old, found.table["class"].astype(str).to_numpy()[which])
            if unknown:
                yield Warn(
                    f"{slide.name}: {old.card.name} does not know the class"
                    f"{'es' * (len(unknown) > 1)} {', '.join(unknown)}; left out"
                )
            which, own = which[own >= 0], own[own >= 0]
            if not len(which):
                continue
            points = found.table[["y_px", "x_px"]].to_numpy()[which]
            nuclei = nuclei_of(slide, points, [UNKNOWN] * len(which), old.mpp)
            crops = nuclei.cropped(old.crop_px)
            features.append(old.features(crops, nuclei.stains[slide.name]))
            labels.append(own)
            groups.append([f"{number} {y} {x}" for y, x in (nuclei.centres // _MIDDLE_UM).tolist()])
            owners += [slide.name.split(".")[0]] * len(own)
            digest.update(np.ascontiguousarray(points).tobytes() + own.tobytes())
    if not labels:
        msg = (
            "no nucleus of these slides has a class that the model knows; correct some in the dock"
        )
        raise DataFolderError(msg)
    seen, known = np.concatenate(features), np.concatenate(labels)
    if len(np.unique(known)) < 2:
        only = old.names[known[0]]
        msg = f"all {len(known)} nuclei are of the class {only}: correct some of another class too"
        raise DataFolderError(msg)
    yield Progress(len(slides), len(slides), "comparing before and after")
    slide_of = np.array(owners)
    several = len(set(owners)) > 1
    report = compare(old, seen, known, slide_of if several else np.concatenate(groups))
    report = replace(report, counts={**report.counts, "n_slides": len(set(owners))})
    report = judged(report, RIGHT)
    new = refitted(old, seen, known)
    # where the old one was checked says nothing of this one; the names are the reader's by now
    new = replace(new, card=new.card.model_copy(update={"validated_on": ()}))
    new = new.regrouped(old.names, old.colours)
    data = (data or TrainingData(name="corrected nuclei")).of(owners, len(set(owners)))
    new.card = new.card.model_copy(
        update={
            "name": name or run.path.name,
            "title": f"{old.card.title.partition(', refitted to')[0]}, refitted to {len(known)} nuclei",
            "training_data": (*old.card.training_data, data),
            "recipe": {
                **old.card.recipe,
                **lineage(old.card, digest.hexdigest()),
            },
            "metrics": card_metrics(report.metrics),
            "measured_by": f"pathogan retrain nuclei-classes --slides ... --base {old.card.name} -o RUN: "
            "corrected nuclei held back in halves"
            if report.metrics
            else "",
        }
    )
    run.start({"slides": [str(path) for path in slides], "base": base})
    models.save(run.model, new)
    write_text(run.path / FILE, report.to_json(), OURS)
    yield Finished(report, {"model": str(run.model), **report.to_dict()})


def refitted(old: models.ClassModel, features: np.ndarray, labels: np.ndarray) -> models.ClassModel:
    """A model whose head also knows some nuclei: features (N, F) as it sees them, labels (N,)."""
    assert isinstance(old.critic, SupervisedHead)
    with torch.no_grad():
        own = old.critic.scaled(torch.from_numpy(features)).double().numpy()
    before, n = _logits(old, features), len(old.names)
    each = len(labels) / len(np.unique(labels)) / np.bincount(labels, minlength=n)[labels]
    penalty = 1 / float(old.card.recipe["c"])
    right = np.eye(n)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        change = flat.reshape(-1, n)
        z = before + own @ change[:-1] + change[-1]
        off = each[:, None] * (softmax(z, 1) - right)
        value = -float(each @ (log_softmax(z, 1) * right).sum(1))
        # the offset too, or a part of a slide that is full of one class would have all called so
        value += penalty / 2 * float((change**2).sum())
        slope = np.concatenate([own.T @ off, off.sum(0)[None]]) + penalty * change
        return value, slope.ravel()

    flat = minimize(loss, np.zeros((own.shape[1] + 1) * n), jac=True, method="L-BFGS-B").x
    change = torch.from_numpy(flat.reshape(-1, n)).float()
    head = SupervisedHead(n, old.critic.trunk.name, old.critic.trunk.sha256)
    state = {key: value.cpu().clone() for key, value in old.critic.state_dict().items()}
    state["classify.weight"] += change[:-1].T
    state["classify.bias"] += change[-1]
    head.load_state_dict(state)
    return replace(old, critic=head.eval().requires_grad_(requires_grad=False))


def compare(
    old: models.ClassModel, features: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> Report:
    """Each half by a head fitted to the other alone, beside the head as it was."""
    title, counts = f"{old.card.name}, before and after", {"n_nuclei": len(labels)}
    half = halves(groups)
    if half is None or any(len(np.unique(labels[half != k])) < 2 for k in range(HALVES)):
        note = "not measured, which needs nuclei of two classes in each of two slides, or far apart"
        return Report(title, {}, counts, (note,))
    before = _logits(old, features).argmax(1)
    after = np.empty_like(before)
    for k in range(HALVES):
        test = half == k
        after[test] = _logits(refitted(old, features[~test], labels[~test]), features[test]).argmax(
            1
        )

    def figure(which: np.ndarray) -> tuple[float, float] | None:
        one, two = (float((found[which] == labels[which]).mean()) for found in (before, after))
        return one, two

    def balanced(which: np.ndarray) -> tuple[float, float] | None:
        true = labels[which]
        one, two = (
            float(np.mean([(found[which][true == k] == k).mean() for k in np.unique(true)]))
            for found in (before, after)
        )
        return one, two

    notes = (
        "each half of the slides, or of squares of 100 um of one, by a head that knows the other half alone",
    )
    metrics = compared(RIGHT, figure, groups) | compared(BALANCED, balanced, groups)
    return Report(title, metrics, counts, notes)


def _logits(model: models.ClassModel, features: np.ndarray) -> np.ndarray:
    assert isinstance(model.critic, SupervisedHead)
    return model.critic.cpu().logits(features).astype(np.float64)


def _told(found: Segmentation) -> np.ndarray:
    """Which nuclei have a class that a reader gave them: corrected ones, or all where no model was asked."""
    table = found.table
    own = table["corrected"].to_numpy(bool) if found.class_model else np.ones(len(table), bool)
    told: np.ndarray = own & (table["class"].astype(str) != NUCLEUS).to_numpy()
    return told


def _numbers(model: models.ClassModel, names: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The model's number of each class, -1 where it knows none of that name; and those names."""
    known = {plain(name): i for i, name in enumerate(naming(model.card).names)}
    known |= {plain(name): i for i, name in enumerate(model.names)}
    found = np.array([known.get(plain(name), -1) for name in names], int)
    return found, sorted(set(names[found < 0].tolist()))
