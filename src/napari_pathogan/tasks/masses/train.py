"""Learning to find masses: crops of breasts, with and without a mass, real and synthetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torchvision.ops import masks_to_boxes

from napari_pathogan.engine import trainer as base
from napari_pathogan.engine.backbones import load_network
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished
from napari_pathogan.engine.trainer import shuffled
from napari_pathogan.tasks.masses.augment import crop
from napari_pathogan.tasks.masses.config import PRETRAINED, SLIM, arguments
from napari_pathogan.tasks.masses.model import TASK
from napari_pathogan.tasks.masses.network import BUILDERS, inputs, learning, upper

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torchvision.models.detection import MaskRCNN

    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.masses.config import TrainConfig

_JITTER = 0.35  # of the crop's sides: how far from its middle a mass may lie
_CLIP = 5.0  # length of a gradient
_SMALLEST_PX = 4  # of a mass's box in a crop; the detector's anchors know none smaller


@dataclass(frozen=True, eq=False)
class Example:
    """A breast to learn from: float32 (h, w) in [0, 1], bool (n, h, w), and where it is from."""

    image: torch.Tensor
    masks: torch.Tensor
    synthetic: bool = False


class Trainer(base.Trainer["TrainConfig", torch.Tensor]):
    """The detector, the examples, and one step."""

    def __init__(self, examples: Sequence[Example], config: TrainConfig, device: Device) -> None:
        super().__init__(config, device)
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
        boxes = masks_to_boxes(masks) if len(masks) else torch.zeros(0, 4)
        boxes[:, 2:] += 1  # from the last pixel to its end
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
) -> Iterator[Event]:
    """Train a detector.

    A checkpoint in ``run`` is gone on from. A training that begins anew does so with the
    detector of ``start``, the folder of another run or of a model, if there is one.

    Yields
    ------
    Progress, Metrics, Checkpoint, and Finished with the :class:`MaskRCNN`.

    Raises
    ------
    TrainingDivergedError
        If a loss becomes NaN or infinite; the checkpoint before it stays.
    """
    trainer = Trainer(examples, config, choose_device(device))
    if start is not None:
        trainer.begin_with(base.weights_of(start, TASK, "network"))
    yield from trainer.go_on(run)
    yield Finished(trainer.trained(), {"epochs": trainer.epoch})
