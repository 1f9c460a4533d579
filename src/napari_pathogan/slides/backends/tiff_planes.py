"""The pixels of one level of a TIFF: in tiles or strips, or in one piece."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.slides import bounds

if TYPE_CHECKING:
    import tifffile
    from tifffile import TiffPage

    from napari_pathogan.slides.backends.remote import RemoteFile
    from napari_pathogan.slides.plane import Plane

RAW_TILE = 512  # side of the tiles that a level in one piece is cut into


class SegmentPlane:
    """A level in tiles or strips, each decoded by itself.

    Parameters
    ----------
    pages
        One page, or one page a colour channel.
    distant
        The file, where it lies at an address: it is read from by many threads at once.
    """

    def __init__(self, pages: list[TiffPage], distant: RemoteFile | None = None) -> None:
        page = pages[0]
        self._distant = distant
        self._pages = pages
        self.shape: tuple[int, int] = (page.imagelength, page.imagewidth)
        self.tile = tile_of(page)
        self._grid = tuple(math.ceil(s / t) for s, t in zip(self.shape, self.tile, strict=True))
        self._separate = int(page.planarconfig) == 2 and page.samplesperpixel > 1
        for each in pages:
            _handle(each)
            each.init_decode()  # not thread-safe on first use
        self.stored: np.ndarray | None = self._stored()

    def _stored(self) -> np.ndarray:
        """(rows, columns) bool: tiles that are not empty; one that lacks a colour is damaged, not empty."""
        held = np.zeros(math.prod(self._grid), bool)
        for page in self._pages:
            offsets, counts = (np.array(x) for x in (page.dataoffsets, page.databytecounts))
            whole = (counts > 0) & (offsets > 0)
            for first in range(0, len(whole) - len(held) + 1, len(held)):  # a colour each
                held |= whole[first : first + len(held)]
        return held.reshape(self._grid)

    def decode(self, row: int, col: int) -> np.ndarray | None:
        """A tile (Y, X, samples); None where the file stores an empty one."""
        index = row * self._grid[1] + col
        parts = [
            self._segment(page, index + sample * self._grid[0] * self._grid[1])
            for page in self._pages
            for sample in range(page.samplesperpixel if self._separate else 1)
        ]
        whole = [part for part in parts if part is not None]
        if not whole:
            return None
        if len(whole) < len(parts):
            raise ValueError("a colour channel is missing")
        return whole[0] if len(whole) == 1 else np.concatenate(whole, -1)

    def _segment(self, page: TiffPage, index: int) -> np.ndarray | None:
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if count == 0 or offset == 0:
            return None
        if count > bounds.MOST_AT_ONCE:
            raise ValueError(f"it claims {count} bytes, more than can be decoded at once")
        if self._distant is not None:
            data = self._distant.read_at(offset, count)
        else:
            file = page.parent.filehandle
            with file.lock:
                file.seek(offset)
                data = file.read(count)
        if len(data) < count:
            raise ValueError("the file ends before it")
        bounds.check_codestream(data, self.tile)
        pixels, _, _ = page.decode(
            data, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader
        )
        return None if pixels is None else pixels[0]

    def of_page(self, number: int) -> SegmentPlane:
        """One of its pages, as a plane by itself."""
        return SegmentPlane([self._pages[number]], self._distant)

    def beyond(self) -> tuple[int, int]:
        """How many segments lie beyond the end of their file, and of how many."""
        missing = total = 0
        for page in self._pages:
            ends = np.add(page.dataoffsets, page.databytecounts, dtype=np.int64)
            missing += int((ends > page.parent.filehandle.size).sum())
            total += len(ends)
        return missing, total


class RawPlane:
    """A level stored uncompressed in one piece: only the rows of a tile are read, no strip whole.

    Not mapped into memory: a file that shrinks, or a network drive that goes, would end the process.
    """

    stored: np.ndarray | None = None

    def __init__(self, page: TiffPage, distant: RemoteFile | None = None) -> None:
        self._distant = distant
        self.shape: tuple[int, int] = (page.imagelength, page.imagewidth)
        self.tile = (RAW_TILE, RAW_TILE)
        self._samples = page.samplesperpixel
        self._separate = int(page.planarconfig) == 2 and self._samples > 1
        assert page.dtype is not None, "the colour rule has refused unknown types"
        self._dtype = page.dtype.newbyteorder(page.parent.byteorder)
        self._start = page.dataoffsets[0]
        self._file = _handle(page)

    def decode(self, row: int, col: int) -> np.ndarray:
        """A tile (Y, X, samples)."""
        top, left = row * RAW_TILE, col * RAW_TILE
        height, width = min(RAW_TILE, self.shape[0] - top), min(RAW_TILE, self.shape[1] - left)
        planes = self._samples if self._separate else 1
        size = self._dtype.itemsize * (self._samples // planes)
        rows = [
            self._start + ((plane * self.shape[0] + top + y) * self.shape[1] + left) * size
            for plane in range(planes)
            for y in range(height)
        ]
        data = b"".join(self._rows(rows, width * size))
        pixels = np.frombuffer(data, self._dtype).reshape(planes, height, width, -1)
        return np.moveaxis(pixels[..., 0], 0, -1) if self._separate else pixels[0]

    def _rows(self, starts: list[int], count: int) -> list[bytes]:
        if self._distant is not None:
            reads = self._distant.read_at
            data = list(_threads().map(lambda at: reads(at, count), starts))
        else:
            with self._file.lock:
                data = [self._read(at, count) for at in starts]
        if any(len(one) < count for one in data):
            raise ValueError("the file ends before it")
        return data

    def _read(self, at: int, count: int) -> bytes:
        self._file.seek(at)
        data: bytes = self._file.read(count)
        return data


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(16, "pathogan-rows")


def _handle(page: TiffPage) -> tifffile.FileHandle:
    """The open file of a page: of an OME-TIFF in several files, tifffile has closed all but one."""
    handle = page.parent.filehandle
    handle.open()
    handle.set_lock(True)
    return handle


class OneSample:
    """One sample a pixel of a plane that stores several together."""

    def __init__(self, plane: Plane, number: int) -> None:
        self._plane, self._number = plane, number
        self.shape, self.tile, self.stored = plane.shape, plane.tile, plane.stored

    def decode(self, row: int, col: int) -> np.ndarray | None:
        """A tile (Y, X, 1)."""
        tile = self._plane.decode(row, col)
        return None if tile is None else tile[..., self._number : self._number + 1]


def tile_of(page: TiffPage) -> tuple[int, int]:
    """Rows and columns of a page's tiles, or of its strips."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth
