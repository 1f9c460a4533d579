"""How something is trained: the base of all tasks' configurations, and changing one by name.

A configuration is a frozen dataclass whose values are checked (pydantic): unknown names, values of
the wrong kind and impossible ones are refused wherever it is made.
"""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import asdict, fields, is_dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Self, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from napari_pathogan.errors import PathoganError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Count = Annotated[int, Field(ge=1)]
Some = Annotated[int, Field(ge=0)]  # a number that may be none
Weight = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Factor = Annotated[float, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]  # of an average
Betas = tuple[Decay, Decay]

_RISE = 0.2  # of a one-cycle training
_START = 0.04  # of its highest rate


class SettingError(PathoganError, ValueError):
    """A setting of the training has no such name or value."""


@dataclass_transform(frozen_default=True)
def checked(cls: type) -> Any:  # noqa: ANN401 - the class, as a dataclass
    """Make a class a frozen dataclass whose values are checked."""
    return dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))(cls)


@checked
class TrainConfig:
    """What all trainings have.

    Attributes
    ----------
    seed
        Of everything random.
    epochs
        How many there are.
    ema
        Decay of the average of the weights that becomes the model; 0 takes the last weights.
    """

    seed: int = 0
    epochs: Count = 100
    ema: Decay = 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for config.json and the card."""
        return asdict(self)

    def rate(self, progress: float) -> float:  # noqa: ARG002
        """Share of the learning rates after ``progress`` (0 to 1) of all steps."""
        return 1.0

    def ignored(self) -> dict[str, str]:
        """Settings that count for nothing here -> why: who asks for one of them is told."""
        return {}

    def adjusted(self, settings: Iterable[str] = (), **flags: Any) -> Self:
        """Change single settings: by flags, else by name, else they stay.

        Parameters
        ----------
        settings
            ``name=value``, or ``augment.name=value`` for a field that is itself a configuration.
        flags
            Values of options that have a name of their own; None where they were not given.

        Raises
        ------
        SettingError
            If there is no such setting, or its value is impossible; says which, and what is possible.
        """
        config = self
        for setting in settings:
            path, given, text = setting.partition("=")
            *outer, name = path.split(".")
            target: Any = config
            for part in outer:
                target = getattr(target, part, None)
            known = [field.name for field in fields(target)] if is_dataclass(target) else []
            known = [one for one in known if not is_dataclass(getattr(target, one))]
            if not given or name not in known:
                every = ", ".join(_names(self))
                msg = f"{setting!r} is not a setting; give name=value with one of {every}"
                raise SettingError(msg)
            config = _changed(config, outer, name, _value(text, getattr(target, name)), setting)
        for name, value in flags.items():
            if value is not None:
                config = _changed(config, [], name, value, f"{name}={value}")
        return config

    def typed(self, recipes: Mapping[str, Self]) -> str:
        """What gives this on the command line: the recipe that is closest, and what differs."""

        def differing(recipe: Self) -> list[str]:
            pairs = [(name, attrgetter(name)) for name in _names(self)]
            return [f"{n}={_text(get(self))}" for n, get in pairs if get(self) != get(recipe)]

        closest = min(recipes, key=lambda name: len(differing(recipes[name])))
        changes = (f"--set {shlex.quote(one)}" for one in differing(recipes[closest]))
        return " ".join([f"--recipe {closest}", *changes])


def _changed(config: Any, outer: list[str], name: str, value: Any, setting: str) -> Any:  # noqa: ANN401
    """A configuration with one value changed, deep in it."""
    if outer:
        inner = _changed(getattr(config, outer[0]), outer[1:], name, value, setting)
        return replace(config, **{outer[0]: inner})
    try:
        return replace(config, **{name: value})
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        msg = f"{setting!r} is not possible: {problem[0].lower()}{problem[1:]}"
        raise SettingError(msg) from error


def _value(text: str, now: Any) -> Any:  # noqa: ANN401
    """What a text says, of the kind that a setting has now."""
    if isinstance(now, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text  # which is refused with what is possible


def _text(value: Any) -> str:  # noqa: ANN401
    """How a value is typed."""
    return value if isinstance(value, str) else json.dumps(value)


def _names(config: Any, before: str = "") -> list[str]:  # noqa: ANN401
    """Of all single settings."""
    names = []
    for field in fields(config):
        value = getattr(config, field.name)
        inner = is_dataclass(value)
        names += _names(value, f"{field.name}.") if inner else [f"{before}{field.name}"]
    return names


def one_cycle(progress: float) -> float:
    """Share of the highest learning rate after ``progress`` (0 to 1) of all steps.

    Up a line over the first fifth, then down a cosine to exactly 0.
    """
    if progress < _RISE:
        return _START + (1 - _START) * progress / _RISE
    return 0.5 * (1 + math.cos(math.pi * (progress - _RISE) / (1 - _RISE)))
