"""An IDC model's network as a graph of its own, for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from napari_pathogan.engine.onnx import Graph
from napari_pathogan.tasks.idc.frozen import FrozenHead
from napari_pathogan.tasks.idc.network import PATCH_PX

if TYPE_CHECKING:
    import torch

    from napari_pathogan.tasks.idc.model import IdcModel
    from napari_pathogan.tasks.idc.score import Network


class _Logit(nn.Module):
    """Logits of IDC, seen one way."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, 3, 50, 50) in [-1, 1] -> (N,)."""
        network = self.network
        look = network.fresh if isinstance(network, FrozenHead) else network.features
        found: torch.Tensor = network.idc(look(image))[:, 0]
        return found


def graph(model: IdcModel) -> Graph:
    """Patches' logits, in one of the 8 views, before calibration."""
    gives = (
        "logits of IDC before calibration: float32 (N,); patches at 4 um/px in the colours of the "
        "card's reference"
    )
    return Graph(_Logit(model.network), gives, (PATCH_PX, PATCH_PX))
