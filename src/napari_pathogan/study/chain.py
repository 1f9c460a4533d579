"""A reader's record: JSON lines, each holding the hash of the one before.

A line that was changed no longer fits its own hash; lines that were removed, added or moved no
longer fit the hash before them. The chain starts from the hash of the manifest, so it holds for
one study only. Beside it lies the chain's head (how many lines, which hash), so that lines cut off
at the end are missed too. Whoever forges a whole chain can't be found out by it; the receipt that
the reader is given at the end (the last hash, short) is for that.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ValidationError

from napari_pathogan.errors import StudyError
from napari_pathogan.files import output_error, write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.study.layout import reader_code

if TYPE_CHECKING:
    from pathlib import Path

RECEIPT = 8  # hex digits


@dataclass(frozen=True, slots=True)
class Chain:
    """What could be read of a record, up to the first line that is not as it was written.

    Attributes
    ----------
    entries
        The lines that hold together, in order.
    head
        Hash of the last of them; of the manifest where there is none.
    end
        Bytes of the file up to and with the last of them.
    cut
        Whether a line follows that was cut off while being written (a crash): that answer was
        never confirmed, and its image is shown again.
    problem
        What was tampered with, one sentence; None if nothing.
    """

    entries: tuple[dict[str, Any], ...]
    head: str
    end: int
    cut: bool = False
    problem: str | None = None

    @property
    def receipt(self) -> str:
        """The first digits of the last hash."""
        return self.head[:RECEIPT]


def _time(text: str) -> str:
    datetime.fromisoformat(text)
    return text


def _name(text: str) -> str:
    if text:
        reader_code(text)
    return text


class _Line(BaseModel):
    """What all lines have, and what those that open something say."""

    n: int
    previous: str
    what: Literal["opened", "answer", "handed back", "key opened"]
    at: Annotated[str, AfterValidator(_time)]
    reader: Annotated[str, AfterValidator(_name)] = ""
    key_opened: Annotated[str, AfterValidator(_time)] | None = None


def seal(entry: dict[str, Any], n: int, previous: str) -> tuple[bytes, str]:
    """Make the line of an entry, and its hash."""
    body = {"n": n, "previous": previous, **entry}
    digest = _digest(body)
    return (json.dumps({**body, "hash": digest}, ensure_ascii=False) + "\n").encode(), digest


def _digest(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def head_file(path: Path) -> Path:
    """Where the head of a record is kept."""
    return path.with_suffix(".head")


def read_chain(path: Path, start: str) -> Chain:
    """Read and check a record; a missing one is empty.

    Parameters
    ----------
    start
        Hash of the manifest.

    Raises
    ------
    StudyError
        If the file can't be read.
    """
    try:
        raw = path.read_bytes() if path.exists() else b""
        kept = head_file(path).read_text("utf-8").split() if head_file(path).exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    chain = _follow(raw, start)
    if chain.problem is None and kept is not None:
        return _with_head(chain, kept)
    return chain


def peek(path: Path) -> tuple[dict[str, Any], ...]:
    """The entries of a record as they stand, without checking that they hold together: quick.

    Raises
    ------
    StudyError
        If the file can't be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise _unreadable(path, error) from error
    bodies = itertools.takewhile(lambda body: body is not None, map(_parsed, lines))
    return tuple(body for body in bodies if body is not None)


def _unreadable(path: Path, error: Exception) -> StudyError:
    return StudyError(
        f"{path} can't be read ({error}); copy it again from where the reader answered"
    )


def _follow(raw: bytes, start: str) -> Chain:
    entries: list[dict[str, Any]] = []
    head, end = start, 0
    for line in raw.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return Chain(tuple(entries), head, end, cut=True)
        body = _parsed(line)
        problem = _problem(body, len(entries), head, start)
        if problem or body is None:
            return Chain(tuple(entries), head, end, problem=problem)
        head, end = body.pop("hash"), end + len(line)
        entries.append(body)
    return Chain(tuple(entries), head, end)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) and isinstance(body.get("hash"), str) else None


def _problem(body: dict[str, Any] | None, n: int, head: str, start: str) -> str | None:
    where = f"line {n + 1}"
    if body is None:
        return f"{where} is not what was written (it can't be read)"
    if _digest({k: v for k, v in body.items() if k != "hash"}) != body["hash"]:
        return f"{where} was changed (it does not fit its hash)"
    return _misplaced(body, n, head, start)


def _misplaced(body: dict[str, Any], n: int, head: str, start: str) -> str | None:
    where = f"line {n + 1}"
    try:
        line = _Line.model_validate(body, strict=True)
    except ValidationError:
        return f"{where} was not written by this program"
    if line.n != n:
        return f"lines were removed, added or moved: line {line.n + 1} stands as {where}"
    if line.previous != head:
        if head == start:
            return "it belongs to another study, or study.json was changed since"
        return f"{where} was exchanged (it does not follow the line before it)"
    return None


def _with_head(chain: Chain, kept: list[str]) -> Chain:
    """Compare with the head that was written after the last answer (or the one before it)."""
    try:
        count, digest = int(kept[0]), kept[1]
    except (ValueError, IndexError):
        count, digest = -1, ""
    if count > len(chain.entries):
        missing = count - len(chain.entries)
        lines = "line was" if missing == 1 else "lines were"
        problem = f"{missing} {lines} removed at the end ({count} had been written)"
    elif count < 1 or _hash_at(chain, count) != digest:
        problem = "its head file was changed, or all its lines were written anew"
    else:
        return chain
    return Chain(chain.entries, chain.head, chain.end, chain.cut, problem)


def _hash_at(chain: Chain, count: int) -> str:
    return chain.head if count == len(chain.entries) else chain.entries[count]["previous"]


class ChainWriter:
    """Appends to a record so that a line is whole on disk, or not there at all.

    Parameters
    ----------
    path
        Of the record.
    chain
        What it holds; a cut line at its end is removed with the first line that is written.
    """

    def __init__(self, path: Path, chain: Chain) -> None:
        self._path = path
        self._head, self._count, self._end = chain.head, len(chain.entries), chain.end

    @property
    def receipt(self) -> str:
        """The first digits of the last hash."""
        return self._head[:RECEIPT]

    def append(self, entry: dict[str, Any]) -> None:
        """Add a line; on return it is on the disk itself.

        Raises
        ------
        OutputError
            If it could not be written (full disk, lost network drive); the record is as it was,
            and the same line can be tried again.
        """
        line, digest = seal(entry, self._count, self._head)
        new = not self._path.exists()
        try:
            with self._path.open("ab" if new else "r+b", buffering=0) as stream:
                try:
                    self._put(stream.fileno(), line)
                except OSError:
                    os.ftruncate(stream.fileno(), self._end)  # works on a full disk too
                    raise
        except OSError as error:
            raise output_error(self._path, error) from error
        if new:
            _sync_folder(self._path.parent)
        self._head, self._count, self._end = digest, self._count + 1, self._end + len(line)
        self._keep_head()

    def _put(self, file: int, line: bytes) -> None:
        os.ftruncate(file, self._end)  # what a crash or an earlier failure left
        os.lseek(file, self._end, os.SEEK_SET)
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)

    def _keep_head(self) -> None:
        try:
            write_text(head_file(self._path), f"{self._count} {self._head}\n", OURS)
        except OSError:
            # the answer is safe, and an older head is still true of the record
            return


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable; Windows does so by itself and can't open folders."""
    if os.name == "posix":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
