"""Training a CycleGAN on two pools: both directions at once (paper 4, section 3.3; Zhu et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from torch import nn

from napari_pathogan.engine import trainer as base
from napari_pathogan.tasks.virtual_stain.network import (
    Discriminator,
    Generator,
    signed,
    to_uint8,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from napari_pathogan.engine.devices import Device
    from napari_pathogan.tasks.virtual_stain.config import TrainConfig
    from napari_pathogan.tasks.virtual_stain.data import Pair

_SHOWN = 4  # patches of each stain in a preview
_GLASS = 240 / 255

Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor]


class Trainer(base.Trainer["TrainConfig", Batch]):
    """The four networks and one step of the game; the generators are averaged."""

    def __init__(self, pair: Pair, config: TrainConfig, device: Device) -> None:
        super().__init__(config, device)
        self.pools = [
            [torch.tensor(image).permute(2, 0, 1) for image in pool.images]
            for pool in (pair.source, pair.target)
        ]
        longer = max(map(len, self.pools))
        self.steps = config.steps or -(-longer // config.batch)
        judges = {k: Discriminator(config.ndf) for k in ("source_judge", "target_judge")}
        self.generators = self.add("generators", self._generators())
        self.judges = self.add("judges", nn.ModuleDict(judges), averaged=False)
        for name, network in self.networks.items():
            self.optimisers[name] = torch.optim.Adam(network.parameters(), config.lr, config.betas)
        self.histories = [History(config.pool), History(config.pool)]

    def _generators(self) -> nn.ModuleDict:
        c = self.config
        return nn.ModuleDict(
            {k: Generator(c.ngf, c.blocks, residual=c.residual) for k in ("forth", "reverse")}
        )

    def begin(self, networks: Mapping[str, nn.Module]) -> None:
        """Take the weights of other networks of the same shape, by name; the averages begin there too."""
        for group in (self.generators, self.judges):
            for name in group:
                group[name].load_state_dict(networks[name].state_dict())
        self.average("generators")

    def batches(self) -> Iterator[Batch]:
        """Draw an epoch's crops of each stain: float32 (B, 3, S, S) in [-1, 1]."""
        c = self.config
        drawn = [
            base.shuffled(torch.arange(len(pool)), self.steps * c.batch).view(self.steps, c.batch)
            for pool in self.pools
        ]
        for places in zip(*drawn, strict=True):
            source, target = (
                torch.stack([_crop(pool[i], c.crop, c.scale) for i in place])
                for pool, place in zip(self.pools, places, strict=True)
            )
            yield source, target

    def step(self, batch: Batch, number: int) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """One step of the generators, then one of the discriminators; returns the losses.

        The generators see crops whose stain is varied and are to give back what they were before.
        """
        c, n = self.config, len(batch[0])
        real = [x.to(self.device.torch, memory_format=torch.channels_last) for x in batch]
        forth, reverse = self.generators["forth"], self.generators["reverse"]
        seen = [_varied(x, c.stain) for x in real]
        self.judges.requires_grad_(requires_grad=False)
        with self.device.autocast:
            # normalised image by image, so that two batches go through together
            to_target, same_target = forth(torch.cat([seen[0], real[1]])).split(n)
            to_source, same_source = reverse(torch.cat([seen[1], real[0]])).split(n)
            made = [to_source, to_target]
            again = [reverse(to_target), forth(to_source)]
            doubts = [self._judge(k, image) for k, image in enumerate(made)]
        losses = {
            "adversarial": _sum(_least_squares(doubt, real=True) for doubt in doubts),
            "cycle": _sum(map(_apart, again, real)),
            "identity": _apart(same_target, real[1]) + _apart(same_source, real[0]),
        }
        total = losses["adversarial"] + c.cycle * losses["cycle"]
        self.update("generators", total + c.identity * losses["identity"])
        self.judges.requires_grad_(requires_grad=True)
        shown = [h.swapped(x.detach()) for h, x in zip(self.histories, made, strict=True)]
        with self.device.autocast:
            judged = [
                self._judge(k, torch.cat([x, y]))
                for k, (x, y) in enumerate(zip(real, shown, strict=True))
            ]
        losses["judges"] = 0.5 * _sum(
            _least_squares(one[:n], real=True) + _least_squares(one[n:], real=False)
            for one in judged
        )
        self.update("judges", losses["judges"])
        return {name: loss.detach() for name, loss in losses.items()}

    def _judge(self, stain: int, image: torch.Tensor) -> torch.Tensor:
        judged: torch.Tensor = self.judges[("source_judge", "target_judge")[stain]](image)
        return judged.float()

    def parts(self) -> dict[str, dict[str, torch.Tensor]]:
        """Weights of the four networks, by name; the generators' averaged."""
        every = {**self.weights("generators"), **self.judges.state_dict()}
        names = [*self.generators, *self.judges]
        return {
            name: {k.partition(".")[2]: v for k, v in every.items() if k.startswith(f"{name}.")}
            for name in names
        }

    @torch.no_grad()
    def preview(self) -> tuple[str, np.ndarray]:
        """The same patches of both stains each time: as they are, carried over, and back again."""
        generators = self._generators()
        generators.load_state_dict(self.weights("generators"))
        generators.to(self.device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
        rows = []
        for pool, there, back in zip(
            self.pools, ("forth", "reverse"), ("reverse", "forth"), strict=True
        ):
            shown = pool[:: max(1, len(pool) // _SHOWN)][:_SHOWN]
            images = torch.stack([_middle(image, self.config.crop) for image in shown])
            images = images.to(self.device.torch, memory_format=torch.channels_last)
            with self.device.autocast:
                made = generators[there](images)
                again = generators[back](made)
            rows += [np.concatenate(list(to_uint8(x)), 1) for x in (images, made, again)]
        width = max(row.shape[1] for row in rows)
        rows = [
            np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
            for row in rows
        ]
        text = "source, virtual target, back again; target, virtual source, back again: synthetic"
        return text, np.concatenate(rows)

    def own_state(self) -> dict[str, Any]:
        """The earlier generated images."""
        return {"histories": [list(one.images) for one in self.histories]}

    def restore_own(self, state: dict[str, Any]) -> None:
        """Take them from a saved state."""
        for one, images in zip(self.histories, state["histories"], strict=True):
            one.images = list(images)


class History:
    """The last generated images, of which a discriminator sees one in place of a new one at times.

    Parameters
    ----------
    size
        How many there are at most; 0 shows the new ones alone.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[torch.Tensor] = []

    def swapped(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W): each image, or with even odds an earlier one, whose place it takes."""
        if not self.size:
            return images
        out = []
        for new in images:
            image = new.half()
            if len(self.images) < self.size:
                self.images.append(image)
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(self.size, ()))
                image, self.images[place] = self.images[place], image
            out.append(image.to(images.device, images.dtype))
        return torch.stack(out).contiguous(memory_format=torch.channels_last)


def _sum(losses: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.stack([*losses]).sum()


def _apart(made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    return F.l1_loss(made.float(), real)


def _least_squares(judged: torch.Tensor, *, real: bool) -> torch.Tensor:
    """LSGAN: real is 1, generated is 0."""
    return (judged - float(real)).square().mean()


def _crop(image: torch.Tensor, side: int, scale: float) -> torch.Tensor:
    """A random square of uint8 (3, H, W), of about ``side``, turned and flipped: (3, S, S) in [-1, 1]."""
    stretch = scale ** float(torch.rand(()) * 2 - 1)
    have = min(image.shape[1:])
    size = min(have, max(8, round(side * stretch)))
    y, x = (int(torch.randint(n - size + 1, ())) for n in image.shape[1:])
    part = image[:, y : y + size, x : x + size].float()[None] / 127.5 - 1
    if size != side:
        part = F.interpolate(part, (side, side), mode="bilinear", antialias=True)
    turned = torch.rot90(part[0], int(torch.randint(4, ())), (1, 2))
    return turned.flip(2) if torch.rand(()) < 0.5 else turned


def _middle(image: torch.Tensor, side: int) -> torch.Tensor:
    """The middle of uint8 (3, H, W), ``side`` px: float32 in [-1, 1]."""
    have = min(side, *image.shape[1:])
    y, x = ((n - have) // 2 for n in image.shape[1:])
    part = signed(image[:, y : y + have, x : x + have].permute(1, 2, 0).numpy()[None])
    return F.interpolate(part, (side, side), mode="bilinear", antialias=True)[0]


def _varied(images: torch.Tensor, strength: float) -> torch.Tensor:
    """Optical densities of (N, 3, H, W) in [-1, 1] times 1 +- ``strength``, channel by channel."""
    if not strength:
        return images
    gain = 1 + (torch.rand(len(images), 3, 1, 1).to(images.device) * 2 - 1) * strength
    through = ((images + 1) / 2 / _GLASS).clamp(min=1 / 255)
    return (through.pow(gain) * _GLASS * 2 - 1).clamp(-1, 1)
