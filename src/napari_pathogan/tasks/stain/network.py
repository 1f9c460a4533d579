"""The colourising network of paper 3 (section 3.1, after Iizuka et al. 2016).

Lightness in, colour out. An encoder of eight 3x3 convolutions, strides in place of pooling, takes
224 x 224 to 28 x 28 x 256; a global branch of four more and a linear layer to one vector of 256,
on which a class head sits; both are fused; a decoder of convolutions and up-sampling gives the two
colour channels of CIE Lab. Every layer has batch normalisation and ReLU.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from torch import nn

from napari_pathogan.colour.lab import AB_SCALE

STRIDE = 8  # input pixels to one pixel of the encoder's features
_ENCODER = ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 1), (256, 1))
_GLOBAL = ((512, 2), (512, 1), (512, 2), (512, 1))


class Colouriser(nn.Module):
    """Lightness (N, 1, H, W) in [0, 1] -> colour (N, 2, H, W): a and b of Lab, divided by 100.

    H and W are multiples of 8. The global vector is a mean over the picture, so any size will do;
    given one vector for all tiles (:meth:`forward`'s ``style``), a pixel's colour depends on its
    surroundings of :attr:`margin` pixels alone, and tiles fit without a seam.

    Parameters
    ----------
    width
        Multiplier of all channels; 1 is the paper's.
    classes
        Tissue classes of the class head; 0 leaves it out.
    """

    margin = 64  # the receptive field reaches 61 pixels; a multiple of 8

    def __init__(self, width: float = 1.0, classes: int = 0) -> None:
        super().__init__()

        def wide(channels: int) -> int:
            return max(8, round(channels * width))

        self.encoder, local = _layers(1, [(wide(c), s) for c, s in _ENCODER])
        self.branch, deep = _layers(local, [(wide(c), s) for c, s in _GLOBAL])
        self.vector = nn.Linear(deep, wide(256))
        self.classify = nn.Linear(wide(256), classes) if classes else None
        self.fuse = _layer(local + wide(256), wide(256), kernel=1)
        self.decoder = nn.ModuleList(
            [
                _layer(wide(256), wide(128)),
                nn.Sequential(_layer(wide(128), wide(64)), _layer(wide(64), wide(64))),
                _layer(wide(64), wide(32)),
            ]
        )
        self.colour = nn.Conv2d(wide(32), 2, 3, padding=1)

    def encode(self, lightness: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Local features (N, C, H / 8, W / 8) and the global vector (N, V)."""
        local = self.encoder(lightness)
        deep = self.branch(local).mean((2, 3))
        return local, F.relu(self.vector(deep))

    def decode(self, local: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        """Colour (N, 2, H, W) from local features and a global vector (N, V) or (V,)."""
        spread = style.expand(len(local), -1)[..., None, None].expand(-1, -1, *local.shape[2:])
        x = self.fuse(torch.cat([local, spread], 1))
        for layer in self.decoder:
            x = F.interpolate(layer(x), scale_factor=2)
        colour: torch.Tensor = self.colour(x)
        return colour

    def forward(
        self, lightness: torch.Tensor, style: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Colour (N, 2, H, W) and class logits (N, classes), None without a class head.

        ``style`` takes the place of the picture's own global vector: that of another image (the
        paper's Figure 6), or a fixed one.
        """
        local, own = self.encode(lightness)
        logits = None if self.classify is None else self.classify(own)
        return self.decode(local, own if style is None else style), logits


@torch.no_grad()
def colours(
    network: Colouriser, light: np.ndarray, style: torch.Tensor | None = None
) -> np.ndarray:
    """The network's a and b of Lab, float32 (H, W, 2), for lightness (H, W), 0 to 100.

    H and W are multiples of 8 (:func:`whole`); ``style`` as in :meth:`Colouriser.forward`.
    """
    device = network.colour.weight.device
    seen = torch.from_numpy(np.ascontiguousarray(light, np.float32))[None, None] / 100
    made, _ = network(seen.to(device), style)
    found: np.ndarray = made[0].float().permute(1, 2, 0).cpu().numpy() * AB_SCALE
    return found


def whole(image: np.ndarray) -> np.ndarray:
    """The part of an image (H, W, ...) whose sides are multiples of 8, from the upper left."""
    height, width = (n // STRIDE * STRIDE for n in image.shape[:2])
    return image[:height, :width]


def _layers(channels: int, wanted: list[tuple[int, int]]) -> tuple[nn.Sequential, int]:
    layers = []
    for out, stride in wanted:
        layers.append(_layer(channels, out, stride=stride))
        channels = out
    return nn.Sequential(*layers), channels


def _layer(channels: int, out: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )
