"""What a batch looks at: patterns become slides, folders of mammograms, and names for them."""

from __future__ import annotations

import os
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathogan import addresses
from napari_pathogan.engine.config import SettingError
from napari_pathogan.files import told_apart
from napari_pathogan.kinds import is_zarr
from napari_pathogan.slides.backends import SUFFIXES
from napari_pathogan.slides.backends.dicom import is_folder_of_slide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_pathogan.engine.task import Task

_NO_IMAGES = {
    *(".geojson", ".json", ".csv", ".tsv", ".parquet", ".xml", ".txt", ".md", ".log", ".html"),
    *(".yaml", ".yml", ".toml", ".py", ".pdf", ".ini", ".xlsx", ".docx", ".sh", ".safetensors"),
}


def find(task: Task, patterns: Iterable[str], warn: Callable[[str], None]) -> dict[str, Path]:
    """Name -> what is looked at, in the order of their names.

    Parameters
    ----------
    patterns
        Addresses, files, folders, or patterns with ``*`` (in this folder), ``**`` (in all below), ``?`` and
        ``[]``. A folder stands for the slides in it; for a task that looks at several images of a case
        together, it is a case.
    warn
        Told of what was left out.

    Raises
    ------
    SettingError
        If a pattern matches nothing.
    """
    found: dict[str, Path] = {}
    left_out = 0
    for pattern in patterns:
        if addresses.is_address(pattern):
            found.setdefault(str(place := addresses.place_of(pattern)), place)
            continue
        named = os.path.lexists(pattern)
        matches = [Path(path) for path in ([pattern] if named else _matches(pattern))]
        if not matches:
            msg = (
                f"nothing is called {pattern}; name slides or folders, or quote a pattern such as "
                "'in/*.svs'"
            )
            raise SettingError(msg)
        for match in map(_absolute, matches):
            own = _meant(task, match, named=named)
            left_out += match.is_file() and not own
            for path in own:
                found.setdefault(os.path.realpath(path), path)
    if left_out:
        warn(f"left out: {left_out} files that are no images, by their suffixes")
    if not found:
        raise SettingError("there is nothing to look at; name slides or folders of them")
    paths = list(found.values())
    names = told_apart(paths)
    return {names[path]: path for path in sorted(paths, key=lambda path: names[path])}


def _matches(pattern: str) -> list[str]:
    return sorted(glob(pattern, recursive=True))  # noqa: PTH207 - of any folder


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - keeps links


def _meant(task: Task, match: Path, *, named: bool) -> list[Path]:
    """What is looked at where a path was named, or matched a pattern: itself, or the slides in it.

    Raises
    ------
    SettingError
        If a folder was named that holds no slide.
    """
    together = task.prediction is not None and task.prediction.expand
    if match.is_file():
        return [] if match.suffix.lower() in _NO_IMAGES else [match]
    if match.with_name(match.name + ".mrxs").is_file():
        return []  # the parts of the slide beside it
    if together or not match.exists() or is_zarr(match) or is_folder_of_slide(match):
        return [match]
    slides = _slides_in(match) if named else []
    if named and not slides:
        raise SettingError(f"no slide lies in {match}; name slides, or a folder of them")
    return slides


def _slides_in(folder: Path) -> list[Path]:
    """Slides that lie in a folder, by their suffixes; folders too where they are slides."""
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".")
        and (
            (path.is_file() and path.suffix.lower() in SUFFIXES)
            or (path.is_dir() and (is_zarr(path) or is_folder_of_slide(path)))
        )
    )
