"""The um per pixel that a user gave for a file that does not say: remembered per file.

Kept in one small JSON file in the user's data folder, keyed by path, size and time of change, so
that another file of the same name is not taken for it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import platformdirs

from napari_pathogan import files
from napari_pathogan.slides import resolution

_log = logging.getLogger(__name__)


def remember(path: str | Path, mpp: tuple[float, float]) -> None:
    """Keep um per pixel (y, x) for a file or OME-Zarr folder.

    Raises
    ------
    OutputError
        If the user's data folder can't be written.
    """
    known = _load()
    known[_key(Path(path))] = [float(mpp[0]), float(mpp[1])]
    files.write_text(_store(), json.dumps(known, indent=1))


def recall(path: str | Path) -> tuple[float, float] | None:
    """Um per pixel (y, x) remembered for a file; None if there is none, or the file changed."""
    known = _load()
    if not known:
        return None
    pair = known.get(_key(Path(path)))
    return resolution.positive(*pair) if isinstance(pair, list) and len(pair) == 2 else None


def _store() -> Path:
    return Path(platformdirs.user_data_dir("napari-pathogan", appauthor=False)) / "scales.json"


def _load() -> dict[str, object]:
    try:
        known = json.loads(_store().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        _log.warning("the remembered scales in %s can't be read (%s)", _store(), error)
        return {}
    return known if isinstance(known, dict) else {}


def _key(path: Path) -> str:
    about = path.stat()
    text = f"{path.resolve()}|{about.st_size}|{about.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
