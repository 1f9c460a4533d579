"""The stored values of a DICOM image, uncompressed or by imagecodecs (PS3.5 section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
_MARKER, _SOC_SIZ = 0xFF, b"\xff\x4f\xff\x51"


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
    def nbytes(self) -> int:
        """Of the uncompressed image."""
        return self.shape[0] * self.shape[1] * self.allocated // 8


def decode(header: FileDataset, name: str) -> np.ndarray:
    """Stored values of the only frame: uint8, uint16 or int16 (H, W).

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
    if syntax not in _VERBATIM[:-1]:
        words = _decompress(data, syntax, layout, name)
    else:
        words = _uncompressed(data, layout, big=syntax == uid.ExplicitVRBigEndian, name=name)
    return _meaning(words, layout, verbatim=syntax in _VERBATIM)


def syntax_of(header: FileDataset) -> uid.UID:
    """The transfer syntax; implicit little endian, DICOM's default, where it is not said."""
    return uid.UID(str(value(header.file_meta, "TransferSyntaxUID") or uid.ImplicitVRLittleEndian))


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
        raise MammogramFormatError(
            f"{name} holds {stored} of {allocated} bits per pixel; grey values of 8 to 16 bits can "
            "be read: export it again"
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


def _decompress(data: bytes, syntax: uid.UID, layout: Layout, name: str) -> np.ndarray:
    codec = _CODECS.get(syntax)
    if codec is None:
        raise CodecMissingError(
            f"{name} is compressed as {syntax.name}, which can't be decoded here; convert it first, "
            "for instance with gdcmconv --raw"
        )
    if not getattr(imagecodecs, codec.upper()).available:
        raise CodecMissingError(
            f"{name} is compressed as {syntax.name}, and the codec for it is not installed: install "
            "imagecodecs anew (pip install --force-reinstall imagecodecs)"
        )
    try:
        words = _decoded(get_frame(data, 0, number_of_frames=1), codec, layout)
    except Exception as error:  # codecs have no common error
        raise MammogramFormatError(
            f"{name} holds pixels that can't be decoded ({syntax.name}): it is truncated or "
            "damaged; copy it again from where it came from"
        ) from error
    return words


def _decoded(frame: bytes, codec: str, layout: Layout) -> np.ndarray:
    """Words of 8 or 16 bits (H, W); ValueError, or an error of the codec, on damage."""
    if codec == "dicomrle":
        plain = imagecodecs.dicomrle_decode(frame, layout.dtype, out=layout.nbytes)
        return np.frombuffer(plain, layout.dtype).reshape(layout.shape)
    if _coded_shape(frame) not in (None, layout.shape):
        msg = "the compressed image has another size than the header says"
        raise ValueError(msg)
    words = np.asarray(getattr(imagecodecs, f"{codec}_decode")(frame))
    if words.shape != layout.shape or words.dtype.kind not in "ui" or words.dtype.itemsize > 2:
        msg = "the compressed image is not grey of 8 to 16 bits"
        raise ValueError(msg)
    return words


def _coded_shape(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns as a JPEG, JPEG-LS or JPEG 2000 stream says; None where it does not.

    Known before decoding, a damaged size does not fill the memory.
    """
    if frame.startswith(_SOC_SIZ):
        x1, y1, x0, y0 = (int.from_bytes(frame[at : at + 4]) for at in (8, 12, 16, 20))
        return y1 - y0, x1 - x0
    at = 2
    while frame.startswith(b"\xff\xd8") and at + 9 <= len(frame) and frame[at] == _MARKER:
        if frame[at + 1] in _SOF:
            return int.from_bytes(frame[at + 5 : at + 7]), int.from_bytes(frame[at + 7 : at + 9])
        at += 2 + int.from_bytes(frame[at + 2 : at + 4])
    return None


def _meaning(words: np.ndarray, layout: Layout, *, verbatim: bool) -> np.ndarray:
    """Numbers from words: unused bits (once used for overlays) cleared, the sign extended.

    Only words that are stored verbatim keep the bits where the header says; codecs bring their own.
    """
    bits = 8 * words.dtype.itemsize
    high = layout.high + 1 if verbatim else min(layout.stored, bits)
    up, down = bits - high, bits - min(layout.stored, bits)
    if layout.signed or verbatim or words.dtype.kind == "i":
        words = words.view(f"{'i' if layout.signed else 'u'}{words.dtype.itemsize}")
        words = (words << up) >> down
    return words.astype(np.int16) if words.dtype == np.int8 else words
