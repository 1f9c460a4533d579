"""The class head fitted to real nuclei, before the game.

It begins with the groups that k-means finds (:mod:`.describe`). Every further round it is asked
what it makes of each nucleus, agrees that with the nearest nuclei in the tissue, which are mostly of
the same kind, and learns the answer: what can be seen in the nucleus itself of what its
surroundings say. Stain jitter keeps it from telling images apart instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from napari_pathogan.tasks.nuclei_classes.losses import agreed, anchor_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from napari_pathogan.tasks.nuclei_classes.network import Critic

_STEPS, _BATCH = 300, 256  # of a round
_LR, _DECAY = 1e-2, 1e-3


class Round(NamedTuple):
    """What a round ended with: its loss, and the share of nuclei that changed their class."""

    loss: float
    changed: float


def fit(
    critic: Critic,
    views: torch.Tensor,
    target: torch.Tensor,
    near: torch.Tensor,
    *,
    rounds: int,
    neighbours: float,
) -> Iterator[Round]:
    """Fit the class head to figures of real nuclei, in place.

    Parameters
    ----------
    critic
        With the head ``figures`` or ``rings``, its mean and spread measured.
    views
        (V, N, F): the figures of each nucleus as it is, and of restained ones.
    target
        (N, classes): what each nucleus is suggested to be.
    near
        int64 (N, K): its nearest nuclei.

    Yields
    ------
    A :class:`Round` each.
    """
    head = critic.fitted
    seen = critic.scaled(views)
    prior = target.mean(0)
    for number in range(rounds):
        before = target.argmax(1)
        if number:
            with torch.no_grad():
                own = head(seen[0]).softmax(1)
            target = agreed(own, own[near], neighbours, prior)
        yield Round(_round(head, seen, target), float((target.argmax(1) != before).float().mean()))


def _round(head: nn.Module, seen: torch.Tensor, target: torch.Tensor) -> float:
    """Learn one set of targets; returns the mean of the last losses."""
    optimiser = torch.optim.AdamW(head.parameters(), _LR, weight_decay=_DECAY)
    losses = []
    for _ in range(_STEPS):
        index = torch.randint(len(target), (_BATCH,))
        view = torch.randint(len(seen), (_BATCH,))
        loss = anchor_loss(head(seen[view, index]), target[index])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    return float(torch.stack(losses[-50:]).mean())
