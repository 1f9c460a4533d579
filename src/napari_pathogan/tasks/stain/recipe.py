"""How a style is learned: the paper's settings, and quick ones for a small pool."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TrainConfig:
    """What to train and how. The defaults are the paper's (section 3.1).

    Attributes
    ----------
    width
        Multiplier of the network's channels.
    class_loss
        Weight of the class loss; the paper tried 1/30 to 1/300. 0 is the arm without it. Used
        where the pool has sub-folders for classes.
    epochs, steps
        Epochs, and training steps in each.
    batch, crop
        Pictures in a step, their side in pixels.
    lr, rho, eps
        Of Adadelta.
    anneal
        Share of the training over which the learning rate falls linearly to 0, at its end.
    lightness
        How strongly lightness is varied at the input (contrast by up to this share, density by
        half of it), so that a slide darker than the pool gets the same colours. Not in the paper.
    ema
        Decay of the average of the weights that becomes the model; 0 takes the last weights.
    """

    width: float = 1.0
    class_loss: float = 1 / 300
    epochs: int = 200
    steps: int = 100
    batch: int = 64
    crop: int = 224
    lr: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    anneal: float = 0.0
    lightness: float = 0.0
    ema: float = 0.0
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for config.json and the card."""
        return asdict(self)


RECIPES = {
    "paper": TrainConfig(),
    "quick": TrainConfig(
        width=0.25, epochs=10, steps=40, batch=16, anneal=0.5, lightness=0.3, ema=0.98
    ),
}
