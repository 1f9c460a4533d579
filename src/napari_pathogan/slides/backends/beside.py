"""Pictures that lie beside a scan in its file: of the whole glass, of its label, small ones."""

from __future__ import annotations

import re

_BESIDE = re.compile(
    r"(?<![a-z])(macro|label|thumbnail|overview|preview|map)(?![a-z])", re.IGNORECASE
)


def is_beside_scan(name: str) -> bool:
    """Whether an image's name says that it is such a picture."""
    return _BESIDE.search(name) is not None
