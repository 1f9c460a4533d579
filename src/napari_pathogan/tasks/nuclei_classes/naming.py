"""What classes of nuclei are called: by neutral names, unless someone has checked what they are.

A class model finds groups, or is taught classes by labels; whether they are that elsewhere is
another question, which labels of one organ at one scale answer for that organ and scale alone. Its card says where that was checked
(:attr:`~napari_pathogan.engine.models.ModelCard.validated_on`); everywhere else the groups are
called A, B, C, in colours that suggest nothing, until the user names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.engine.models import ModelCard, Validation

UNLABELLED, LEARNT = "found without labels", "learnt from labels"
GROUPS = "groups"  # in a card's settings: the user's names and colours of the groups
# no red, which would be taken for tumour; seen well on H&E; the first five told apart by everybody
PALETTE = ("#ffd400", "#00d5ff", "#009e73", "#7a00cc", "#000000", "#ff8ad8", "#ffffff", "#ff9500")


@dataclass(frozen=True)
class Naming:
    """What the classes of a model are called on one slide.

    Attributes
    ----------
    names, colours
        In the order of the classes; colours as ``#rrggbb``.
    note
        What has to stand beside them wherever they are shown.
    validated
        Whether the names are the model's, checked on this tissue at this scale.
    """

    names: tuple[str, ...]
    colours: tuple[str, ...]
    note: str
    validated: bool = False


def naming(card: ModelCard, tissue: str = "", mpp: tuple[float, float] | None = None) -> Naming:
    """Say what a model's classes are called on a slide.

    Parameters
    ----------
    card
        Of the class model.
    tissue
        The organ, as the user says; "" where nobody has said.
    mpp
        The slide's um per pixel (y, x); None where it is not known.
    """
    for checked in card.validated_on:
        if checked.covers(tissue, mpp):
            colours = tuple(card.settings["colours"])
            note = f"{_which(card)}, named on {checked.where}{_right(checked)}."
            return Naming(card.classes, colours, note, validated=True)
    names, colours = group_names(len(card.classes)), group_colours(len(card.classes))
    own = card.settings.get(GROUPS)
    if own is None:
        return Naming(names, colours, f"{_which(card)}. {_checked(card.validated_on)}")
    named = tuple(own["names"])
    whose = f"{_which(card)}; the names are yours." if named != names else f"{_which(card)}."
    return Naming(named, tuple(own["colours"]), f"{whose} {_checked(card.validated_on)}")


def group_names(classes: int) -> tuple[str, ...]:
    """``group A``, ``group B``, ..."""
    return tuple(f"group {letter}" for letter in ascii_uppercase[:classes])


def group_colours(classes: int) -> tuple[str, ...]:
    """Colours that suggest nothing, ``#rrggbb``."""
    return tuple(PALETTE[i % len(PALETTE)] for i in range(classes))


def _which(card: ModelCard) -> str:
    return f"Groups {card.settings.get('origin', UNLABELLED)}"


def _right(checked: Validation) -> str:
    return f"; {checked.accuracy.percent} right" if checked.accuracy.value is not None else ""


def _checked(validated_on: Sequence[Validation]) -> str:
    if not validated_on:
        return "Nobody has checked what they are."
    places = " and ".join(checked.where for checked in validated_on)
    return f"What they are was checked on {places} only."
