"""How a style is learned: the paper's settings, and quick ones for a small pool."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from napari_pathogan.engine import config as base
from napari_pathogan.engine.config import Count, Decay, Positive, Share, Weight, checked


@checked
class TrainConfig(base.TrainConfig):
    """What to train and how. The defaults are the paper's (section 3.1).

    Attributes
    ----------
    width
        Multiplier of the network's channels.
    class_loss
        Weight of the class loss; the paper tried 1/30 to 1/300. 0 is the arm without it. Used
        where the pool has sub-folders for classes.
    steps
        Training steps of an epoch.
    batch, crop
        Pictures in a step, their side in pixels.
    lr, rho, eps
        Of Adadelta.
    anneal
        Share of the training over which the learning rate falls linearly to 0, at its end.
    lightness
        How strongly lightness is varied at the input (contrast by up to this share, density by
        half of it), so that a slide darker than the pool gets the same colours. Not in the paper.
    """

    width: Positive = 1.0
    class_loss: Weight = 1 / 300
    epochs: Count = 200
    steps: Count = 100
    batch: Count = 64
    crop: Annotated[int, Field(ge=8)] = 224
    lr: Weight = 1.0
    rho: Decay = 0.9
    eps: Positive = 1e-6
    anneal: Share = 0.0
    lightness: Share = 0.0

    def rate(self, progress: float) -> float:
        """As ``anneal`` says."""
        return min(1.0, (1 - progress) / self.anneal) if self.anneal else 1.0


RECIPES = {
    "paper": TrainConfig(),
    "quick": TrainConfig(
        width=0.25, epochs=10, steps=40, batch=16, anneal=0.5, lightness=0.3, ema=0.98
    ),
}
