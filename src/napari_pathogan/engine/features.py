"""What a pretrained trunk made of images, kept on disk: a second look at a slide costs no network.

An image is known by its pixels, the trunk and the precision, so whatever asks for it (another
threshold, a new head, another region) finds it. The oldest go first. The folder may be deleted at any time;
where it can't be written, nothing is kept.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import platformdirs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LIMIT = 2_000_000_000  # bytes on disk
VARIABLE = "PATHOGAN_FEATURES"  # another folder; "off" keeps nothing
_ASKED = 500  # keys of one query
_SHARE = 10  # of the rows, one in so many goes where there are too many
_PATIENCE_S = 5.0  # for another process that writes

log = logging.getLogger(__name__)


class Features:
    """Figures of images in one SQLite file, for threads and processes alike.

    Parameters
    ----------
    folder
        Where the file is; None keeps nothing.
    limit
        Bytes that it may have.
    """

    def __init__(self, folder: Path | None, limit: int = LIMIT) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self._base: sqlite3.Connection | None = None
        if folder is not None:
            with self._unless_it_fails():
                self._open(folder)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Those of the figures that are known: float16 (F,) by key."""
        found: dict[bytes, np.ndarray] = {}
        with self._unless_it_fails():
            if self._base is None:
                return found
            for start in range(0, len(keys), _ASKED):
                part = keys[start : start + _ASKED]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, value FROM features WHERE key IN ({marks})"  # noqa: S608
                for key, value in self._base.execute(query, part):
                    found[key] = np.frombuffer(value, np.float16)
        return found

    def put(self, figures: Mapping[bytes, np.ndarray]) -> None:
        """Keep figures, float16 (F,) by key; the oldest make room."""
        with self._unless_it_fails():
            if self._base is None:
                return
            rows = [(key, value.astype(np.float16).tobytes()) for key, value in figures.items()]
            with self._base:
                self._base.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", rows)
            used, free, size = (
                self._base.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            if (used - free) * size > self._limit:
                with self._base:
                    self._base.execute(
                        "DELETE FROM features WHERE rowid IN (SELECT rowid FROM features ORDER BY "
                        "rowid LIMIT (SELECT 1 + COUNT(*) / ? FROM features))",
                        (_SHARE,),
                    )

    @contextmanager
    def _unless_it_fails(self) -> Iterator[None]:
        """One thread at a time; after an error of the disk nothing more is kept, which is logged."""
        with self._lock:
            try:
                yield
            except (OSError, sqlite3.Error) as error:
                log.warning("what trunks see is not kept on disk any more: %s", error)
                self._base = None

    def _open(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "features.sqlite"
        base = sqlite3.connect(file, timeout=_PATIENCE_S, check_same_thread=False)
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=OFF")  # what a crash loses is computed anew
        base.execute("CREATE TABLE IF NOT EXISTS features (key BLOB UNIQUE, value BLOB)")
        self._base = base


@lru_cache(maxsize=1)
def user_features() -> Features:
    """Those of this user: in the cache folder, or where ``PATHOGAN_FEATURES`` says."""
    return Features(user_folder())


def user_folder() -> Path | None:
    """Where they are kept; None where nothing is."""
    asked = os.environ.get(VARIABLE, "")
    if asked == "off":
        return None
    default = platformdirs.user_cache_path("napari-pathogan", appauthor=False)
    return Path(asked) if asked else default
