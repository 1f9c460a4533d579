"""Values of a DICOM header that may be missing, damaged or of the wrong kind."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


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
