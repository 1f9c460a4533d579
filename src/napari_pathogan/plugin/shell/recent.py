"""The folders that were worked in last: batches, studies; remembered for the user, the latest first."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from napari_pathogan.files import data_folder, write_text
from napari_pathogan.kinds import OURS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recent:
    """Folders of a kind.

    Attributes
    ----------
    what
        They are called; the name of the JSON file.
    most
        That are remembered.
    """

    what: str
    most: int

    def remember(self, folder: Path) -> None:
        """Put a folder first.

        Raises
        ------
        OutputError
            If the user's data folder can't be written.
        """
        folder = folder.absolute()
        self._write([folder, *(path for path in self.recall() if path != folder)])

    def forget(self, folder: Path) -> None:
        """Take a folder off the list; what is in it stays.

        Raises
        ------
        OutputError
            If the user's data folder can't be written.
        """
        self._write([path for path in self.recall() if path != folder])

    def recall(self) -> tuple[Path, ...]:
        """Those that are still there, the latest first."""
        try:
            known = json.loads(self._store.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            log.warning("the remembered %s in %s can't be read (%s)", self.what, self._store, error)
            return ()
        paths = known if isinstance(known, list) else []
        return tuple(Path(path) for path in paths if isinstance(path, str) and Path(path).is_dir())

    def _write(self, folders: list[Path]) -> None:
        text = json.dumps([str(path) for path in folders[: self.most]], indent=1)
        write_text(self._store, text, OURS)

    @property
    def _store(self) -> Path:
        return data_folder() / f"{self.what}.json"


STUDIES, BATCHES = Recent("studies", 8), Recent("batches", 20)
