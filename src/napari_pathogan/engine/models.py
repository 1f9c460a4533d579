"""Models on disk: a folder with ``model.json`` (the card) and ``weights.safetensors``.

Weights are safetensors only; a pickle is never loaded. A card names what it was trained on and
on what terms, how well it did on patients it had not seen, and what it is not for.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_arrays
from safetensors.torch import load_file, save

from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.engine.places import models_folders
from napari_pathogan.errors import ModelError, ModelNotFoundError
from napari_pathogan.files import sha256, written
from napari_pathogan.kinds import ROOM, FolderKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np
    import torch

    from napari_pathogan.engine.report import Value

CARD = "model.json"
WEIGHTS = "weights.safetensors"
LOOKED_ONCE = "once, when the model was made"
PAST = "past.safetensors"  # what retraining begins with; not every model has it
PARTS = (CARD, WEIGHTS, PAST, "calibration.png")
_WHOSE = "weights"  # of its header: their sha256
_RESERVED = r"(?!(?i:con|prn|aux|nul|com\d|lpt\d)(?:\.|$))"  # by Windows
_NAME = re.compile(_RESERVED + r"[^\W_](?:[\w .()+-]{0,78}[\w)+])?")


class Metric(BaseModel):
    """A figure with its 95 % interval; the card's ``measured_by`` says how it was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def percent(self) -> str:
        """``71 % (65 to 76 %)``."""
        if self.value is None:
            return "not measured"
        text = f"{100 * self.value:.0f} %"
        if self.low is not None and self.high is not None:
            text += f" ({100 * self.low:.0f} to {100 * self.high:.0f} %)"
        return text


def card_metrics(values: Mapping[str, Value], prefix: str = "") -> dict[str, Metric]:
    """A report's figures as a card has them, their names after a prefix."""
    return {f"{prefix}{name}": Metric(**value._asdict()) for name, value in values.items()}


def lineage(parent: ModelCard, digest: str) -> dict[str, str]:
    """What a recipe says of where a model comes from: which it went on from, and what it was shown.

    Parameters
    ----------
    digest
        The sha256 of the annotations.
    """
    return {"parent": parent.name, "parent_sha256": parent.sha256, "annotations_sha256": digest}


class Validation(BaseModel):
    """Where a model was checked against labels: organ, stain and scale, and how well it did.

    ``mpp`` is the finest and the coarsest um per pixel that the figure holds for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    organ: str
    stain: str = "H&E"
    mpp: tuple[float, float]
    n_images: int = 0
    accuracy: Metric = Metric(value=None)

    def covers(self, organ: str, mpp: tuple[float, float] | None) -> bool:
        """Whether a slide is of this organ, as the user says, and at this scale (y, x)."""
        finest, coarsest = self.mpp
        same = organ.strip().casefold() == self.organ.casefold()
        return same and mpp is not None and all(finest <= m <= coarsest for m in mpp)

    @property
    def where(self) -> str:
        """``colon at 0.44 to 0.66 µm/px``."""
        return f"{self.organ} at {self.mpp[0]:g} to {self.mpp[1]:g} µm/px"


class TrainingData(BaseModel):
    """What a model was trained on, and on what terms it may be used.

    ``patients`` are pseudonyms if ``pseudonyms`` is true. Cards from before that have names. ``images``
    are digests of what the images show (:attr:`.imprint.Imprint.digest`), as far as they are known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    terms: str = "not stated"
    citation: str = ""
    patients: tuple[str, ...] = ()
    pseudonyms: bool = False
    n_images: int = 0
    images: tuple[str, ...] = ()

    @classmethod
    def stated(cls, folder: Path, source: str, terms: str) -> TrainingData:
        """What a user says of a folder's images; its name and no terms where that is nothing."""
        name = source or folder.name
        return cls(name=name, terms=terms) if terms else cls(name=name)

    def of(self, patients: Iterable[object], n_images: int) -> TrainingData:
        """The same of so many images, and whose they are: names, for which pseudonyms are kept."""
        names = tuple(sorted({pseudonym(patient) for patient in patients}))
        return self.model_copy(update={"patients": names, "pseudonyms": True, "n_images": n_images})

    def pseudonymous(self) -> TrainingData:
        """The same without names, as a new card has it."""
        return self if self.pseudonyms else self.of(self.patients, self.n_images)

    def known(self, names: Iterable[object]) -> set[str]:
        """Those of some patients' names whose images these are."""
        own = set(self.patients)
        key = pseudonym if self.pseudonyms else str
        return {str(name) for name in names if key(name) in own}


class ModelCard(BaseModel):
    """What a user must know of a model; stored as ``model.json`` beside the weights.

    ``architecture`` names a builder of the task's ``network.py`` and ``arguments`` are its
    arguments; ``settings`` holds what prediction needs besides the weights (calibration,
    operating point, normalisation), as plain JSON. ``metrics`` were measured by patient folds,
    with the command ``measured_by``; ``looks`` says how often those patients' figures were looked at, and
    what was chosen by them. ``validated_on`` says on which tissue what a model says was
    checked; elsewhere it claims less (:mod:`~napari_pathogan.tasks.nuclei_classes.naming`). ``blind_to``
    names what it should find and was measured to miss, ``not_for`` what it was never meant for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    task: str
    architecture: str
    arguments: dict[str, Any] = {}
    mpp: float | None = None
    patch_px: int | None = None
    classes: tuple[str, ...] = ()
    input_range: tuple[float, float] = (0.0, 1.0)
    training_data: tuple[TrainingData, ...] = ()
    recipe: dict[str, Any] = {}
    metrics: dict[str, Metric] = {}
    measured_by: str = ""
    looks: str = ""
    validated_on: tuple[Validation, ...] = ()
    operating_point: float | None = None
    settings: dict[str, Any] = {}
    intended_use: str = "Research use only."
    blind_to: tuple[str, ...] = ()
    not_for: tuple[str, ...] = ()
    licence: str = ""
    versions: dict[str, str] = {}
    sha256: str = ""

    def has_seen(self, image: str) -> bool:
        """Whether the model has learnt from an image of this digest, whatever it is called."""
        return bool(image) and any(image in data.images for data in self.training_data)

    @property
    def tells_images(self) -> bool:
        """Whether it says which images it has learnt from."""
        return any(data.images for data in self.training_data)

    def knows(self, names: Iterable[object]) -> set[str]:
        """Those of some patients' names that the model has learnt from."""
        names = list(names)
        return {name for data in self.training_data for name in data.known(names)}


def package_versions() -> dict[str, str]:
    """Versions of the packages that a model's numbers depend on."""
    names = ("napari-pathogan", "torch", "torchvision", "numpy")
    return {name: metadata.version(name) for name in names}


def check_name(name: str) -> str:
    """Return a new model's name if it can be one: models lie in folders of their names.

    Raises
    ------
    ModelError
        If it can't name a folder on every system.
    """
    if not _NAME.fullmatch(name):
        msg = (
            f"a model can't be called {name!r}: begin with a letter or digit, go on with those, "
            "spaces and . - _ + ( ), and end with no space, dot or dash; 80 characters at most"
        )
        raise ModelError(msg)
    return name


def zoo() -> Path:
    """Return the folder of the embedded models."""
    return Path(str(resources.files("napari_pathogan") / "zoo"))


def find_models(task: str, *folders: Path) -> dict[str, Path]:
    """Name -> folder of every model of a task: embedded, the user's, those under ``folders``.

    A folder is searched two levels deep, so that a folder of runs (``RUN/model/``) will do. Later
    folders win where a name occurs twice. Cards that can't be read are left out here; loading
    such a model by its folder says why.
    """
    found: dict[str, Path] = {}
    for folder in (zoo(), *models_folders(), *folders):
        for card in sorted([*folder.glob(f"*/{CARD}"), *folder.glob(f"*/*/{CARD}")]):
            if any(part.startswith(ROOM) for part in card.relative_to(folder).parts):
                continue  # being written, or left by a kill
            try:
                model = read_card(card.parent)
            except ModelError:
                continue
            if model.task == task:
                found[model.name] = card.parent
    return found


def locate(model: str | Path, task: str, *folders: Path) -> Path:
    """Find a model's folder from its name, its folder, or the folder of its run.

    Raises
    ------
    ModelNotFoundError
        If there is none; the message lists those there are.
    """
    return locate_any(model, task, folders=folders)


def locate_any(model: str | Path, *tasks: str, folders: Iterable[Path] = ()) -> Path:
    """As :func:`locate`, of one of several tasks.

    Raises
    ------
    ModelNotFoundError
        As there.
    """
    for candidate in (Path(model), Path(model) / "model"):
        if (candidate / CARD).is_file():
            return candidate
    named = {n: at for task in tasks for n, at in find_models(task, *folders).items()}
    if str(model) in named:
        return named[str(model)]
    known = f" or one of {', '.join(named)}" if named else ""
    what = tasks[0] if len(tasks) == 1 else ""
    msg = f"no {f'{what} '.lstrip()}model {str(model)!r}: give a folder with {CARD}{known}"
    raise ModelNotFoundError(msg)


def read_card(folder: Path) -> ModelCard:
    """Read a model's card.

    Raises
    ------
    ModelError
        If ``model.json`` is missing, not JSON, or lacks what a card must say.
    """
    path = folder / CARD
    try:
        return ModelCard.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path} can't be read ({error.strerror}); a model is a folder with {CARD} and {WEIGHTS}"
        raise ModelError(msg) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        msg = f"{path} is not a model card: {where}: {first['msg']}"
        raise ModelError(msg) from error


def load_model(
    model: str | Path, task: str, *folders: Path
) -> tuple[ModelCard, dict[str, torch.Tensor]]:
    """Read a model's card and weights, and check that they belong together and to ``task``.

    Returns
    -------
    card, weights
        Weights are CPU tensors in float32 whatever they were stored in.

    Raises
    ------
    ModelNotFoundError
        If there is no such model.
    ModelError
        If the card is for another task, the weights are missing, damaged, or do not have the
        hash that the card gives.
    """
    folder = locate(model, task, *folders)
    card = read_card(folder)
    if card.task != task:
        msg = (
            f"{folder / CARD} is a model for {card.task!r}, not for {task!r}; choose another model"
        )
        raise ModelError(msg)
    path = folder / WEIGHTS
    if not path.is_file():
        msg = f"{path} is missing; copy it beside {CARD}"
        raise ModelError(msg)
    if sha256(path) != card.sha256:
        msg = f"{path} is not the file its card names (sha256 differs); copy the model anew"
        raise ModelError(msg)
    try:
        weights = load_file(path)
    except SafetensorError as error:
        msg = f"{path} is damaged: {error}; copy the model anew"
        raise ModelError(msg) from error
    return card, {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}


def load_past(folder: Path, card: ModelCard) -> dict[str, np.ndarray] | None:
    """What a model keeps of its training for retraining, by name; None if it keeps nothing.

    Raises
    ------
    ModelError
        If the file is damaged, or belongs to other weights.
    """
    path = folder / PAST
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as stream:
            whose = (stream.metadata() or {}).get(_WHOSE)
            found = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        msg = f"{path} is damaged: {error}; copy the model anew"
        raise ModelError(msg) from error
    if whose != card.sha256:
        msg = f"{path} belongs to other weights than {card.name} has; copy the model anew"
        raise ModelError(msg)
    return found


_MISFITS = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, ArithmeticError,
)  # fmt: skip


def part_of(weights: Mapping[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    """The weights of one of a model's networks, saved as ``part.NAME``, by their names in it."""
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


@contextmanager
def fitting(card: ModelCard, *architectures: str) -> Iterator[None]:
    """Build in this block what a card describes; what this version can't build is an error.

    Raises
    ------
    ModelError
        If the card names another architecture, lacks a setting, or the weights don't fit it.
    """
    if card.architecture not in architectures:
        msg = f"model {card.name!r} is a {card.architecture!r}, unknown to this version"
        raise ModelError(msg)
    try:
        yield
    except _MISFITS as error:
        why = " ".join(str(error).split("\n", 1)[0].split()) or type(error).__name__
        msg = f"model {card.name!r} does not fit this version: {why}"
        raise ModelError(msg) from error


def save_model(
    folder: Path,
    card: ModelCard,
    weights: Mapping[str, torch.Tensor],
    *,
    copied: bool = False,
    past: Mapping[str, np.ndarray] | None = None,
) -> ModelCard:
    """Write a model folder whole or not at all; returns the card with its hash and versions.

    Parameters
    ----------
    copied
        The weights are those of another folder: a model with other weights is not replaced, for
        nobody would learn them again.
    past
        What retraining begins with (:func:`load_past`).

    Raises
    ------
    OutputError
        If it can't be written, or something else than a model of this task is there.
    """
    # not save_file: its files can be read by their owner alone, whatever the umask says
    data = save({k: v.contiguous().cpu() for k, v in weights.items()})
    digest = hashlib.sha256(data).hexdigest()
    with written(folder, model_kind(card.task, digest if copied else "")) as beside:
        beside.mkdir()
        (beside / WEIGHTS).write_bytes(data)
        if past is not None:
            (beside / PAST).write_bytes(save_arrays(dict(past), {_WHOSE: digest}))
        update: dict[str, Any] = {"sha256": digest, "versions": package_versions()}
        if card.metrics and not card.looks:
            update["looks"] = LOOKED_ONCE
        done = card.model_copy(update=update)
        (beside / CARD).write_text(done.model_dump_json(indent=1), encoding="utf-8")
    return done


def model_kind(task: str, digest: str = "") -> FolderKind:
    """The folder of a model for a task; with ``digest``, only that with these weights (sha256)."""

    def owner(folder: Path) -> Callable[[str], bool] | None:
        try:
            card = read_card(folder)
        except ModelError:
            return None
        fits = card.task == task and digest in {"", card.sha256}
        return PARTS.__contains__ if fits else None

    what = "this very model" if digest else f"a model for {task}"
    return FolderKind(what, "", owner)
