"""What a user said of a file that does not say it itself: its scale, its tissue.

Each kind of fact is one small JSON file in the user's data folder, keyed by path, size and time
of change, so that another file of the same name is not taken for it; at an address, by what the server says of
its state.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from napari_pathogan import addresses, files
from napari_pathogan.kinds import OURS

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Remembered:
    """One kind of fact about files.

    Parameters
    ----------
    kind
        What is remembered; the name of the JSON file.
    """

    kind: str

    def remember(self, path: str | Path, value: object) -> None:
        """Keep plain JSON for a file or OME-Zarr folder.

        Raises
        ------
        OutputError
            If the user's data folder can't be written.
        """
        known = self._load()
        known[_key(Path(path))] = value
        files.write_text(self._store(), json.dumps(known, indent=1), OURS)

    def recall(self, path: str | Path) -> object:
        """What is remembered of a file; None if nothing is, or the file changed or is gone."""
        known = self._load()
        there = known and addresses.may_be_there(Path(path))
        return known.get(_key(Path(path))) if there else None

    def _store(self) -> Path:
        return files.data_folder() / f"{self.kind}.json"

    def _load(self) -> dict[str, object]:
        try:
            known = json.loads(self._store().read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            _log.warning(
                "the remembered %s in %s can't be read (%s)", self.kind, self._store(), error
            )
            return {}
        return known if isinstance(known, dict) else {}


def _key(path: Path) -> str:
    if addresses.is_address(path):
        text = addresses.identity(path)
    else:
        about = path.stat()
        text = f"{path.resolve()}|{about.st_size}|{about.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
