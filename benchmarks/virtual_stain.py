"""Seams in virtual stains: three cures measured against the untiled picture.

    python benchmarks/virtual_stain.py SLIDE --stain he --model virtual-pas-he [--mpp UM]

A part of a slide that fits in memory is painted whole and in tiles. For every cure: ``step``, by how
many grey levels pixels differ more across a border of tiles than elsewhere (the worst border);
``shift``, by how many levels the same pixel differs at most (99.9th percentile) when tiles are cut elsewhere;
``ssim`` to the untiled picture; and seconds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from scipy import ndimage
from skimage.metrics import structural_similarity
from skimage.transform import resize

from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.virtual_stain.look import TILES
from napari_pathogan.tasks.virtual_stain.model import VirtualStainModel
from napari_pathogan.tasks.virtual_stain.network import (
    MARGIN,
    instance_norm,
    moments,
    standardised,
)
from napari_pathogan.tasks.virtual_stain.seams import SlideNorm

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_pathogan.tasks.virtual_stain.network import Norm

TILE, MOST_PX, SHIFT, THUMBNAIL = 256, 1024, 100, 512


class KernelNorm:
    """Kernelised instance normalisation (Ho et al. 2022): statistics of tiles, smoothed between them.

    The table is read bilinearly at every pixel, so that there is no step where a tile ends.
    """

    def __init__(self, rows: int, cols: int) -> None:
        self.shape = rows, cols
        self.table: dict[int, torch.Tensor] = {}
        self.at = (0, 0)  # of the tile that is measured
        self.window = (0, 0, 0, 0)  # y, x, height, width of what is painted

    def measured(self, features: torch.Tensor, layer: int, /) -> torch.Tensor:
        """Normalise a tile by its own statistics, and put those into the table."""
        mean, variance = moments(features)
        both = torch.cat([mean, variance], 1)[0, :, 0, 0]
        table = self.table.setdefault(layer, torch.zeros(len(both), *self.shape))
        table[:, self.at[0], self.at[1]] = both
        return standardised(features, mean, variance)

    def smooth(self) -> None:
        """Smooth the table between neighbours."""
        for layer, table in self.table.items():
            smoothed = ndimage.gaussian_filter(table.numpy(), (0, 1, 1), mode="nearest")
            self.table[layer] = torch.from_numpy(smoothed)

    def __call__(self, features: torch.Tensor, layer: int, /) -> torch.Tensor:
        """Normalise by the table, read at every pixel of the window."""
        y, x, height, width = self.window
        ys = (y + (torch.arange(features.shape[2]) + 0.5) * height / features.shape[2]) / TILE
        xs = (x + (torch.arange(features.shape[3]) + 0.5) * width / features.shape[3]) / TILE
        grid = torch.stack(
            torch.meshgrid(2 * ys / self.shape[0] - 1, 2 * xs / self.shape[1] - 1, indexing="ij")
        )
        here = F.grid_sample(
            self.table[layer][None], grid.flip(0).permute(1, 2, 0)[None], padding_mode="border",
            align_corners=False,
        )  # fmt: skip
        mean, variance = here.chunk(2, 1)
        return standardised(features, mean, variance)


def starts(length: int, offset: int) -> list[int]:
    """Where tiles begin along a side."""
    return [*range(-offset, length, TILE)]


def tiled(
    image: np.ndarray,
    paint: Callable[[np.ndarray, Norm], np.ndarray],
    norm: Norm,
    offset: int = 0,
    margin: int = MARGIN,
) -> np.ndarray:
    """Tiles by themselves, each with what is around it."""
    made = np.empty_like(image)
    height, width = image.shape[:2]
    around = np.pad(image, ((TILE + margin,) * 2, (TILE + margin,) * 2, (0, 0)), mode="reflect")
    for y in starts(height, offset):
        for x in starts(width, offset):
            side = TILE + 2 * margin
            if isinstance(norm, KernelNorm):
                norm.window = y - margin, x - margin, side, side
            seen = around[y + TILE : y + TILE + side, x + TILE : x + TILE + side]
            tile = paint(seen, norm)[margin : margin + TILE, margin : margin + TILE]
            top, left = max(0, -y), max(0, -x)
            bottom, right = min(TILE, height - y), min(TILE, width - x)
            made[y + top : y + bottom, x + left : x + right] = tile[top:bottom, left:right]
    return made


def blended(
    image: np.ndarray, paint: Callable[[np.ndarray, Norm], np.ndarray], offset: int = 0
) -> np.ndarray:
    """Tiles that overlap by half, each with its own statistics, weighed by a pyramid."""
    height, width = image.shape[:2]
    total = np.zeros(image.shape)
    weights = np.zeros((*image.shape[:2], 1))
    ramp = 1 - np.abs((np.arange(2 * TILE) + 0.5) / TILE - 1)
    pyramid = np.outer(ramp, ramp)[..., None]
    around = np.pad(image, ((2 * TILE,) * 2, (2 * TILE,) * 2, (0, 0)), mode="reflect")
    for y in range(-TILE - offset, height, TILE):
        for x in range(-TILE - offset, width, TILE):
            y0, x0 = y + 2 * TILE, x + 2 * TILE
            tile = paint(around[y0 : y0 + 2 * TILE, x0 : x0 + 2 * TILE], instance_norm)
            top, left = max(0, -y), max(0, -x)
            bottom, right = min(2 * TILE, height - y), min(2 * TILE, width - x)
            place = np.s_[y + top : y + bottom, x + left : x + right]
            total[place] += (pyramid * tile)[top:bottom, left:right]
            weights[place] += pyramid[top:bottom, left:right]
    return np.rint(total / weights).astype(np.uint8)


def step(made: np.ndarray, whole: np.ndarray, offset: int = 0) -> float:
    """The worst border: how many levels more pixels differ across it than across other columns."""
    off = made.astype(float) - whole
    worst = 0.0
    for axis in (0, 1):
        jumps = np.abs(np.diff(off, axis=axis)).mean(tuple({0, 1, 2} - {axis}))
        borders = [s - 1 for s in starts(off.shape[axis], offset) if 0 < s < off.shape[axis]]
        elsewhere = np.delete(jumps, borders)
        worst = max(worst, *(jumps[b] - elsewhere.mean() for b in borders))
    return worst


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--stain", required=True)
    parser.add_argument("--model", default="virtual-pas-he")
    parser.add_argument("--mpp", type=float)
    parser.add_argument("--pictures", type=Path, help="A folder for the pictures.")
    asked = parser.parse_args()
    model = VirtualStainModel.load(asked.model, "cpu")
    with Slide.open(asked.slide, mpp=asked.mpp) as slide:
        image = slide.read(Region(0, 0, *slide.shape), model.mpp)[:MOST_PX, :MOST_PX]

    def paint(seen: np.ndarray, norm: Norm = instance_norm) -> np.ndarray:
        return model.paint(seen, asked.stain, norm)

    whole = paint(image)

    def thumbnail(*, offset: int = 0) -> np.ndarray:
        scale = THUMBNAIL / max(image.shape)
        small = resize(
            image, [round(n * scale) // 4 * 4 for n in image.shape[:2]], anti_aliasing=True
        )
        norm = SlideNorm()
        paint(np.rint(small * 255).astype(np.uint8), norm.measured)
        return tiled(image, paint, norm, offset)

    def sampled(*, offset: int = 0) -> np.ndarray:
        rows, cols = (n // TILE for n in image.shape[:2])
        parts = image[: rows * TILE, : cols * TILE].reshape(rows, TILE, cols, TILE, 3)
        tiles = parts.swapaxes(1, 2).reshape(-1, TILE, TILE, 3)
        chosen = tiles[np.linspace(0, len(tiles) - 1, min(TILES, len(tiles))).round().astype(int)]
        norm = SlideNorm()
        paint(chosen, norm.measured)
        return tiled(image, paint, norm, offset)

    def kernelised(*, offset: int = 0) -> np.ndarray:
        rows, cols = (-(-n // TILE) for n in image.shape[:2])
        norm = KernelNorm(rows, cols)
        around = np.pad(image, ((0, TILE), (0, TILE), (0, 0)), mode="reflect")
        for row in range(rows):
            for col in range(cols):
                norm.at = row, col
                y, x = row * TILE, col * TILE
                paint(around[y : y + TILE, x : x + TILE], norm.measured)
        norm.smooth()
        return tiled(image, paint, norm, offset)

    cures: dict[str, Callable[..., np.ndarray]] = {
        "none": lambda *, offset=0: tiled(image, paint, instance_norm, offset, 0),
        "thumbnail": thumbnail,
        "sampled": sampled,
        "kernelised": kernelised,
        "overlap": lambda *, offset=0: blended(image, paint, offset),
    }
    print(f"{asked.slide.name}, {image.shape[1]} x {image.shape[0]} px, {model.card.name}")
    print(f"{'cure':12} step  shift   ssim  seconds")
    for name, cure in cures.items():
        began = time.perf_counter()
        made = cure()
        seconds = time.perf_counter() - began
        other = cure(offset=SHIFT)
        shift = np.percentile(np.abs(made.astype(int) - other), 99.9)
        ssim = structural_similarity(made, whole, channel_axis=2)
        print(f"{name:12} {step(made, whole):4.2f} {shift:6.1f} {ssim:6.4f} {seconds:8.1f}")
        if asked.pictures:
            from PIL import Image  # noqa: PLC0415

            Image.fromarray(made).save(asked.pictures / f"{name}.png")


if __name__ == "__main__":
    main()
