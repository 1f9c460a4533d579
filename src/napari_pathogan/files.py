"""Writing files so that nothing is ever half written, and nothing of the user's is ever lost.

An output is written beside its target, in a hidden room, and put in place at the end. It replaces
nothing but an earlier output of its own kind (:mod:`napari_pathogan.kinds`). A kill at any moment
leaves the old one or the new one, whole; what it leaves beside is taken away by the next output
that is written to that folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock, Timeout

from napari_pathogan import addresses
from napari_pathogan.errors import OutputError, PathoganError
from napari_pathogan.kinds import ROOM, is_zarr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_pathogan.kinds import Kind

_LOCK = ".pathogan-lock"  # in a room: held as long as somebody writes there
_REPLACED = ".pathogan-replaced"  # in a room: the old folder, while the new one is put in place
_ROOM_NAME = re.compile(re.escape(ROOM) + "[a-z0-9_]{8}")  # as tempfile.mkdtemp makes them
_TRIES, _MOMENT = 20, 0.05  # to take a room away; seconds between
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EFBIG: "no file may be that large there",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the disk is read-only",
    errno.EEXIST: "part of the path is a file, not a folder",
    errno.ENOTDIR: "part of the path is a file, not a folder",
    errno.EISDIR: "a folder of that name is in the way",
    errno.ENAMETOOLONG: "the name is too long",
}


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a disk that takes no more."""
_OS_ERROR = re.compile(
    r"(?:os error |\[Errno )(\d+)"
)  # as libraries in Rust, and shutil of many files, say it


@contextmanager
def written(target: Path, kind: Kind) -> Iterator[Path]:
    """Give a path beside ``target`` to write a file or folder to; put it in place at the end.

    On any error (Ctrl-C too) what was written is removed and ``target`` stays as it was. A file
    is flushed to disk first. Where ``target`` is a link, what it leads to is written.

    Parameters
    ----------
    kind
        Of what is written: only an earlier output of this kind is replaced.

    Raises
    ------
    OutputError
        If it can't be written, or something else is at ``target``; says which.
    """
    try:
        place = _place(target, kind)
        missing = [folder for folder in place.parents if not folder.exists()]
        place.parent.mkdir(parents=True, exist_ok=True)
        room, lock = _room(place.parent)
    except OutputError:
        raise
    except OSError as error:
        raise output_error(target, error) from error
    beside = room / place.name
    try:
        yield beside
        if beside.is_file():
            with beside.open("rb") as stream:
                os.fsync(stream.fileno())
        _put(beside, _place(target, kind))
        missing = []
    except PathoganError:
        raise
    except Exception as error:
        if (why := system_error(error)) is not None:
            raise output_error(target, why) from error
        raise
    finally:
        _clear(room, lock)
        for folder in missing:  # made for an output that did not come
            with contextlib.suppress(OSError):
                folder.rmdir()


def write_text(target: Path, text: str, kind: Kind, *, private: bool = False) -> None:
    """Write a text file whole or not at all (UTF-8), for its owner alone if private; see :func:`written`."""
    with written(target, kind) as beside:
        if private:
            beside.touch(0o600)
        beside.write_text(text, encoding="utf-8")


def check(target: Path, kind: Kind) -> None:
    """Make sure, before long work, that its result can be written; writes nothing.

    What killed processes have left at the target and beside it is taken away.

    Raises
    ------
    OutputError
        As :func:`written`.
    """
    try:
        place = _place(target, kind)
        folder = next(x for x in place.parents if x.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OutputError:
        raise
    except OSError as error:
        raise output_error(target, error) from error


def tidy(folder: Path) -> None:
    """Finish what killed processes have left in a folder, and take their rooms away."""
    with os.scandir(folder) as entries:
        rooms = [Path(entry) for entry in entries if _is_room(entry)]
    for room in rooms:
        with contextlib.suppress(OSError):
            room.rmdir()  # killed before it began, or at the very end
            continue
        # without a lock: threads wrote on when it was taken away
        lock = FileLock(room / _LOCK, timeout=0)
        with contextlib.suppress(OSError, Timeout):  # somebody writes there
            lock.acquire()
            _recover(room)
            _clear(room, lock)


class TemporaryRoom(tempfile.TemporaryDirectory[str]):
    """A temporary folder, ``place``; those that killed processes left go when the next is made."""

    def __init__(self, prefix: str) -> None:
        for room in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
            with contextlib.suppress(OSError, Timeout):
                if (room / _LOCK).exists():
                    lock = FileLock(room / _LOCK, timeout=0)
                    lock.acquire()
                    _clear(room, lock)
        super().__init__(prefix=prefix, ignore_cleanup_errors=True)
        self._held = FileLock(Path(self.name) / _LOCK, thread_local=False)
        self._held.acquire()

    @property
    def place(self) -> Path:
        """Where to write."""
        return Path(self.name) / "room"

    def cleanup(self) -> None:
        """Take it away."""
        self._held.release()
        super().cleanup()


def system_error(error: BaseException) -> OSError | None:
    """What the system said that led to an error, also where a library has put it in words of its own."""
    cause: BaseException | None = error
    wordless: OSError | None = None  # of many files at once
    while cause is not None:
        if isinstance(cause, OSError):
            if cause.errno is not None:
                return cause
            wordless = wordless or cause
        if found := _OS_ERROR.search(str(cause)):
            return OSError(int(found[1]), os.strerror(int(found[1])))
        cause = cause.__cause__ or cause.__context__
    return wordless


def output_error(target: Path, error: OSError) -> OutputError:
    """Put an operating system error into one clear sentence."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"can't write {target}: {reason}; choose another place or free it")


def sha256(path: Path) -> str:
    """Hash a file; hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def told_apart(paths: Iterable[Path], *, suffixes: bool = False) -> dict[Path, str]:
    """What files are called beside each other, ``suffixes`` with their endings.

    By their own names; where two have the same (archives call every image ``1-1.dcm``), by those of
    the folders around them too: ``series-1_1-1``.
    """
    places = {path: Path(os.path.abspath(path)) for path in paths}  # noqa: PTH100 - keeps links
    joint = "/" if suffixes else "_"

    def ways(*, whole: bool) -> Iterator[dict[Path, str]]:
        for depth in range(1, 1 + max((len(place.parts) for place in places.values()), default=0)):
            yield {
                path: joint.join((*place.parts[-depth:-1], place.name if whole else place.stem))
                for path, place in places.items()
            }

    by_stem, *by_folder = ways(whole=suffixes)
    for way in (by_stem, next(ways(whole=True)), *by_folder):
        if len({name.casefold() for name in way.values()}) == len(way):
            return way
    return by_stem


def is_locked(lock: Path) -> bool:
    """Whether a process holds a lock file that is there; one that was killed holds none."""
    trying = FileLock(lock, timeout=0, thread_local=False)
    try:
        trying.acquire()
    except (Timeout, OSError):
        return True
    trying.release()
    return False


@contextmanager
def locked(lock: Path, busy: str) -> Iterator[None]:
    """Hold a lock file, which is gone afterwards.

    Parameters
    ----------
    busy
        What is said if another process holds it.

    Raises
    ------
    OutputError
        If one does, or the file can't be made.
    """
    holding = FileLock(lock, timeout=0, thread_local=False)
    try:
        holding.acquire()
    except Timeout:
        raise OutputError(busy) from None
    except OSError as error:
        raise output_error(lock.parent, error) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # before it is let go of: nobody else can have taken it
            lock.unlink()
        holding.release()


def _place(target: Path, kind: Kind) -> Path:
    """Where a target really is, without links; OutputError if it may not be written."""
    if addresses.is_address(target):
        raise OutputError(
            f"{addresses.shown(target)} is an address; results are written to this computer: name a "
            "file or a folder of it"
        )
    place = Path(os.path.realpath(target))
    for folder in (place, place.parent):
        if folder.is_dir():
            tidy(folder)  # what a killed process left there is nobody's
    objection = ""
    if place.is_symlink() or (place.exists() and not place.is_file() and not place.is_dir()):
        objection = "is neither a file nor a folder; choose another name"
    elif place.is_dir() and os.path.ismount(place):
        objection = "is a whole disk; name something in it"
    elif place.is_dir() and Path.cwd().is_relative_to(place):
        objection = f"is the folder that you are in, or one around it; name something in it, such as result{kind.suffix}"
    elif (zarr := next(filter(is_zarr, place.parents), None)) is not None:
        objection = f"would lie in {zarr}, an OME-Zarr; choose a place outside of it"
    objection = objection or kind.objection(place)
    if objection:
        raise OutputError(f"{target} {objection}")
    return place


def _put(beside: Path, place: Path) -> None:
    """Put a file or folder in its place; a folder that is there changes places with it."""
    if not place.is_dir():
        beside.replace(place)
    elif not _exchanged(beside, place):
        old = beside.with_name(_REPLACED)
        place.rename(old)
        try:
            beside.rename(place)
        except BaseException:
            old.rename(place)
            raise


def _exchanged(first: Path, second: Path) -> bool:
    """Let two folders change places at one stroke; False where the system or disk can't."""
    names = os.fsencode(first), os.fsencode(second)
    here, swap = -100, 2  # AT_FDCWD; RENAME_EXCHANGE, and RENAME_SWAP of macOS
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = library.renamex_np(*names, swap)
        else:
            failed = library.renameat2(here, names[0], here, names[1], swap)
    except (AttributeError, OSError, TypeError):  # an older system; Windows
        return False
    code = ctypes.get_errno()
    if failed and code not in {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}:
        raise OSError(code, os.strerror(code), str(second))
    return not failed


def _room(parent: Path) -> tuple[Path, FileLock]:
    """Make a hidden folder to write in, and lock it: nobody else takes it away."""
    while True:
        room = Path(tempfile.mkdtemp(prefix=ROOM, dir=parent))
        lock = FileLock(room / _LOCK, thread_local=False)
        with contextlib.suppress(FileNotFoundError):  # another process tidied up just then
            lock.acquire()
            if (room / _LOCK).exists():
                return room, lock
            lock.release()


def _is_room(entry: os.DirEntry[str]) -> bool:
    """Whether a folder is one that outputs are written in."""
    ours = _ROOM_NAME.fullmatch(entry.name) is not None and entry.name != _REPLACED
    return ours and entry.is_dir(follow_symlinks=False)


def _recover(room: Path) -> None:
    """Put a new folder in its place whose process was killed when the old one was out of it."""
    if (room / _REPLACED).is_dir():
        for new in room.iterdir():
            place = room.parent / new.name
            if new.name not in {_LOCK, _REPLACED} and not os.path.lexists(place):
                new.rename(place)


def _clear(room: Path, lock: FileLock) -> None:
    """Take a room away, its lock last: until then it says that it may be taken away."""
    for _ in range(_TRIES):  # threads may write on for a moment
        with contextlib.suppress(OSError):
            for entry in os.scandir(room):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry, ignore_errors=True)
                elif entry.name != _LOCK:
                    Path(entry).unlink()
            if os.listdir(room) in ([], [_LOCK]):  # noqa: PTH208 - names alone
                break
        time.sleep(_MOMENT)
    else:  # the next output takes it away
        lock.release()
        return
    lock.release()
    with contextlib.suppress(OSError):
        (room / _LOCK).unlink(missing_ok=True)
        room.rmdir()


def data_folder() -> Path:
    """The folder of what the user keeps: models, studies, annotations; it may not be there."""
    return Path(platformdirs.user_data_dir("napari-pathogan", appauthor=False))
