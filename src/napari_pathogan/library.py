"""The models there are: to list, to look at, to check, to add, to take away.

A model is a folder with a card and safetensors. Nothing of it is run: weights are read as arrays,
and a folder that holds anything else is refused.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathogan.engine.backbones import HUB
from napari_pathogan.engine.before_after import RULE, said
from napari_pathogan.engine.models import (
    CARD,
    PARTS,
    check_name,
    find_models,
    locate_any,
    model_kind,
    read_card,
    zoo,
)
from napari_pathogan.engine.places import models_folders, own_models
from napari_pathogan.errors import ModelError
from napari_pathogan.files import check, written
from napari_pathogan.kinds import NEW
from napari_pathogan.tasks import registered, task_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_pathogan.engine.models import ModelCard

_ON_HUB = re.compile(
    re.escape(HUB) + r"(?P<repository>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})", re.ASCII
)
_HEADLINES = {  # the first of these that a card has stands for its figures in a list, there in short
    "heat_map_auc": ("AUC of heat maps", "AUC"),
    "auc": ("AUC", "AUC"),
    "dice": ("Dice", "Dice"),
    "tpr_at_0.5": ("masses found at 0.5 false marks an image", "found"),
    "accuracy": ("accuracy", "right"),
    "psnr": ("PSNR, dB", "PSNR"),
    "ssim_lightness": ("SSIM of lightness", "SSIM"),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A model in the list.

    Attributes
    ----------
    place
        Its folder.
    embedded
        Whether it came with the program.
    """

    card: ModelCard
    place: Path
    embedded: bool

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(path.stat().st_size for path in self.place.rglob("*") if path.is_file())

    @property
    def made(self) -> datetime | None:
        """When the user made or added it; None for one that came with the program."""
        if self.embedded:
            return None
        return datetime.fromtimestamp((self.place / CARD).stat().st_mtime).astimezone()

    @property
    def parent(self) -> str:
        """The name of the model that it came of; empty where it began with none."""
        recipe = self.card.recipe
        said = recipe.get("parent") or recipe.get("start")
        return Path(said).name if isinstance(said, str) else ""

    @property
    def gain(self) -> str:
        """What it gained over the model that it came of, in words; empty where that was not measured."""
        return gain_of(self.card)

    @property
    def headline(self) -> str:
        """One figure: ``AUC of heat maps 0.948``; empty where nothing was measured."""
        return " ".join(self._figure[::2])

    @property
    def figure(self) -> str:
        """The same in short, as lists have room for it: ``AUC 0.948``."""
        return " ".join(self._figure[1:])

    @property
    def _figure(self) -> tuple[str, ...]:
        """The name of the figure, that in short, and the figure; nothing where none was measured."""
        for name, titles in _HEADLINES.items():
            metric = self.card.metrics.get(name)
            if metric is not None and metric.value is not None:
                return (*titles, f"{metric.value:.3g}")
        return ()


def gain_of(card: ModelCard) -> str:
    """What a model gained over the one it came of and the rule by which it is chosen; empty where not measured."""
    figures = {name: one.model_dump() for name, one in card.metrics.items()}
    decides = next(iter(task_of(card.task).gains.items()), None)
    gained = said(figures, *decides) if decides else ""
    return f"{gained}. {RULE}." if gained else ""


def listed(task: str = "") -> dict[str, Listed]:
    """Name -> every model: embedded and the user's; of one task alone if asked for.

    Raises
    ------
    ModelNotFoundError
        If there is no such task.
    """
    names = [task_of(task).name] if task else list(registered())
    return {
        name: Listed(read_card(place), place, place.is_relative_to(zoo()))
        for one in names
        for name, place in find_models(one).items()
    }


def find(model: str) -> Listed:
    """A model by its name, its folder or its run's.

    Raises
    ------
    ModelNotFoundError, ModelError
        If there is none, or its card is damaged.
    """
    place = locate_any(model, *registered())
    return Listed(read_card(place), place, place.is_relative_to(zoo()))


def verify(model: Listed) -> None:
    """Make sure that a model is whole: its weights are those of the card, and can be built.

    Raises
    ------
    ModelError, ModelNotFoundError
        If not; says what is wrong.
    """
    task_of(model.card.task).load(model.place, "cpu")


def export(model: Listed, path: Path) -> float:
    """Write a model's network as ONNX (:mod:`~napari_pathogan.engine.onnx`).

    Returns
    -------
    How far its outputs were off the network's at most.

    Raises
    ------
    ModelError, EnvironmentMismatchError, OutputError
        If models of its task can't be exported, ONNX is not installed, or it can't be written.
    """
    task = task_of(model.card.task)
    if not task.graph:
        able = ", ".join(name for name, one in registered().items() if one.graph)
        msg = f"{model.card.name} is a model for {task.name}, which can't be exported; {able} can"
        raise ModelError(msg)
    from napari_pathogan.engine.onnx import export as write  # noqa: PLC0415 - slow to import

    return write(task.get(task.graph)(task.load(model.place, "cpu")), model.card, path)


def add(folder: str, name: str = "", sha256: str = "") -> Listed:
    """Copy a model into the user's, under its own name or another.

    Parameters
    ----------
    folder
        Of a model or a run; or ``hf-hub:ORGANISATION/NAME@COMMIT``, of which only what a model
        holds is fetched. Its card says where it came from.
    sha256
        That the weights must have; any by default.

    Raises
    ------
    ModelNotFoundError, ModelError
        If there is none, it can't be fetched, no commit is named, it is not whole or has other
        weights, holds what no model holds, or the name is taken.
    OutputError
        If it can't be copied.
    """
    if not folder.startswith(HUB):
        return _add(find(folder), name, sha256)
    with tempfile.TemporaryDirectory(prefix="pathogan-hub-") as room:
        return _add(_fetched(folder, Path(room)), name, sha256, {"fetched_from": folder})


def _fetched(source: str, room: Path) -> Listed:
    """Fetch a model from the hub."""
    asked = _ON_HUB.fullmatch(source)
    if asked is None:
        msg = (
            f"{source} names no model that stays as it is: give {HUB}ORGANISATION/NAME@COMMIT, the "
            "commit with all its 40 digits (a branch or a tag may change)"
        )
        raise ModelError(msg)
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow to import

    try:
        snapshot_download(
            asked["repository"],
            revision=asked["commit"],
            allow_patterns=list(PARTS),
            local_dir=room / "model",
        )
    except Exception as error:  # what hub and network raise has no common class
        first = str(error).strip().splitlines() or [type(error).__name__]
        msg = (
            f"{source} can't be fetched ({first[0]}); check the name, the network and that access "
            "was granted, or copy the model's folder and add that"
        )
        raise ModelError(msg) from error
    shutil.rmtree(room / "model" / ".cache", ignore_errors=True)  # the hub's own notes
    if not (room / "model" / CARD).is_file():
        msg = f"{source} holds no {CARD}: it is no model of this program"
        raise ModelError(msg)
    return find(str(room / "model"))


def _add(
    model: Listed, name: str, sha256: str = "", recipe: Mapping[str, str] | None = None
) -> Listed:
    foreign = [x.name for x in model.place.iterdir() if x.name not in PARTS or x.is_symlink()]
    if foreign:
        msg = f"{model.place} holds {foreign[0]}; a model holds {', '.join(PARTS)} and nothing else"
        raise ModelError(msg)
    verify(model)
    if sha256 and sha256.lower() != model.card.sha256:
        msg = (
            f"{model.card.name} has other weights than were asked for (sha256 "
            f"{model.card.sha256[:12]}, not {sha256[:12].lower()}); it was not added"
        )
        raise ModelError(msg)
    name = check_name(name or model.card.name)
    if name in listed(model.card.task):
        msg = f"there is a model called {name} already; choose another name (--name)"
        raise ModelError(msg)
    target = (models_folders() or (own_models(),))[-1] / name
    with written(target, NEW) as beside:
        shutil.copytree(model.place, beside)
        said = {**model.card.recipe, **(recipe or {})}
        card = model.card.model_copy(update={"name": name, "recipe": said})
        (beside / CARD).write_text(card.model_dump_json(indent=1), encoding="utf-8")
    return find(str(target))


def rename(model: Listed, name: str) -> Listed:
    """Give a model of the user's another name.

    Raises
    ------
    ModelError
        If it is not the user's, its folder holds anything else, or the name can't be or is taken.
    OutputError
        If it can't be written.
    """
    _check_own(model)
    renamed = add(str(model.place), name)
    shutil.rmtree(model.place)
    return renamed


def remove(model: Listed) -> None:
    """Delete a model of the user's.

    Raises
    ------
    ModelError, OutputError
        If it is not the user's, or its folder holds anything else.
    """
    _check_own(model)
    shutil.rmtree(model.place)


def _check_own(model: Listed) -> None:
    """Make sure that a model is the user's, and alone in its folder.

    Raises
    ------
    ModelError, OutputError
        If not.
    """
    if model.embedded:
        msg = f"{model.card.name} came with the program and can't be changed or removed"
        raise ModelError(msg)
    place = model.place
    if not any(place.is_relative_to(folder) for folder in models_folders()):
        msg = f"{place} is not among your models; change its folder yourself"
        raise ModelError(msg)
    check(place, model_kind(model.card.task, model.card.sha256))
