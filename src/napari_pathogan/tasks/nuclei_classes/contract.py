"""What the task's contract names: learning from, and evaluating on, a folder of nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_pathogan.engine.config import SettingError
from napari_pathogan.tasks.nuclei_classes import crossval
from napari_pathogan.tasks.nuclei_classes.data import read_nuclei
from napari_pathogan.tasks.nuclei_classes.evaluate import evaluate
from napari_pathogan.tasks.nuclei_classes.kmeans import ResNetFeatures
from napari_pathogan.tasks.nuclei_classes.labels import learn_labels, need_labels

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


def check(nuclei: Nuclei, config: TrainConfig, *, seeds: int, tissue: str = "") -> None:
    """Make sure that :func:`learn` has what it needs, as :func:`.crossval.check`.

    Raises
    ------
    SettingError
        If seeds shall be tried of what is fitted to labels.
    DataFolderError
        If there are too few nuclei, images or labels.
    """
    if not config.labels:
        crossval.check(nuclei, config, seeds=seeds, tissue=tissue)
        return
    if seeds:
        msg = "seeds would count for nothing: with labels, groups of images are left out anyway"
        raise SettingError(msg)
    need_labels(nuclei, config.classes)


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
    """Train a class model, as :func:`.crossval.learn`, or :func:`.labels.learn_labels`.

    A ResNet is loaded where seeds are tried alone.
    """
    if config.labels:
        yield from learn_labels(
            nuclei, config, run, tissue=tissue, device=device, name=name, data=data
        )
        return
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
