"""The look-up tables of a DICOM header: modality (PS3.3 C.11.1) and values of interest (C.11.2)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_pathogan.errors import MammogramFormatError
from napari_pathogan.mammograms.dicom.header import numbers, stated, text, value, values, whole
from napari_pathogan.mammograms.voi import Shape, Table, Voi, Window

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_WORDS = 1 << 16
_BYTE = 255
_SOME, _LEAST = 250_000, 0.005  # values that a window is tried on; share of them between its ends
_FAINT = 0.1  # of brightness from black to white


class _Lut(NamedTuple):
    first: int
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
        lut = _lut(sequence[0], header, _stored_range(header))
        if lut is None:
            raise MammogramFormatError(
                f"{name} holds a damaged modality LUT, without which its values mean nothing; "
                "export it again"
            )
        index = np.clip(stored.astype(np.int32) - lut.first, 0, len(lut.entries) - 1)
        return lut.entries[index].astype(np.uint8 if lut.entries.max() <= _BYTE else np.uint16)
    factor, offset = rescale_of(header)
    if (factor, offset) == (1.0, 0.0):
        return stored
    return stored.astype(np.float32) * np.float32(factor) + np.float32(offset)


def voi_of(header: Dataset, values_of: np.ndarray) -> Voi | None:
    """The first table or window of the header that shows something; None where there is none.

    A table goes before windows, but for one in which all is of nearly one brightness. It rises to what its entries need bits for: devices declare 16 bits,
    or 8, of 12-bit entries. A window shows nothing where next to no value lies between its ends: all
    is black or white then.

    Parameters
    ----------
    values_of
        The image's values after the modality LUT, without padding.
    """
    some = values_of.ravel()[:: max(1, values_of.size // _SOME)]
    for item in values(header, "VOILUTSequence")[:1]:
        lut = _lut(item, header, _range(header))
        if lut is not None and lut.entries.max() > lut.entries.min():
            bits = int(lut.entries.max()).bit_length()
            table = Table(lut.first, (lut.entries / (2**bits - 1)).astype(np.float32), bits)
            two = np.unique(lut.entries).size == 2 < np.unique(some).size  # black and white alone
            if (np.ptp(table.apply(some)) > _FAINT and not two) or np.ptp(some) == 0:
                return table
    return next((one for one in windows_of(header) if _shows(one, some)), None)


def windows_of(header: Dataset) -> list[Window]:
    """The windows of the header that a window can be."""
    name = text(header, "VOILUTFunction")
    shape = Shape(name) if name in list(Shape) else Shape.LINEAR
    count = min(len(values(header, one)) for one in ("WindowCenter", "WindowWidth"))
    centres, widths = (numbers(header, one, count) for one in ("WindowCenter", "WindowWidth"))
    found: list[Window] = []
    if centres is None or widths is None:
        return found
    for centre, width in zip(centres, widths, strict=True):
        with suppress(
            ValueError
        ):  # such as a width of 0, which some devices write when they know none
            found.append(Window(centre, width, shape))
    return found


def named_windows(header: Dataset) -> dict[str, tuple[float, float]]:
    """The windows of the header by what it calls them, else by their numbers: contrast limits."""
    windows = windows_of(header)
    names = [str(one).strip() for one in values(header, "WindowCenterWidthExplanation")]
    if len(names) != len(windows) or len(set(names)) != len(names):
        names = [f"Window {number}" for number in range(1, len(windows) + 1)]
    return {name: one.limits for name, one in zip(names, windows, strict=True)}


def says_unreadable_window(header: Dataset) -> bool:
    """Whether a centre and a width are there that are no numbers, or the width is negative."""
    ends = "WindowCenter", "WindowWidth"
    given = [numbers(header, one) for one in ends]
    wrong = None in given or any(width < 0 for width in given[1] or ())
    return all(stated(header, one) for one in ends) and wrong


def says_unknown_function(header: Dataset) -> bool:
    """Whether its windows are to be shown in a way that DICOM does not know: they are taken as linear."""
    name = text(header, "VOILUTFunction")
    return bool(name) and name not in list(Shape)


def says_no_slope(header: Dataset) -> bool:
    """Whether all values would be one by the rescale slope: it is taken as 1."""
    return (numbers(header, "RescaleSlope") or (1.0,))[0] == 0


def says_unreadable_rescale(header: Dataset) -> bool:
    """Whether a rescale slope or intercept is there that can't be read: it changes nothing."""
    elements = ("RescaleSlope", "RescaleIntercept")
    return any(stated(header, one) and numbers(header, one) is None for one in elements)


def _shows(window: Window, some: np.ndarray) -> bool:
    low, high = window.limits
    return bool(((some > low) & (some < high)).mean() > _LEAST) or np.ptp(some) == 0


def _lut(item: Dataset, header: Dataset, given: tuple[float, float]) -> _Lut | None:
    """A table, int64 (n,) in 0..65535, for values in a range; None if it is damaged."""
    described = numbers(item, "LUTDescriptor", 2)
    if described is None:
        return None
    count, first = (int(one) % _WORDS for one in described)
    count = count or _WORDS  # 0 stands for what 16 bits can't say
    bits = (numbers(item, "LUTDescriptor", 3) or (0.0,))[-1]
    entries = _entries(item, count, bits, big=header.original_encoding[1] is False)
    start = _signed(first, count, given)
    return None if entries is None or start is None else _Lut(start, entries)


def _entries(item: Dataset, count: int, bits: float, *, big: bool) -> np.ndarray | None:
    """The entries: a word each, or a byte where there are only as many bytes; None if some lack."""
    data = value(item, "LUTData")
    if isinstance(data, bytes):
        packed = data
    else:
        numbers_of = values(item, "LUTData")
        if any(not isinstance(one, int) or not 0 <= one < _WORDS for one in numbers_of):
            return None
        if len(numbers_of) >= count:
            return np.array(numbers_of[:count], np.int64)
        packed = np.array(numbers_of, ">u2" if big else "<u2").tobytes()
    if len(packed) >= 2 * count:
        return np.frombuffer(packed, ">u2" if big else "<u2")[:count].astype(np.int64)
    if big:  # two entries in each word, the first in its lower half
        packed = np.frombuffer(packed[: len(packed) // 2 * 2], ">u2").astype("<u2").tobytes()
    entries = np.frombuffer(packed, "u1")[:count].astype(np.int64)
    steps = np.diff(entries)  # half of a table of words jumps up and down if it is read so
    if len(entries) < count or not (bits <= 8 or (steps >= 0).all() or (steps <= 0).all()):
        return None
    return entries


def _signed(first: int, count: int, given: tuple[float, float]) -> int | None:
    """The first value of a table from its 16 bits: signed where values can be below 0 (C.11.2.1.1).

    The other reading is taken where no value would meet the table: the VR of the element is
    ambiguous, and writers and readers put the sign of the stored values there. None where no value
    meets it in either.
    """
    low, high = given
    readings = [first - _WORDS if first >= _WORDS // 2 else first, first]
    if low >= 0:
        readings.reverse()
    met = (one for one in readings if one <= high and low < one + count)
    return next(met, None)


def _stored_range(header: Dataset) -> tuple[float, float]:
    """Least and greatest value that the stored bits can say."""
    bits = whole(header, "BitsStored") or 16
    if whole(header, "PixelRepresentation") == 1:
        return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    return 0.0, 2.0**bits - 1


def _range(header: Dataset) -> tuple[float, float]:
    """Least and greatest value that can come out of the modality LUT, which is never signed."""
    if values(header, "ModalityLUTSequence"):
        return 0.0, float(_WORDS - 1)
    factor, offset = rescale_of(header)
    low, high = sorted(one * factor + offset for one in _stored_range(header))
    return low, high


def rescale_of(header: Dataset) -> tuple[float, float]:
    """Slope and intercept; 1 and 0 where they are missing or damaged."""
    slope, intercept = numbers(header, "RescaleSlope"), numbers(header, "RescaleIntercept")
    return (slope or (1.0,))[0] or 1.0, (intercept or (0.0,))[0]
