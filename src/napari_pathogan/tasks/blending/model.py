"""A trained blending network: its card, the generator, and how it is learned and saved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pathogan.engine.devices import Device, choose_device, moved
from napari_pathogan.engine.events import Event, Finished
from napari_pathogan.engine.models import ModelCard, TrainingData, fitting, load_model, save_model
from napari_pathogan.tasks.blending.data import WORKING_PX
from napari_pathogan.tasks.blending.network import STRIDE, Generator
from napari_pathogan.tasks.blending.train import train

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from napari_pathogan.engine.models import Metric
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.blending.config import Arm, TrainConfig
    from napari_pathogan.tasks.blending.lesions import Stage
    from napari_pathogan.tasks.masses.data import MassFolder

TASK = "masses-blending"
ARCHITECTURE = "blending-unet"
_INTENDED = (
    "Research use only: mammograms with synthetic masses, to train detectors on and to try out "
    "software. The masses are real ones grown elsewhere; the images must stay marked as synthetic."
)
_NOT_FOR = (
    "diagnosis or any clinical decision",
    "passing blended images off as real ones",
    "measuring how well a detector finds masses: they stand where they were put",
)


@dataclass(eq=False)
class BlendModel:
    """A blending network.

    Attributes
    ----------
    card
        What it was trained on, what it is not for.
    network, device
        The generator, and where it computes.
    """

    card: ModelCard
    network: Generator
    device: Device

    @classmethod
    def load(cls, name: str | Path = TASK, device: str = "auto") -> BlendModel:
        """Load the embedded model by name, or a run's by its folder.

        Raises
        ------
        ModelNotFoundError, ModelError
            If there is none, or its files don't fit together or are for another task.
        """
        card, weights = load_model(name, TASK)
        where = choose_device(device)
        with fitting(card, ARCHITECTURE):
            network = Generator(**card.arguments)
            network.load_state_dict(weights)
        return cls(card, network.requires_grad_(requires_grad=False), where)

    @property
    def method(self) -> Arm:
        """``blending``, or ``adversarial``: the arm that grows masses out of noise."""
        return self.card.settings["method"]

    @torch.no_grad()
    def __call__(self, stage: Stage) -> np.ndarray:
        """Blend a stage at the working scale, of sides that are multiples of 16: float32 (H, W).

        Raises
        ------
        ValueError
            If the sides are no multiples of 16.
        """
        if any(n % STRIDE for n in stage.x.shape):
            msg = f"a stage of {stage.x.shape} has sides that are no multiples of {STRIDE}"
            raise ValueError(msg)
        moved(self.network, self.device.torch)
        parts = [
            torch.from_numpy(np.ascontiguousarray(part, np.float32))[None, None]
            for part in (stage.x, stage.pasted, stage.w)
        ]
        with self.device.autocast:
            made = self.network(*(part.to(self.device.torch) for part in parts))
        return made[0, 0].float().cpu().numpy()


@lru_cache(maxsize=1)
def embedded() -> BlendModel:
    """The model that comes with the package, loaded once."""
    return BlendModel.load()


def learn(
    folder: MassFolder,
    config: TrainConfig,
    run: RunFolder,
    *,
    name: str = "",
    data: TrainingData | None = None,
    device: str = "auto",
) -> Iterator[Event]:
    """Train a blending network and write its model to ``run.model``.

    Parameters
    ----------
    name, data
        Of the model, and what it learns from, for the card.

    Yields
    ------
    The events of the training, and Finished with the :class:`BlendModel`.

    Raises
    ------
    As :func:`.train.train`.
    """
    network: Generator | None = None
    for event in train(folder, config, run, device=device):
        if isinstance(event, Finished):
            network = event.result
        else:
            yield event
    assert network is not None, "training ends with Finished"
    save(run.model, network, config, name=name or run.path.name, data=folder.described(data))
    yield Finished(BlendModel.load(run.model, device), {"model": str(run.model)})


def save(
    folder: Path,
    network: Generator,
    config: TrainConfig,
    *,
    name: str,
    data: TrainingData,
    metrics: Mapping[str, Metric] | None = None,
    measured_by: str = "",
) -> ModelCard:
    """Write a model folder; weights are stored in float16, half the size."""
    what = "blending" if config.method == "blending" else "adversarial, without prior knowledge"
    card = ModelCard(
        name=name,
        title=f"Masses grown in healthy breasts ({what}), {len(data.patients)} patients: synthetic",
        task=TASK,
        architecture=ARCHITECTURE,
        arguments={"width": config.width, "membrane": config.membrane},
        patch_px=config.crop,
        training_data=(data,),
        recipe=config.to_json(),
        metrics=dict(metrics or {}),
        measured_by=measured_by,
        settings={"method": config.method, "working_px": WORKING_PX},
        intended_use=_INTENDED,
        not_for=_NOT_FOR,
        licence=data.terms,
    )
    weights = {key: value.half() for key, value in network.state_dict().items()}
    return save_model(folder, card, weights)
