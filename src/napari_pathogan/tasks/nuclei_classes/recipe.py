"""How class models are trained: the paper's recipe, and one that finds biology more often."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_pathogan.tasks.nuclei_classes.network import Head


@dataclass(frozen=True)
class TrainConfig:
    """What to train and how. The defaults are the paper's (section 3.3).

    Attributes
    ----------
    classes, latent
        Of the categorical c (the paper's 3, and 5) and of the noise z.
    width
        Filters of the networks' widest pictures; the next layers have twice and four times more.
    seed, epochs, batch
        As usual; an epoch shows each nucleus to the critic once.
    lr_g, lr_d, lr_q
        Learning rates of the generator, of critic and trunk, of the heads for class and noise.
    betas
        Of Adam.
    decay
        Whether the learning rates fall to 0 along a line over the second half.
    ema
        Decay of the averages of the weights that become the model; 0 takes the last weights.
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
        ``pooled`` or ``figures``, the weaker, higher-level ones of its outlook
        (see :class:`.network.Critic`).
    normalise
        Whether nuclei are first carried to the same colours, image by image.
    jitter
        Strength of random shifts of brightness, hue and contrast in the real nuclei that the class
        head is fitted to (see ``rounds``), and in the drawn ones that it sees; 1 is strong.
    rounds
        Rounds of fitting the class head to real nuclei before the game begins, in which it then
        stays as it is; needs ``head=figures``. 0 is the paper's InfoGAN, whose class head learns
        in the game, from generated nuclei alone.
    neighbours
        How much the nearest nuclei count in what a nucleus should be, from the second round on.
    preview_every
        Epochs between pictures of generated nuclei.
    """

    classes: int = 3
    latent: int = 16
    width: int = 32
    seed: int = 0
    epochs: int = 3200
    batch: int = 64
    lr_g: float = 1e-4
    lr_d: float = 1e-4
    lr_q: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.9)
    decay: bool = False
    ema: float = 0.0
    critic_steps: int = 5
    penalty: float = 10.0
    penalty_every: int = 1
    information: float = 1.0
    noise: float = 0.0
    told: bool = False
    head: Head = "flat"
    normalise: bool = False
    jitter: float = 0.0
    rounds: int = 0
    neighbours: float = 0.8
    preview_every: int = 10

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for config.json and the card."""
        return asdict(self)


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
        head="figures",
        normalise=True,
        jitter=0.3,
        rounds=5,
    ),
}
