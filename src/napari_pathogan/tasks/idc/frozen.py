"""A linear head on a frozen, pretrained trunk: what holds on patients and scanners never seen.

Three logistic regressions look at a patch: at the trunk's last three maps (strides of 8, 16 and
32 px in a convolutional network), at what it says at its end, and at colours and contrast. Each
counts the same, on the scale of its own spread; their sum is linear, so one layer holds it. They
learn from every patch twice, in its own colours and with its slide's carried to the reference.

What the head says is taught to a small network (:mod:`~napari_pathogan.tasks.idc.student`), which
sees the patch with its own five layers; the two are asked together, and it alone where speed counts.
"""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import expit
from torch import nn

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.backbones import load_backbone
from napari_pathogan.engine.devices import in_batches
from napari_pathogan.engine.events import Event, Progress
from napari_pathogan.engine.features import user_features
from napari_pathogan.engine.pixels import as_input
from napari_pathogan.engine.refit import Past, Prior
from napari_pathogan.errors import NoTissueError
from napari_pathogan.tasks.idc.baseline import N_STATISTICS, C, fit_linear, statistics
from napari_pathogan.tasks.idc.network import Discriminator
from napari_pathogan.tasks.idc.student import WIDTH, distil

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_pathogan.engine.backbones import Backbone
    from napari_pathogan.engine.devices import Device
    from napari_pathogan.engine.refit import Change
    from napari_pathogan.tasks.idc.augment import Palette
    from napari_pathogan.tasks.idc.config import TrainConfig
    from napari_pathogan.tasks.idc.data import PatchFolder

Map = tuple[np.ndarray, np.ndarray]  # a matrix (3, 3) and an offset (3,), of RGB in [0, 1]

_BATCH = 128
_REMEMBERED = 150  # patches of each class, as figures
_MOST = 65_504  # in float16


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
    student
        Whether there is a small network that was taught by the head.

    Raises
    ------
    ModelNotFoundError, ModelError
        If there is no such backbone, or it has other weights.
    """

    def __init__(
        self, backbone: str, side: int, sha256: str = "", *, student: bool = False
    ) -> None:
        super().__init__()
        self.trunk = load_backbone(backbone, sha256)  # no part of this model's weights
        self.side = side
        self.parts = (*self.trunk.widths, N_STATISTICS)
        self.idc_head = nn.Linear(sum(self.parts), 1)
        self.student = Discriminator(WIDTH, spectral=False) if student else None
        self.past: Past | None = None  # what it was trained on, where it is to be refitted

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the head looks at, and what the student says if there is one.

        (N, 3, 50, 50) in [-1, 1] -> float32 (N, ``sum(parts)``), or one more; what the trunk sees
        is kept (:mod:`~napari_pathogan.engine.features`).
        """
        return self._with_student(x, _looked(x, self.trunk, self.side))

    def fresh(self, x: torch.Tensor) -> torch.Tensor:
        """As :meth:`features`, without what was kept of earlier looks."""
        return self._with_student(x, _seen(x, self.trunk, self.side).float())

    def _with_student(self, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        if self.student is None:
            return seen
        return torch.cat([seen, self.student.idc(self.student.features(x)).float()], 1)

    def idc(self, features: torch.Tensor) -> torch.Tensor:
        """Features (N, F) -> logits of IDC (N, 1), in float32: the mean of head and student."""
        with torch.autocast(features.device.type, enabled=False):
            width = sum(self.parts)
            logits: torch.Tensor = self.idc_head(features[:, :width].float())
            if self.student is not None:
                logits = (logits + features[:, width:]) / 2
        return logits

    @torch.no_grad()
    def say(self, features: np.ndarray) -> np.ndarray:
        """What the head alone says of features (N, ``sum(parts)``): float32 (N,)."""
        logits: np.ndarray = self.idc_head(torch.from_numpy(features))[:, 0].numpy()
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

    def remember(self, images: np.ndarray, looks: np.ndarray, labels: np.ndarray, c: float) -> None:
        """Keep what :meth:`fit` has learnt from, so that the head can be refitted later.

        Parameters
        ----------
        images
            uint8 (N, 50, 50, 3): labelled patches, of which some are kept as figures alone.
        looks, labels, c
            As :meth:`fit` was given them.
        """
        p = expit(self.say(looks))
        certainty = len(labels) / 2 / np.bincount(labels)[labels] * p * (1 - p)
        penalty = np.repeat([1 / c, 1 / c, 1 / C], self.parts)
        prior = Prior.of(looks, certainty, penalty)
        own = labels[: len(images)]
        some = np.concatenate([
            which[np.linspace(0, len(which) - 1, min(len(which), _REMEMBERED)).astype(int)]
            for which in (np.flatnonzero(own == label) for label in (0, 1))
        ])  # fmt: skip
        with torch.inference_mode():
            seen = self.features(as_input(torch.from_numpy(images[some]), None))
        self.past = Past(prior, len(labels), seen.half().numpy(), own[some].astype(np.int8))

    @torch.no_grad()
    def changed(self, change: Change) -> FrozenHead:
        """The same network with something added to what :meth:`idc` says; the student stays."""
        made = copy.copy(self)
        made._modules = {**self._modules, "idc_head": copy.deepcopy(self.idc_head)}  # noqa: SLF001
        share = 1 if self.student is None else 2  # it is asked together with the student
        made.idc_head.weight.add_(torch.from_numpy(share * change.weights).float())
        made.idc_head.bias.add_(share * change.offset)
        return made


def _looked(x: torch.Tensor, trunk: Backbone, side: int) -> torch.Tensor:
    """Figures of patches (N, 3, 50, 50) in [-1, 1], as precise as they are kept on disk."""
    kind = x.device.type
    precise = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    salt = hashlib.blake2b(f"{trunk.sha256} {side} {precise}".encode(), digest_size=16).digest()
    rows = x.float().cpu().contiguous().numpy()
    keys = [hashlib.blake2b(row.tobytes(), digest_size=16, key=salt).digest() for row in rows]
    kept = user_features()
    known = kept.get(keys)
    new = [i for i, key in enumerate(keys) if key not in known]
    if new:
        seen = _seen(x[new], trunk, side)
        fresh = dict(zip([keys[i] for i in new], seen.cpu().numpy(), strict=True))
        kept.put(fresh)
        known |= fresh
    return torch.from_numpy(np.stack([known[key] for key in keys])).float().to(x.device)


def _seen(x: torch.Tensor, trunk: Backbone, side: int) -> torch.Tensor:
    """The same, worked out: float16."""
    part = nn.functional.interpolate((x + 1) / 2, (side, side), mode="bilinear")
    seen = torch.cat([trunk.features(part), statistics(x.float())], 1)
    return seen.clamp(-_MOST, _MOST).half()


def fitted(
    patches: PatchFolder, palette: Palette, config: TrainConfig, device: Device
) -> Generator[Event, None, FrozenHead]:
    """Fit a head to labelled patches, in their own colours and in the palette's; teach a student.

    The student also learns from what the head says of unlabelled patches.

    Returns
    -------
    The trunk with its head.

    Raises
    ------
    ModelNotFoundError, ModelError
        As :class:`FrozenHead`.
    """
    network = FrozenHead(config.trunk, config.side)
    own = np.empty((len(patches), sum(network.parts)), np.float32)
    carried = np.full_like(own, np.nan)
    for name in patches.names:
        which = np.flatnonzero(patches.patients == name)
        ways = [
            (own, None),
            *((carried, x) for x in _carried(patches.images[which], palette.reference)),
        ]
        for seen, recolour in ways:

            def look(
                part: slice, which: np.ndarray = which, recolour: Map | None = recolour
            ) -> np.ndarray:
                x = torch.from_numpy(patches.images[which[part]]).to(device.torch)
                with torch.inference_mode(), device.autocast:
                    return network.features(as_input(x, recolour)).cpu().numpy()

            for part, found in in_batches(len(which), _BATCH, look):
                seen[which[part]] = found
                done = int(np.isfinite(carried[:, 0]).sum())
                yield Progress(done, len(patches), f"looking at patches with {config.trunk}")
    looks = np.stack([own, np.where(np.isfinite(carried), carried, own)])
    learnt = np.stack([patches.labels >= 0, (patches.labels >= 0) & np.isfinite(carried[:, 0])])
    labels = np.tile(patches.labels, (2, 1))[learnt]
    network.fit(looks[learnt], labels, config.c)
    if config.student:
        said = np.mean([network.say(one) for one in looks], 0)
        epochs, seed = config.student, config.seed
        student = yield from distil(patches, palette, said, device, epochs=epochs, seed=seed)
        network.student = student
    network.remember(patches.labelled.images, looks[learnt], labels, config.c)
    return network.eval().requires_grad_(requires_grad=False)


def _carried(images: np.ndarray, reference: SlideColours) -> tuple[Map, ...]:
    """The map of a slide's colours to the reference; none where there is no tissue to measure."""
    try:
        return (SlideColours.measure(images).map_to(reference),)
    except NoTissueError:
        return ()
