"""A U-Net whose way down is a pretrained network of timm, trained on with it.

Its maps at strides of 2 to 16 stand for the paper's stages down; what is coarser sees further than
a tile's margin and is left out. At each step up the map is doubled (nearest), what the encoder had
there is laid beside it, and two 3 x 3 convolutions follow. The last step works at half the
resolution and sees the image too, each 2 x 2 square of it laid out as channels; the labels are
taken apart again in the same way, so they are at full resolution.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from napari_pathogan.engine.backbones import create_network, load_network
from napari_pathogan.errors import ModelError
from napari_pathogan.tasks.nuclei.network import CLASSES, MULTIPLE

RGB = 3
SQUARES = 2
_PROBE_PX = 64


class EncoderUNet(nn.Module):
    """Labels each pixel background, nucleus or boundary.

    Parameters
    ----------
    network
        timm's name of the encoder.
    width
        Channels of a step up; the last has half of them.
    encoder
        The network with its pretrained weights; by default one whose weights are still to be
        loaded.

    Raises
    ------
    ModelError
        If timm has no such network, or it has no maps of several scales.
    """

    seen_px = 112  # how far it sees to each side; on lite0 200 px, of which the outer hardly count
    multiple: int = MULTIPLE
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: str, width: int = 64, encoder: Any = None) -> None:  # noqa: ANN401
        super().__init__()
        self.arguments = {"network": network, "width": width}
        self.encoder: Any = create_network(network) if encoder is None else encoder
        setup = self.encoder.pretrained_cfg
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(setup[name]).view(1, RGB, 1, 1))
        found = _scales(self.encoder, network)
        self.indices = [index for index, _ in found.values()]
        beside = {stride: channels for stride, (_, channels) in found.items()}
        stride = max(beside)
        inputs = beside[stride]
        self.steps = nn.ModuleList()
        self.beside: list[int] = []
        while stride > SQUARES:
            stride //= 2
            more = beside.get(stride, 0)
            self.beside.append(stride if more else 0)
            last = stride == SQUARES
            more += RGB * SQUARES**2 if last else 0
            outputs = max(1, width // 2) if last else width
            self.steps.append(_two_convolutions(inputs + more, outputs))
            inputs = outputs
        self.strides = list(beside)
        self.head = nn.Conv2d(inputs, len(CLASSES) * SQUARES**2, 1)

    @classmethod
    def on(cls, backbone: str, width: int) -> EncoderUNet:
        """Begin with the pretrained weights of a backbone.

        Raises
        ------
        ModelNotFoundError, ModelError
            As :func:`~napari_pathogan.engine.backbones.load_network`, and as the class.
        """
        encoder = load_network(backbone)
        return cls(encoder.pretrained_cfg["architecture"], width, encoder)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1], H and W multiples of 16 -> logits (N, 3, H, W)."""
        maps = self.encoder.forward_intermediates(
            ((x + 1) / 2 - self.mean) / self.std, indices=self.indices, intermediates_only=True
        )
        at = dict(zip(self.strides, maps, strict=True))
        y = maps.pop()
        maps.clear()  # what has been laid beside is let go of: the last step takes most of the memory
        for step, stride in zip(self.steps, self.beside, strict=True):
            parts = [nn.functional.interpolate(y, scale_factor=2.0)]
            if stride:
                parts.append(at.pop(stride))
            if step is self.steps[-1]:
                parts.append(nn.functional.pixel_unshuffle(x, SQUARES).to(y.dtype))
            y = torch.cat(parts, 1)
            parts.clear()
            layers: Any = step
            for layer in layers:
                y = layer(y)
        return nn.functional.pixel_shuffle(self.head(y), SQUARES)


@torch.no_grad()
def _scales(encoder: Any, name: str) -> dict[int, tuple[int, int]]:  # noqa: ANN401
    """The encoder's last map at each stride up to 16: its number and channels; what follows is cut.

    Raises
    ------
    ModelError
        If there are fewer than two.
    """
    training = encoder.training
    probe = torch.zeros(1, RGB, _PROBE_PX, _PROBE_PX)
    found: dict[int, tuple[int, int]] = {}
    try:
        maps = encoder.eval().forward_intermediates(probe, intermediates_only=True)
        for index, one in enumerate(maps):
            stride = _PROBE_PX // one.shape[-1]
            if SQUARES <= stride <= MULTIPLE:
                found[stride] = index, one.shape[1]
        if len(found) > 1:
            indices = [index for index, _ in found.values()]
            encoder.prune_intermediate_layers(indices, prune_norm=True, prune_head=True)
    except (AttributeError, TypeError, ValueError, AssertionError, RuntimeError) as error:
        msg = f"timm can't take maps out of {name} for a U-Net; choose a convolutional network"
        raise ModelError(msg) from error
    encoder.train(training)
    if len(found) < 2:
        msg = (
            f"{name} sees images at one scale alone, and a U-Net needs several; choose a network "
            "of stages, such as efficientnet-lite0"
        )
        raise ModelError(msg)
    return found


def _two_convolutions(inputs: int, outputs: int) -> nn.Sequential:
    """(N, inputs, H, W) -> (N, outputs, H, W)."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
