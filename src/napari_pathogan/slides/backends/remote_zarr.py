"""An OME-Zarr image at an address, as a zarr store: its files are asked for as they are needed."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)

from napari_pathogan import addresses
from napari_pathogan.errors import SlideReadError
from napari_pathogan.slides import bounds
from napari_pathogan.slides.backends import blocks
from napari_pathogan.slides.backends.remote import ForbiddenError, Remote, RemoteFile, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from zarr.core.buffer import Buffer, BufferPrototype

METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
"""Names of files that describe a group or an array."""

_MOST_METADATA = 64 * 1024 * 1024
_RECENT = 32 * 1024 * 1024  # bytes of files that stay in memory
_FILES = 32  # that are read in parts and stay open


class RemoteStore(Store):
    """Files below an address; each is kept on the disk, and asked after once a session.

    Nothing can be listed or written. A file that changes after it was read is told, not mixed in.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, place: Path) -> None:
        super().__init__(read_only=True)
        self._is_open = True
        self._remote = Remote(place, folder=True)
        self._cache = blocks.shared()
        self._states: dict[str, State | None] = {}
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._parts: OrderedDict[str, RemoteFile] = OrderedDict()
        self._lock = threading.Lock()
        self.forbidden = ""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def holds_zarr(self) -> bool:
        """Whether there are metadata of zarr at the address itself.

        Raises
        ------
        SlideReadError
            If nobody can say, or nothing may be read there.
        """
        found = next((name for name in METADATA[:4] if self.read(name) is not None), "")
        if not found and self.forbidden:
            raise SlideReadError(self.forbidden)
        if state := self._states.get(found):
            addresses.note_state(self._remote.place, f"{state.etag or state.changed}|{state.size}")
        return bool(found)

    def read(self, key: str, most: int = bounds.MOST_AT_ONCE) -> bytes | None:
        """A whole file of at most so many bytes; None where there is none.

        Raises
        ------
        SlideReadError
            If it can't be had, or is another than was read before.
        """
        with self._lock:
            if key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key]
            known = self._states.get(key)
            if known is None and key in self._states:
                return None
        about = key.rpartition("/")[2] in METADATA
        data = self._kept(key, known) if known else None
        if data is None:
            data = self._fetch(key, known, _MOST_METADATA if about else most)
        if data is not None:
            self._remember(key, data)
        return data

    def part(self, key: str, part: ByteRequest) -> bytes | None:
        """Some bytes of a file, such as one chunk of a shard; None where there is no such file."""
        file = self._in_parts(key)
        if file is None:
            return None
        start, stop = _span(part, file.size)
        return file.read_at(start, stop - start)

    def has_parts(self, key: str) -> bool:
        """Whether there is a file; little of it is read."""
        return self._in_parts(key) is not None

    def _in_parts(self, key: str) -> RemoteFile | None:
        with self._lock:
            if key in self._parts:
                return self._parts[key]
            if key in self._states and self._states[key] is None:
                return None
        file = RemoteFile.open(self._remote, key)
        with self._lock:
            if file is None:
                self._states[key] = None
                return None
            file = self._parts.setdefault(key, file)
            while len(self._parts) > _FILES:
                self._parts.popitem(last=False)
        return file

    def _fetch(self, key: str, known: State | None, most: int) -> bytes | None:
        before = known or self._last(key)
        try:
            answer = self._remote.get(key, most=most, unless="" if known else before.etag)
        except ForbiddenError as error:
            if key.rpartition("/")[2] not in METADATA:
                raise
            self.forbidden, answer = str(error), None  # S3's word for what is not there
        if answer is not None and answer.state is None:  # as it was the last time
            kept = self._kept(key, before)
            if kept is not None:
                with self._lock:
                    self._states[key] = before
                return kept
            answer = self._remote.get(key, most=most)
        state = answer.state if answer else None
        if known and state != known:
            raise SlideReadError(
                f"{self._remote.name}/{key} was changed at {self._remote.host} while the slide was "
                "read; open it again"
            )
        with self._lock:
            self._states[key] = state
        if answer is None or state is None:
            return None
        if state.etag:
            self._cache.put(self._id(key, state), answer.data)
            said = [state.size, state.etag, state.changed]
            self._cache.put(f"{self._remote.address}|{key}", json.dumps(said).encode())
        return answer.data

    def _last(self, key: str) -> State:
        """The state of a file that was kept last; of no ETag where none was."""
        said = self._cache.get(f"{self._remote.address}|{key}")
        return State(*json.loads(said)) if said else State(0)

    def _kept(self, key: str, state: State) -> bytes | None:
        kept = self._cache.get(self._id(key, state)) if state.etag else None
        return kept if kept is not None and len(kept) == state.size else None

    def _id(self, key: str, state: State) -> str:
        return f"{self._remote.address}|{key}|{state.etag}|{state.changed}|{state.size}"

    def _remember(self, key: str, data: bytes) -> None:
        with self._lock:
            self._recent[key] = data
            while sum(map(len, self._recent.values())) > _RECENT and len(self._recent) > 1:
                self._recent.popitem(last=False)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes of a file; None where there is none."""
        loop = asyncio.get_running_loop()
        if byte_range is None:
            data = await loop.run_in_executor(_threads(), self.read, key)
        else:
            data = await loop.run_in_executor(_threads(), self.part, key, byte_range)
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Several files or parts of them."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_threads(), self.read, key) is not None

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002
        """Refuse: nothing is written to an address."""
        self._check_writable()

    async def delete(self, key: str) -> None:  # noqa: ARG002
        """Refuse: nothing is written to an address."""
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        """Nothing: a web server lists no files."""
        if False:  # what makes it a generator
            yield ""

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:  # noqa: ARG002
        """Nothing: a web server lists no files."""
        if False:  # what makes it a generator
            yield ""

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:  # noqa: ARG002
        """Nothing: a web server lists no files."""
        if False:  # what makes it a generator
            yield ""


def _span(part: ByteRequest, size: int) -> tuple[int, int]:
    if isinstance(part, RangeByteRequest):
        return part.start, min(part.end, size)
    if isinstance(part, OffsetByteRequest):
        return part.offset, size
    assert isinstance(part, SuffixByteRequest), "zarr asks in no other way"
    return max(0, size - part.suffix), size


@cache
def _threads() -> Any:  # noqa: ANN401 - an executor
    return ThreadPoolExecutor(16, "pathogan-remote")
