"""A pair of stains that a training begins with: what structures look like need not be learnt again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_pathogan.tasks.virtual_stain.model import VirtualStainModel

if TYPE_CHECKING:
    import torch

    from napari_pathogan.engine.models import TrainingData
    from napari_pathogan.tasks.virtual_stain.config import TrainConfig
    from napari_pathogan.tasks.virtual_stain.train import Trainer


def going_on(config: TrainConfig, *, start: str = "") -> TrainConfig:
    """A recipe whose networks have the shape of those that are begun with.

    Raises
    ------
    ModelNotFoundError, ModelError
        If ``start`` is no pair of stains.
    """
    if not start:
        return config
    return replace(config, **VirtualStainModel.load(start, "cpu").card.arguments)


def begin(trainer: Trainer, start: str, source_stain: str) -> tuple[TrainingData, ...]:
    """Give a trainer the networks of another pair; returns what that one learnt from.

    If the other pair's target stain is this one's source stain, the directions are swapped.
    """
    if not start:
        return ()
    pair = VirtualStainModel.load(start, "cpu")
    mine, theirs = ["forth", "reverse"], ["source_judge", "target_judge"]
    if pair.target_stain == source_stain:
        mine.reverse()
        theirs.reverse()
    took: dict[str, torch.nn.Module] = {
        "forth": getattr(pair, mine[0]),
        "reverse": getattr(pair, mine[1]),
        "source_judge": getattr(pair, theirs[0]),
        "target_judge": getattr(pair, theirs[1]),
    }
    trainer.begin(took)
    return pair.card.training_data
