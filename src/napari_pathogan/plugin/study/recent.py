"""The studies that were opened last: remembered for the user, the latest first."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from napari_pathogan.files import data_folder, write_text
from napari_pathogan.kinds import OURS

MOST = 8

log = logging.getLogger(__name__)


def remember(folder: Path) -> None:
    """Put a study's folder first.

    Raises
    ------
    OutputError
        If the user's data folder can't be written.
    """
    folder = folder.absolute()
    others = [path for path in recall() if path != folder]
    write_text(
        _store(), json.dumps([str(path) for path in (folder, *others)][:MOST], indent=1), OURS
    )


def recall() -> tuple[Path, ...]:
    """The studies that are still there, the latest first."""
    try:
        known = json.loads(_store().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        log.warning("the remembered studies in %s can't be read (%s)", _store(), error)
        return ()
    paths = known if isinstance(known, list) else []
    return tuple(Path(path) for path in paths if isinstance(path, str) and Path(path).is_dir())


def _store() -> Path:
    return data_folder() / "studies.json"
