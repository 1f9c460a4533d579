"""How a pair of stains is trained: the paper's settings, and quick ones for a processor."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from napari_pathogan.engine import config as base
from napari_pathogan.engine.config import Betas, Count, Some, Weight, checked


@checked
class TrainConfig(base.TrainConfig):
    """What to train and how. The defaults are the paper's (section 3.3), which are CycleGAN's.

    Attributes
    ----------
    ngf, ndf, blocks
        Channels of the generators at full size and of the discriminators' first layer; residual
        blocks.
    residual
        Whether the generators add to the image in grey what they make. Not in the paper.
    epochs, decay_epochs
        All epochs, and those at their end over which the learning rate falls on a line to 0.
    steps, batch, crop
        Steps of an epoch (0: as many as the larger pool fills), pictures in one, their side in px.
    cycle, identity
        Weights of the cycle loss and of the identity loss, beside the adversarial one's 1.
    pool
        Earlier generated images that the discriminators see now and then.
    scale
        A crop is of a square between 1 / scale and scale times as large. Not in the paper.
    stain
        How strongly the source's optical density is varied, channel by channel, and its background
        brightness likewise: what is learnt is then less of one laboratory. Not in the paper.
    """

    ngf: Count = 64
    ndf: Count = 64
    blocks: Count = 9
    residual: bool = False
    epochs: Count = 200
    decay_epochs: Some = 100
    steps: Some = 0
    batch: Count = 1
    crop: Annotated[int, Field(ge=32, multiple_of=4)] = 256
    lr: Weight = 2e-4
    betas: Betas = (0.5, 0.999)
    cycle: Weight = 10.0
    identity: Weight = 5.0
    pool: Some = 50
    scale: base.Factor = 1.0
    stain: base.Share = 0.0

    def rate(self, progress: float) -> float:
        """Constant, then on a line to 0 at the end of the last epoch."""
        falling = min(self.decay_epochs, self.epochs) / self.epochs
        return min(1.0, (1 - progress) / falling) if falling else 1.0


RECIPES = {
    "paper": TrainConfig(),
    "quick": TrainConfig(
        ngf=16,
        ndf=24,
        residual=True,
        cycle=4.0,
        identity=2.0,
        epochs=14,
        decay_epochs=7,
        steps=100,
        crop=96,
        scale=1.25,
        stain=0.15,
        ema=0.99,
    ),
}
