"""Small made-up tissue: dark round nuclei on pink, known pixel by pixel; each patient has a tint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.tasks.nuclei.data import NucleiFolder, NucleiImage

if TYPE_CHECKING:
    from pathlib import Path


def draw_image(seed: int, side: int = 96, nuclei: int = 6, tint=(0, 0, 0)) -> tuple:
    """Round nuclei that don't touch: pixels uint8 (side, side, 3) and their numbers int32."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    mask = np.zeros((side, side), np.int32)
    for _ in range(100):
        r = rng.uniform(9, 12)
        cy, cx = rng.uniform(r, side - r, 2)
        near = (y - cy) ** 2 + (x - cx) ** 2 < (r + 3) ** 2
        if not mask[near].any() and mask.max() < nuclei:
            mask[(y - cy) ** 2 + (x - cx) ** 2 < r**2] = mask.max() + 1
    colour = np.where(mask[..., None] > 0, [110, 70, 150], [225, 170, 200]) + np.array(tint)
    pixels = colour + rng.normal(0, 8, (side, side, 3))
    return pixels.clip(0, 255).astype(np.uint8), mask


def draw_folder(patients: int = 3, each: int = 2, *, binary: bool = False) -> NucleiFolder:
    images = []
    for p in range(patients):
        tint = np.random.default_rng(100 + p).normal(0, 8, 3)
        for i in range(each):
            pixels, mask = draw_image(10 * p + i, tint=tint)
            mask = (mask > 0).astype(np.int32) * 255 if binary else mask
            images.append(NucleiImage(f"p{p}_{i}", f"p{p}", pixels, mask))
    return NucleiFolder(tuple(images))


def write_folder(path: Path, folder: NucleiFolder) -> Path:
    """Write images/ and masks/."""
    for image in folder.images:
        for sub, plane in (("images", image.pixels), ("masks", image.mask.astype(np.uint16))):
            (path / sub).mkdir(parents=True, exist_ok=True)
            Image.fromarray(plane).save(path / sub / f"{image.name}.png")
    return path


@pytest.fixture
def folder() -> NucleiFolder:
    """Three patients with two images each; the masks number the nuclei."""
    return draw_folder()


@pytest.fixture
def draw():
    """The function that draws a folder."""
    return draw_folder


@pytest.fixture
def write():
    """The function that writes one to disk."""
    return write_folder
