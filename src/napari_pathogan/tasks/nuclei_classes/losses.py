"""The losses of the InfoGAN (section 3.3), with the terms that its printed equations lack.

Equation 3 is the Wasserstein distance E[D(x)] - E[D(G(z, c))]; equation 2 the gradient penalty
``lambda (||grad D(x^)|| - 1)^2`` between real and generated nuclei
(:func:`napari_pathogan.engine.penalty.gradient_penalty`). Equation 1 is a lower bound of the mutual
information, E[log Q(c | G(z, c))] + H(c): maximising it is minimising a cross entropy.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

_ROUNDS = 10  # of making classes as common as they shall be; what is left is under 1 %


def critic_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Minus the Wasserstein distance as the critic sees it: of (N,) and (N,) values."""
    return fake.mean() - real.mean()


def information_loss(logits: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """-E[log Q(c | G(z, c))]: equation 1 without the constant H(c), to be minimised.

    Parameters
    ----------
    logits
        (N, classes) of generated nuclei.
    c
        int64 (N,): the classes they were asked to be.
    """
    return F.cross_entropy(logits, c)


def noise_loss(estimate: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Mean squared error of z (N, latent) as estimated from the picture (the paper's outlook)."""
    return F.mse_loss(estimate, z)


def anchor_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy of Q on real nuclei (N, classes) against what they should be (N, classes)."""
    return -(target * logits.log_softmax(1)).sum(1).mean()


def agreed(
    own: torch.Tensor, near: torch.Tensor, weight: float, prior: torch.Tensor
) -> torch.Tensor:
    """What a nucleus should be, given what it and its neighbours look like.

    Classes stay as common as they were, so that none dies out.

    Parameters
    ----------
    own
        (N, classes) probabilities of each nucleus.
    near
        (N, K, classes) of its neighbours in the tissue.
    weight
        How much the neighbours count: 0 not at all.
    prior
        (classes,): how common each class shall be.

    Returns
    -------
    (N, classes), proportional to ``own * mean(near) ** weight`` and to one factor a class.
    """
    logs = (own + 1e-3).log() + weight * (near.mean(1) + 1e-3).log()
    target = logs.softmax(1)
    for _ in range(_ROUNDS):
        target = target * (prior / target.mean(0))
        target = target / target.sum(1, keepdim=True)
    return target
