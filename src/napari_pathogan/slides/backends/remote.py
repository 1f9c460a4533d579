"""Slides at an address: parts of a file over HTTP(S) or S3, asked for again where the network fails.

obstore asks for the parts. What was read once lies on this computer's disk
(:mod:`napari_pathogan.slides.backends.blocks`). Every answer says of which state of the file it is
(ETag, time of change, length): a file that is changed under way is told, never mixed.
"""

from __future__ import annotations

import base64
import configparser
import io
import os
import re
import threading
import time
import uuid
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from napari_pathogan import addresses
from napari_pathogan.errors import SlideFormatError, SlideReadError
from napari_pathogan.slides import bounds
from napari_pathogan.slides.backends import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BLOCK = 256 * 1024
"""Bytes of a file that are asked for and kept together."""

_AT_ONCE = 4  # blocks in one request at most: a slow line brings a megabyte in time
_RECENT = 32  # blocks of a file that stay in memory
CONNECT, ANSWER = timedelta(seconds=10), timedelta(seconds=20)
WAITS = (0.25, 1.0, 3.0)  # seconds before each further try
PAUSE = 20.0  # seconds in which a server that failed is not asked again
_STATUS = re.compile(r"status code: (\d{3})")
PASSING = {408, 425, 429, *range(500, 600)}  # what may be otherwise the next time
_EXTRA = "pip install 'napari-pathogan[remote]'"
_NO_RANGE = 416


@dataclass(frozen=True, slots=True)
class State:
    """Which state of a file an answer is of.

    Attributes
    ----------
    size
        Bytes of the whole file.
    etag
        What the server calls this state; empty where it calls it nothing.
    changed
        When it was changed last, as the server says; empty where it does not.
    """

    size: int
    etag: str = ""
    changed: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes of a file, and of which state of it they are; None where it is still as it was."""

    data: bytes
    state: State | None


class Remote:
    """A connection to the place of one address; safe for many threads.

    Parameters
    ----------
    place
        What stands for the address (:func:`napari_pathogan.addresses.place_of`).
    folder
        Whether keys lie below it; else it is a file, and the only key.

    Raises
    ------
    SlideFormatError
        If what reads addresses is not installed, or the address is incomplete.
    """

    def __init__(self, place: Path, *, folder: bool = False) -> None:
        self.place = place
        self.name = place.name
        self.address = addresses.shown(place)
        self.host = urlsplit(self.address).netloc
        whole, key = self.address.rstrip("/"), ""
        if not folder:
            whole, _, key = whole.rpartition("/")
        if whole.count("/") < 2 or not self.host or (not key and not folder):
            raise SlideFormatError(
                f"{self.address} names no file; give the whole address of a slide"
            )
        s3 = place.parts[0].lower().startswith("s3")
        self.key = key if s3 else unquote(key)
        self._store = _s3(whole) if s3 else _http(whole, place)
        self._failed: tuple[float, str] | None = None

    def get(
        self,
        key: str,
        span: tuple[int, int] | None = None,
        *,
        most: int = bounds.MOST_AT_ONCE,
        unless: str = "",
    ) -> Answer | None:
        """Ask for bytes of a file, several times if need be; None where there is no such file.

        Parameters
        ----------
        span
            First byte, and the byte behind the last; None for all.
        most
            More bytes than this are refused.
        unless
            An ETag; the bytes are not sent if the file still has it, and the answer has no state.

        Raises
        ------
        SlideReadError
            If it can't be had; one sentence, without anything secret.
        ValueError
            If it has more bytes than it may have.
        """
        self._check_reached()
        why = ""
        for wait in (0.0, *WAITS):
            time.sleep(wait)
            try:
                return _interruptibly(partial(self._ask, key, span, most, unless))
            except _PassingError as error:
                why = str(error)
        said = (
            f"{self.host} does not give {self.name}: {why}, {1 + len(WAITS)} times over; check the "
            "network, and try again"
        )
        self._failed = time.monotonic(), said
        raise SlideReadError(said)

    def _check_reached(self) -> None:
        """Refuse at once for a while, where it was tried in vain: each tile would wait for it."""
        failed = self._failed
        if failed is not None and time.monotonic() - failed[0] < PAUSE:
            raise SlideReadError(failed[1])

    def _ask(self, key: str, span: tuple[int, int] | None, most: int, unless: str) -> Answer | None:
        import obstore  # noqa: PLC0415  (an extra)
        from obstore import exceptions  # noqa: PLC0415

        options: dict[str, Any] = {"range": span} if span else {}
        if unless:
            options["if_none_match"] = unless
        try:
            found = obstore.get(self._store, key, options=options)  # type: ignore[arg-type]
            state = _state(found.meta)
            if span is None and state.size > most:
                raise ValueError(f"it has {state.size} bytes where {most} may be")
            expected = state.size if span is None else min(span[1], state.size) - span[0]
            parts, length = [], 0
            for part in found.stream():
                parts.append(bytes(part))
                length += len(parts[-1])
                if length > expected:
                    break
        except (FileNotFoundError, exceptions.InvalidPathError):  # such as one with '..' in it
            return None
        except exceptions.NotModifiedError:
            return Answer(b"", None)
        except exceptions.NotSupportedError:
            why = (
                f"{self.host} gives files only as a whole, not in parts (HTTP range requests), so "
                f"{self.name} can't be read from there; download it and open the file"
            )
            raise SlideReadError(why) from None
        except exceptions.BaseError as error:  # its text holds the whole address
            raise self._refusal(key, str(error)) from None
        if length != expected:
            raise _PassingError("the answer is cut off")
        return Answer(b"".join(parts), state)

    def _called(self, key: str) -> str:
        return self.name if key == self.key else f"{self.name}/{key}"

    def _refusal(self, key: str, text: str) -> Exception:
        found = _STATUS.search(text)
        status = int(found[1]) if found else 0
        name = self._called(key)
        said = ""
        if status in {401, 403}:
            return ForbiddenError(
                f"{self.host} does not give {name} without permission; log in by a signed address, or "
                "by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3://"
            )
        if status == _NO_RANGE:
            return SlideFormatError(f"{name} is empty (0 bytes); upload it again")
        if "configured region" in text:
            said = f"the bucket {self.host} lies in another region; name it in AWS_REGION"
        elif "InvalidCertificate" in text:
            said = (
                f"nobody whom this computer trusts has certified {self.host}; name the certificates of "
                "your house in SSL_CERT_FILE, if it is theirs"
            )
        elif status and status not in PASSING:
            said = f"{self.host} answers error {status} to {name}; check the address"
        elif not status and ("Content-Length" in text or "Content-Range" in text):
            said = f"{self.host} does not say how large {name} is; download it and open the file"
        return SlideReadError(said) if said else _PassingError(_why(status, text))


def _why(status: int, text: str) -> str:
    """What went wrong on the way, of the text of an error of obstore, which holds the address."""
    if status:
        return f"it answers with error {status}"
    if "TimedOut" in text or "Timeout" in text:
        return "it does not answer in time"
    cut = any(word in text for word in ("Body", "Interrupted", "IncompleteMessage"))
    return "the connection is cut" if cut else "it can't be reached"


class ForbiddenError(SlideReadError):
    """A server wants to know who asks."""


class _PassingError(Exception):
    """What may be otherwise the next time, in a few words."""


class RemoteFile(io.RawIOBase):
    """A file at an address, read in blocks that stay on the disk; like an open binary file.

    Attributes
    ----------
    state
        Of the file when it was opened.
    """

    def __init__(self, remote: Remote, key: str, first: Answer) -> None:
        super().__init__()
        assert first.state is not None, "it was asked for without a condition"
        self.remote = remote
        self.state = first.state
        self.size = first.state.size
        told = first.state.etag or first.state.changed or uuid.uuid4().hex  # nothing tells it again
        self._cache = blocks.shared()
        self._id = f"{remote.address}|{key}|{told}|{self.size}"
        self._key = key
        self._at = 0
        self._lock = threading.Lock()
        self._coming: dict[int, Future[bytes]] = {}
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._changed = ""
        self._keep(0, first.data)
        addresses.note_state(remote.place, f"{told}|{self.size}")

    @classmethod
    def open(cls, remote: Remote, key: str) -> RemoteFile | None:
        """Open a file below a connection; None where there is none."""
        first = remote.get(key, (0, BLOCK))
        return None if first is None else cls(remote, key, first)

    def read_at(self, start: int, count: int) -> bytes:
        """Bytes from ``start`` on, fewer at the end of the file.

        Raises
        ------
        SlideReadError
            If they can't be had, or the file is another than was opened.
        ValueError
            If it is more than anything that is decoded at once.
        """
        stop = min(start + count, self.size)
        if stop <= start:
            return b""
        if stop - start > bounds.MOST_AT_ONCE:
            raise ValueError(f"it has {stop - start} bytes, more than can be decoded at once")
        numbers = range(start // BLOCK, -(-stop // BLOCK))
        data = b"".join(self._blocks(numbers))
        first = start - numbers.start * BLOCK
        return data[first : first + stop - start]

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - anything writable
        """Read on from where it is; as a file does."""
        view = memoryview(buffer).cast("B")
        data = self.read_at(self._at, len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a byte; as a file does."""
        self._at = max(0, offset + (0, self._at, self.size)[whence])
        return self._at

    def tell(self) -> int:
        """The byte that is read next."""
        return self._at

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes."""
        return True

    def _blocks(self, numbers: Sequence[int]) -> list[bytes]:
        found = {n: data for n in numbers if (data := self._held(n)) is not None}
        missing = [number for number in numbers if number not in found]
        with self._lock:
            others = {n: self._coming[n] for n in missing if n in self._coming}
            mine: dict[int, Future[bytes]] = {n: Future() for n in missing if n not in others}
            self._coming |= mine
        try:
            for run in _runs(list(mine)):
                for number, data in zip(run, self._fetch(run), strict=True):
                    found[number] = data
                    self._keep(number, data)
                    mine[number].set_result(data)
        except BaseException as error:
            for future in mine.values():
                if not future.done():
                    future.set_exception(error)
            raise
        finally:
            with self._lock:
                for number in mine:
                    del self._coming[number]
        found |= {number: future.result() for number, future in others.items()}
        return [found[number] for number in numbers]

    def _held(self, number: int) -> bytes | None:
        """A block that is in memory or on the disk."""
        with self._lock:
            if number in self._recent:
                self._recent.move_to_end(number)
                return self._recent[number]
        kept = self._cache.get(f"{self._id}|{number}")
        if kept is None or len(kept) != self._length(number):
            return None
        self._remember(number, kept)
        return kept

    def _length(self, number: int) -> int:
        return min(BLOCK, self.size - number * BLOCK)

    def _fetch(self, run: Sequence[int]) -> list[bytes]:
        if self._changed:
            raise SlideReadError(self._changed)
        start, stop = run[0] * BLOCK, min((run[-1] + 1) * BLOCK, self.size)
        answer = self.remote.get(self._key, (start, stop))
        if answer is None or answer.state != self.state:
            name = self.remote.name
            what = "taken away" if answer is None else "changed"
            self._changed = (
                f"{name} was {what} at {self.remote.host} while it was read; open it again"
            )
            raise SlideReadError(self._changed)
        return [answer.data[at : at + BLOCK] for at in range(0, stop - start, BLOCK)]

    def _keep(self, number: int, data: bytes) -> None:
        self._remember(number, data)
        self._cache.put(f"{self._id}|{number}", data)

    def _remember(self, number: int, data: bytes) -> None:
        with self._lock:
            self._recent[number] = data
            while len(self._recent) > _RECENT:
                self._recent.popitem(last=False)


def open_file(place: Path) -> RemoteFile | None:
    """Open the file at an address; None where there is none.

    Raises
    ------
    SlideFormatError, SlideReadError
        If it is empty, or can't be had.
    """
    remote = Remote(place)
    return RemoteFile.open(remote, remote.key)


def _runs(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Blocks side by side, as many as one request asks for."""
    run: list[int] = []
    for number in numbers:
        if run and (number != run[-1] + 1 or len(run) == _AT_ONCE):
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def _interruptibly(ask: Callable[[], Answer | None]) -> Answer | None:
    """Ask in another thread, where this is the main one: Ctrl-C need not wait for an answer."""
    if threading.current_thread() is not threading.main_thread():
        return ask()
    answer: Future[Answer | None] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - raised in the other thread
            answer.set_exception(error)

    threading.Thread(target=run, name="pathogan-asking", daemon=True).start()
    return answer.result()


def _state(meta: Any) -> State:  # noqa: ANN401 - a dictionary of obstore
    changed = meta["last_modified"]
    told = changed.timestamp() > 0  # obstore's word for a server that does not say
    return State(int(meta["size"]), meta["e_tag"] or "", changed.isoformat() if told else "")


def _stores() -> Any:  # noqa: ANN401 - a module
    try:
        from obstore import store  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise SlideFormatError(
            f"slides at an address are read by obstore, which is not installed: {_EXTRA}"
        ) from error
    return store


def _options(*, plain: bool) -> dict[str, Any]:
    from napari_pathogan.version import __version__  # noqa: PLC0415

    return {
        "client_options": {
            "allow_http": plain,
            "connect_timeout": CONNECT,
            "timeout": ANSWER,
            "user_agent": f"napari-pathogan/{__version__}",
        },
        "retry_config": {"max_retries": 0},  # retried here, a body that is cut off too
    }


def _http(whole: str, place: Path) -> Any:  # noqa: ANN401 - a store
    options = _options(plain=whole.startswith("http:"))
    if login := addresses.login_of(place):
        coded = base64.b64encode(login.encode()).decode()
        options["client_options"]["default_headers"] = {"Authorization": f"Basic {coded}"}
    query = addresses.query_of(place)
    return _stores().HTTPStore(f"{whole}?{query}" if query else whole, **options)


def _s3(whole: str) -> Any:  # noqa: ANN401 - a store
    """A bucket; requests are signed where this computer has what to sign with."""
    bucket, _, prefix = whole.removeprefix("s3://").partition("/")
    profile = {} if _signs_by_itself() else _profile()
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    own: dict[str, Any] = {**profile}
    if endpoint:
        own["endpoint"] = endpoint
    if not (profile or _signs_by_itself()):
        own["skip_signature"] = True
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    own["region"] = region or profile.get("region") or "us-east-1"
    return _stores().S3Store(
        bucket, prefix=prefix or None, **own, **_options(plain=endpoint.startswith("http:"))
    )


_OWN_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def _signs_by_itself() -> bool:
    return any(os.environ.get(name) for name in _OWN_KEYS)


def _profile() -> dict[str, str]:
    """Keys and region of the user's profile, as ``aws configure`` writes them; empty if there is none."""
    name = os.environ.get("AWS_PROFILE") or "default"
    folder = Path.home() / ".aws"
    keys, about = configparser.RawConfigParser(), configparser.RawConfigParser()
    try:
        keys.read(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or folder / "credentials", "utf-8")
        about.read(os.environ.get("AWS_CONFIG_FILE") or folder / "config", "utf-8")
    except (configparser.Error, OSError, ValueError) as error:
        raise SlideFormatError(
            f"the credentials of AWS on this computer can't be read ({type(error).__name__}); run "
            "'aws configure' again"
        ) from None
    found = {
        "access_key_id": keys.get(name, "aws_access_key_id", fallback=""),
        "secret_access_key": keys.get(name, "aws_secret_access_key", fallback=""),
        "session_token": keys.get(name, "aws_session_token", fallback=""),
    }
    if not found["access_key_id"]:
        return {}
    section = name if name == "default" else f"profile {name}"
    found["region"] = about.get(section, "region", fallback="")
    return {key: value for key, value in found.items() if value}
