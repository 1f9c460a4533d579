"""The discriminator of the paper's outlook: its two heads on a pretrained trunk as deep as today's.

The trunk learns on, its first stages excepted; batch norms keep the statistics that they came with,
since a batch here holds generated patches as well as real ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from napari_pathogan.engine.backbones import Trunk, create_network, load_network, stages
from napari_pathogan.tasks.idc.network import PATCH_PX

if TYPE_CHECKING:
    from collections.abc import Iterator


class DeepDiscriminator(Trunk):
    """Tells IDC from healthy, and real from generated, by what a trunk of timm sees.

    Parameters
    ----------
    architecture
        timm's name of the network.
    side
        Patches are enlarged to so many pixels first.
    dropout
        Share of the features dropped before the two linear heads while training.
    trunk
        The network with its weights; one without by default, whose weights are loaded afterwards.

    Raises
    ------
    ModelError
        If timm has no such network, or it takes images of another size alone.
    """

    def __init__(
        self,
        architecture: str,
        side: int,
        dropout: float = 0.0,
        trunk: Any = None,  # noqa: ANN401 - timm has no types
    ) -> None:
        super().__init__(create_network(architecture) if trunk is None else trunk)
        self.arguments: dict[str, Any] = {"architecture": architecture, "side": side}
        self.side = side
        self.dropout = nn.Dropout(dropout)
        self.real = nn.Linear(self.outputs, 1)
        self.idc = nn.Linear(self.outputs, 1)
        with torch.no_grad():
            self.train().features(torch.zeros(1, 3, PATCH_PX, PATCH_PX))  # it takes that size

    @classmethod
    def pretrained(cls, backbone: str, side: int, dropout: float, fixed: float) -> Self:
        """Begin with a backbone's weights, of which a share of the stages stays as it is.

        Raises
        ------
        ModelNotFoundError, ModelError
            If there is no such backbone, or it takes images of another size alone.
        """
        trunk = load_network(backbone)
        network = cls(trunk.pretrained_cfg["architecture"], side, dropout, trunk)
        known = stages(trunk)
        for stage in known[: round(fixed * len(known))]:
            for weight in stage:
                weight.requires_grad = False
        return network

    def learning(self) -> Iterator[tuple[bool, nn.Parameter]]:
        """Weights that learn; whether each is the trunk's."""
        for name, weight in self.named_parameters():
            if weight.requires_grad:
                yield name.startswith("trunk."), weight

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 50, 50) in [-1, 1] -> (N, F), what both heads look at."""
        large = nn.functional.interpolate((x + 1) / 2, (self.side, self.side), mode="bilinear")
        seen: torch.Tensor = super().forward(large)
        return seen

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 3, 50, 50) in [-1, 1] -> logits of being real (N,) and of being IDC (N,)."""
        h = self.dropout(self.features(x))
        return self.real(h)[:, 0], self.idc(h)[:, 0]
