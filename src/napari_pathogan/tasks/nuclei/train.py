"""Training the U-Net on crops of images with masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import ndimage

from napari_pathogan.engine import trainer as base
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished
from napari_pathogan.engine.models import read_card
from napari_pathogan.engine.trainer import shuffled
from napari_pathogan.tasks.nuclei.augment import Palette, crop, degrade, recolour
from napari_pathogan.tasks.nuclei.config import TrainConfig
from napari_pathogan.tasks.nuclei.data import NucleiFolder, need_nuclei
from napari_pathogan.tasks.nuclei.encoder import EncoderUNet
from napari_pathogan.tasks.nuclei.ensemble import learner, learner_weights
from napari_pathogan.tasks.nuclei.evaluate import figures, foretell, score
from napari_pathogan.tasks.nuclei.losses import dice_loss, label_loss
from napari_pathogan.tasks.nuclei.model import TASK, probability
from napari_pathogan.tasks.nuclei.network import UNet, folded_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.engine.runs import RunFolder


_HELD_OUT = 4  # images that are measured after each epoch
_THRESHOLD = 0.5
_SHOWN = 256  # px of a preview's side
_EDGE = (0, 229, 255)


class Trainer(base.Trainer[TrainConfig, torch.Tensor]):
    """The U-Net, the images, and one step of learning.

    With ``held_out`` images their Dice is measured after each epoch, of the first few.
    """

    def __init__(  # noqa: PLR0917
        self,
        folder: NucleiFolder,
        config: TrainConfig,
        device: Device,
        start: dict[str, torch.Tensor] | None = None,
        others: NucleiFolder | None = None,
        held_out: NucleiFolder | None = None,
    ) -> None:
        super().__init__(config, device)
        self.held_out = held_out.images[:_HELD_OUT] if held_out else ()
        self.main = len(folder)
        every = NucleiFolder((*folder.images, *(others.images if others else ())))
        pairs = [image.learnt for image in every.images]
        self.images = [torch.tensor(pixels).permute(2, 0, 1).contiguous() for pixels, _ in pairs]
        self.labels = [torch.tensor(labels) for _, labels in pairs]
        self.inside = [torch.nonzero(label == 1) for label in self.labels]
        names, patient = np.unique(every.patients, return_inverse=True)
        self.patient = torch.from_numpy(patient)
        self.palette = Palette(
            [
                np.concatenate([pairs[i][0].reshape(-1, 3) for i in np.flatnonzero(patient == p)])
                for p in range(len(names))
            ]
        )
        share = config.others_share if len(every) > self.main else 0.0
        area = sum(label.numel() for label in self.labels[: self.main]) / max(1 - share, 0.1)
        pixels = config.crop**2 * config.batch
        self.steps = max(1, config.least_steps, round(area / pixels))
        # a model's norms are folded: it goes on without
        self.normalised = start is None or any(".norm" in name for name in start)
        unet = self._unet()
        if start is not None:
            unet.load_state_dict(start)
        self.network = self.add("network", unet)
        groups: list[dict[str, Any]] = [{"params": list(unet.parameters())}]
        if isinstance(unet, EncoderUNet):
            rest = [p for name, p in unet.named_parameters() if not name.startswith("encoder.")]
            encoder = list(unet.encoder.parameters())
            groups = [{"params": rest}, {"params": encoder, "lr": config.lr * config.encoder_lr}]
        self.optimisers["network"] = torch.optim.AdamW(
            groups, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
        )

    def batches(self) -> Iterator[torch.Tensor]:
        """Draw which images the crops of an epoch are of: int64 (batch,) a step."""
        drawn = shuffled(torch.arange(self.main), self.steps * self.config.batch)
        if len(self.images) > self.main:
            foreign = torch.rand(len(drawn)) < self.config.others_share
            every = torch.arange(self.main, len(self.images))
            drawn[foreign] = shuffled(every, int(foreign.sum()))
        yield from drawn.view(self.steps, -1)

    def draw(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a varied crop of each image.

        Returns
        -------
        images, labels
            float32 (N, 3, crop, crop) in [-1, 1], channels last; int64 (N, crop, crop).
        """
        how, size = self.config.augment, self.config.crop
        crops, labels = [], []
        for i in index.tolist():
            seen, marked = crop(self.images[i], self.labels[i], self._centre(i), size, how)
            crops.append(seen)
            labels.append(marked)
        x = recolour(torch.stack(crops), self.patient[index], self.palette, how)
        x = degrade(x, how.degrade) if how.degrade else x
        return (x * 2 - 1).contiguous(memory_format=torch.channels_last), torch.stack(labels)

    def _centre(self, i: int) -> torch.Tensor:
        """Draw where in an image a crop lies: anywhere, or on a nucleus; y, x."""
        room = torch.tensor(self.labels[i].shape)
        edge = torch.minimum(room, torch.tensor(self.config.crop)) / 2
        centre = edge + torch.rand(2) * (room - 2 * edge)
        chance, which = torch.rand(2).tolist()
        if chance < self.config.on_nuclei and len(self.inside[i]):
            centre = self.inside[i][int(which * len(self.inside[i]))].float()
        return torch.maximum(torch.minimum(centre, room - edge), edge)

    def step(self, batch: torch.Tensor, number: int) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Learn from one batch of crops; returns its losses."""
        x, labels = (part.to(self.device.torch) for part in self.draw(batch))
        self.network.train()
        with self.device.autocast:
            logits = self.network(x)
        losses = {"label": label_loss(logits.float(), labels, self.config.boundary)}
        total = losses["label"]
        if self.config.dice:
            losses["dice"] = dice_loss(logits.float(), labels)
            total = total + self.config.dice * losses["dice"]
        self.update("network", total)
        return {name: loss.detach() for name, loss in losses.items()}

    def measure(self) -> dict[str, float]:
        """The Dice of what is held out, by the average so far."""
        if not self.held_out:
            return {}
        network = self.trained().requires_grad_(requires_grad=False)
        planes = [
            foretell(image, lambda x: probability(network, x, self.device))
            for image in self.held_out
        ]
        self._seen = planes[0]
        scored = [
            score(image, one, _THRESHOLD, instances_known=False)
            for image, one in zip(self.held_out, planes, strict=True)
        ]
        dice = figures(scored, np.ones(len(scored)))["dice"]
        return {} if dice is None else {"held_out_dice": dice}

    def preview(self) -> tuple[str, np.ndarray] | None:
        """The first image that is held out, and beside it what the network finds there."""
        if not self.held_out:
            return None
        pixels = self.held_out[0].pixels[:_SHOWN, :_SHOWN]
        found = self._seen[0][:_SHOWN, :_SHOWN] < _THRESHOLD
        edge = found & ~ndimage.binary_erosion(found, iterations=2)
        marked = np.where(edge[..., None], np.array(_EDGE, np.uint8), pixels)
        return "held out, and what is found there", np.concatenate([pixels, marked], 1)

    def trained(self) -> UNet | EncoderUNet:
        """The averaged network; of the paper's, batch normalisation is folded in."""
        average = self._unet()
        average.load_state_dict(self.weights("network"))
        if isinstance(average, EncoderUNet):
            return average.eval()
        network = UNet(self.config.width, self.config.squares, normalised=False)
        network.load_state_dict(folded_state(average.cpu()))
        return network.eval()

    def _unet(self) -> UNet | EncoderUNet:
        if self.config.backbone:
            return EncoderUNet.on(self.config.backbone, self.config.width)
        return UNet(self.config.width, self.config.squares, normalised=self.normalised)


def train(
    folder: NucleiFolder,
    config: TrainConfig,
    run: RunFolder,
    *,
    device: str = "auto",
    start: Path | None = None,
    others: NucleiFolder | None = None,
    held_out: NucleiFolder | None = None,
) -> Iterator[Event]:
    """Train one U-Net on images with masks.

    A checkpoint in ``run`` is gone on from.

    Parameters
    ----------
    start
        Checkpoint of another run, or folder of a model: begin with its (averaged) weights.
    others
        Images of other laboratories, for ``others_share`` of the crops.
    held_out
        Images whose Dice is measured after each epoch.

    Yields
    ------
    Progress, Metrics, Preview, Checkpoint, and Finished with the U-Net, the norms of the paper's folded in.

    Raises
    ------
    DataFolderError
        If no image has a nucleus.
    TrainingDivergedError
        If a loss becomes NaN or infinite; the checkpoint before it stays.
    """
    need_nuclei(folder)
    weights = None
    if start is not None:
        weights = base.weights_of(start, TASK, "network")
        if start.is_dir():
            card = read_card(start)
            weights = learner_weights(weights, learner(card.architecture, card.arguments))
    trainer = Trainer(folder, config, choose_device(device), weights, others, held_out)
    yield from trainer.go_on(run)
    yield Finished(trainer.trained(), {"epochs": trainer.epoch})
