"""A small network taught by the head on a trunk: what a slide is shown by at once.

It is the paper's discriminator, narrow, without its game: of a patch in any colours, turned and
mirrored, it learns to say what the head said of it as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from napari_pathogan.engine.config import one_cycle
from napari_pathogan.engine.events import Event, Progress
from napari_pathogan.engine.trainer import shuffled
from napari_pathogan.tasks.idc.augment import Augment, augment
from napari_pathogan.tasks.idc.network import Discriminator

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_pathogan.engine.devices import Device
    from napari_pathogan.tasks.idc.augment import Palette
    from napari_pathogan.tasks.idc.data import PatchFolder

WIDTH = 0.25
COLOURS = Augment(normalise=0.2, mix=0.6, jitter=0.25, turns=True)
_BATCH, _RATE, _DECAY = 64, 2e-3, 1e-2


def distil(
    patches: PatchFolder,
    palette: Palette,
    logits: np.ndarray,
    device: Device,
    *,
    epochs: int,
    seed: int = 0,
) -> Generator[Event, None, Discriminator]:
    """Teach a small network what another one said of some patches.

    Parameters
    ----------
    patches, palette
        What it looks at, and the colours of their patients.
    logits
        (N,): what the other one said of each patch.

    Returns
    -------
    The network, in float32, on the CPU.
    """
    torch.manual_seed(seed)
    to = device.torch
    network = Discriminator(WIDTH, spectral=False).to(to)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.real.requires_grad_(requires_grad=False)
    optimiser = torch.optim.AdamW(
        [weight for weight in network.parameters() if weight.requires_grad],
        lr=_RATE,
        weight_decay=_DECAY,
    )
    images = torch.from_numpy(patches.images)
    patient = torch.from_numpy(np.unique(patches.patients, return_inverse=True)[1])
    said = torch.tensor(logits, dtype=torch.float32)
    spread, middle = said.std(), said.mean()
    steps = max(1, len(images) // _BATCH)
    for step in range(epochs * steps):
        if step % steps == 0:
            order = shuffled(torch.arange(len(images)), steps * _BATCH).view(steps, _BATCH)
        index = order[step % steps]
        for group in optimiser.param_groups:
            group["lr"] = _RATE * one_cycle(step / (epochs * steps))
        x = augment(images[index].to(to), patient[index].to(to), palette, COLOURS)
        wanted = ((said[index] - middle) / spread).to(to)
        with device.autocast:
            told = network.idc(network.features(x))[:, 0]
        loss = nn.functional.smooth_l1_loss(told.float(), wanted)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % steps == 0:
            yield Progress(step // steps, epochs, "teaching the fast network")
    with torch.no_grad():
        network.idc.weight.mul_(spread)
        network.idc.bias.mul_(spread).add_(middle)
    return network.cpu().eval().requires_grad_(requires_grad=False)
