"""Where what a user makes lies: the data folder, and models."""

from __future__ import annotations

import logging
from pathlib import Path

from napari_pathogan.files import data_folder, write_text
from napari_pathogan.kinds import OURS

_log = logging.getLogger(__name__)


def own_models() -> Path:
    """The folder of the user's models, unless they have chosen another; it may not be there."""
    return data_folder() / "models"


def models_folders() -> tuple[Path, ...]:
    """Those folders of the user's models that are there, the chosen one last."""
    try:
        chosen = _noted().read_text(encoding="utf-8")
    except (OSError, ValueError):
        chosen = ""
    folders = [own_models(), *([Path(chosen)] if chosen else [])]
    return tuple(folder for folder in folders if folder.is_dir())


def note_models_folder(folder: Path | None) -> None:
    """Note which folder napari's preferences name: the command line can't read these."""
    chosen = "" if folder is None else str(folder.absolute())
    noted = _noted()
    try:
        if (noted.read_text(encoding="utf-8") if noted.is_file() else "") != chosen:
            write_text(noted, chosen, OURS)
    except (OSError, ValueError) as error:
        _log.warning("the command line won't find the models of %s: %s", chosen, error)


def _noted() -> Path:
    return data_folder() / "models_folder.txt"
