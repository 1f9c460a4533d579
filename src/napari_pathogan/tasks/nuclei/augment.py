"""What a crop may look like and still show the same nuclei: turned, nearer, stained otherwise.

Rotations and inversions are the paper's (section 3.2; inversions are read as mirror images).
The rest is for images of other laboratories: their stains, their scanners' sharpness, their
compression. All draws come from torch's global generator, which training seeds anew every epoch.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from PIL import Image
from skimage.color import rgb_from_hed

from napari_pathogan.colour.slide_colours import AXES, SlideColours
from napari_pathogan.engine.config import Factor, Share, Weight, checked
from napari_pathogan.errors import NoTissueError

# rows: optical density in red, green, blue of haematoxylin, eosin and the residual
_STAINS = torch.tensor(rgb_from_hed, dtype=torch.float32)
_DARKEST = 1 / 255  # optical density of black is infinite otherwise


@checked
class Augment:
    """How strongly crops are varied.

    Attributes
    ----------
    turns
        Rotations by any angle; mirror images always are.
    scale
        Nuclei are shown up to this factor larger or smaller; factors near 1 are the most common.
    mix
        Crops go up to this share of the way to the colours of another training patient.
    stain
        Spread of the amounts of haematoxylin, eosin and residual (0.25: usually +-25 %), and a
        fifth of it of added density.
    colour
        Spread of brightness, hue and contrast in RGB (of 0 to 1).
    degrade
        Share of the crops that are blurred, sharpened, pixelated, compressed or made noisy.
    """

    turns: bool = True
    scale: Factor = 1.0
    mix: Share = 0.0
    stain: Weight = 0.0
    colour: Weight = 0.0
    degrade: Share = 0.0


class Palette:
    """The maps between the colours of the training patients, as tensors.

    ``matrix`` (P, P, 3, 3) and ``offset`` (P, P, 3) carry RGB in [0, 1] of patient ``[p]`` to the
    colours of patient ``[., q]``. A patient without tissue keeps their colours.
    """

    def __init__(self, pixels: list[np.ndarray]) -> None:
        known: list[SlideColours | None] = []
        for own in pixels:
            try:
                known.append(SlideColours.measure(own))
            except NoTissueError:
                known.append(None)
        still = (np.eye(3), np.zeros(3))
        maps = [[a.map_to(b) if a and b else still for b in known] for a in known]
        self.matrix = torch.tensor(
            np.array([[m for m, _ in row] for row in maps]), dtype=torch.float32
        )
        self.offset = torch.tensor(
            np.array([[o for _, o in row] for row in maps]), dtype=torch.float32
        )


def crop(
    image: torch.Tensor, labels: torch.Tensor, centre: torch.Tensor, size: int, how: Augment
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a turned, mirrored and scaled crop; past the image's edges it is mirrored on.

    Parameters
    ----------
    image
        uint8 (3, H, W).
    labels
        int8 (H, W).
    centre
        (2,): y, x of the crop's centre.
    size
        Side of the crop.

    Returns
    -------
    image, labels
        float32 (3, size, size) in [0, 1], int64 (size, size).
    """
    angle, log_scale, mirror = _draw(how)
    zoom = math.exp(log_scale)
    reach = math.ceil(size * zoom * (abs(math.cos(angle)) + abs(math.sin(angle))) / 2) + 2
    rows, cols = (
        _reflected(torch.arange(2 * reach) + round(float(c)) - reach, length)
        for c, length in zip(centre, labels.shape, strict=True)
    )
    around = image[:, rows[:, None], cols].float()[None] / 255
    truth = labels[rows[:, None], cols].float()[None, None]
    share = zoom * size / (2 * reach)
    cos, sin = math.cos(angle) * share, math.sin(angle) * share
    theta = torch.tensor([[[cos * mirror, -sin, 0.0], [sin * mirror, cos, 0.0]]])
    grid = F.affine_grid(theta, [1, 1, size, size], align_corners=False)
    seen = F.grid_sample(around, grid, padding_mode="reflection", align_corners=False)
    marked = F.grid_sample(truth, grid, "nearest", "reflection", align_corners=False)
    return seen[0], marked[0, 0].long()


def _draw(how: Augment) -> tuple[float, float, float]:
    angle, up, down, mirror = torch.rand(4).tolist()
    turned = (angle * 2 - 1) * math.pi if how.turns else 0.0
    return turned, math.log(how.scale) * (up - down), 1.0 if mirror < 0.5 else -1.0


def _reflected(index: torch.Tensor, length: int) -> torch.Tensor:
    """Indices outside of 0 to ``length`` mirrored back into it, as often as it takes."""
    index = index.remainder(2 * length)
    return torch.where(index < length, index, 2 * length - 1 - index)


def recolour(
    x: torch.Tensor, patient: torch.Tensor, palette: Palette, how: Augment
) -> torch.Tensor:
    """Stain crops otherwise.

    Parameters
    ----------
    x
        (N, 3, H, W), RGB in [0, 1].
    patient
        int64 (N,): index of each crop's patient in the palette.
    """
    n = len(x)
    if how.mix:
        other = torch.randint(len(palette.matrix), (n,))
        share = how.mix * torch.rand(n, 1, 1)
        matrix = torch.lerp(torch.eye(3), palette.matrix[patient, other], share)
        x = _linear(x, matrix, share[:, 0] * palette.offset[patient, other])
    if how.stain:
        density = -x.clamp(_DARKEST, 1).log()
        amounts = torch.exp(how.stain * torch.randn(n, 3))
        added = how.stain / 5 * torch.randn(n, 3)
        change = torch.linalg.inv(_STAINS) @ torch.diag_embed(amounts) @ _STAINS
        # (N, 3, 3) acts on columns of RGB: the stains stand in rows
        x = torch.exp(-_linear(density, change.transpose(1, 2), (added / 2) @ _STAINS))
    if how.colour:
        axes = torch.tensor(AXES, dtype=torch.float32)
        stretch = axes.T @ (torch.exp(how.colour * torch.randn(n, 3))[:, :, None] * axes)
        shift = 0.5 * how.colour * torch.randn(n, 3) @ axes
        mean = x.mean((2, 3))
        x = _linear(x, stretch, mean - torch.einsum("nij,nj->ni", stretch, mean) + shift)
    return x.clamp(0, 1)


def _linear(x: torch.Tensor, matrix: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    return torch.einsum("nij,njhw->nihw", matrix, x) + offset[:, :, None, None]


def degrade(x: torch.Tensor, share: float) -> torch.Tensor:
    """Make ``share`` of the crops, (N, 3, H, W) in [0, 1], look as if from another scanner.

    Half of those are pixelated as if upsampled from up to 0.65 um/px, or else blurred or
    sharpened; half are compressed as JPEG; half carry noise.
    """
    out = x.clone()
    for i in range(len(x)):
        chosen, kind, how_much, compressed, quality, noisy, noise = torch.rand(7).tolist()
        if chosen >= share:
            continue
        one = _resolution(x[i : i + 1], kind, how_much)
        if noisy < 0.5:
            one = one + 0.04 * noise * torch.randn_like(one)
        out[i] = _compressed(one[0], round(35 + 60 * quality)) if compressed < 0.5 else one[0]
    return out.clamp(0, 1)


def _resolution(x: torch.Tensor, kind: float, how_much: float) -> torch.Tensor:
    if kind < 0.5:
        size = round(x.shape[-1] / (1.2 + 1.4 * how_much))
        small = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
        return F.interpolate(small, x.shape[-2:], mode="bilinear")
    sigma = 0.5 + how_much
    at = torch.arange(-4, 5, dtype=torch.float32)
    kernel = torch.exp(-((at / sigma) ** 2) / 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 9)
    blurred = F.conv2d(F.pad(x, (4, 4, 4, 4), "reflect"), kernel, groups=3)
    blurred = F.conv2d(blurred, kernel.transpose(2, 3), groups=3)
    return blurred if kind < 0.75 else x + how_much * (x - blurred)


def _compressed(x: torch.Tensor, quality: int) -> torch.Tensor:
    pixels = (x.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as image:
        again = np.asarray(image.convert("RGB"))
    return torch.from_numpy(again.copy()).permute(2, 0, 1).float() / 255
