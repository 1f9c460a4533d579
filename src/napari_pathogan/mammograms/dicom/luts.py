"""The look-up tables of a DICOM header: modality (PS3.3 C.11.1) and values of interest (C.11.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_pathogan.errors import MammogramFormatError
from napari_pathogan.mammograms.dicom.header import numbers, text, value, values, whole
from napari_pathogan.mammograms.voi import Shape, Table, Voi, Window

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


class _Lut(NamedTuple):
    first: int
    bits: int
    entries: np.ndarray


def modality(stored: np.ndarray, header: Dataset, name: str) -> np.ndarray:
    """Values after the modality LUT: the stored ones where it changes nothing, else of its own type.

    Raises
    ------
    MammogramFormatError
        If its table is damaged: nobody can tell then what the values mean.
    """
    sequence = values(header, "ModalityLUTSequence")
    if sequence:
        lut = _lut(sequence[0], header)
        if lut is None:
            raise MammogramFormatError(
                f"{name} holds a damaged modality LUT, without which its values mean nothing; "
                "export it again"
            )
        index = np.clip(stored.astype(np.int32) - lut.first, 0, len(lut.entries) - 1)
        return lut.entries[index].astype(np.uint8 if lut.bits <= 8 else np.uint16)
    slope, intercept = numbers(header, "RescaleSlope"), numbers(header, "RescaleIntercept")
    factor, offset = (slope or (1.0,))[0] or 1.0, (intercept or (0.0,))[0]
    if (factor, offset) == (1.0, 0.0):
        return stored
    return stored.astype(np.float32) * np.float32(factor) + np.float32(offset)


def voi_of(header: Dataset) -> Voi | None:
    """The first table or window of the header, the table first; None where there is no usable one."""
    for item in values(header, "VOILUTSequence")[:1]:
        lut = _lut(item, header)
        if lut is not None:
            most = float(2**lut.bits - 1)
            return Table(lut.first, np.clip(lut.entries / most, 0, 1).astype(np.float32))
    centre, width = numbers(header, "WindowCenter"), numbers(header, "WindowWidth")
    if centre is None or width is None:
        return None
    name = text(header, "VOILUTFunction")
    shape = Shape(name) if name in list(Shape) else Shape.LINEAR
    try:
        return Window(centre[0], width[0], shape)
    except ValueError:  # such as a width of 0, which some devices write when they know none
        return None


def _lut(item: Dataset, header: Dataset) -> _Lut | None:
    """A table, int64 (n,) in 0..2^bits - 1; None if it is damaged."""
    described = numbers(item, "LUTDescriptor", 3)
    if described is None:
        return None
    count, first, bits = (int(one) for one in described)
    count = count or 1 << 16  # 0 stands for what 16 bits can't say
    if whole(header, "PixelRepresentation") == 1 and first >= 1 << 15:
        first -= 1 << 16  # its VR is ambiguous
    data = value(item, "LUTData")
    if isinstance(data, bytes):
        narrow = len(data) < 2 * count
        order = ">" if header.original_encoding[1] is False else "<"
        entries = np.frombuffer(data, "u1" if narrow else f"{order}u2")
    else:
        entries = np.asarray(values(item, "LUTData"))
    if not 8 <= bits <= 16 or len(entries) < count or entries.dtype.kind not in "ui":
        return None
    return _Lut(first, bits, entries[:count].astype(np.int64))
