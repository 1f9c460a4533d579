"""What the task's contract names: learning from, and evaluating on, a folder of nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_pathogan.tasks.nuclei_classes import crossval
from napari_pathogan.tasks.nuclei_classes.data import read_nuclei
from napari_pathogan.tasks.nuclei_classes.evaluate import evaluate
from napari_pathogan.tasks.nuclei_classes.kmeans import ResNetFeatures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from napari_pathogan.engine.events import Event
    from napari_pathogan.engine.models import TrainingData
    from napari_pathogan.engine.report import Report
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.nuclei_classes.config import TrainConfig
    from napari_pathogan.tasks.nuclei_classes.data import Nuclei
    from napari_pathogan.tasks.nuclei_classes.model import ClassModel


def read(folder: Path, *, at: float, mpp: float | None) -> Nuclei:
    """Read a folder of nuclei to be seen at a scale, as :func:`.data.read_nuclei`."""
    return read_nuclei(folder, at, mpp)


def learn(
    nuclei: Nuclei,
    config: TrainConfig,
    run: RunFolder,
    *,
    seeds: int,
    resnet: str,
    resnet_weights: Path | None,
    tissue: str,
    device: str,
    name: str,
    data: TrainingData,
) -> Iterator[Event]:
    """Train a class model, as :func:`.crossval.learn`; with the ResNet only where seeds are tried."""
    network = _resnet(resnet, resnet_weights) if seeds else None
    more: dict[str, Any] = {"device": device, "name": name, "data": data}
    yield from crossval.learn(
        nuclei, config, run, seeds=seeds, resnet=network, tissue=tissue, **more
    )


def evaluated(
    folder: Path, model: ClassModel, *, mpp: float | None, resnet: str, resnet_weights: Path | None
) -> Report:
    """Evaluate a model on a folder of labelled nuclei, as :func:`.evaluate.evaluate`."""
    network = _resnet(resnet, resnet_weights)
    return evaluate(read_nuclei(folder, model.mpp, mpp), model, resnet=network)


def drawn(model: ClassModel, n: int, label: str | None, seed: int) -> np.ndarray:
    """Draw nuclei, as :meth:`ClassModel.generate`, of the class of a name."""
    return model.generate(n, None if label is None else model.names.index(label), seed)


def _resnet(name: str, weights: Path | None) -> ResNetFeatures | None:
    return None if name == "none" else ResNetFeatures(name, weights)
