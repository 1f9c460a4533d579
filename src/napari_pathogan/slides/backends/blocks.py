"""Parts of distant files, kept on this computer's disk within a budget of bytes."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
import zlib
from functools import cache
from pathlib import Path

import platformdirs

_log = logging.getLogger(__name__)
_DEFAULT_MB = 2048
_MB = 1024 * 1024
_FRESH = 16  # looks at the whole folder when it has added one so many-th of the budget
_AFTER = 0.9  # share of the budget that is left after parts were taken away


class BlockCache:
    """A folder of parts of files; those that were not used for longest go first. Safe for many threads.

    Several processes may share it. What is damaged on the disk counts as not there; where the disk
    takes nothing more, nothing is kept.

    Parameters
    ----------
    folder
        Made when it is first written to, for the user alone.
    budget
        Bytes that are kept at most (each process that writes at once may add a sixteenth).
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder = folder
        self.budget = budget
        self._added: int | None = None
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """What is kept under a key, whole; None where nothing is."""
        file = self._file(key)
        try:
            kept = file.read_bytes()
        except OSError:
            return None
        data = kept[4:]
        if kept[:4] != _checksum(data):
            return None
        try:
            os.utime(file)  # it was used
        except OSError:
            _log.debug("%s can't be touched", file)
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep something under a key, if there is room for it."""
        if len(data) > self.budget // _FRESH:
            return
        file = self._file(key)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.parent.mkdir(mode=0o700, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=file.parent, prefix=".")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(_checksum(data) + data)
                Path(beside).replace(file)
            except BaseException:
                Path(beside).unlink(missing_ok=True)
                raise
        except OSError as error:
            _log.warning("parts of slides can't be kept in %s: %s", self.folder, error)
            return
        with self._lock:
            self._added = None if self._added is None else self._added + len(data)
            if self._added is None or self._added > self.budget // _FRESH:
                self._trim()
                self._added = 0

    def size(self) -> int:
        """Bytes that are kept now."""
        return sum(size for _, size, _ in self._files())

    def _file(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / digest[:2] / digest[2:40]

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        for file in self.folder.glob("*/*"):
            try:
                about = file.stat()
            except OSError:  # another process has taken it away
                continue
            found.append((about.st_mtime, about.st_size, file))
        return sorted(found)

    def _trim(self) -> None:
        files = self._files()
        total = sum(size for _, size, _ in files)
        if total <= self.budget:
            return
        for _, size, file in files:
            if total <= _AFTER * self.budget:
                break
            try:
                file.unlink(missing_ok=True)
            except OSError:  # Windows: it is being read
                continue
            total -= size


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


@cache
def shared() -> BlockCache:
    """The cache of all processes of this user, of ``PATHOGAN_REMOTE_CACHE_MB`` megabytes."""
    text = os.environ.get("PATHOGAN_REMOTE_CACHE_MB", "")
    budget = (int(text) if text.isdecimal() else _DEFAULT_MB) * _MB
    folder = Path(platformdirs.user_cache_dir("napari-pathogan", appauthor=False)) / "remote"
    return BlockCache(folder, budget)
