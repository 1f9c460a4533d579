"""Where networks begin: at random, in common with other folds, where a run ended, with a model.

Whatever a fold begins with must have seen nothing of the patients that it is tested on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.engine import crossval
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.models import load_model, locate, read_card
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.engine.trainer import one_part
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.nuclei.config import PRETRAINED, gentle
from napari_pathogan.tasks.nuclei.ensemble import Ensemble, built, learner, learner_weights
from napari_pathogan.tasks.nuclei.model import TASK, NucleiModel
from napari_pathogan.tasks.nuclei.train import train

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_pathogan.engine.events import Event
    from napari_pathogan.tasks.nuclei.config import TrainConfig
    from napari_pathogan.tasks.nuclei.data import NucleiFolder
    from napari_pathogan.tasks.nuclei.encoder import EncoderUNet
    from napari_pathogan.tasks.nuclei.model import Network
    from napari_pathogan.tasks.nuclei.network import UNet

_LR_GOING_ON = 0.5  # of the learning rate, where a network begins with another's weights
_LR_OF_A_MODEL = 0.1  # where its norms are folded: nothing keeps its layers in bounds any more


@dataclass(frozen=True)
class Starts:
    """What to begin with: checkpoints of the folds, and of the network of all patients.

    ``whole`` may be the folder of a model, which then is ``model``: of an ensemble, its U-Net goes on.
    """

    folds: dict[int, Path] = field(default_factory=dict)
    whole: Path | None = None
    model: NucleiModel | None = None


def begun(config: TrainConfig, *, start: str = "") -> TrainConfig:
    """The recipe for what a training begins with: of its shape, gentle where that is a model.

    Raises
    ------
    ModelNotFoundError, SettingError
        As :func:`shaped`.
    """
    if not start:
        return config
    config = shaped(config, start)
    return config if RunFolder(Path(start)).config.is_file() else gentle(config)


def joined(network: UNet | EncoderUNet, start: Path | None) -> Network:
    """What takes the place of the model that was begun with: an ensemble with the network in it, or that.

    Parameters
    ----------
    start
        The folder of the model; a checkpoint or nothing leave the network as it is.
    """
    if start is None or not start.is_dir():
        return network
    card, weights = load_model(start, TASK)
    which = learner(card.architecture, card.arguments)
    if which is None:
        return network
    whole: Any = built(card.architecture, card.arguments)
    members = list(whole.members)
    for number, member in enumerate(members):
        member.load_state_dict(learner_weights(weights, number))
    members[which] = network
    return Ensemble.of(members).eval()


def going_on(config: TrainConfig, start: Path | None, epochs: int = 0) -> TrainConfig:
    """How a network learns that does, or does not, begin with another's weights."""
    share = 1.0
    if start is not None:
        share = _LR_OF_A_MODEL if start.is_dir() else _LR_GOING_ON
    return replace(config, lr=config.lr * share, epochs=epochs or config.epochs)


def in_common(  # noqa: PLR0917
    folder: NucleiFolder,
    fold: np.ndarray,
    config: TrainConfig,
    run: RunFolder,
    device: str,
    others: NucleiFolder | None = None,
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
        part.start(common, resume=True)
        own = folder.take(fold % 2 != half)
        training = train(own, common, part, device=device, others=learnt_by(others, half))
        yield from one_part(training, 0, folds + 1, f"in common {half + 1} of 2")
        starts |= dict.fromkeys(range(half, folds, 2), part.checkpoint)
    return Starts(starts, starts[0])


def learnt_by(others: NucleiFolder | None, fold: int) -> NucleiFolder | None:
    """The other laboratories that a fold learns from: every second of them, by name.

    The rest are those that it is tested on.
    """
    if others is None or len(others.names) < 2:
        return others
    return others.take(~unseen_by(others, fold))


def unseen_by(others: NucleiFolder, fold: int) -> np.ndarray:
    """Bool (N,): which of the others' images a fold does not learn from."""
    which: np.ndarray = np.searchsorted(others.names, others.patients) % 2 == fold % 2
    return which


def shaped(config: TrainConfig, start: str) -> TrainConfig:
    """Give the U-Net the shape of what it begins with.

    Raises
    ------
    ModelNotFoundError
        If ``start`` is neither a run nor a model.
    SettingError
        If it is an ensemble without a U-Net that could learn on.
    """
    run = RunFolder(Path(start))
    if run.config.is_file():
        shape = json.loads(run.config.read_text(encoding="utf-8"))
    else:
        card = read_card(locate(start, TASK))
        which = learner(card.architecture, card.arguments)
        shape = {**card.arguments, "backbone": card.recipe.get("backbone", "")}
        if which is not None:
            shape = card.arguments["members"][which]["arguments"]
    if not (backbone := shape.get("backbone", "")):
        return replace(config, width=shape["width"], squares=shape["squares"], backbone="")
    config = config if config.backbone else replace(PRETRAINED, seed=config.seed)
    return replace(config, width=shape["width"], backbone=backbone)


def earlier(
    start: str, folder: NucleiFolder, fold: np.ndarray | None, config: TrainConfig
) -> Starts:
    """Begin where an earlier run ended, fold by fold, or with a model.

    Raises
    ------
    DataFolderError
        If that run is not finished, or had other folds, or a model is to be cross-validated: a
        network would be tested on patients that it has seen.
    ModelNotFoundError
        If ``start`` is neither a run nor a model.
    SettingError
        If its U-Net has another shape.
    """
    own = shaped(config, start)
    if own != config:
        encoder = f", backbone {own.backbone}" if own.backbone else f", squares {own.squares}"
        msg = f"{start} has a U-Net of width {own.width}{encoder}; ask for the same"
        raise SettingError(msg)
    run = RunFolder(Path(start))
    if not run.config.is_file():
        if fold is not None:
            msg = f"model {start} may know patients of these folds; train without --folds"
            raise DataFolderError(msg)
        return Starts(whole=locate(start, TASK), model=NucleiModel.load(start, device="cpu"))
    return Starts(crossval.earlier(run, folder.patients, fold), run.checkpoint)
