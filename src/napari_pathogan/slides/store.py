"""Pyramid levels as read-only zarr arrays, which napari and dask take as they are."""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from zarr.core.buffer import Buffer, BufferPrototype

    from napari_pathogan.slides.levels import Level


class LevelStore(Store):
    """A zarr v3 store whose chunks are made when they are asked for: windows of a level.

    Nothing is compressed and nothing is copied beyond the chunk itself; the tiles behind it come
    from the shared cache.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, levels: Sequence[Level]) -> None:
        super().__init__(read_only=True)
        self.levels = levels
        self._is_open = True

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def array(self, number: int) -> zarr.Array[Any]:
        """The level of that number as a lazy array."""
        return zarr.open_array(store=self, path=str(number), mode="r", zarr_format=3)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes of ``<level>/zarr.json`` or ``<level>/c/<row>/<col>[/0]``; None otherwise."""
        number, _, rest = key.partition("/")
        if not (number.isdecimal() and int(number) < len(self.levels)):
            return None
        level = self.levels[int(number)]
        if rest == "zarr.json":
            return prototype.buffer.from_bytes(_cut(_metadata(level), byte_range))
        name, *place = rest.split("/")
        if name != "c":
            return None
        # decoding must not hold up the event loop, which serves all arrays of the process; and not
        # its own threads either, which the zarr array behind an OME-Zarr level waits for
        loop = asyncio.get_running_loop()
        chunk = await loop.run_in_executor(_threads(), _chunk, level, int(place[0]), int(place[1]))
        flat = chunk.reshape(-1).view(np.uint8)
        if byte_range is not None:
            flat = np.frombuffer(_cut(flat.tobytes(), byte_range), np.uint8)
        return prototype.buffer.from_array_like(flat)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Several keys or parts of them."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether there is such a level."""
        number = key.partition("/")[0]
        return number.isdecimal() and int(number) < len(self.levels)

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002
        """Refuse: a slide is never changed."""
        self._check_writable()

    async def delete(self, key: str) -> None:  # noqa: ARG002
        """Refuse: a slide is never changed."""
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        """The metadata keys; chunks are made on demand."""
        for number in range(len(self.levels)):
            yield f"{number}/zarr.json"

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """The metadata keys that start with ``prefix``."""
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The names just below ``prefix``."""
        below = prefix.rstrip("/")
        if not below:
            for number in range(len(self.levels)):
                yield str(number)
        elif await self.exists(below) and "/" not in below:
            yield "zarr.json"


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(4, min(16, os.cpu_count() or 4)), "pathogan-chunk")


def _chunk(level: Level, row: int, col: int) -> np.ndarray:
    height, width = level.chunk
    return np.ascontiguousarray(level.window(row * height, col * width, height, width))


def _metadata(level: Level) -> bytes:
    channels = level.fill.shape
    return json.dumps(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": level.full_shape,
            "data_type": str(level.fill.dtype),
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": (*level.chunk, *channels)},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": int(level.fill.flat[0]),
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "dimension_names": ["y", "x", "c"][: len(level.full_shape)],
            "attributes": {},
        }
    ).encode()


def _cut(data: bytes, part: ByteRequest | None) -> bytes:
    if isinstance(part, RangeByteRequest):
        return data[part.start : part.end]
    if isinstance(part, OffsetByteRequest):
        return data[part.offset :]
    if isinstance(part, SuffixByteRequest):
        return data[-part.suffix :]
    return data
