"""How a U-Net is trained: the paper's recipe, a quick one, and one for a pretrained encoder."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field

from napari_pathogan.engine import config as base
from napari_pathogan.engine.config import (
    Betas,
    Count,
    Share,
    Some,
    Weight,
    checked,
    one_cycle,
)
from napari_pathogan.tasks.nuclei.augment import Augment
from napari_pathogan.tasks.nuclei.model import CROP_PX

if TYPE_CHECKING:
    from collections.abc import Iterable


@checked
class TrainConfig(base.TrainConfig):
    """What to train and how. The defaults are the paper's (section 3.2), where it says.

    Attributes
    ----------
    backbone
        The pretrained network whose maps stand for the way down
        (:mod:`~napari_pathogan.engine.backbones`); none as in the paper.
    width
        Channels of the U-Net's first stage; with a backbone, of each step up.
    squares
        1, or 2 for a U-Net that works at half the resolution.
    crop
        Side of a training crop in pixels of 0.25 um, a multiple of 16 (of 32 with squares of 2).
    batch
        Crops a step; an epoch shows as many pixels as the training images have.
    least_steps
        Of an epoch, however few pixels these are.
    common_epochs
        Of a cross-validation: epochs that the folds of one half of the patients learn in common,
        from the other half alone, before each goes on by itself; 0: each learns from scratch.
    final_epochs
        Epochs of the training on all patients after cross-validation; 0: as many as a fold.
    lr, betas, weight_decay
        Of Adam (decoupled decay).
    encoder_lr
        Share of the learning rate for what is pretrained.
    schedule
        ``constant`` as in the paper; ``one-cycle``: up over the first fifth, then down a cosine.
    dice
        Weight of the Dice loss beside the cross entropy; 0 is cross entropy alone.
    boundary
        Weight of boundary pixels in the cross entropy.
    others_share
        Share of the crops that are of other laboratories' images, where there are some.
    on_nuclei
        Share of the crops whose middle is on a nucleus; the others lie anywhere.
    normalise
        How far images are carried to the average colours of the training patients before the
        trained network sees them: 0 not at all, 1 all the way.
    views
        In how many of the 8 flips and quarter turns the trained network sees an image: its answer
        is their mean.
    augment
        How crops are varied; the paper's are rotations and inversions.
    """

    backbone: str = ""
    width: Count = 32
    squares: Literal[1, 2] = 1
    crop: Annotated[int, Field(ge=16)] = CROP_PX
    common_epochs: Some = 0
    final_epochs: Some = 0
    batch: Count = 16
    least_steps: Some = 0
    lr: Weight = 1e-4
    encoder_lr: Share = 0.2
    betas: Betas = (0.9, 0.999)
    weight_decay: Weight = 0.0
    schedule: Literal["constant", "one-cycle"] = "constant"
    dice: Weight = 0.0
    boundary: Weight = 1.0
    others_share: Share = 0.25
    on_nuclei: Share = 0.0
    normalise: Share = 0.0
    views: Annotated[int, Field(ge=1, le=8)] = 1
    augment: Augment = field(default_factory=Augment)

    def rate(self, progress: float) -> float:
        """As ``schedule`` says."""
        return one_cycle(progress) if self.schedule == "one-cycle" else 1.0

    def adjusted(self, settings: Iterable[str] = (), **flags: Any) -> Self:
        """Change single settings; who asks for a backbone begins with the recipe for one.

        As :meth:`~napari_pathogan.engine.config.TrainConfig.adjusted`.
        """
        settings = tuple(settings)
        typed = [one.partition("=")[2] for one in settings if one.startswith("backbone=")]
        asked = flags.get("backbone") or (typed[-1] if typed else "")
        recipe: Any = replace(PRETRAINED, seed=self.seed) if asked and not self.backbone else self
        changed: Self = base.TrainConfig.adjusted(recipe, settings, **flags)
        return changed

    def ignored(self) -> dict[str, str]:
        """What only the paper's U-Net reads, and what only one with an encoder."""
        if self.backbone:
            return {"squares": "with a backbone the last step always works at half the resolution"}
        return {"encoder_lr": "nothing is pretrained without a backbone"}


def gentle(config: TrainConfig) -> TrainConfig:
    """A recipe for going on from a model with a few images: more steps, crops nearly as they are.

    Without, a U-Net that went on from six tiles of another laboratory did worse on others than before
    (docs/experiments.md).
    """
    how = config.augment
    mild = replace(
        how,
        scale=min(how.scale, 1.15),
        mix=0.0,
        stain=min(how.stain, 0.05),
        colour=min(how.colour, 0.02),
        degrade=0.0,
    )
    least = max(config.least_steps, 28)
    return replace(config, augment=mild, ema=min(config.ema, 0.95), least_steps=least)


_QUICK = TrainConfig(
    width=16,
    squares=2,
    crop=128,
    epochs=30,
    batch=4,
    lr=3e-3,
    betas=(0.9, 0.99),
    weight_decay=1e-2,
    schedule="one-cycle",
    ema=0.99,
    dice=1.0,
    on_nuclei=0.5,
    normalise=0.6,
    views=4,
    augment=Augment(mix=0.5, stain=0.15, colour=0.06, scale=1.5, degrade=0.3),
)
PRETRAINED = replace(
    _QUICK,
    backbone="efficientnet-lite0",
    width=64,
    crop=224,
    epochs=16,
    batch=6,
    lr=1.5e-3,
    views=2,
)

RECIPES = {"paper": TrainConfig(), "quick": _QUICK}
