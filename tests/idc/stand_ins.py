"""A model and slides whose right answers are known, for what is built around them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.models import ModelCard
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc.calibrate import Calibration
from napari_pathogan.tasks.idc.context import Context

PINK, PURPLE, WHITE = (222, 150, 190), (120, 70, 150), (245, 245, 245)
CALIBRATION = Calibration(slope=1.0, intercept=0.0, patient_sd=0.3, threshold=0.5)


@dataclass
class DarkIsIdc:
    """Calls a patch IDC if it is dark; has the doors of an IdcModel."""

    views: int = 1
    sigma: float = 0.0
    patch_px: int = 50
    mpp: float = 4.0
    context_threshold: float = 0.5
    refitted: str = ""
    device: Device = field(default_factory=lambda: choose_device("cpu"))
    card: ModelCard = field(
        default_factory=lambda: ModelCard(
            name="dark", title="Dark is IDC", task="idc", architecture="dark", sha256="0a" * 32
        )
    )

    @property
    def context_cells(self) -> int:
        return Context((self.sigma,), (1.0,), CALIBRATION).reach

    def colours(self, pixels: np.ndarray) -> SlideColours:
        return SlideColours.measure(pixels)

    def far(self, colours: SlideColours) -> str:
        del colours
        return ""

    def logits(self, patches: np.ndarray, colours: SlideColours | None = None) -> np.ndarray:
        assert patches.shape[1:] == (50, 50, 3)
        assert patches.dtype == np.uint8
        dark = (170 - patches.mean((1, 2, 3))) / 4
        return np.stack([dark + 0.1 * v for v in range(self.views)], 1).astype(np.float32)

    def probability(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return CALIBRATION.probability(logits)

    def heat_map(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        context = Context((self.sigma,), (1.0,), CALIBRATION)
        return self.probability(context.mix(logits))


def paint(
    shape: tuple[int, int] = (1600, 2000),
    tissue: tuple[int, int, int, int] = (200, 200, 1400, 1800),
    idc: tuple[int, int, int, int] = (400, 500, 800, 1100),
) -> np.ndarray:
    """Glass with a pink rectangle of tissue (top, left, bottom, right) and a purple one in it."""
    image = np.full((*shape, 3), WHITE, np.uint8)
    for (top, left, bottom, right), colour in ((tissue, PINK), (idc, PURPLE)):
        image[top:bottom, left:right] = colour
    noise = np.random.default_rng(0).integers(-9, 10, image.shape)
    return np.clip(image + noise, 0, 254).astype(np.uint8)


def slide(image: np.ndarray | None = None, mpp: float | tuple[float, float] | None = 4.0) -> Slide:
    return Slide.from_arrays([paint() if image is None else image], name="phantom", mpp=mpp)
