"""Several networks that say together what a pixel is: the mean of their probabilities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_pathogan.engine.config import SettingError
from napari_pathogan.tasks.nuclei.encoder import EncoderUNet
from napari_pathogan.tasks.nuclei.network import UNet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UNET, WITH_ENCODER, ENSEMBLE = "unet", "unet-encoder", "ensemble"


class Ensemble(nn.Module):
    """Labels each pixel background, nucleus or boundary, as its members do on average.

    Parameters
    ----------
    members
        Each as ``{"architecture": ..., "arguments": {...}}``.
    networks
        The members themselves, ready to predict; by default such as those, whose weights are still to
        be loaded.
    """

    def __init__(
        self, members: Sequence[dict[str, Any]], networks: Sequence[UNet | EncoderUNet] = ()
    ) -> None:
        super().__init__()
        self.arguments = {"members": list(members)}
        self.members: Any = nn.ModuleList(networks or [built(**one) for one in members])

    @classmethod
    def of(cls, networks: Sequence[UNet | EncoderUNet]) -> Ensemble:
        """A ensemble of networks that are ready to predict."""
        members = [{"architecture": kind(one), "arguments": one.arguments} for one in networks]
        return cls(members, networks)

    @property
    def multiple(self) -> int:
        """What the sides of an image must divide by."""
        return math.lcm(*(int(one.multiple) for one in self.members))

    @property
    def seen_px(self) -> int:
        """How far they see to each side."""
        return max(int(one.seen_px) for one in self.members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] -> logarithms of the mean probabilities (N, 3, H, W)."""
        said = [one(x).float().log_softmax(1) for one in self.members]
        return torch.logsumexp(torch.stack(said), 0) - math.log(len(said))


def learner(architecture: str, arguments: Mapping[str, Any]) -> int | None:
    """Which member of an ensemble goes on learning: its first paper's U-Net; None of what is no ensemble.

    Raises
    ------
    SettingError
        If it has none.
    """
    if architecture != ENSEMBLE:
        return None
    kinds = [one["architecture"] for one in arguments["members"]]
    if UNET not in kinds:
        raise SettingError(
            "it is an ensemble without a U-Net that could learn on; begin with another"
        )
    return kinds.index(UNET)


def learner_weights(
    weights: Mapping[str, torch.Tensor], which: int | None
) -> dict[str, torch.Tensor]:
    """The weights of what goes on learning, as :func:`learner` says."""
    if which is None:
        return dict(weights)
    prefix = f"members.{which}."
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def kind(network: nn.Module) -> str:
    """The name of a network's architecture, as cards have it."""
    return {UNet: UNET, EncoderUNet: WITH_ENCODER, Ensemble: ENSEMBLE}[type(network)]


def built(architecture: str, arguments: dict[str, Any]) -> UNet | EncoderUNet | Ensemble:
    """A network of an architecture, whose weights are still to be loaded."""
    if architecture == ENSEMBLE:
        return Ensemble(**arguments)
    if architecture == WITH_ENCODER:
        return EncoderUNet(**arguments)
    return UNet(**arguments, normalised=False)
