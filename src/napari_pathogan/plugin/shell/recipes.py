"""How trainings of docks were set, kept under names that the user gives."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from napari_pathogan.files import data_folder, write_text
from napari_pathogan.kinds import OURS

if TYPE_CHECKING:
    from pathlib import Path

LAST = "As last time"  # a recipe that nobody has given a name
_log = logging.getLogger(__name__)


def recipes_of(task: str) -> dict[str, tuple[str, ...]]:
    """The recipes of a task by name: what differs from the usual one, as ``name=value``."""
    found = _all().get(task)
    if not isinstance(found, dict):
        return {}
    return {
        name: tuple(map(str, changes))
        for name, changes in found.items()
        if isinstance(changes, list)
    }


def save_recipe(task: str, name: str, changes: tuple[str, ...]) -> None:
    """Keep a recipe, in place of one of that name.

    Raises
    ------
    OutputError
        If it can't be written; those that are there stay.
    """
    known = _all()
    own = {**recipes_of(task), name: changes}
    _store().parent.mkdir(parents=True, exist_ok=True)
    write_text(_store(), json.dumps({**known, task: own}, indent=1), OURS)


def keep_last(task: str, changes: tuple[str, ...]) -> None:
    """Keep how a task was trained last; OutputError as of :func:`save_recipe`."""
    if changes != recipes_of(task).get(LAST, ()):
        save_recipe(task, LAST, changes)


def _all() -> dict[str, Any]:
    try:
        known = json.loads(_store().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        _log.warning("the recipes in %s can't be read (%s)", _store(), error)
        return {}
    return known if isinstance(known, dict) else {}


def _store() -> Path:
    return data_folder() / "recipes.json"
