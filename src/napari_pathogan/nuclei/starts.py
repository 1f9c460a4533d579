"""Where networks begin: with random weights, in common with other folds, or where a run ended.

Whatever a fold begins with must have seen nothing of the patients that it is tested on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.engine.settings import SettingError
from napari_pathogan.engine.training import one_part
from napari_pathogan.errors import DataFolderError
from napari_pathogan.files import write_text
from napari_pathogan.nuclei.train import train

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    import numpy as np

    from napari_pathogan.engine.events import Event
    from napari_pathogan.nuclei.data import NucleiFolder
    from napari_pathogan.nuclei.recipe import TrainConfig

_FOLDS = "folds.json"
_LR_GOING_ON = 0.5  # of the learning rate, where a network begins with another's weights


@dataclass(frozen=True)
class Starts:
    """Checkpoints to begin with: of each fold, and of the network of all patients."""

    folds: dict[int, Path] = field(default_factory=dict)
    whole: Path | None = None


def going_on(config: TrainConfig, start: Path | None, epochs: int = 0) -> TrainConfig:
    """How a network learns that does, or does not, begin with another's weights."""
    lr = config.lr if start is None else config.lr * _LR_GOING_ON
    return replace(config, lr=lr, epochs=epochs or config.epochs)


def in_common(
    folder: NucleiFolder, fold: np.ndarray, config: TrainConfig, run: RunFolder, device: str
) -> Generator[Event, None, Starts]:
    """Train a network on each half of the folds, if the configuration asks for it.

    Returns
    -------
    Each fold begins with the network that saw nothing of its half.
    """
    folds = int(fold.max()) + 1
    if not config.common_epochs:
        return Starts()
    common = replace(config, epochs=config.common_epochs)
    starts: dict[int, Path] = {}
    for half in (0, 1):
        part = RunFolder(run.path / "common" / str(half))
        part.start(common.to_json(), resume=True)
        training = train(folder.take(fold % 2 != half), common, part, device=device)
        yield from one_part(training, 0, folds + 1, f"in common {half + 1} of 2")
        starts |= dict.fromkeys(range(half, folds, 2), part.checkpoint)
    return Starts(starts, starts[0])


def keep_folds(run: RunFolder, folder: NucleiFolder, fold: np.ndarray) -> None:
    """Write down which patient is tested in which fold."""
    write_text(run.path / _FOLDS, json.dumps(_folds(folder, fold), indent=1))


def _folds(folder: NucleiFolder, fold: np.ndarray) -> dict[str, int]:
    return {name: int(k) for name, k in zip(folder.patients.tolist(), fold, strict=True)}


def earlier(
    start: Path, folder: NucleiFolder, fold: np.ndarray | None, config: TrainConfig
) -> Starts:
    """Begin where an earlier run ended, fold by fold.

    Raises
    ------
    DataFolderError
        If that run is not finished, or had other folds: a network would be tested on patients
        that it has seen.
    SettingError
        If its U-Net has another shape.
    """
    run = RunFolder(start)
    try:
        old = json.loads(run.config.read_text(encoding="utf-8"))
        had = {} if fold is None else json.loads((start / _FOLDS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{start} is no run to begin with ({error}); give the folder of a finished one"
        raise DataFolderError(msg) from error
    for name in ("width", "squares"):
        if old.get(name) != getattr(config, name):
            msg = f"{start} has a U-Net of {name} {old.get(name)}, not {getattr(config, name)}"
            raise SettingError(msg)
    if fold is not None and had != _folds(folder, fold):
        msg = f"{start} had other patient folds, so its networks know patients to be tested on"
        raise DataFolderError(msg)
    checkpoints = {k: start / "folds" / str(k) / run.checkpoint.name for k in set(had.values())}
    for checkpoint in (*checkpoints.values(), run.checkpoint):
        if not checkpoint.is_file():
            msg = f"{start} is no finished run: {checkpoint} is missing; resume it first"
            raise DataFolderError(msg)
    return Starts(checkpoints, run.checkpoint)
