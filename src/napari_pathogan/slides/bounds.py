"""What a file may claim before anything of it is decoded, for all readers alike.

A header of some hundred bytes can claim a million tiles, and a tile of some bytes can claim to
unfold to gigabytes. Nothing in a real slide comes near these bounds.
"""

from __future__ import annotations

import math
import struct

from napari_pathogan.errors import SlideFormatError

MOST_AT_ONCE = 1 << 29
"""Bytes that a tile, strip, chunk or single image may have once decoded."""

MOST_LEVELS = 64

_MOST_SIDE = 1 << 22
_MOST_CHANNELS = 256  # mass cytometry has some 50
_MOST_TILES = 1 << 23
_FEW_TILES = 1 << 16  # so many are read quickly, however small
_LEAST_TILE = 256  # px of a tile, where there are many
_MOST_UNREDUCED = 1 << 31  # px of the coarsest level, which an overview has to read ...
_MOST_BLOWN_UP = 2000  # ... if the file has fewer than one byte for so many
_CODESTREAM_SLACK = 4  # a tile may decode to so many times its area: some makers pad


def check_level(name: str, shape: tuple[int, int], tile: tuple[int, int], depth: int) -> None:
    """Check the claims of a pyramid level.

    Parameters
    ----------
    tile
        Rows and columns of what is decoded at once.
    depth
        Bytes of all that is decoded of a pixel.

    Raises
    ------
    SlideFormatError
        If it can't be a slide's, or can't be read in reasonable time and memory.
    """
    height, width = shape
    if min(*shape, *tile, depth) < 1:
        raise SlideFormatError(f"{name} holds no image ({width} x {height} px); it is damaged")
    tiles = math.prod(math.ceil(s / t) for s, t in zip(shape, tile, strict=True))
    at_once = math.prod(tile) * depth
    if max(shape) > _MOST_SIDE or tiles > _MOST_TILES:
        raise SlideFormatError(
            f"{name} claims {width} x {height} px in {tiles} tiles, more than any slide has; it is "
            "damaged: copy it again from where it came"
        )
    if at_once > MOST_AT_ONCE:
        raise SlideFormatError(
            f"{name} stores {tile[1]} x {tile[0]} px in one compressed piece, which "
            "would have to be decoded at once; convert it to a tiled TIFF (vips tiffsave --tile)"
        )
    if tiles > _FEW_TILES and math.prod(tile) < _LEAST_TILE:
        raise SlideFormatError(
            f"{name} stores its {width} x {height} px in {tiles} pieces of {tile[1]} x {tile[0]} px, "
            "which would take hours to read; convert it to tiles of 256 px or more"
        )


def check_channels(name: str, count: int) -> None:
    """Check how many channels an image claims.

    Raises
    ------
    SlideFormatError
        If it can't have so many.
    """
    if count > _MOST_CHANNELS:
        raise SlideFormatError(
            f"{name} claims {count} channels, more than any image of tissue has; it is damaged: copy "
            "it again from where it came"
        )


def check_coarsest(name: str, shape: tuple[int, int], depth: int, stored: int | None) -> None:
    """Check that an overview can be had: a small file can't hold a huge image without levels.

    Raises
    ------
    SlideFormatError
        If ``stored`` bytes can't be those of the level, or it would take hours to read. Where it
        is read over a network, nobody knows them (None).
    """
    pixels = math.prod(shape)
    if stored is None and pixels > _MOST_UNREDUCED:
        raise SlideFormatError(
            f"{name} has {shape[1]} x {shape[0]} px without smaller levels, too much to be read over a "
            "network; download it"
        )
    if stored is not None and pixels > _MOST_UNREDUCED and pixels * depth > stored * _MOST_BLOWN_UP:
        raise SlideFormatError(
            f"{name} claims {shape[1]} x {shape[0]} px without smaller levels, of which its "
            f"{stored} bytes can hold next to nothing; copy it again from where it came"
        )


def check_image(name: str, shape: tuple[int, int], depth: int, stored: int) -> None:
    """Check an image that is decoded whole against the bytes that hold it.

    Raises
    ------
    SlideFormatError
        If it would unfold to hundreds of megabytes out of next to nothing.
    """
    size = math.prod(shape) * depth
    if size > MOST_AT_ONCE // 2 and size > stored * _MOST_BLOWN_UP:
        raise SlideFormatError(
            f"{name} claims {shape[1]} x {shape[0]} px in {stored} bytes, so it is empty or damaged; "
            "copy it again from where it came"
        )


def check_codestream(data: bytes, tile: tuple[int, int]) -> None:
    """Check what a compressed tile claims to be by its own header, before a codec believes it.

    Raises
    ------
    ValueError
        If it claims to be much larger than the tile.
    """
    claimed = claimed_size(data)
    if claimed and math.prod(claimed) > _CODESTREAM_SLACK * max(math.prod(tile), 1 << 16):
        raise ValueError(f"it claims {claimed[1]} x {claimed[0]} px for {tile[1]} x {tile[0]}")


def most_of_chunk(size: int) -> int:
    """Bytes that a compressed chunk may have at most which unfolds to ``size``."""
    return 2 * size + (1 << 16)


def check_chunk(head: bytes, stored: int, size: int) -> None:
    """Check a compressed chunk of Zarr before a codec unfolds it.

    Parameters
    ----------
    head
        Its first bytes.
    stored
        Bytes of all of it.
    size
        That it is to have once decoded.

    Raises
    ------
    ValueError
        If it claims, or is likely, to be much larger.
    """
    claimed = _unfolded(head) or 0
    if claimed > _CODESTREAM_SLACK * size or stored > most_of_chunk(size):
        raise ValueError(f"it has {max(claimed, stored)} bytes where {size} belong")


def _unfolded(head: bytes) -> int | None:
    """Bytes that a frame of Zstandard or Blosc says it unfolds to; None for others."""
    head = head.ljust(18, b"\0")
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        kind, single = head[4] >> 6, head[4] >> 5 & 1
        at = 5 + (not single) + (0, 1, 2, 4)[head[4] & 3]
        length = (single, 2, 4, 8)[kind]
        return int.from_bytes(head[at : at + length], "little") + (256 if length == 2 else 0)
    if head[0] in {1, 2} and head[1] in {1, 2}:  # versions of Blosc and of what it packs with
        return int.from_bytes(head[4:8], "little")
    return None


def claimed_size(data: bytes) -> tuple[int, int] | None:
    """Rows and columns in the header of JPEG, JPEG 2000, WebP, PNG or JPEG XL; None for others."""
    size = None
    try:
        if data.startswith(b"\xff\xd8"):
            size = _jpeg(data)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            size = _webp(data)
        elif data.startswith(b"\x89PNG"):
            size = struct.unpack_from(">II", data, 16)[::-1]
        elif (at := data[:4096].find(b"\xff\x4f\xff\x51")) >= 0:
            right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
            size = bottom - top, right - left
        elif data.startswith(b"\xff\x0a"):
            size = _jpeg_xl(data[2:])
        elif data[4:8] == b"JXL " and (at := data.find(b"jxlc")) >= 0:
            size = _jpeg_xl(data[at + 6 :])
    except (struct.error, IndexError):  # torn: the codec will say so
        return None
    return size


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return height, width
        if marker == 0xDA:
            return None
        padding = marker == 0xFF
        at += 1 if padding else 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        low_x, high_x, low_y, high_y = struct.unpack_from("<HBHB", data, 24)
        return 1 + low_y + (high_y << 16), 1 + low_x + (high_x << 16)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return height & 0x3FFF, width & 0x3FFF


_XL_BITS = (9, 13, 18, 30)
_XL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def _jpeg_xl(data: bytes) -> tuple[int, int]:
    """The size header of ISO 18181-1, which begins a codestream."""
    low, high = struct.unpack_from("<QQ", data.ljust(16, b"\0"))
    bits, at = low | high << 64, 0

    def read(count: int) -> int:
        nonlocal at
        at += count
        return bits >> (at - count) & ((1 << count) - 1)

    small = read(1)

    def side() -> int:
        return 8 * (1 + read(5)) if small else 1 + read(_XL_BITS[read(2)])

    height = side()
    ratio = read(3)
    if ratio == 0:
        return height, side()
    over, under = _XL_RATIOS[ratio - 1]
    return height, height * over // under
