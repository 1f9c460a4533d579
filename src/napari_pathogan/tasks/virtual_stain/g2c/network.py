"""The network (section 3.2): M generators, M + 1 back ends with the same weights, one front end."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from napari_pathogan.engine.backbones import Trunk, create_network, load_backbone, load_network
from napari_pathogan.tasks.virtual_stain.g2c.config import ALEXNET, RESNET
from napari_pathogan.tasks.virtual_stain.network import unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.tasks.virtual_stain.g2c.config import TrainConfig

_DEPTH = 2  # blocks of each of four stages: 18 layers with the stem as one


class ResNet(nn.Sequential):
    """The paper's back end: its first convolution is a stem of three, with a 2 x 2 max pooling.

    (N, 3, H, W) in [0, 1] -> (N, ``outputs``). ``width`` is the first stage's, 64 in ResNet-18.
    """

    def __init__(self, width: int = 64) -> None:
        layers: list[nn.Module] = []
        before = 3
        for stride in (2, 1, 1):
            layers += [
                nn.Conv2d(before, width, 3, stride, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            before = width
        layers.append(nn.MaxPool2d(2))
        for stage in range(4):
            channels = width << stage
            for block in range(_DEPTH):
                stride = 2 if stage and not block else 1
                layers.append(_block(before, channels, stride))
                before = channels
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.outputs = before
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _block(before: int, channels: int, stride: int) -> BasicBlock:
    shorter = None
    if stride != 1 or before != channels:
        shorter = nn.Sequential(
            nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
        )
    return BasicBlock(before, channels, stride, shorter)


class AlexNet(nn.Sequential):
    """The back end of Table 5: the AlexNet for 32 px that its baseline took (Caffe's, of CIFAR-10).

    (N, 3, H, W) in [0, 1] -> (N, ``outputs``). ``width`` is that of its last layers, 64 there;
    of larger images the last map is averaged to the 4 x 4 that 32 px give.
    """

    def __init__(self, width: int = 64) -> None:
        half = width // 2
        super().__init__(
            nn.Conv2d(3, half, 5, padding=2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(half, width, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * width, width),
            nn.ReLU(inplace=True),
        )
        self.outputs = width


class FrozenTrunk(nn.Module):
    """A pretrained trunk that stays as it is, and is no part of the model's weights.

    (N, 3, H, W) in [0, 1] -> (N, ``outputs``); gradients go through to what made the images.
    """

    def __init__(self, name: str, sha256: str = "") -> None:
        super().__init__()
        self.trunk = load_backbone(name, sha256)  # no module, so none of its weights are ours
        self.outputs = self.trunk.widths[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, ``outputs``)."""
        return self.trunk.seen(x)[0]


Backend = ResNet | AlexNet | Trunk | FrozenTrunk


class G2C(nn.Module):
    """Classifies an image by its source stain and by what generators make of it.

    Parameters
    ----------
    backend
        The one that looks at every stain. All stains go through it as one batch, so that batch
        norms learn the statistics that they predict with.
    generators
        Each (N, 3, H, W) -> the same in another stain, in [-1, 1]; they are copied.
    classes
        How many there are.

    Attributes
    ----------
    means
        (M + 1, F): what the back end sees on average, stain by stain; explanations stand on it.
    """

    means: torch.Tensor

    def __init__(self, backend: Backend, generators: Sequence[nn.Module], classes: int) -> None:
        super().__init__()
        self.backend = backend
        self.front = nn.Linear((len(generators) + 1) * backend.outputs, classes)
        self.generators = nn.ModuleList(copy.deepcopy(one) for one in generators)
        self.register_buffer("means", torch.zeros(len(generators) + 1, backend.outputs))

    def freeze(self, *, frozen: bool) -> None:
        """Let the generators learn, or not; the rest learns."""
        self.train()
        self.generators.requires_grad_(not frozen)
        self.generators.train(not frozen)

    def stains(self, x: torch.Tensor) -> torch.Tensor:
        """The image in all stains, the source first: (N, 3, H, W) -> (N, M + 1, 3, H, W), in [0, 1].

        This is the one place where [0, 1] becomes the generators' [-1, 1], and back.
        """
        made = [unit(generator(2 * x - 1)).to(x.dtype) for generator in self.generators]
        return torch.stack([x, *made], 1)

    def look(self, stains: torch.Tensor) -> torch.Tensor:
        """What the back end sees: (N, M + 1, 3, H, W) in [0, 1] -> float32 (N, M + 1, F)."""
        seen: torch.Tensor = self.backend(stains.flatten(0, 1))
        return seen.float().view(*stains.shape[:2], -1)

    def decide(self, seen: torch.Tensor) -> torch.Tensor:
        """(N, M + 1, F) -> logits, float32 (N, classes)."""
        with torch.autocast(seen.device.type, enabled=False):
            logits: torch.Tensor = self.front(seen.flatten(1))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, H, W) in [0, 1] -> logits, float32 (N, classes)."""
        return self.decide(self.look(self.stains(x)))


def new_backend(config: TrainConfig) -> Backend:
    """The back end that a training begins with.

    Raises
    ------
    ModelNotFoundError, ModelError
        If there is no such trunk.
    """
    if config.backend == RESNET:
        return ResNet(config.width)
    if config.backend == ALEXNET:
        return AlexNet(config.width)
    if config.frozen_trunk:
        return FrozenTrunk(config.backend)
    return Trunk(load_network(config.backend))


def empty_backend(kind: str, name: str = "", width: int = 64, sha256: str = "") -> Backend:
    """The back end of a saved model, whose weights are loaded afterwards.

    ``kind`` is ``resnet``, ``alexnet``, ``trunk`` or ``frozen trunk``; ``name`` is the trunk's.
    """
    if kind == "frozen trunk":
        return FrozenTrunk(name, sha256)
    if kind == "trunk":
        return Trunk(create_network(name))
    builders: dict[str, type[ResNet | AlexNet]] = {RESNET: ResNet, ALEXNET: AlexNet}
    return builders[kind](width)


def arguments_of(backend: Backend, config: TrainConfig) -> dict[str, Any]:
    """What :func:`empty_backend` makes the same back end of."""
    if isinstance(backend, FrozenTrunk):
        return {"kind": "frozen trunk", "name": config.backend, "sha256": backend.trunk.sha256}
    if isinstance(backend, Trunk):
        return {"kind": "trunk", "name": backend.architecture}
    return {"kind": config.backend, "width": config.width}
