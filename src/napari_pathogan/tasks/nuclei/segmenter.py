"""What finds nuclei in an image: the U-Net with watershed, or anything with the same doors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_pathogan.tasks.nuclei.instances import instances
from napari_pathogan.tasks.nuclei.model import looked
from napari_pathogan.tasks.nuclei.network import MULTIPLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_pathogan.engine.devices import Device
    from napari_pathogan.tasks.nuclei.model import NucleiModel


class Segmenter(Protocol):
    """Anything that finds nuclei in an image.

    Attributes
    ----------
    name, line, sha256
        For reports: its name, one line about it, the hash of its weights.
    mpp
        um per pixel of the images it reads.
    margin_px
        How far it sees: what lies further away than this does not change the label of a pixel.
    device
        Where it computes; on a CPU each core works on a tile of its own.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def line(self) -> str: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102
    @property
    def mpp(self) -> float: ...  # noqa: D102
    @property
    def margin_px(self) -> int: ...  # noqa: D102
    @property
    def device(self) -> Device: ...  # noqa: D102

    def tuned(self, sample: Callable[[], np.ndarray]) -> Segmenter:
        """The same for one slide, of which ``sample()`` reads uint8 (N, P, P, 3) of its tissue."""

    def labels(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) -> int32 (H, W): 0 where there is no nucleus, else its number."""


class UNetSegmenter:
    """The U-Net and the watershed (see :mod:`.instances`) behind one door.

    Parameters
    ----------
    model
        A :class:`NucleiModel`, or what has its doors.
    threshold
        Foreground from this probability on; the model's operating point by default.
    """

    def __init__(self, model: NucleiModel, threshold: float | None = None) -> None:
        card = model.card
        self.name, self.sha256 = card.name, card.sha256
        line = f"{card.title}, weights {card.sha256[:12]}"
        self.line = f"{'; '.join(filter(None, (line, looked(model))))}. {card.intended_use}"
        self.mpp, self.device = model.mpp, model.device
        self.margin_px = model.network.seen_px
        self.model = model
        self.threshold = model.threshold if threshold is None else threshold

    def tuned(self, sample: Callable[[], np.ndarray]) -> UNetSegmenter:
        """The U-Net with the slide's colours carried towards those that it has learned from."""
        return UNetSegmenter(self.model.in_colours_of(sample()), self.threshold)

    def labels(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) of any size -> int32 (H, W)."""
        height, width = image.shape[:2]
        beyond = [(0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0)]
        padded = np.pad(image, beyond, mode="symmetric")
        probability = self.model.probability(padded[None])[0, :, :height, :width]
        return instances(probability, mpp=self.mpp, threshold=self.threshold)
