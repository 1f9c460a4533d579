"""Values of a DICOM header that may be missing, damaged or of the wrong kind."""

from __future__ import annotations

import math
from io import SEEK_END, BytesIO
from typing import TYPE_CHECKING, Any

import pydicom
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from napari_pathogan.mammograms.views import begins_at
from napari_pathogan.slides.backends.dicom import check_unfolded

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import FileDataset

_PIXELS = 0x7FE00008  # the first element that may hold them
_UNDEFINED = 0xFFFFFFFF  # a length that an element does not say
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def parsed(path: Path, *, stop_before_pixels: bool = False) -> FileDataset:
    """Parse a file, also one without preamble or meta information; raises what pydicom does.

    EOFError where it ends amid an element before its pixels, which pydicom leaves out or shortens.
    """
    at = begins_at(path)
    with BytesIO(path.read_bytes()[at:]) if at else path.open("rb") as source:
        check_unfolded(source)
        header = pydicom.dcmread(source, stop_before_pixels=stop_before_pixels, force=True)
        if not stop_before_pixels and _ends_early(header, source.seek(0, SEEK_END)):
            msg = "it ends amid its header"
            raise EOFError(msg)
    flatten_groups(header)
    return header


def _ends_early(header: FileDataset, size: int) -> bool:
    """Whether a file of so many bytes ends elsewhere than its last element, and before its pixels."""
    last = max(header.keys(), default=None)
    if last is None or last >= _PIXELS or header.original_encoding is None:
        return False
    if getattr(header.file_meta, "TransferSyntaxUID", "") == DeflatedExplicitVRLittleEndian:
        return False  # places are those in what it unfolds to
    element = header.get_item(last)
    if not isinstance(element, RawDataElement) or element.length == _UNDEFINED:
        return False  # a sequence, which pydicom has read to its end
    return element.value_tell + element.length != size


def flatten_groups(header: Dataset) -> None:
    """Let a header say itself what its functional groups say of its only frame (PS3.3 C.7.6.16).

    Enhanced and tomosynthesis objects keep side, spacing, window and rescale there. An element that
    the groups hold replaces one of the header.
    """
    for group in (one for name in _GROUPS for one in values(header, name)[:1]):
        for name in map(keyword_for_tag, list(group.keys())):
            for macro in values(group, name)[:1]:
                if isinstance(macro, Dataset):
                    for tag in macro.keys():  # noqa: SIM118 - iterating it reads its values
                        header[tag] = macro.get_item(tag)


def values(header: Dataset, keyword: str) -> list[Any]:
    """The values of an element; empty where it is missing or damaged."""
    try:
        found = header.get(keyword)
    except Exception:  # noqa: BLE001 - pydicom converts on access, with errors of any kind
        return []
    if isinstance(found, list | tuple | MultiValue | Sequence):
        return list(found)
    return [] if found is None or found == "" else [found]


def value(header: Dataset, keyword: str) -> Any:  # noqa: ANN401 - of any kind, as in the file
    """The first value of an element; None where it is missing or damaged."""
    return next(iter(values(header, keyword)), None)


def stated(header: Dataset, keyword: str) -> bool:
    """Whether an element holds anything at all, be it damaged."""
    return keyword in header and bool(header.get_item(keyword).value)


def text(header: Dataset, keyword: str) -> str:
    """A code string in capitals; "" where it is missing or damaged."""
    found = value(header, keyword)
    return found.strip().upper() if isinstance(found, str) else ""


def numbers(header: Dataset, keyword: str, count: int = 1) -> tuple[float, ...] | None:
    """The first ``count`` values as finite floats; None where there are not as many."""
    try:
        found = tuple(float(one) for one in values(header, keyword)[:count])
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def whole(header: Dataset, keyword: str) -> int | None:
    """A whole number; None where it is missing or damaged."""
    found = numbers(header, keyword)
    return int(found[0]) if found is not None and found[0] == int(found[0]) else None
