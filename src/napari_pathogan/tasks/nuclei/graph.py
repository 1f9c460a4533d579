"""A nucleus model's network as a graph of its own, for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from napari_pathogan.engine.onnx import Graph
from napari_pathogan.tasks.nuclei.network import CLASSES

if TYPE_CHECKING:
    import torch

    from napari_pathogan.tasks.nuclei.model import NucleiModel


class _Probability(nn.Module):
    """Probabilities of the classes, seen one way."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, classes, H, W)."""
        found: torch.Tensor = self.network(image).float().softmax(1)
        return found


def graph(model: NucleiModel) -> Graph:
    """Pixels' probabilities, in one of the 8 views."""
    multiple = model.network.multiple
    names = ", ".join(CLASSES)
    gives = f"probabilities of {names}: float32 (N, {len(CLASSES)}, H, W); H and W multiples of {multiple}"
    return Graph(_Probability(model.network), gives, (4 * multiple, 5 * multiple), multiple)
