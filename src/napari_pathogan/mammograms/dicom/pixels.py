"""The stored values of a DICOM image, uncompressed or by imagecodecs (PS3.5 section 8)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.encaps import get_frame

from napari_pathogan.errors import CodecMissingError, MammogramFormatError
from napari_pathogan.mammograms.dicom.header import value, whole
from napari_pathogan.mammograms.views import MAX_PIXELS

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

# transfer syntax -> codec of imagecodecs
_CODECS: dict[uid.UID, str] = {
    **dict.fromkeys(uid.JPEGTransferSyntaxes, "jpeg"),
    **dict.fromkeys(uid.JPEGLSTransferSyntaxes, "jpegls"),
    **dict.fromkeys((uid.JPEG2000Lossless, uid.JPEG2000), "jpeg2k"),
    # OpenJPEG reads these too; imagecodecs' own htj2k returns garbage for damaged streams
    **dict.fromkeys((uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K), "jpeg2k"),
    uid.RLELossless: "dicomrle",
}
_VERBATIM = (  # all but the last are not compressed
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.RLELossless,
)
_SOF = {0xC0, 0xC1, 0xC2, 0xC3, 0xF7}  # baseline, extended, progressive, lossless, JPEG-LS
_BY_SOF = {
    **dict.fromkeys(_SOF, uid.JPEGExtended12Bit),
    0xC0: uid.JPEGBaseline8Bit,
    0xC3: uid.JPEGLosslessSV1,
    0xF7: uid.JPEGLSLossless,
}
_RLE_HEADER = 64  # bytes, after which the first of its segments begins
_BITS = 64
_SSIZ = 42  # where a JPEG 2000 stream says the bits of its first component
_MARKER, _SOC_SIZ = 0xFF, b"\xff\x4f\xff\x51"
_JP2 = b"\0\0\0\x0cjP  "  # a file around a JPEG 2000 stream


class Stored(NamedTuple):
    """An image as it is stored.

    Attributes
    ----------
    values
        uint8, uint16 or int16 (H, W).
    padded
        Bool (H, W): what the header calls padding; None where there is none.
    beyond
        Whether the file holds more pixels than its header says.
    wider
        Whether some values have more bits than its header says; those above are cleared.
    """

    values: np.ndarray
    padded: np.ndarray | None
    beyond: bool = False
    wider: bool = False


class _Coded(NamedTuple):
    shape: tuple[int, int]
    bits: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How an image's values lie in memory."""

    shape: tuple[int, int]
    allocated: int
    stored: int
    high: int
    signed: bool

    @property
    def dtype(self) -> np.dtype:
        """Of the words in an uncompressed image."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")

    @property
    def least(self) -> int:
        """The least value that the stored bits can say."""
        return -(2 ** (self.stored - 1)) if self.signed else 0

    def read(self, word: int) -> int:
        """A word that was read with another sign, as the pixels are read."""
        word %= 1 << self.allocated
        return word - (1 << self.allocated) if self.signed and word >> self.allocated - 1 else word

    @property
    def nbytes(self) -> int:
        """Of the uncompressed image."""
        return self.shape[0] * self.shape[1] * self.allocated // 8


def decode(header: FileDataset, name: str) -> Stored:
    """Stored values of the only frame.

    Raises
    ------
    MammogramFormatError
        If there are no pixels, or they are damaged.
    CodecMissingError
        If they are compressed in a way that can't be decoded here.
    """
    layout = _layout(header, name)
    syntax = syntax_of(header)
    data = value(header, "PixelData")
    if not isinstance(data, bytes) or not data:
        raise MammogramFormatError(f"{name} holds no pixels; export the image itself again")
    bits, beyond = layout.stored, False
    if syntax not in _VERBATIM[:-1]:
        words, bits = _decompress(data, syntax, layout, name)
        if words.dtype.kind == "i" and not layout.signed:  # JPEG 2000 knows its sign
            layout = replace(layout, signed=True)
            header.PixelRepresentation = 1
    elif header["PixelData"].is_undefined_length:
        raise MammogramFormatError(
            f"{name} holds compressed pixels, and does not say how they are compressed; export it "
            "again, with its whole header"
        )
    else:
        big = syntax == uid.ExplicitVRBigEndian
        if big and layout.allocated == 8 and header["PixelData"].VR == "OW":
            data = _swapped(data)
        more = data[layout.nbytes :]
        beyond = len(more) >= layout.nbytes // layout.shape[0] and len(set(more)) > 1
        words = _uncompressed(data, layout, big=big, name=name)
    verbatim = syntax in _VERBATIM
    if verbatim and not _overlays(header):
        layout = _in_place(words, layout)
    stored = _meaning(words, layout, bits, verbatim=verbatim)
    padded = _padding(words, stored, layout, header)
    wider = verbatim and not _overlays(header) and _are_wider(words, padded, layout)
    return Stored(stored, padded, beyond, wider)


def syntax_of(header: FileDataset) -> uid.UID:
    """The transfer syntax; where it is not said, what the pixels or the header are written in."""
    if (said := value(header.file_meta, "TransferSyntaxUID")) is not None:
        return uid.UID(str(said))
    implicit, little = header.original_encoding
    if little is False:
        return uid.ExplicitVRBigEndian
    plain = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
    return _syntax_by_pixels(header) or plain


def says_no_syntax(header: FileDataset) -> bool:
    """Whether pixels are compressed, and the header does not say how."""
    said = value(header.file_meta, "TransferSyntaxUID")
    return said is None and _syntax_by_pixels(header) is not None


def _syntax_by_pixels(header: FileDataset) -> uid.UID | None:
    """How compressed pixels are compressed, by how they begin; None for others."""
    data = value(header, "PixelData")
    if not isinstance(data, bytes) or not header["PixelData"].is_undefined_length:
        return None
    try:
        frame = get_frame(data, 0, number_of_frames=1)
    except Exception:  # noqa: BLE001 - damaged in any way
        return None
    if frame.startswith((_JP2, _SOC_SIZ)):
        return uid.JPEG2000
    if frame.startswith(b"\xff\xd8"):
        return _BY_SOF.get(_sof(frame))
    segments = int.from_bytes(frame[:4], "little")
    first = int.from_bytes(frame[4:8], "little")
    return uid.RLELossless if segments in {1, 2} and first == _RLE_HEADER else None


def _sof(frame: bytes) -> int:
    """The marker of a JPEG's frame; 0 where there is none."""
    at = 2
    while at + 4 <= len(frame) and frame[at] == _MARKER:
        if frame[at + 1] in _SOF:
            return frame[at + 1]
        at += 2 + int.from_bytes(frame[at + 2 : at + 4])
    return 0


def called(syntax: uid.UID) -> str:
    """A transfer syntax's name in the standard; no word of the header where it is none of it."""
    return syntax.name if syntax.name != str(syntax) else "an unknown transfer syntax"


def _layout(header: FileDataset, name: str) -> Layout:
    """Shape and bits; refuses what no mammogram has."""
    rows, columns = whole(header, "Rows"), whole(header, "Columns")
    allocated, stored = whole(header, "BitsAllocated"), whole(header, "BitsStored")
    if not rows or not columns or rows * columns > MAX_PIXELS:
        raise MammogramFormatError(
            f"{name} holds no image of a plausible size; it is damaged or not a mammogram: "
            "copy it again from where it came from"
        )
    stored = stored or allocated
    high = whole(header, "HighBit")
    high = (stored or 0) - 1 if high is None else high
    if allocated not in (8, 16) or stored is None or not 0 < stored <= high + 1 <= allocated:
        some = f"{stored} of {allocated}" if max(stored or 0, allocated or 0) <= _BITS else "other"
        raise MammogramFormatError(
            f"{name} holds {some} bits per pixel; grey values of 8 to 16 bits can be read: export "
            "it again"
        )
    signed = whole(header, "PixelRepresentation") == 1
    return Layout((rows, columns), allocated, stored, high, signed)


def _uncompressed(data: bytes, layout: Layout, *, big: bool, name: str) -> np.ndarray:
    if len(data) < layout.nbytes:
        raise MammogramFormatError(
            f"{name} is truncated: {len(data)} of {layout.nbytes} bytes of pixels are there; copy "
            "it again from where it came from"
        )
    words = np.frombuffer(data[: layout.nbytes], layout.dtype.newbyteorder(">" if big else "<"))
    return words.astype(layout.dtype).reshape(layout.shape)


def _swapped(data: bytes) -> bytes:
    """The bytes of each 16-bit word in turn."""
    return np.frombuffer(data[: len(data) // 2 * 2], "u2").byteswap().tobytes()


def _decompress(data: bytes, syntax: uid.UID, layout: Layout, name: str) -> tuple[np.ndarray, int]:
    """Words, and how many bits of them are values by what the stream says itself."""
    codec = _CODECS.get(syntax)
    if codec is None:
        raise CodecMissingError(
            f"{name} is compressed as {called(syntax)}, which can't be decoded here; convert it first, "
            "for instance with gdcmconv --raw"
        )
    if not getattr(imagecodecs, codec.upper()).available:
        raise CodecMissingError(
            f"{name} is compressed as {syntax.name}, and the codec for it is not installed: install "
            "imagecodecs anew (pip install --force-reinstall imagecodecs)"
        )
    try:
        frame = get_frame(data, 0, number_of_frames=1)
        coded = None if codec == "dicomrle" else _coded(frame)
        words = _decoded(frame, codec, layout, coded)
    except Exception as error:  # codecs have no common error
        raise MammogramFormatError(
            f"{name} holds pixels that can't be decoded ({called(syntax)}): it is truncated or "
            "damaged; copy it again from where it came from"
        ) from error
    if coded is None or (codec != "jpeg2k" and coded.bits > layout.stored):
        return words, layout.stored
    return words, coded.bits


def _decoded(frame: bytes, codec: str, layout: Layout, coded: _Coded | None) -> np.ndarray:
    """Words of 8 or 16 bits (H, W); ValueError, or an error of the codec, on damage."""
    if codec == "dicomrle":
        plain = imagecodecs.dicomrle_decode(frame, layout.dtype, out=layout.nbytes)
        return np.frombuffer(plain, layout.dtype).reshape(layout.shape)
    if coded is not None and coded.shape != layout.shape:
        msg = "the compressed image has another size than the header says"
        raise ValueError(msg)
    words = np.asarray(getattr(imagecodecs, f"{codec}_decode")(frame))
    if words.shape != layout.shape or words.dtype.kind not in "ui" or words.dtype.itemsize > 2:
        msg = "the compressed image is not grey of 8 to 16 bits"
        raise ValueError(msg)
    return words


def _coded(frame: bytes) -> _Coded | None:
    """What a JPEG, JPEG-LS or JPEG 2000 stream says of its size; None where it does not.

    Known before decoding, a damaged size does not fill the memory.
    """
    if frame.startswith(_JP2):
        frame = frame[max(frame.find(_SOC_SIZ), 0) :]
    if frame.startswith(_SOC_SIZ) and len(frame) > _SSIZ:
        x1, y1, x0, y0 = (int.from_bytes(frame[at : at + 4]) for at in (8, 12, 16, 20))
        return _Coded((y1 - y0, x1 - x0), (frame[_SSIZ] & 0x7F) + 1)
    at = 2
    while frame.startswith(b"\xff\xd8") and at + 9 <= len(frame) and frame[at] == _MARKER:
        if frame[at + 1] in _SOF:
            shape = int.from_bytes(frame[at + 5 : at + 7]), int.from_bytes(frame[at + 7 : at + 9])
            return _Coded(shape, frame[at + 4])
        at += 2 + int.from_bytes(frame[at + 2 : at + 4])
    return None


def _meaning(words: np.ndarray, layout: Layout, stored: int, *, verbatim: bool) -> np.ndarray:
    """Numbers from words: unused bits (once used for overlays) cleared, the sign extended.

    Only words that are stored verbatim keep the bits where the header says; codecs bring their own,
    and the sign is the highest of those that the stream has. A signed stream's are numbers already.
    """
    bits = 8 * words.dtype.itemsize
    high = layout.high + 1 if verbatim else min(stored, bits)
    up, down = bits - high, bits - min(stored, bits)
    if verbatim or (layout.signed and words.dtype.kind == "u"):
        words = words.view(f"{'i' if layout.signed else 'u'}{words.dtype.itemsize}")
        words = (words << up) >> down
    return words.astype(np.int16) if words.dtype == np.int8 else words


def _in_place(words: np.ndarray, layout: Layout) -> Layout:
    """The same; with values in the lowest bits, if they are set below those that the header names, and none above."""
    lowest = replace(layout, high=layout.stored - 1)
    below = words.view(f"u{words.dtype.itemsize}") & ((1 << (layout.high - lowest.high)) - 1)
    return lowest if below.any() and not _are_wider(words, None, lowest) else layout


def _are_wider(words: np.ndarray, padded: np.ndarray | None, layout: Layout) -> bool:
    """Whether bits above the stored ones are set, but for those of signs and of padding."""
    above = words.view(f"u{words.dtype.itemsize}") >> layout.high >> 1
    odd = above != 0
    if layout.signed:
        odd &= above != 2 ** (layout.allocated - layout.high - 1) - 1
    return bool((odd if padded is None else odd & ~padded).any())


def _overlays(header: FileDataset) -> bool:
    """Whether overlays lie in bits of the pixels (bit 0 is of those that have data of their own)."""
    planes = ((group, 0x0102) for group in range(0x6000, 0x6020, 2))
    return any(header[at].value for at in planes if at in header)


def _padding(
    words: np.ndarray, stored: np.ndarray, layout: Layout, header: FileDataset
) -> np.ndarray | None:
    """Bool (H, W): what is padding; None where nothing is, or all.

    The sign of padding is that of the pixels, whatever its own VR says. A value that the stored bits
    can't say is looked for in the words.
    """
    ends = [whole(header, key) for key in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    said = [layout.read(one) for one in ends if one is not None]
    if ends[0] is None:
        return None
    low, high = min(said), max(said)
    fits = layout.least <= low and high <= layout.least + 2**layout.stored - 1
    image = stored if fits else words
    where = (image >= low) & (image <= high)
    return where if where.any() and not where.all() else None
