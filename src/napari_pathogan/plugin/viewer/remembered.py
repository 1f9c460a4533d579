"""What was chosen in docks last, for the next napari: models, thresholds."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from napari_pathogan.errors import PathoganError
from napari_pathogan.files import data_folder, write_text
from napari_pathogan.kinds import OURS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_log = logging.getLogger(__name__)


def remember(docks: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep what was chosen, plain JSON, by the titles of docks; those of others stay."""
    known = _all()
    if all(known.get(title) == choices for title, choices in docks.items()):
        return
    try:
        _store().parent.mkdir(parents=True, exist_ok=True)
        write_text(_store(), json.dumps({**known, **docks}, indent=1), OURS)
    except (OSError, PathoganError) as error:
        _log.warning("what was chosen in docks can't be kept: %s", error)


def recall(title: str) -> dict[str, Any]:
    """What was chosen in a dock last; nothing where nobody knows."""
    found = _all().get(title)
    return found if isinstance(found, dict) else {}


def _all() -> dict[str, Any]:
    try:
        known = json.loads(_store().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        _log.warning("what was chosen in docks, in %s, can't be read (%s)", _store(), error)
        return {}
    return known if isinstance(known, dict) else {}


def _store() -> Path:
    return data_folder() / "docks.json"
