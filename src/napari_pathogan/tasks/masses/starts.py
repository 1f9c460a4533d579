"""What a detector begins with: an earlier run of the same folds, or a model.

Whatever is tested must begin with what has seen nothing of the patients that it is tested on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathogan.engine.crossval import earlier
from napari_pathogan.engine.models import fitting, locate, read_card
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.masses.model import TASK
from napari_pathogan.tasks.masses.network import BUILDERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from napari_pathogan.engine.models import ModelCard, TrainingData
    from napari_pathogan.tasks.masses.config import TrainConfig
    from napari_pathogan.tasks.masses.data import MassFolder

# of the learning rate: with a tenth, a finished detector forgets what it knew
LR_OF_A_MODEL = 0.03
_SHAPE = ("detector", "width", "long_side", "crop")


def model_of(start: str) -> tuple[Path, ModelCard] | None:
    """Folder and card of the model to begin with; None if it is a run.

    Raises
    ------
    ModelNotFoundError
        If ``start`` is neither a run nor a model.
    """
    if RunFolder(Path(start)).config.is_file():
        return None
    folder = locate(start, TASK)
    return folder, read_card(folder)


def going_on(config: TrainConfig, start: str) -> TrainConfig:
    """How a detector learns that begins with a model: of its shape, carefully, from nothing else.

    A run to begin with changes nothing: it had the same settings.

    Raises
    ------
    ModelNotFoundError
        If ``start`` is neither a run nor a model.
    ModelError
        If the model's card does not say how it was trained.
    """
    found = model_of(start)
    if found is None:
        return config
    _, card = found
    with fitting(card, *BUILDERS):
        shape = {name: card.recipe[name] for name in _SHAPE}
    shape["crop"] = tuple(shape["crop"])
    shape["backbone"] = card.recipe.get("backbone", config.backbone)
    shape["grey"] = card.settings.get("grey", "shown")
    shape["scales"] = tuple(card.settings["scales"])
    return replace(config, **shape, lr=config.lr * LR_OF_A_MODEL, procedural_epochs=0)


def check_start(start: str, folder: MassFolder, fold: np.ndarray) -> None:
    """Make sure that no detector begins with one that knows patients it will be tested on.

    Raises
    ------
    DataFolderError
        If ``start`` is a run that is not finished, or of other patients or folds; or a model that
        has learnt from one of the patients, who is now to be tested.
    ModelNotFoundError
        If it is neither.
    """
    found = model_of(start)
    if found is None:
        earlier(RunFolder(Path(start)), folder.patients, fold)
        return
    _, card = found
    again = card.knows(folder.patients[fold >= 0])
    if again:
        msg = f"{card.name} has learnt from {len(again)} of these patients: train without --folds"
        raise DataFolderError(msg)


def learnt_from(before: Sequence[TrainingData], now: TrainingData) -> tuple[TrainingData, ...]:
    """What a model knows that has gone on from another: all that came before, and its own images.

    Of the same images, with others that came to them, only the latest state is named.
    """
    same = now.name, now.terms
    others = (
        part
        for part in (part.pseudonymous() for part in before)
        if (part.name, part.terms) != same or not set(part.patients) <= set(now.patients)
    )
    return (*others, now)
