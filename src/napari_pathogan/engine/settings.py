"""Settings of a training, changed by name; and the learning rate over a training."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from napari_pathogan.errors import PathoganError

if TYPE_CHECKING:
    from collections.abc import Iterable

Config = TypeVar("Config")

_RISE = 0.2  # of a one-cycle training
_START = 0.04  # of its highest rate


class SettingError(PathoganError, ValueError):
    """A setting of the training has no such name or value."""


def adjusted(config: Config, settings: Iterable[str]) -> Config:
    """Change single settings of a frozen dataclass with a field ``augment``, another of them.

    Each is given as ``name=value`` or ``augment.name=value``.

    Raises
    ------
    SettingError
        If there is no such setting, or the value is of the wrong kind; says which.
    """
    for setting in settings:
        name, _, text = setting.partition("=")
        inner = name.removeprefix("augment.")
        target: Any = config.augment if inner != name else config  # type: ignore[attr-defined]
        kinds = {f.name: type(getattr(target, f.name)) for f in fields(target)}
        kinds.pop("augment", None)
        try:
            kind = kinds[inner]
            value = json.loads(text) if kind is not str else text
            value = tuple(value) if kind is tuple else kind(value)
        except (KeyError, ValueError, TypeError) as error:
            known = ", ".join(kinds)
            msg = f"{setting!r} is not a setting; give name=value with one of {known}"
            raise SettingError(msg) from error
        changed = replace(target, **{inner: value})
        config = changed if inner == name else replace(config, augment=changed)  # type: ignore[type-var]
    return config


def one_cycle(progress: float) -> float:
    """Share of the highest learning rate after ``progress`` (0 to 1) of all steps.

    Up a line over the first fifth, then down a cosine to exactly 0.
    """
    if progress < _RISE:
        return _START + (1 - _START) * progress / _RISE
    return 0.5 * (1 + math.cos(math.pi * (progress - _RISE) / (1 - _RISE)))
