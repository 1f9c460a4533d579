"""Where what a user makes lies: models, and corrections of images whose folders can't be written."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import platformdirs

from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS

_log = logging.getLogger(__name__)


def data_folder() -> Path:
    """The user's data folder."""
    return Path(platformdirs.user_data_dir("napari-pathogan", appauthor=False))


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


def kept_elsewhere(image: Path) -> Path:
    """Where corrections of an image are kept whose own folder can't be written."""
    digest = hashlib.sha256(str(image.resolve()).encode()).hexdigest()[:16]
    return _corrections() / digest


def kept_with_images(folder: Path, suffix: str, *, below: bool = False) -> list[tuple[Path, Path]]:
    """What is kept with the images of a folder, in the order of the images.

    Parameters
    ----------
    suffix
        Of what is kept: its name is the image's with this behind.
    below
        Whether subfolders count too.

    Returns
    -------
    Images and what is kept of each: beside it, or elsewhere; the newer where there are both. An
    image that what lies beside it is named after may be missing.
    """
    find = folder.rglob if below else folder.glob
    found = {file.with_name(file.name.removesuffix(suffix)): file for file in find(f"*{suffix}")}
    names = {file.name.removesuffix(suffix) for file in _corrections().glob(f"*/*{suffix}")}
    for image in find("*") if names else ():
        other = kept_elsewhere(image) / (image.name + suffix) if image.name in names else None
        if other is not None and other.is_file():
            found[image] = max(found.get(image, other), other, key=lambda at: at.stat().st_mtime)
    return sorted(found.items())


def _corrections() -> Path:
    return data_folder() / "corrections"


def _noted() -> Path:
    return data_folder() / "models_folder.txt"
