"""How an IDC network is trained: the paper's recipe, and a quick one for small data."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Annotated, Literal

from pydantic import Field

from napari_pathogan.engine import config as base
from napari_pathogan.engine.config import (
    Betas,
    Count,
    Decay,
    Positive,
    Share,
    Some,
    Weight,
    checked,
    one_cycle,
)
from napari_pathogan.tasks.idc.augment import Augment

_GAN = (
    "adversarial", "fake_class", "penalty", "penalty_every", "penalty_norm", "generated",
    "generator_every", "batch_norm", "local_noise", "preview_every",
)  # fmt: skip
_FROZEN, _ALL = {"backbone", "side", "c", "student"}, {"method", "labelled", "seed"}
_DEEP = {"side", "fixed", "trunk_rate"}
Batch = Annotated[int, Field(ge=4)]  # a quarter of it has something
EMBEDDED = "efficientnet-lite0"


@checked
class TrainConfig(base.TrainConfig):
    """What to train and how. The defaults are the paper's (section 3.2).

    Attributes
    ----------
    method
        ``cgan``, or ``cnn``: the discriminator alone, learning from labelled patches only; or
        ``frozen``: a linear head on a pretrained trunk, fitted to labelled patches in one go, and a
        small network that it teaches, for
        which only ``labelled``, ``seed``, ``backbone``, ``side``, ``c`` and ``student`` count.
    width
        The paper's width multiplier; of the generator alone where there is a ``backbone``.
    labelled
        Share of the labels that may be seen; the other patches count as unlabelled.
    batch
        Patches a step; an epoch is as many steps as there are batches of all training patches.
    lr, betas, weight_decay
        Of Adam (decoupled decay), for both networks.
    schedule
        ``paper``: constant for half of the epochs, then linear to exactly 0. ``one-cycle``: up
        over the first fifth, then down a cosine.
    dropout, smoothing
        Of the features before the heads; of the class targets.
    adversarial
        Weight of the adversarial term against the class term of the discriminator.
    fake_class
        Weight of the class loss of generated patches in the discriminator's loss.
    penalty, penalty_every
        Weight of the gradient penalty; computed every so many steps with so many times the weight.
    penalty_norm
        Length that the gradient should have: 1 as in WGAN-GP, 0 for as flat as will do.
    generated
        Generated patches a step, as a share of the batch.
    generator_every
        Discriminator steps for one generator step.
    batch_norm
        Batch normalisation in the generator: in a short training it keeps patches from all
        looking alike. The paper names none.
    local_noise
        Noise at every layer of the generator, which makes fine texture; not in the paper.
    augment
        How patches are varied; the paper's is flips alone.
    patience
        Stop after so many epochs without a better AUC on held-out patients; 0 never stops.
    preview_every
        Epochs between pictures of generated patches.
    backbone, side
        A pretrained trunk (:mod:`~napari_pathogan.engine.backbones`), and to how many pixels
        patches are enlarged for it. "" is the paper's own five layers, for ``frozen`` the
        embedded one.
    fixed
        Share of the trunk's stages, from the input on, that don't learn (``cgan`` and ``cnn``).
    trunk_rate
        Learning rate of the others, as a share of that of the heads.
    c
        How freely the head of ``frozen`` is fitted: the inverse of the penalty on its weights.
    student
        Epochs in which that head teaches a small network; 0: there is none.
    """

    method: Literal["cgan", "cnn", "frozen"] = "cgan"
    width: Positive = 1.0
    labelled: Share = 1.0
    epochs: Count = 200
    batch: Count = 128
    lr: Weight = 2e-4
    betas: Betas = (0.5, 0.999)
    weight_decay: Weight = 0.0
    schedule: Literal["paper", "one-cycle"] = "paper"
    dropout: Decay = 0.0
    smoothing: Decay = 0.0
    ema: Decay = 0.999
    adversarial: Weight = 1.0
    fake_class: Weight = 1.0
    penalty: Weight = 10.0
    penalty_every: Count = 1
    penalty_norm: Weight = 1.0
    generated: Positive = 1.0
    generator_every: Count = 1
    batch_norm: bool = False
    local_noise: bool = False
    augment: Augment = field(default_factory=Augment)
    patience: Some = 0
    preview_every: Count = 10
    backbone: str = ""
    side: Count = 96
    fixed: Share = 0.5
    trunk_rate: Weight = 0.1
    c: Positive = 1e-3
    student: Some = 10

    @property
    def trunk(self) -> str:
        """The backbone by name; "" for the paper's own layers."""
        return self.backbone or (EMBEDDED if self.method == "frozen" else "")

    def ignored(self) -> dict[str, str]:
        """What only a GAN reads, what only a pretrained trunk, and what a frozen one does not."""
        if self.method == "frozen":
            others = (one.name for one in fields(self) if one.name not in _FROZEN | _ALL)
            return dict.fromkeys(others, "a head on a frozen trunk is fitted in one go")
        found = dict.fromkeys(("c", "student"), f"the method {self.method!r} has no frozen trunk")
        if not self.backbone:
            found |= dict.fromkeys(_DEEP, "no backbone is asked for")
        if self.method == "cnn":
            found |= dict.fromkeys(_GAN, "the method 'cnn' generates nothing")
            if self.backbone:
                found["width"] = "the backbone says how wide the network is"
        return found

    def rate(self, progress: float) -> float:
        """As ``schedule`` says; exactly 0 at 1."""
        if self.schedule == "paper":
            return min(1.0, 2.0 * (1.0 - progress))
        return one_cycle(progress)


RECIPES = {
    "paper": TrainConfig(),
    "quick": TrainConfig(
        epochs=10,
        batch=64,
        lr=1e-3,
        betas=(0.9, 0.999),
        weight_decay=1e-2,
        schedule="one-cycle",
        dropout=0.2,
        smoothing=0.05,
        ema=0.98,
        adversarial=0.02,
        fake_class=0.02,
        penalty=0.2,
        penalty_every=8,
        generated=0.5,
        generator_every=2,
        augment=Augment(normalise=0.2, mix=0.3, jitter=0.1, turns=True),
    ),
}


@checked
class DeepConfig(base.TrainConfig):
    """How a deep round learns.

    Attributes
    ----------
    steps, batch
        Of an epoch; half of a batch is annotated, a quarter other patches, a quarter generated.
    lr, weight_decay
        Of Adam (decoupled decay), one cycle up and down.
    jitter
        How strongly colours are varied; turns and flips always are.
    """

    epochs: Count = 8
    ema: Decay = 0.95
    steps: Count = 20
    batch: Batch = 64
    lr: Positive = 5e-4
    weight_decay: Weight = 1e-2
    jitter: Weight = 0.25

    def rate(self, progress: float) -> float:
        """Up over the first fifth, then down a cosine."""
        return one_cycle(progress)


DEEP_RECIPES = {"quick": DeepConfig()}
