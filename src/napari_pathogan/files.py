"""Writing files so that nothing is ever half written: beside the target, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathogan.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the disk is read-only",
    errno.EEXIST: "part of the path is a file, not a folder",
    errno.ENOTDIR: "part of the path is a file, not a folder",
    errno.EISDIR: "a folder of that name is in the way",
}


@contextmanager
def written(target: Path) -> Iterator[Path]:
    """Give a path beside ``target`` to write a file or folder to; rename it at the end.

    On any error (Ctrl-C too) what was written is removed and ``target`` stays as it was. A file
    is flushed to disk before the rename. An existing file or folder at ``target`` is replaced.

    Raises
    ------
    OutputError
        If it can't be written; says why (permission, full disk, ...).
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise output_error(target, error) from error
    beside = room / target.name
    try:
        yield beside
        if beside.is_file():
            with beside.open("rb") as stream:
                os.fsync(stream.fileno())
        if target.is_dir() and not target.is_symlink():
            old = room / ".replaced"
            target.rename(old)
            try:
                beside.rename(target)
            except OSError:
                old.rename(target)
                raise
        else:
            beside.replace(target)
    except OutputError:
        raise
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        shutil.rmtree(room, ignore_errors=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all (UTF-8)."""
    with written(target) as beside:
        beside.write_text(text, encoding="utf-8")


def output_error(target: Path, error: OSError) -> OutputError:
    """Put an operating system error into one clear sentence."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"can't write {target}: {reason}; choose another place or free it")


def sha256(path: Path) -> str:
    """Hash a file; hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
