"""A segmenter and slides whose right answers are known, for what is built around them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.models import ModelCard
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei.predict import segment
from napari_pathogan.tasks.nuclei_classes.naming import Naming

if TYPE_CHECKING:
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation

PINK, PURPLE, WHITE = (222, 150, 190), (120, 70, 150), (245, 245, 245)
CARD = ModelCard(name="drawn", title="Drawn", task="nuclei", architecture="unet", sha256="0a" * 32)


@dataclass
class DarkIsNucleus:
    """Calls a dark piece a nucleus; has the doors of a Segmenter."""

    mpp: float = 0.25
    margin_px: int = 16
    name: str = "dark"
    line: str = "Dark is nucleus. Research use only."
    sha256: str = "0a" * 32
    device: Device = field(default_factory=lambda: choose_device("cpu", "float32"))
    seen: list = field(default_factory=list)

    def tuned(self, sample):
        return self

    def labels(self, image: np.ndarray) -> np.ndarray:
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        self.seen.append(image.shape[:2])
        return ndimage.label(image.mean(2) < 150)[0].astype(np.int32)


@dataclass
class ByQuadrant:
    """A class model that calls a nucleus 'dense' if its crop is dark; has a ClassModel's doors."""

    mpp: float = 0.25
    names: tuple[str, ...] = ("dense", "pale")
    colours: tuple[str, ...] = ("#d62728", "#1f77b4")
    card: ModelCard = CARD
    crop_px: int = 40

    def naming(self, tissue: str = "", mpp: tuple[float, float] | None = None) -> Naming:
        return Naming(self.names, self.colours, f"found without labels, {tissue} at {mpp}")

    def probability(self, crops: np.ndarray, stain: object = None) -> np.ndarray:
        assert crops.shape[1:] == (40, 40, 3)
        dense = (crops[:, 18:22, 18:22].mean((1, 2, 3)) < 105).astype(np.float32)
        return np.stack([0.1 + 0.8 * dense, 0.9 - 0.8 * dense], 1)


def paint(
    shape: tuple[int, int],
    count: int,
    *,
    radius: tuple[float, float] = (8, 14),
    seed: int = 0,
    glass: int = 0,
) -> np.ndarray:
    """Pink tissue with purple ellipses that may touch; ``glass`` columns at the right are white."""
    rng = np.random.default_rng(seed)
    image = np.full((*shape, 3), PINK, np.int16)
    for _ in range(count):
        a, b = rng.uniform(*radius, 2)
        cy, cx, turn = *rng.uniform(0, shape), rng.uniform(0, np.pi)
        reach = int(max(a, b)) + 1
        rows = slice(max(0, int(cy) - reach), int(cy) + reach + 1)
        cols = slice(max(0, int(cx) - reach), int(cx) + reach + 1)
        y, x = np.ogrid[: shape[0], : shape[1]]
        dy, dx = y[rows] - cy, x[:, cols] - cx
        u, v = dy * np.cos(turn) + dx * np.sin(turn), dx * np.cos(turn) - dy * np.sin(turn)
        inside = (u / a) ** 2 + (v / b) ** 2 <= 1
        shade = 30 * rng.integers(0, 2)
        image[rows, cols][inside] = np.array(PURPLE) - shade
    if glass:
        image[:, -glass:] = WHITE
    noise = rng.integers(-6, 7, image.shape)
    return np.clip(image + noise, 0, 254).astype(np.uint8)


def slide(image: np.ndarray, mpp: float | tuple[float, float] | None = 0.25) -> Slide:
    return Slide.from_arrays([image], name="phantom", mpp=mpp)


def found(*args, **kwargs) -> Segmentation:
    return list(segment(*args, **kwargs))[-1].result
