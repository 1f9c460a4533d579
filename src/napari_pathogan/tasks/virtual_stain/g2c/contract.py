"""What the task's contract names: evaluating on a folder, against another model, and by two levels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.config import SettingError
from napari_pathogan.tasks.virtual_stain.g2c.data import ClassFolder, read_folder
from napari_pathogan.tasks.virtual_stain.g2c.evaluate import Scored, after_first_level, gain, report
from napari_pathogan.tasks.virtual_stain.g2c.model import G2CModel

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.engine.report import Report


def evaluated(folder: Path, model: G2CModel, *, against: str = "", first: str = "") -> Report:
    """Evaluate a model on a folder of labelled images.

    Parameters
    ----------
    against
        Another model of the same classes, such as another arm: how much better this one is.
    first
        A model of the level before, of whose classes one holds all of this one's labels: figures
        on what it had right, as in the paper, and with its errors counted as errors.

    Raises
    ------
    DataFolderError
        If the folder lacks a class that the model tells apart.
    SettingError
        If the other models are of other classes.
    """
    images = read_folder(folder, model.groups)
    training = model.card.settings.get("training_accuracy")
    known = np.array([training[name] for name in model.classes]) if training else None
    scored = Scored.of(images, model.logits(images.images), known)
    notes = [*images.notes, *_seen_before(images, model)]
    done = report(scored, title=model.card.title, notes=notes)
    metrics = dict(done.metrics)
    where = str(model.device.torch)
    if against:
        other = G2CModel.load(against, where)
        if other.groups != model.groups:
            msg = (
                f"{other.card.name} tells {', '.join(other.classes)} apart, "
                f"{model.card.name} {', '.join(model.classes)}: they can't be compared"
            )
            raise SettingError(msg)
        metrics |= gain(scored, Scored.of(images, other.logits(images.images)))
        notes += [f"..._gain: more than {other.card.name}", *_seen_before(images, other)]
    if first:
        level = G2CModel.load(first, where)
        right = _first_level(images, model, level)
        metrics |= after_first_level(scored, right)
        notes += [
            f"given_...: only what {level.card.name} has right, as in the paper ({int(right.sum())} images)",
            f"through_...: what {level.card.name} has wrong ({int((~right).sum())} images) counts as wrong",
            *_seen_before(images, level),
        ]
    return replace(done, metrics=metrics, notes=tuple(dict.fromkeys(notes)))


def _first_level(images: ClassFolder, model: G2CModel, level: G2CModel) -> np.ndarray:
    """Bool (N,): whether the first level puts an image into the class that holds its label."""
    labels = {label for own in model.groups.values() for label in own}
    holds = [k for k, own in enumerate(level.groups.values()) if labels <= set(own)]
    if not holds:
        msg = (
            f"{level.card.name} is no first level of {model.card.name}: none of its classes, "
            f"{', '.join(level.classes)}, holds all of {', '.join(sorted(labels))}"
        )
        raise SettingError(msg)
    right: np.ndarray = level.logits(images.images).argmax(1) == holds[0]
    return right


def _seen_before(images: ClassFolder, model: G2CModel) -> list[str]:
    known = model.card.knows(images.names)
    if not known:
        return []
    of = f"{len(known)} of these {len(images.names)} patients"
    return [f"{model.card.name} was trained on {of}: its figures are too good"]
