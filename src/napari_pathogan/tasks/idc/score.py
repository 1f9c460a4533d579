"""One pass of patches through the discriminator, as fast as the device allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.devices import in_batches, moved
from napari_pathogan.engine.pixels import as_input, view
from napari_pathogan.errors import NoTissueError

if TYPE_CHECKING:
    from napari_pathogan.engine.devices import Device
    from napari_pathogan.tasks.idc.data import PatchFolder
    from napari_pathogan.tasks.idc.deep import DeepDiscriminator
    from napari_pathogan.tasks.idc.frozen import FrozenHead
    from napari_pathogan.tasks.idc.network import Discriminator

    Network = Discriminator | DeepDiscriminator | FrozenHead

_BATCH = {"cpu": 128, "cuda": 2048}


@torch.inference_mode()
def score(
    network: Network,
    images: np.ndarray,
    device: Device,
    *,
    recolour: tuple[np.ndarray, np.ndarray] | None = None,
    views: int = 1,
) -> np.ndarray:
    """IDC logits of patches.

    Parameters
    ----------
    network
        With folded weights (``spectral=False``).
    images
        uint8 (N, 50, 50, 3), RGB.
    recolour
        Matrix (3, 3) and offset (3,) applied to RGB in [0, 1] first.
    views
        How many of the 8 flips and quarter turns to look at.

    Returns
    -------
    float32 (N, views).
    """
    return _score(network, images, device, recolour, views)


def looked(
    network: Network,
    images: np.ndarray,
    device: Device,
    *,
    recolour: tuple[np.ndarray, np.ndarray] | None = None,
    views: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`score`, and what the network sees of patches as they lie: float32 (N, views) and (N, F)."""
    figures: list[np.ndarray] = []
    logits = _score(network, images, device, recolour, views, figures)
    return logits, np.concatenate(figures)


@torch.inference_mode()
def _score(  # noqa: PLR0917
    network: Network,
    images: np.ndarray,
    device: Device,
    recolour: tuple[np.ndarray, np.ndarray] | None,
    views: int,
    figures: list[np.ndarray] | None = None,
) -> np.ndarray:
    """Logits (N, views); what the network sees of each batch is added to ``figures``."""
    to = device.torch
    moved(network, to)
    batch = _BATCH.get(to.type, 512)
    logits = np.empty((len(images), views), np.float32)

    def seen(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = torch.from_numpy(np.ascontiguousarray(images[part])).to(to)
        x = as_input(pixels, recolour)
        columns, first = [], x
        with device.autocast:
            for v in range(views):
                own = network.features(view(x, v))
                columns.append(network.idc(own)[:, 0])
                first = first if v else own
        return torch.stack(columns, 1).float().cpu(), first.float().cpu()

    for part, (found, own) in in_batches(len(images), batch, seen):
        logits[part] = found.numpy()
        if figures is not None:
            figures.append(own.numpy())
    return logits


@torch.inference_mode()
def features(
    network: Network,
    images: np.ndarray,
    device: Device,
    *,
    recolour: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """What a network sees of patches, uint8 (N, 50, 50, 3), before it says anything: float32 (N, F)."""
    to = device.torch
    moved(network, to)

    def seen(part: slice) -> np.ndarray:
        pixels = torch.from_numpy(np.ascontiguousarray(images[part])).to(to)
        x = as_input(pixels, recolour)  # exactly: autocast would round colours to 8 bits
        with device.autocast:
            found: torch.Tensor = network.features(x)
        figures: np.ndarray = found.float().cpu().numpy()
        return figures

    batch = _BATCH.get(to.type, 512)
    return np.concatenate([found for _, found in in_batches(len(images), batch, seen)])


def score_slides(
    network: Network,
    patches: PatchFolder,
    device: Device,
    reference: SlideColours,
    share: float,
    *,
    views: int = 1,
) -> np.ndarray:
    """Score patches as their slide's heat map would: each slide carried to reference colours.

    A slide's colours are those of its patches; one without tissue is taken as it is.

    Returns
    -------
    float32 (N, views).
    """
    logits = np.empty((len(patches), views), np.float32)
    for name in patches.names:
        own = patches.patients == name
        images = patches.images[own]
        try:
            recolour = SlideColours.measure(images).map_to(reference, share)
        except NoTissueError:
            recolour = None
        logits[own] = score(network, images, device, recolour=recolour, views=views)
    return logits
