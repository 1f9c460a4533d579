"""A linear head on a frozen, pretrained trunk: what holds on patients and scanners never seen.

Three logistic regressions look at a patch: at the trunk's last three maps (strides of 8, 16 and
32 px in a convolutional network), at what it says at its end, and at colours and contrast. Each
counts the same, on the scale of its own spread; their sum is linear, so one layer holds it. They
learn from every patch twice, in its own colours and with its slide's carried to the reference.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.backbones import load_backbone
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Event, Progress
from napari_pathogan.engine.pixels import as_input
from napari_pathogan.errors import NoTissueError
from napari_pathogan.tasks.idc.baseline import N_STATISTICS, C, fit_linear, statistics

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_pathogan.engine.backbones import Backbone
    from napari_pathogan.tasks.idc.config import TrainConfig
    from napari_pathogan.tasks.idc.data import PatchFolder

_BATCH = 128
_CACHED = 20_000  # patches whose features are remembered, about 8 kB each


class FrozenHead(nn.Module):
    """Tells IDC from healthy by what a pretrained trunk sees.

    Parameters
    ----------
    backbone
        As :func:`~napari_pathogan.engine.backbones.load_backbone` takes it.
    side
        Patches are enlarged to so many pixels first.
    sha256
        Of the backbone's weights; "" for any.

    Raises
    ------
    ModelNotFoundError, ModelError
        If there is no such backbone, or it has other weights.
    """

    def __init__(self, backbone: str, side: int, sha256: str = "") -> None:
        super().__init__()
        self.trunk = load_backbone(backbone, sha256)  # no part of this model's weights
        self.side = side
        self.parts = (*self.trunk.widths, N_STATISTICS)
        self.idc_head = nn.Linear(sum(self.parts), 1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 50, 50) in [-1, 1] -> float32 (N, ``sum(parts)``); seen once, they are remembered."""
        return _REMEMBERED.features(x, self.trunk, self.side)

    def idc(self, features: torch.Tensor) -> torch.Tensor:
        """Features (N, F) -> logits of IDC (N, 1), in float32."""
        with torch.autocast(features.device.type, enabled=False):
            logits: torch.Tensor = self.idc_head(features.float())
        return logits

    def fit(self, features: np.ndarray, labels: np.ndarray, c: float) -> None:
        """Fit the head to features (N, F) and labels (N,), 0 and 1, both classes counting the same.

        ``c`` is of the two regressions on the trunk; that on colours is the baseline's.
        """
        weights, offset = [], 0.0
        for part, own in zip(
            np.split(features, np.cumsum(self.parts)[:-1], 1), (c, c, C), strict=True
        ):
            weight, bias = fit_linear(part, labels, own)
            spread = np.std(part @ weight)
            weights.append(weight / spread)
            offset += bias / spread
        with torch.no_grad():
            self.idc_head.weight.copy_(torch.from_numpy(np.concatenate(weights))[None])
            self.idc_head.bias.fill_(offset)


class _Remembered:
    """Features of the patches that were looked at last: folds and repeated runs share them."""

    def __init__(self) -> None:
        self._known: dict[bytes, torch.Tensor] = {}
        self._lock = threading.Lock()

    def features(self, x: torch.Tensor, trunk: Backbone, side: int) -> torch.Tensor:
        kind = x.device.type
        precise = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        salt = hashlib.blake2b(f"{trunk.sha256} {side} {precise}".encode(), digest_size=16).digest()
        rows = x.float().cpu().contiguous().numpy()
        keys = [hashlib.blake2b(row.tobytes(), digest_size=16, key=salt).digest() for row in rows]
        with self._lock:  # what is known is taken out and put back, so that the oldest goes first
            had = [self._known.pop(key, None) for key in keys]
        new = [i for i, one in enumerate(had) if one is None]
        if new:
            part = nn.functional.interpolate((x[new] + 1) / 2, (side, side), mode="bilinear")
            seen = torch.cat([trunk.features(part), statistics(x[new].float())], 1).cpu()
            for i, one in zip(new, seen, strict=True):
                had[i] = one
        known = [one for one in had if one is not None]
        with self._lock:
            self._known |= dict(zip(keys, known, strict=True))
            while len(self._known) > _CACHED:
                del self._known[next(iter(self._known))]
        return torch.stack(known).to(x.device)


_REMEMBERED = _Remembered()


def fitted(
    patches: PatchFolder, reference: SlideColours, config: TrainConfig, device: str = "auto"
) -> Generator[Event, None, FrozenHead]:
    """Fit a head to labelled patches, in their own colours and in the reference's.

    Returns
    -------
    The trunk with its head.

    Raises
    ------
    ModelNotFoundError, ModelError
        As :class:`FrozenHead`.
    """
    network = FrozenHead(config.trunk, config.side)
    known = patches.labelled
    where, features, labels, done = choose_device(device), [], [], 0
    for name in known.names:
        own = known.of([name])
        ways = (None, *_carried(own.images, reference))
        for recolour in ways:
            for start in range(0, len(own), _BATCH):
                yield Progress(done, len(known), f"looking at patches with {config.trunk}")
                part = torch.from_numpy(np.ascontiguousarray(own.images[start : start + _BATCH]))
                with torch.inference_mode(), where.autocast:
                    seen = network.features(as_input(part.to(where.torch), recolour))
                features.append(seen.cpu().numpy())
            labels.append(own.labels)
        done += len(own)
    network.fit(np.concatenate(features), np.concatenate(labels), config.c)
    return network.eval().requires_grad_(requires_grad=False)


def _carried(
    images: np.ndarray, reference: SlideColours
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The map of a slide's colours to the reference; none where there is no tissue to measure."""
    try:
        return (SlideColours.measure(images).map_to(reference),)
    except NoTissueError:
        return ()
