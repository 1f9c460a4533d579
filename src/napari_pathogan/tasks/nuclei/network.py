"""The paper's U-Net (section 3.2): 144 x 144 pixels to 9 x 9 with 512 channels, and back up.

Four times down (2 x 2 maximum) and four times up (2 x 2 transposed convolution), two 3 x 3
convolutions with ReLU at each of the nine stages, and what went down at a stage is laid beside
what comes up. Batch normalisation, which the paper does not speak of, follows each 3 x 3
convolution while training and is folded into it afterwards.

Beyond the paper, the pixels of each 2 x 2 square can be laid out as channels first and taken apart
again at the end: all stages then work at half the resolution, at a quarter of the cost.
"""

from __future__ import annotations

import torch
from torch import nn

CLASSES = ("background", "nucleus", "boundary")
DEPTH = 4
MULTIPLE: int = 2**DEPTH  # sides of an image must divide by this


class UNet(nn.Module):
    """Labels each pixel background, nucleus or boundary.

    Parameters
    ----------
    width
        Channels of the first stage; each stage down has twice as many. The paper's 512 channels
        at 9 x 9 are a width of 32 (7.8 million parameters; 4.4 at 24, 1.9 at 16).
    squares
        1 as in the paper; 2 lays squares of 2 x 2 pixels out as channels.
    normalised
        With batch normalisation, as for training; false for a network with folded weights.
    """

    def __init__(self, width: int = 32, squares: int = 1, *, normalised: bool = True) -> None:
        super().__init__()
        self.arguments = {"width": width, "squares": squares}
        self.squares = squares
        channels = [width * 2**stage for stage in range(DEPTH + 1)]
        self.down = nn.ModuleList(
            _two_convolutions(a, b, normalised=normalised)
            for a, b in zip([3 * squares**2, *channels[:-1]], channels, strict=True)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, 2) for c in reversed(channels[:-1]))
        self.mix = nn.ModuleList(
            _two_convolutions(2 * c, c, normalised=normalised) for c in reversed(channels[:-1])
        )
        self.head = nn.Conv2d(width, len(CLASSES) * squares**2, 1)

    @property
    def multiple(self) -> int:
        """What the sides of an image must divide by."""
        return MULTIPLE * self.squares

    @property
    def seen_px(self) -> int:
        """How far it sees to each side: 107 px (with squares of 1), of which the outer hardly count."""
        return 48 * self.squares

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What each stage down sees.

        Parameters
        ----------
        x
            (N, 3, H, W) in [-1, 1], H and W multiples of 16 (of 32 with squares of 2).

        Returns
        -------
        Five tensors, (N, width * 2**s, H / 2**s, W / 2**s) for s from 0 to 4: for a 144 px crop at
        width 32 from (N, 32, 144, 144) to (N, 512, 9, 9).
        """
        stages = []
        x = nn.functional.pixel_unshuffle(x, self.squares)
        for stage, convolutions in enumerate(self.down):
            x = convolutions(nn.functional.max_pool2d(x, 2) if stage else x)
            stages.append(x)
        return stages

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] -> logits (N, 3, H, W); H and W as for :meth:`features`."""
        *stages, x = self.features(x)
        for up, mix, beside in zip(self.up, self.mix, reversed(stages), strict=True):
            x = mix(torch.cat([beside, up(x)], 1))
        return nn.functional.pixel_shuffle(self.head(x), self.squares)


def _two_convolutions(inputs: int, outputs: int, *, normalised: bool) -> nn.Sequential:
    """(N, inputs, H, W) -> (N, outputs, H, W); layers are named so that folding finds its pairs."""
    block = nn.Sequential()
    for number, channels in enumerate((inputs, outputs)):
        block.add_module(f"conv{number}", nn.Conv2d(channels, outputs, 3, 1, 1))
        if normalised:
            block.add_module(f"norm{number}", nn.BatchNorm2d(outputs))
        block.add_module(f"relu{number}", nn.ReLU(inplace=True))
    return block


@torch.no_grad()
def folded_state(network: UNet) -> dict[str, torch.Tensor]:
    """Weights with batch normalisation folded in: the state of ``UNet(normalised=False)``."""
    state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            convolution = name.replace("norm", "conv")
            scale, shift = (state.pop(f"{name}.{kind}") for kind in ("weight", "bias"))
            mean, var = (state.pop(f"{name}.running_{kind}") for kind in ("mean", "var"))
            del state[f"{name}.num_batches_tracked"]
            scale /= (var + layer.eps).sqrt()
            state[f"{convolution}.weight"] *= scale[:, None, None, None]
            bias = state[f"{convolution}.bias"]
            state[f"{convolution}.bias"] = (bias - mean) * scale + shift
    return state
