"""TIFF and all that is TIFF inside: SVS, OME-TIFF, NDPI, SCN, BIF, Philips, plain strips."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.slides import bounds, colours
from napari_pathogan.slides.backends import words
from napari_pathogan.slides.backends.beside import is_beside_scan
from napari_pathogan.slides.backends.tiff_scale import scale_of
from napari_pathogan.slides.backends.turned import ORIENTATION, turned
from napari_pathogan.slides.channels import Channel, ChannelInfo, are_colour, by_words
from napari_pathogan.slides.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tifffile import TiffFile, TiffPage, TiffPageSeries

    from napari_pathogan.slides.plane import Plane

# What tifffile finds odd goes to an application's own log, not to stderr by Python's last resort.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_VENDORS = {
    "svs": "Aperio",
    "ndpi": "Hamamatsu",
    "scn": "Leica",
    "bif": "Ventana",
    "philips": "Philips",
    "sis": "Olympus",
}
_JPEG_OR_JP2K = {6, 7, 34892, 33007, 33004, 33005, 34712}
_APERIO_JP2K_YCBCR = 33003
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 6: 3}  # photometric interpretation -> samples of a colour
_NOT_GREY = {2, 3, 5, 6, 8}  # RGB, palette, CMYK, YCbCr, Lab
_RAW_TILE = 512
_NDPI_OFFSET = 65424  # tag: nm from the plane of focus


class SegmentPlane:
    """A level in tiles or strips, each decoded by itself.

    Parameters
    ----------
    pages
        One page, or one page a colour channel.
    """

    def __init__(self, pages: list[TiffPage]) -> None:
        page = pages[0]
        self._pages = pages
        self.shape: tuple[int, int] = (page.imagelength, page.imagewidth)
        self.tile = _tile(page)
        self._grid = tuple(math.ceil(s / t) for s, t in zip(self.shape, self.tile, strict=True))
        self._separate = int(page.planarconfig) == 2 and page.samplesperpixel > 1
        for each in pages:
            _handle(each)
            each.init_decode()  # not thread-safe on first use
        self.stored: np.ndarray | None = self._stored()

    def _stored(self) -> np.ndarray:
        """(rows, columns) bool: tiles that are not empty."""
        held = np.ones(math.prod(self._grid), bool)
        for page in self._pages:
            offsets, counts = (np.array(x) for x in (page.dataoffsets, page.databytecounts))
            whole = (counts > 0) & (offsets > 0)
            for first in range(0, len(whole) - len(held) + 1, len(held)):  # a colour each
                held &= whole[first : first + len(held)]
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

    def __init__(self, page: TiffPage) -> None:
        self.shape: tuple[int, int] = (page.imagelength, page.imagewidth)
        self.tile = (_RAW_TILE, _RAW_TILE)
        self._samples = page.samplesperpixel
        self._separate = int(page.planarconfig) == 2 and self._samples > 1
        assert page.dtype is not None, "the colour rule has refused unknown types"
        self._dtype = page.dtype.newbyteorder(page.parent.byteorder)
        self._start = page.dataoffsets[0]
        self._file = _handle(page)

    def decode(self, row: int, col: int) -> np.ndarray:
        """A tile (Y, X, samples)."""
        top, left = row * _RAW_TILE, col * _RAW_TILE
        height, width = min(_RAW_TILE, self.shape[0] - top), min(_RAW_TILE, self.shape[1] - left)
        planes = self._samples if self._separate else 1
        size = self._dtype.itemsize * (self._samples // planes)
        rows = [
            self._start + ((plane * self.shape[0] + top + y) * self.shape[1] + left) * size
            for plane in range(planes)
            for y in range(height)
        ]
        with self._file.lock:
            data = b"".join(self._read(at, width * size) for at in rows)
        pixels = np.frombuffer(data, self._dtype).reshape(planes, height, width, -1)
        return np.moveaxis(pixels[..., 0], 0, -1) if self._separate else pixels[0]

    def _read(self, at: int, count: int) -> bytes:
        self._file.seek(at)
        data: bytes = self._file.read(count)
        if len(data) < count:
            raise ValueError("the file ends before it")
        return data


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


def open_tiff(path: Path) -> Source:
    """Open a TIFF of any kind.

    Raises
    ------
    SlideFormatError
        If its directory can't be read (truncated), or it holds no image that a slide can be.
    """
    try:
        file = tifffile.TiffFile(path)
        try:
            return _source(path, file, _scan(file))
        except BaseException:
            file.close()
            raise
    except SlideFormatError:
        raise
    except Exception as error:  # tifffile has no common error for what broken files do to it
        raise SlideFormatError(
            f"{path.name} is damaged or truncated, its directory can't be read ({error}); "
            "copy it again from where it came from"
        ) from error


def is_stack_or_grey(path: Path) -> tuple[bool, bool]:
    """Whether a plain TIFF, without tiles or smaller levels, is a stack of planes; and whether it is grey.

    Channels of an OME-TIFF in one plane are no stack. Both False for any other, and for what can't be read.
    """
    try:
        with tifffile.TiffFile(path) as file:
            series = _scan(file)
            if series.keyframe.is_tiled or len(series.levels) > 1 or 0 in series.shape:
                return False, False
            further = set(series.axes) - set("YXS")
            colour = "S" in series.axes or series.keyframe.photometric in _NOT_GREY
            stack = bool(further - {"C"} if file.is_ome else further)
            return stack, not (further or colour)
    except Exception:  # noqa: BLE001  (as above; whoever opens it says why it can't)
        return False, False


def _scan(file: TiffFile) -> TiffPageSeries:
    """The largest image that is no picture beside the scan; of Leica's, the finest."""

    def rank(series: TiffPageSeries) -> tuple[bool, bool, float, int]:
        mpp = scale_of(file, series.keyframe).mpp if series.kind == "scn" else None
        finest = -max(mpp) if mpp else -math.inf
        return _area(series) > 0, not is_beside_scan(series.name), finest, _area(series)

    return max(file.series, key=rank)


def _others(
    path: Path, file: TiffFile, series: TiffPageSeries, levels: list[list[TiffPage]]
) -> tuple[str, ...]:
    """A sentence on further scans in an OME-TIFF, or images in a plain one, where there are some."""
    if series.kind in _VENDORS:
        return ()
    read = {page.index for pages in levels for page in pages}
    more = [
        other.name if series.kind == "ome" else f"that of {size}"
        for other in file.series
        if other is not series and not is_beside_scan(other.name) and (size := _size(other, read))
    ]
    if not more:
        return ()
    name = series.name if series.kind == "ome" else f"the largest, of {_size(series, set())},"
    said = f"{path.name} holds {1 + len(more)} images; {name or 'the largest'} is read"
    listed = ", ".join(one or "without a name" for one in more[:6])
    return (f"{said}, not {listed}: save it as a file of its own to open it",)


def _size(series: TiffPageSeries, read: set[int]) -> str:
    """How large an image is; empty where it is read, or a smaller picture of another."""
    page = series.keyframe
    if page.index in read or page.is_reduced:
        return ""
    return f"{page.imagewidth} x {page.imagelength} px"


def _area(series: TiffPageSeries) -> int:
    sizes = dict(zip(series.axes, series.shape, strict=True))
    return int(sizes.get("Y", 0)) * int(sizes.get("X", 0))


def _source(path: Path, file: TiffFile, series: TiffPageSeries) -> Source:
    if _area(series) == 0:
        raise SlideFormatError(f"{path.name} holds no image; it is not a slide")
    levels = [_pages(path, level) for level in series.levels]
    page = levels[0][0]
    if series.kind not in _VENDORS:
        levels += _further_levels(file, series, levels)
    del levels[bounds.MOST_LEVELS :]
    planes = tuple(_plane(path, pages) for pages in levels)
    depth_px = page.samplesperpixel * page.bitspersample // 8
    bounds.check_coarsest(path.name, planes[-1].shape, depth_px, file.filehandle.size)
    bits = _significant_bits(page, words.ome_pixels(file, page))
    rule, channels = _read_as(path.name, levels, planes, words.channels(file, series, page), bits)
    scale = scale_of(file, page)
    depth = {
        a: n
        for a, n in zip(series.axes, series.shape, strict=True)
        if a not in ("YXS" if page.samplesperpixel > 1 else "YXSC")
    }
    metadata: dict[str, object] = {
        "format": _format(path, file, series),
        "vendor": _VENDORS.get(series.kind),
        "compression": _word(page.compression),
        "description": page.description[:2000],
    }
    shown = [
        f"{1 + _in_focus(series.levels[0]) if a == 'Z' else 1} of {n} ({a})"
        for a, n in depth.items()
        if n > 1
    ]
    if shown:
        metadata["plane"] = ", ".join(shown)
    icc = page.iccprofile

    def close() -> None:
        for each in {file, *(page.parent for pages in levels for page in pages)}:
            each.close()

    return Source(
        planes=channels[0].planes if channels else planes,
        colours=rule,
        mpp=scale.mpp,
        mpp_source=scale.source,
        icc=bytes(icc) if icc is not None else None,
        metadata=metadata,
        choices=(
            *_others(path, file, series, levels),
            *turned(path.name, page.tags.valueof(ORIENTATION, 1)),
            *[f"{path.name} holds several planes; plane {', '.join(shown)} is read"][: len(shown)],
        ),
        notes=tuple(_missing(path.name, planes)),
        channels=channels,
        close=close,
    )


def _pages(path: Path, level: TiffPageSeries) -> list[TiffPage]:
    """The page of a level, or one a channel; of several Z the one in focus, the first of all else."""
    sizes = dict(zip(level.axes, level.shape, strict=True))
    first = level.pages[0]
    if first is None:
        raise SlideFormatError(f"{path.name} lacks its first image plane; it can't be opened")
    channels = int(sizes.get("C", 1)) if first.aspage().samplesperpixel == 1 else 1
    leading = [a for a in level.axes if a not in "YXS"]
    shape = tuple(int(sizes[a]) for a in leading)
    focus = _in_focus(level)
    places = (tuple({"C": c, "Z": focus}.get(a, 0) for a in leading) for c in range(channels))
    numbers = [int(np.ravel_multi_index(place, shape)) if shape else 0 for place in places]
    found = [level.pages[at] if at < len(level.pages) else None for at in numbers]
    if any(each is None for each in found):
        lost = sum(each is None for each in found)
        raise SlideFormatError(
            f"{path.name} lacks {lost} of its {channels} channels; copy it again from where it came"
        )
    return [each.aspage() for each in found if each is not None]


def _in_focus(level: TiffPageSeries) -> int:
    """Which of several planes of focus is read: the nearest to offset 0, or the middle one."""
    count = dict(zip(level.axes, level.shape, strict=True)).get("Z", 1)
    pages = [page for page in level.pages if page is not None]
    if count == 1 or len(pages) < count:
        return 0
    if level.kind != "ndpi":
        return int(count) // 2
    offsets = [int(page.aspage().tags.valueof(_NDPI_OFFSET, 0)) for page in pages[:count]]
    away = [min(offset, 2**64 - offset) for offset in offsets]  # negative ones are stored so
    return away.index(min(away))


def _further_levels(
    file: TiffFile, series: TiffPageSeries, levels: list[list[TiffPage]]
) -> list[list[TiffPage]]:
    """Tiled pages of the same proportions: tifffile takes only factors of 2, 3 and 4 for levels."""
    page, found = levels[0][0], []
    lowest = levels[-1][0].imagelength
    for other in file.series:
        smaller = None if other is series or other.levels[0].pages[0] is None else other.keyframe
        if smaller is None or not smaller.is_tiled or not 0 < smaller.imagelength < lowest:
            continue
        width = page.imagewidth * smaller.imagelength / page.imagelength
        alike = (smaller.dtype, smaller.samplesperpixel) == (page.dtype, page.samplesperpixel)
        if alike and abs(width - smaller.imagewidth) <= 1.5:
            found.append([smaller.aspage()])
    return sorted(found, key=lambda pages: -pages[0].imagelength)


def _plane(path: Path, pages: list[TiffPage]) -> SegmentPlane | RawPlane:
    if any(page.dtype is None for page in pages):
        raise SlideFormatError(
            f"{path.name} holds samples of an unknown type; convert it to 8-bit RGB"
        )
    for page in pages:
        check_page(path.name, page)
    if len(pages) == 1 and _in_one_piece(pages[0]):
        return RawPlane(pages[0])
    return SegmentPlane(pages)


def check_page(name: str, page: TiffPage) -> None:
    """Check what a page claims before any of it is decoded.

    Raises
    ------
    SlideFormatError
        If it claims more than it can hold, or can't be read in parts.
    """
    shape, depth = (page.imagelength, page.imagewidth), -(-page.bitspersample // 8)
    separate = page.samplesperpixel if int(page.planarconfig) == 2 else 1
    depth *= page.samplesperpixel // separate
    if _in_one_piece(page):
        bounds.check_level(name, shape, (_RAW_TILE, _RAW_TILE), depth)
        return
    tile = _tile(page)
    bounds.check_level(name, shape, tile, depth)
    tiles = separate * math.prod(math.ceil(s / t) for s, t in zip(shape, tile, strict=True))
    if len(page.dataoffsets) < tiles:
        raise SlideFormatError(
            f"{name} claims {shape[1]} x {shape[0]} px in {tiles} tiles, but lists "
            f"{len(page.dataoffsets)}; it is damaged: copy it again from where it came"
        )


def _in_one_piece(page: TiffPage) -> bool:
    """Whether large strips are stored as they are, one after another, so that parts can be read."""
    if page.is_tiled or not page.is_memmappable:
        return False
    end = page.dataoffsets[0] + page.nbytes
    piece = math.prod(_tile(page)) * page.samplesperpixel * page.bitspersample // 8
    return bool(page.parent.filehandle.size >= end and piece > _RAW_TILE**2 * 3)


def _tile(page: TiffPage) -> tuple[int, int]:
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _read_as(
    name: str,
    levels: list[list[TiffPage]],
    planes: tuple[SegmentPlane | RawPlane, ...],
    said: list[ChannelInfo],
    bits: int,
) -> tuple[colours.Colours, tuple[Channel, ...]]:
    """The colour rule of a slide; or that of one channel, and all channels."""
    pages = levels[0]
    page, samples = pages[0], len(pages) if len(pages) > 1 else pages[0].samplesperpixel
    if len(pages) == 1 and not _separate(page, said):
        return _colours(name, page, bits), ()
    assert page.dtype is not None, "the planes have refused unknown types"
    bounds.check_channels(name, samples)
    if are_colour(said, samples, lambda: colours.telling_tiles(name, planes)):
        alpha: colours.Alpha | None = None if samples == 3 else "straight"
        return colours.choose(name, page.dtype, samples, kind="rgb", bits=bits, alpha=alpha), ()
    inverted = int(page.photometric) == 0
    rule = colours.choose(name, page.dtype, 1, kind="grey", bits=bits, inverted=inverted)
    said = said if len(said) == samples else [ChannelInfo()] * samples
    return rule, tuple(
        Channel(
            said[number],
            tuple(_one(*level, number) for level in zip(levels, planes, strict=True)),
            rule,
        )
        for number in range(samples)
    )


def _separate(page: TiffPage, said: list[ChannelInfo]) -> bool:
    """Whether the samples of a page are channels, each by itself: so named, or without a word."""
    colour, samples = _COLOURS.get(int(page.photometric), 0), page.samplesperpixel
    if samples == 1 or colour == 0:
        return False
    if len(said) == samples and by_words(said, samples) is False:
        return True
    more = samples - colour
    return more > 1 or (more == 1 and (not page.extrasamples or (colour == 1 and not _alpha(page))))


def _one(
    pages: list[TiffPage], plane: SegmentPlane | RawPlane, number: int
) -> SegmentPlane | OneSample:
    return SegmentPlane([pages[number]]) if len(pages) > 1 else OneSample(plane, number)


def _alpha(page: TiffPage) -> colours.Alpha | None:
    """What the last sample of a page says that it is."""
    kinds: dict[int, colours.Alpha] = {1: "premultiplied", 2: "straight"}
    return kinds.get(int(page.extrasamples[0])) if page.extrasamples else None


def _colours(name: str, page: TiffPage, bits: int) -> colours.Colours:
    photometric = int(page.photometric)
    colour = _COLOURS.get(photometric, 0)
    if colour == 0:
        raise SlideFormatError(
            f"{name} has {_word(page.photometric)} colours, which slides have not; convert it to RGB"
        )
    assert page.dtype is not None, "the planes have refused unknown types"
    if page.samplesperpixel < colour:
        raise SlideFormatError(
            f"{name} claims {_word(page.photometric)} colours in {page.samplesperpixel} samples; it is "
            "damaged: copy it again from where it came"
        )
    alpha = _alpha(page) if page.samplesperpixel == colour + 1 else None
    kind: colours.Kind = "grey" if colour == 1 else "rgb"
    if photometric == 3:
        kind = "palette"
    elif int(page.compression) == _APERIO_JP2K_YCBCR or (
        photometric == 6 and int(page.compression) not in _JPEG_OR_JP2K
    ):
        kind = "ycbcr"
    return colours.choose(
        name,
        page.dtype,
        colour + bool(alpha),
        kind=kind,
        bits=bits,
        alpha=alpha,
        inverted=photometric == 0,
        palette=_palette(page) if photometric == 3 else None,
    )


def _word(code: int) -> str:
    """Name of a TIFF code; codes tifffile does not know stay numbers."""
    return str(getattr(code, "name", code))


def _significant_bits(page: TiffPage, pixels: dict[str, Any]) -> int:
    """Bits of a sample that mean something, by OME-XML or the highest value that the file states."""
    bits = int(page.bitspersample)
    stated = pixels.get("SignificantBits")
    if isinstance(stated, int) and 8 <= stated < bits:
        return stated
    highest = page.tags.valueof(281)  # MaxSampleValue
    if isinstance(highest, tuple):
        highest = max(highest)
    if isinstance(highest, int) and bits > 8 and 255 < highest < 2**bits:
        bits = highest.bit_length()
    return bits


def _palette(page: TiffPage) -> np.ndarray:
    assert page.colormap is not None
    table = np.asarray(page.colormap).T
    # some programs write 8-bit values into the 16-bit map
    return (table // 257 if table.max(initial=0) > 255 else table).astype(np.uint8)


def _format(path: Path, file: TiffFile, series: TiffPageSeries) -> str:
    known = {"svs": "SVS", "ome": "OME-TIFF", "ndpi": "NDPI", "scn": "SCN", "bif": "BIF"}
    plain = "pyramidal TIFF" if len(series.levels) > 1 else "TIFF"
    big = " (BigTIFF)" if file.is_bigtiff else ""
    return known.get(series.kind, plain) + big if path.suffix else plain


def _missing(name: str, planes: tuple[Plane, ...]) -> Iterator[str]:
    plane = planes[0]
    missing, total = plane.beyond() if isinstance(plane, SegmentPlane) else (0, 0)
    if missing == total > 0:
        raise SlideFormatError(
            f"{name} is truncated: it ends before the first of its pixels; copy it again from where "
            "it came"
        )
    if missing:
        yield (
            f"{name} is truncated: {missing} of {total} tiles of level 0 lie beyond its end and are "
            "left blank; copy it again from where it came from"
        )
