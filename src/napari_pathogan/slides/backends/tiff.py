"""TIFF and all that is TIFF inside: SVS, OME-TIFF, NDPI, SCN, BIF, Philips, plain strips."""

from __future__ import annotations

import logging
import math
import re
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import tifffile

from napari_pathogan.errors import SlideFormatError, SlideReadError
from napari_pathogan.slides import bounds, colours
from napari_pathogan.slides.backends import words
from napari_pathogan.slides.backends.beside import is_beside_scan
from napari_pathogan.slides.backends.tiff_planes import (
    RAW_TILE,
    OneSample,
    RawPlane,
    SegmentPlane,
    tile_of,
)
from napari_pathogan.slides.backends.tiff_scale import scale_of
from napari_pathogan.slides.backends.turned import ORIENTATION, turned
from napari_pathogan.slides.channels import Channel, ChannelInfo, are_colour, by_words, look_lit
from napari_pathogan.slides.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tifffile import TiffFile, TiffPage, TiffPageSeries

    from napari_pathogan.slides.backends.remote import RemoteFile
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
_MOST_PLANES = 1 << 20  # that OME-XML may list: channels, planes of focus, times
_NDPI_OFFSET = 65424  # tag: nm from the plane of focus


def open_tiff(path: Path, distant: RemoteFile | None = None) -> Source:
    """Open a TIFF of any kind; where ``path`` is an address, that at it.

    Raises
    ------
    SlideFormatError
        If its directory can't be read (truncated), or it holds no image that a slide can be.
    """
    try:
        file = tiff_file(path, distant)
        try:
            _check_dimensions(path.name, file.ome_metadata)
            return _source(path, file, _scan(file), distant)
        except BaseException:
            file.close()
            raise
    except (SlideFormatError, SlideReadError):
        raise
    except Exception as error:  # tifffile has no common error for what broken files do to it
        raise SlideFormatError(
            f"{path.name} is damaged or truncated, its directory can't be read ({error}); "
            "copy it again from where it came from"
        ) from error


def _check_dimensions(name: str, ome: str | None) -> None:
    """Check how many planes OME-XML claims before any of them is listed."""
    for element in re.findall(r"<(?:\w+:)?Pixels\b[^>]*>", ome or ""):
        claimed = re.findall(r"\bSize[CZT]\s*=\s*[\"']\s*(\d{1,18})", element)
        if math.prod(map(int, claimed)) > _MOST_PLANES:
            raise SlideFormatError(
                f"{name} claims {' x '.join(claimed)} planes, more than any image has; it is damaged: copy it "
                "again from where it came"
            )


def tiff_file(path: Path, distant: RemoteFile | None = None) -> TiffFile:
    """An open TIFF; one at an address opens no further files that it names."""
    if distant is None:
        return tifffile.TiffFile(path)
    distant.seek(0)
    return tifffile.TiffFile(cast("IO[bytes]", distant), name=path.name, _multifile=False)


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


def _source(
    path: Path, file: TiffFile, series: TiffPageSeries, distant: RemoteFile | None
) -> Source:
    if _area(series) == 0:
        raise SlideFormatError(f"{path.name} holds no image; it is not a slide")
    levels = [_pages(path, level) for level in series.levels]
    page = levels[0][0]
    if series.kind not in _VENDORS:
        levels += _further_levels(file, series, levels)
    del levels[bounds.MOST_LEVELS :]
    planes = tuple(_plane(path, pages, distant) for pages in levels)
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


def _plane(
    path: Path, pages: list[TiffPage], distant: RemoteFile | None
) -> SegmentPlane | RawPlane:
    if any(page.dtype is None for page in pages):
        raise SlideFormatError(
            f"{path.name} holds samples of an unknown type; convert it to 8-bit RGB"
        )
    for page in pages:
        check_page(path.name, page)
    if len(pages) == 1 and _in_one_piece(pages[0]):
        return RawPlane(pages[0], distant)
    return SegmentPlane(pages, distant)


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
        bounds.check_level(name, shape, (RAW_TILE, RAW_TILE), depth)
        return
    tile = tile_of(page)
    bounds.check_level(name, shape, tile, depth)
    tiles = separate * math.prod(math.ceil(s / t) for s, t in zip(shape, tile, strict=True))
    if len(page.dataoffsets) < tiles:
        raise SlideFormatError(
            f"{name} claims {shape[1]} x {shape[0]} px in {tiles} tiles, but lists "
            f"{len(page.dataoffsets)}; it is damaged: copy it again from where it came"
        )


def _in_one_piece(page: TiffPage) -> bool:
    """Whether large strips are stored as they are, one after another, so that parts can be read."""
    if page.is_tiled or not page.is_final or page.dtype is None:
        return False
    end = page.dataoffsets[0] + page.nbytes
    piece = math.prod(tile_of(page)) * page.samplesperpixel * page.bitspersample // 8
    return bool(page.parent.filehandle.size >= end and piece > RAW_TILE**2 * 3)


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
    of_dyes = _separate(page, said) or (
        _has_unnamed(page) and not look_lit(colours.telling_tiles(name, planes))
    )
    if len(pages) == 1 and not of_dyes:
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


def _has_unnamed(page: TiffPage) -> bool:
    """Whether RGB has a fourth sample of which the file says nothing: a dye, or filling."""
    return int(page.photometric) == 2 and page.samplesperpixel == 4 and not _alpha(page)


def _one(
    pages: list[TiffPage], plane: SegmentPlane | RawPlane, number: int
) -> SegmentPlane | OneSample:
    if isinstance(plane, SegmentPlane) and len(pages) > 1:
        return plane.of_page(number)
    return OneSample(plane, number)


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
