"""How a blending network is trained; the paper names the losses and leaves the rest open."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from napari_pathogan.engine import config as base
from napari_pathogan.engine.config import Betas, Count, Decay, Positive, Weight, checked, one_cycle

Arm = Literal["blending", "adversarial"]


@checked
class TrainConfig(base.TrainConfig):
    """What to train and how.

    Attributes
    ----------
    method
        ``blending``, or ``adversarial``: the paper's arm without prior knowledge, in which noise
        takes the lesion's place and the prior loss is left out.
    width, judge
        Channels of the generator and of the discriminator at full size.
    membrane
        Whether the generator begins with levels met (see :class:`.network.Generator`).
    steps, batch
        Steps of an epoch, crops a step.
    crop
        Side of the crops, px of the working scale (:data:`.blend.WORKING_PX`); a multiple of 16.
    lr, lr_judge, betas
        Of Adam, for both networks; the rates follow one cycle.
    clip
        Longest gradient of a network that a step is taken along; a longer one is cut.
    prior
        lambda_p, the weight of the prior losses against the adversarial one.
    unit
        The prior losses see intensities (0 to 1) times this, so that a squared gradient and an
        absolute difference weigh alike; with 255 they are in the paper's grey levels.
    levels
        Sizes at which the seamless loss is taken, each half the one before; 1 is the paper's
        (see :func:`.losses.seamless_pyramid`).
    smallest, largest
        Range of the random resizing of lesions.
    """

    method: Arm = "blending"
    width: Count = 16
    judge: Count = 12
    membrane: bool = True
    epochs: Count = 6
    steps: Count = 60
    batch: Count = 3
    crop: Annotated[int, Field(ge=16)] = 128
    lr: Weight = 2e-3
    lr_judge: Weight = 1e-3
    betas: Betas = (0.5, 0.999)
    clip: Positive = 1.0
    prior: Weight = 10.0
    unit: Positive = 16.0
    levels: Count = 4
    smallest: Positive = 0.75
    largest: Positive = 1.33
    ema: Decay = 0.98

    def rate(self, progress: float) -> float:
        """One cycle."""
        return one_cycle(progress)


RECIPES = {"paper": TrainConfig()}
