"""The generators that a classifier is given: pairs of stains, each taken from the images' own stain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.models import locate, zoo
from napari_pathogan.engine.task import chosen
from napari_pathogan.errors import ModelError
from napari_pathogan.tasks.virtual_stain.g2c.config import ALL, EVERY, SOURCE
from napari_pathogan.tasks.virtual_stain.model import TASK, VirtualStainModel
from napari_pathogan.tasks.virtual_stain.network import Generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.engine.models import TrainingData


@dataclass(frozen=True, eq=False)
class Stainer:
    """A generator to another stain.

    Attributes
    ----------
    model
        Name of the pair of stains that it is of.
    stain
        What it makes.
    network
        As it was trained.
    sha256
        Of the pair's weights.
    embedded
        Whether the pair is in every installation, so that a model need only name it.
    arguments
        Of :class:`~napari_pathogan.tasks.virtual_stain.network.Generator`.
    data
        What the pair learnt from and on what terms.
    """

    model: str
    stain: str
    network: Generator
    sha256: str
    embedded: bool
    arguments: dict[str, Any]
    data: tuple[TrainingData, ...]


def split(text: str) -> tuple[str, ...]:
    """Names between commas.

    Raises
    ------
    ValueError
        If one is empty.
    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        msg = f"{text!r} has an empty name; give them as A,B,C"
        raise ValueError(msg)
    return names


def load_stainers(names: Sequence[str], stain: str) -> tuple[Stainer, ...]:
    """Load the generators that take images of a stain, on the CPU.

    Parameters
    ----------
    names
        Pairs of stains, by name or folder.
    stain
        That the images have.

    Raises
    ------
    SettingError
        If the stain is not said, or two generators make the same one.
    SourceStainError
        If a pair does not have the images' stain.
    ModelNotFoundError, ModelError
        If there is no such pair, or it can't be read.
    """
    if names and not stain:
        msg = "nobody says which stain the images have; give it (--stain), such as he or pas"
        raise SettingError(msg)
    stainers: list[Stainer] = []
    for name in names:
        made = load_stainer(name, stain)
        for other in stainers:
            if other.stain == made.stain:
                msg = f"{other.model} and {made.model} both make {made.stain} of {stain}; leave one out"
                raise SettingError(msg)
        stainers.append(made)
    return tuple(stainers)


def load_stainer(name: str, stain: str, sha256: str = "") -> Stainer:
    """One of them, whose pair must have the hash that is given.

    Raises
    ------
    SourceStainError, ModelNotFoundError, ModelError
        As :func:`load_stainers`; or if the pair has other weights.
    """
    pair = VirtualStainModel.load(name, "cpu")
    target = pair.target_of(stain)
    if sha256 and pair.card.sha256 != sha256:
        msg = (
            f"the weights of {name} are not those that this model was trained with (sha256 "
            f"{pair.card.sha256[:12]}, not {sha256[:12]}); get these, or train anew"
        )
        raise ModelError(msg)
    embedded = locate(name, TASK).parent == zoo()
    card, network = pair.card, pair.generator(stain)
    shape = chosen(Generator, card.arguments)
    return Stainer(card.name, target, network, card.sha256, embedded, shape, card.training_data)


def arms(arm: str, stainers: Sequence[Stainer]) -> dict[str, tuple[int, ...]]:
    """Each arm that is asked for -> the generators that it has, by number; ``all`` comes last.

    Raises
    ------
    SettingError
        If there is no such arm, it lacks generators, or it has no use for those that are given.
    """
    one = {made.stain: (number,) for number, made in enumerate(stainers)}
    whole = tuple(range(len(stainers)))
    if arm == SOURCE:
        if stainers:
            msg = f"generators={','.join(made.model for made in stainers)} would count for nothing: arm={SOURCE}"
            raise SettingError(msg)
        return {SOURCE: ()}
    if not stainers:
        msg = f"arm={arm} needs generators (--generators A,B,C); without any there is arm={SOURCE}"
        raise SettingError(msg)
    if arm == ALL:
        return {ALL: whole}
    if arm == EVERY:
        each = one if len(one) > 1 else {}
        return {SOURCE: (), **each, ALL: whole}
    if arm in one:
        return {arm: one[arm]}
    msg = f"arm={arm} is not among {', '.join((SOURCE, *one, ALL, EVERY))}"
    raise SettingError(msg)
