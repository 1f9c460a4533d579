"""Crops of mammograms for training: turned, scaled, flipped, and varied in brightness."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

from napari_pathogan.engine.config import Factor, Share, Weight, checked

_KNOTS = 4  # steps of a curve of greys
_FIRMLY = 0.5  # of a mass must be inside of a crop for it to count as one


@checked
class Augment:
    """How strongly crops are varied; 0 (1 for factors) is not at all.

    Attributes
    ----------
    rotate
        Degrees to either side.
    scale
        Factor up or down, for both axes; ``shear`` varies each axis and their angle.
    flip
        Chance of a crop being turned upside down.
    gamma
        Exponent up or down.
    contrast, noise
        Of grey values in [0, 1]: spread of contrast and brightness, deviation of noise, whose
        grain is of one pixel or of two.
    tone
        How far a random rising curve, of shadows, middle and lights, bends greys: a film's, a LUT's.
    sharpness
        How far edges are blurred or sharpened.
    """

    rotate: Weight = 15.0
    scale: Factor = 1.2
    shear: Weight = 0.0
    flip: Share = 0.5
    gamma: Factor = 1.0
    contrast: Weight = 0.0
    noise: Weight = 0.0
    tone: Share = 0.0
    sharpness: Share = 0.0


def crop(
    image: torch.Tensor,
    masks: torch.Tensor,
    middle: tuple[float, float],
    size: tuple[int, int],
    augment: Augment,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a varied crop out of an image, with the masks of its masses.

    Parameters
    ----------
    image, masks
        float32 (H, W) in [0, 1] and (n, H, W), 0 or 1.
    middle
        Of the crop, y and x in pixels of the image.
    size
        Height and width of the crop; outside of the image is air.

    Returns
    -------
    float32 (1, h, w), and bool (m, h, w) of the masses of which at least half is inside.
    """
    there = _transform(middle, size, image.shape, augment)
    grid = F.affine_grid(there[None, :2], [1, 1, *size], align_corners=False)
    planes = torch.cat([image[None], masks])[None]
    seen = F.grid_sample(planes, grid, align_corners=False)[0]
    shown = seen[1:] > 0.5
    # how many pixels a mask would have if the crop were larger
    shrinks = torch.linalg.det(there[:2, :2]).abs() * image.numel() / math.prod(size)
    inside = shown.sum((1, 2)) * shrinks / masks.sum((1, 2)).clamp(min=1)
    return _vary(seen[:1], augment), shown[inside >= _FIRMLY]


def _transform(
    middle: tuple[float, float], size: tuple[int, int], shape: torch.Size, augment: Augment
) -> torch.Tensor:
    """From the crop's coordinates in [-1, 1] to the image's, a matrix (3, 3) over (x, y, 1)."""
    a = augment
    u = torch.rand(6) * 2 - 1
    angle, factor = math.radians(a.rotate) * float(u[0]), a.scale ** float(u[1])
    cos, sin = math.cos(angle) / factor, math.sin(angle) / factor
    turn = torch.tensor([[cos, -sin], [sin, cos]])
    lean = torch.tensor([[1 + a.shear * u[2], a.shear * u[3]], [a.shear * u[4], 1.0]])
    up = -1.0 if float(torch.rand(())) < a.flip else 1.0
    pixels = turn @ lean @ torch.tensor([[1.0, 0.0], [0.0, up]])
    half = torch.tensor([size[1] / 2, size[0] / 2])
    whole = torch.tensor([shape[1] / 2, shape[0] / 2])
    there = torch.eye(3)
    there[:2, :2] = pixels * half / whole[:, None]
    there[:2, 2] = (torch.tensor([middle[1], middle[0]]) - whole) / whole
    return there


def _vary(image: torch.Tensor, augment: Augment) -> torch.Tensor:
    """Vary gamma, curve, contrast, brightness and sharpness, and add noise; air stays dark."""
    a = augment
    u = (torch.rand(3) * 2 - 1).tolist()
    varied: torch.Tensor = image.clamp(0, 1) ** (a.gamma ** u[0])
    if a.tone:
        varied = _toned(varied, a.tone)
    if a.sharpness:
        blurred = F.avg_pool2d(F.avg_pool2d(varied, 3, 1, 1), 3, 1, 1)
        varied = varied + (varied - blurred) * (a.sharpness * (2 * float(torch.rand(())) - 1))
    varied = varied * (1 + a.contrast * u[1]) + a.contrast / 4 * u[2] * (varied > 0.02)
    if a.noise:
        varied = varied + _grain(varied, a) * (a.noise * float(torch.rand(())))
    return varied.clamp(0, 1)


def _toned(image: torch.Tensor, tone: float) -> torch.Tensor:
    """Bend greys by a curve that rises by random steps from 0 to 1; black stays black."""
    steps = 1 + tone * (2 * torch.rand(_KNOTS) - 1)
    ends = F.pad(steps.cumsum(0) / steps.sum(), (1, 0))
    at = image * _KNOTS
    low = at.floor().clamp(max=_KNOTS - 1)
    index = low.long()
    bent: torch.Tensor = torch.lerp(ends[index], ends[index + 1], at - low)
    return bent


def _grain(image: torch.Tensor, augment: Augment) -> torch.Tensor:
    """Noise of deviation 1 like an image (1, h, w); of two pixels half the time, if greys vary too."""
    if not augment.tone or float(torch.rand(())) < 0.5:
        return torch.randn_like(image)
    small = torch.randn(1, *(-(-side // 2) + 1 for side in image.shape[1:]))
    return F.interpolate(small[None], scale_factor=2, mode="nearest")[
        0, :, : image.shape[1], : image.shape[2]
    ]
