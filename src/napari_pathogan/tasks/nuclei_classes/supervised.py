"""A linear head on a frozen, pretrained trunk, taught by labels: the default where there are any.

What the trunk sees is pooled over the nucleus, over what touches it and over what is around, in
colours normalised image by image; beside it stand the rings of optical density. One layer
looks at all of it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from napari_pathogan.engine.backbones import DEFAULT, load_backbone
from napari_pathogan.engine.events import Event, Progress
from napari_pathogan.engine.linear import fit_logistic
from napari_pathogan.files import written
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.nuclei_classes.augment import Palette, middle
from napari_pathogan.tasks.nuclei_classes.data import CONTEXT_PX
from napari_pathogan.tasks.nuclei_classes.figures import N_DENSITIES, Densities
from napari_pathogan.tasks.nuclei_classes.stain import in_density

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_pathogan.engine.devices import Device
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.nuclei_classes.data import Nuclei

_ENLARGED = 2
# pixels from the centre between which each map is averaged: the nucleus, what touches it, around
_POOLS = (((0, 6.5), (6.5, 14), (14, 26)), ((0, 9), (9, 26)), ((0, CONTEXT_PX),))
_CLIP = 4.0  # standard deviations
_BATCH = 64
_GAIN, _OFFSET = 0.1, 0.05  # spread of optical density's jitter in the other views


class SupervisedHead(nn.Module):
    """Tells classes of nuclei by what a pretrained trunk sees in and around them.

    Parameters
    ----------
    classes
        How many.
    backbone
        As :func:`~napari_pathogan.engine.backbones.load_backbone` takes it.
    sha256
        Of the backbone's weights; "" for any.

    Raises
    ------
    ModelNotFoundError, ModelError
        If there is no such backbone, or it has other weights.
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, classes: int, backbone: str = DEFAULT, sha256: str = "") -> None:
        super().__init__()
        self.trunk = load_backbone(backbone, sha256)  # no part of this model's weights
        self.rings = Densities()
        channels = self.trunk.channels
        self.n_features = N_DENSITIES + sum(
            n * len(pools) for n, pools in zip(channels, _POOLS, strict=True)
        )
        self.register_buffer("shift", torch.zeros(self.n_features))
        self.register_buffer("scale", torch.ones(self.n_features))
        self.classify = nn.Linear(self.n_features, classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 64, 64) in [-1, 1], in reference colours -> float32 (N, ``n_features``)."""
        side = CONTEXT_PX * _ENLARGED
        large = nn.functional.interpolate((x + 1) / 2, (side, side), mode="bilinear")
        _, maps = self.trunk.seen(large)
        found = [self.rings(middle(x))]
        for seen, pools in zip(maps, _POOLS, strict=True):
            weights = torch.stack([_pool(seen.shape[-1], *pool) for pool in pools], 1).to(x.device)
            found.append((seen.float().flatten(2) @ weights).flatten(1))
        return torch.cat(found, 1).float()

    def scaled(self, features: torch.Tensor) -> torch.Tensor:
        """Features (N, F) in spreads from the mean, at most 4."""
        return ((features - self.shift) / self.scale).clamp(-_CLIP, _CLIP)

    def classes(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits: (N, 3, 64, 64) in [-1, 1] -> (N, classes)."""
        return self.classify(self.scaled(self.features(x)))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Class logits of features (N, F): float32 (N, C)."""
        with torch.no_grad():
            return np.asarray(self.classify(self.scaled(torch.from_numpy(features))).numpy())

    def fit(self, features: np.ndarray, labels: np.ndarray, c: float) -> None:
        """Fit the layer to views of nuclei.

        Parameters
        ----------
        features, labels
            (V, N, F) and (N,); each class counts the same.
        c
            Inverse of the penalty on the weights.
        """
        self.shift.copy_(torch.from_numpy(features[0].mean(0)))
        self.scale.copy_(torch.from_numpy(features[0].std(0)).clamp(min=1e-3))
        views, n = features.shape[:2]
        scaled = self.scaled(torch.from_numpy(features.reshape(views * n, -1))).numpy()
        weights, offset = fit_logistic(
            scaled.astype(np.float64), np.tile(labels, views), c, np.full(views * n, 1 / views)
        )
        with torch.no_grad():
            self.classify.weight.copy_(torch.from_numpy(weights.T))
            self.classify.bias.copy_(torch.from_numpy(offset))


def _pool(cells: int, low: float, high: float) -> torch.Tensor:
    """What each cell of a map counts in the mean between two radii, in pixels: (cells**2,)."""
    stride = CONTEXT_PX / cells
    axis = (torch.arange(cells) + 0.5) * stride - CONTEXT_PX / 2
    radius = torch.hypot(axis[:, None], axis).flatten()
    inside = ((radius >= low) & (radius < high)).float()
    return inside / inside.sum().clamp(min=1)


def looked_at(  # noqa: PLR0917
    nuclei: Nuclei,
    head: SupervisedHead,
    palette: Palette,
    views: int,
    run: RunFolder,
    device: Device,
    seed: int = 0,
) -> Generator[Event, None, np.ndarray]:
    """What a head sees of nuclei, in several views; what a run has seen already is read there.

    The first view is as it is; in the others nuclei are turned, flipped, and a little denser or
    paler in each channel.

    Returns
    -------
    float32 (V, N, F).
    """
    found = np.empty((views, len(nuclei), head.n_features), np.float32)
    image = torch.from_numpy(np.unique(nuclei.images, return_inverse=True)[1])
    done = 0
    for _, own in nuclei.by_image():
        yield Progress(done, len(nuclei), f"looking at nuclei with {head.trunk.name}")
        pictures = nuclei.cropped(CONTEXT_PX)[own]
        way = (palette.matrix[image[own[:1]]], palette.offset[image[own[:1]]])
        key = hashlib.sha256(pictures.tobytes())
        key.update(f"{head.trunk.sha256} {views} {seed} {way}".encode())
        file = run.path / "seen" / f"{key.hexdigest()[:24]}.safetensors"
        if file.is_file():
            seen = load_file(file)["seen"].float()
        else:
            seen = _views(torch.from_numpy(pictures), way, head, views, seed, device)
            file.parent.mkdir(parents=True, exist_ok=True)
            with written(file, OURS) as beside:
                save_file({"seen": seen}, beside)
        found[:, own] = seen.numpy()
        done += len(own)
    return found


@torch.inference_mode()
def _views(  # noqa: PLR0917
    pictures: torch.Tensor,
    way: tuple[torch.Tensor, torch.Tensor],
    head: SupervisedHead,
    views: int,
    seed: int,
    device: Device,
) -> torch.Tensor:
    """Features of an image's nuclei, uint8 (N, 64, 64, 3), in several views: (V, N, F)."""
    rng = torch.Generator().manual_seed(seed)
    found = []
    for view in range(views):
        parts = []
        for start in range(0, len(pictures), _BATCH):
            some = pictures[start : start + _BATCH]
            x = in_density(some.permute(0, 3, 1, 2).float() / 255, *way)
            if view:
                x = _another(x, rng)
            parts.append(head.features((x * 2 - 1).to(device.torch)).cpu())
        found.append(torch.cat(parts))
    return torch.stack(found)


def _another(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Nuclei (N, 3, S, S) in [0, 1], each laid down and stained in another way."""
    n = len(x)
    chance = torch.rand(3, n, 1, 1, 1, generator=rng) < 0.5
    x = torch.where(chance[0], x.flip(2), x)
    x = torch.where(chance[1], x.flip(3), x)
    x = torch.where(chance[2], x.transpose(2, 3), x)
    gain = (_GAIN * torch.randn(n, 3, generator=rng)).exp()
    return in_density(x, torch.diag_embed(gain), _OFFSET * torch.randn(n, 3, generator=rng))
