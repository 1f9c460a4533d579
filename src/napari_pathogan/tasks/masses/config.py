"""How a mass detector is trained: the paper's recipe, and a quick one for small data."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field

from napari_pathogan.engine import config as base
from napari_pathogan.engine.config import (
    Count,
    Share,
    Some,
    Weight,
    checked,
    one_cycle,
)
from napari_pathogan.tasks.masses.augment import Augment
from napari_pathogan.tasks.masses.frame import LONG_SIDE_PX, Grey

SLIM, PRETRAINED = "maskrcnn-slim", "maskrcnn-pretrained"
_Scale = Annotated[float, Field(gt=0, le=4)]
Arm = Literal["real", "poisson", "adversarial", "blending"]


@checked
class TrainConfig(base.TrainConfig):
    """What to train and how. The defaults are the paper's (section 3), where it says.

    Attributes
    ----------
    arm
        ``real`` mammograms alone, or beside synthetic ones: lesions put into healthy breasts by
        Poisson image editing, by a GAN without prior knowledge, or by the blending GAN.
    synthetic
        How many synthetic mammograms there are.
    synthetic_share
        Share of the crops with a mass that are taken from them.
    detector, width
        A builder of :mod:`~.network`, and the channels of a slim one's first stage.
    backbone
        The trunk of a pretrained one (:mod:`~napari_pathogan.engine.backbones`).
    weights
        A file of COCO weights to begin with; empty: from scratch.
    long_side
        Of a whole mammogram, in the pixels in which masses are looked for.
    scales
        Of it, at which each breast is looked at, upright and upside down, when masses are looked for.
    grey
        What greys a detector sees: as ``shown``, or their ``ranks`` in the breast, which no LUT,
        gamma or film changes.
    crop
        Height and width of a training crop, multiples of 32.
    batch
        Crops a step.
    steps
        Batches an epoch; the same for every arm, so that all learn for as long.
    procedural_epochs
        Epochs on breasts made of noise (:mod:`~.procedural`) before a patient is seen; all folds
        begin with the same detector.
    heads_epochs, upper_epochs
        The paper's steps: so many epochs the heads alone learn, then so many the stages from 4 on
        as well; then everything.
    with_mass
        Share of the crops that hold a mass; the others lie anywhere in a healthy breast.
    lr, weight_decay
        Of AdamW.
    trunk_lr
        The trunk's learning rate, as a share of ``lr``.
    schedule
        ``constant``, or ``one-cycle``: up over the first fifth, then down a cosine.
    box_loss, mask_loss
        Weights of the losses (lambda_loc and lambda_seg of equation 6).
    augment
        How crops are varied.
    """

    arm: Arm = "real"
    synthetic: Some = 200
    synthetic_share: Share = 0.7
    detector: str = "maskrcnn-resnet50-fpn"
    width: Count = 64
    backbone: str = "efficientnet-lite0"
    weights: str = ""
    long_side: Annotated[int, Field(ge=32)] = 1024
    scales: Annotated[tuple[_Scale, ...], Field(min_length=1)] = (0.75, 1.0, 1.33)
    grey: Grey = "shown"
    crop: tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]] = (768, 512)
    batch: Count = 2
    steps: Count = 100
    procedural_epochs: Some = 0
    heads_epochs: Some = 30
    upper_epochs: Some = 30
    with_mass: Share = 0.8
    lr: Weight = 1e-4
    trunk_lr: Weight = 1.0
    weight_decay: Weight = 1e-4
    schedule: Literal["constant", "one-cycle"] = "constant"
    box_loss: Weight = 1.0
    mask_loss: Weight = 1.0
    augment: Augment = field(default_factory=Augment)

    def ignored(self) -> dict[str, str]:
        """What only one of the detectors reads, or only an arm that blends."""
        own = {SLIM: "width", PRETRAINED: "backbone"}.get(self.detector, "weights")
        others = {"width", "backbone", "weights"} - {own}
        found = dict.fromkeys(others, f"the detector {self.detector} does not read it")
        if self.arm == "real":
            no_lesion = "the arm 'real' blends no lesion"
            found |= dict.fromkeys(("synthetic", "synthetic_share"), no_lesion)
        return found

    def rate(self, progress: float) -> float:
        """As ``schedule`` says."""
        return one_cycle(progress) if self.schedule == "one-cycle" else 1.0


RECIPES = {
    "paper": TrainConfig(),
    "quick": TrainConfig(
        synthetic_share=0.5,
        detector="maskrcnn-slim",
        width=24,
        long_side=LONG_SIDE_PX,
        crop=(288, 192),
        epochs=12,
        batch=8,
        steps=80,
        procedural_epochs=12,
        heads_epochs=0,
        upper_epochs=0,
        lr=1e-3,
        weight_decay=1e-2,
        schedule="one-cycle",
        ema=0.99,
        augment=Augment(rotate=20, scale=1.3, shear=0.1, gamma=1.4, contrast=0.2, noise=0.02),
    ),
    "pretrained": TrainConfig(
        synthetic_share=0.5,
        detector="maskrcnn-pretrained",
        long_side=512,
        grey="ranks",
        crop=(256, 192),
        epochs=7,
        batch=8,
        steps=80,
        procedural_epochs=7,
        heads_epochs=0,
        upper_epochs=10,  # all of them: what lies below, edges and textures, is as ImageNet's
        lr=1e-3,
        trunk_lr=0.3,
        weight_decay=1e-2,
        schedule="one-cycle",
        ema=0.99,
        augment=Augment(
            rotate=20,
            scale=1.3,
            shear=0.1,
            gamma=1.4,
            contrast=0.2,
            noise=0.04,
            tone=0.6,
            sharpness=0.9,
        ),
    ),
}


def arguments(config: TrainConfig) -> dict[str, Any]:
    """Arguments of the detector's builder that a model's card must keep."""
    # the smallest masses that these know are 20 px of a mammogram with a long side of 1024
    smallest = 24 / 1024 * config.long_side
    if config.detector == SLIM:
        return {"width": config.width, "smallest": smallest}
    if config.detector == PRETRAINED:
        from napari_pathogan.engine.backbones import architecture_of  # noqa: PLC0415  (torch)

        architecture = architecture_of(config.backbone)
        return {"architecture": architecture, "smallest": smallest}
    return {}
