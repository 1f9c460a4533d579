"""How class models are trained: the paper's recipe, one that finds biology more often, or labels."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Literal

from pydantic import Field

from napari_pathogan.engine import config as base
from napari_pathogan.engine.backbones import DEFAULT
from napari_pathogan.engine.config import (
    Betas,
    Count,
    Positive,
    Share,
    Some,
    Weight,
    checked,
)

_TAUGHT, _ALWAYS = {"backbone", "views", "c"}, {"labels", "classes", "seed"}
Head = Literal["flat", "pooled", "figures", "rings"]


@checked
class TrainConfig(base.TrainConfig):
    """What to train and how. The defaults are the paper's (section 3.3).

    Attributes
    ----------
    labels
        Whether a linear head on a pretrained trunk is taught the labels (see :mod:`.supervised`),
        for which only ``classes``, ``seed``, ``backbone``, ``views`` and ``c`` count.
    classes, latent
        Of the categorical c (the paper's 3, and 5) and of the noise z.
    width
        Filters of the networks' widest pictures; the next layers have twice and four times more.
    batch
        Nuclei a step; an epoch shows each nucleus to the critic once.
    lr_g, lr_d, lr_q
        Learning rates of the generator, of critic and trunk, of the heads for class and noise.
    betas
        Of Adam.
    decay
        Whether the learning rates fall to 0 along a line over the second half.
    critic_steps
        Steps of the critic for one of the generator.
    penalty, penalty_every
        Weight of the gradient penalty; computed every so many steps with so many times the weight.
    information
        Weight of the mutual information between c and what is drawn.
    noise
        Weight of estimating z from the picture (the paper's outlook); 0 leaves it out.
    told
        Whether the critic is told the class: of a drawn nucleus what was asked for, of a real one
        what the class head calls it. Needs ``rounds``.
    head
        What the class head looks at: ``flat``, every feature at every place, as in the paper;
        ``pooled``, ``figures`` or ``rings``, the weaker, higher-level ones of its outlook
        (see :class:`.network.Critic`).
    normalise
        Whether nuclei are first carried to the same colours, image by image.
    density
        Whether they are carried there by mean and spread of the optical density of all that is in
        an image, rather than by mean and covariance of its tissue in RGB.
    jitter
        Strength of random shifts of brightness, hue and contrast in the real nuclei that the class
        head is fitted to (see ``rounds``), and in the drawn ones that it sees; 1 is strong.
    rounds
        Rounds of fitting the class head to real nuclei before the game begins, in which it then
        stays as it is; needs ``head=figures`` or ``head=rings``. 0 is the paper's InfoGAN, whose class head learns
        in the game, from generated nuclei alone.
    neighbours
        How much the nearest nuclei count in what a nucleus should be, from the second round on.
    preview_every
        Epochs between pictures of generated nuclei.
    backbone
        The trunk of a model that is taught labels (:mod:`napari_pathogan.engine.backbones`).
    views
        In so many ways it sees each nucleus: as it is, and turned and restained.
    c
        Inverse of the penalty on its head's weights.
    """

    labels: bool = False

    classes: Annotated[int, Field(ge=2)] = 3
    latent: Some = 16
    width: Count = 32
    epochs: Some = 3200
    batch: Count = 64
    lr_g: Weight = 1e-4
    lr_d: Weight = 1e-4
    lr_q: Weight = 2e-4
    betas: Betas = (0.5, 0.9)
    decay: bool = False
    critic_steps: Count = 5
    penalty: Weight = 10.0
    penalty_every: Count = 1
    information: Weight = 1.0
    noise: Weight = 0.0
    told: bool = False
    head: Head = "flat"
    normalise: bool = False
    density: bool = False
    jitter: Weight = 0.0
    rounds: Some = 0
    neighbours: Share = 0.8
    preview_every: Count = 10
    backbone: str = DEFAULT
    views: Count = 2
    c: Positive = 3e-3

    def rate(self, progress: float) -> float:
        """As ``decay`` says."""
        return min(1.0, 2 * (1 - progress)) if self.decay else 1.0

    def ignored(self) -> dict[str, str]:
        """What a method does not read."""
        if not self.labels:
            return dict.fromkeys(_TAUGHT, "it is for --labels")
        names = {field.name for field in fields(self)} - _TAUGHT - _ALWAYS
        return dict.fromkeys(sorted(names), "a head is fitted to labels in one go")


RECIPES = {
    "paper": TrainConfig(),
    "quick": TrainConfig(
        width=16,
        epochs=64,
        batch=32,
        lr_g=3e-4,
        lr_d=1e-3,
        lr_q=1e-3,
        decay=True,
        ema=0.999,
        critic_steps=2,
        penalty_every=2,
        noise=0.05,
        told=True,
        head="rings",
        normalise=True,
        density=True,
        jitter=0.3,
        rounds=5,
    ),
}
