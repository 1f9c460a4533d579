"""Learning to find masses: crops of breasts, with and without a mass, real and synthetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.ops import masks_to_boxes

from napari_pathogan.engine import trainer as base
from napari_pathogan.engine.backbones import load_network
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished
from napari_pathogan.engine.trainer import shuffled
from napari_pathogan.tasks.masses.augment import crop
from napari_pathogan.tasks.masses.before_after import FPPI
from napari_pathogan.tasks.masses.config import PRETRAINED, SLIM, arguments
from napari_pathogan.tasks.masses.froc import judge
from napari_pathogan.tasks.masses.model import TASK, Views, looked
from napari_pathogan.tasks.masses.network import BUILDERS, inputs, learning, upper

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torchvision.models.detection import MaskRCNN

    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.masses.config import TrainConfig
    from napari_pathogan.tasks.masses.examples import Example, Framed
    from napari_pathogan.tasks.masses.model import Findings

_JITTER = 0.35  # of the crop's sides: how far from its middle a mass may lie
_CLIP = 5.0  # length of a gradient
_SMALLEST_PX = 4  # of a mass's box in a crop; the detector's anchors know none smaller
_HELD_OUT = 6, 2  # images that are measured after each epoch: with a mass, and without
_SURE = 0.5  # scores of boxes that a picture shows
_MARKED, _FOUND = (0, 158, 115), (230, 159, 0)  # Okabe and Ito's


class Trainer(base.Trainer["TrainConfig", torch.Tensor]):
    """The detector, the examples, and one step.

    Of images that are ``held_out`` the first few are looked at after each epoch.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        config: TrainConfig,
        device: Device,
        held_out: Sequence[Framed] = (),
    ) -> None:
        super().__init__(config, device)
        kinds = [
            [x for x in held_out if (len(x.example.masks) > 0) is one] for one in (True, False)
        ]
        self.held_out = [x for kind, n in zip(kinds, _HELD_OUT, strict=True) for x in kind[:n]]
        self._seen: Findings | None = None  # of the first
        self.examples, self.steps = list(examples), config.steps
        self.network = self.add("network", built(config))
        self.trunk, self.upper = set(learning(self.network)), upper(self.network)
        body = list(self.network.backbone.body.parameters())
        heads = [one for one in self.network.parameters() if all(one is not b for b in body)]
        groups: list[dict[str, Any]] = [
            {"params": heads},
            {"params": body, "lr": config.lr * config.trunk_lr},
        ]
        self.optimisers["network"] = torch.optim.AdamW(
            groups, lr=config.lr, weight_decay=config.weight_decay
        )
        with_mass = torch.tensor([len(e.masks) > 0 for e in self.examples])
        synthetic = torch.tensor([e.synthetic for e in self.examples])
        pools = (with_mass & ~synthetic, with_mass & synthetic, ~with_mass)
        self.pools = [torch.nonzero(pool).flatten() for pool in pools]

    def batches(self) -> torch.Tensor:
        """Draw the examples of an epoch: int64 (steps, batch), each of its kind equally often."""
        c, n = self.config, self.steps * self.config.batch
        real, made, _ = (len(pool) for pool in self.pools)
        share = c.synthetic_share if real and made else float(not real)
        masses = round(n * c.with_mass) if len(self.pools[2]) else n
        counts = (masses - round(masses * share), round(masses * share), n - masses)
        drawn = [shuffled(pool, k) for pool, k in zip(self.pools, counts, strict=True) if k]
        mixed = torch.cat(drawn)
        return mixed[torch.randperm(n)].view(self.steps, c.batch)

    def step(self, index: torch.Tensor, number: int) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """One step on varied crops; returns the losses of Mask R-CNN."""
        c, to = self.config, self.device.torch
        images, targets = zip(*(self._crop(self.examples[i]) for i in index), strict=True)
        batch = torch.stack(images).to(to)
        self._learn_from(self.epoch)
        with self.device.autocast:
            losses = self.network(
                inputs(self.network, batch), [{k: v.to(to) for k, v in t.items()} for t in targets]
            )
        weights = {"loss_box_reg": c.box_loss, "loss_mask": c.mask_loss}
        total = sum(loss.float() * weights.get(name, 1.0) for name, loss in losses.items())
        self.update("network", total, clip=_CLIP)
        return {name.removeprefix("loss_"): loss.detach() for name, loss in losses.items()}

    def _crop(self, example: Example) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        c = self.config
        u = torch.rand(2).tolist()
        if len(example.masks):
            ys, xs = torch.nonzero(
                example.masks[int(torch.randint(len(example.masks), ()))], as_tuple=True
            )
            about = (float(ys.float().mean()), float(xs.float().mean()))
            middle = tuple(
                a + (2 * v - 1) * _JITTER * side
                for a, v, side in zip(about, u, c.crop, strict=True)
            )
        else:
            middle = tuple(v * side for v, side in zip(u, example.image.shape, strict=True))
        image, masks = crop(example.image, example.masks.float(), middle, c.crop, c.augment)
        boxes = _boxes(masks)
        large = ((boxes[:, 2:] - boxes[:, :2]) >= _SMALLEST_PX).all(1)
        labels = torch.ones(int(large.sum()), dtype=torch.int64)
        return image, {"boxes": boxes[large], "labels": labels, "masks": masks[large].byte()}

    def _learn_from(self, epoch: int) -> None:
        """The paper's steps: the heads, then the upper stages as well, then everything."""
        c = self.config
        self.network.train()
        whole = epoch >= c.heads_epochs + c.upper_epochs
        stage = self.trunk if whole else self.upper if epoch >= c.heads_epochs else set()
        for weight in self.network.backbone.body.parameters():
            weight.requires_grad_(weight in stage)

    def measure(self) -> dict[str, float]:
        """The share of the masses held out that the average so far finds at one false mark in two images."""
        truth = [_boxes(one.example.masks).numpy() for one in self.held_out]
        if not sum(map(len, truth)):
            return {}
        network = self.trained()
        views = Views(1, self.config.scales)
        seen = [looked(network, one.frame, self.device, views) for one in self.held_out]
        self._seen = seen[0]
        curve = judge([(one.boxes, one.scores) for one in seen], truth).curve()
        return {"held_out_found": curve.tpr_at(FPPI)}

    def preview(self) -> tuple[str, np.ndarray] | None:
        """The first image held out, with its masses and what is found there."""
        if self._seen is None:
            return None
        one = self.held_out[0]
        picture = np.repeat((one.frame.pixels * 255).astype(np.uint8)[..., None], 3, 2)
        sure = self._seen.boxes[self._seen.scores >= _SURE]
        for boxes, colour in ((_boxes(one.example.masks).numpy(), _MARKED), (sure, _FOUND)):
            for x0, y0, x1, y1 in np.asarray(boxes).round().astype(int):
                part = picture[y0:y1, x0:x1]
                for edge in (part[:2], part[-2:], part[:, :2], part[:, -2:]):
                    edge[:] = colour
        return "held out: masses green, what is found orange", picture

    def trained(self) -> MaskRCNN:
        """The (averaged) detector, ready to look for masses."""
        network = built(self.config, weights="")
        network.load_state_dict(self.weights("network"))
        return network.eval().requires_grad_(requires_grad=False)

    def begin_with(self, weights: dict[str, torch.Tensor]) -> None:
        """Begin with the detector that another training ended with.

        Raises
        ------
        SettingError
            If that is another kind of detector.
        """
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            msg = "what to begin with has another detector or width; ask for the same"
            raise SettingError(msg) from error
        self.average("network")


def _boxes(masks: torch.Tensor) -> torch.Tensor:
    """Of masks (n, h, w): float32 (n, 4), x0, y0, x1, y1."""
    boxes = masks_to_boxes(masks) if len(masks) else torch.zeros(0, 4)
    boxes[:, 2:] += 1  # from the last pixel to its end
    return boxes.float()


def built(config: TrainConfig, weights: str | None = None) -> MaskRCNN:
    """The untrained detector of a configuration."""
    if config.detector == SLIM:
        return BUILDERS[config.detector](**arguments(config))
    if config.detector == PRETRAINED:
        trunk = load_network(config.backbone)
        return BUILDERS[config.detector](**arguments(config), trunk=trunk)
    return BUILDERS[config.detector](weights=config.weights if weights is None else weights)


def train(
    examples: Sequence[Example],
    config: TrainConfig,
    run: RunFolder,
    *,
    device: str = "auto",
    start: Path | None = None,
    held_out: Sequence[Framed] = (),
) -> Iterator[Event]:
    """Train a detector.

    A checkpoint in ``run`` is gone on from. A training that begins anew does so with the
    detector of ``start``, the folder of another run or of a model, if there is one. Of images that are ``held_out``
    the share of the masses found is measured after each epoch.

    Yields
    ------
    Progress, Metrics, Preview, Checkpoint, and Finished with the :class:`MaskRCNN`.

    Raises
    ------
    TrainingDivergedError
        If a loss becomes NaN or infinite; the checkpoint before it stays.
    """
    trainer = Trainer(examples, config, choose_device(device), held_out)
    if start is not None:
        trainer.begin_with(base.weights_of(start, TASK, "network"))
    yield from trainer.go_on(run)
    yield Finished(trainer.trained(), {"epochs": trainer.epoch})
