"""The networks of paper 2 (section 2.1): a U-Net that blends, and a judge of 16 px patches.

Neither normalises its features: what is made of a pixel depends on its surroundings alone, and
not on how large a crop is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from torch import nn

STRIDE = 16  # sides of what the generator sees are multiples of it
PATCH_PX = 16  # receptive field of the discriminator
_DEPTH = 4
_CELL_PX = 4  # of the grid on which levels are carried inwards
_GAIN = 4.0  # tissue differs by far less than 0..1
_FINE_GAIN = 16.0  # and its texture by less still


def _conv(before: int, after: int, size: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(before, after, size, padding=size // 2, padding_mode="replicate")
    return nn.Sequential(conv, nn.LeakyReLU(0.1))


class Generator(nn.Module):
    """U-Net: healthy image X, lesion pasted into X, and mask of the region -> the blended image.

    At every size it predicts two maps of what is to be added to the pasted image: one that counts
    in the region alone, so that levels are met without blurring the border, and one that counts
    everywhere. Both begin as 0: the background begins as it shall stay.

    Parameters
    ----------
    width
        Channels at full size; twice as many at each of the first two halvings, then no more.
    membrane
        Whether it begins with the pasted image after its level was met around the border
        (:func:`membrane`), so that what is left to learn is near and not far.
    """

    def __init__(self, width: int = 16, *, membrane: bool = False) -> None:
        super().__init__()
        self.membrane = membrane
        channels = [width * min(2**i, 4) for i in range(_DEPTH + 1)]
        self.down = nn.ModuleList(map(_conv, [3, *channels[:-1]], channels))
        self.bottom = nn.Sequential(*(_conv(channels[-1], channels[-1]) for _ in range(2)))
        levels = list(reversed(range(_DEPTH)))
        self.narrow = nn.ModuleList(_conv(channels[i + 1], channels[i], 1) for i in levels)
        self.up = nn.ModuleList(_conv(2 * channels[i], channels[i]) for i in levels)
        self.adds = nn.ModuleList(nn.Conv2d(n, 2, 1) for n in reversed(channels))
        for start in self.adds.parameters():
            nn.init.zeros_(start)
        self.smaller = nn.AvgPool2d(2)
        self.larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)

    def forward(self, x: torch.Tensor, pasted: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """(N, 1, H, W) each, images in 0..1, H and W multiples of 16 -> (N, 1, H, W)."""
        h = torch.cat([_GAIN * (x - 0.5), _GAIN * (pasted - 0.5), w], 1)
        skips: list[torch.Tensor] = []
        for conv in self.down:
            h = conv(self.smaller(h) if skips else h)
            skips.append(h)
        h = self.bottom(h)
        added = self.adds[0](h)
        ups = zip(self.narrow, self.up, self.adds[1:], reversed(skips[:-1]), strict=True)
        for narrow, up, adds, skip in ups:
            h = up(torch.cat([self.larger(narrow(h)), skip], 1))
            added = self.larger(added) + adds(h)
        inside, everywhere = added.split(1, 1)
        if self.membrane:
            inside = inside + membrane(x, pasted, w)
        return pasted + w * inside + everywhere


def membrane(x: torch.Tensor, pasted: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """How far X lies above the pasted image along the region's border, carried inwards smoothly.

    Inverse distances weigh what the border says. (N, 1, H, W) each, H and W multiples of 4.
    """
    border = w - (1 - F.max_pool2d(1 - w, 3, 1, 1))
    known, apart = (F.avg_pool2d(part, _CELL_PX) for part in (border, border * (x - pasted)))
    height, width = known.shape[2:]
    y = torch.arange(1 - height, height, device=x.device, dtype=x.dtype)[:, None]
    z = torch.arange(1 - width, width, device=x.device, dtype=x.dtype)
    nearness = ((y.square() + z.square() + 1) ** -1.5)[None, None]
    around = (height - 1, width - 1)
    known, apart = (F.conv2d(part, nearness, padding=around) for part in (known, apart))
    return F.interpolate(
        apart / known.clamp(min=1e-6), scale_factor=_CELL_PX, mode="bilinear", align_corners=False
    )


class Discriminator(nn.Module):
    """Judges every patch of 16 x 16 px: four convolutions, one of stride 2; no padding.

    Parameters
    ----------
    width
        Filters of the first layer; the next have twice and four times as many.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        first = nn.Conv2d(1, width, 4, 2)
        with torch.no_grad():  # begin with texture: how bright a patch is says little
            first.weight -= first.weight.mean((2, 3), keepdim=True)
        self.layers = nn.Sequential(
            first,
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 3),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 3),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 3),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, 1, H, W) in 0..1 -> logits of 'real', (N, 1, (H - 14) // 2, (W - 14) // 2)."""
        return self.layers(_FINE_GAIN * (image - 0.5))
