"""How a blending network is trained; the paper names the losses and leaves the rest open."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Arm = Literal["blending", "adversarial"]


@dataclass(frozen=True)
class TrainConfig:
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
    seed, epochs, steps, batch
        As usual; an epoch is so many steps.
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
    ema
        Decay of the average of the weights that becomes the model; 0 takes the last weights.
    """

    method: Arm = "blending"
    width: int = 16
    judge: int = 12
    membrane: bool = True
    seed: int = 0
    epochs: int = 6
    steps: int = 60
    batch: int = 3
    crop: int = 128
    lr: float = 2e-3
    lr_judge: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.999)
    clip: float = 1.0
    prior: float = 10.0
    unit: float = 16.0
    levels: int = 4
    smallest: float = 0.75
    largest: float = 1.33
    ema: float = 0.98

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for config.json and the card."""
        return asdict(self)
