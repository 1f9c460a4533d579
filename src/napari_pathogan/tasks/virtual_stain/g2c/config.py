"""How a generator-to-classifier is trained: the paper's recipe, and a quick one without a GPU."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from napari_pathogan.engine import config as base
from napari_pathogan.engine.backbones import DEFAULT
from napari_pathogan.engine.config import Count, Decay, Positive, Some, Weight, checked

RESNET, ALEXNET = "resnet", "alexnet"
SOURCE, ALL, EVERY = "source", "all", "every"
LARGEST = 256  # px: images are read no larger

Side = Annotated[int, Field(ge=32, le=LARGEST, multiple_of=4)]
Jitter = Annotated[float, Field(ge=0, lt=1)]


@checked
class TrainConfig(base.TrainConfig):
    """What to train and how. The defaults are the paper's (sections 3.2, 3.3 and 4.1).

    The paper states neither the batch, the depth of the ResNet nor the strength of the jitter.

    Attributes
    ----------
    backend
        What looks at every stain with the same weights: ``resnet`` (18 layers, with the paper's
        stem), ``alexnet`` (the 32 px one of Table 5), or a pretrained trunk, as
        :func:`~napari_pathogan.engine.backbones.load_backbone` takes it.
    arm
        What is looked at: ``source`` alone, or with one more stain by its name, or with ``all``
        stains that generators are given for; ``every`` one of these arms, one after another.
    joint
        Whether the generators learn along with the classifier.
    freeze
        Epochs in which they don't, at the beginning.
    frozen_trunk
        Whether a pretrained trunk stays as it is.
    width
        Channels of the ResNet's first stage, or of AlexNet's last one.
    side
        Images are resized to so many pixels, for generators and classifier alike.
    batch
        Images a step.
    balanced
        Whether every class is drawn equally often; else as often as it occurs.
    lr, momentum
        Of SGD.
    step, decay
        Every so many epochs the learning rate is multiplied by ``decay``.
    gamma
        Of the focal loss; 0 is the cross entropy.
    flips
        Whether images are flipped at random, in both directions.
    brightness, saturation
        They are multiplied by a factor within so much of 1.
    """

    epochs: Count = 30
    backend: str = RESNET
    arm: str = ALL
    joint: bool = True
    freeze: Some = 5
    frozen_trunk: bool = False
    width: Annotated[int, Field(ge=2, multiple_of=2)] = 64
    side: Side = 224
    batch: Count = 16
    balanced: bool = False
    lr: Positive = 0.01
    momentum: Decay = 0.5
    step: Count = 5
    decay: Positive = 0.1
    gamma: Weight = 2.0
    flips: bool = True
    brightness: Jitter = 0.2
    saturation: Jitter = 0.2

    @property
    def pretrained(self) -> bool:
        """Whether the back end is a pretrained trunk."""
        return self.backend not in {RESNET, ALEXNET}

    @property
    def still(self) -> bool:
        """Whether nothing before the front end ever changes, so that it is looked at once."""
        augmented = self.flips or self.brightness or self.saturation
        return self.frozen_trunk and not self.joint and not augmented

    def rate(self, progress: float) -> float:
        """Share of the learning rate: divided every few epochs, by steps."""
        epoch = int(progress * self.epochs + 1e-9)  # a whole epoch may come out a hair too small
        return self.decay ** (epoch // self.step)

    def ignored(self) -> dict[str, str]:
        """Settings that count for nothing here -> why."""
        why = {"ema": "the last weights become the model, as in the paper"}
        if not self.joint:
            why["freeze"] = "the generators are frozen throughout (joint is false)"
        if self.arm == SOURCE:
            why |= dict.fromkeys(("joint", "freeze"), "the arm source has no generators")
        if self.pretrained:
            why["width"] = "a pretrained trunk has its own"
        else:
            why["frozen_trunk"] = f"{self.backend} begins with random weights, so it learns"
        return why


RECIPES = {
    "paper": TrainConfig(),
    "quick": TrainConfig(
        backend=DEFAULT,
        frozen_trunk=True,
        joint=False,
        side=96,
        flips=False,
        brightness=0.0,
        saturation=0.0,
    ),
}
